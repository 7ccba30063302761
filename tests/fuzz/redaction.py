"""The redactor: whatever stands around a card's number or a password, neither is told (C3)."""

from __future__ import annotations

import re

from rules.cards import glued_card_spans, luhn_valid
from rules.errors import DefrayError
from rules.redaction import redact_mapping, redact_text, refuse_card_data
from tests.fuzz.files import NUMBER

_HERE = b"\x01"
_SPELLED = (NUMBER, "4111 1111 1111 1111", "4111-1111-1111-1111", "4111%201111%201111%201111")
_PASSWORD = "hunter2secret"
_RUN = re.compile(r"(?<![0-9])[0-9]{13,19}(?![0-9])", re.ASCII)

# The last four of a masked number may look like a number together with digits behind them, by chance.
_MADE_LONGER = re.compile(r"[*]{12}[0-9]{4}\W{1,9}[0-9]")


def check(data: bytes) -> None:
    """No number in any spelling, no run of digits that could be one, no password; what was redacted stays as it is."""
    if not data:
        return
    before, _, after = data[1:].decode("utf-8", "replace").partition(_HERE.decode())
    plain = redact_text(before + after)
    assert not [run for run in _RUN.findall(plain) if luhn_valid(run)], "a number is told"
    assert not any(glued_card_spans(plain)), "a number with more behind it is told"
    if not _MADE_LONGER.search(plain) and "[" not in before + after:  # a wrong length tag takes what is behind it, once
        assert redact_text(plain) == plain, "redacted twice, it is another text"
    spelled = _SPELLED[data[0] % len(_SPELLED)]
    if spelled in before + after:
        return  # glued to other digits it is no number that can be told from them
    told = redact_text(f"{before} . . {spelled} . . {after}")
    assert spelled not in told, "the card is told"
    told = redact_text(f"{before}&password={_PASSWORD}&{after}")
    assert _PASSWORD not in told, "the password is told"
    kept = redact_mapping({before: f"({spelled})", "reply": after}, frozenset({before, "reply"}))
    assert spelled not in repr(kept)
    assert not re.search("[\0\ud800-\udfff]", "".join((*kept, *kept.values())))
    assert spelled not in _refusal([{"said": (before, f"({spelled})")}])


def _refusal(value: object) -> str:
    try:
        refuse_card_data(value)
    except DefrayError as refused:
        return str(refused)
    raise AssertionError("a card passes")
