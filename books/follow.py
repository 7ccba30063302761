"""Following a payment or a batch while it is worked on: what the events table has that was not seen yet.

Each look is a short question of its own; nobody holds a transaction open while waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from rules.errors import NotFound, shown


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of a payment."""

    id: int
    at: datetime
    what: str  # such as payment.posted or sale.unknown
    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a payment stands: `over` once nothing more becomes of it within seconds."""

    customer_id: int
    state: str
    outcome_unknown: bool
    reversal_state: str | None  # of the latest one, which is a void's or, of a posted payment, a refund's
    decline_class: str | None = None  # of the latest sale, where it was declined
    declined_by: str | None = None  # its gateway
    decline_code: str | None = None
    batch_id: int | None = None
    due_at: datetime | None = None  # the next attempt
    latest_at: datetime | None = None  # when something happened last
    refund_minor: int | None = None  # of the latest refund, where that is the latest reversal
    currency: str = ""

    @property
    def over(self) -> bool:
        """Whether a page that follows it may close: what comes later comes by the schedule or by a person."""
        if self.state in ("requested", "charging"):
            return self.outcome_unknown
        return self.reversal_state not in ("voiding", "refund_due", "refunding")


_EVENTS = text("""
    SELECT id, at, what, why FROM events
    WHERE payment_id = :id AND id > :after AND what NOT LIKE 'invoice.%' ORDER BY id LIMIT 100""")
_STANDING = text("""
    SELECT p.customer_id, p.state,
           p.state IN ('charging', 'review') AND EXISTS (
               SELECT 1 FROM gateway_transactions t
               WHERE t.payment_id = p.id AND t.operation = 'sale' AND t.state = 'unknown') AS outcome_unknown,
           (SELECT r.state FROM reversals r WHERE r.payment_id = p.id ORDER BY r.id DESC LIMIT 1) AS reversal_state,
           d.decline_class, d.gateway AS declined_by, d.code AS decline_code,
           (SELECT CASE r.purpose WHEN 'refund' THEN r.amount_minor END FROM reversals r
            WHERE r.payment_id = p.id ORDER BY r.id DESC LIMIT 1) AS refund_minor, p.currency,
           p.batch_id, p.due_at, (SELECT max(e.at) FROM events e WHERE e.payment_id = p.id) AS latest_at
    FROM payments p
    LEFT JOIN LATERAL (
        SELECT t.decline_class, t.gateway, t.code FROM gateway_transactions t
        WHERE t.payment_id = p.id AND t.operation = 'sale' ORDER BY t.id DESC LIMIT 1
    ) d ON d.decline_class IS NOT NULL
    WHERE p.id = :id""")


def payment(conn: Connection, payment_id: int, after: int = 0) -> tuple[Standing, list[Happened]]:
    """Where a payment stands, and what happened after an event's id. Raises NotFound.

    Read from one snapshot: a payment that is over has told all by then. Its events come one after another, since its
    customer is locked while they are written, so that none appears later behind one that was seen.
    """
    row = conn.execute(_STANDING, {"id": payment_id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no payment {shown(payment_id)}.", "Look at the customer's record.")
    events = [Happened(**one._mapping) for one in conn.execute(_EVENTS, {"id": payment_id, "after": after})]
    return Standing(**row._mapping), events
