"""A customer's record: what is owed and since when, what was paid, what is left as credit. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books.plans import PLANNED
from rules.errors import NotFound, shown


class Show(StrEnum):
    """Which invoices."""

    PENDING = "pending"
    PAID = "paid"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Customer:
    """Who is billed."""

    id: int
    number: str
    name: str
    email: str | None
    phone: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Invoice:
    """What is owed; `under_way` where a card payment or a reversal in progress concerns it (R8a, R12)."""

    id: int
    number: str
    invoice_date: date
    due_date: date
    currency: str
    total_minor: int
    balance_minor: int
    state: str
    under_way: bool


@dataclass(frozen=True, slots=True)
class Credit:
    """What was paid too much, with the note that says where it came from (R3)."""

    id: int
    payment_id: int
    currency: str
    amount_minor: int
    balance_minor: int
    taken_back_minor: int
    note: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """What is owed in one currency, by days past due, and what is left as credit; minor units."""

    currency: str
    due_minor: int
    current_minor: int
    to_30_minor: int
    to_60_minor: int
    to_90_minor: int
    over_90_minor: int
    credit_minor: int


_CUSTOMER = text("SELECT id, number, name, email, phone, created_at FROM customers WHERE id = :id")


def customer(conn: Connection, customer_id: int) -> Customer:
    """A customer by id. Raises NotFound."""
    row = conn.execute(_CUSTOMER, {"id": customer_id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no customer {shown(customer_id)}.", "Look for it by name or number.")
    return Customer(**row._mapping)


_UNDER_WAY: Final = f"""
    EXISTS (SELECT 1 FROM payments p WHERE p.customer_id = i.customer_id AND p.gateway IS NOT NULL
            AND p.state IN ('requested', 'charging', 'retrying', 'review') AND NOT {PLANNED}
            AND p.currency = i.currency
            AND (p.invoice_ids IS NULL OR i.id = ANY(p.invoice_ids)))
    OR EXISTS (SELECT 1 FROM allocations a JOIN reversals r ON r.payment_id = a.payment_id
               WHERE a.invoice_id = i.id
               AND r.state NOT IN ('voided', 'refunded', 'failed', 'kept'))"""
_INVOICE: Final = f"""
    SELECT i.id, i.number, i.invoice_date, i.due_date, i.currency, i.total_minor, i.balance_minor, i.state,
           i.state = 'pending' AND ({_UNDER_WAY}) AS under_way
    FROM invoices i"""
_OLDEST_FIRST: Final = "i.invoice_date, i.due_date, i.number, i.id"
_LATEST_FIRST: Final = "i.invoice_date DESC, i.number DESC, i.id DESC"
_AFTER_OLDEST: Final = """
    AND (CAST(:after AS bigint) IS NULL OR (i.invoice_date, i.due_date, i.number, i.id) >
         (SELECT invoice_date, due_date, number, id FROM invoices WHERE id = :after AND customer_id = :id))"""
_AFTER_LATEST: Final = """
    AND (CAST(:after AS bigint) IS NULL OR (i.invoice_date, i.number, i.id) <
         (SELECT invoice_date, number, id FROM invoices WHERE id = :after AND customer_id = :id))"""
_INVOICES: Final = {
    Show.PENDING: text(
        f"{_INVOICE} WHERE i.customer_id = :id AND i.state = 'pending' {_AFTER_OLDEST} ORDER BY {_OLDEST_FIRST}"
        " LIMIT :most"
    ),
    Show.PAID: text(
        f"{_INVOICE} WHERE i.customer_id = :id AND i.state = 'paid' {_AFTER_LATEST} ORDER BY {_LATEST_FIRST}"
        " LIMIT :most"
    ),
    Show.ALL: text(f"{_INVOICE} WHERE i.customer_id = :id {_AFTER_LATEST} ORDER BY {_LATEST_FIRST} LIMIT :most"),
}
_ONE_INVOICE = text(f"{_INVOICE} WHERE i.customer_id = :customer_id AND i.id = :id")


def invoices(
    conn: Connection, customer_id: int, show: Show = Show.PENDING, most: int = 200, after: int | None = None
) -> list[Invoice]:
    """A customer's invoices: the pending ones oldest first, as they are paid (R1), others latest first.

    `after`: the id of the last one that was seen, for the next so many.
    """
    asked = {"id": customer_id, "most": most, "after": after}
    return [Invoice(**row._mapping) for row in conn.execute(_INVOICES[show], asked)]


def invoice(conn: Connection, customer_id: int, invoice_id: int) -> Invoice:
    """One invoice of that customer. Raises NotFound."""
    row = conn.execute(_ONE_INVOICE, {"customer_id": customer_id, "id": invoice_id}).one_or_none()
    if row is None:
        raise NotFound(f"The customer has no invoice with the id {shown(invoice_id)}.", "Choose one from the record.")
    return Invoice(**row._mapping)


@dataclass(frozen=True, slots=True)
class Part:
    """What a payment, or a payment's credit, paid of an invoice; live is what was not undone."""

    allocation_id: int
    customer_id: int
    invoice_id: int
    invoice: str
    payment_id: int
    credit_id: int | None
    currency: str
    amount_minor: int
    reversed_minor: int
    at: datetime
    reversed_at: datetime | None

    @property
    def live_minor(self) -> int:
        """What still counts."""
        return self.amount_minor - self.reversed_minor


