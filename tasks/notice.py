"""Look at notices from gateways: whose they are, and which question they bring forward (D1). Never taken as truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from celery import shared_task

from books import notices
from books.notices import Claimed, NotProven, Told, Woken
from gateways.notices import AskThem, ConfirmsNotices, Notice, NotTheirs, Received, read
from gateways.window import Broke
from tasks import fan_out, told
from tasks.context import BY, Context, current
from vault import SealedText

MOST: Final = 100
"""Notices of one message; the sweeper wakes the rest."""


@shared_task(name="defray.notice")
def run() -> str:
    """Look at what came."""
    woken = work(current(), MOST)
    if not woken.ended:
        return "no notice is due"
    ended = ", ".join(f"{count} {state}" for state, count in woken.ended.items())
    return f"notices: {ended}; {woken.inquiries} outcomes to look up at once"


def work(context: Context, most: int = MOST) -> Woken:
    """Claim, verify, record; what is to be asked sooner because of them is woken."""
    send_by = context.send_by()
    with context.transaction() as (conn, now):
        claimed = notices.claim(conn, most, now)
    looked = _confirmed(context, [(one, _look(context, one)) for one in claimed], send_by)
    with context.transaction() as (conn, now):
        woken = notices.finish(conn, looked, now, BY)
    if woken.inquiries:
        context.wake.inquiries()
    for step in woken.reversals:
        context.wake.reversals(step)
    return woken


def _look(context: Context, claimed: Claimed) -> Told | NotProven | AskThem:
    secrets = context.notice_secrets.get(claimed.gateway)
    if secrets is None:
        return NotProven(f"no secret is set for notices of {claimed.gateway}")
    body = context.vault.open_text(SealedText(claimed.key_id, claimed.sealed), notices.purpose(claimed.gateway))
    if body is None:
        return NotProven("its body cannot be opened: it was sealed under another key file")
    match read(claimed.gateway, Received(claimed.headers, body.encode("latin-1"), claimed.received_at), secrets):
        case NotTheirs(why):
            return NotProven(why)
        case AskThem() as asked:
            return asked
        case Notice() as notice:
            return _told(notice)


def _confirmed(
    context: Context, looked: Sequence[tuple[Claimed, Told | NotProven | AskThem]], send_by: float
) -> list[tuple[Claimed, Told | NotProven]]:
    """Those that prove themselves, and what the gateways say of the others, asked side by side."""
    proven = [(one, found) for one, found in looked if not isinstance(found, AskThem)]
    asked = [(one, found) for one, found in looked if isinstance(found, AskThem)]
    calls = [((one, found.notice), _question(context, one.gateway, found, send_by)) for one, found in asked]
    answers = fan_out.every(context.window, calls)
    return proven + [(one, _answered(one.gateway, notice, theirs)) for (one, notice), theirs in answers]


def _question(context: Context, gateway: str, asked: AskThem, send_by: float) -> Callable[[], bool | None]:
    there = context.gateways.get(gateway)
    if not isinstance(there, ConfirmsNotices):
        return lambda: None
    return told.question("notice", gateway, lambda: there.confirm_notice(asked.question, send_by))


def _answered(gateway: str, notice: Notice, theirs: bool | Broke | None) -> Told | NotProven:
    if theirs is None or isinstance(theirs, Broke):
        return NotProven(f"{gateway} did not say whether it sent it", again=True)
    return _told(notice) if theirs else NotProven(f"{gateway} says that it did not send it")


def _told(notice: Notice) -> Told:
    return Told(
        notice.event_id,
        notice.event,
        notice.about.value,
        notice.references,
        notice.transaction_ids,
        notice.case,
        notice.failed,
    )
