"""Charge due card payments: begin a group, call the gateways, finish what has answered, all three overlapping."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from celery import shared_task
from sqlalchemy import Connection

from books import charge, claim, outcome, traced
from books.charge import Begun
from books.history import tell
from books.outcome import Heard
from books.tally import Tally
from gateways.contract import Reply
from gateways.window import Broke, Window
from rules.cards import Card
from rules.errors import CardUnavailable
from rules.outcomes import Outcome
from tasks import calls, scopes, stored_cards, told
from tasks.context import BY, Call, Context, current
from tasks.meanwhile import Meanwhile
from telemetry import traces
from worker.breakers import Turned

PAYMENTS_MAX: Final = 2_000
"""Payments of one message; what is left of a batch is woken anew, so that batches take turns."""
_GATHER_SECONDS: Final = 0.02
"""How long answers are gathered before they are recorded together."""
_LAST_ANSWERS_SECONDS: Final = 0.5
"""How long they are gathered when nothing is left to begin."""
_LOOKS: Final = 3
"""How often it is looked again for what a busy customer's lock hid; the last look waits for the lock."""


_log = logging.getLogger(__name__)


@shared_task(name="defray.charge")
def run(batch: int | None = None, lane: str = "", payment: int | None = None) -> str:
    """Charge what is due of a batch, of a payment, or of those that came alone."""
    context = current()
    scope = scopes.of(batch, payment)
    meanwhile = Meanwhile(context, scope)
    tally = work(context, scope, PAYMENTS_MAX, meanwhile.so_far)
    told.sums("charged", tally)
    with context.transaction() as (conn, now):
        # Where all are busy, whoever is busy with them goes on, or the sweeper comes: waking would turn in circles.
        if isinstance(scope, claim.Batch) and tally != Tally() and claim.is_left(conn, "charge", scope, now):
            context.wake.batch(scope.batch_id, "charge", 1)
        return sentence(context, meanwhile.sentence(conn, now, tally))


