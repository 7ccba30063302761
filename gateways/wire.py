"""What the gateways' wire formats have in common: plain text, decimal amounts, and evidence that shows no card."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from rules.money import EXPONENTS, parse_decimal
from rules.outcomes import Evidence

TWO_DECIMALS: Final = frozenset(code for code, places in EXPONENTS.items() if places == 2)
"""The currencies that a gateway takes which documents amounts with two decimals only (B27, B28)."""

_LONG_DIGITS = re.compile(r"\d(?:[ \-.]?\d){11,}")
_SECURITY_CODE = re.compile(r"((?:cvv|cvc|csc|cid|security.code)\w*\W{0,3})\d{3,4}", re.IGNORECASE)


def plain(text: str, length_max: int) -> str:
    """Printable ASCII, accents and double quotes dropped, blanks single, cut to `length_max` (B16)."""
    decomposed = unicodedata.normalize("NFKD", " ".join(text.split()))
    kept = "".join(c for c in decomposed if " " <= c <= "~" and c != '"')
    return kept[:length_max].strip()


def minor_from(text: str, currency: str) -> int | None:
    """Minor units of an amount in a reply; None if it cannot be read, which proves nothing (R18)."""
    minor = parse_decimal(text.strip(), currency)
    return minor if isinstance(minor, int) else None


def masked(text: str) -> str:
    """`text` without what could be a card number or a security code (C3)."""
    return _SECURITY_CODE.sub(r"\1***", _LONG_DIGITS.sub("(long number)", text))


def evidence(
    status: int | None, said: Iterable[tuple[str, str]], shown: frozenset[str], ids: frozenset[str]
) -> Evidence:
    """What was said, by allow-list: fields in `ids` as they are, fields in `shown` masked, all others left out."""
    return Evidence(
        status,
        {name: (value if name in ids else masked(value))[:500] for name, value in said if name in ids or name in shown},
    )


def unreadable(status: int, text: str) -> Evidence:
    """Evidence of a reply that is not the gateway's format: its kind and length only (B19)."""
    kind = "a web page" if text.lstrip()[:1] == "<" else "text" if text.strip() else "an empty body"
    return Evidence(status, {"reply": f"{kind} of {len(text)} characters where fields were expected"})


def contradicts(said: Iterable[tuple[str, str]], decisive: frozenset[str]) -> str | None:
    """The name of a decisive field that a reply repeats with different values (B17), if there is one."""
    first: dict[str, str] = {}
    for name, value in said:
        if name in decisive and first.setdefault(name, value) != value:
            return name
    return None
