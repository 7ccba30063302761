"""Live progress by server-sent events: bounded looks at the database, nothing held open between two of them.

Shared by the console and the API. Every stream ends: when what is followed is over, or after TOLD_FOR.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from books import batches, follow
from books.follow import Happened, Standing
from rules.declines import told
from rules.money import for_people
from rules.outcomes import DeclineClass
from rules.speed import Speed
from web.office import Office

LOOK_EVERY: Final = 0.25
"""Seconds between the first looks; later ones are up to LOOK_EVERY_AT_MOST apart."""
LOOK_EVERY_AT_MOST: Final = 2.0
TOLD_FOR: Final = 600.0
"""Seconds after which a stream ends anyway; a browser opens it again where it left off."""

ASKED_EVERY: Final = 10.0
"""Seconds between two looks at whether the one who looks is still logged in."""

_STEPS: Final = {
    "payment.requested": "Recorded",
    "payment.scheduled": "Planned for a later day: the card is charged then, and not before",
    "payment.moved": "Planned for another day",
    "payment.charging": "Calling the gateway …",
    "sale.failed": "The charge was certainly not made",
    "sale.review": "The gateway holds it for review",
    "sale.unknown": "No clear answer: the gateway is being asked what became of it",
    "payment.posted": "Posted to the invoices",
    "payment.declined": "Declined: nothing was charged, nothing was applied",
    "payment.retrying": "Declined for now: it is tried again by the schedule",
    "payment.rerouted": "Another gateway takes over",
    "payment.review": "A person must look at it",
    "payment.cancelled": "Cancelled: it was not charged",
    "payment.voided": "Void",
    "reversal.voiding": "Voiding the charge at the gateway …",
    "reversal.voided": "The gateway voided the charge: the money never leaves the card",
    "void.declined": "The gateway cannot void the charge any more",
    "void.unknown": "No clear answer to the void: the gateway is being asked",
    "reversal.refund_awaiting_approval": "Shall the amount be returned to the card?",
    "reversal.refund_due": "The amount is to be returned to the card",
    "reversal.refunding": "Asking the gateway to return the amount …",
    "reversal.refund_accepted": "The gateway accepted the refund; it is watched until it is final",
    "refund.declined": "The gateway refused the refund",
    "refund.unknown": "No clear answer to the refund: the gateway is being asked",
    "reversal.refunded": "The amount was returned to the card",
    "reversal.failed": "The amount could not be returned to the card",
    "reversal.kept": "The amount is kept as a credit",
    "refund.asked": "A refund was asked for",
    "payment.refunded": "Refunded: what it had paid is owed again",
    "dispute.open": "The card's bank disputes the charge",
    "dispute.won": "The dispute was won",
    "dispute.lost": "The dispute was lost: what it had paid is owed again",
}
_ENDS: Final = {
    "posted": "The payment is posted.",
    "declined": "The card was declined. Nothing was charged.",
    "retrying": "The card was declined for now. It is tried again by itself{when}; you need not wait.",
    "review": "This needs a person before it goes on.",
    "cancelled": "The payment was cancelled. Nothing was charged.",
    "voided": "The payment is void.",
}
_RETURNED: Final = {
    "voided": "The gateway voided the charge: nothing leaves the card.",
    "refund_awaiting_approval": "The gateway could not void the charge: a person says whether the amount is returned.",
    "refund_accepted": "The gateway accepted the refund; it is watched until it is final.",
    "refunded": "The amount was returned to the card.",
    "failed": "The amount could not be returned to the card: a person decides what becomes of it.",
    "kept": "The amount was not returned to the card; it is kept as a credit.",
}
_REFUNDED: Final = {
    "refund_accepted": "The gateway accepted the refund of {sum}; it is watched until it is final.",
    "refunded": "{sum} was returned to the card.",
    "failed": "The refund of {sum} could not be made. You can ask for it again.",
}
UNKNOWN: Final = (
    "It is not known yet whether the card was charged. The gateway is asked until it is; do not charge it again."
    " You can go on: you will be told at the top of every page, and it stands in the customer's record."
)
UNDER_WAY: Final = "Still under way."
SLOW: Final = (
    "Still under way: the gateway has not answered yet. You need not do anything, and need not wait:"
    " you can go on, and will be told at the top of every page."
)
SLOW_AFTER: Final = timedelta(seconds=5)
"""So long nothing happens before it is said that the gateway takes its time."""


@dataclass(frozen=True, slots=True)
class Told:
    """One message of a stream: the kind, what is said, and the id to go on from."""

    kind: str
    data: Mapping[str, Any]
    id: int | None = None

    def text(self) -> str:
        """As it goes over the wire."""
        head = f"event: {self.kind}\n" + (f"id: {self.id}\n" if self.id is not None else "")
        return f"{head}data: {json.dumps(self.data, ensure_ascii=False)}\n\n"


Look = Callable[[int], tuple[list[Told], int, bool]]
"""From what was seen last: what is new, what is seen now, whether it is over."""


def stream(
    request: Request, look: Look, may: Callable[[], bool], after: int = 0, at_end: Callable[[], None] | None = None
) -> StreamingResponse:
    """Tell what `look` finds until it is over, the browser leaves, TOLD_FOR has passed, or who looks no longer `may`.

    `at_end` is called when the end was sent.
    """
    return StreamingResponse(
        _told(request, look, may, after, at_end),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _told(
    request: Request, look: Look, may: Callable[[], bool], after: int, at_end: Callable[[], None] | None
) -> AsyncIterator[str]:
    clock = asyncio.get_running_loop().time
    end, wait, ask_at = clock() + TOLD_FOR, LOOK_EVERY, clock() + ASKED_EVERY
    yield "retry: 2000\n\n"
    while clock() < end and not await request.is_disconnected():
        if clock() >= ask_at:
            if not await run_in_threadpool(may):
                return
            ask_at = clock() + ASKED_EVERY
        news, after, over = await run_in_threadpool(look, after)
        for one in news:
            yield one.text()
        if over:
            if at_end:
                await run_in_threadpool(at_end)
            return
        if not news:
            yield ": still there\n\n"
        wait = LOOK_EVERY if news else min(wait * 1.5, LOOK_EVERY_AT_MOST)
        await asyncio.sleep(wait)


def last_seen(request: Request) -> int:
    """Where a browser that comes again left off."""
    said = request.headers.get("last-event-id", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0


# ---- a payment ------------------------------------------------------------------------------------------------------


def of_payment(at: Office, payment_id: int, address: Callable[[Standing], str]) -> Look:
    """Follows one payment; `address` is where to go on after it, by how it ended."""
    zone, said_slow = at.settings.business_time_zone, False

    def look(after: int) -> tuple[list[Told], int, bool]:
        nonlocal said_slow
        with at.reading() as (conn, now):
            standing, events = follow.payment(conn, payment_id, after)
        news = [Told("step", {"what": one.what, "words": said}, one.id) for one in events if (said := step_words(one))]
        seen = events[-1].id if events else after
        if not said_slow and is_slow(standing, now):
            said_slow = True
            news.append(Told("slow", {"words": SLOW}))
        if standing.over:
            end = {"state": standing.state, "words": words(standing, now, zone), "address": address(standing)}
            news.append(Told("end", {**end, "unknown": standing.outcome_unknown, "leads": leads(standing)}))
        return news, seen, standing.over

    return look


def leads(standing: Standing) -> bool:
    """Whether the page goes on by itself at the end: to the receipt, or to where the money's way back is told."""
    return standing.over and (standing.state == "posted" or standing.reversal_state is not None)


