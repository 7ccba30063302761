"""What is overdue, in bounded numbers and by index only (D3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, cast

from sqlalchemy import Connection, text

from books import schedules, webhooks
from books.claim import Step

GRACE: Final = timedelta(seconds=10)
"""How long a fresh message has before the sweeper thinks that it was lost."""
TENDED: Final = timedelta(seconds=15)
"""A batch that a lane worked on so recently needs no waking: the lane will reach what is due."""
BATCHES_MAX: Final = 20
"""Batches that one sweep wakes; the next one wakes more."""

ReversalStep = Literal["void", "confirm", "refund", "watch"]


@dataclass(frozen=True, slots=True)
class Overdue:
    """What nobody works on though it is due."""

    batches: list[tuple[int, Step]]
    singles: list[Step]
    inquiries: int
    reversals: list[ReversalStep]
    mails: int
    notices: int
    webhooks: bool = False
    schedules: bool = False

    def sentence(self) -> str:
        """For Flower."""
        parts = [f"batch {batch_id} to {step}" for batch_id, step in self.batches]
        parts += [f"single payments to {step}" for step in self.singles]
        parts += [f"{self.inquiries} outcomes to look up"] if self.inquiries else []
        parts += [f"reversals to {step}" for step in self.reversals]
        parts += [f"mails ({self.mails})"] if self.mails else []
        parts += [f"notices ({self.notices})"] if self.notices else []
        parts += ["webhooks"] if self.webhooks else []
        parts += ["schedules"] if self.schedules else []
        return "woke " + ", ".join(parts) if parts else "nothing is overdue"


# LIMIT makes it one look in the index for each open batch: EXISTS may be planned as a count of all that is due.
_BATCHES = text("""
    SELECT b.id, s.step FROM batches b CROSS JOIN (VALUES ('post'), ('charge')) AS s(step)
    CROSS JOIN LATERAL (
        SELECT 1 FROM payments p WHERE p.next_step = s.step AND p.batch_id = b.id AND p.due_at <= :now LIMIT 1) AS due
    WHERE b.state = 'open' AND (b.tended_at IS NULL OR b.tended_at < :untended) AND b.created_at < :late
    ORDER BY b.tended_at NULLS FIRST, b.id LIMIT :most""")
_SINGLES = text("""
    SELECT s.step FROM (VALUES ('post'), ('charge')) AS s(step)
    WHERE EXISTS (SELECT 1 FROM payments p WHERE p.next_step = s.step AND p.batch_id IS NULL AND p.due_at <= :late)""")
_INQUIRIES = text("""
    SELECT count(*) FROM (
        SELECT 1 FROM gateway_transactions WHERE next_step = 'inquire' AND due_at <= :now LIMIT 1000) AS due""")
_REVERSALS = text("""
    SELECT s.step FROM (VALUES ('void'), ('confirm'), ('refund'), ('watch')) AS s(step)
    WHERE EXISTS (SELECT 1 FROM reversals r WHERE r.next_step = s.step AND r.due_at <= :now)""")

_MAILS = text("""
    SELECT count(*) FROM (
        (SELECT 1 FROM mails WHERE next_step = 'mail' AND due_at <= :late LIMIT 1000)
        UNION ALL
        (SELECT 1 FROM card_notices WHERE next_step = 'mail' AND due_at <= :late LIMIT 1000)) AS due""")

_NOTICES = text("""
    SELECT count(*) FROM (SELECT 1 FROM notices WHERE next_step = 'verify' AND due_at <= :late LIMIT 1000) AS due""")


def overdue(conn: Connection, now: datetime) -> Overdue:
    """What should be woken now."""
    late = now - GRACE
    batches = conn.execute(_BATCHES, {"now": now, "late": late, "untended": now - TENDED, "most": BATCHES_MAX})
    return Overdue(
        batches=[(row.id, row.step) for row in batches],
        singles=cast(list[Step], list(conn.execute(_SINGLES, {"late": late}).scalars())),
        inquiries=conn.execute(_INQUIRIES, {"now": now}).scalar_one(),
        reversals=cast(list[ReversalStep], list(conn.execute(_REVERSALS, {"now": now}).scalars())),
        mails=conn.execute(_MAILS, {"late": late}).scalar_one(),
        notices=conn.execute(_NOTICES, {"late": late}).scalar_one(),
        webhooks=webhooks.due(conn, now),
        schedules=bool(schedules.due(conn, now, 1)),
    )


# Nobody waits for a batch's row: a producer that hands its batch in again holds it, and waits for customers (B3).
_TEND = text("""
    UPDATE batches SET tended_at = :now WHERE id = (
        SELECT id FROM batches WHERE id = :id AND (tended_at IS NULL OR tended_at < :stale)
        FOR NO KEY UPDATE SKIP LOCKED)""")


def tend(conn: Connection, batch_id: int, now: datetime) -> None:
    """Say that a lane works on the batch; written once in five seconds at the most, so that its row is not hot."""
    conn.execute(_TEND, {"id": batch_id, "now": now, "stale": now - timedelta(seconds=5)})


# A batch has ended when none of its payments may still bring money in by itself.
_CLOSE = text("""
    WITH ended AS (
        UPDATE batches SET state = 'done' WHERE id IN (
            SELECT b.id FROM batches b WHERE b.state = 'open' AND b.created_at < :late
            AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.batch_id = b.id
                            AND p.state IN ('requested', 'charging', 'retrying', 'review'))
            ORDER BY b.id LIMIT 100 FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING id
    )
    INSERT INTO events (at, what, batch_id, from_state, to_state, by)
    SELECT :now, 'batch.completed', id, 'open', 'done', 'defray' FROM ended""")


def close_batches(conn: Connection, now: datetime) -> None:
    """Mark batches as done whose payments have all ended."""
    conn.execute(_CLOSE, {"now": now, "late": now - timedelta(seconds=1)})


_RETRIES = text("""
    SELECT batch_id, count(*) AS payments FROM payments WHERE state = 'retrying' AND due_at <= :now GROUP BY 1
    ORDER BY 1 NULLS FIRST LIMIT 100""")


def due_retries(conn: Connection, now: datetime) -> list[tuple[int | None, int]]:
    """Batches (None: payments of no batch) with declined payments whose next attempt is due, and how many."""
    return [(row.batch_id, row.payments) for row in conn.execute(_RETRIES, {"now": now})]


_HASTEN = text("""
    WITH due AS (
        SELECT p.id, greatest(:now, coalesce(p.not_before, :now)) AS due_at
        FROM payments p WHERE p.state = 'retrying' AND (CAST(:payment_id AS bigint) IS NULL OR p.id = :payment_id)
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE payments p SET due_at = due.due_at FROM due WHERE p.id = due.id
    RETURNING p.id, p.batch_id, p.due_at, p.due_at <= :now AS is_due""")


def hasten(conn: Connection, payment_id: int | None, now: datetime) -> list[tuple[int, int | None, bool]]:
    """Bring the next attempt of declined payments forward to now, or to the networks' earliest moment (R16).

    Returns (payment id, batch id, whether it is due now).
    """
    rows = conn.execute(_HASTEN, {"now": now, "payment_id": payment_id})
    return [(row.id, row.batch_id, row.is_due) for row in rows]
