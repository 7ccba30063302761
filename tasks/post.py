"""Post due payments that need no gateway: checks, cash and the like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from celery import shared_task

from books import claim, post
from books.tally import Tally
from tasks import scopes, told
from tasks.context import BY, Context, current
from tasks.meanwhile import Meanwhile

GROUP: Final = 500
"""Payments of one transaction."""
GROUPS_MAX: Final = 20
"""Transactions of one message; what is left of a batch is woken anew, so that batches take turns."""


@shared_task(name="defray.post")
def run(batch: int | None = None, lane: str = "", payment: int | None = None) -> str:
    """Post what is due of a batch, of a payment, or of those that came alone."""
    context = current()
    scope = scopes.of(batch, payment)
    meanwhile = Meanwhile(context, scope)
    tally = work(context, scope, meanwhile.so_far)
    told.sums("posted", tally)
    with context.transaction() as (conn, now):
        # Where all are busy, whoever is busy with them goes on, or the sweeper comes: waking would turn in circles.
        if isinstance(scope, claim.Batch) and tally != Tally() and claim.is_left(conn, "post", scope, now):
            context.wake.batch(scope.batch_id, "post", 1)
        return meanwhile.sentence(conn, now, tally)


def work(context: Context, scope: claim.Scope, hear: Callable[[Tally], None] = lambda so_far: None) -> Tally:
    """Post group after group until nothing is due; customers who were busy are waited for once.

    `hear` is told what was done so far.
    """
    total, looked_at = Tally(), scope
    for _ in range(GROUPS_MAX):
        with context.transaction() as (conn, now):
            tally = post.post_due(conn, looked_at, GROUP, context.terms.today(now), now, BY)
            hidden = tally == Tally() and claim.is_left(conn, "post", scope, now)
        total.add(tally)
        hear(total)
        if tally == Tally() and (looked_at != scope or not hidden):
            break
        looked_at = claim.patiently(scope) if hidden else scope
    return total
