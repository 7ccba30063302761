"""What is tried again, when and why (R16): the calendar of payments whose next attempt is scheduled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Retry:
    """A payment and its next attempt; before `not_before` nobody may make it."""

    payment_id: int
    customer: str
    customer_name: str
    amount_minor: int
    currency: str
    card: str
    gateway: str
    attempts: int
    due_at: datetime
    not_before: datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class Day:
    """A business day, and how many attempts are due on it."""

    day: date
    attempts: int


# By ix_payments_retrying, from a place in its order on.
_FROM = text("""
    SELECT p.id AS payment_id, c.number AS customer, c.name AS customer_name, p.total_minor AS amount_minor, p.currency,
           p.card_brand || ' ending in ' || p.card_last_four AS card, p.gateway, p.attempts, p.due_at, p.not_before,
           p.reason AS why
    FROM (SELECT * FROM payments
          WHERE state = 'retrying' AND due_at >= :due_at AND (due_at, id) > (:due_at, :payment_id)
          ORDER BY due_at, id LIMIT :most) AS p
    JOIN customers c ON c.id = p.customer_id ORDER BY p.due_at, p.id""")
# What is due already, and was not begun yet, is tried today.
_DAYS = text("""
    SELECT CAST(greatest(due_at, :now) AT TIME ZONE :zone AS date) AS day, count(*) AS attempts
    FROM payments WHERE state = 'retrying' AND due_at < :until GROUP BY 1 ORDER BY 1""")


def scheduled(conn: Connection, due_at: datetime, payment_id: int, most: int) -> tuple[Retry, ...]:
    """The attempts behind a moment and a payment (0: from that moment on), the next first."""
    asked = {"due_at": due_at, "payment_id": payment_id, "most": most}
    return tuple(Retry(**row._mapping) for row in conn.execute(_FROM, asked))


def days(conn: Connection, now: datetime, until: datetime, zone: ZoneInfo) -> tuple[Day, ...]:
    """How many attempts are due on each business day before a moment; days without any are left out."""
    asked = {"now": now, "until": until, "zone": zone.key}
    return tuple(Day(**row._mapping) for row in conn.execute(_DAYS, asked))
