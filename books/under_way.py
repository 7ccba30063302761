"""The card payments under way that are meant for the same invoices (R8a), as people are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from books.plans import PLANNED
from rules import states

_STATES: Final = ", ".join(f"'{state.value}'" for state in states.UNDER_WAY)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """One card payment under way, and whether its outcome is unknown."""

    payment_id: int
    total_minor: int
    currency: str
    state: str
    outcome_unknown: bool
    recorded_at: datetime
    recorded_by: str


_MEANT_FOR = text(f"""
    SELECT p.id AS payment_id, p.total_minor, p.currency, p.state, p.recorded_at, p.recorded_by, EXISTS (
               SELECT FROM gateway_transactions t
               WHERE t.payment_id = p.id AND t.operation = 'sale' AND t.state = 'unknown') AS outcome_unknown
    FROM payments p
    WHERE p.customer_id = :customer_id AND p.gateway IS NOT NULL AND p.state IN ({_STATES}) AND NOT {PLANNED}
      AND p.currency = :currency
      AND (CAST(:invoice_ids AS bigint[]) IS NULL OR p.invoice_ids IS NULL
           OR p.invoice_ids && CAST(:invoice_ids AS bigint[]))
    ORDER BY p.id LIMIT :most""")


def meant_for(
    conn: Connection, customer_id: int, currency: str, invoice_ids: Sequence[int] | None, most: int = 20
) -> list[UnderWay]:
    """The oldest that overlap with a payment of these invoices; None: of all that the customer owes in the currency."""
    asked = {
        "customer_id": customer_id,
        "currency": currency,
        "invoice_ids": None if invoice_ids is None else list(invoice_ids),
        "most": most,
    }
    return [UnderWay(**row._mapping) for row in conn.execute(_MEANT_FOR, asked)]
