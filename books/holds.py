"""Holds on customers: while one stands, nothing charges the customer by itself.

What was asked for by somebody who is there is charged all the same, after a warning. What nobody attends waits at its
charge until the hold has ended: batches, retries, payments planned for a day. A schedule passes over its date instead,
since what it would ask for is to be computed on the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from sqlalchemy import Connection, text

from books import claim
from books.history import tell
from rules.calendar import begins, business_day
from rules.errors import Fault, MoveRefused, RequestRefused

HOLD_MAX: Final = timedelta(days=3653)
WAITS: Final = "waits: the customer is on hold"
"""The reason that a waiting payment shows."""

STANDS: Final = "h.lifted_at IS NULL AND (h.until IS NULL OR h.until > CAST(:now AS timestamptz))"
"""A condition on `customer_holds h`."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Who put a customer on hold, when, why and until when; `until` None: until it is lifted."""

    reason: str
    until: datetime | None
    placed_at: datetime
    placed_by: str


OF = text(f"""
    SELECT h.reason, h.until, h.placed_at, h.placed_by FROM customer_holds h
    WHERE h.customer_id = :customer_id AND {STANDS}""")
_END = text("""
    UPDATE customer_holds SET lifted_at = least(:now, until), lifted_by = :by
    WHERE customer_id = :customer_id AND lifted_at IS NULL""")
_PLACE = text("""
    INSERT INTO customer_holds (customer_id, reason, until, placed_at, placed_by)
    VALUES (:customer_id, :reason, :until, :now, :by)""")
# Whatever waits for the hold is looked at again now; each payment decides anew whether it is charged (R8).
_RELEASE = text(f"""
    UPDATE payments SET due_at = :now, reason = ''
    WHERE customer_id = :customer_id AND gateway IS NOT NULL AND state IN ('requested', 'retrying')
      AND next_step = 'charge' AND reason = '{WAITS}' RETURNING id""")


def of_customer(conn: Connection, customer_id: int, now: datetime) -> Hold | None:
    """The hold that stands, if one does."""
    row = conn.execute(OF, {"customer_id": customer_id, "now": now}).one_or_none()
    return None if row is None else Hold(**row._mapping)


def place(
    conn: Connection, customer_id: int, reason: str, last_day: date | None, zone: tzinfo, now: datetime, by: str
) -> None:
    """Put a customer on hold to the end of a business day, or until it is lifted; in place of a hold that stands.

    Raises RequestRefused where it would be over by now, or would last for longer than HOLD_MAX.
    """
    if last_day is not None and not business_day(now, zone) <= last_day <= business_day(now + HOLD_MAX, zone):
        raise RequestRefused([Fault("until", last_day.isoformat(), "not within ten years from today", "Give another")])
    until = None if last_day is None else begins(last_day + timedelta(days=1), zone)
    claim.customers(conn, [customer_id])
    conn.execute(_END, {"customer_id": customer_id, "now": now, "by": by})
    conn.execute(_PLACE, {"customer_id": customer_id, "reason": reason, "until": until, "now": now, "by": by})
    tell(conn, "customer.held", now, by, reason, customer_id=customer_id)


def lift(conn: Connection, customer_id: int, now: datetime, by: str) -> int:
    """End the hold; how many payments waited for that, and are due now. Raises MoveRefused where none stands."""
    claim.customers(conn, [customer_id])
    if of_customer(conn, customer_id, now) is None:
        raise MoveRefused("The customer is not on hold.", "It was lifted, or has ended.")
    conn.execute(_END, {"customer_id": customer_id, "now": now, "by": by})
    tell(conn, "customer.released", now, by, customer_id=customer_id)
    return len(conn.execute(_RELEASE, {"customer_id": customer_id, "now": now}).all())
