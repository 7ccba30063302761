"""Locks are taken in one order (B3): whatever is done side by side to one customer, nobody waits in a ring."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from books import credit, sweep
from books.claim import Batch
from books.history import Move, Subject, advance
from rules import states
from rules.errors import DefrayError
from tasks import charge, post
from tests.flows.house import House, card

SECONDS = 1.5


def deadlocks(house: House) -> int:
    """How many rings the database has broken in its life."""
    house.do("SELECT pg_stat_force_next_flush()")
    return int(house.row("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").deadlocks)


def any_payment(house: House, state: str) -> int | None:
    """Some payment in this state."""
    rows = house.rows("SELECT id FROM payments WHERE state = :state ORDER BY random() LIMIT 1", state=state)
    return rows[0].id if rows else None


def test_everything_at_once_on_one_customer(house: House) -> None:
    """B3: paying, posting, charging, voiding, crediting, cancelling, looking up, reversing: no ring, books in order."""
    house.bill("C-1", {f"{number:03}": 700 + number for number in range(60)})
    house.bill("C-2", {f"{number:03}": 700 + number for number in range(60)})
    before = deadlocks(house)
    chance = random.Random(7)
    stop = time.monotonic() + SECONDS
    done: dict[str, int] = {}

    def pay() -> None:
        customer = chance.choice(["C-1", "C-2"])
        by_card = card() if chance.random() < 0.5 else None
        house.pay(chance.randint(100, 3000), by_card, customer=customer, as_credit=True, allow_overlap=True)

    def void() -> None:
        if payment := any_payment(house, "posted"):
            house.void(payment)

    def cancel() -> None:
        if payment := any_payment(house, chance.choice(["requested", "charging"])):
            house.cancel(payment)

    def use_credit() -> None:
        owner = house.row("SELECT id FROM customers ORDER BY random() LIMIT 1").id
        with house.context.transaction() as (conn, now):
            credit.apply_to_invoices(conn, owner, "USD", None, house.context.terms.today(now), now, "sue")

    def take_back() -> None:
        used = house.rows(
            "SELECT id FROM allocations WHERE credit_id IS NOT NULL AND reversed_minor = 0 ORDER BY random() LIMIT 1"
        )
        if used:
            with house.context.transaction() as (conn, now):
                today = house.context.terms.today(now)
                credit.take_back(conn, used[0].id, "wrong", today, now, "sue")

    def hasten() -> None:
        with house.context.transaction() as (conn, now):
            sweep.hasten(conn, None, now)

    def keep_doing(act: Callable[[], object]) -> None:
        while time.monotonic() < stop:
            try:
                act()
                done[act.__name__] = done.get(act.__name__, 0) + 1
            except DefrayError:
                pass  # somebody else was quicker: refused with a clear error

    acts = [pay, pay, void, cancel, use_credit, take_back, hasten, house.charge, house.post, house.reverse, house.sweep]
    with ThreadPoolExecutor(len(acts)) as threads:
        list(threads.map(keep_doing, acts))
    assert deadlocks(house) == before
    assert not [alarm for alarm in house.alarms() if "set_aside" in alarm]
    assert set(done) == {act.__name__ for act in acts}, "everything had its turn"
    house.advance(minutes=5)
    house.work()
    assert house.rows("SELECT id FROM payments WHERE state IN ('requested', 'charging')") == []
    charged = house.sandbox.client.card("4111111111111111")
    kept = house.row("SELECT coalesce(sum(charged_minor), 0) AS kept FROM payments WHERE state = 'posted'").kept
    assert charged.net == kept
    assert len({one.reference for one in charged.transactions if one.operation == "sale"}) == charged.charged


def test_a_batch_that_is_handed_in_again_while_it_is_worked_on(house: House) -> None:
    """B3, R15: the batch's row is no lock to wait for: its lanes and its producer don't wait for each other."""
    house.bill("C-1", {"A": 100})
    asked = [
        {"idempotency_key": f"row-{n}", "method": "check", "currency": "USD", "customer": "C-1", "amount_minor": 10}
        for n in range(5)
    ]
    told = {"label": "again", "caller": "shop", "by": "ann", "idempotency_key": "file-1"}
    batch = house.producer.submit(asked, **told).batch_id  # type: ignore[arg-type]
    assert batch is not None
    house.advance(minutes=1)
    before = deadlocks(house)
    reading, going_on = threading.Event(), threading.Event()

    def slowly() -> object:
        yield from [*asked, {**asked[0], "idempotency_key": "row-9"}]
        reading.set()
        going_on.wait(10)

    with ThreadPoolExecutor(2) as threads:
        producing = threads.submit(lambda: house.producer.submit(slowly(), **told))  # type: ignore[arg-type]
        assert reading.wait(10)
        posting = threads.submit(lambda: post.work(house.context, Batch(batch)))
        try:
            assert posting.result(5).posted == 5
        finally:
            going_on.set()
        assert producing.result(10).recorded == 1
    assert deadlocks(house) == before
    post.work(house.context, Batch(batch))
    assert house.invoices() == {"A": ("pending", 40)}


def test_no_payment_is_lost_to_skipped_locks(house: House) -> None:
    """D2: four lanes over one batch of two hundred card payments of seven customers: each is charged, each once."""
    for number in range(7):
        house.bill(f"C-{number}", {"A": 100_000})
    [token] = [one.token for one in house.producer.keep_cards([card()])]
    asked = [
        {
            "idempotency_key": f"row-{n}",
            "method": "credit_card",
            "card_token": token,
            "currency": "USD",
            "customer": f"C-{n % 7}",
            "amount_minor": 100 + n,
        }
        for n in range(200)
    ]
    receipt = house.producer.submit(asked, label="b", caller="shop", by="ann", idempotency_key="file-1")
    assert receipt.batch_id is not None
    scope = Batch(receipt.batch_id)
    with ThreadPoolExecutor(4) as threads:
        tallies = list(threads.map(lambda _: charge.work(house.context, scope, 2000), range(4)))
    left = house.row("SELECT count(*) AS left FROM payments WHERE state <> 'posted'").left
    assert left == 0
    assert sum(tally.posted for tally in tallies) == 200
    charged = house.sandbox.client.card("4111111111111111")
    assert charged.charged == 200
    assert charged.net == sum(100 + n for n in range(200))


def test_a_row_that_moved_on_is_not_moved_again(house: House) -> None:
    """B3: a move is made from the state that was read under the lock, or not at all."""
    house.bill("C-1", {"A": 100})
    payment = house.pay(100)
    stale = Move(payment, states.Payment.RETRYING, "cancel")
    with pytest.raises(RuntimeError, match="1 of 1 payments"), house.context.transaction() as (conn, now):
        advance(conn, Subject.PAYMENTS, [stale], now, "sue")
    assert house.state(payment) == "requested"
