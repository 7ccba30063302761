"""Ways to pay, their numbers, and texts (R6)."""

from __future__ import annotations

import pytest

from rules.errors import Fault
from rules.methods import Method, check_card_use, check_method, check_number
from rules.texts import NOTES_MAX, check_text


def test_the_six_methods() -> None:
    """R6: the methods have exactly these names; two of them carry a number."""
    assert list(Method) == ["check", "money_order", "credit_card", "cash", "paypal", "other"]
    assert [method for method in Method if method.carries_number] == [Method.CHECK, Method.MONEY_ORDER]


@pytest.mark.parametrize("value", ["Check", "cheque", "", " check", None, 5, ["check"]])
def test_unknown_method(value: object) -> None:
    """R6: another method is refused with the list of those that there are."""
    fault = check_method(value)
    assert isinstance(fault, Fault)
    assert fault.field == "method"
    assert "money_order" in fault.remedy


@pytest.mark.parametrize("method", list(Method))
def test_known_method(method: Method) -> None:
    """R6: a known method is itself."""
    assert check_method(method.value) is method


@pytest.mark.parametrize("method", list(Method))
def test_number_by_method(method: Method) -> None:
    """R6: a number on a check or money order is kept, on every other method refused; none is always fine."""
    assert check_number(method, None) is None
    assert check_number(method, "") is None
    number = check_number(method, " 00123-A ")
    if method in {Method.CHECK, Method.MONEY_ORDER}:
        assert number == "00123-A"
    else:
        assert isinstance(number, Fault)
        assert (number.field, number.value) == ("number", " 00123-A ")
        assert method in number.problem


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("1" * 41, "too long"),
        ("12\x0734", "control character"),
        ("12\n34", "control character"),
        ("4111 1111 1111 1111", "card number"),
        (4111111111111111, "card number"),
        (12.5, "not a text"),
        (True, "not a text"),
    ],
)
def test_bad_check_number(number: object, problem: str) -> None:
    """R6, B61: a check's number is short printable text and no card number; a card number is not repeated."""
    fault = check_number(Method.CHECK, number)
    assert isinstance(fault, Fault)
    assert problem in fault.problem
    assert "4111" not in str(fault)


def test_check_number_as_a_number() -> None:
    """R6: JSON may give the number as an integer; blanks alone are none."""
    assert check_number(Method.CHECK, 1044) == "1044"
    assert check_number(Method.CHECK, "   ") is None
    assert check_number(Method.CHECK, "1" * 40) == "1" * 40


def test_card_is_for_credit_card_only() -> None:
    """R6: card fields are taken for credit_card only."""
    assert check_card_use(Method.CREDIT_CARD, True) is None
    assert check_card_use(Method.CASH, False) is None
    fault = check_card_use(Method.CASH, True)
    assert isinstance(fault, Fault)
    assert "cash" in fault.problem


@pytest.mark.parametrize(
    "text",
    ["", "plain", "R & D = Sons", "x&AMT=1.00", "naïve Ünïcode 漢字", "👩‍👩‍👧 🙂 🇩🇪", "שלום", "a" * 2_000],
)
def test_texts_that_are_fine(text: str) -> None:
    """B16: signs, other scripts and emoji are text like any other."""
    assert check_text("notes", text, NOTES_MAX) == text


@pytest.mark.parametrize(
    ("text", "problem", "shown"),
    [
        ("a\0b", "place 2", "U+0000"),
        ("\x1b[31mred", "place 1", "U+001B"),
        ("a\rb", "place 2", "U+000D"),
        ("a\nb", "place 2", "U+000A"),
        ("a\u202eb", "place 2", "U+202E"),
        ("a\u2028b", "place 2", "U+2028"),
        ("a\x85b", "place 2", "U+0085"),
        ("a\ud800b", "place 2", "U+D800"),
        ("a" * 10_000, "too long", "10,000 characters"),
        (5, "not a text", ""),
        (None, "not a text", ""),
    ],
)
def test_texts_that_are_refused(text: object, problem: str, shown: str) -> None:
    """Control characters and ten thousand characters are refused, with the place or the limit."""
    fault = check_text("notes", text, NOTES_MAX)
    assert isinstance(fault, Fault)
    assert problem in fault.problem
    assert fault.value == shown
    if "long" in problem:
        assert "2,000" in fault.remedy


def test_lines_where_they_are_allowed() -> None:
    """A text of several lines keeps them, with one kind of line end; outer blanks go."""
    assert check_text("notes", " one\r\ntwo\tthree\n", NOTES_MAX, lines=True) == "one\ntwo\tthree"
    assert isinstance(check_text("notes", "one\rtwo", NOTES_MAX, lines=True), Fault)
