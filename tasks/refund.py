"""Send due refunds to the gateways: where a void is not possible any more (R11, R12)."""

from __future__ import annotations

from typing import Final

from celery import shared_task

from books import reverse
from rules.reversal import Next
from tasks import calls, fan_out, told, void
from tasks.context import BY, Context, current

MOST: Final = 100
"""Refunds of one message; the sweeper wakes the rest."""


@shared_task(name="defray.refund")
def run(payment: int | None = None) -> str:
    """Refund what is due, or one payment's charge."""
    steps = work(current(), payment, MOST)
    if not steps:
        return "no refund is due"
    made = sum(step.move in {"refund", "accept"} for step in steps)
    return f"refunds sent: {len(steps)}, taken by the gateway: {made}, not taken: {len(steps) - made}"


def work(context: Context, payment_id: int | None, most: int) -> list[Next]:
    """Begin, send, finish; what follows at once is woken."""
    send_by = context.send_by()
    with context.transaction() as (conn, now):
        sends = reverse.begin_refunds(conn, payment_id, most, context.terms, now, BY)
    context.guard.sent(send.transaction_id for send in sends)
    replies = fan_out.every(
        context.window,
        [
            (send, told.call("refund", send, context.refund(send.gateway, calls.refund(send, send_by))))
            for send in sends
        ],
    )
    told.answers("refund", replies)
    heard = [calls.heard(send.transaction_id, send.lease_token, reply) for send, reply in replies]
    return void.finish(context, heard, payment_id)