def step_words(one: Happened) -> str:
    """An event in plain words; "" for one that says nothing to a clerk."""
    said = _STEPS.get(one.what, "")
    return f"{said}: {one.why}" if said and one.why and one.what in _WITH_REASON else said


def is_slow(standing: Standing, now: datetime) -> bool:
    """Whether a clerk should be told that the gateway takes its time."""
    return not standing.over and standing.latest_at is not None and now - standing.latest_at >= SLOW_AFTER


def words(standing: Standing, now: datetime, zone: ZoneInfo) -> str:
    """How it stands, in plain words; times by the business's clock."""
    if standing.outcome_unknown:
        return UNKNOWN
    if is_slow(standing, now):
        return SLOW
    if standing.refund_minor is not None and standing.state == "posted":
        said = _REFUNDED.get(standing.reversal_state or "", "The refund of {sum} is under way.")
        return said.format(sum=for_people(standing.refund_minor, standing.currency))
    when = f" on {standing.due_at.astimezone(zone):%Y-%m-%d at %H:%M}" if standing.due_at else ""
    said = _ENDS.get(standing.state, UNDER_WAY).format(when=when)
    if standing.reversal_state in _RETURNED:
        return f"{said} {_RETURNED[standing.reversal_state]}"
    if standing.state in ("declined", "retrying") and standing.decline_class:
        decline = DeclineClass(standing.decline_class)
        advice = told(standing.declined_by or "", standing.decline_code or "", decline)
        return f"{said} It means: {advice.meaning}. {advice.clerk} You can tell the customer: {advice.customer}"
    return said


_WITH_REASON: Final = {
    "payment.declined",
    "payment.retrying",
    "payment.review",
    "payment.cancelled",
    "refund.asked",
    "dispute.open",
    "dispute.won",
    "dispute.lost",
}


# ---- a batch --------------------------------------------------------------------------------------------------------


def of_batch(at: Office, batch_id: int) -> Look:
    """Follows a batch: its counts, whenever they changed, and how fast it goes."""
    before: dict[str, int] = {}
    speed = Speed()

    def look(after: int) -> tuple[list[Told], int, bool]:
        with at.reading() as (conn, now):
            status = batches.counts(conn, batch_id)
        done = status.finished + status.waiting
        counts = {"payments": status.payments, "finished": status.finished, "waiting": status.waiting}
        news = []
        if (now_counted := {**counts, **status.by_state}) != before:
            before.clear()
            before.update(now_counted)
            pace = speed.words(now, done, status.payments)
            news.append(Told("counts", {**counts, "by_state": status.by_state, "pace": pace}))
        if status.ended:
            news.append(Told("end", {**counts, "by_state": status.by_state}))
        return news, after, status.ended

    return look
