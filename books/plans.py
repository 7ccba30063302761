"""Payments that are to be charged on a later day: recorded, and due on that day in the business's zone (D1).

Until then one bars nothing: neither another payment for the same invoices nor their change (R8a). What is owed is
looked at when its day has come, right before it is sent (R8).
"""

from __future__ import annotations

from datetime import date, datetime, tzinfo
from typing import Final

from sqlalchemy import Connection, text

from books import claim
from books.history import tell
from rules.calendar import begins, business_day
from rules.cards import expires_before
from rules.errors import Fault, MoveRefused, NotFound, RequestRefused, shown
from rules.requests import run_on_fault

PLANNED: Final = "(p.state = 'requested' AND p.run_on IS NOT NULL)"
"""A condition: the payment waits for its day, or for a hold to end, and nothing was sent yet."""

_OWNER = text("SELECT customer_id FROM payments WHERE id = :id")
_READ = text(f"""
    SELECT p.state, p.run_on, p.card_exp_month, p.card_exp_year, {PLANNED} AS planned
    FROM payments p WHERE p.id = :id""")
_MOVE = text("UPDATE payments SET run_on = :run_on, due_at = :due_at, reason = '' WHERE id = :id")


def announce(conn: Connection, payment_id: int, run_on: date, now: datetime, by: str) -> None:
    """Append the event that a payment which was just recorded is planned for a later day."""
    _tell(conn, "payment.scheduled", payment_id, run_on, now, by)


def move(
    conn: Connection,
    payment_id: int,
    run_on: date,
    zone: tzinfo,
    now: datetime,
    by: str,
    customer_id: int | None = None,
) -> None:
    """Plan it for another day than it is planned for.

    Raises NotFound, also where it is not of the `customer_id` that is given; MoveRefused where it is not planned any
    more; RequestRefused where the day is not later than today, or its card will have expired.
    """
    owner = conn.execute(_OWNER, {"id": payment_id}).scalar_one_or_none()
    if owner is None or customer_id not in (None, owner):
        raise NotFound(f"There is no payment {shown(payment_id)}.", "Compare the id.")
    claim.customers(conn, [owner])
    payment = conn.execute(_READ, {"id": payment_id}).one()
    if not payment.planned:
        said = f"it is {payment.state}" if payment.run_on else "it was never planned for a later day"
        raise MoveRefused(f"The payment cannot be moved: {said}.", "Only one that waits for its day can.")
    if fault := run_on_fault(run_on, business_day(now, zone)):
        raise RequestRefused([fault])
    if expires_before(payment.card_exp_month, payment.card_exp_year, run_on):
        remedy = "Cancel it, and take a payment by another card"
        raise RequestRefused([Fault("run_on", run_on.isoformat(), "the card will have expired by then", remedy)])
    conn.execute(_MOVE, {"id": payment_id, "run_on": run_on, "due_at": begins(run_on, zone)})
    _tell(conn, "payment.moved", payment_id, run_on, now, by)


def _tell(conn: Connection, what: str, payment_id: int, run_on: date, now: datetime, by: str) -> None:
    customer_id = conn.execute(_OWNER, {"id": payment_id}).scalar_one()
    why = f"planned for {run_on.isoformat()}"
    tell(conn, what, now, by, why, customer_id=customer_id, payment_id=payment_id)
