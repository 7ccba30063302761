"""Tell of stored cards that expire soon: each notice of a card once, found by its date whenever it is looked (D1)."""

from __future__ import annotations

from typing import Final

from celery import shared_task

from books import card_notices
from rules.card_expiry import MailTo
from tasks.context import BY, Context, current

AT_A_TIME: Final = 1_000
"""Cards of one transaction."""


@shared_task(name="defray.expiry")
def run() -> str:
    """Tell of what is due, and wake who sends the mails."""
    return work(current())


def work(context: Context, at_a_time: int = AT_A_TIME) -> str:
    """Chunk by chunk, each in a transaction of its own. Without a mail server no mail is ever sent about them."""
    terms, post = context.terms, context.post
    mail_to = MailTo.NOBODY if post is None else terms.card_expiry_mail
    domain = post.sender.rpartition("@")[2].strip("> ") if post else "localhost"
    cards, more = 0, True
    while more:
        with context.transaction() as (conn, now):
            today = terms.today(now)
            told = card_notices.tell_of(conn, today, terms.card_expiry_days, mail_to, domain, at_a_time, now, BY)
        cards, more = cards + told.cards, told.more
    if cards and mail_to is not MailTo.NOBODY:
        context.wake.mails()
    return f"told of {cards} cards that expire soon" if cards else "no card is to be told of"
