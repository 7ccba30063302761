"""The sweeper (D3): wakes what is overdue, so that a lost message costs delay and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import asdict, replace

from celery import shared_task

from books import notices, sweep
from tasks.context import Context, current

_log = logging.getLogger(__name__)


@shared_task(name="defray.sweep")
def run() -> str:
    """Wake what is overdue."""
    context = current()
    told = work(context, context.wake.crowded())
    context.wake.swept()
    return told


def work(context: Context, crowded: Collection[str] = ()) -> str:
    """Send a bounded number of wake-up calls, none into crowded queues; close ended batches, forget old notices."""
    with context.transaction() as (conn, now):
        sweep.close_batches(conn, now)
        notices.forget(conn, now)
        overdue = sweep.overdue(conn, now)
    if context.post is None:  # what was to be sent waits until there is a mail server again
        overdue = replace(overdue, mails=0)
    # Where nobody takes the calls of a queue, each sweep would add the same again, until Redis is full.
    if "bulk" in crowded:
        overdue = replace(overdue, batches=[])
    if "outbound" in crowded:
        overdue = replace(overdue, mails=0, webhooks=False)
    found = {kind: found if isinstance(found, int) else len(found) for kind, found in asdict(overdue).items()}
    if counts := {kind: int(count) for kind, count in found.items() if count}:
        _log.info("overdue, and woken", extra={"counts": counts})
    for batch_id, step in overdue.batches:
        context.wake.batch(batch_id, step, context.lanes)
    for step in overdue.singles:
        context.wake.singles(step)
    if overdue.inquiries:
        context.wake.inquiries()
    for reversal_step in overdue.reversals:
        context.wake.reversals(reversal_step)
    if overdue.mails:
        context.wake.mails()
    if overdue.notices:
        context.wake.notices()
    if overdue.webhooks:
        context.wake.webhooks()
    if overdue.schedules:
        context.wake.schedules()
    return "; ".join([overdue.sentence(), *(f"{queue} is crowded" for queue in sorted(crowded))])
