"""Figures for those who watch over Defray: bounded, or by small indexes alone, however large the tables are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

COUNTED_TO: Final = 10_000
"""How far what is under way is counted, and of how many payments the latest ones are."""


@dataclass(frozen=True, slots=True)
class Due:
    """What waits for a step: for how many whole seconds the oldest has been due (0: none is), and how much there is.

    Counted to COUNTED_TO; of payments to so many single ones and so many of batches.
    """

    step: str
    oldest_seconds: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Gauges:
    """The figures of one moment."""

    under_way: Mapping[tuple[str, str], int]
    latest: Mapping[tuple[str, str], int]
    due: tuple[Due, ...]
    unknown: int
    refunds_waiting: int


# Each part goes by a partial index that holds only what is not finished.
UNDER_WAY = text("""
    SELECT state, method, count(*) AS payments FROM (
        (SELECT state, method FROM payments WHERE next_step IS NOT NULL LIMIT :most)
        UNION ALL
        (SELECT state, method FROM payments
         WHERE gateway IS NOT NULL AND state IN ('requested', 'charging', 'retrying', 'review') AND state = 'charging'
         LIMIT :most)
        UNION ALL
        (SELECT state, method FROM payments WHERE state = 'review' LIMIT :most)) AS found
    GROUP BY state, method""")
LATEST = text("""
    SELECT state, method, count(*) AS payments FROM (
        SELECT state, method FROM payments ORDER BY id DESC LIMIT :most) AS found
    GROUP BY state, method""")
_OLDEST: Final = "CAST(coalesce(greatest(extract(epoch FROM CAST(:now AS timestamptz) - min(due_at)), 0), 0) AS bigint)"


def _due(table: str, step: str) -> str:
    return f"""(
        SELECT '{step}' AS step, {_OLDEST} AS oldest_seconds, count(*) AS waiting FROM (
            SELECT due_at FROM {table} WHERE next_step = '{step}' ORDER BY due_at LIMIT :most) AS found)"""


def _of_payments(step: str) -> str:
    """Ordered as their index is: single payments, and those of batches, the oldest batch first."""
    return f"""(
        SELECT '{step}' AS step, {_OLDEST} AS oldest_seconds, count(*) AS waiting FROM (
            (SELECT due_at FROM payments WHERE next_step = '{step}' AND batch_id IS NULL
             ORDER BY customer_id LIMIT :most)
            UNION ALL
            (SELECT due_at FROM payments WHERE next_step = '{step}' AND batch_id IS NOT NULL
             ORDER BY batch_id LIMIT :most)) AS found)"""


_OTHERS: Final = (
    ("gateway_transactions", "inquire"),
    *(("reversals", step) for step in ("void", "confirm", "refund", "watch")),
    ("webhook_deliveries", "deliver"),
    ("notices", "verify"),
)
_OF_MAILS: Final = f"""(
    SELECT 'mail' AS step, {_OLDEST} AS oldest_seconds, count(*) AS waiting FROM (
        (SELECT due_at FROM mails WHERE next_step = 'mail' ORDER BY due_at LIMIT :most)
        UNION ALL
        (SELECT due_at FROM card_notices WHERE next_step = 'mail' ORDER BY due_at LIMIT :most)) AS found)"""
_OF_SCHEDULES: Final = f"""(
    SELECT 'schedule' AS step, {_OLDEST} AS oldest_seconds, count(*) AS waiting FROM (
        SELECT due_at FROM schedules WHERE due_at IS NOT NULL ORDER BY due_at LIMIT :most) AS found)"""
DUE = text(
    " UNION ALL ".join(
        [
            *map(_of_payments, ("post", "charge")),
            *(_due(table, step) for table, step in _OTHERS),
            _OF_MAILS,
            _OF_SCHEDULES,
        ]
    )
)
UNKNOWN = text("""
    SELECT count(*) FROM (
        SELECT 1 FROM gateway_transactions
        WHERE operation = 'sale' AND state IN ('unknown', 'review') AND state = 'unknown' LIMIT :most) AS found""")
REFUNDS = text("""
    SELECT count(*) FROM (
        (SELECT 1 FROM reversals WHERE next_step = 'refund' LIMIT :most)
        UNION ALL
        (SELECT 1 FROM reversals WHERE purpose = 'void' AND state = 'refund_awaiting_approval'
         LIMIT :most)) AS found""")


def gauges(conn: Connection, now: datetime) -> Gauges:
    """How things stand."""
    known = {"now": now, "most": COUNTED_TO}
    under_way, latest = (
        {(row.state, row.method): row.payments for row in conn.execute(question, known)}
        for question in (UNDER_WAY, LATEST)
    )
    due = tuple(Due(row.step, row.oldest_seconds, row.waiting) for row in conn.execute(DUE, known))
    unknown, refunds = (int(conn.execute(question, known).scalar_one()) for question in (UNKNOWN, REFUNDS))
    return Gauges(under_way, latest, due, unknown, refunds)
