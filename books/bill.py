"""Recording customers and what they are billed: set-based, and harmless when it comes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books.history import Booking, book
from rules import ledger
from rules.errors import Fault, shown
from rules.money import for_people


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A customer to be known; what is None was not said and stays as it is."""

    number: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class NewInvoice:
    """An invoice that was issued: Pending from now on."""

    customer: str
    number: str
    invoice_date: date
    due_date: date
    currency: str
    total_minor: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The row that now stands for what was given; not new where it was known before."""

    id: int
    new: bool


# By number, as invoices below: two who record the same in another order would wait for each other.
_CUSTOMERS = text("""
    WITH v AS (
        SELECT * FROM unnest(CAST(:numbers AS text[]), CAST(:names AS text[]), CAST(:emails AS text[]),
                             CAST(:phones AS text[])) AS v(number, name, email, phone)
    ), kept AS (
        INSERT INTO customers AS c (number, name, email, phone, created_at)
        SELECT v.number, coalesce(v.name, v.number), v.email, v.phone, :now FROM v ORDER BY v.number
        ON CONFLICT (number) DO NOTHING
        RETURNING id, number
    ), told AS (
        INSERT INTO events (at, what, customer_id, by) SELECT :now, 'customer.created', id, :by FROM kept ORDER BY id
    )
    SELECT number, id FROM kept""")
_SAID = """unnest(CAST(:numbers AS text[]), CAST(:names AS text[]), CAST(:emails AS text[]), CAST(:phones AS text[]))
             AS v(number, name, email, phone)"""
# What is said anew is taken over, what is left out stays; all customers are locked in ascending order, at once (B3).
_CHANGE = text(f"""
    WITH v AS (
        SELECT c.id, coalesce(v.name, c.name) AS name, coalesce(v.email, c.email) AS email,
               coalesce(v.phone, c.phone) AS phone
        FROM {_SAID} JOIN customers c ON c.number = v.number
        WHERE (c.name, c.email, c.phone) IS DISTINCT FROM
              (coalesce(v.name, c.name), coalesce(v.email, c.email), coalesce(v.phone, c.phone))
          AND c.erased_at IS NULL
        ORDER BY c.id FOR NO KEY UPDATE OF c
    ), changed AS (
        UPDATE customers c SET name = v.name, email = v.email, phone = v.phone FROM v WHERE c.id = v.id RETURNING c.id
    )
    INSERT INTO events (at, what, customer_id, by) SELECT :now, 'customer.changed', id, :by FROM changed ORDER BY id""")
_IDS = text("SELECT number, id FROM customers WHERE number = ANY(CAST(:numbers AS text[]))")


def record_customers(conn: Connection, customers: Sequence[NewCustomer], now: datetime, by: str) -> list[Kept]:
    """Make customers known and take over what changed; of one that is given twice the last word counts."""
    last, values = _last_words(customers, now, by)
    created = {row.number: row.id for row in conn.execute(_CUSTOMERS, values)}
    if len(created) < len(last):
        conn.execute(_CHANGE, values)
    return _kept(conn, customers, created)


def _last_words(
    customers: Sequence[NewCustomer], now: datetime, by: str
) -> tuple[dict[str, NewCustomer], dict[str, Any]]:
    last = {customer.number: customer for customer in customers}
    values = {
        "numbers": list(last),
        "names": [customer.name for customer in last.values()],
        "emails": [customer.email for customer in last.values()],
        "phones": [customer.phone for customer in last.values()],
        "now": now,
        "by": by,
    }
    return last, values


def _kept(conn: Connection, customers: Sequence[NewCustomer], created: dict[str, int]) -> list[Kept]:
    known: dict[str, int] = {}
    if unseen := {customer.number for customer in customers} - created.keys():
        known = {row.number: row.id for row in conn.execute(_IDS, {"numbers": list(unseen)})}
    kept = []
    for customer in customers:
        new = created.pop(customer.number, None)
        if new is not None:
            known[customer.number] = new
        kept.append(Kept(known[customer.number], new is not None))
    return kept


_COLUMNS: Final = {
    "customer_id": "bigint",
    "number": "text",
    "invoice_date": "date",
    "due_date": "date",
    "currency": "text",
    "total_minor": "bigint",
}
_INVOICES = text(f"""
    WITH kept AS (
        INSERT INTO invoices ({", ".join(_COLUMNS)}, balance_minor, state, created_at)
        SELECT {", ".join(f"v.{name}" for name in _COLUMNS)}, v.total_minor, 'pending', :now
        FROM unnest({", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in _COLUMNS.items())})
             AS v({", ".join(_COLUMNS)})
        ORDER BY v.customer_id, v.number
        ON CONFLICT (customer_id, number) DO NOTHING
        RETURNING id, customer_id, number
    ), told AS (
        INSERT INTO events (at, what, customer_id, invoice_id, to_state, by)
        SELECT :now, 'invoice.created', customer_id, id, 'pending', :by FROM kept ORDER BY id
    )
    SELECT customer_id, number, id FROM kept""")
_KNOWN = text("""
    SELECT i.id, i.customer_id, i.number, i.invoice_date, i.due_date, i.currency, i.total_minor
    FROM unnest(CAST(:customer_id AS bigint[]), CAST(:number AS text[])) AS v(customer_id, number)
    JOIN invoices i ON i.customer_id = v.customer_id AND i.number = v.number""")


def record_invoices(
    conn: Connection, invoices: Sequence[NewInvoice], now: datetime, by: str
) -> list[Kept | list[Fault]]:
    """Issue invoices, each with its entry in the journal (B1); one that comes again changes nothing.

    One that comes again with other content, or for a customer that nobody knows, is a fault.
    """
    numbers = list({invoice.customer for invoice in invoices})
    customers: dict[str, int] = {row.number: row.id for row in conn.execute(_IDS, {"numbers": numbers})}
    first: dict[tuple[int, str], NewInvoice] = {}
    for invoice in invoices:
        if invoice.customer in customers:
            first.setdefault((customers[invoice.customer], invoice.number), invoice)
    values = {
        "customer_id": [customer_id for customer_id, _ in first],
        "number": [number for _, number in first],
        "invoice_date": [invoice.invoice_date for invoice in first.values()],
        "due_date": [invoice.due_date for invoice in first.values()],
        "currency": [invoice.currency for invoice in first.values()],
        "total_minor": [invoice.total_minor for invoice in first.values()],
    }
    created = {
        (row.customer_id, row.number): row.id for row in conn.execute(_INVOICES, {**values, "now": now, "by": by})
    }
    bookings = [
        Booking(
            ledger.Kind.BILLED,
            ledger.billed(first[key].total_minor),
            key[0],
            first[key].currency,
            invoice_id=invoice_id,
        )
        for key, invoice_id in created.items()
    ]
    book(conn, bookings, now, [first[key].invoice_date for key in created])
    known: dict[tuple[int, str], Row[Any]] = {}
    if len(created) < len(first):
        again = {"customer_id": values["customer_id"], "number": values["number"]}
        known = {(row.customer_id, row.number): row for row in conn.execute(_KNOWN, again)}
    kept: list[Kept | list[Fault]] = []
    for invoice in invoices:
        customer_id = customers.get(invoice.customer)
        if customer_id is None:
            kept.append([no_such_customer(invoice.customer)])
            continue
        key = (customer_id, invoice.number)
        if key in created and first[key] is invoice:
            kept.append(Kept(created[key], True))
            continue
        before: NewInvoice | Row[Any] = first[key] if key in created else known[key]
        if faults := other_content(invoice, before):
            kept.append(faults)
        else:
            kept.append(Kept(created[key] if key in created else known[key].id, False))
    return kept


CONTENT: Final = ("invoice_date", "due_date", "currency", "total_minor")
"""What may not differ where an invoice comes again."""


def no_such_customer(number: str) -> Fault:
    """An invoice is for a customer whom nobody knows."""
    return Fault("customer", shown(number), "no such customer", "Compare the number, or record the customer first")


def other_content(invoice: NewInvoice, before: NewInvoice | Row[Any]) -> list[Fault]:
    """Where an invoice that comes again differs from what it was before."""
    faults = []
    for name in CONTENT:
        was, given = getattr(before, name), getattr(invoice, name)
        if was == given:
            continue
        if name == "total_minor":
            was, given = for_people(was, before.currency), for_people(given, invoice.currency)
        problem = f"invoice {shown(invoice.number)} was recorded with {was}"
        remedy = "An invoice that was issued never changes; correct the file"
        faults.append(Fault(name.removesuffix("_minor"), str(given), problem, remedy))
    return faults
