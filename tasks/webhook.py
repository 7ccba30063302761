"""Tell apps what happened (D1, D2): make deliveries of events, claim, send side by side, record."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from typing import Final

from celery import shared_task

from books import feed
from books import webhooks as hooks
from books.webhooks import Claimed, Tried
from gateways.window import Broke
from mailer.smtp import send as send_mail
from tasks import fan_out
from tasks.context import BY, Context, current
from vault import SealedText
from webhooks.send import Answer, send, signed

AT_ONCE: Final = 10
ROUNDS: Final = 20
"""Calls side by side, and how often in one message: the sweeper wakes for the rest."""


@shared_task(name="defray.webhook")
def run() -> str:
    """Tell what is due."""
    became = work(current())
    return ", ".join(f"{count} {state}" for state, count in sorted(became.items())) or "nothing is to be told"


def work(context: Context) -> Counter[str]:
    """Fan out what happened, deliver what is due; what became of the tries."""
    with context.engine.begin() as conn:
        feed.settle(conn)
    became: Counter[str] = Counter()
    for _ in range(ROUNDS):
        with context.transaction() as (conn, now):
            hooks.fan_out(conn, now)
            claimed = hooks.claim(conn, AT_ONCE, now)
            told = feed.these(conn, [one.event_id for one in claimed])
        if not claimed:
            break
        calls = [(one, _call(context, one, json.dumps(told[one.event_id].told()))) for one in claimed]
        for one, answer in fan_out.every(AT_ONCE, calls):
            tried = _tried(answer)
            with context.transaction() as (conn, now):
                became[hooks.finish(conn, one, tried, timedelta(milliseconds=random.randrange(1000)), now, BY)] += 1  # noqa: S311 - spreads waits
    _tell_contacts(context)
    return became


def _call(context: Context, one: Claimed, body: str) -> Callable[[], Answer]:
    opened = [context.vault.open_text(SealedText(each.key_id, each.sealed), hooks.PURPOSE) for each in one.secrets]
    secrets = [secret for secret in opened if secret is not None]
    with context.transaction() as (_, now):
        headers = signed(f"evt_{one.event_id}", now, body, secrets)
    if not secrets:
        return lambda: Answer(None, 0, "its secret cannot be opened: it was sealed under another key file")
    return lambda: send(one.url, headers, body, context.webhook_limits)


def _tried(answer: Answer | Broke) -> Tried:
    if isinstance(answer, Broke):
        return Tried(None, 0, "the call broke here")
    return Tried(answer.status, answer.milliseconds, answer.said)


def _tell_contacts(context: Context) -> None:
    if context.post is None:
        return
    with context.transaction() as (conn, now):
        untold = hooks.untold(conn, now)
    for row in untold:
        message = EmailMessage()
        message["From"], message["To"] = context.post.sender, row.contact
        message["Subject"] = f"Webhook endpoint {row.id} is disabled"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(
            f"{row.url} is told nothing any more: {row.why}.\n\nNo event is lost: once it works, enable endpoint"
            f" {row.id} again, and it is told of what it missed.\n"
        )
        send_mail(context.post.server, message)
