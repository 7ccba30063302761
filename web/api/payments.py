"""Payments: preview, create, look at, void, cancel, refund."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import answers as kept_answers
from books import lists, plans, proposals, refund, views
from books import void as voiding
from books.api_keys import ApiKey
from rules.errors import Fault, NotFound, RequestRefused, shown
from rules.methods import Method
from rules.money import check_minor
from rules.requests import check_words, parse_day, unknown_fields
from rules.states import Payment as State
from web.api import answers, card_owners
from web.api.access import Payer, Previewer, Reader, Refunder, Voider, other_customer, stands
from web.api.answers import Made, as_json, write
from web.api.requests import Asked, Body, IdempotencyKey, Pick, asking, id_filter, moment_filter, one_of, picking
from web.office import At, Id, Office
from web.progress import last_seen, of_payment, stream

router = APIRouter(prefix="/v1/payments", tags=["payments"])

STATES: Final = tuple(State)
FLAGS: Final = ("keep_card", "attended")
WITHIN: Final = ("state", "method", "recorded_from", "recorded_to")
"""Filters of a customer's or a batch's payments."""
FILTERS: Final = ("customer", "batch", "idempotency_key", *WITHIN)
_POLICIES: Final = ("auto", "ask")


@router.post("", status_code=201)
def create(at: At, key: Payer, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Record a payment; a card is charged, and the invoices are paid, by workers: the answer says where it stands.

    The fields of `rules.requests.FIELDS`, without the key, which is the header; and flags: `keep_card` says that the
    customer agreed to its card's being kept for later payments, `attended` that the payer is there and can answer a
    question of the bank's. The same key and content gives the same payment again (R15).
    """
    asked, flags = _asked(body, idempotency_key, key)
    keep = "keep_card" in flags
    entered_once = _entered_once(at, key, asked)
    recorded = at.producer.pay(
        asked,
        caller=key.caller,
        by=key.by,
        card_once=not keep and entered_once,
        keep_card=keep,
        attended="attended" in flags,
        apart=[flag for flag in flags if flag != "keep_card"],
        first=lambda conn: kept_answers.begin_payment(conn, key.id, idempotency_key),
    )
    with at.looking() as conn:
        said = answers.payment(lists.payment(conn, recorded.payment_id))
    return as_json(201, said, replayed=not recorded.new, location=f"/v1/payments/{recorded.payment_id}")


@router.post("/preview")
def preview(at: At, key: Previewer, body: Body) -> dict[str, Any]:
    """How the sum would spread over the invoices now (R9): nothing is recorded, so it needs no Idempotency-Key."""
    asked, _ = _asked(body, "preview", key)
    seen = at.producer.preview(asked)
    lines = [
        {"invoice": line.invoice, "balance_minor": line.balance_due_minor, "applied_minor": line.applied_minor}
        for line in seen.lines
    ]
    return {"currency": seen.currency, "invoices": lines, "credit_minor": seen.credit_minor}


@router.get("")
def list_(at: At, key: Reader, asked: Annotated[Asked, Depends(asking(*FILTERS, of=answers.PAYMENT))]) -> Response:
    """Payments, in the order in which they were recorded: all, a customer's or a batch's, these by WITHIN, too.

    `idempotency_key`: the one that this API key made under it.
    """
    state = one_of(asked, "state", STATES)
    batch_id = id_filter(asked, "batch")
    customer = asked.filters.get("customer", key.customer if batch_id is None else None)
    if batch_id is not None and customer is not None:
        raise RequestRefused([Fault("batch", "", "given beside customer", "Give one of the two")])
    within = lists.Within(
        state,
        one_of(asked, "method", tuple(Method)),
        moment_filter(asked, "recorded_from"),
        moment_filter(asked, "recorded_to"),
    )
    alone = [name for name in WITHIN if name in asked.filters]
    if alone and batch_id is None and customer is None:
        raise RequestRefused([Fault(name, "", "given alone", "Give the customer or the batch, too") for name in alone])
    if fault := other_customer(key, customer):
        raise RequestRefused([fault])
    with at.looking() as conn:
        if (used := asked.filters.get("idempotency_key")) is not None:
            if customer != key.customer or batch_id is not None:
                remedy = "Give it without customer and batch"
                raise RequestRefused([Fault("idempotency_key", "", "given beside another filter", remedy)])
            found = lists.payments_of_key(conn, asked.one_more, key.caller, used)
        elif batch_id is not None:
            lists.batch(conn, batch_id, None if key.customer is None else key.caller)
            found = lists.payments_of_batch(conn, asked.one_more, batch_id, [state] if state else STATES, within)
        else:
            customer_id = None if customer is None else lists.customer(conn, customer).id
            found = lists.payments(conn, asked.one_more, customer_id, within)
    return as_json(200, asked.shown([answers.payment(one) for one in found]))


@router.get("/{payment_id:id}")
def get(at: At, key: Reader, payment_id: Id, pick: Annotated[Pick, Depends(picking(answers.PAYMENT))]) -> Response:
    """Where a payment stands."""
    with at.looking() as conn:
        return as_json(200, pick(answers.payment(lists.payment(conn, payment_id, key.customer_id))))


@router.get("/{payment_id}/progress")
def progress(request: Request, at: At, key: Reader, payment_id: Id) -> Response:
    """What happens to a payment, live, as server-sent events: `step`, `slow`, at last `end`."""
    with at.looking() as conn:
        lists.payment(conn, payment_id, key.customer_id)
    look = of_payment(at, payment_id, lambda _: f"/v1/payments/{payment_id}")
    return stream(request, look, partial(stands, at, key), last_seen(request))


