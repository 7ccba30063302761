"""What a receipt says: what was paid and what became of it. It reads no notes, so that none can get onto one (R6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from rules.errors import NotFound, shown


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """An invoice that the payment paid, and where the invoice stands now."""

    invoice: str
    invoice_date: date
    applied_minor: int
    balance_minor: int
    state: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A posted or voided payment for the one who paid; amounts in minor units of `currency`."""

    payment_id: int
    customer_id: int
    customer: str
    customer_name: str
    state: str
    method: str
    number: str | None
    card_brand: str | None
    card_last_four: str | None
    currency: str
    post_date: date
    paid_minor: int
    credited_minor: int
    refunded_minor: int
    charged_back_minor: int  # a dispute took it back (R17)
    voided_at: datetime | None
    lines: tuple[ReceiptLine, ...] = ()
    credits: tuple[str, ...] = ()  # the notes that say where each credit came from (R3)


_PAYMENT = text("""
    SELECT p.id AS payment_id, p.customer_id, c.number AS customer, c.name AS customer_name, p.state, p.method,
           p.number, p.card_brand, p.card_last_four, p.currency, p.post_date,
           coalesce(p.charged_minor, p.total_minor) AS paid_minor, p.credited_minor, p.refunded_minor,
           p.charged_back_minor, p.voided_at
    FROM payments p JOIN customers c ON c.id = p.customer_id WHERE p.id = :id""")
_LINES = text("""
    SELECT i.number AS invoice, i.invoice_date,
           CAST(sum(CASE WHEN p.state = 'voided' THEN a.amount_minor ELSE a.amount_minor - a.reversed_minor END)
                AS bigint) AS applied_minor,
           i.balance_minor, i.state
    FROM payments p JOIN allocations a ON a.payment_id = p.id JOIN invoices i ON i.id = a.invoice_id
    WHERE p.id = :id AND (p.state = 'voided' OR a.reversed_minor < a.amount_minor)
    GROUP BY i.id, p.id ORDER BY min(a.id)""")
_CREDITS = text("SELECT note FROM credits WHERE payment_id = :id AND amount_minor > taken_back_minor ORDER BY id")


def receipt(conn: Connection, payment_id: int) -> Receipt:
    """The receipt of a payment. Raises NotFound where there is none: nothing was received, or not yet."""
    one = {"id": payment_id}
    row = conn.execute(_PAYMENT, one).one_or_none()
    if row is None:
        raise NotFound(f"There is no payment {shown(payment_id)}.", "Look at the customer's record.")
    if row.state not in ("posted", "voided"):
        raise NotFound(f"Payment {payment_id} has no receipt: it is {row.state}.", "Look at the customer's record.")
    lines = tuple(ReceiptLine(**line._mapping) for line in conn.execute(_LINES, one))
    return Receipt(**row._mapping, lines=lines, credits=tuple(conn.execute(_CREDITS, one).scalars()))