_PARTS: Final = """
    SELECT a.id AS allocation_id, i.customer_id, i.id AS invoice_id, i.number AS invoice,
           coalesce(a.payment_id, k.payment_id) AS payment_id, a.credit_id, i.currency, a.amount_minor,
           a.reversed_minor, a.created_at AS at, a.reversed_at
    FROM allocations a JOIN invoices i ON i.id = a.invoice_id LEFT JOIN credits k ON k.id = a.credit_id"""
_OF_INVOICE = text(f"{_PARTS} WHERE a.invoice_id = :id ORDER BY a.id DESC LIMIT :most")
_OF_CREDIT = text(f"""
    SELECT p.* FROM unnest(CAST(:ids AS bigint[])) AS c(id)
    CROSS JOIN LATERAL ({_PARTS} WHERE a.credit_id = c.id ORDER BY a.id DESC LIMIT :most) AS p
    ORDER BY p.allocation_id DESC""")
_ONE_OF_CREDIT = text(f"{_PARTS} WHERE a.id = :id AND a.credit_id IS NOT NULL AND i.customer_id = :customer_id")


def _parts(rows: Iterable[Row[Any]]) -> list[Part]:
    return [Part(**row._mapping) for row in rows]


def paid_by(conn: Connection, invoice_id: int, most: int = 200) -> list[Part]:
    """What paid an invoice, the latest first; what was undone, too."""
    return _parts(conn.execute(_OF_INVOICE, {"id": invoice_id, "most": most}))


def applications(conn: Connection, credit_ids: Sequence[int], most: int = 50) -> dict[int, list[Part]]:
    """What each credit was applied to, the latest first; at most so many of each."""
    found: dict[int, list[Part]] = {credit_id: [] for credit_id in credit_ids}
    for part in _parts(conn.execute(_OF_CREDIT, {"ids": list(credit_ids), "most": most})):
        if part.credit_id is not None:
            found[part.credit_id].append(part)
    return found


def application(conn: Connection, customer_id: int, allocation_id: int) -> Part:
    """One application of a credit of that customer. Raises NotFound."""
    found = _parts(conn.execute(_ONE_OF_CREDIT, {"customer_id": customer_id, "id": allocation_id}))
    if not found:
        raise NotFound(
            f"The customer has no application {shown(allocation_id)} of a credit.", "Choose one from the credits."
        )
    return found[0]


# The two halves of the table have an index each; charging writes to the one of what is left alone.
_CREDIT: Final = """
    SELECT id, payment_id, currency, amount_minor, balance_minor, taken_back_minor, note, created_at
    FROM credits WHERE customer_id = :id"""
