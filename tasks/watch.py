"""Ask the gateways what became of refunds: accepted is not final (R17), and a lost answer is looked up (E4)."""

from __future__ import annotations

from typing import Final

from celery import shared_task

from books import reverse
from rules.reversal import Next
from tasks.confirm import ask
from tasks.context import Context, current

MOST: Final = 100
"""Questions of one message; the sweeper wakes the rest."""


@shared_task(name="defray.watch")
def run(payment: int | None = None) -> str:
    """Ask about what is due, or about one payment's refund."""
    steps = work(current(), payment, MOST)
    return f"asked about {len(steps)}: " + "; ".join(sorted({s.why for s in steps})) if steps else "nothing to ask"


def work(context: Context, payment_id: int | None, most: int) -> list[Next]:
    """Begin, ask, record; what follows at once is woken."""
    send_by = context.send_by()
    with context.transaction() as (conn, now):
        questions = reverse.begin_watches(conn, payment_id, most, context.terms, now)
    return ask(context, questions, send_by, payment_id)
