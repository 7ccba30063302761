"""What happened since a reader looked last, counted: answers of gateways by how long they took, and events.

The charge road pays nothing for it: what it writes anyway, in the order of ids, is read once more. What is younger than
SETTLED is left for the next look, so that a transaction that commits late is not passed by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, text

SETTLED: Final = timedelta(seconds=20)
"""How old a row is at least when it is counted."""
MOST: Final = 200_000
"""Rows of one look; what is beyond waits for the next."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a reader has come: the last ids that it counted."""

    evidence_id: int
    event_id: int


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of one gateway to one operation: how the transaction stands now, its class where it was declined.

    `within`: a count for each bound that was asked for, and one for what took longer; `milliseconds`: of all together.
    """

    gateway: str
    operation: str
    state: str
    decline_class: str
    within: tuple[int, ...]
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted, and the place up to which."""

    upto: Place
    answers: tuple[Answers, ...]
    events: dict[str, int]


def _last(table: str) -> str:
    return f"""
    SELECT coalesce((SELECT id FROM {table} WHERE at < :settled ORDER BY id DESC LIMIT 1), 0)"""


LAST: Final = {table: text(_last(table)) for table in ("evidence", "events")}
ANSWERS = text("""
    SELECT g.gateway, g.operation, g.state, coalesce(g.decline_class, '') AS decline_class,
           width_bucket(took, CAST(:bounds AS bigint[])) AS bucket,
           count(*) AS answers, CAST(sum(took) AS bigint) AS milliseconds, max(e.id) AS last_id
    FROM (SELECT * FROM evidence WHERE id > :after AND id <= :upto AND kind = 'reply' ORDER BY id LIMIT :most) AS e
    JOIN gateway_transactions g ON g.id = e.gateway_transaction_id
    CROSS JOIN LATERAL CAST(extract(epoch FROM e.at - g.started_at) * 1000 AS bigint) AS took
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4""")
EVENTS = text("""
    SELECT what, count(*) AS events, max(id) AS last_id
    FROM (SELECT * FROM events WHERE id > :after AND id <= :upto ORDER BY id LIMIT :most) AS e GROUP BY what""")


def here(conn: Connection, now: datetime) -> Place:
    """The place of a reader that begins now."""
    found = {table: int(conn.execute(last, {"settled": now - SETTLED}).scalar_one()) for table, last in LAST.items()}
    return Place(found["evidence"], found["events"])


def since(conn: Connection, place: Place, bounds: Sequence[int], now: datetime) -> Counts:
    """What happened after a place; `bounds`: milliseconds, rising."""
    end = here(conn, now)
    known = {"after": place.evidence_id, "upto": end.evidence_id, "most": MOST, "bounds": list(bounds)}
    answers = conn.execute(ANSWERS, known).all()
    events = conn.execute(EVENTS, {"after": place.event_id, "upto": end.event_id, "most": MOST}).all()
    upto = Place(_reached(answers, "answers", end.evidence_id), _reached(events, "events", end.event_id))
    return Counts(upto, tuple(_together(answers, len(bounds))), {row.what: row.events for row in events})


def _reached(rows: Sequence[Row[Any]], counted: str, end: int) -> int:
    """Up to where it was counted: to the end unless there was more. Where tables went back (a restore), so do we."""
    full = sum(getattr(row, counted) for row in rows) == MOST
    return max(row.last_id for row in rows) if full else end


def _together(rows: Sequence[Row[Any]], bounds: int) -> list[Answers]:
    kinds: dict[tuple[str, str, str, str], tuple[list[int], list[int]]] = {}
    for row in rows:
        kind = (row.gateway, row.operation, row.state, row.decline_class)
        within, took = kinds.setdefault(kind, ([0] * (bounds + 1), []))
        within[row.bucket] += row.answers
        took.append(row.milliseconds)
    return [Answers(*kind, tuple(within), sum(took)) for kind, (within, took) in kinds.items()]