_CREDITS = text(f"""
    SELECT * FROM (({_CREDIT} AND balance_minor > 0 ORDER BY id DESC LIMIT :most)
                   UNION ALL ({_CREDIT} AND balance_minor = 0 ORDER BY id DESC LIMIT :most)) AS k
    ORDER BY (balance_minor > 0) DESC, id DESC LIMIT :most""")


def credits_of(conn: Connection, customer_id: int, most: int = 50) -> list[Credit]:
    """A customer's credits, the ones with something left first."""
    return [Credit(**row._mapping) for row in conn.execute(_CREDITS, {"id": customer_id, "most": most})]


_BALANCES = text("""
    WITH owed AS (
        SELECT currency, balance_minor, CAST(:today AS date) - due_date AS late
        FROM invoices WHERE customer_id = :id AND state = 'pending'
    ), sums AS (
        SELECT currency, sum(balance_minor) AS due,
               sum(balance_minor) FILTER (WHERE late <= 0) AS current_,
               sum(balance_minor) FILTER (WHERE late BETWEEN 1 AND 30) AS to_30,
               sum(balance_minor) FILTER (WHERE late BETWEEN 31 AND 60) AS to_60,
               sum(balance_minor) FILTER (WHERE late BETWEEN 61 AND 90) AS to_90,
               sum(balance_minor) FILTER (WHERE late > 90) AS over_90
        FROM owed GROUP BY 1
    ), left_over AS (
        SELECT currency, sum(balance_minor) AS credit FROM credits WHERE customer_id = :id AND balance_minor > 0
        GROUP BY 1
    )
    SELECT currency, CAST(coalesce(due, 0) AS bigint) AS due_minor,
           CAST(coalesce(current_, 0) AS bigint) AS current_minor, CAST(coalesce(to_30, 0) AS bigint) AS to_30_minor,
           CAST(coalesce(to_60, 0) AS bigint) AS to_60_minor, CAST(coalesce(to_90, 0) AS bigint) AS to_90_minor,
           CAST(coalesce(over_90, 0) AS bigint) AS over_90_minor, CAST(coalesce(credit, 0) AS bigint) AS credit_minor
    FROM sums FULL JOIN left_over USING (currency) ORDER BY currency""")


def balances(conn: Connection, customer_id: int, today: date) -> list[Balance]:
    """What a customer owes and has left, by currency; aging counts from the due date to `today`."""
    return [Balance(**row._mapping) for row in conn.execute(_BALANCES, {"id": customer_id, "today": today})]


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a customer's history; `by` is empty where the tables do not tell who it was."""

    at: datetime
    what: str
    why: str
    by: str
    payment_id: int | None
    invoice_id: int | None
    invoice: str | None


# Events are found by their payment: an index by customer would be written with every charge.
_HISTORY = text("""
    WITH told AS (
        (SELECT e.id AS place, e.at, e.what, e.why, e.by, e.payment_id, e.invoice_id
         FROM (SELECT id FROM payments WHERE customer_id = :id ORDER BY id DESC LIMIT :most) AS p
         JOIN events e ON e.payment_id = p.id ORDER BY e.id DESC LIMIT :most)
        UNION ALL
        (SELECT 0, created_at, 'invoice.created', '', '', NULL, id FROM invoices
         WHERE customer_id = :id AND state <> 'draft' ORDER BY created_at DESC, id DESC LIMIT :most)
        UNION ALL
        SELECT 0, created_at, 'customer.created', '', '', NULL, NULL FROM customers WHERE id = :id
    )
    SELECT t.at, t.what, t.why, t.by, t.payment_id, t.invoice_id, i.number AS invoice
    FROM told t LEFT JOIN invoices i ON i.id = t.invoice_id
    ORDER BY t.at DESC, t.place DESC, t.invoice_id DESC NULLS LAST LIMIT :most""")


def history(conn: Connection, customer_id: int, most: int = 50) -> list[Happening]:
    """What happened of late, the latest first: events of the latest payments, invoices, and how it all began."""
    return [Happening(**row._mapping) for row in conn.execute(_HISTORY, {"id": customer_id, "most": most})]
