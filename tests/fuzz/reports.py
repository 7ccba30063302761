"""The five reports of what gateways settled, by the first byte."""

from __future__ import annotations

from datetime import UTC
from itertools import islice
from zoneinfo import ZoneInfo

from reports import FORMS
from reports.file import look_over
from rules.money import AMOUNT_MINOR_MAX, EXPONENTS
from tests.fuzz.files import lying, refused_in_words

_FORMS = list(FORMS.values())
_ZONE = ZoneInfo("America/Denver")


def check(data: bytes) -> None:
    """A line is read whole, in known currency and in UTC, or the report is refused in words without a card in them."""
    if not data:
        return
    with lying(data[1:]) as path, refused_in_words():
        for line in islice(look_over(path).lines(_FORMS[data[0] % len(_FORMS)], _ZONE), 10_000):
            assert 0 <= line.amount_minor <= AMOUNT_MINOR_MAX
            assert line.currency in EXPONENTS
            assert line.at.tzinfo is UTC
            assert line.reference is None or 10**18 <= line.reference < 36**12
