"""Amounts as people, files and gateways write them, and days."""

from __future__ import annotations

from datetime import date

from gateways.wire import minor_from
from producer.files import parse_date
from reports.form import merchant_reference, signed_minor
from rules.errors import Fault
from rules.money import AMOUNT_MINOR_MAX, EXPONENTS, check_currency, for_people, parse_decimal, to_decimal
from rules.requests import parse_day

_CURRENCIES = ("USD", "JPY", "KWD")


def check(data: bytes) -> None:
    """An amount that is taken is the one that it is written as; a day that is taken has one meaning."""
    if not data:
        return
    text, currency = data[1:].decode("utf-8", "surrogateescape"), _CURRENCIES[data[0] % 3]
    minor = parse_decimal(text, currency)
    if isinstance(minor, int):
        assert 0 < minor <= AMOUNT_MINOR_MAX
        written = to_decimal(minor, currency)
        assert parse_decimal(written, currency) == minor
        assert (text.lstrip("0").rstrip("0") if "." in text else text.lstrip("0")).rstrip(".") == (
            written.lstrip("0").rstrip("0") if "." in written else written.lstrip("0")
        ).rstrip("."), "read as another amount"
        assert signed_minor(text, currency) == minor
        for_people(minor, currency)
    signed = signed_minor(text, currency)
    if signed is not None:
        assert abs(signed) <= AMOUNT_MINOR_MAX
        digits = "".join(c for c in to_decimal(abs(signed), currency) if c.isdigit()).strip("0")
        assert "".join(c for c in text if c.isdigit()).strip("0") == digits, "read as another amount"
    minor_from(text, currency)
    reference = merchant_reference(text)
    assert reference is None or 10**18 <= reference < 36**12
    assert isinstance(check_currency(text), Fault) or text in EXPONENTS
    for order in ("ymd", "mdy", "dmy"):
        day = parse_date("day", text, order)
        assert isinstance(day, Fault) or str(day.year) in text or f"{day.year:04}" in text
    iso = parse_day("day", text)
    assert isinstance(iso, Fault) or (isinstance(iso, date) and f"{iso.day:02}" in text) or "W" in text
