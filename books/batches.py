"""Batches for people to look at: all of them, how fast one goes, and when its payments were posted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

COUNTED: Final = 100_000
"""A batch's payments in one state are counted so far in the list of all."""
PARTS: Final = 60
"""Bars of a chart, at most."""
_DAY: Final = timedelta(days=1)
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
_OVER: Final = ("posted", "declined", "cancelled", "voided")


@dataclass(frozen=True, slots=True)
class Batch:
    """One line of the list. Counts end at COUNTED each."""

    id: int
    label: str
    state: str
    created_at: datetime
    created_by: str
    by_state: dict[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a batch is: asked again and again while somebody looks, so by index."""

    payments: int
    finished: int
    waiting: int  # for their next attempt, for an answer to be looked up, or for a person
    by_state: dict[str, int]

    @property
    def ended(self) -> bool:
        """Whether all that could be done now is done."""
        return self.finished + self.waiting == self.payments


@dataclass(frozen=True, slots=True)
class Part:
    """Payments that were posted from a moment on, for so long as the chart's step."""

    at: datetime
    posted: int


@dataclass(frozen=True, slots=True)
class Pace:
    """When a batch's payments were posted: in parts of `step`, and how many came `later` than is drawn."""

    step: timedelta
    parts: tuple[Part, ...]
    later: int


_STATES: Final = (
    "VALUES ('requested'), ('charging'), ('retrying'), ('review'), ('posted'), ('declined'), ('cancelled'), ('voided')"
)
_LATEST = text(f"""
    SELECT b.id, b.label, b.state, b.created_at, b.created_by, s.state AS of_state, n.payments
    FROM (SELECT * FROM batches WHERE id < :before ORDER BY id DESC LIMIT :most) AS b
    CROSS JOIN ({_STATES}) AS s(state)
    CROSS JOIN LATERAL (SELECT count(*) AS payments FROM (
        SELECT 1 FROM payments p WHERE p.batch_id = b.id AND p.state = s.state LIMIT :counted) AS some_of) AS n
    ORDER BY b.id DESC""")


def latest(conn: Connection, before: int, most: int) -> tuple[Batch, ...]:
    """Batches with an id below `before`, the latest first."""
    rows = conn.execute(_LATEST, {"before": before, "most": most, "counted": COUNTED}).all()
    by_state: dict[int, dict[str, int]] = defaultdict(dict)
    for row in rows:
        if row.payments:
            by_state[row.id][row.of_state] = row.payments
    found = {row.id: row for row in rows}
    return tuple(
        Batch(row.id, row.label, row.state, row.created_at, row.created_by, by_state[row.id]) for row in found.values()
    )


_BY_STATE = text("SELECT state, count(*) AS payments FROM payments WHERE batch_id = :id GROUP BY 1 ORDER BY 1")
_UNKNOWN = text("""
    SELECT count(*) FROM payments p WHERE p.batch_id = :id AND p.state = 'charging' AND EXISTS (
        SELECT 1 FROM gateway_transactions t WHERE t.payment_id = p.id AND t.operation = 'sale' AND t.state = 'unknown')
    """)


def counts(conn: Connection, batch_id: int) -> Counts:
    """How far a batch is; none at all of one that is not there."""
    by_state = {row.state: row.payments for row in conn.execute(_BY_STATE, {"id": batch_id})}
    unknown = conn.execute(_UNKNOWN, {"id": batch_id}).scalar_one() if "charging" in by_state else 0
    return Counts(
        payments=sum(by_state.values()),
        finished=sum(by_state.get(state, 0) for state in _OVER),
        waiting=by_state.get("retrying", 0) + by_state.get("review", 0) + unknown,
        by_state=by_state,
    )


# What was posted days later by a retry would press the rest into one bar: the last fiftieth is counted, not drawn.
_SPAN = text("""
    SELECT min(posted_at) AS first, percentile_disc(0.98) WITHIN GROUP (ORDER BY posted_at) AS last
    FROM payments WHERE batch_id = :id AND state IN ('posted', 'voided')""")
_PARTS = text("""
    SELECT least(floor(extract(epoch FROM posted_at - :first) / :step), :parts) AS part, count(*) AS posted
    FROM payments WHERE batch_id = :id AND state IN ('posted', 'voided') GROUP BY 1""")


def pace(conn: Connection, batch_id: int) -> Pace | None:
    """When a batch's payments were posted; None before the first one."""
    span = conn.execute(_SPAN, {"id": batch_id}).one()
    if span.first is None:
        return None
    step = step_of(span.last - span.first)
    parts = (span.last - span.first) // step + 1
    asked = {"id": batch_id, "first": span.first, "step": step.total_seconds(), "parts": parts}
    posted = {int(row.part): row.posted for row in conn.execute(_PARTS, asked)}
    drawn = tuple(Part(span.first + place * step, posted.get(place, 0)) for place in range(parts))
    return Pace(step, drawn, posted.get(parts, 0))


def step_of(span: timedelta) -> timedelta:
    """A round length of time of which at most PARTS fill the span."""
    steps = (timedelta(seconds=step) for step in _STEPS)
    return next((step for step in steps if span < PARTS * step), (span // (PARTS * _DAY) + 1) * _DAY)
