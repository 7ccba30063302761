"""The quarantine after a restore (E7): found here, kept by a fence in the database, ended by a person.

The tables know the server they were in (system identifier, timeline) and a name for themselves, their life; a witness
outside them knows how far that life had come. Where these do not fit together, payments may have been charged that are
due again here. Then nothing is sent until the gateways' reports were reconciled: claims find nothing, and a trigger
refuses what older programs begin.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Row, text

from books.history import Move, Subject, advance, tell
from rules import states
from rules.epoch import ENDED, AfterFailover, Finding, Mark, Place, judge
from rules.errors import MoveRefused

NOT_QUARANTINED: Final = "NOT EXISTS (SELECT FROM epoch WHERE quarantined_at IS NOT NULL)"
"""A condition for every claim of what is to be sent: asked once a statement, without a round trip of its own."""

_FENCE: Final = 7363121  # the number of the lock in migration 0011


class Witness(Protocol):
    """What was seen of a database and is kept outside it."""

    def seen(self, life: str) -> Mark | None:
        """How far this life had come, None where nothing is known of it. Raises Unreachable."""

    def keep(self, life: str, mark: Mark) -> None:
        """Remember that this life came so far; never goes back."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Since when, and why, nothing is sent."""

    since: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """This database's life, and its quarantine, if it is in one."""

    life: str
    quarantine: Quarantine | None


_EPOCH = text("SELECT * FROM epoch")
_HERE = text("""
    SELECT CAST(s.system_identifier AS text) AS system_identifier,
           CAST(CAST('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8) AS bit(32)) AS integer) AS timeline,
           coalesce((SELECT max(id) FROM gateway_transactions), 0) AS sent,
           coalesce((SELECT max(id) FROM events), 0) AS events
    FROM pg_control_system() AS s""")
_FIRST = text("""
    INSERT INTO epoch (life, system_identifier, timeline, began_at) VALUES (:life, :system_identifier, :timeline, :now)
    ON CONFLICT DO NOTHING""")
_LOCK = text("SELECT pg_advisory_xact_lock(:fence)")
_QUARANTINE = text("""
    UPDATE epoch SET quarantined_at = :now, quarantined_why = :why WHERE quarantined_at IS NULL RETURNING life""")
_MOVED_ON = text("UPDATE epoch SET timeline = :timeline WHERE timeline = :before RETURNING life")
_RELEASE = text("""
    UPDATE epoch SET life = :life, system_identifier = :system_identifier, timeline = :timeline,
                     quarantined_at = NULL, quarantined_why = NULL,
                     released_at = :now, released_by = :by, released_why = :why""")


def current(conn: Connection) -> Quarantine | None:
    """The quarantine, None where there is none."""
    row = conn.execute(_EPOCH).one_or_none()
    return None if row is None else _quarantine(row)


def _quarantine(row: Row[Any]) -> Quarantine | None:
    return None if row.quarantined_at is None else Quarantine(row.quarantined_at, row.quarantined_why)


def check(conn: Connection, witness: Witness, after_failover: AfterFailover, now: datetime, by: str) -> Epoch:
    """Compare the database with what was known of it; where that differs, quarantine it with an alarm.

    At the first start of all there is nothing to compare with. To be called before the transaction locks anything.
    """
    row = conn.execute(_EPOCH).one_or_none()
    if row is None:
        conn.execute(_FIRST, {"life": _draw(), "now": now, **_place(conn.execute(_HERE).one())})
        row = conn.execute(_EPOCH).one()
        witness.keep(row.life, Mark(0, 0))
    if row.quarantined_at is not None:
        return Epoch(row.life, _quarantine(row))
    seen = witness.seen(row.life)  # before the tables are: others go on meanwhile, and would seem to be ahead of them
    here = conn.execute(_HERE).one()
    mark, known = Mark(here.sent, here.events), Place(row.system_identifier, row.timeline)
    finding, why = judge(known, Place(here.system_identifier, here.timeline), mark, seen, after_failover)
    if finding is Finding.DIFFERS:
        return Epoch(row.life, quarantine(conn, why, now, by))
    if finding is Finding.MOVED_ON:
        moved = conn.execute(_MOVED_ON, {"timeline": here.timeline, "before": row.timeline}).one_or_none()
        if moved is not None:
            tell(conn, "epoch.moved_on", now, by, why)
    witness.keep(row.life, mark)
    return Epoch(row.life, None)


