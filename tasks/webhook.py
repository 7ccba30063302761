"""Tell apps what happened (D1, D2): make deliveries of events, claim, send side by side, record."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Final

from celery import shared_task

from books import feed
from books import webhooks as hooks
from books.webhooks import Claimed, Tried
from mailer.smtp import send as send_mail
from tasks.context import BY, Context, current
from vault import SealedText
from webhooks.send import Answer, send, signed

AT_ONCE: Final = 10
"""Calls side by side."""
SECONDS: Final = 5
"""How long one message begins calls: others wait for this worker, too."""


@shared_task(name="defray.webhook")
def run() -> str:
    """Tell what is due."""
    context = current()
    began = time.monotonic()
    became = work(context)
    if time.monotonic() - began >= SECONDS:
        context.wake.webhooks()  # what is left takes its turn
    return ", ".join(f"{count} {state}" for state, count in sorted(became.items())) or "nothing is to be told"


def work(context: Context) -> Counter[str]:
    """Fan out what happened, deliver what is due; what became of the tries."""
    until = time.monotonic() + SECONDS
    became: Counter[str] = Counter()
    calls: dict[Future[Answer], Claimed] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook-call") as threads:
        while True:
            more = False
            if len(calls) < AT_ONCE and time.monotonic() < until:
                claimed, bodies, now, more = _claim(context, calls.values())
                calls |= {threads.submit(_call, context, one, bodies[one.event_id], now): one for one in claimed}
            if not calls and not more:
                break
            done, _ = wait(calls, return_when=FIRST_COMPLETED) if calls else (set(), ())
            became.update(_record(context, [(calls.pop(one), _answer(one)) for one in done]))
    _tell_contacts(context)
    return became


def _claim(context: Context, under_way: Collection[Claimed]) -> tuple[list[Claimed], dict[int, str], datetime, bool]:
    with context.engine.begin() as conn:
        feed.settle(conn, patiently=True)  # who was woken last tells the last event
    at = Counter(one.endpoint_id for one in under_way)
    busy = [endpoint_id for endpoint_id, calls in at.items() if calls >= hooks.PER_ENDPOINT]
    with context.transaction() as (conn, now):
        more = hooks.fan_out(conn, now)
        claimed = hooks.claim(conn, AT_ONCE - len(under_way), busy, now)
        told = feed.these(conn, [one.event_id for one in claimed])
    return claimed, {event_id: json.dumps(one.told()) for event_id, one in told.items()}, now, more


def _call(context: Context, one: Claimed, body: str, now: datetime) -> Answer:
    opened = [context.vault.open_text(SealedText(each.key_id, each.sealed), hooks.PURPOSE) for each in one.secrets]
    secrets = [secret for secret in opened if secret is not None]
    if not secrets:
        return Answer(None, 0, "its secret cannot be opened: it was sealed under another key file")
    return send(one.url, signed(f"evt_{one.event_id}", now, body, secrets), body, context.webhook_limits)


def _answer(call: Future[Answer]) -> Answer:
    error = call.exception()
    return call.result() if error is None else Answer(None, 0, f"the call broke here: {type(error).__name__}")


def _record(context: Context, answers: Sequence[tuple[Claimed, Answer]]) -> Counter[str]:
    if not answers:
        return Counter()
    with context.transaction() as (conn, now):
        return Counter(
            hooks.finish(
                conn,
                one,
                Tried(answer.status, answer.milliseconds, answer.said),
                timedelta(milliseconds=random.randrange(1000)),  # noqa: S311 - spreads waits
                now,
                BY,
            )
            for one, answer in sorted(answers, key=lambda pair: (pair[0].endpoint_id, pair[0].id))
        )


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
