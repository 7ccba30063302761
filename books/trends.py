"""What charts are drawn of: retries that recovered a payment, declines by reason, money by day.

Reads only. A span of days is found by the BRIN indexes of what only grows; answers have few rows, however long it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, text

REASONS_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Recovered:
    """Payments that were approved at this attempt after softer declines, in one currency, in minor units."""

    attempt: int
    currency: str
    payments: int
    sum_minor: int


@dataclass(frozen=True, slots=True)
class Retried:
    """Of the payments whose decline in the span was a soft one: how many there are, and how many were paid since."""

    declined: int
    recovered: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Declined sales for one reason, as the gateway said it."""

    decline_class: str
    gateway: str
    code: str
    message: str
    declines: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What came in on one day by one method."""

    day: date
    method: str
    payments: int
    sum_minor: int


_SOFT: Final = "state = 'declined' AND decline_class LIKE 'soft%'"
# What never reached the issuer is no attempt of the card: declined sales before the approved one are counted.
_RECOVERED = text(f"""
    SELECT 1 + e.declines AS attempt, t.currency, count(*) AS payments, CAST(sum(t.amount_minor) AS bigint) AS sum_minor
    FROM gateway_transactions t
    CROSS JOIN LATERAL (
        SELECT count(*) AS declines FROM gateway_transactions
        WHERE payment_id = t.payment_id AND operation = 'sale' AND {_SOFT} AND id < t.id) AS e
    WHERE t.started_at >= :since AND t.started_at < :until AND t.operation = 'sale' AND t.state = 'approved'
      AND e.declines > 0
    GROUP BY 1, 2 ORDER BY 1, 2""")
_RETRIED = text(f"""
    WITH declined AS (
        SELECT DISTINCT payment_id FROM gateway_transactions
        WHERE started_at >= :since AND started_at < :until AND operation = 'sale' AND {_SOFT}
    )
    SELECT count(*) AS declined, count(*) FILTER (WHERE EXISTS (
        SELECT FROM gateway_transactions t
        WHERE t.payment_id = d.payment_id AND t.operation = 'sale' AND t.state = 'approved')) AS recovered
    FROM declined d""")
_REASONS = text("""
    SELECT coalesce(decline_class, '') AS decline_class, gateway, code, message, count(*) AS declines
    FROM gateway_transactions
    WHERE started_at >= :since AND started_at < :until AND operation = 'sale' AND state = 'declined'
    GROUP BY 1, 2, 3, 4 ORDER BY declines DESC, 1, 2, 3, 4 LIMIT :most""")
_DECLINES = text("""
    SELECT coalesce(decline_class, '') AS decline_class, count(*) AS declines FROM gateway_transactions
    WHERE started_at >= :since AND started_at < :until AND operation = 'sale' AND state = 'declined'
    GROUP BY 1 ORDER BY declines DESC, 1""")
_TAKEN = text("""
    SELECT entry.post_date AS day,
           CASE WHEN line.account LIKE 'clearing:%' THEN 'credit_card' ELSE split_part(line.account, ':', 2) END
               AS method,
           count(*) AS payments, CAST(sum(line.amount_minor) AS bigint) AS sum_minor
    FROM journal AS entry CROSS JOIN LATERAL unnest(entry.accounts, entry.amounts_minor) AS line (account, amount_minor)
    WHERE entry.post_date BETWEEN :first AND :last AND entry.currency = :currency AND line.amount_minor > 0
      AND entry.kind IN ('posted', 'charged_unwanted')
      AND (line.account LIKE 'cash:%' OR line.account LIKE 'clearing:%')
    GROUP BY 1, 2 ORDER BY 1, 2""")
_CURRENCIES = text("""
    SELECT currency FROM journal WHERE post_date BETWEEN :first AND :last GROUP BY 1 ORDER BY count(*) DESC, 1""")


def recovered(conn: Connection, since: datetime, until: datetime) -> list[Recovered]:
    """Approved sales of the span that came after soft declines, by the number of the attempt and currency."""
    return [Recovered(**row._mapping) for row in conn.execute(_RECOVERED, {"since": since, "until": until})]


def retried(conn: Connection, since: datetime, until: datetime) -> Retried:
    """How many payments met a soft decline in the span, and how many of them were paid at any time since."""
    return Retried(**conn.execute(_RETRIED, {"since": since, "until": until}).one()._mapping)


def declines(conn: Connection, since: datetime, until: datetime) -> dict[str, int]:
    """Declined sales of the span by their class, the most frequent first."""
    rows = conn.execute(_DECLINES, {"since": since, "until": until})
    return {row.decline_class: row.declines for row in rows}


def reasons(conn: Connection, since: datetime, until: datetime, most: int = REASONS_SHOWN) -> list[Reason]:
    """Declined sales of the span by class and by what the gateway said, the most frequent first."""
    asked = {"since": since, "until": until, "most": most}
    return [Reason(**row._mapping) for row in conn.execute(_REASONS, asked)]


def currencies(conn: Connection, first: date, last: date) -> list[str]:
    """The currencies of the books' entries with these post dates, the most frequent first."""
    return list(conn.execute(_CURRENCIES, {"first": first, "last": last}).scalars())


def taken(conn: Connection, first: date, last: date, currency: str) -> list[Taken]:
    """What was paid by post date and method, as the journal has it; what went back is not taken off."""
    asked = {"first": first, "last": last, "currency": currency}
    return [Taken(**row._mapping) for row in conn.execute(_TAKEN, asked)]
