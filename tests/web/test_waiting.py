"""What waits for a person, as the office sees it."""

from __future__ import annotations

import pytest

from books.waiting import Kind
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, card
from tests.web.conftest import Visitor
from web.console.waiting import WORDS

__all__ = ["house", "sandbox", "sandbox_process"]


def test_nothing_waits(clerk: Visitor) -> None:
    """An empty list says so."""
    assert "Nothing waits." in clerk.get("/console/waiting").text


@pytest.mark.parametrize(("name", "looks_only"), [("ann", True), ("sue", False)])
def test_what_waits(house: House, visitor: Visitor, name: str, looks_only: bool) -> None:
    """R12: what waits is told with its sum and why, and leads to the payment; a clerk is told who deals with it."""
    visitor.log_in(name)
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000, card())
    house.work()
    house.sandbox.client.settle()
    house.void(payment, "paid <twice>", policy="ask")
    house.work()
    page = visitor.get("/console/waiting").text
    assert WORDS[Kind.REFUND][0] in page
    assert f'<a href="/console/payments/{payment}">{payment}</a>' in page
    assert "30.00 USD" in page
    assert "paid &lt;twice&gt;" in page
    assert ("A supervisor deals with these" in page) is looks_only


def test_every_kind_has_its_words() -> None:
    """Whatever waits is called by a name, with what can be done."""
    assert set(WORDS) == set(Kind)


def test_nobody_else_may_look(visitor: Visitor) -> None:
    """Without a log-in there is no list."""
    assert visitor.get("/console/waiting").status_code == 303
