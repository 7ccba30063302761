"""`defray pay` and `defray preview`: one payment. Card data comes by prompt or standard input, never as an argument."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from cli.output import NO_OUTCOME_YET, REFUSED, note, tell, wants_json, with_json, with_name
from rules.errors import DefrayError, Fault, RequestRefused

if TYPE_CHECKING:
    from books.preview import Preview
    from books.views import PaymentStatus
    from cli.reach import Office
    from rules.cards import Card

_Command = TypeVar("_Command", bound=Callable[..., Any])
_LOOK_EVERY: Final = 0.2
_CARD_FIELDS: Final = ("number", "expiry", "security_code", "name", "street", "city", "state", "postal_code", "country")


def _what_is_asked(command: _Command) -> _Command:
    options = (
        click.option("--customer", required=True, metavar="NUMBER", help="Who pays."),
        click.option("--method", required=True, metavar="METHOD", help="check, money_order, credit_card, cash, ..."),
        click.option("--amount", required=True, metavar="DECIMAL", help="What is paid, such as 1250.00."),
        click.option("--currency", default="USD", show_default=True, metavar="CODE", help="ISO 4217."),
        click.option(
            "--invoice",
            "invoices",
            multiple=True,
            metavar="NUMBER",
            help="What it pays, in this order; else oldest first.",
        ),
        click.option(
            "--cap",
            "caps",
            multiple=True,
            metavar="NUMBER=DECIMAL",
            help="At most so much to an invoice that is named.",
        ),
        click.option("--as-credit", is_flag=True, help="Take it even where nothing is owed."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _asked(
    customer: str,
    method: str,
    amount: str,
    currency: str,
    invoices: Sequence[str],
    caps: Sequence[str],
    as_credit: bool,
) -> dict[str, object]:
    by_invoice: dict[str, str] = {}
    for cap in caps:
        number, _, most = cap.rpartition("=")
        if number not in invoices:
            raise RequestRefused(
                [Fault("cap", cap, "names no invoice of --invoice", "Write --invoice A-1 --cap A-1=50.00")]
            )
        by_invoice[number] = most
    named = [{"number": number, "cap": by_invoice.get(number)} for number in invoices]
    return {
        "customer": customer,
        "method": method,
        "amount": amount,
        "currency": currency,
        "as_credit": as_credit,
        **({"invoices": named} if named else {}),
    }


@click.command()
@_what_is_asked
@click.option("--number", help="Of a check or money order.")
@click.option("--post-date", metavar="YYYY-MM-DD", help="The business day; today unless given.")
@click.option("--notes", help="For the office only.")
@click.option("--allow-overlap", is_flag=True, help="Although card payments under way are meant for the same invoices.")
@click.option(
    "--although-unknown", is_flag=True, help="Although the outcome of such a charge is not known: both may be made."
)
@click.option("--when-owed-less", metavar="POLICY", help="charge_reduced, ask or charge_all.")
@click.option("--card-token", metavar="TOKEN", help="A card that the vault has; else it is asked for.")
@click.option("--keep-card", is_flag=True, help="The customer agreed that the card is kept for later payments.")
@click.option("--on", "run_on", metavar="YYYY-MM-DD", help="Charge the card on this later day, and not before.")
@click.option("--key", metavar="KEY", help="The idempotency key; drawn and shown unless given.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the outcome.")
@click.option(
    "--wait",
    "seconds",
    type=click.IntRange(min=0),
    default=90,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for it.",
)
@with_name
@with_json
def pay(
    customer: str,
    method: str,
    amount: str,
    currency: str,
    invoices: tuple[str, ...],
    caps: tuple[str, ...],
    as_credit: bool,
    number: str | None,
    post_date: str | None,
    notes: str | None,
    allow_overlap: bool,
    although_unknown: bool,
    when_owed_less: str | None,
    card_token: str | None,
    keep_card: bool,
    run_on: str | None,
    key: str | None,
    no_wait: bool,
    seconds: int,
    by: str,
) -> None:
    """Record a payment, charge it if it is by card, and say what became of it.

    A card is asked for at the prompt; from a pipe it is read as JSON {"number": ..., "expiry": "12/29",
    "security_code": ..., "name": ...} or as lines: number, expiry, security code, name. The same --key with the
    same content gives the first payment again.
    """
    from cli.reach import CALLER, office
    from producer import keys

    drawn = key or keys.drawn("pay")
    with office() as at:
        card = None
        if method == "credit_card" and not card_token:
            with at.reading() as (_, now):
                today = at.today(now)
            card = _card(today)
        asked = {
            **_asked(customer, method, amount, currency, invoices, caps, as_credit),
            "idempotency_key": drawn,
            "number": number,
            "post_date": post_date,
            "notes": notes,
            "allow_overlap": allow_overlap,
            "when_owed_less": when_owed_less or at.settings.when_owed_less.value,
            "card_token": card_token,
            "run_on": run_on,
        }
        if not key:
            note(f"Idempotency key: {drawn}")
        recorded = at.producer().pay(
            asked, card, caller=CALLER, by=by, keep_card=keep_card, allow_unknown=although_unknown, attended=True
        )
        _warn_of_hold(at, customer)
        status = wait_for(at, recorded.payment_id, 0 if no_wait else seconds)
    _tell_outcome(status, drawn, recorded.new, at.settings.business_time_zone)
    code = _exit_code(status, no_wait)
    if code:
        click.get_current_context().exit(code)


def _warn_of_hold(at: Office, customer: str) -> None:
    from books import holds, lists
    from papers.schedules import held

    with at.reading() as (conn, now):
        hold = holds.of_customer(conn, lists.customer(conn, customer).id, now)
    if hold is not None:
        note(held(hold, at.settings.business_time_zone))


def _exit_code(status: PaymentStatus, no_wait: bool) -> int:
    if no_wait or status.state == "posted" or status.is_planned:
        return 0
    return NO_OUTCOME_YET if is_moving(status) or status.outcome_unknown else REFUSED


def is_moving(status: PaymentStatus) -> bool:
    """Whether something will become of the payment within seconds."""
    return status.state in {"requested", "charging"} and not (status.outcome_unknown or status.is_planned)


def wait_for(at: Office, payment_id: int, seconds: float) -> PaymentStatus:
    """Look until the payment has an outcome, or the time is up."""
    from books import views

    end = time.monotonic() + seconds
    told = False
    while True:
        with at.reading() as (conn, _):
            status = views.payment(conn, payment_id)
        if not is_moving(status) or time.monotonic() >= end:
            return status
        if not told and not wants_json():
            note("Waiting for the outcome ...")
            told = True
        time.sleep(_LOOK_EVERY)


def _tell_outcome(status: PaymentStatus, key: str, new: bool, zone: Any) -> None:
    from papers.story import payment_line

    again = [] if new else ["This key was used before for the same: here is the payment of then."]
    tell({"new": new, "idempotency_key": key, "payment": status}, [*again, payment_line(status, zone)])


def _card(today: Any) -> Card:
    from rules.cards import check_card

    given = _prompted() if sys.stdin.isatty() else _piped(sys.stdin.read())
    checked = check_card(
        str(given.get("number") or ""),
        str(given.get("expiry") or ""),
        str(given.get("security_code") or "") or None,
        str(given.get("name") or ""),
        today,
        **{name: str(given.get(name) or "") for name in _CARD_FIELDS[4:]},
    )
    if isinstance(checked, list):
        raise RequestRefused(checked)
    return checked


def _prompted() -> dict[str, str]:
    def ask(what: str, hidden: bool = False) -> str:
        answer: str = click.prompt(what, hide_input=hidden, default="", show_default=False, err=True)
        return answer

    return {
        "number": ask("Card number", hidden=True),
        "expiry": ask("Expiry (MM/YY)"),
        "security_code": ask("Security code", hidden=True),
        "name": ask("Name on the card"),
        "postal_code": ask("Postal code"),
    }


def _piped(text: str) -> Mapping[str, object]:
    if not text.strip():
        raise DefrayError("No card was given.", "Pipe it in as JSON or lines, or run the command at a terminal.")
    if not text.lstrip().startswith("{"):
        return dict(zip(_CARD_FIELDS, (line.strip() for line in text.splitlines()), strict=False))
    try:
        given = json.loads(text)
    except ValueError:
        given = None  # its text may hold the card: nothing of it is repeated
    if not isinstance(given, dict):
        raise DefrayError("The card on standard input is no JSON object.", f"Its fields are {', '.join(_CARD_FIELDS)}.")
    if set(given) - set(_CARD_FIELDS):
        raise RequestRefused([Fault("card", "", "it has fields that nobody reads", f"Give {', '.join(_CARD_FIELDS)}")])
    return given


@click.command()
@_what_is_asked
@with_json
def preview(
    customer: str,
    method: str,
    amount: str,
    currency: str,
    invoices: tuple[str, ...],
    caps: tuple[str, ...],
    as_credit: bool,
) -> None:
    """Show how a payment would spread over the invoices; nothing is recorded (R9)."""
    from cli.reach import office

    with office() as at:
        seen = at.producer().preview(_asked(customer, method, amount, currency, invoices, caps, as_credit))
    tell(seen, _preview_words(seen))


def _preview_words(seen: Preview) -> list[str]:
    from cli.output import table
    from rules.money import for_people

    rows = [
        (line.invoice, for_people(line.balance_due_minor, seen.currency), for_people(line.applied_minor, seen.currency))
        for line in seen.lines
        if line.applied_minor
    ]
    untouched = len(seen.lines) - len(rows)
    words = table(("invoice", "balance due", "amount applied"), rows, right=(1, 2))
    if untouched:
        words.append(f"{untouched:,} more owe something and get nothing.")
    words.append(f"Credit left over: {for_people(seen.credit_minor, seen.currency)}")
    return words


VERBS = (pay, preview)
