"""The page of what the clock charges: schedules and the hold; and planned payments in the payment windows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from tests.flows.house import House
from tests.web.conftest import Books, Visitor
from tests.web.test_customer_payment import (
    at_once,
    house,
    opened,
    payment_of,
    sandbox,
    sandbox_process,
    sealed,
    settings,
    shown,
    told,
)
from tests.web.test_kept_cards import kept

__all__ = ["at_once", "house", "sandbox", "sandbox_process", "settings"]


@pytest.fixture
def customer(clerk: Visitor, books: Books) -> int:
    """A customer who owes, and let the office keep a card."""
    return kept(clerk, books)


def page_of(clerk: Visitor, customer: int) -> str:
    clerk.get(f"/console/customers/{customer}/schedules")
    return f"/console/customers/{customer}/schedules"


def made(clerk: Visitor, books: Books, customer: int, **fields: str) -> int:
    """Make a schedule on the page; its id."""
    address = page_of(clerk, customer)
    form = shown(clerk)
    card = str(books.one("SELECT id FROM kept_cards"))
    said = {"card": card, "currency": "USD", "unit": "month", "amount": "5.00", "idempotency_key": key_of(form)}
    answer = clerk.post(address, **{**said, **fields})
    assert answer.status_code == 303, told(answer)
    return int(books.one("SELECT max(id) FROM schedules"))


def key_of(form: dict[str, str]) -> str:
    return form["idempotency_key"]


def after(clerk: Visitor, answer: Any) -> str:
    """What the page says that an answer leads to."""
    assert answer.status_code == 303, told(answer)
    return told(clerk.get(answer.headers["location"]))


def test_a_schedule_is_made_skipped_paused_resumed_and_stopped(clerk: Visitor, books: Books, customer: int) -> None:
    """Each button says afterwards where the schedule stands; each but resume needs a reason."""
    schedule = made(clerk, books, customer, month_day="31", times="12")
    address = f"{page_of(clerk, customer)}/{schedule}"
    assert "on the last day of every month, ends after 12 payments" in told(clerk.seen)
    without = clerk.post(address, do="pause", reason="")
    assert (without.status_code, "Missing" in told(without)) == (422, True)
    assert "next on" in after(clerk, clerk.post(address, do="skip", reason="away"))
    assert "passed over: away" in told(clerk.get(page_of(clerk, customer)))
    assert "paused: moving house" in after(clerk, clerk.post(address, do="pause", reason="moving house"))
    assert "Nothing was done. The schedule is paused." in after(clerk, clerk.post(address, do="skip", reason="x"))
    assert "next on" in after(clerk, clerk.post(address, do="resume"))
    assert "ended: moved away" in after(clerk, clerk.post(address, do="stop", reason="moved away"))
    assert clerk.post(address, do="nothing", reason="x").status_code == 404
    assert clerk.post(f"/console/customers/{customer + 1}/schedules/{schedule}", do="resume").status_code == 404


WRONG: tuple[tuple[dict[str, str], str], ...] = (
    ({"amount": ""}, "Missing. Give amount"),
    ({"all_owed": "yes"}, "Given beside all_owed"),
    ({"card": "0"}, "Missing. Give the card token"),
    ({"every": "x"}, "Out of range"),
    ({"start": "2020-01-01"}, "Before today"),
    ({"notes": "4111 1111 1111 1111"}, "Looks like a card number"),
)


def test_what_is_refused_is_shown_again(clerk: Visitor, books: Books, customer: int) -> None:
    """The form comes back with what was typed, and each fault beside its field; a card's number never (C1)."""
    address = page_of(clerk, customer)
    card = str(books.one("SELECT id FROM kept_cards"))
    asked = {"card": card, "currency": "USD", "unit": "month", "amount": "5.00", "times": "7", "idempotency_key": "k"}
    for fields, said in WRONG:
        refused = clerk.post(address, **{**asked, **fields})
        assert (refused.status_code, said in told(refused), 'value="7"' in refused.text) == (422, True, True), fields
        assert "4111 1111" not in refused.text
    assert books.one("SELECT count(*) FROM schedules") == 0


def test_a_form_that_is_sent_twice_makes_one_schedule(clerk: Visitor, books: Books, customer: int) -> None:
    """R15: the key stands in the form; what was changed since is not saved, and that is said."""
    address = page_of(clerk, customer)
    card = str(books.one("SELECT id FROM kept_cards"))
    said = {"card": card, "currency": "USD", "unit": "week", "amount": "5.00", "idempotency_key": "twice"}
    assert [clerk.post(address, **said).status_code for _ in range(2)] == [303, 303]
    assert "was saved before" in after(clerk, clerk.post(address, **{**said, "amount": "6.00"}))
    assert books.one("SELECT count(*) FROM schedules") == 1


def test_a_hold_is_placed_warned_of_and_lifted(clerk: Visitor, books: Books, house: House, customer: int) -> None:
    """Who is there may be charged all the same, after a warning and a tick."""
    page_of(clerk, customer)
    at = f"/console/customers/{customer}/hold"
    assert clerk.post(at, reason="").status_code == 422
    assert clerk.post(at, reason="a letter", until="2020-01-01").status_code == 422
    assert "On hold until it is lifted: a letter (ann" in after(clerk, clerk.post(at, reason="a letter"))
    assert "On hold until it is lifted: a letter" in told(clerk.get(f"/console/customers/{customer}"))
    address, form = opened(clerk, customer)
    assert "although the customer is on hold" in told(clerk.seen)
    card = {"method": "credit_card", "kept_card": str(books.one("SELECT id FROM kept_cards")), "amount": "2.00"}
    refused = clerk.post(address, **{**form, **card})
    assert (refused.status_code, "Tick that it is charged all the same" in told(refused)) == (422, True)
    ticked = {**form, **card, "although_held": "yes", "allow_overlap": "yes"}
    assert clerk.post(address, **{**form, "amount": "1.00"}).status_code == 303, "a check is no charge"
    address, form = opened(clerk, customer)
    payment = payment_of(clerk.post(address, **{**ticked, **form, **card}))
    house.work()
    assert house.state(payment) == "posted"
    page_of(clerk, customer)
    assert "Payments that waited for that: 0" in after(clerk, clerk.post(f"{at}/lift"))
    assert "Nothing was done" in after(clerk, clerk.post(f"{at}/lift"))


def test_a_payment_is_planned_moved_and_seen(clerk: Visitor, books: Books, house: House, customer: int) -> None:
    """R13: with a day to charge on it is not waited for; its page moves it until that day."""
    address, form = opened(clerk, customer)
    card = {"method": "credit_card", "card_token": sealed(clerk), "amount": "2.00"}
    day = date(2037, 1, 31)
    past = clerk.post(address, **{**form, **card, "run_on": "2020-01-01"})
    assert (past.status_code, "Not after today" in told(past)) == (422, True)
    answer = clerk.post(address, **{**form, **card, "run_on": day.isoformat()})
    payment = int(answer.headers["location"].rpartition("/")[2])
    assert "Planned for" in told(clerk.get(f"/console/payments/{payment}"))
    at = f"/console/payments/{payment}/move"
    assert clerk.post(at, run_on="soon").status_code == 422
    assert clerk.post(at, run_on="2020-01-01").status_code == 422
    later = (day + timedelta(days=1)).isoformat()
    assert f"It is planned for {later}" in after(clerk, clerk.post(at, run_on=later))
    house.work()
    assert house.state(payment) == "requested"
    assert "planned for" in told(clerk.get(f"/console/customers/{customer}"))
