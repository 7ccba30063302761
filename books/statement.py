"""A customer's statement over a period, from the journal (B1): what was owed before, every line, what is owed after.

A line counts on its post date, and never before the post date of its payment (as in `books.aging`): the void of a
payment that is dated ahead does not come before it. Billing comes from the invoices themselves, each of which has one
entry on its invoice date. No notes are read (R6).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import Connection, text

from rules.ledger import Kind


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what it added to what is owed and to the credits (below 0: took off), and what was owed then.

    `returned_minor` went back to the card or is held by a dispute (below 0: was charged and goes back, or came back);
    by itself it moves neither.
    """

    day: date
    kind: Kind
    invoice: str | None
    due_date: date | None
    payment_id: int | None
    method: str | None
    number: str | None
    card_brand: str | None
    card_last_four: str | None
    owed_minor: int
    credit_minor: int
    returned_minor: int
    balance_minor: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A customer's account in one currency from the first day to the last, both whole; minor units."""

    customer_id: int
    currency: str
    first: date
    last: date
    opening_minor: int
    opening_credit_minor: int
    lines: tuple[Line, ...]
    closing_minor: int
    closing_credit_minor: int


_CURRENCIES = text("""
    SELECT currency FROM invoices WHERE customer_id = :id AND state IN ('pending', 'paid')
    UNION SELECT currency FROM payments WHERE customer_id = :id ORDER BY 1""")


def currencies(conn: Connection, customer_id: int) -> list[str]:
    """The currencies in which the customer was billed or paid."""
    return list(conn.execute(_CURRENCIES, {"id": customer_id}).scalars())


# The journal is reached by the customer's payments; its billing entries have none, and the invoices say the same.
_ENTRIES: Final = """
    WITH entries AS (
        SELECT i.invoice_date AS day, 'billed' AS kind, i.id AS place, i.number AS invoice, i.due_date,
               CAST(NULL AS bigint) AS payment_id, i.total_minor AS owed, CAST(0 AS bigint) AS credit,
               CAST(0 AS bigint) AS returned
        FROM invoices i
        WHERE i.customer_id = :id AND i.currency = :currency AND i.state IN ('pending', 'paid')
        UNION ALL
        SELECT greatest(j.post_date, p.post_date), j.kind, j.id, NULL, NULL, p.id, s.owed, s.credit, s.returned
        FROM payments p JOIN journal j ON j.payment_id = p.id
        CROSS JOIN LATERAL (
            SELECT CAST(coalesce(sum(l.amount) FILTER (WHERE l.account = 'receivable'), 0) AS bigint) AS owed,
                   CAST(coalesce(-sum(l.amount) FILTER (WHERE l.account = 'customer_credit'), 0) AS bigint) AS credit,
                   CAST(coalesce(sum(l.amount) FILTER (
                       WHERE l.account = 'refunds_payable'
                         AND j.kind IN ('charged_unwanted', 'reversed_at_gateway', 'refund_failed')
                   ), 0) - coalesce(sum(l.amount) FILTER (
                       WHERE l.account LIKE 'clearing:%'
                         AND j.kind IN ('refunded', 'refund_failed_credited', 'disputed', 'dispute_won')
                          OR l.account LIKE 'disputed:%' AND j.kind = 'dispute_lost'
                   ), 0) AS bigint) AS returned
            FROM unnest(j.accounts, j.amounts_minor) AS l(account, amount)
        ) AS s
        WHERE p.customer_id = :id AND j.currency = :currency
    )"""
_OPENING = text(f"""
    {_ENTRIES}
    SELECT CAST(coalesce(sum(owed), 0) AS bigint) AS owed, CAST(coalesce(sum(credit), 0) AS bigint) AS credit
    FROM entries WHERE day < :first""")
_LINES = text(f"""
    {_ENTRIES}
    SELECT e.*, p.method, p.number, p.card_brand, p.card_last_four
    FROM entries e LEFT JOIN payments p ON p.id = e.payment_id
    WHERE e.day BETWEEN :first AND :last AND (e.owed, e.credit, e.returned) <> (0, 0, 0)
    ORDER BY e.day, e.kind <> 'billed', e.place""")


def statement(conn: Connection, customer_id: int, currency: str, first: date, last: date) -> Statement:
    """The statement; it reads one customer's invoices and payments, whatever else there is."""
    asked = {"id": customer_id, "currency": currency, "first": first, "last": last}
    opening = conn.execute(_OPENING, asked).one()
    owed, credit = opening.owed, opening.credit
    lines = []
    for row in conn.execute(_LINES, asked):
        owed += row.owed
        credit += row.credit
        lines.append(
            Line(
                day=row.day,
                kind=Kind(row.kind),
                invoice=row.invoice,
                due_date=row.due_date,
                payment_id=row.payment_id,
                method=row.method,
                number=row.number,
                card_brand=row.card_brand,
                card_last_four=row.card_last_four,
                owed_minor=row.owed,
                credit_minor=row.credit,
                returned_minor=row.returned,
                balance_minor=owed,
            )
        )
    return Statement(customer_id, currency, first, last, opening.owed, opening.credit, tuple(lines), owed, credit)
