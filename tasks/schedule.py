"""What is due of schedules becomes payments, which are then charged like all others."""

from __future__ import annotations

from typing import Final

from celery import shared_task

from producer import Producer, scheduled
from rules.routes import chooser
from tasks.context import BY, Context, current

AT_A_TIME: Final = 200
"""Schedules of one message; the sweeper wakes for the rest."""


@shared_task(name="defray.schedule")
def run() -> str:
    """Look at all schedules with a date that has come."""
    return work(current())


def work(context: Context, at_a_time: int = AT_A_TIME) -> str:
    """Record the payments of dates that have come, then wake for them once."""
    terms = context.terms
    producer = Producer(context.engine, context.vault, scheduled.Quiet(), chooser(terms.routes), terms.zone)
    went = scheduled.run(
        context.engine, producer, terms.zone, at_a_time, lambda conn, now: context.guard.check(conn, now, BY)
    )
    if went["payments"]:
        context.wake.singles("charge")
    if not went:
        return "no schedule is due"
    return "schedules: " + ", ".join(f"{count} {how}" for how, count in sorted(went.items()))
