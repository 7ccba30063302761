"""A card as somebody enters it, and what is called an e-mail address or a text."""

from __future__ import annotations

from datetime import date

from rules.cards import Card, card_number_spans, check_card, looks_like_card_number, luhn_valid
from rules.emails import check_email
from rules.errors import Fault
from rules.texts import check_text
from tests.fuzz.files import NUMBER

_TODAY = date(2026, 3, 1)


def check(data: bytes) -> None:
    """A card that is taken has a right check digit and is not expired; no fault and no repr tells its number (C1)."""
    number, expiry, code, *rest = (data.decode("utf-8", "replace") + "\n" * 4).split("\n")[:5]
    for given in (number, NUMBER):
        checked = check_card(given, expiry, code, rest[0], _TODAY, street=rest[1], country=rest[1][:2])
        if isinstance(checked, Card):
            assert luhn_valid(checked.number)
            assert checked.number.isascii()
            assert 13 <= len(checked.number) <= 19
            assert (checked.exp_year, checked.exp_month) >= (2026, 3)
            assert checked.number not in repr(checked)
        else:
            assert NUMBER not in "; ".join(map(str, checked))
    for start, end in card_number_spans(number):
        assert 0 <= start < end <= len(number)
    assert not looks_like_card_number("2026-03-01")
    address = check_email("contact", number)
    assert isinstance(address, Fault) or ("\n" not in address and address.count("@") == 1)
    text = check_text("notes", number, 100)
    assert isinstance(text, Fault) or text == text.strip()
