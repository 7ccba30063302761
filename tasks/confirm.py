"""Ask the gateways where a sale's money stands, after a void was refused or lost (R11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from celery import shared_task

from books import reverse
from rules.reversal import Next
from tasks import calls, fan_out, told
from tasks.context import BY, Context, current
from tasks.void import wake_next

MOST: Final = 100
"""Questions of one message; the sweeper wakes the rest."""


@shared_task(name="defray.confirm")
def run(payment: int | None = None) -> str:
    """Ask about what is due, or about one payment's charge."""
    steps = work(current(), payment, MOST)
    return f"asked about {len(steps)}: " + "; ".join(sorted({s.why for s in steps})) if steps else "nothing to ask"


def work(context: Context, payment_id: int | None, most: int) -> list[Next]:
    """Begin, ask, record; what follows at once is woken."""
    send_by = context.send_by()
    with context.transaction() as (conn, now):
        questions = reverse.begin_confirms(conn, payment_id, most, context.terms, now)
    return ask(context, questions, send_by, payment_id)


def ask(context: Context, questions: Sequence[reverse.Question], send_by: float, payment_id: int | None) -> list[Next]:
    """Put the questions and record the answers."""
    if not questions:
        return []
    replies = fan_out.every(
        context.window,
        [
            (q, told.call("inquiry", q, context.inquire(q.gateway, calls.reversal_inquiry(q, send_by))))
            for q in questions
        ],
    )
    told.answers("inquiry", replies)
    answers = [reverse.Answer(question, *calls.sighted(reply)) for question, reply in replies]
    with context.transaction() as (conn, now):
        steps = reverse.learn(conn, answers, context.terms, now, BY)
    wake_next(context, steps, payment_id)
    return steps
