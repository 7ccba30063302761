"""What a request to record a payment may say: each fault names its field and remedy, and all are told at once."""

from __future__ import annotations

from datetime import date

import pytest

from rules.charging import WhenOwedLess
from rules.errors import Fault
from rules.methods import Method
from rules.requests import InvoiceNamed, PaymentRequest, check, digest

TODAY = date(2026, 3, 31)
GOOD: dict[str, object] = {
    "idempotency_key": "order-7",
    "customer": "C-1",
    "method": "check",
    "number": "1001",
    "currency": "USD",
    "amount": "125.50",
}


def request(**changes: object) -> PaymentRequest:
    checked = check({**GOOD, **changes}, TODAY)
    assert isinstance(checked, PaymentRequest), checked
    return checked


def only_fault(**changes: object) -> Fault:
    raw = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    checked = check(raw, TODAY)
    assert isinstance(checked, list), "nothing was found wrong"
    assert len(checked) == 1, [str(fault) for fault in checked]
    return checked[0]


def test_a_plain_request() -> None:
    """R1: a request that names no invoices means all Pending ones, oldest first."""
    assert request() == PaymentRequest("order-7", "C-1", Method.CHECK, "USD", 12550, number="1001")


def test_a_full_request() -> None:
    """R2: invoices are paid in the order named, each up to its cap if it has one."""
    full = check(
        {
            "idempotency_key": "k",
            "customer": "C-1",
            "method": "credit_card",
            "currency": "JPY",
            "amount_minor": 500,
            "invoices": ["0007", {"number": "8", "cap": "300"}, {"number": "9", "cap_minor": 5}],
            "post_date": "2025-12-31",
            "notes": "Rang up at noon.\nWill send the rest.",
            "as_credit": True,
            "allow_overlap": True,
            "when_owed_less": "charge_reduced",
            "card_token": "tok_1",
        },
        TODAY,
    )
    assert full == PaymentRequest(
        "k",
        "C-1",
        Method.CREDIT_CARD,
        "JPY",
        500,
        invoices=(InvoiceNamed("0007"), InvoiceNamed("8", 300), InvoiceNamed("9", 5)),
        post_date=date(2025, 12, 31),
        notes="Rang up at noon.\nWill send the rest.",
        as_credit=True,
        allow_overlap=True,
        when_owed_less=WhenOwedLess.CHARGE_REDUCED,
        card_token="tok_1",
    )


@pytest.mark.parametrize(
    "amount",
    ["-50.00", "0", "", "1e3", "NaN", "٥٠", "1,000.00", " 10 ", "0.001", "12.345", "abc", 19.99, "1000000000000000"],
)
def test_amounts_that_are_refused(amount: object) -> None:
    """B26, B30: negative, zero, blank, exponents, foreign digits, separators, parts of a cent, floats, far too much."""
    fault = only_fault(amount=amount)
    assert fault.field == "amount"
    assert fault.remedy


@pytest.mark.parametrize("minor", [-1, 0, 10**15, 19.99, "100", True])
def test_minor_units_that_are_refused(minor: object) -> None:
    """B26, B30: minor units are a whole number from 1 to the ceiling; never a float, a text or a truth value."""
    assert only_fault(amount=..., amount_minor=minor).field == "amount_minor"


def test_one_of_two_amounts() -> None:
    """B30: an amount is given once, in one of its two forms."""
    assert only_fault(amount_minor=12550).problem == "given beside amount_minor"
    assert only_fault(amount=...).problem == "missing"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("currency", "XXX"),
        ("currency", "usd"),
        ("currency", None),
        ("method", "bitcoin"),
        ("method", None),
        ("customer", ""),
        ("customer", "   "),
        ("customer", 7),
        ("customer", "x" * 10_000),
        ("customer", "C\x00-1"),
        ("idempotency_key", None),
        ("idempotency_key", "k" * 10_000),
        ("idempotency_key", "4111 1111 1111 1111"),
        ("notes", "x" * 10_000),
        ("notes", "bell \x07"),
        ("notes", "card 4111-1111-1111-1111"),
        ("number", "1001\x1b[2J"),
        ("number", "9" * 10_000),
        ("post_date", "31.03.2026"),
        ("post_date", "2026-02-30"),
        ("post_date", "20260331"),
        ("post_date", "0026-03-31"),
        ("as_credit", "yes"),
        ("allow_overlap", 1),
        ("when_owed_less", "guess"),
        ("invoices", "0007"),
        ("invoices", []),
        ("invoices", 7),
    ],
)
def test_fields_that_are_refused(field: str, value: object) -> None:
    """B30, B69: whatever a field may not hold is one fault that names the field and the remedy."""
    fault = only_fault(**{field: value})
    assert fault.field == field
    assert fault.remedy
    assert "4111" not in str(fault)


