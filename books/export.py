"""What is handed to other programs: customers, invoices, payments, credits, deposits and the journal, row by row.

Each is one query of one snapshot, read through a cursor of the server's, so that memory stays flat. A column whose name
ends in `_minor` is money of the row's currency, in minor units. Notes, card tokens and what gateways said are left out
(R6, C1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, text

from models.engine import snapshot

AT_A_TIME: Final = 1_000
"""Rows that are fetched at once."""


class What(StrEnum):
    """What can be exported."""

    CUSTOMERS = "customers"
    INVOICES = "invoices"
    PAYMENTS = "payments"
    CREDITS = "credits"
    DEPOSITS = "deposits"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class Asked:
    """What of it: days from the first to the last, both whole and None where open, and one currency or all.

    Invoices go by their date, payments, deposits and the journal by the post date, customers and credits by the day on
    which they were recorded; such days, and those of payments that are not posted, are days in `zone`.
    """

    zone: str
    first: date | None = None
    last: date | None = None
    currency: str | None = None


def _within(day: str, currency: str | None = None) -> str:
    parts = [
        f"(CAST(:first AS date) IS NULL OR {day} >= :first)",
        f"(CAST(:last AS date) IS NULL OR {day} <= :last)",
        f"(CAST(:currency AS text) IS NULL OR {currency} = :currency)" if currency else "true",
    ]
    return " AND ".join(parts)


def _recorded(moment: str) -> str:
    return f"CAST({moment} AT TIME ZONE :zone AS date)"


_CUSTOMERS: Final = f"""
    SELECT c.number, c.name, c.email, c.phone, c.created_at
    FROM customers c WHERE {_within(_recorded("c.created_at"))} ORDER BY c.id"""
_INVOICES: Final = f"""
    SELECT c.number AS customer, c.name AS customer_name, i.number, i.invoice_date, i.due_date, i.currency,
           i.total_minor AS amount_minor, i.balance_minor, i.state, i.created_at
    FROM invoices i JOIN customers c ON c.id = i.customer_id
    WHERE {_within("i.invoice_date", "i.currency")} ORDER BY i.id"""
_PAYMENTS: Final = f"""
    SELECT p.id AS payment, c.number AS customer, c.name AS customer_name, p.method, p.number, p.currency,
           p.total_minor AS amount_minor, p.charged_minor, p.applied_minor, p.credited_minor, p.refunded_minor,
           p.charged_back_minor, p.state, p.post_date,
           ARRAY(SELECT i.number FROM allocations a JOIN invoices i ON i.id = a.invoice_id
                 WHERE a.payment_id = p.id AND a.reversed_minor < a.amount_minor ORDER BY a.id) AS invoices,
           p.gateway, p.card_brand, p.card_last_four, p.idempotency_key, p.recorded_at
    FROM payments p JOIN customers c ON c.id = p.customer_id
    WHERE {_within(f"coalesce(p.post_date, {_recorded('p.recorded_at')})", "p.currency")} ORDER BY p.id"""
_CREDITS: Final = f"""
    SELECT k.id AS credit, c.number AS customer, c.name AS customer_name, k.currency, k.amount_minor, k.balance_minor,
           k.taken_back_minor, k.payment_id AS payment, k.note, k.created_at
    FROM credits k JOIN customers c ON c.id = k.customer_id
    WHERE {_within(_recorded("k.created_at"), "k.currency")} ORDER BY k.id"""
_LINES: Final = """
    FROM journal j
    CROSS JOIN LATERAL unnest(j.accounts, j.amounts_minor) WITH ORDINALITY AS line (account, amount_minor, place)
    JOIN customers c ON c.id = j.customer_id"""
_DEPOSITS: Final = f"""
    SELECT j.post_date AS day, j.id AS entry, j.kind, line.account, j.currency, line.amount_minor,
           c.number AS customer, c.name AS customer_name, j.payment_id AS payment, p.method, p.number, p.card_brand,
           p.card_last_four
    {_LINES} JOIN payments p ON p.id = j.payment_id
    WHERE (line.account LIKE 'cash:%' OR line.account LIKE 'clearing:%') AND {_within("j.post_date", "j.currency")}
    ORDER BY j.id, line.place"""
_JOURNAL: Final = f"""
    SELECT j.id AS entry, j.post_date AS day, j.kind, c.number AS customer, c.name AS customer_name,
           i.number AS invoice, j.payment_id AS payment, line.account, j.currency, line.amount_minor, j.at
    {_LINES} LEFT JOIN invoices i ON i.id = j.invoice_id
    WHERE {_within("j.post_date", "j.currency")} ORDER BY j.id, line.place"""
_ROWS: Final = {
    What.CUSTOMERS: text(_CUSTOMERS),
    What.INVOICES: text(_INVOICES),
    What.PAYMENTS: text(_PAYMENTS),
    What.CREDITS: text(_CREDITS),
    What.DEPOSITS: text(_DEPOSITS),
    What.JOURNAL: text(_JOURNAL),
}
_CURRENCIES: Final = {
    What.INVOICES: text(f"SELECT DISTINCT i.currency FROM invoices i WHERE {_within('i.invoice_date', 'i.currency')}"),
    What.PAYMENTS: text(f"""
        SELECT DISTINCT p.currency FROM payments p
        WHERE {_within(f"coalesce(p.post_date, {_recorded('p.recorded_at')})", "p.currency")}"""),
    What.JOURNAL: text(f"SELECT DISTINCT j.currency FROM journal j WHERE {_within('j.post_date', 'j.currency')}"),
}
_ACCOUNTS: Final = text(f"""
    SELECT line.account, j.currency, min(j.post_date) AS day
    FROM journal j CROSS JOIN LATERAL unnest(j.accounts) AS line (account)
    WHERE {_within("j.post_date", "j.currency")} GROUP BY line.account, j.currency
    ORDER BY day, line.account, j.currency""")


def reading(engine: Engine) -> AbstractContextManager[Connection]:
    """One snapshot in which nothing can be written."""
    return snapshot(engine).execution_options(postgresql_readonly=True).begin()


def rows(conn: Connection, what: What, asked: Asked) -> Iterator[Row[Any]]:
    """The rows, as they are read; lines of the journal come entry by entry."""
    with conn.execute(_ROWS[what], _values(asked), execution_options={"yield_per": AT_A_TIME}) as found:
        yield from found


def columns(conn: Connection, what: What, asked: Asked) -> tuple[str, ...]:
    """The names of the columns, also where there is no row."""
    return tuple(conn.execute(text(f"SELECT * FROM ({_ROWS[what].text}) AS every LIMIT 0"), _values(asked)).keys())


def currencies(conn: Connection, what: What, asked: Asked) -> list[str]:
    """The currencies of what was asked for."""
    return sorted(conn.execute(_CURRENCIES[what], _values(asked)).scalars())


def accounts(conn: Connection, asked: Asked) -> list[tuple[str, str, date]]:
    """Accounts of the journal, each with a currency and the first day on which it moved."""
    return [(row.account, row.currency, row.day) for row in conn.execute(_ACCOUNTS, _values(asked))]


def _values(asked: Asked) -> dict[str, object]:
    return {"zone": asked.zone, "first": asked.first, "last": asked.last, "currency": asked.currency}