def work(context: Context, scope: claim.Scope, most: int, hear: Callable[[Tally], None] = lambda so_far: None) -> Tally:
    """Charge at most so many due payments of the scope, with as many calls in flight as the window holds.

    `hear` is told what was done so far.
    """
    total, taken, looks = Tally(), 0, 0
    group = max(1, context.window // 4)
    in_batch = isinstance(scope, claim.Batch)
    window: Window[Begun, Reply[Outcome]] = Window(context.window)
    with window:
        while True:
            begun = 0
            room = min(context.window - window.in_flight, most - taken)
            if room >= min(group, most - taken) > 0 and looks < _LOOKS:
                waits = looks == _LOOKS - 1 and not window.in_flight
                looked_at = claim.patiently(scope) if waits else scope
                begun, turned = _begin(context, looked_at, min(room, 2 * group), window)
                total.add(turned)
                taken += begun
                looks = 0 if begun else looks + 1
            if window.in_flight:
                patience = _GATHER_SECONDS if looks < _LOOKS else _LAST_ANSWERS_SECONDS
                answers = window.collect(min(group, window.in_flight), patience)
                told.answers("sale", answers, in_batch=in_batch)
                recorded = record(context, "reply", all_heard(context, answers))
                _weigh(context, answers)
                total.add(recorded)
                hear(total)
                looks = 0 if recorded.rerouted or recorded.by_number else looks
            elif not begun and (taken >= most or looks >= _LOOKS or not _is_left(context, scope)):
                return total


def _weigh(context: Context, answers: Iterable[tuple[Begun, Reply[Outcome] | Broke]]) -> None:
    """Count what the answers say of their gateways; an alarm where one begins to be rested, a note where it is back."""
    turned = context.breakers.hear(
        (sale.gateway, reply.result) for sale, reply in answers if not isinstance(reply, Broke)
    )
    if turned:
        with context.transaction() as (conn, now):
            for one in turned:
                what = "alarm.gateway_rested" if one.resting else "gateway.works_again"
                tell(conn, what, now, BY, _said_of(one), details={"gateway": one.gateway})
                _log.warning(_said_of(one), extra={"gateway": one.gateway, "reason": one.why})


def _said_of(one: Turned) -> str:
    if one.resting:
        return f"{one.gateway} is rested, it keeps failing: {one.why}"
    return f"{one.gateway} works again"


def sentence(context: Context, done: str) -> str:
    """For Flower: what was done, and which gateways are rested."""
    rested = [rest.words(gateway) for gateway, rest in sorted(context.breakers.rests().items())]
    held = ["nothing is charged: quarantined, see `defray quarantine`"] if context.guard.quarantine else []
    return "; ".join([done, *rested, *held])


def _is_left(context: Context, scope: claim.Scope) -> bool:
    with context.transaction() as (conn, now):
        return claim.is_left(conn, "charge", scope, now)


def _begin(context: Context, scope: claim.Scope, most: int, window: Window[Begun, Reply[Outcome]]) -> tuple[int, Tally]:
    """Commit sales as `started`, then hand them to the window."""
    context.breakers.rests()  # asks Redis now, if at all, and not while customers are locked
    send_by = context.send_by()
    task = traces.current()
    with traces.part("begin") as part, context.transaction() as (conn, now):
        begun, tally = charge.begin(conn, scope, most, context.terms, now, BY, context.breakers)
        cards = opened(context, conn, begun, now)
        context.forget(conn, tally)
        if part and task:
            part.say(begun=len(begun))
            task.link(traced.asked(conn, [sale.payment_id for sale in begun]))
    context.guard.sent(sale.transaction_id for sale in begun)
    calls_to_make, unsent = sales(context, begun, cards, send_by)
    for sale, call in calls_to_make:
        window.submit(sale, told.call("sale", sale, call, in_batch=isinstance(scope, claim.Batch)))
    tally.add(record(context, "reply", unsent))
    return len(begun), tally


def opened(
    context: Context, conn: Connection, begun: Sequence[Begun], now: datetime
) -> dict[str, Card | CardUnavailable]:
    """The cards of begun sales that go by the number; the others stay shut (C4)."""
    tokens = [sale.card_token for sale in begun if not sale.by_token]
    return context.vault.open(conn, tokens, now) if tokens else {}


def sales(
    context: Context, begun: Sequence[Begun], cards: Mapping[str, Card | CardUnavailable], send_by: float
) -> tuple[list[tuple[Begun, Call[Outcome]]], list[Heard]]:
    """The calls of begun sales, and what is heard of those whose card the vault cannot give."""
    to_make: list[tuple[Begun, Call[Outcome]]] = []
    unsent: list[Heard] = []
    for sale in begun:
        card = stored_cards.token_of(context.vault, sale) if sale.by_token else cards[sale.card_token]
        if isinstance(card, CardUnavailable):
            unsent.append(calls.without_card(sale, card))
        else:
            to_make.append((sale, context.sale(sale.gateway, calls.sale(sale, card, send_by))))
    return to_make, unsent


def all_heard(context: Context, answers: Iterable[tuple[Begun, Reply[Outcome] | Broke]]) -> list[Heard]:
    """What many sales proved, with the gateways' tokens for cards that are kept."""
    return [
        calls.heard(sale.transaction_id, sale.lease_token, reply, stored_cards.given(context.vault, sale, reply))
        for sale, reply in answers
    ]


def record(context: Context, kind: str, heard: Sequence[Heard]) -> Tally:
    """Commit outcomes; what is to be reversed because of them is woken."""
    if not heard:
        return Tally()
    with traces.part("record", outcomes=len(heard)), context.transaction() as (conn, now):
        tally = outcome.finish(conn, kind, heard, context.terms, now, BY)
        context.forget(conn, tally)
    if tally.reversals:
        context.wake.reversals("void")
    return tally
