"""Which request asked for a payment or batch: kept where traces are sent, for a task whose message was lost (D1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

MOST: Final = 50
"""Requests that one task is told of."""

_KEEP = {
    table: text(f"UPDATE {table} SET traceparent = :traceparent WHERE id = :id AND traceparent IS NULL")
    for table in ("batches", "payments")
}
_ASKED = text("""
    SELECT DISTINCT coalesce(p.traceparent, b.traceparent) AS traceparent
    FROM payments p LEFT JOIN batches b ON b.id = p.batch_id
    WHERE p.id = ANY(CAST(:ids AS bigint[])) AND coalesce(p.traceparent, b.traceparent) IS NOT NULL
    ORDER BY 1 LIMIT :most""")


def keep_payment(conn: Connection, payment_id: int, traceparent: str) -> None:
    """Remember the request that asked for this payment alone."""
    conn.execute(_KEEP["payments"], {"id": payment_id, "traceparent": traceparent})


def keep_batch(conn: Connection, batch_id: int, traceparent: str) -> None:
    """Remember the request that submitted this batch first."""
    conn.execute(_KEEP["batches"], {"id": batch_id, "traceparent": traceparent})


def asked(conn: Connection, payment_ids: Sequence[int]) -> list[str]:
    """The requests that asked for these payments, as far as they are known; at most `MOST`."""
    return list(conn.execute(_ASKED, {"ids": list(payment_ids), "most": MOST}).scalars())
