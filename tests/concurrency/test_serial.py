"""What is done at once to one customer ends as if it was done one after another; `make race` goes on for longer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from books import claim, clock
from books.bill import Kept, NewCustomer, NewInvoice, record_customers, record_invoices
from books.void_invoice import void_invoice
from rules.errors import RequestRefused
from tests.concurrency.acts import BILLED, new_copy
from tests.concurrency.race import ALWAYS, rounds, until_waiting, wrong_books
from tests.concurrency.stage import Stage, stage
from tests.simulation.world import VISA

ROUNDS = 8


@pytest.fixture
def built(engine: Engine, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage on this process's database, which is emptied afterwards."""
    with stage(database_url, redis_url, str(tmp_path / "keys.json")) as made:
        yield made


def test_at_once_is_as_one_by_one(built: Stage) -> None:
    """B3: payments, voids, credits, an import and others at once on one customer: no ring, and a serial end."""
    before = built.deadlocks()
    for ran in rounds(built, 1, ROUNDS):
        assert set(ALWAYS) <= set(ran.names)
        assert ran.is_serial, ran.difference()
    assert wrong_books(built) == []
    assert built.deadlocks() == before


def test_without_the_customers_lock_it_is_not(built: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """B3: the check can fail: where nobody waits for the customer, ends come that no order explains."""
    unlocked = text("SELECT id FROM customers WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id")
    monkeypatch.setattr(claim, "_LOCK", unlocked)
    monkeypatch.setattr("tests.concurrency.race.ORDERS_MAX", 3)
    assert any(_goes_wrong(built, seed) for seed in range(1, 9))


def _goes_wrong(built: Stage, seed: int) -> bool:
    try:
        return not all(ran.is_serial for ran in rounds(built, seed, 1))
    except RuntimeError:
        return True
    except DBAPIError as error:  # a constraint that holds, or a ring
        if isinstance(error, OperationalError) and not isinstance(error.orig, DeadlockDetected):
            raise
        return True


def test_an_invoice_that_is_voided_while_a_request_waits(built: Stage) -> None:
    """R1: a request waits for the customer while an invoice that it names is voided: it is refused."""
    copy = new_copy(built, built.producer.keep_cards([VISA])[0].token)
    with ThreadPoolExecutor(1) as threads:
        with built.context.transaction() as (conn, now):
            claim.customers(conn, [copy.id])
            paying = threads.submit(copy.pay, "late", 5000, invoices=["C", "E"])
            until_waiting(built, lambda waiting: waiting > 0)
            void_invoice(conn, copy.invoices["E"], "never sent", now, "sue")
        with pytest.raises(RequestRefused, match=r"invoices \(E\): the invoice is void"):
            paying.result(30)


@pytest.mark.parametrize("what", ["customers", "invoices"])
def test_the_same_is_recorded_at_once_in_another_order(built: Stage, what: str) -> None:
    """B3: two apps that record the same customers, or invoices, in another order: the second finds them, no ring."""
    before = built.deadlocks()
    if what == "invoices":
        with built.engine.begin() as conn:
            _record(conn, "customers", "AMZ")

    def record(names: str) -> list[bool]:
        with built.engine.begin() as conn:
            return _record(conn, what, names)

    with ThreadPoolExecutor(2) as threads:
        with built.engine.connect() as holder:
            _record(holder, what, "M")
            both = [threads.submit(record, "AMZ"), threads.submit(record, "ZMA")]
            until_waiting(built, lambda waiting: waiting == len(both))
            holder.rollback()
        assert sorted(sum(one.result(30)) for one in both) == [0, 3]
    assert built.deadlocks() == before


def test_two_files_bring_the_same_keys_in_another_order(built: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """R15, B3: the second of a caller's files begins when the first is recorded, and finds its payments: no ring."""
    monkeypatch.setattr("producer.payments.GROUP_REQUESTS", 1)
    copy = new_copy(built, built.producer.keep_cards([VISA])[0].token)
    before = built.deadlocks()
    begun = Event()

    def rows(keys: str) -> Iterator[Mapping[str, object]]:
        for key in keys:
            if begun.is_set() and keys == "AZ":
                until_waiting(built, lambda waiting: waiting > 0)
            yield copy.request(key, "check", 100)
            begun.set()

    def hand_in(keys: str) -> int:
        told = {"label": keys, "caller": "race", "idempotency_key": copy.key(keys), "by": "ann"}
        return built.producer.submit(rows(keys), **told).recorded  # type: ignore[arg-type]

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(hand_in, "AZ")
        assert begun.wait(30)
        second = threads.submit(hand_in, "ZA")
        assert (first.result(30), second.result(30)) == (2, 0)
    assert built.deadlocks() == before


def _record(conn: Connection, what: str, names: str) -> list[bool]:
    """Record one of each name; which of them are new."""
    now = clock.now(conn)
    if what == "customers":
        return [kept.new for kept in record_customers(conn, [NewCustomer(name) for name in names], now, "app")]
    new = [NewInvoice(name, "1", BILLED, BILLED, "USD", 100) for name in names]
    return [kept.new for kept in record_invoices(conn, new, now, "app") if isinstance(kept, Kept)]
