"""The sweeper (D3): wakes what is overdue, so that a lost message costs delay and nothing else."""

from __future__ import annotations

from dataclasses import replace

from celery import shared_task

from books import notices, sweep
from tasks.context import Context, current


@shared_task(name="defray.sweep")
def run() -> str:
    """Wake what is overdue."""
    return work(current())


def work(context: Context) -> str:
    """Send a bounded number of wake-up calls; close batches that have ended, forget old notices."""
    with context.transaction() as (conn, now):
        sweep.close_batches(conn, now)
        notices.forget(conn, now)
        overdue = sweep.overdue(conn, now)
    if context.post is None:  # what was to be sent waits until there is a mail server again
        overdue = replace(overdue, mails=0)
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
    return overdue.sentence()
