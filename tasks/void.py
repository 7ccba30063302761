"""Send due voids to the gateways (R11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from celery import shared_task

from books import reverse
from books.outcome import Heard
from rules.reversal import Next, Step
from tasks import calls, fan_out, told
from tasks.context import BY, Context, current

MOST: Final = 100
"""Voids of one message; the sweeper wakes the rest."""


@shared_task(name="defray.void")
def run(payment: int | None = None) -> str:
    """Void what is due, or one payment's charge."""
    steps = work(current(), payment, MOST)
    if not steps:
        return "no void is due"
    voided = sum(step.move == "void" for step in steps)
    return f"voids sent: {len(steps)}, made: {voided}, to be looked at: {len(steps) - voided}"


def work(context: Context, payment_id: int | None, most: int) -> list[Next]:
    """Begin, send, finish; what follows at once is woken."""
    send_by = context.send_by()
    with context.transaction() as (conn, now):
        sends = reverse.begin_voids(conn, payment_id, most, context.terms, now)
    context.guard.sent(send.transaction_id for send in sends)
    replies = fan_out.every(
        context.window,
        [(send, told.call("void", send, context.void(send.gateway, calls.void(send, send_by)))) for send in sends],
    )
    told.answers("void", replies)
    heard = [calls.heard(send.transaction_id, send.lease_token, reply) for send, reply in replies]
    return finish(context, heard, payment_id)


def finish(context: Context, heard: Sequence[Heard], payment_id: int | None) -> list[Next]:
    """Record what came of voids or refunds, and wake what follows at once."""
    if not heard:
        return []
    with context.transaction() as (conn, now):
        steps = reverse.finish(conn, heard, context.terms, now, BY)
    wake_next(context, steps, payment_id)
    return steps


def wake_next(context: Context, steps: Sequence[Next], payment_id: int | None) -> None:
    """Wake the steps that are due at once; later ones are found by the sweeper when their time comes (D3)."""
    due: set[Step] = {step.step for step in steps if step.step and not step.delay}
    for following in sorted(due):
        context.wake.reversals(following.value, payment_id)
