"""R16: the calendar of what is tried again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from books import retries
from rules.calendar import begins, business_day
from tests.books.plans import analyze
from tests.flows.house import House

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
ZONE = ZoneInfo("America/New_York")


def schedule(house: House, *due: datetime, others: int = 0) -> list[int]:
    """Payments that are tried again at these moments, beside others that are done; the ids."""
    house.bill("C-1", {"A": 100})
    house.do(
        """
        INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,
            as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at, recorded_by,
            card_token, card_brand, card_last_four, gateway, attempts, next_step, due_at, reason)
        SELECT c.id, 'test', d.place::text, '', 'credit_card', 'USD', 100, true, true, 'ask', 100, 'retrying', d.at,
               'ann', 'token', 'visa', '1111', 'payflow', 1, 'charge', d.at, 'not enough funds'
        FROM customers c, unnest(CAST(:due AS timestamptz[])) WITH ORDINALITY AS d(at, place)""",
        due=list(due),
    )
    house.do(
        """
        INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,
            as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at, recorded_by)
        SELECT c.id, 'others', n::text, '', 'check', 'USD', 100, true, true, 'ask', 0, 'cancelled', now(), 'ann'
        FROM customers c, generate_series(1, :others) AS n""",
        others=others,
    )
    return [row.id for row in house.rows("SELECT id FROM payments WHERE caller = 'test' ORDER BY id")]


def forget(house: House) -> None:
    """Such payments have no story that an audit would find."""
    house.do("DELETE FROM payments")


def test_page_by_page(house: House) -> None:
    """R16: the next attempt first; those of one moment in the order of the payments, none twice and none left out."""
    later = START + timedelta(hours=1)
    first, second, third = schedule(house, later, START, START)
    with house.engine.connect() as conn:
        found = retries.scheduled(conn, START, 0, 2)
        assert [one.payment_id for one in found] == [second, third]
        assert (found[0].why, found[0].attempts, found[0].card) == ("not enough funds", 1, "visa ending in 1111")
        assert [one.payment_id for one in retries.scheduled(conn, START, second, 9)] == [third, first]
        assert [one.payment_id for one in retries.scheduled(conn, START, third, 9)] == [first]
    forget(house)


def test_days_are_the_business_s(house: House) -> None:
    """R5: a day is a day in the business's zone; what is overdue is due today; what lies beyond is not counted."""
    late_evening = datetime(2026, 3, 4, 4, 30, tzinfo=UTC)  # of the third, in New York
    schedule(house, START - timedelta(days=2), START, late_evening, START + timedelta(days=40))
    with house.engine.connect() as conn:
        found = retries.days(conn, START, START + timedelta(days=30), ZONE)
    assert found == (retries.Day(date(2026, 3, 2), 2), retries.Day(date(2026, 3, 3), 1))
    forget(house)


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/New_York", date(2027, 3, 14)),
        ("America/New_York", date(2027, 11, 7)),
        ("Europe/London", date(2027, 10, 31)),
        ("Africa/Cairo", date(2027, 4, 30)),  # it begins at 1 o'clock
        ("Asia/Kathmandu", date(2028, 2, 29)),
        ("Pacific/Kiritimati", date(2028, 2, 29)),
        ("Pacific/Apia", date(2011, 12, 31)),  # its eve was the 29th
    ],
)
def test_the_database_has_the_same_days(house: House, zone: str, day: date) -> None:
    """R5: the first and the last moment of a day are counted on it, and what is due next is not: as rules reckon it."""
    there = ZoneInfo(zone)
    begin, end, moment = begins(day, there), begins(day + timedelta(days=1), there), timedelta(microseconds=1)
    schedule(house, begin - moment, begin, end - moment, end)
    with house.engine.connect() as conn:
        found = retries.days(conn, begin - moment, end, there)
    eve = business_day(begin - moment, there)
    assert (eve < day, found) == (True, (retries.Day(eve, 1), retries.Day(day, 2)))
    forget(house)


def test_by_index(house: House) -> None:
    """However many payments there are, the calendar reads those alone that are tried again."""
    schedule(house, START, others=10_000)
    with house.engine.begin() as conn:
        analyze(conn)
    questions = (
        (retries._FROM, {"due_at": START, "payment_id": 0, "most": 10}),
        (retries._DAYS, {"now": START, "until": START, "zone": "UTC"}),
    )
    with house.engine.connect() as conn:
        for question, asked in questions:
            plan = "\n".join(conn.execute(text(f"EXPLAIN {question.text}"), asked).scalars())
            assert "ix_payments_retrying" in plan
            assert "Seq Scan on payments" not in plan
    forget(house)
