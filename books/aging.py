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
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Aging:
    """What is owed in one currency, by days past the due date; minor units."""

    currency: str
    due_minor: int
    current_minor: int
    to_30_minor: int
    to_60_minor: int
    to_90_minor: int
    over_90_minor: int

    @property
    def overdue_minor(self) -> int:
        """What is past its due date."""
        return self.due_minor - self.current_minor


@dataclass(frozen=True, slots=True)
class Owes:
    """What one customer owes."""

    customer_id: int
    number: str
    name: str
    aging: Aging


# Whatever changed after the day belongs to a payment with an entry dated after it (B1): a few pages of the journal.
_MOVED_LATER: Final = "SELECT DISTINCT payment_id FROM journal WHERE post_date > :day AND payment_id IS NOT NULL"
_BILLED_LATER: Final = "i.id IN (SELECT invoice_id FROM journal WHERE post_date > :day AND kind = 'billed')"
_OF_CUSTOMER: Final = "SELECT id AS payment_id FROM payments WHERE customer_id = :customer_id"
_BILLED_LATER_TO_CUSTOMER: Final = "i.customer_id = :customer_id AND i.invoice_date > :day"
_OWED: Final = """
    WITH touched AS MATERIALIZED ({touched}), parts AS (
        SELECT a.invoice_id, a.amount_minor, a.reversed_minor, a.reversed_at, p.post_date > :day AS later
        FROM touched t JOIN payments p ON p.id = t.payment_id JOIN allocations a ON a.payment_id = p.id
        UNION ALL
        SELECT a.invoice_id, a.amount_minor, a.reversed_minor, a.reversed_at,
               p.post_date > :day OR a.created_at >= :until
        FROM touched t JOIN payments p ON p.id = t.payment_id
        JOIN credits c ON c.payment_id = p.id JOIN allocations a ON a.credit_id = c.id
    ), undone AS (
        SELECT invoice_id, sum(CASE WHEN later THEN amount_minor - reversed_minor ELSE -reversed_minor END) AS moved
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
_SUMS: Final = ", ".join(
    f"CAST(coalesce(sum(owed){condition}, 0) AS bigint) AS {name}_minor"
    for name, condition in (
        ("due", ""),
        ("current", " FILTER (WHERE late <= 0)"),
        ("to_30", " FILTER (WHERE late BETWEEN 1 AND 30)"),
        ("to_60", " FILTER (WHERE late BETWEEN 31 AND 60)"),
        ("to_90", " FILTER (WHERE late BETWEEN 61 AND 90)"),
        ("over_90", " FILTER (WHERE late > 90)"),
    )
)
_EVERYBODYS: Final = _OWED.format(touched=_MOVED_LATER, mine="true", billed_later=_BILLED_LATER)
_ONES: Final = _OWED.format(
    touched=_OF_CUSTOMER, mine="i.customer_id = :customer_id", billed_later=_BILLED_LATER_TO_CUSTOMER
)
_TOTALS = text(f"{_EVERYBODYS} SELECT currency, {_SUMS} FROM owed GROUP BY 1 HAVING sum(owed) <> 0 ORDER BY 1")
_ONE = text(f"{_ONES} SELECT currency, {_SUMS} FROM owed GROUP BY 1 HAVING sum(owed) <> 0 ORDER BY 1")
_CUSTOMERS: Final = f"""
    {_EVERYBODYS}, by_customer AS (
        SELECT customer_id, currency, {_SUMS} FROM owed GROUP BY 1, 2 HAVING sum(owed) <> 0
    )"""
_WORST_FIRST: Final = "due_minor - current_minor DESC, due_minor DESC, customer_id"
_PAGE = text(f"""
    {_CUSTOMERS}, page AS (
        SELECT * FROM by_customer WHERE currency = :currency ORDER BY {_WORST_FIRST} LIMIT :most OFFSET :skip
    )
    SELECT page.*, c.number, c.name FROM page JOIN customers c ON c.id = page.customer_id ORDER BY {_WORST_FIRST}""")
_EVERYBODY = text(f"""
    {_CUSTOMERS} SELECT b.*, c.number, c.name FROM by_customer b JOIN customers c ON c.id = b.customer_id
    ORDER BY currency, {_WORST_FIRST}""")


def totals(conn: Connection, day: date, zone: ZoneInfo) -> list[Aging]:
    """All that was owed at the end of that business day, by currency."""
    return [Aging(**row._mapping) for row in conn.execute(_TOTALS, _at_the_end_of(day, zone))]


def of_customer(conn: Connection, customer_id: int, day: date, zone: ZoneInfo) -> list[Aging]:
    """What one customer owed at the end of that business day, by currency."""
    found = conn.execute(_ONE, {**_at_the_end_of(day, zone), "customer_id": customer_id})
    return [Aging(**row._mapping) for row in found]


def customers(conn: Connection, day: date, zone: ZoneInfo, currency: str, most: int, skip: int = 0) -> list[Owes]:
    """Who owed in that currency, the ones with the most overdue first."""
    asked = {**_at_the_end_of(day, zone), "currency": currency, "most": most, "skip": skip}
    return [_owes(row) for row in conn.execute(_PAGE, asked)]


def everybody(conn: Connection, day: date, zone: ZoneInfo) -> Iterator[Owes]:
    """Who owed, by currency, the ones with the most overdue first; read as they come, and never all at once."""
    with conn.execution_options(yield_per=1_000).execute(_EVERYBODY, _at_the_end_of(day, zone)) as rows:
        for row in rows:
            yield _owes(row)


def _owes(row: Any) -> Owes:
    sums = dict(row._mapping)
    return Owes(sums.pop("customer_id"), sums.pop("number"), sums.pop("name"), Aging(**sums))


def _at_the_end_of(day: date, zone: ZoneInfo) -> dict[str, date | datetime]:
    return {"day": day, "until": datetime.combine(day + timedelta(days=1), time(), zone)}