@router.post("/{payment_id}/void")
def void(
    request: Request, at: At, key: Voider, payment_id: Id, idempotency_key: IdempotencyKey, body: Body
) -> Response:
    """Void a posted payment: its invoices are owed again; a charge goes back to the card (R10, R11).

    `reason`; `refund_on_void_failure`: `auto` (unless given) or `ask`, where the gateway can void no more (R12).
    """
    reason = _reason(body, "refund_on_void_failure")
    policy = body.get("refund_on_void_failure", "auto")
    if policy not in _POLICIES:
        remedy = f"Give one of {', '.join(_POLICIES)}"
        raise RequestRefused([Fault("refund_on_void_failure", shown(policy), "not a policy", remedy)])

    def make(conn: Connection, now: datetime) -> Made:
        _undecided(conn, key, payment_id)
        done = voiding.void(conn, payment_id, reason, policy, at.today(now), now, key.by)
        wake = partial(at.wake.reversals, done.next_step, payment_id) if done.next_step else None
        return Made(200, answers.payment(lists.payment(conn, payment_id)), wake)

    return write(at, request, key, idempotency_key, body, make)


@router.post("/{payment_id}/cancel")
def cancel(
    request: Request, at: At, key: Voider, payment_id: Id, idempotency_key: IdempotencyKey, body: Body
) -> Response:
    """Cancel a payment that was not charged yet: 200; for one that is being charged it is a wish (R13): 202."""
    reason = _reason(body)

    def make(conn: Connection, now: datetime) -> Made:
        lists.payment(conn, payment_id, key.customer_id)
        cancelled = voiding.cancel(conn, payment_id, reason, now, key.by)
        if cancelled and (token := views.card_of_its_own(conn, payment_id)):
            at.vault.drop_keys(conn, [token])
        return Made(200 if cancelled else 202, answers.payment(lists.payment(conn, payment_id)))

    return write(at, request, key, idempotency_key, body, make)


@router.post("/{payment_id}/move")
def move(request: Request, at: At, key: Payer, payment_id: Id, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Plan a payment that waits for its day for another one: `run_on`."""
    faults = unknown_fields(body, ("run_on",))
    run_on = parse_day("run_on", body.get("run_on"))
    if isinstance(run_on, Fault):
        faults.append(run_on)
    if faults or isinstance(run_on, Fault):
        raise RequestRefused(faults)

    def make(conn: Connection, now: datetime) -> Made:
        plans.move(conn, payment_id, run_on, at.zone, now, key.by, key.customer_id)
        return Made(200, answers.payment(lists.payment(conn, payment_id)))

    return write(at, request, key, idempotency_key, body, make)


@router.post("/{payment_id}/refund", status_code=201)
def refund_(
    request: Request, at: At, key: Refunder, payment_id: Id, idempotency_key: IdempotencyKey, body: Body
) -> Response:
    """Refund a posted card payment: `reason`, and `amount_minor` where it is not all that is refundable (R17)."""
    reason = _reason(body, "amount_minor")
    amount = None if body.get("amount_minor") is None else check_minor(body["amount_minor"])
    if isinstance(amount, Fault):
        raise RequestRefused([amount])

    def make(conn: Connection, now: datetime) -> Made:
        _undecided(conn, key, payment_id)
        reversal_id = refund.ask(conn, payment_id, amount, reason, now, key.by)
        said = {
            "id": reversal_id,
            "payment_id": payment_id,
            "amount_minor": refund.amount_of(conn, reversal_id),
            "currency": lists.payment(conn, payment_id).currency,
            "state": "refund_due",
        }
        return Made(201, said, partial(at.wake.reversals, "refund", payment_id))

    return write(at, request, key, idempotency_key, body, make)


def _undecided(conn: Connection, key: ApiKey, payment_id: int) -> None:
    """The payment is one that the key sees, and nothing is proposed for it that a second person decides first."""
    lists.payment(conn, payment_id, key.customer_id)
    proposals.none_open(conn, payment_id)


def _reason(body: Mapping[str, Any], *others: str) -> str:
    faults = unknown_fields(body, ("reason", *others))
    reason = check_words("reason", body.get("reason"))
    if isinstance(reason, Fault):
        faults.append(reason)
    if faults or isinstance(reason, Fault):
        raise RequestRefused(faults)
    return reason


def _asked(body: Mapping[str, Any], idempotency_key: str, key: ApiKey) -> tuple[dict[str, Any], list[str]]:
    """A request as the producer takes it, and which flags beside it are true."""
    if fault := other_customer(key, body.get("customer")):
        raise RequestRefused([fault])
    if "idempotency_key" in body:
        raise RequestRefused([Fault("idempotency_key", "", "no such field", "Send the header Idempotency-Key")])
    unclear = [flag for flag in FLAGS if not isinstance(body.get(flag, False), bool)]
    if unclear:
        raise RequestRefused([Fault(flag, "", "neither true nor false", "Give true or false") for flag in unclear])
    asked = {name: value for name, value in body.items() if name not in FLAGS}
    return {**asked, "idempotency_key": idempotency_key}, [flag for flag in FLAGS if body.get(flag)]


def _entered_once(at: Office, key: ApiKey, asked: Mapping[str, Any]) -> bool:
    """Whether the card was entered for this payment and is not one that the customer lets us keep (C2).

    A token counts for the customer it was entered for: raises RequestRefused where that is somebody else.
    """
    token, number = asked.get("card_token"), asked.get("customer")
    if not isinstance(token, str) or not isinstance(number, str):
        return False
    with at.looking() as conn:
        try:
            customer_id = lists.customer(conn, number).id
        except NotFound:
            return False  # which the producer tells
        kept, others = card_owners.whose(conn, at.vault, key, customer_id, [token])
    if others:
        raise RequestRefused([card_owners.NO_SUCH_CARD])
    return not kept
