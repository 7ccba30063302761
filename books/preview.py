"""What a payment would do, before it is recorded (R9): the same rule, order and invoices as `books.post`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from books.post import Owing
from books.record import Resolved


class PreviewLine(NamedTuple):
    """One invoice: what it owes and what it would get, in minor units."""

    invoice: str
    balance_due_minor: int
    applied_minor: int


@dataclass(frozen=True, slots=True)
class Preview:
    """How one sum would spread over the invoices, in the order in which they are paid, and the credit left over."""

    currency: str
    lines: tuple[PreviewLine, ...]
    credit_minor: int


@dataclass(frozen=True, slots=True)
class _Payment:
    """A payment that is not in the table yet, as `Owing` reads it."""

    id: int
    customer_id: int
    currency: str
    invoice_ids: list[int] | None
    caps_minor: list[int | None] | None


_NAMED = text("""
    SELECT i.id, i.number, i.balance_minor
    FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS v(id, place) JOIN invoices i ON i.id = v.id
    ORDER BY v.place""")
_PENDING = text("""
    SELECT id, number, balance_minor FROM invoices
    WHERE customer_id = :customer_id AND currency = :currency AND state = 'pending'
    ORDER BY invoice_date, due_date, number, id""")


def preview(conn: Connection, resolved: Resolved) -> Preview:
    """Spread the sum over what is owed now, without a lock: another payment may still come first."""
    request = resolved.request
    payment: Any = _Payment(
        0,
        resolved.customer_id,
        request.currency,
        resolved.invoice_ids,
        [invoice.cap_minor for invoice in request.invoices] if request.invoices else None,
    )
    result = Owing(conn, [payment], {payment.id: request.total_minor}).apply(payment, request.total_minor)
    applied = dict(result.applied)
    lines = [PreviewLine(row.number, row.balance_minor, applied.get(row.id, 0)) for row in _invoices(conn, resolved)]
    return Preview(request.currency, tuple(lines), result.left_over_minor)


def _invoices(conn: Connection, resolved: Resolved) -> list[Row[Any]]:
    if resolved.invoice_ids is not None:
        return list(conn.execute(_NAMED, {"ids": resolved.invoice_ids}))
    wanted = {"customer_id": resolved.customer_id, "currency": resolved.request.currency}
    return list(conn.execute(_PENDING, wanted))
