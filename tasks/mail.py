"""Send mails (D1, D2): receipts with their papers, and notices of cards; record what the mail server said of each."""

from __future__ import annotations

from collections import Counter
from email.message import EmailMessage
from typing import Final

from celery import shared_task
from sqlalchemy import Connection

from books import card_notices
from books import mail as mails
from books.outbox import Became
from books.receipt import receipt
from mailer.letter import letter
from mailer.smtp import Refused, Sent, send
from papers import card_notice
from papers.receipt import file_name, receipt_pdf, receipt_words, title
from tasks.context import BY, Context, Post, current

_PASSED_ON: Final = "passed on"
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
            receipts = mails.claim(conn, mail_id, 1, now)
            notices = [] if receipts or mail_id else card_notices.claim(conn, 1, now)
        for mail in receipts:
            became[_receipt(context, context.post, mail)] += 1
        for notice in notices:
            became[_notice(context, context.post, notice)] += 1
        if not receipts and not notices:
            break
    return ", ".join(f"{count} {state}" for state, count in sorted(became.items())) or "no mail is due"


def _receipt(context: Context, post: Post, claimed: mails.Claimed) -> str:
    with context.transaction() as (conn, _):
        message = _written(conn, post, claimed)
    how = _sent(post, message)
    with context.transaction() as (conn, now):
        return mails.finish(conn, claimed, *how, now, BY) or _PASSED_ON


def _notice(context: Context, post: Post, claimed: card_notices.Claimed) -> str:
    with context.transaction() as (conn, now):
        about = card_notices.letter(conn, claimed, context.terms.today(now))
        if about is None:
            return card_notices.finish(conn, claimed, "refused", "the card is kept no longer", now, BY) or _PASSED_ON
    message = letter(
        post.sender,
        about.address or post.sender,
        f"{card_notice.title(about)} – {post.business}" if post.business else card_notice.title(about),
        card_notice.words(about, post.business),
        claimed.message_id,
        claimed.told_at,
    )
    how = _sent(post, message)
    with context.transaction() as (conn, now):
        return card_notices.finish(conn, claimed, *how, now, BY) or _PASSED_ON


def _sent(post: Post, message: EmailMessage) -> tuple[Became, str]:
    """What became of one try, and what the mail server said."""
    outcome = send(post.server, message)
    match outcome:
        case Sent(said):
            return "sent", said
        case Refused(code, said):
            return "refused" if outcome.for_good else "not sent", f"{code} {said}"
        case _:
            return "not sent", outcome.why


def _written(conn: Connection, post: Post, claimed: mails.Claimed) -> EmailMessage:
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