def quarantine(conn: Connection, why: str, now: datetime, by: str) -> Quarantine:
    """From the commit on nothing more is begun; waits for what is being begun."""
    conn.execute(_LOCK, {"fence": _FENCE})
    if conn.execute(_QUARANTINE, {"now": now, "why": why}).one_or_none() is not None:
        tell(conn, "alarm.quarantined", now, by, f"nothing is charged, voided or refunded: {why}")
    row = conn.execute(_EPOCH).one()
    return Quarantine(row.quarantined_at, row.quarantined_why)


def release(conn: Connection, witness: Witness, why: str, now: datetime, by: str) -> Quarantine:
    """A person says that the books were brought up to date. A new life begins, which the old witnesses don't know.

    Money on its way back that was asked for before the quarantine may have been returned by the database that is lost:
    a void is looked up first, a refund waits for a person.
    Returns what is ended. Raises MoveRefused where there is no quarantine, Unreachable.
    """
    conn.execute(_LOCK, {"fence": _FENCE})
    ended = current(conn)
    if ended is None:
        raise MoveRefused("There is no quarantine.", "Cards are charged as usual.")
    tell(conn, "quarantine.released", now, by, why, details={"since": ended.since.isoformat(), "why": ended.why})
    _hold_reversals(conn, ended.since, now, by)
    here, life, before = conn.execute(_HERE).one(), _draw(), conn.execute(_EPOCH).one().life
    conn.execute(_RELEASE, {"life": life, "now": now, "by": by, "why": why, **_place(here)})
    witness.keep(life, Mark(here.sent, here.events))
    witness.keep(before, ENDED)  # the same backup may be restored once more, with no mark of what this life did
    return ended


_ASK_FIRST = text("""
    UPDATE reversals SET policy = CASE state WHEN 'voiding' THEN 'ask' ELSE policy END,
                         next_step = CASE next_step WHEN 'void' THEN 'confirm' WHEN 'refund' THEN 'watch'
                                     ELSE next_step END
    WHERE state IN ('voiding', 'refunding') AND next_step IS NOT NULL AND started_at <= :since""")
_REFUND_DUE = text("""
    SELECT id, payment_id FROM reversals WHERE state = 'refund_due' AND next_step = 'refund' AND started_at <= :since
    ORDER BY id FOR NO KEY UPDATE""")
_MAY_BE_MADE: Final = "the refund may have been made by the database that was lost: look at the gateway before another"


def _hold_reversals(conn: Connection, since: datetime, now: datetime, by: str) -> None:
    """E7: a void is sent, and a refund is sent again, only after a look; a refund that is due fails, with an alarm."""
    conn.execute(_ASK_FIRST, {"since": since})
    due = conn.execute(_REFUND_DUE, {"since": since}).all()
    moves = [Move(row.id, states.Reversal.REFUND_DUE, "fail", _MAY_BE_MADE) for row in due]
    advance(conn, Subject.REVERSALS, moves, now, by, {"ended_at": [now] * len(due)})
    for row in due:
        tell(conn, "alarm.reversal", now, by, _MAY_BE_MADE, payment_id=row.payment_id)


_RELEASED_SINCE = text("SELECT EXISTS (SELECT FROM epoch WHERE released_at >= :at)")


def released_since(conn: Connection, at: datetime) -> bool:
    """Whether what was begun then was begun before a restore: what followed it may be unknown here."""
    return bool(conn.execute(_RELEASED_SINCE, {"at": at}).scalar_one())


def _draw() -> str:
    return secrets.token_hex(16)


def _place(here: Row[Any]) -> dict[str, object]:
    return {"system_identifier": here.system_identifier, "timeline": here.timeline}
