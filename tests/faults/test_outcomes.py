"""Outcomes that cannot be recorded, cannot be found out, or have become unwanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from books import clock, inquire
from sandbox.client import page, reset
from tasks.context import terms
from tests.faults.plant import Plant, Silent, declined_once, until, visa


@contextmanager
def poison(plant: Plant, payment_id: int) -> Iterator[None]:
    """Let the database refuse to post one payment."""
    plant.do("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poisoned'; END $$")
    plant.do(
        "CREATE TRIGGER poison BEFORE UPDATE ON payments FOR EACH ROW"
        f" WHEN (NEW.id = {payment_id} AND NEW.state = 'posted') EXECUTE FUNCTION refuse()"
    )
    try:
        yield
    finally:
        plant.do("DROP FUNCTION refuse() CASCADE")


def test_poisoned_row(plant: Plant) -> None:
    """Section 3: what cannot be recorded is set aside with an alarm, its neighbours commit; mended, it ends well."""
    plant.worker()
    cards = visa(40)
    plant.producer = plant.producer_waking(Silent())
    batch = plant.hand_in(cards)
    poisoned = plant.rows("SELECT id FROM payments ORDER BY id OFFSET 20 LIMIT 1")[0].id
    with poison(plant, poisoned):
        plant.wake.batch(batch, "charge", 1)
        plant.wait_for_payments(posted=39, charging=1)
        until(plant.alarms, "an alarm")
        assert plant.alarms() == ["alarm.outcome_set_aside"]
        assert plant.charged(cards) == [1] * 40
        assert plant.sales() == {"approved": 39, "started": 1}
        plant.advance(minutes=5)
        plant.sweep()  # it is looked up, and again cannot be recorded
        until(lambda: len(plant.alarms()) == 2, "a second alarm")
        assert plant.payments() == {"posted": 39, "charging": 1}
    plant.advance(minutes=5)
    plant.sweep()
    plant.wait_for_payments(posted=40)
    plant.check()


def each_asked(plant: Plant, times: int) -> bool:
    """Each was asked about so often, and what was heard is recorded: only then is it known when to ask again."""
    rows = plant.rows(
        "SELECT DISTINCT t.asked, (SELECT count(*) FROM evidence e WHERE e.gateway_transaction_id = t.id"
        " AND e.kind = 'inquiry') AS recorded FROM gateway_transactions t"
    )
    return [(row.asked, row.recorded) for row in rows] == [(times, times)]


def test_inquiry_down_for_a_day(plant: Plant) -> None:
    """B12: a lost answer that nobody can look up stays unknown, whatever the clock says, until a person closes it."""
    sandbox = plant.sandbox.client
    sandbox.scenario(after=[reset()], operation="sale", times=0)
    sandbox.scenario(before=[page(503)], operation="inquiry", times=0)
    plant.worker(concurrency=1)
    cards = visa(5)
    plant.hand_in(cards)
    plant.wait_for_sales(unknown=5)
    for times, hours in enumerate((1, 1, 1, 2, 3, 8, 8, 8), start=1):
        plant.advance(hours=hours)
        plant.sweep()
        until(partial(each_asked, plant, times), f"each is asked about {times} times")
    until(lambda: plant.alarms() == ["alarm.unknown_outcome"] * 5, "five alarms")
    assert plant.sales() == {"unknown": 5}
    assert plant.payments() == {"charging": 5}
    assert plant.charged(cards) == [1] * 5
    sales = [request for request in sandbox.requests(1000) if request.operation == "sale"]
    assert len(sales) == 5
    [closed] = plant.rows("SELECT min(id) AS id FROM payments")
    with plant.engine.begin() as conn:
        books_terms = terms(plant.settings, {})
        inquire.resolve(
            conn, closed.id, "approved", "the gateway's support says so", books_terms, clock.now(conn), "sue"
        )
    assert plant.payments() == {"charging": 4, "posted": 1}
    sandbox.clear()
    plant.advance(hours=8)
    plant.sweep()
    plant.wait_for_payments(posted=5)
    plant.check()


def test_paid_by_check_meanwhile(plant: Plant) -> None:
    """R8, B04: a check that pays the invoice between decline and retry; the card is not charged at all."""
    plant.worker()
    cards = declined_once(40)
    plant.hand_in(cards)
    plant.wait_for_payments(retrying=40)
    paid = plant.rows(
        "SELECT c.number AS customer, i.number, i.balance_minor"
        " FROM payments p JOIN invoices i ON i.id = p.invoice_ids[1] JOIN customers c ON c.id = i.customer_id"
        " ORDER BY p.id LIMIT 20"
    )
    plant.producer.submit(
        [
            {
                "idempotency_key": f"check-{one.number}",
                "method": "check",
                "currency": "USD",
                "customer": one.customer,
                "amount_minor": one.balance_minor,
                "invoices": [one.number],
            }
            for one in paid
        ],
        label="checks",
        caller="office",
        idempotency_key="checks",
        by="bob",
    )
    plant.wait_for_payments(retrying=40, posted=20)
    by_hand = plant.start("retry", ("python", "-m", "cli", "retry", "--now"))
    assert by_hand.process.wait(30) == 0, by_hand.output
    for _ in range(2):
        plant.celery.send_task("defray.retry", queue="scheduled")
        plant.sweep()
    plant.wait_for_payments(cancelled=20, posted=40)
    assert {row.reason for row in plant.rows("SELECT reason FROM payments WHERE state = 'cancelled'")} == {
        "no longer owed"
    }
    assert {plant.sandbox.client.card(card).declined for card in cards} == {1}
    assert len([r for r in plant.sandbox.client.requests(1000) if r.operation == "sale"]) == 60
    plant.check(never=cards[:20])