@pytest.mark.parametrize("text", ["R & D = Sons", "x&AMT=1.00", "Zoë 🙂 <b>"])
def test_texts_that_are_kept_whole(text: str) -> None:
    """B16: signs, letters and emoji are fine in notes; they are kept as they are."""
    assert request(notes=text).notes == text


@pytest.mark.parametrize("method", ["cash", "paypal", "other", "credit_card"])
def test_a_number_on_what_carries_none(method: str) -> None:
    """R6: check and money order may carry a number, no other method may."""
    assert only_fault(method=method).field == "number"


@pytest.mark.parametrize("method", ["check", "cash"])
def test_a_card_on_what_takes_none(method: str) -> None:
    """R6: card fields are taken for credit_card only."""
    assert only_fault(method=method, number=None, card_token="tok_1").field == "card_token"


def test_an_invoice_named_twice() -> None:
    """B33: an invoice that is named twice is refused; leading zeros count, so 7 and 007 are two."""
    fault = only_fault(invoices=["7", "8", {"number": "7", "cap": "1.00"}])
    assert (fault.field, fault.value) == ("invoices[3]", "7")
    assert request(invoices=["7", "007"]).invoices == (InvoiceNamed("7"), InvoiceNamed("007"))


def test_faults_inside_a_named_invoice() -> None:
    """R2: a cap is an amount in the payment's currency; a misspelt field of a named invoice is told."""
    assert only_fault(invoices=[{"number": "7", "cap": "0.001"}]).field == "invoices[1].cap"
    fault = only_fault(invoices=[{"number": "7", "kap": "1.00"}])
    assert (fault.field, fault.remedy) == ("invoices[1].kap", "Did you mean cap?")
    assert only_fault(invoices=[{"cap": "1.00"}]).problem == "missing"


def test_an_unknown_field() -> None:
    """A field that nobody reads is a fault, answered with the nearest right name."""
    assert only_fault(invoice=["7"]).remedy == "Did you mean invoices?"


def test_all_faults_at_once() -> None:
    """All that is wrong with a request is told at once, each with its field."""
    checked = check(
        {"customer": "", "method": "cash", "number": "1", "currency": "USD", "amount": "-1", "invoices": ["7", "7"]},
        TODAY,
    )
    assert isinstance(checked, list)
    fields = [fault.field for fault in checked]
    assert sorted(fields) == ["amount", "customer", "idempotency_key", "invoices[2]", "number"]


@pytest.mark.parametrize("day", [date(2020, 1, 1), date(2030, 1, 1), "2026-03-31"])
def test_post_dates(day: object) -> None:
    """R5: past and future dates are allowed; none means today, or the day of the approval."""
    assert request(post_date=day).post_date is not None
    assert request().post_date is None


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "125.51"},
        {"number": "1002"},
        {"invoices": ["7"]},
        {"invoices": [{"number": "7", "cap": "1.00"}]},
        {"post_date": "2026-03-30"},
        {"notes": "x"},
        {"as_credit": True},
        {"allow_overlap": True},
        {"customer": "C-2"},
        {"when_owed_less": "charge_all"},
    ],
)
def test_other_content_has_another_digest(change: dict[str, object]) -> None:
    """R15: what was asked for decides, not the key nor how the amount was written."""
    assert digest(request(**change), None) != digest(request(), None)
    assert digest(request(idempotency_key="other"), None) == digest(request(), None)
    assert digest(request(amount="125.5"), None) == digest(request(), None)


def test_a_card_is_told_by_what_it_is() -> None:
    """R15: the same card entered again has a new token, but asks for the same."""
    one = request(method="credit_card", number=None, card_token="tok_1")
    two = request(method="credit_card", number=None, card_token="tok_2")
    assert digest(one, "print") == digest(two, "print") != digest(two, "other print")


def test_one_of_a_series() -> None:
    """C4: a card payment may say that it is one of a series; of others, and in other words, that makes no sense."""
    by_card = {"method": "credit_card", "number": None, "card_token": "tok_1"}
    assert request(**by_card, recurring=True).recurring
    assert not request(**by_card).recurring
    assert digest(request(**by_card, recurring=True), "print") != digest(request(**by_card), "print")
    assert only_fault(recurring=True).field == "recurring"
    assert only_fault(**by_card, recurring="yes").field == "recurring"
