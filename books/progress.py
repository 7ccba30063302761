"""How far a batch is, counted in the database, in a sentence for Flower (D4)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from books import claim
from books.tally import Tally
from rules.speed import Speed

_STATES = text("SELECT state, count(*) AS payments FROM payments WHERE batch_id = :id GROUP BY 1")


def by_state(conn: Connection, batch_id: int) -> dict[str, int]:
    """How many of a batch's payments are in each state."""
    return {row.state: row.payments for row in conn.execute(_STATES, {"id": batch_id})}


def sentence(conn: Connection, scope: claim.Scope, tally: Tally, now: datetime, speed: Speed) -> str:
    """What one task did, and for a batch how far all of it is: "batch 7: 400 of 1,000, declined 9, posted 391"."""
    match scope:
        case claim.Batch(batch_id):
            states = by_state(conn, batch_id)
            total = sum(states.values())
            begun = total - sum(states.get(state, 0) for state in ("requested", "charging"))
            counts = ", ".join(f"{name} {count:,}" for name, count in sorted(states.items()) if name != "requested")
            far = f"{begun - states.get('retrying', 0):,} of {total:,}, {counts or 'none begun'}"
            parts = (f"batch {batch_id}: {far}", speed.words(now, begun, total).rstrip("."))
            return f"{'; '.join(filter(None, parts))} (this task: {_did(tally)})"
        case claim.Single(payment_id):
            return f"payment {payment_id}: {_did(tally)}"
        case claim.Singles():
            return f"single payments: {_did(tally)}"


def _did(tally: Tally) -> str:
    counts = (
        (tally.posted, "posted"),
        (tally.declined, "declined"),
        (tally.retrying, "to be retried"),
        (tally.cancelled, "cancelled"),
        (tally.review, "for a person"),
        (tally.unknown, "to be looked up"),
        (tally.postponed, "postponed"),
        (tally.rerouted, "to another gateway"),
        (tally.set_aside, "set aside"),
    )
    return ", ".join(f"{count:,} {words}" for count, words in counts if count) or "nothing was due"
