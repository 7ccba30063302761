"""Money in minor units: no float, no factor of a hundred, no surprise (R14, B26 to B30)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.errors import Fault
from rules.money import AMOUNT_MINOR_MAX, EXPONENTS, check_currency, check_minor, for_people, parse_decimal, to_decimal


def test_every_cent_there_and_back() -> None:
    """B26: every amount from 0.01 to 100.00 is the same after it was written and read."""
    assert all(parse_decimal(to_decimal(minor, "USD"), "USD") == minor for minor in range(1, 10_001))


@given(st.integers(1, AMOUNT_MINOR_MAX), st.sampled_from(sorted(EXPONENTS)))
def test_round_trip_in_every_currency(minor: int, currency: str) -> None:
    """B26 to B28: writing and reading are exact in every currency, and agree with decimal arithmetic."""
    text = to_decimal(minor, currency)
    assert parse_decimal(text, currency) == minor
    assert Decimal(text) == Decimal(minor).scaleb(-EXPONENTS[currency])


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("35.7", "USD", 3570),
        ("75.27", "USD", 7527),
        ("19.99", "USD", 1999),
        ("1.10", "USD", 110),
        ("1250", "USD", 125_000),
        ("0.01", "USD", 1),
        ("007.50", "USD", 750),
        ("500", "JPY", 500),  # B27: no decimals, no factor of a hundred
        ("500.00", "JPY", 500),
        ("18.600", "KWD", 18_600),  # B28: three decimals
        ("18.6", "KWD", 18_600),
        ("1.000", "USD", 100),
        ("10000000000.00", "USD", 10**12),
    ],
)
def test_reading(text: str, currency: str, minor: int) -> None:
    """B26 to B28: decimal text becomes minor units of its currency."""
    assert parse_decimal(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *(
            (text, "USD")
            for text in ("-50.00", "0", "0.00", "", "1e3", "NaN", "Infinity", "٥٠", "1,000.00", " 10 ", "0.001")
        ),
        *((text, "USD") for text in ("10.", ".5", "+5", "1_000", "0x10", "$5", "5 USD", "1.2.3", "５０", "10\n")),
        *((text, "USD") for text in ("1000000000000000", "10000000000.01", "9" * 400)),
        *((number, "USD") for number in (19.99, 20, True, None, b"5", ["5"])),
        ("0.5", "JPY"),
        ("18.6001", "KWD"),
    ],
)
def test_reading_refuses(text: object, currency: str) -> None:
    """B30: what is no plain amount in the currency is refused with the field and a remedy."""
    fault = parse_decimal(text, currency, "amount")
    assert isinstance(fault, Fault)
    assert fault.field == "amount"
    assert fault.problem
    assert fault.remedy


@pytest.mark.parametrize("amount", [1, 1250, AMOUNT_MINOR_MAX])
def test_minor_units(amount: int) -> None:
    """B26: whole minor units up to the ceiling are taken."""
    assert check_minor(amount) == amount


@pytest.mark.parametrize(
    "amount", [0, -1, -5000, AMOUNT_MINOR_MAX + 1, 10**15, 19.99, 1250.0, float("nan"), "1250", True, None]
)
def test_minor_units_refuse(amount: object) -> None:
    """B26, B30: zero, negative, absurd and fractional amounts, floats, texts and bools are refused."""
    fault = check_minor(amount)
    assert isinstance(fault, Fault)
    assert fault.field == "amount_minor"
    assert fault.remedy


@pytest.mark.parametrize("code", ["usd", "US", "XXX", "XTS", "XAU", "DEM", "", None, 840])
def test_currency_that_nobody_uses(code: object) -> None:
    """B30: a currency that nobody pays in is refused."""
    assert isinstance(check_currency(code), Fault)


@pytest.mark.parametrize("code", ["USD", "EUR", "JPY", "KWD", "CHF"])
def test_currency_in_use(code: str) -> None:
    """R14: a currency in use is itself."""
    assert check_currency(code) == code


@pytest.mark.parametrize(
    ("minor", "currency", "written", "read_by_people"),
    [
        (1250, "USD", "12.50", "12.50 USD"),
        (5, "USD", "0.05", "0.05 USD"),
        (0, "USD", "0.00", "0.00 USD"),
        (-5, "USD", "-0.05", "-0.05 USD"),
        (-123_456_789, "USD", "-1234567.89", "-1,234,567.89 USD"),
        (500, "JPY", "500", "500 JPY"),
        (1_000_000, "JPY", "1000000", "1,000,000 JPY"),
        (18_600, "KWD", "18.600", "18.600 KWD"),
        (10**12, "USD", "10000000000.00", "10,000,000,000.00 USD"),
    ],
)
def test_writing(minor: int, currency: str, written: str, read_by_people: str) -> None:
    """B27, B28: amounts are written with their currency's decimals, on the wire plain, for people grouped."""
    assert to_decimal(minor, currency) == written
    assert for_people(minor, currency) == read_by_people
