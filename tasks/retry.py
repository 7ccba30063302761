"""The retry run (R16): wakes declined payments whose next attempt is due."""

from __future__ import annotations

import logging

from celery import shared_task

from books import sweep
from tasks.context import Context, current

_log = logging.getLogger(__name__)


@shared_task(name="defray.retry")
def run() -> str:
    """Wake what is due for another attempt."""
    return work(current())


def work(context: Context) -> str:
    """One wake-up call for each batch that has such payments, one for those that came alone."""
    with context.transaction() as (conn, now):
        due = sweep.due_retries(conn, now)
    for batch_id, _ in due:
        if batch_id is None:
            context.wake.singles("charge")
        else:
            context.wake.batch(batch_id, "charge", 1)
    count = sum(payments for _, payments in due)
    if count:
        _log.info("declined payments are tried again", extra={"step": "charge", "counts": {"due": count}})
    return f"{count} declined payments are due for another attempt" if count else "no attempt is due"
