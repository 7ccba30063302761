"""Free text from people and files: what may be stored, shown and logged."""

from __future__ import annotations

import unicodedata
from typing import Final

from rules.errors import Fault

NOTES_MAX: Final = 2_000
"""Characters of a payment's notes."""

# Bidirectional overrides make a text read otherwise than it is stored; other format characters build emoji.
_OVERRIDES: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_text(field: str, text: object, max_len: int, *, lines: bool = False) -> str | Fault:
    """The text without outer blanks, or what is wrong with it; line breaks and tabs only where `lines` allows them."""
    if not isinstance(text, str):
        return Fault(field, "", "not a text", "Give a text")
    if len(text) > max_len:
        return Fault(field, f"{len(text):,} characters", "too long", f"Give at most {max_len:,} characters")
    text = text.replace("\r\n", "\n").strip()
    if text.isprintable():  # no control characters and no overrides are among those that Python calls printable
        return text
    kept = "\n\t" if lines else ""
    for place, character in enumerate(text, start=1):
        if character not in kept and (
            unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in _OVERRIDES
        ):
            problem = f"a control character at place {place}"
            return Fault(field, f"U+{ord(character):04X}", problem, "Remove it; letters, signs and emoji are fine")
    return text
