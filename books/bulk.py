"""Customers and invoices by the million: copied into a table of the transaction's own, judged and recorded as sets.

Rows arrive by COPY, each with its line in the file, and are compared with each other and with what is known before
anything is written. Memory stays flat, here and at the server: what is large lies in temporary tables, and is recorded
a STEP at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Row, TextClause, text

from books.bill import CONTENT, NewCustomer, NewInvoice, no_such_customer, other_content
from rules import ledger
from rules.errors import Fault

STEP: Final = 50_000
"""Rows that one statement records."""

Done = Callable[[int, int], object]
"""Told how many rows are recorded, and of how many."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of rows that were copied: how many are new, how many are refused, and the first of these by lines.

    The others were known before.
    """

    fresh: int
    refused: int
    first: tuple[tuple[int, list[Fault]], ...] = ()


# One import at a time: two that bring the same new customers in another order would wait for each other.
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('defray customers import', 0))")
_CUSTOMERS_SAID = text("""
    CREATE TEMPORARY TABLE customers_said (
        line bigint, number text COLLATE "C", name text, email text, phone text) ON COMMIT DROP""")
# Of a customer that is said twice the last word counts.
_CUSTOMERS_LAST = text("""
    CREATE TEMPORARY TABLE customers_last ON COMMIT DROP AS
    SELECT row_number() OVER (ORDER BY v.number) AS place, v.number, v.name, v.email, v.phone
    FROM (SELECT DISTINCT ON (number) * FROM customers_said ORDER BY number, line DESC) AS v""")
_CUSTOMERS_BY_PLACE = text("CREATE UNIQUE INDEX ON customers_last (place)")
_CUSTOMERS_ANALYZED = text("ANALYZE customers_last")
_CUSTOMERS_COUNTED = text("""
    SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM customers c WHERE c.number = v.number))
    FROM customers_last v""")
_CUSTOMERS_NEW = text("""
    WITH kept AS (
        INSERT INTO customers (number, name, email, phone, created_at)
        SELECT v.number, coalesce(v.name, v.number), v.email, v.phone, :now
        FROM customers_last v WHERE v.place > :after AND v.place <= :until ORDER BY v.place
        ON CONFLICT (number) DO NOTHING
        RETURNING id
    ), told AS (
        INSERT INTO events (at, what, customer_id, by) SELECT :now, 'customer.created', id, :by FROM kept ORDER BY id
    )
    SELECT count(*) FROM kept""")
# What is said anew is taken over, what is left out stays; all customers are locked in ascending order, at once (B3).
_CUSTOMERS_CHANGED = text("""
    WITH v AS (
        SELECT c.id, coalesce(v.name, c.name) AS name, coalesce(v.email, c.email) AS email,
               coalesce(v.phone, c.phone) AS phone
        FROM customers_last v JOIN customers c ON c.number = v.number
        WHERE (c.name, c.email, c.phone) IS DISTINCT FROM
              (coalesce(v.name, c.name), coalesce(v.email, c.email), coalesce(v.phone, c.phone))
          AND c.erased_at IS NULL
        ORDER BY c.id FOR NO KEY UPDATE OF c
    ), changed AS (
        UPDATE customers c SET name = v.name, email = v.email, phone = v.phone FROM v WHERE c.id = v.id RETURNING c.id
    )
    INSERT INTO events (at, what, customer_id, by) SELECT :now, 'customer.changed', id, :by FROM changed ORDER BY id""")


class CustomersImport:
    """The customers of a file. Locks are taken when it was read to its end, not while it is read (B3)."""

    def __init__(self, conn: Connection, now: datetime, by: str) -> None:
        self._conn = conn
        self._values = {"now": now, "by": by}
        self._count = 0
        conn.execute(_CUSTOMERS_SAID)

    @contextmanager
    def copying(self) -> Iterator[Callable[[int, NewCustomer], None]]:
        """Take rows, each with its line, until the block ends; the database can be asked nothing else in it."""
        with _copying(self._conn, "customers_said (line, number, name, email, phone)") as write:
            yield lambda line, given: write((line, given.number, given.name, given.email, given.phone))

    def judge(self, most: int) -> Judged:  # as for invoices
        """Any customer can be recorded, and of one that is said twice the last word counts."""
        for statement in (_CUSTOMERS_LAST, _CUSTOMERS_BY_PLACE, _CUSTOMERS_ANALYZED):
            self._conn.execute(statement)
        self._count, fresh = self._conn.execute(_CUSTOMERS_COUNTED).one()
        return Judged(fresh, 0)

    def record(self, judged: Judged, most: int, done: Done) -> Judged:  # as for invoices
        """Record what is new and take over what changed."""
        self._conn.execute(_ALONE)
        created = _by_steps(self._conn, _CUSTOMERS_NEW, self._values, self._count, done)
        if created < self._count:
            self._conn.execute(_CUSTOMERS_CHANGED, self._values)
        return Judged(created, 0)


_INVOICES_SAID = text("""
    CREATE TEMPORARY TABLE invoices_said (
        line bigint, customer text COLLATE "C", number text COLLATE "C", invoice_date date, due_date date,
        currency text COLLATE "C", total_minor bigint) ON COMMIT DROP""")
_INVOICES_SAID_ANALYZED = text("ANALYZE invoices_said")
# What every row of an invoice has to agree with: what is recorded, else what its first row says. New ones have places.
_INVOICES_FIRST = text("""
    CREATE TEMPORARY TABLE invoices_first ON COMMIT DROP AS
    SELECT CASE WHEN i.id IS NULL THEN
               row_number() OVER (PARTITION BY i.id IS NULL ORDER BY v.customer_id, v.number) END AS place,
           v.customer_id, v.customer, v.number,
           coalesce(i.invoice_date, v.invoice_date) AS invoice_date, coalesce(i.due_date, v.due_date) AS due_date,
           coalesce(i.currency, v.currency) AS currency, coalesce(i.total_minor, v.total_minor) AS total_minor
    FROM (
        SELECT DISTINCT ON (c.id, s.number) c.id AS customer_id, s.*
        FROM invoices_said s JOIN customers c ON c.number = s.customer ORDER BY c.id, s.number, s.line
    ) AS v
    LEFT JOIN invoices i ON i.customer_id = v.customer_id AND i.number = v.number""")
_INVOICES_BY_PLACE = text("CREATE UNIQUE INDEX ON invoices_first (place)")
_INVOICES_ANALYZED = text("ANALYZE invoices_first")
_INVOICES_FORGOTTEN = text("DROP TABLE invoices_first")
_OF_STRANGERS = "FROM invoices_said s WHERE NOT EXISTS (SELECT 1 FROM customers c WHERE c.number = s.customer)"
_OF_OTHERS = """FROM invoices_said s JOIN invoices_first f ON f.customer = s.customer AND f.number = s.number
    WHERE (s.invoice_date, s.due_date, s.currency, s.total_minor)
          IS DISTINCT FROM (f.invoice_date, f.due_date, f.currency, f.total_minor)"""
_INVOICES_COUNTED = text(f"""
    SELECT (SELECT count(place) FROM invoices_first),
           (SELECT count(*) {_OF_STRANGERS}) + (SELECT count(*) {_OF_OTHERS})""")
_STRANGERS = text(f"SELECT s.line, s.customer {_OF_STRANGERS} ORDER BY s.line LIMIT :most")
_OTHERS = text(f"""
    SELECT s.line, s.customer, s.number, s.invoice_date, s.due_date, s.currency, s.total_minor,
           f.invoice_date AS was_invoice_date, f.due_date AS was_due_date, f.currency AS was_currency,
           f.total_minor AS was_total_minor
    {_OF_OTHERS} ORDER BY s.line LIMIT :most""")
# The entries of the journal are those of `ledger.billed`, in the order of days, by which the journal is searched.
_INVOICES_NEW = text("""
    WITH kept AS (
        INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor, balance_minor, state,
                              created_at)
        SELECT v.customer_id, v.number, v.invoice_date, v.due_date, v.currency, v.total_minor, v.total_minor, 'pending',
               :now
        FROM invoices_first v WHERE v.place > :after AND v.place <= :until ORDER BY v.place
        ON CONFLICT (customer_id, number) DO NOTHING
        RETURNING id, customer_id, invoice_date, currency, total_minor
    ), told AS (
        INSERT INTO events (at, what, customer_id, invoice_id, to_state, by)
        SELECT :now, 'invoice.created', customer_id, id, 'pending', :by FROM kept ORDER BY id
    ), booked AS (
        INSERT INTO journal (at, post_date, kind, customer_id, invoice_id, currency, accounts, amounts_minor)
        SELECT :now, invoice_date, :kind, customer_id, id, currency, CAST(:accounts AS text[]),
               ARRAY[total_minor * :first, total_minor * :second]
        FROM kept ORDER BY invoice_date, id
    )
    SELECT count(*) FROM kept""")


class InvoicesImport:
    """The invoices of a file, each with its entry in the journal (B1); one that comes again changes nothing."""

    def __init__(self, conn: Connection, now: datetime, by: str) -> None:
        self._conn = conn
        entry = ledger.billed(1)
        first, second = entry.amounts_minor
        self._values = {
            "now": now,
            "by": by,
            "kind": ledger.Kind.BILLED.value,
            "accounts": entry.accounts,
            "first": first,
            "second": second,
        }
        conn.execute(_INVOICES_SAID)

    @contextmanager
    def copying(self) -> Iterator[Callable[[int, NewInvoice], None]]:
        """Take rows, each with its line, until the block ends; the database can be asked nothing else in it."""
        columns = "invoices_said (line, customer, number, invoice_date, due_date, currency, total_minor)"
        with _copying(self._conn, columns) as write:

            def take(line: int, given: NewInvoice) -> None:
                days = given.invoice_date, given.due_date
                write((line, given.customer, given.number, *days, given.currency, given.total_minor))

            yield take

    def judge(self, most: int) -> Judged:
        """Refused are invoices of customers whom nobody knows, and such as were said or recorded with other content."""
        self._conn.execute(_INVOICES_SAID_ANALYZED)
        for statement in (_INVOICES_FIRST, _INVOICES_BY_PLACE, _INVOICES_ANALYZED):
            self._conn.execute(statement)
        fresh, refused = self._conn.execute(_INVOICES_COUNTED).one()
        if not refused:
            return Judged(fresh, 0)
        strangers = self._conn.execute(_STRANGERS, {"most": most})
        others = self._conn.execute(_OTHERS, {"most": most})
        first = [(row.line, [no_such_customer(row.customer)]) for row in strangers]
        first += [(row.line, _differing(row)) for row in others]
        return Judged(fresh, refused, tuple(sorted(first, key=itemgetter(0))[:most]))

    def record(self, judged: Judged, most: int, done: Done) -> Judged:
        """Record what is new; what others recorded meanwhile is judged again."""
        created = _by_steps(self._conn, _INVOICES_NEW, self._values, judged.fresh, done)
        if created == judged.fresh:
            return judged
        self._conn.execute(_INVOICES_FORGOTTEN)
        return replace(self.judge(most), fresh=created)


def _differing(row: Row[Any]) -> list[Fault]:
    said, was = (
        NewInvoice(row.customer, row.number, *(getattr(row, f"{before}{name}") for name in CONTENT))
        for before in ("", "was_")
    )
    return other_content(said, was)


@contextmanager
def _copying(conn: Connection, into: str) -> Iterator[Callable[[Sequence[object]], None]]:
    driver: psycopg.Connection[Any] = conn.connection.driver_connection  # type: ignore[assignment]
    with driver.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        yield copy.write_row


def _by_steps(conn: Connection, statement: TextClause, values: Mapping[str, Any], count: int, done: Done) -> int:
    """Record rows by their places: how many were new."""
    created = 0
    for after in range(0, count, STEP):
        until = min(after + STEP, count)
        created += conn.execute(statement, {**values, "after": after, "until": until}).scalar_one()
        done(until, count)
    return created
