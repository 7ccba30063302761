"""Aging as it stood at the end of any business day: what was owed then, by days past due.

An invoice counts from its invoice date on. What is applied to it counts from the payment's post date on; a credit's
part from the business day on which it was applied, and never before the post date of the payment that the credit came
from. A reversal (a void, a credit taken back) counts from its own business day on, and never before what it reverses:
what was reversed after the day in question still counted as paid on it. Of an application that was reversed in several
parts, the last part's day counts for all. What was paid on an invoice before its own date is an advance: until then it
is taken off what is current.

It is reckoned backwards: from today's balances, what happened after that day is undone. So today costs one look at the
pending invoices, and a day of the past what was moved since.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from rules.calendar import begins


@dataclass(frozen=True, slots=True)
class Aging:
    """What is owed in one currency, by days past the due date; minor units."""

    currency: str
    current_minor: int
    to_30_minor: int
    to_60_minor: int
    to_90_minor: int
    over_90_minor: int

    @property
    def due_minor(self) -> int:
        """All of it."""
        return self.current_minor + self.overdue_minor

    @property
    def overdue_minor(self) -> int:
        """What is past its due date."""
        return self.to_30_minor + self.to_60_minor + self.to_90_minor + self.over_90_minor


@dataclass(frozen=True, slots=True)
class Owes:
    """What one customer owes."""

    customer_id: int
    number: str
    name: str
    aging: Aging


@dataclass(frozen=True, slots=True)
class Standing:
    """What was owed by currency, and by whom in one of them, the ones with the most overdue first."""

    totals: tuple[Aging, ...]
    currency: str | None  # of the customers; None where nothing was owed
    customers: tuple[Owes, ...]


# Whatever changed after the day belongs to a payment with an entry dated after it (B1): a few pages of the journal.
_LATER: Final = """
    later AS MATERIALIZED (
        SELECT payment_id, CASE WHEN kind = 'billed' THEN invoice_id END AS billed_id
        FROM journal WHERE post_date > :day
    ), touched AS MATERIALIZED (SELECT DISTINCT payment_id FROM later WHERE payment_id IS NOT NULL)"""
_BILLED_LATER: Final = "i.id IN (SELECT billed_id FROM later)"
_OF_CUSTOMER: Final = "touched AS (SELECT id AS payment_id FROM payments WHERE customer_id = :customer_id)"
_BILLED_LATER_TO_CUSTOMER: Final = "i.customer_id = :customer_id AND i.invoice_date > :day"
_OWED: Final = """
    WITH {touched}, parts AS (
        SELECT a.invoice_id, a.amount_minor, a.reversed_minor, a.reversed_at, p.post_date > :day AS later
        FROM touched t JOIN payments p ON p.id = t.payment_id JOIN allocations a ON a.payment_id = p.id
        UNION ALL
        SELECT a.invoice_id, a.amount_minor, a.reversed_minor, a.reversed_at,
               p.post_date > :day OR a.created_at >= :until
        FROM touched t JOIN payments p ON p.id = t.payment_id
        JOIN credits c ON c.payment_id = p.id JOIN allocations a ON a.credit_id = c.id
    ), undone AS (
        SELECT invoice_id, CAST(sum(CASE WHEN later THEN amount_minor ELSE 0 END - reversed_minor) AS bigint) AS moved
        FROM parts WHERE later OR reversed_at >= :until GROUP BY 1
    ), owed AS (
        SELECT i.customer_id, i.currency, :day - i.due_date AS late, i.balance_minor AS owed
        FROM invoices i WHERE i.state = 'pending' AND i.invoice_date <= :day AND {mine}
        UNION ALL
        SELECT i.customer_id, i.currency, :day - i.due_date, u.moved
        FROM undone u JOIN invoices i ON i.id = u.invoice_id
        UNION ALL
        SELECT i.customer_id, i.currency, :day - i.due_date, i.balance_minor - i.total_minor
        FROM invoices i WHERE i.state IN ('pending', 'paid') AND {billed_later}
    )"""
_BUCKETS: Final = {
    "current_minor": "late <= 0",
    "to_30_minor": "late BETWEEN 1 AND 30",
    "to_60_minor": "late BETWEEN 31 AND 60",
    "to_90_minor": "late BETWEEN 61 AND 90",
    "over_90_minor": "late > 90",
}
_COLUMNS: Final = ", ".join(_BUCKETS)
_SUMS: Final = ", ".join(
    f"CAST(coalesce(sum(owed) FILTER (WHERE {late}), 0) AS bigint) AS {name}" for name, late in _BUCKETS.items()
)
_SUMS_OF_SUMS: Final = ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in _BUCKETS)
_SOMETHING: Final = f"({_COLUMNS}) <> (0, 0, 0, 0, 0)"
_EVERYBODYS: Final = _OWED.format(touched=_LATER, mine="true", billed_later=_BILLED_LATER)
_ONES: Final = _OWED.format(
    touched=_OF_CUSTOMER, mine="i.customer_id = :customer_id", billed_later=_BILLED_LATER_TO_CUSTOMER
)
_ONE = text(f"""
    {_ONES}, sums AS (SELECT currency, {_SUMS} FROM owed GROUP BY 1)
    SELECT * FROM sums WHERE {_SOMETHING} ORDER BY 1""")
_BY_CUSTOMER: Final = f"""
    {_EVERYBODYS}, by_customer AS MATERIALIZED (
        SELECT customer_id, currency, {_SUMS} FROM owed GROUP BY 1, 2
    )"""
_WORST_FIRST: Final = "to_30_minor + to_60_minor + to_90_minor + over_90_minor DESC, current_minor DESC, customer_id"
# Sums and customers in one look: it is the reading of all that is owed which takes its time.
_STANDING = text(f"""
    {_BY_CUSTOMER}, sums AS (
        SELECT currency, {_SUMS_OF_SUMS} FROM by_customer GROUP BY 1
    ), totals AS (
        SELECT * FROM sums WHERE {_SOMETHING}
    ), page AS (
        SELECT b.* FROM by_customer b
        WHERE currency = coalesce(
            (SELECT currency FROM totals WHERE currency = :currency), (SELECT min(currency) FROM totals))
        AND {_SOMETHING} ORDER BY {_WORST_FIRST} LIMIT :most OFFSET :skip
    )
    SELECT 0 AS place, CAST(NULL AS bigint) AS customer_id, NULL AS number, NULL AS name, currency, {_COLUMNS}
    FROM totals
    UNION ALL
    SELECT row_number() OVER (ORDER BY {_WORST_FIRST}), customer_id, c.number, c.name, currency, {_COLUMNS}
    FROM page JOIN customers c ON c.id = page.customer_id
    ORDER BY place, currency""")
_EVERYBODY = text(f"""
    {_BY_CUSTOMER} SELECT customer_id, c.number, c.name, currency, {_COLUMNS}
    FROM by_customer JOIN customers c ON c.id = customer_id WHERE {_SOMETHING} ORDER BY currency, {_WORST_FIRST}""")


def standing(
    conn: Connection, day: date, zone: ZoneInfo, currency: str = "", most: int = 50, skip: int = 0
) -> Standing:
    """All that was owed at the end of that business day, and some of who owed it.

    The customers are those of `currency`, or of the first one where nothing was owed in it.
    """
    asked = {**_at_the_end_of(day, zone), "currency": currency, "most": most, "skip": skip}
    totals, owing = [], []
    for row in conn.execute(_STANDING, asked):
        if row.customer_id is None:
            totals.append(_aging(row))
        else:
            owing.append(_owes(row))
    known = [one.currency for one in totals]
    chosen = currency if currency in known else next(iter(known), None)
    return Standing(tuple(totals), chosen, tuple(owing))


def of_customer(conn: Connection, customer_id: int, day: date, zone: ZoneInfo) -> list[Aging]:
    """What one customer owed at the end of that business day, by currency."""
    found = conn.execute(_ONE, {**_at_the_end_of(day, zone), "customer_id": customer_id})
    return [_aging(row) for row in found]


def everybody(conn: Connection, day: date, zone: ZoneInfo) -> Iterator[Owes]:
    """Who owed, by currency, the ones with the most overdue first; read as they come, and never all at once."""
    with conn.execution_options(yield_per=1_000).execute(_EVERYBODY, _at_the_end_of(day, zone)) as rows:
        for row in rows:
            yield _owes(row)


def _aging(row: Row[Any]) -> Aging:
    return Aging(row.currency, *(getattr(row, name) for name in _BUCKETS))


def _owes(row: Row[Any]) -> Owes:
    return Owes(row.customer_id, row.number, row.name, _aging(row))


def _at_the_end_of(day: date, zone: ZoneInfo) -> dict[str, date | datetime]:
    return {"day": day, "until": begins(day + timedelta(days=1), zone)}
