"""R16: what is tried again, when and why, as the office sees it."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, card
from tests.web.conftest import Visitor
from web.console import retries

__all__ = ["house", "sandbox", "sandbox_process"]

NO_FUNDS = "4000000000009995"


def declined(house: House, customer: str) -> int:
    """A payment that is tried again."""
    house.bill(customer, {f"{customer}-1": 1250})
    payment = house.pay(1250, card(NO_FUNDS), customer=customer)
    house.work()
    return payment


def test_what_is_tried_again(house: House, clerk: Visitor) -> None:
    """R16: each attempt with its day, its reason and how many were made; the day is one of those counted above."""
    assert "Nothing is to be tried again." in clerk.get("/console/retries").text
    payment = declined(house, "C-1")
    due_at = house.payment(payment).due_at
    page = clerk.get("/console/retries").text
    assert f'<a href="/console/payments/{payment}">{payment}</a>' in page
    assert "not enough funds" in page
    assert f'<h2 id="day-{due_at.date()}">' in page
    assert f'href="/console/retries?day={due_at.date()}"' in page
    assert f"{payment}</a>" in clerk.get(f"/console/retries?day={due_at.date()}").text
    assert "Nothing is to be tried again after that." in clerk.get("/console/retries?day=2099-01-01").text


def test_page_by_page(house: House, clerk: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later ones are on pages of their own."""
    monkeypatch.setattr(retries, "MOST", 1)
    both = {declined(house, "C-1"), declined(house, "C-2")}
    page = clerk.get("/console/retries").text
    [first] = [one for one in both if f"payments/{one}" in page]
    following = unquote(page.split('href="/console/retries?due=')[1].split('"')[0].replace("&amp;", "&"))
    due, _, rest = following.partition("&")
    page = clerk.get("/console/retries", params={"due": due, "payment": rest.removeprefix("payment=")}).text
    assert [one for one in both if f"payments/{one}" in page] == [*(both - {first})]
    assert "Later ones" not in page


def test_not_a_day(clerk: Visitor) -> None:
    """What is no day is said to be none."""
    assert clerk.get("/console/retries?day=tomorrow").status_code == 422


def test_nobody_else_may_look(visitor: Visitor) -> None:
    """Without a log-in there is no calendar."""
    assert visitor.get("/console/retries").status_code == 303
