"""Send receipts by e-mail (D1, D2): claim, make the paper, hand it to the mail server, record what it said."""

from __future__ import annotations

from collections import Counter
from email.message import EmailMessage
from typing import Final

from celery import shared_task
from sqlalchemy import Connection

from books import mail as mails
from books.mail import Became, Claimed
from books.receipt import receipt
from mailer.letter import letter
from mailer.smtp import Refused, Sent, send
from papers.receipt import file_name, receipt_pdf, receipt_words, title
from tasks.context import BY, Context, Post, current

MOST: Final = 5
"""Mails of one message, sent one after another; the sweeper wakes the rest."""


@shared_task(name="defray.mail")
def run(mail: int | None = None) -> str:
    """Send what is due, or one mail."""
    return work(current(), mail, MOST)


def work(context: Context, mail_id: int | None = None, most: int = MOST) -> str:
    """Send each and record it by itself: what one server says of one mail concerns no other."""
    if context.post is None:
        return "no mail server is set"
    became: Counter[str] = Counter()
    for _ in range(most):
        with context.transaction() as (conn, now):
            claimed = mails.claim(conn, mail_id, 1, now)
        if not claimed:
            break
        became[_one(context, context.post, claimed[0])] += 1
    return ", ".join(f"{count} {state}" for state, count in sorted(became.items())) or "no mail is due"


def _one(context: Context, post: Post, claimed: Claimed) -> str:
    with context.transaction() as (conn, _):
        message = _written(conn, post, claimed)
    outcome = send(post.server, message)
    match outcome:
        case Sent(said):
            how: tuple[Became, str] = ("sent", said)
        case Refused(code, said):
            how = ("refused" if outcome.for_good else "not sent", f"{code} {said}")
        case _:
            how = ("not sent", outcome.why)
    with context.transaction() as (conn, now):
        return mails.finish(conn, claimed, *how, now, BY) or "passed on"


def _written(conn: Connection, post: Post, claimed: Claimed) -> EmailMessage:
    paid = receipt(conn, claimed.payment_id)
    subject = f"{title(paid)} – {post.business}" if post.business else title(paid)
    return letter(
        post.sender,
        claimed.address,
        subject,
        receipt_words(paid, post.business),
        claimed.message_id,
        claimed.asked_at,
        file_name(paid),
        receipt_pdf(paid, post.business),
    )
