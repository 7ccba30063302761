"""One redactor for logs, tracebacks, SQL echo, Flower and stored answers (C3).

Texts: whatever could be a card number is masked to its last four digits; a run of digits to which a code or a date may
be glued is masked whole, and so are the values of keys with secret names, their length tags left out. Mappings: only
fields of an allow-list are kept, and those pass the redactor for texts.

Our merchant references are 19 digits, and one in ten passes the check digit of cards by chance. They stay readable in
evidence by one narrow door: `redact_mapping` keeps a value untouched where its field is listed in `references` and the
value is nothing but a number in [10**18, 36**12), the range that references are drawn from (E2). In free text a
reference is masked as anything else would be; write it in base 36 there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Final

from rules.cards import (
    CARD_DIGITS_MAX,
    CARD_DIGITS_MIN,
    Card,
    card_number_spans,
    digits_only,
    glued_card_spans,
    looks_like_card_number,
)
from rules.errors import DefrayError

MASK: Final = "***"
"""Stands for what is not shown."""

VALUE_MAX: Final = 1_000
"""Characters that are kept of one field's value."""

_REFERENCES: Final = range(10**18, 36**12)

_PRIVATE: Final = (
    "acct|account[-_]?number|card[-_]?(?:number|num|no|cvv2?|cvc|code|exp|expiry|expiration)|ccnum(?:ber)?|pan|"
    "cvv2?|cvc2?|csc|security[-_]?code|exp[-_]?date|expiration[-_]?date|track[-_]?[12]?(?:[-_]?data)?|swipe|magdata|"
    "micr|pwd|[a-z0-9_.-]{0,40}(?:passw(?:or)?d|passphrase|secret(?:[-_]?key)?)|(?:x[-_])?api[-_]?key|"
    "access[-_]?token|transaction[-_]?key|(?:proxy-)?authorization|(?:set-)?cookie"
)
# What follows a name: a length tag as Payflow writes it, then "=", ":", "," or ">", or the end of a quoted key.
_SECRET = re.compile(
    rf"(?<![a-z0-9])(?P<name>{_PRIVATE})(?:\[(?P<length>\d{{1,4}})\])?(?P<key_end>\\?[\"']?)"
    r"(?P<join>\s*(?:=>|[=:,>])\s*)",
    re.IGNORECASE,
)
_JOIN = re.compile(r"[=:,>]")
# A quoted value, and one inside quoted text, where every quote and backslash stands behind a backslash of its own.
_QUOTED = re.compile(
    r"""[bru]?(?P<open>["'])(?:\\.|(?!(?P=open)).)*(?P=open)|(?P<inner>\\["'])(?:\\\\\\?.|(?!(?P=inner)).)*(?P=inner)""",
    re.DOTALL,
)
_FORM_VALUE = re.compile(r"[^&\"'\r\n<]*")
_ITEM_VALUE = re.compile(r"[^,}\])\r\n]*")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")


def redact_text(text: str) -> str:
    """The text with card numbers masked to their last four digits, the values of secret keys masked whole (B18)."""
    if _JOIN.search(text):  # neither a key with its value nor an address is without one
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", _mask_secrets(text))
    return _mask_numbers(text)


def redact_mapping(
    mapping: Mapping[str, object], allowed: frozenset[str], references: frozenset[str] = frozenset()
) -> dict[str, str]:
    """All keys; the values of `allowed` and `references` fields redacted as text, all others masked.

    A field of `references` is kept as it is where it is one of our merchant references and nothing else. NUL and lone
    surrogates, which no database text can hold, become U+FFFD, so that evidence refuses nothing.
    """
    kept: dict[str, str] = {}
    for key, value in mapping.items():
        text = "" if value is None else str(value)
        if key in references and _is_reference(text):
            shown = text
        elif key in allowed or key in references:
            shown = _storable(redact_text(text))
        else:
            shown = MASK if text else ""
        ours = key in allowed or key in references  # a word of the program
        kept[key if ours else _storable(redact_text(key))] = shown
    return kept


def refuse_card_data(value: object, where: str = "a task's arguments or result") -> None:
    """B62: raises DefrayError if the value, at any depth, is a card or holds what looks like a card number."""
    if _holds_card_data(value):
        raise DefrayError(
            f"What looks like a card number stands in {where}; it is not shown here.",
            "Pass the id of the payment or the card's token.",
        )


def _mask_secrets(text: str) -> str:
    parts: list[str] = []
    done = 0
    while match := _SECRET.search(text, done):
        end = _value_end(text, match)
        if match["length"]:  # of what is not shown
            parts += text[done : match.end("name")], text[match.start("key_end") : match.end()]
        else:
            parts.append(text[done : match.end()])
        if end > match.end():
            value = text[match.end() : end]
            quoted = _QUOTED.fullmatch(value)
            quote = (quoted["open"] or quoted["inner"]) if quoted else ""
            parts.append(f"{quote}{MASK}{quote}")
        done = end
    parts.append(text[done:])
    return "".join(parts)


def _value_end(text: str, match: re.Match[str]) -> int:
    """Where the value of a secret key ends; on doubt too late rather than too early."""
    start = match.end()
    if quoted := _QUOTED.match(text, start):
        return quoted.end()
    join = match["join"].strip()
    if join == ",":
        return start  # a name in a list of words: no value of its own
    if match["length"]:
        start = min(start + int(match["length"]), len(text))
    elif match["key_end"]:
        value = _ITEM_VALUE.match(text, start)
        return value.end() if value else start
    value = _FORM_VALUE.match(text, start)
    return value.end() if value else start


def _mask_numbers(text: str) -> str:
    if len(text) < CARD_DIGITS_MIN:
        return text
    merged: list[tuple[int, int]] = []
    spans = sorted([*card_number_spans(text), *glued_card_spans(text)])
    if not spans:
        return text
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    parts: list[str] = []
    done = 0
    for start, end in merged:
        parts += text[done:start], "*" * 12, _last_four(text[start:end])
        done = end
    return "".join([*parts, text[done:]])


def _last_four(span: str) -> str:
    """None of a run to which something may be glued: that may be the security code."""
    digits = digits_only(span).replace(" ", "")
    is_one_run = len(digits) == len(span)
    return "" if is_one_run and (len(digits) > CARD_DIGITS_MAX or any(glued_card_spans(digits))) else digits[-4:]


def _is_reference(text: str) -> bool:
    return re.fullmatch(r"[0-9]{19}", text) is not None and int(text) in _REFERENCES


def _storable(text: str) -> str:
    text = _UNSTORABLE.sub("\ufffd", text)
    return text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…"


def _holds_card_data(value: object) -> bool:
    match value:
        case None | bool():
            return False
        case Card():
            return True
        case str():
            return looks_like_card_number(value)
        case bytes() | bytearray():
            return looks_like_card_number(value.decode("latin-1"))
        case int():
            return looks_like_card_number(str(value))
        case float():
            return value.is_integer() and looks_like_card_number(str(int(value)))
        case Mapping():
            return any(_holds_card_data(key) or _holds_card_data(item) for key, item in value.items())
        case list() | tuple() | set() | frozenset():
            return any(_holds_card_data(item) for item in value)
        case _ if is_dataclass(value):
            return any(_holds_card_data(getattr(value, part.name)) for part in fields(value))
        case _:
            return looks_like_card_number(repr(value))
