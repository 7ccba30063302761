"""The clock as a producer: what is due of schedules becomes payments, by the same road as everybody's requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, tzinfo

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from books import admit, clock, schedules
from books.claim import Step
from producer.payments import Producer
from rules.errors import KeyReused, RequestRefused


class Quiet:
    """A wake for a producer whose caller wakes once, when all is recorded."""

    def batch(self, batch_id: int, step: Step, lanes: int) -> bool:
        """Nobody is woken."""
        return True

    def payment(self, payment_id: int, step: Step) -> bool:
        """Nobody is woken."""
        return True


def run(
    engine: Engine, producer: Producer, zone: tzinfo, most: int, look: Callable[[Connection, datetime], object]
) -> Counter[str]:
    """Run what is due of at most so many schedules, each in transactions of its own; how each went, counted.

    `look` is called first in each transaction that decides something, and may raise. Two that do this at once share the
    schedules: a schedule that the other one holds is passed over, and a date that it ran is left alone. A schedule that
    the database refuses is set aside with an alarm, and stops no other.
    """
    with engine.begin() as conn:
        now = clock.now(conn)
        look(conn, now)
        due = schedules.due(conn, now, most)
    went: Counter[str] = Counter()
    for schedule_id in due:
        try:
            went[_one(engine, producer, zone, schedule_id, look)] += 1
        except schedules.Overtaken:
            went["overtaken"] += 1
        except OperationalError:  # the database is away, or does not answer in time: nobody else fares better
            raise
        except SQLAlchemyError as error:
            with engine.begin() as conn:
                schedules.set_aside(conn, schedule_id, type(error).__name__, clock.now(conn))
            went["set aside"] += 1
    return went


def _one(
    engine: Engine, producer: Producer, zone: tzinfo, schedule_id: int, look: Callable[[Connection, datetime], object]
) -> str:
    with engine.begin() as conn:
        now = clock.now(conn)
        look(conn, now)
        ask = schedules.prepare(conn, schedule_id, zone, now)
    return "decided" if ask is None else _ask(engine, producer, zone, ask, look)


def _ask(
    engine: Engine,
    producer: Producer,
    zone: tzinfo,
    ask: schedules.Ask,
    look: Callable[[Connection, datetime], object],
) -> str:
    def first(conn: Connection) -> None:
        look(conn, clock.now(conn))
        schedules.claim(conn, ask)

    try:
        producer.pay(
            ask.request,
            caller=schedules.CALLER,
            by=f"schedule {ask.schedule_id}",
            first=first,
            scheduled=True,
            then=lambda conn, payment_id: schedules.made(conn, ask, payment_id, zone, clock.now(conn)),
        )
    except (RequestRefused, KeyReused) as refusal:
        faults = refusal.faults if isinstance(refusal, RequestRefused) else ()
        with engine.begin() as conn:
            now = clock.now(conn)
            look(conn, now)
            again = schedules.prepare(conn, ask.schedule_id, zone, now)
            if again is None:
                return "decided"
            if again != ask:  # what is owed, or the card, is another than when it was looked at: no fault of the date
                raise schedules.Overtaken from refusal
            if any(fault.remedy == admit.UNTIL_KNOWN for fault in faults):
                schedules.put_off(conn, ask, now)
                return "put off"
            schedules.refused(conn, ask, str(refusal), now)
        return "refused"
    return "payments"
