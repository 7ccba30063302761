"""Voiding an invoice that nobody paid: it was never owed, and takes nothing any more (R1, R8a)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from books import account, claim
from books.history import Booking, book
from rules import ledger
from rules.errors import MoveRefused, NotFound, shown

_OWNER = text("SELECT customer_id FROM invoices WHERE id = :id")
_VOID = text("""
    WITH u AS (UPDATE invoices SET state = 'void' WHERE id = :id AND state = 'pending' RETURNING id, customer_id)
    INSERT INTO events (at, what, customer_id, invoice_id, from_state, to_state, why, by)
    SELECT :now, 'invoice.voided', customer_id, id, 'pending', 'void', :why, :by FROM u""")


def void_invoice(
    conn: Connection, invoice_id: int, reason: str, now: datetime, by: str, customer_id: int | None = None
) -> None:
    """Void a Pending invoice; its entry in the journal is undone as of the invoice's own date (B1).

    Raises NotFound, also where it is not of the `customer_id` that is given, and MoveRefused where it is not Pending,
    something is applied to it, or a sum is under way for it (R8a).
    """
    owner = conn.execute(_OWNER, {"id": invoice_id}).scalar_one_or_none()
    if owner is None or customer_id not in (None, owner):
        raise NotFound(f"There is no invoice {shown(invoice_id)}.", "Compare the id; it is not the invoice's number.")
    claim.customers(conn, [owner])
    invoice = account.invoice(conn, owner, invoice_id)
    if invoice.state != "pending":
        raise MoveRefused(f"The invoice is {invoice.state}.", "Only a pending invoice that nothing paid can be void.")
    if invoice.balance_minor != invoice.total_minor:
        raise MoveRefused("Something is applied to the invoice.", "Void its payments, or take its credits back, first.")
    if invoice.under_way:
        raise MoveRefused("A payment or a reversal is under way for the invoice.", "Wait until it has ended.")
    conn.execute(_VOID, {"id": invoice_id, "now": now, "why": reason, "by": by})
    entry = ledger.billing_voided(invoice.total_minor)
    undone = Booking(ledger.Kind.BILLING_VOIDED, entry, owner, invoice.currency, invoice_id=invoice_id)
    book(conn, [undone], now, [invoice.invoice_date])
