"""A day's deposits from the journal, so that they agree with the books: what came in, and what went back.

A day is a post date. Money is in the accounts cash (by method) and clearing (by gateway); every other account is left
out. Reads only; a day's entries are found by the journal's BRIN index and are sorted by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Total:
    """One account of money on one day: what came in, what went back (above zero), in minor units."""

    account: str
    currency: str
    received: int
    received_minor: int
    returned: int
    returned_minor: int

    @property
    def net_minor(self) -> int:
        """What is left of the day."""
        return self.received_minor - self.returned_minor

    @property
    def method(self) -> str:
        """The payments' method."""
        kind, _, name = self.account.partition(":")
        return name if kind == "cash" else "credit_card"

    @property
    def gateway(self) -> str:
        """Where cards were charged; empty for money that came without a gateway."""
        kind, _, name = self.account.partition(":")
        return name if kind == "clearing" else ""


@dataclass(frozen=True, slots=True)
class Deposit:
    """One entry of the journal that moved money: below zero where it went back."""

    entry_id: int
    account: str
    currency: str
    kind: str
    amount_minor: int
    payment_id: int
    customer_id: int
    customer: str
    customer_name: str
    method: str
    number: str | None
    card_brand: str | None
    card_last_four: str | None


# Materialized: else the planner may walk the whole journal by its key, since few rows in that order are asked for.
_OF_DAY: Final = """
    WITH money AS MATERIALIZED (
        SELECT entry.id, entry.kind, entry.payment_id, entry.customer_id, entry.currency, line.account,
               line.amount_minor
        FROM journal AS entry
        CROSS JOIN LATERAL unnest(entry.accounts, entry.amounts_minor) AS line (account, amount_minor)
        WHERE entry.post_date = :day AND (line.account LIKE 'cash:%' OR line.account LIKE 'clearing:%')
    )"""
_TOTALS = text(f"""
    {_OF_DAY}
    SELECT account, currency, count(*) FILTER (WHERE amount_minor > 0) AS received,
           CAST(coalesce(sum(amount_minor) FILTER (WHERE amount_minor > 0), 0) AS bigint) AS received_minor,
           count(*) FILTER (WHERE amount_minor < 0) AS returned,
           CAST(coalesce(-sum(amount_minor) FILTER (WHERE amount_minor < 0), 0) AS bigint) AS returned_minor
    FROM money GROUP BY account, currency ORDER BY currency, account""")
_LIST = text(f"""
    {_OF_DAY}, part AS (
        SELECT * FROM money
        WHERE (CAST(:account AS text) IS NULL OR account = :account)
          AND (CAST(:currency AS text) IS NULL OR currency = :currency)
          AND (CAST(:after AS bigint) IS NULL OR (currency, account, id) >
               (SELECT m.currency, m.account, m.id FROM money m WHERE m.id = :after LIMIT 1))
        ORDER BY currency, account, id LIMIT :most
    )
    SELECT m.id AS entry_id, m.account, m.currency, m.kind, m.amount_minor, m.payment_id, m.customer_id,
           c.number AS customer, c.name AS customer_name, p.method, p.number, p.card_brand, p.card_last_four
    FROM part m JOIN payments p ON p.id = m.payment_id JOIN customers c ON c.id = m.customer_id
    ORDER BY m.currency, m.account, m.id""")


def totals(conn: Connection, day: date) -> list[Total]:
    """The day's money by currency and account."""
    return [Total(**row._mapping) for row in conn.execute(_TOTALS, {"day": day})]


def deposits(
    conn: Connection,
    day: date,
    most: int,
    after: int | None = None,
    account: str | None = None,
    currency: str | None = None,
) -> list[Deposit]:
    """The day's entries by currency, account and their order; those after the entry that is given."""
    asked = {"day": day, "most": most, "after": after, "account": account, "currency": currency}
    return [Deposit(**row._mapping) for row in conn.execute(_LIST, asked)]


def every(conn: Connection, day: date, at_a_time: int = 5_000) -> Iterator[Sequence[Deposit]]:
    """All of the day's entries, so many at a time."""
    after = None
    while part := deposits(conn, day, at_a_time, after):
        yield part
        after = part[-1].entry_id


def by_currency(of_day: Sequence[Total]) -> list[Total]:
    """The sums of each currency, as totals of no account."""
    return [
        Total(
            "",
            currency,
            sum(one.received for one in mine),
            sum(one.received_minor for one in mine),
            sum(one.returned for one in mine),
            sum(one.returned_minor for one in mine),
        )
        for currency in sorted({one.currency for one in of_day})
        for mine in [[one for one in of_day if one.currency == currency]]
    ]
