"""Where a payment, a batch and everything stands, and a payment's whole story, as data."""

from __future__ import annotations

import pytest

from books import views
from books.history import tell
from rules.errors import NotFound
from sandbox.client import reset
from tests.flows.house import House, card

NO_FUNDS = "4000000000009995"


def ask(house: House, key: str, customer: str, amount: int, method: str = "check", **more: object) -> dict[str, object]:
    return {
        "idempotency_key": key,
        "customer": customer,
        "method": method,
        "currency": "USD",
        "amount_minor": amount,
        **more,
    }


def test_a_payment_tells_where_it_stands(house: House) -> None:
    """R15: a payment is found by its key, and its status tells what was asked for and what became of it."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(7000, card())
    house.work()
    with house.engine.connect() as conn:
        status = views.payment(conn, payment)
        assert views.find_payment(conn, status.caller, status.idempotency_key) == payment
        assert views.find_payment(conn, "another caller", status.idempotency_key) is None
    assert (status.state, status.customer, status.card) == ("posted", "C-1", "visa ending in 1111")
    assert (status.charged_minor, status.applied_minor, status.credited_minor) == (7000, 6000, 1000)


def test_a_payment_that_is_not_there(house: House) -> None:
    """What was never recorded is said to be missing."""
    with house.engine.connect() as conn, pytest.raises(NotFound, match="There is no payment 7"):
        views.payment(conn, 7)
    with house.engine.connect() as conn, pytest.raises(NotFound, match="There is no batch 7"):
        views.batch(conn, 7)


def test_a_batch_shows_what_went_wrong_first(house: House) -> None:
    """D4: a batch is counted in the database; what was declined or waits comes before what went well."""
    house.bill("C-1", {"A": 1000, "B": 2000, "C": 3000})
    [good, bad] = [sealed.token for sealed in house.producer.keep_cards([card(), card(NO_FUNDS)])]
    receipt = house.producer.submit(
        [
            ask(house, "1", "C-1", 1000, invoices=["A"]),
            ask(house, "2", "C-1", 2500, "credit_card", card_token=good, invoices=["B"]),
            ask(house, "3", "C-1", 3000, "credit_card", card_token=bad, invoices=["C"]),
        ],
        label="Monday",
        caller="shop",
        idempotency_key="b",
        by="ann",
    )
    assert receipt.batch_id is not None
    with house.engine.connect() as conn:
        before = views.batch(conn, receipt.batch_id)
    assert (before.payments, before.finished, before.waiting, before.ended) == (3, 0, 0, False)
    house.post(receipt.batch_id)
    house.charge(receipt.batch_id)
    with house.engine.connect() as conn:
        after = views.batch(conn, receipt.batch_id)
    assert (after.label, after.finished, after.waiting, after.ended) == ("Monday", 2, 1, True)
    assert after.by_state == {"posted": 2, "retrying": 1}
    assert [row.state for row in after.rows] == ["retrying", "posted", "posted"]
    assert after.sums == (views.Sums("USD", 3, 6500, 3500, 3000, 500),)


def test_everything_at_a_glance(house: House) -> None:
    """D1: what is due, unknown, waiting for a person or alarming is seen at one look, with each gateway's sums."""
    house.bill("C-1", {"A": 1000, "B": 2000, "C": 3000})
    refunded, declined = house.pay(1000, card(), invoices=["A"]), house.pay(2000, card(NO_FUNDS), invoices=["B"])
    house.work()
    house.sandbox.client.settle()
    house.void(refunded, policy="ask")
    house.work()
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    lost = house.pay(3000, card(), invoices=["C"])
    house.charge()
    with house.context.transaction() as (conn, now):
        tell(conn, "alarm.test", now, "test", "for this test", payment_id=lost)
        seen = views.overall(conn, now)
    assert seen.payments_by_state == {"charging": 1, "retrying": 1, "voided": 1}
    assert [(one.payment_id, one.state) for one in seen.unknown_outcomes] == [(lost, "unknown")]
    assert [one.payment_id for one in seen.refunds_awaiting_approval] == [refunded]
    assert [(due.step, due.scheduled, due.due) for due in seen.due] == [("charge", 1, 0), ("inquire", 1, 0)]
    assert [alarm.why for alarm in seen.alarms] == ["for this test"]
    [at] = seen.gateways
    assert (at.gateway, at.approved, at.approved_minor, at.declined, at.open) == ("payflow", 1, 1000, 1, 1)
    assert [one.payment_id for one in seen.latest] == [lost, declined, refunded]


def test_a_story_tells_all_that_happened(house: House) -> None:
    """R11: attempts with what each proved, what was applied and taken back, and the way of the money to the card."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(7000, card(), invoices=["A"])
    house.work()
    house.sandbox.client.settle()
    house.void(payment, "paid twice")
    house.work()
    with house.engine.connect() as conn:
        told = views.story(conn, payment)
    assert [(a.operation, a.state) for a in told.attempts][:2] == [("sale", "approved"), ("void", "declined")]
    booked = house.sandbox.client.transaction(operation="sale")
    assert told.attempts[0].reference == booked.reference
    assert [said.kind for said in told.attempts[0].evidence][:1] == ["reply"]
    assert [(a.invoice, a.amount_minor, a.reversed_minor) for a in told.applications] == [("A", 6000, 6000)]
    assert [(c.amount_minor, c.taken_back_minor) for c in told.credits] == [(1000, 1000)]
    assert [r.reason for r in told.reversals] == ["paid twice"]
    assert [event.to_state for event in told.events if event.what.startswith("payment.")] == [
        "requested",
        "charging",
        "posted",
        "voided",
    ]
    assert [invoice.invoice for invoice in told.invoices] == ["A"]
