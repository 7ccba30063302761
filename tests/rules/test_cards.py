"""What is checked of a card at the edge, and how a card number is spotted in text (C1, B55, B61 to B63)."""

from __future__ import annotations

import traceback
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.cards import (
    Brand,
    Card,
    brand_of,
    check_card,
    expires_before,
    looks_like_card_number,
    luhn_valid,
    parse_expiry,
)
from rules.errors import Fault

TODAY = date(2026, 11, 24)


def faults(**changes: str | None) -> list[Fault]:
    """What is wrong with a good card after these changes."""
    given_card: dict[str, str | None] = {
        "number": "4111111111111111",
        "expiry": "12/29",
        "security_code": "123",
        "name": "Ann Example",
        **changes,
    }
    checked = check_card(today=TODAY, **given_card)  # type: ignore[arg-type]
    return checked if isinstance(checked, list) else []


def luhn_complete(digits: str) -> str:
    """The digits with the check digit that makes them pass."""
    return next(digits + check for check in "0123456789" if luhn_valid(digits + check))


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4111111111111111", Brand.VISA),
        ("4222222222222", Brand.VISA),
        ("5105105105105100", Brand.MASTERCARD),
        ("2221000000000009", Brand.MASTERCARD),
        ("2720990000000007", Brand.MASTERCARD),
        ("2220990000000004", Brand.OTHER),
        ("2721000000000004", Brand.OTHER),
        ("341111111111111", Brand.AMEX),
        ("378282246310005", Brand.AMEX),
        ("6011111111111117", Brand.DISCOVER),
        ("6440000000000005", Brand.DISCOVER),
        ("6500000000000002", Brand.DISCOVER),
        ("30569309025904", Brand.DINERS),
        ("38520000023237", Brand.DINERS),
        ("36148900647913", Brand.DINERS),
        ("3528000000000007", Brand.JCB),
        ("3589000000000003", Brand.JCB),
        ("6200000000000005", Brand.UNIONPAY),
        ("8100000000000000", Brand.UNIONPAY),
        ("6759649826438453", Brand.OTHER),
    ],
)
def test_brand(number: str, brand: Brand) -> None:
    """C1: the leading digits tell the network."""
    assert brand_of(number) is brand


@pytest.mark.parametrize(
    "number",
    ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "30569309025904"],
)
def test_good_card_in_the_notations_of_people(number: str) -> None:
    """C1: a number may be typed with blanks and dashes; the card holds its digits."""
    code = "1234" if number.startswith("37") else "123"
    spaced = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    for text in (number, spaced, spaced.replace(" ", "-"), f" {number} "):
        card = check_card(text, "12/29", code, " Ann Example ", TODAY, country="us", street="1 Main St")
        assert isinstance(card, Card)
        assert (card.number, card.last_four, card.brand) == (number, number[-4:], brand_of(number))
        assert (card.exp_month, card.exp_year, card.security_code) == (12, 2029, code)
        assert (card.name, card.country, card.street) == ("Ann Example", "US", "1 Main St")


@given(st.text("0123456789", min_size=12, max_size=18), st.integers(0, 18), st.integers(1, 9))
def test_luhn_finds_every_wrong_digit(digits: str, place: int, more: int) -> None:
    """C1: one mistyped digit never passes."""
    good = luhn_complete(digits)
    place %= len(good)
    wrong = good[:place] + str((int(good[place]) + more) % 10) + good[place + 1 :]
    assert luhn_valid(good)
    assert not luhn_valid(wrong)


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("", "missing"),
        (" - ", "missing"),
        ("4111111111111112", "check digit"),
        ("411111111111111", "15 digits"),
        ("55555555555544443", "17 digits"),
        ("4111x11111111111", "not a card number"),
        ("4111.1111.1111.1111", "not a card number"),
        ("٤١١١١١١١١١١١١١١١", "not a card number"),
        ("411111111111111１", "not a card number"),
    ],
)
def test_bad_number(number: str, problem: str) -> None:
    """C1: a number that cannot be one is refused, by its field, and not repeated."""
    [fault] = faults(number=number)
    assert fault.field == "card_number"
    assert problem in fault.problem
    assert fault.value == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12/29", (12, 2029)),
        ("1229", (12, 2029)),
        ("12/2029", (12, 2029)),
        ("122029", (12, 2029)),
        ("1/30", (1, 2030)),
        (" 01 / 30 ", (1, 2030)),
        ("01-30", (1, 2030)),
        ("13/29", None),
        ("0/29", None),
        ("00/29", None),
        ("12/029", None),
        ("129", None),
        ("12/29/01", None),
        ("", None),
        ("١٢/٢٩", None),
    ],
)
def test_expiry(text: str, expected: tuple[int, int] | None) -> None:
    """C1: the date as it stands on cards, in the notations that people type."""
    assert parse_expiry(text) == expected


