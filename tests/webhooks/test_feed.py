"""Issue 6: the feed never skips and never repeats, whatever commits, rolls back or draws ids meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import pytest
from sqlalchemy import Connection, create_engine, text

from books import feed
from rules.events import BY_WHAT
from tests.flows.conftest import story
from tests.flows.house import VISA, House, card
from tests.webhooks.conftest import complete

__all__ = ["story"]
LOST = "4000000000009987"
_WRITE = text("""
    WITH c AS (INSERT INTO customers (number, name, created_at) VALUES (:number, 'x', now()) RETURNING id)
    INSERT INTO events (at, what, customer_id, by) SELECT now(), 'invoice.created', id, 'x' FROM c RETURNING id""")


class Reader:
    """An app that goes on by its cursor, a few events at a time."""

    def __init__(self, house: House) -> None:
        complete(house)
        self._house = house
        with house.engine.begin() as conn:
            self.after = feed.settle(conn)
        self.seen: list[int] = []

    def look(self) -> bool:
        """Read one page; whether there is more."""
        with self._house.engine.begin() as conn:
            feed.settle(conn)
        with self._house.engine.connect() as conn:
            page = feed.read(conn, self.after, 3, (), None)
        self.seen += [one.id for one in page.events]
        self.after = page.after
        return page.more

    def finish(self) -> list[int]:
        """All that it has seen, when all has ended."""
        complete(self._house)
        while self.look():
            pass
        return self.seen


def write(conn: Connection, number: str) -> int:
    """A subject and its event, in the transaction that is open."""
    return int(conn.execute(_WRITE, {"number": number}).scalar_one())


@pytest.mark.parametrize("seed", range(2))
def test_interleaved(house: House, seed: int) -> None:
    """Real transactions in an order drawn by lot, with rollbacks, savepoints, gaps, and a reader between: each once."""
    draw, numbers, reader = random.Random(seed), map(f"C-{seed}-{{}}".format, count()), Reader(house)
    committed: set[int] = set()
    with ExitStack() as ends:
        writers = [ends.enter_context(house.engine.connect()) for _ in range(5)]
        written: list[list[int]] = [[] for _ in writers]
        for _ in range(150):
            place = draw.randrange(5)
            writer, ids = writers[place], written[place]
            match draw.choice(("write", "write", "take back", "gap", "commit", "roll back", "read", "read")):
                case "write":
                    ids.append(write(writer, next(numbers)))
                case "take back":
                    with writer.begin_nested() as some:
                        write(writer, next(numbers))
                        some.rollback()
                case "gap":
                    writer.execute(text("SELECT nextval('events_id_seq')"))
                case "commit":
                    writer.commit()
                    committed.update(ids)
                    ids.clear()
                case "roll back":
                    writer.rollback()
                    ids.clear()
                case "read":
                    reader.look()
            assert set(reader.seen) <= committed
    assert reader.finish() == sorted(committed)


def test_side_by_side(house: House) -> None:
    """Writers that really run at once, and a reader that never rests: each event once, in order."""
    reader, committed, lock = Reader(house), [], threading.Lock()

    def busy(name: str) -> None:
        draw = random.Random(name)
        for number in range(40):
            with house.engine.connect() as conn:
                ids = [write(conn, f"{name}-{number}-{each}") for each in range(draw.randrange(1, 4))]
                if draw.random() < 0.2:
                    conn.rollback()
                    continue
                conn.commit()
            with lock:
                committed.extend(ids)

    threads = [threading.Thread(target=busy, args=(name,)) for name in ("ann", "bob", "cat")]
    for one in threads:
        one.start()
    while any(one.is_alive() for one in threads):
        reader.look()
    for one in threads:
        one.join()
    assert reader.finish() == sorted(committed)


def test_other_databases_hold_nothing_back(house: House) -> None:
    """A transaction of another database of the server writes no event of ours: the feed does not wait for it."""
    reader = Reader(house)
    other = create_engine(house.engine.url.set(database="postgres"))
    with other.connect() as theirs, house.engine.connect() as ours:
        theirs.execute(text("SELECT pg_current_xact_id()"))
        ours_written = write(ours, "C-1")
        reader.look()
        assert reader.seen == []
        ours.commit()
        assert reader.finish() == [ours_written]
    other.dispose()


def test_readers_wait_for_nobody(house: House) -> None:
    """While somebody moves the horizon, another reader is answered at once, up to where it was."""
    reader = Reader(house)
    with house.engine.connect() as at_it:
        at_it.execute(text("SELECT FROM event_horizon FOR NO KEY UPDATE"))
        with house.engine.begin() as ours:
            written = write(ours, "C-1")
        reader.look()
        assert reader.seen == []
    assert reader.finish() == [written]


def test_no_id_is_drawn_in_advance(connection: Connection) -> None:
    """The horizon's premise: a session draws an id when it writes the event, none before."""
    cached = text("SELECT seqcache FROM pg_sequence WHERE seqrelid = CAST('events_id_seq' AS regclass)")
    assert connection.execute(cached).scalar_one() == 1


@contextmanager
def none_before_its_subject(house: House) -> Iterator[None]:
    """A public event whose transaction had no number yet is refused meanwhile."""
    names = ", ".join(f"'{what}'" for what in BY_WHAT)
    house.do(f"""
        CREATE FUNCTION too_early() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF pg_current_xact_id_if_assigned() IS NULL THEN RAISE EXCEPTION '% before its subject', NEW.what; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER too_early BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.what IN ({names}))
        EXECUTE FUNCTION too_early()""")
    try:
        yield
    finally:
        house.do("DROP TRIGGER too_early ON events; DROP FUNCTION too_early()")


def test_written_after_its_subject(house: House) -> None:
    """The horizon's other premise: a transaction has its number before it draws a public event's id."""
    with none_before_its_subject(house):
        house.bill("C-1", {"A-1": 500, "A-2": 700})
        over = house.pay(1300)
        house.work()
        house.void(over)
        charged, cancelled = house.pay(500, card(VISA), invoices=["A-1"]), house.pay(100, card(VISA), invoices=["A-2"])
        house.cancel(cancelled)
        house.work()
        house.sandbox.client.settle()
        house.void(charged)
        house.work()
        same_day = house.pay(500, card(VISA), invoices=["A-1"])
        house.work()
        house.void(same_day)
        house.pay(100, card(LOST), invoices=["A-2"])
        house.work()
        rows = [{"idempotency_key": "1", "customer": "C-1", "currency": "USD", "method": "cash", "amount_minor": 5}]
        batch = house.producer.submit(rows, label="b", caller="shop", idempotency_key="b", by="ann")
        house.post(batch.batch_id)
        house.advance(minutes=1)
        house.sweep()
    told = house.rows("SELECT what, customer_id, batch_id FROM events ORDER BY id")
    public = {row.what for row in told if row.what in BY_WHAT}
    by_the_clock = {
        what for what in BY_WHAT if what.startswith(("card.", "schedule.", "customer.", "payment.scheduled"))
    }
    elsewhere = {"payment.moved", "payment.retrying", "payment.review", "reversal.failed", "reversal.refunded"}
    assert set(BY_WHAT) - public - by_the_clock <= elsewhere
    assert [row for row in told if row.what in BY_WHAT and row.customer_id is None and row.batch_id is None] == []
    with house.engine.connect() as conn:
        write(conn, "C-2")
        with pytest.raises(RuntimeError, match="its own"):
            feed.settle(conn)
