"""Look up sales whose outcome is not known, and send again what certainly is not there (E4)."""

from __future__ import annotations

from typing import Final

from celery import shared_task

from books import inquire
from books.tally import Tally
from tasks import calls, charge, fan_out, stored_cards, told
from tasks.context import BY, Context, current

MOST: Final = 100
"""Sales that one message looks up; the sweeper wakes the rest."""


@shared_task(name="defray.inquire")
def run(payment: int | None = None) -> str:
    """Look up what is due, or one payment's sale."""
    asked, sent_again, tally = work(current(), payment, MOST)
    if not asked:
        return "nothing to look up"
    ended = tally.posted + tally.declined + tally.retrying + tally.cancelled
    return (
        f"looked up {asked}: {tally.posted} charged, {ended - tally.posted} not charged, "
        f"{sent_again} sent again under the same reference, {asked - ended} still open"
    )


def work(context: Context, payment_id: int | None, most: int) -> tuple[int, int, Tally]:
    """Ask, record, send again; returns how many were asked about, how many were sent again, and how they ended."""
    send_by = context.send_by()
    with context.transaction() as (conn, now):
        questions = inquire.begin(conn, payment_id, most, context.terms, now, BY)
    replies = fan_out.every(
        context.window,
        [(q, told.call("inquiry", q, context.inquire(q.gateway, calls.sale_inquiry(q, send_by)))) for q in questions],
    )
    told.answers("inquiry", replies)
    answers = [
        inquire.Answer(question, *calls.sighted(reply), stored_cards.found(context.vault, question, reply))
        for question, reply in replies
    ]
    send_by = context.send_by()
    with context.transaction() as (conn, now):
        again, tally = inquire.learn(conn, answers, context.terms, now, BY)
        context.forget(conn, tally)
        cards = charge.opened(context, conn, again, now)
    sales, unsent = charge.sales(context, again, cards, send_by)
    resent = fan_out.every(context.window, [(sale, told.call("sale", sale, call)) for sale, call in sales])
    told.answers("sale", resent)
    tally.add(charge.record(context, "reply", unsent + charge.all_heard(context, resent)))
    told.sums("looked up", tally)
    return len(questions), len(again), tally