def test_card_is_valid_through_the_last_day_of_its_month() -> None:
    """B55: 02/28 is good on 29 February 2028 and has expired on 1 March."""
    assert not expires_before(2, 2028, date(2028, 2, 29))
    assert expires_before(2, 2028, date(2028, 3, 1))
    assert not expires_before(12, 2026, date(2026, 12, 31))
    assert expires_before(12, 2026, date(2027, 1, 1))
    assert faults(expiry="11/26") == []
    assert [fault.problem for fault in faults(expiry="10/26")] == ["the card has expired"]
    assert [fault.problem for fault in faults(expiry="12/99")] == ["too far in the future"]
    assert [fault.field for fault in faults(expiry="soon")] == ["expiry"]


@pytest.mark.parametrize(
    ("number", "code", "good"),
    [
        ("4111111111111111", "123", True),
        ("4111111111111111", None, True),
        ("4111111111111111", "", True),
        ("4111111111111111", "1234", False),
        ("4111111111111111", "12", False),
        ("4111111111111111", "12a", False),
        ("4111111111111111", "١٢٣", False),
        ("378282246310005", "1234", True),
        ("378282246310005", "123", False),
        ("6759649826438453", "123", True),
    ],
)
def test_security_code(number: str, code: str | None, good: bool) -> None:
    """C1: three digits, four for American Express; it may be missing; a bad one is not repeated."""
    found = faults(number=number, security_code=code)
    assert (found == []) is good
    assert all(fault.field == "security_code" and fault.value == "" for fault in found)


def test_all_faults_at_once() -> None:
    """C1: everything that is wrong is told at once, each with its field and remedy, and no secret is repeated."""
    found = faults(
        number="4111111111111112",
        expiry="4444",
        security_code="98765",
        name="4111 1111 1111 1111",
        street="a\0b",
        city="x" * 101,
        country="USA",
    )
    assert [fault.field for fault in found] == [
        "card_number",
        "expiry",
        "security_code",
        "card_name",
        "street",
        "city",
        "country",
    ]
    assert all(fault.remedy for fault in found)
    said = " ".join(map(str, found))
    for secret in ("4111", "1112", "98765", "4444"):
        assert secret not in said


def test_card_shows_nothing_of_itself() -> None:
    """B61: neither repr, str, format nor a traceback shows any part of a card."""
    card = Card(number="4111111111111111", exp_month=12, exp_year=2029, security_code="987", name="Ann Example")
    try:
        raise ValueError(card)
    except ValueError as error:
        shown = repr(card) + str(card) + f"{card}" + "".join(traceback.format_exception(error))
    assert "Card()" in shown
    for secret in ("4111", "987", "2029", "Example"):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "paid by 4111 1111 1111 1111 on Monday",
        "x4111111111111111x",
        "4222222222222",
        "4111.1111.1111.1111",
        "on 2026-11-24 4111 1111 1111 1111",
        "４１１１１１１１１１１１１１１１",
    ],
)
def test_looks_like_a_card_number(text: str) -> None:
    """B61, B62: a number that passes Luhn is seen, solid or grouped, also inside a longer text."""
    assert looks_like_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",
        "411111111111",
        "invoice 0001234567",
        "2026-11-24 555-0100 x1234",
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "41111111-1111-1111-8111-111111111111",
        "41111111111111111111",
        "card_AbCdEfGhIjKlMnOpQrStUv",
        "1,250.00 USD; 1,250.00 USD; 1,250.00 USD",
    ],
)
def test_does_not_look_like_a_card_number(text: str) -> None:
    """B61: other numbers, dates beside telephone numbers, UUIDs and tokens pass."""
    assert not looks_like_card_number(text)


def test_number_in_mixed_notation_is_no_card() -> None:
    """B61: a date beside a telephone number is not refused, even if all their digits pass Luhn by chance."""
    check = luhn_complete("20261124555010")[-1]
    assert not looks_like_card_number(f"2026-11-24 555-010{check}")
    assert looks_like_card_number(f"2026-11-24-555-010{check}")


@given(
    digits=st.text("0123456789", min_size=12, max_size=18),
    separator=st.sampled_from(["", " ", "-", "."]),
    group=st.integers(1, 6),
    before=st.sampled_from(["", "a ", "no.", "(", "x"]),
)
def test_no_card_number_escapes(digits: str, separator: str, group: int, before: str) -> None:
    """B61: every length from 13 to 19, in groups of any size, is seen."""
    number = luhn_complete(digits)
    text = before + separator.join(number[i : i + group] for i in range(0, len(number), group))
    assert looks_like_card_number(text)
