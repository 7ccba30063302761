"""R8a, B01: who has the right may say that a card is charged although an overlapping outcome is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from rules.errors import RequestRefused
from sandbox.client import reset
from tests.flows.house import House, card


@pytest.fixture
def unknown(house: House) -> int:
    """A payment that was charged and whose answer was lost."""
    house.bill("C-1", {"A": 1000})
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    payment = house.pay(1000, card())
    house.charge()
    assert house.sales(payment) == ["unknown"]
    return payment


def pay(house: House, **how: Any) -> int:
    asked = {
        "idempotency_key": next(house.keys),
        "customer": "C-1",
        "method": "credit_card",
        "currency": "USD",
        "amount_minor": 1000,
    }
    return house.producer.pay({**asked, **how.pop("fields", {})}, card(), caller="console", by="sue", **how).payment_id


def test_both_were_meant(house: House, unknown: int) -> None:
    """It is charged at once, and who allowed it stands in its history; what came twice is a credit (R3)."""
    second = pay(house, allow_unknown=True)
    told = house.row("SELECT by, why FROM events WHERE what = 'payment.allowed_although_unknown'")
    assert told == ("sue", f"allowed although the outcome of payment {unknown} is unknown")
    house.charge()
    assert house.state(second) == "posted"
    house.advance(hours=1)
    house.work()
    assert house.state(unknown) == "posted"
    assert (house.invoices()["A"], house.credit()) == (("paid", 0), 1000)


def test_no_request_can_say_it(house: House, unknown: int) -> None:
    """A request has no such field, and allow_overlap does not cover it."""
    with pytest.raises(RequestRefused, match="no such field"):
        pay(house, fields={"allow_unknown": True})
    with pytest.raises(RequestRefused, match=f"outcome of payment {unknown}"):
        pay(house, fields={"allow_overlap": True})


def test_nothing_to_allow(house: House) -> None:
    """Where no outcome is unknown the history says nothing of it."""
    house.bill("C-1", {"A": 1000})
    pay(house, allow_unknown=True)
    assert house.rows("SELECT FROM events WHERE what = 'payment.allowed_although_unknown'") == []
