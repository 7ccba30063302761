"""What went over each gateway since a moment: a bounded span, by the index over the time at which calls began."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Traffic:
    """Operations at one gateway by what came of them; `undecided` is under way, unknown or held for review."""

    gateway: str
    approved: int
    declined: int
    failed: int
    undecided: int
    voids: int
    refunds: int


_SINCE = text("""
    SELECT gateway,
           count(*) FILTER (WHERE operation = 'sale' AND state IN ('approved', 'surplus')) AS approved,
           count(*) FILTER (WHERE operation = 'sale' AND state = 'declined') AS declined,
           count(*) FILTER (WHERE operation = 'sale' AND state = 'failed') AS failed,
           count(*) FILTER (WHERE state IN ('started', 'unknown', 'review')) AS undecided,
           count(*) FILTER (WHERE operation = 'void' AND state = 'approved') AS voids,
           count(*) FILTER (WHERE operation = 'refund' AND state = 'approved') AS refunds
    FROM gateway_transactions WHERE started_at >= :since GROUP BY gateway""")


def traffic(conn: Connection, since: datetime) -> dict[str, Traffic]:
    """By the gateway's name; one that nothing went over is not there."""
    return {row.gateway: Traffic(**row._mapping) for row in conn.execute(_SINCE, {"since": since})}
