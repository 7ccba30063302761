"""Forget the numbers of cards that were entered for a payment which nobody saved (C2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from celery import shared_task

from books import entered_cards
from tasks.context import Context, current

FORGOTTEN_AFTER: Final = timedelta(hours=24)
"""No form is open for so long: a session ends before."""

AT_A_TIME: Final = 1_000


@shared_task(name="defray.forget")
def run() -> str:
    """Look at all cards that were entered for a customer and can still be read."""
    return work(current())


def work(context: Context, at_a_time: int = AT_A_TIME) -> str:
    """Chunk by chunk, each in a transaction of its own."""
    forgotten, after = 0, ""
    while True:
        with context.transaction() as (conn, now):
            entered = context.vault.entered(conn, now - FORGOTTEN_AFTER, after, at_a_time)
            tokens = entered_cards.never_used(conn, [(card.token, card.customer_id) for card in entered])
            context.vault.drop_keys(conn, tokens)
        forgotten += len(tokens)
        if len(entered) < at_a_time:
            return f"forgot {forgotten} cards that were entered and never used" if forgotten else "nothing to forget"
        after = entered[-1].token
