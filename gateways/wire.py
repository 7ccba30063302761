"""What the gateways' wire formats have in common: plain text, decimal amounts, reading a reply, evidence of it (C3)."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from gateways.contract import Sale, Traits
from gateways.http import Answered, Exchange, NotSent
from rules.money import EXPONENTS, parse_decimal
from rules.outcomes import Evidence, Failed, FailureClass, Unknown
from rules.redaction import redact_mapping

TWO_DECIMALS: Final = frozenset(code for code, places in EXPONENTS.items() if places == 2)
"""The currencies that a gateway takes which documents amounts with two decimals only (B27, B28)."""

_HARMLESS = re.compile(r"[A-Za-z0-9.]{0,12}")
_PATH_MAX: Final = 200


def plain(text: str, length_max: int) -> str:
    """Printable ASCII, accents and double quotes dropped, cut to `length_max` (B16)."""
    if text.isascii() and text.isprintable() and '"' not in text:
        return text[:length_max].strip()
    decomposed = unicodedata.normalize("NFKD", " ".join(text.split()))
    kept = "".join(c for c in decomposed if " " <= c <= "~" and c != '"')
    return kept[:length_max].strip()


def word(text: str, length_max: int) -> str:
    """A word that a verdict depends on; one that `plain` would change is "unreadable", never the word it resembles."""
    text = text.strip(" ")
    return text if plain(text, length_max) == text else "unreadable"


def minor_from(text: str, currency: str) -> int | None:
    """Minor units of an amount in a reply; None if it cannot be read, which proves nothing (R18)."""
    minor = parse_decimal(text.strip(), currency)
    return minor if isinstance(minor, int) else None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A reply's field names: which decide, which may be shown, and which hold references."""

    decisive: frozenset[str]
    shown: frozenset[str]
    ids: frozenset[str]


Fields = Sequence[tuple[str, str]]


def read(
    exchange: Exchange, parse: Callable[[str], Fields | None], words: Vocabulary
) -> tuple[dict[str, str] | Unknown | NotSent, Evidence]:
    """The fields of a whole and readable reply, or why there are none; and the evidence.

    Anything but status 200 with fields proves nothing (E3, B19).
    """
    if not isinstance(exchange, Answered):
        why = exchange if isinstance(exchange, NotSent) else Unknown(exchange.code, exchange.message)
        return why, Evidence(None, {"error": exchange.code, "message": exchange.message})
    said = parse(exchange.text)
    if exchange.status != 200 or said is None:
        code = "unreadable" if exchange.status == 200 else f"http_{exchange.status}"
        return Unknown(code, "no reply of this gateway"), _unreadable(exchange.status, exchange.text)
    seen = Evidence(exchange.status, shown(said, words))
    if twice := contradicts(said, words):
        return Unknown("repeated_field", f"the reply gives {twice} twice, with different values"), seen
    return dict(said), seen


def read_json(exchange: Exchange, words: Vocabulary) -> tuple[dict[str, Any] | Unknown | NotSent, Evidence]:
    """As `read`, of a reply that is one JSON object, whatever its status; which status proves what, the gateway knows.

    The vocabulary names values by their paths, such as `error.code` or `captures.0.id`.
    """
    if not isinstance(exchange, Answered):
        why = exchange if isinstance(exchange, NotSent) else Unknown(exchange.code, exchange.message)
        return why, Evidence(None, {"error": exchange.code, "message": exchange.message})
    repeated: list[str] = []
    try:
        said = json.loads(
            exchange.text.removeprefix("\ufeff"),
            object_pairs_hook=lambda pairs: _once(pairs, repeated),
            parse_float=str,  # an amount stays the text that it was
        )
        flat = _flat(said, "", []) if isinstance(said, dict) else None
    except (ValueError, RecursionError):
        flat = None
    if flat is None:
        return Unknown(f"http_{exchange.status}", "no reply of this gateway"), _unreadable(
            exchange.status, exchange.text
        )
    seen = Evidence(exchange.status, shown(flat, words))
    if repeated:
        return Unknown("repeated_field", f"the reply gives {repeated[0]} twice, with different values"), seen
    return said, seen


def _once(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    """An object, with a note of a name that it gives twice with different values (B17)."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            repeated.append(plain(name, 40))
    return found


def _flat(value: Any, path: str, found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Every plain value with its path, added to `found`; none below a path that no vocabulary could name."""
    if len(path) > _PATH_MAX:
        return found
    match value:
        case str():
            found.append((path, value))
        case dict():
            for name, inner in value.items():
                _flat(inner, f"{path}.{name}" if path else name, found)
        case list():
            for place, inner in enumerate(value):
                _flat(inner, f"{path}.{place}", found)
        case bool():
            found.append((path, str(value).lower()))
        case int() | float():
            found.append((path, str(value)))
    return found


def at(said: Any, path: str) -> str:
    """The text or number at a path such as `error.code` or `captures.0.id`; empty where there is none."""
    value = inside(said, path)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def inside(said: Any, path: str) -> Any:
    """Whatever is at a path; None where there is nothing."""
    for name in path.split("."):
        if isinstance(said, dict):
            said = said.get(name)
        elif isinstance(said, list) and name.isdigit() and int(name) < len(said):
            said = said[int(name)]
        else:
            return None
    return said


def retry_after(exchange: Exchange) -> timedelta | None:
    """When a gateway that is busy wants to be asked again, where it says so in seconds."""
    said = exchange.headers.get("Retry-After", "") if isinstance(exchange, Answered) else ""
    return timedelta(seconds=int(said)) if re.fullmatch(r"[0-9]{1,6}", said) else None


def shown(said: Fields, words: Vocabulary) -> dict[str, str]:
    """What may be kept of a reply: by allow-list, and redacted (C3)."""
    kept = {name: value for name, value in said if name in words.shown or name in words.ids}
    harmless = {name: value for name, value in kept.items() if _HARMLESS.fullmatch(value)}
    doubtful = {name: value for name, value in kept.items() if name not in harmless}
    return harmless | redact_mapping(doubtful, words.shown, words.ids)


def contradicts(said: Fields, words: Vocabulary) -> str | None:
    """The name of a decisive field that is repeated with different values (B17), if there is one."""
    first: dict[str, str] = {}
    for name, value in said:
        if name in words.decisive and first.setdefault(name, value) != value:
            return name
    return None


def unsupported(sale: Sale, traits: Traits) -> Failed | None:
    """A failure in place of a sale that the gateway is never asked for, by its traits (B27, B28)."""
    if sale.card is None and not traits.keeps_cards:
        return Failed(FailureClass.REFUSED, "stored_card", "the gateway keeps no cards: give the number")
    if sale.currency not in traits.currencies:
        return Failed(FailureClass.REFUSED, "currency", f"the gateway is not used for {sale.currency}")
    if not 0 < sale.amount_minor <= traits.amount_minor_max:
        return Failed(FailureClass.REFUSED, "amount", "the amount is outside what the gateway takes")
    return None


def _unreadable(status: int, text: str) -> Evidence:
    kind = "a web page" if text.lstrip()[:1] == "<" else "text" if text.strip() else "an empty body"
    return Evidence(status, {"reply": f"{kind} of {len(text)} characters where fields were expected"})
