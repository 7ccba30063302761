"""Batches: payments that are handed in together, all or none, and how far they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import answers as kept_answers
from books import batches, clock, lists
from books.api_keys import ApiKey
from producer.payments import Row
from rules.errors import Fault, RequestRefused
from rules.requests import check_words, unknown_fields
from web.api import answers, card_owners
from web.api.access import Payer, Reader, other_customer, stands
from web.api.answers import as_json, moment
from web.api.requests import Asked, Body, IdempotencyKey, asking, digest
from web.office import At, Id, Office
from web.problems import BATCH_REFUSED, KEY_REUSED, Refused, of_fault
from web.progress import of_batch, stream

router = APIRouter(prefix="/v1/batches", tags=["batches"])

ROWS_MAX: Final = 10_000
"""Payments of one batch."""

_FIELDS: Final = ("label", "payments")
_LABEL: Final = "by API"


class _MadeBefore(Exception):
    """The same batch was handed in before."""


@router.post("", status_code=201)
def create(request: Request, at: At, key: Payer, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Hand in a batch: `payments`, each with the fields of a payment, and a `label`; all are recorded, or none.

    A row may have an `idempotency_key` of its own; else the batch's and its number, from 1, make one.
    """
    label, payments = _checked(body)
    content = digest(request, body)

    def first(conn: Connection) -> None:
        if kept_answers.begin(conn, key.id, idempotency_key, content) is not None:
            raise _MadeBefore
        kept_answers.remember(conn, key.id, idempotency_key, content, 201, None, clock.now(conn))

    strange = _others_cards(at, key, payments)
    rows = [_row(key, idempotency_key, number, asked, strange) for number, asked in enumerate(payments, start=1)]
    replayed = False
    try:
        receipt = at.producer.submit_rows(
            rows, label=label, caller=key.caller, idempotency_key=idempotency_key, by=key.by, first=first
        )
    except _MadeBefore:
        batch_id, replayed = at.producer.find_batch(key.caller, idempotency_key), True
    else:
        if receipt.refused_count:
            refused = [{"row": one.row, "faults": [of_fault(fault) for fault in one.faults]} for one in receipt.refused]
            detail = f"{receipt.refused_count:,} of {len(rows):,} rows are refused; nothing was recorded."
            raise Refused(BATCH_REFUSED, detail, refused=receipt.refused_count, rows=refused)
        batch_id = receipt.batch_id
    if batch_id is None:
        raise Refused(KEY_REUSED, "Every row was recorded before under its own idempotency_key.")
    return as_json(201, _shown(at, batch_id), replayed=replayed, location=f"/v1/batches/{batch_id}")


@router.get("")
def list_(at: At, key: Reader, asked: Annotated[Asked, Depends(asking(of=answers.BATCH))]) -> Response:
    """Batches, in the order in which they were handed in. A key for one customer sees its own only."""
    with at.looking() as conn:
        found = lists.batches(conn, asked.one_more, None if key.customer is None else key.caller)
    return as_json(200, asked.shown([answers.batch(one) for one in found]))


@router.get("/{batch_id}/progress")
def progress(request: Request, at: At, key: Reader, batch_id: Id) -> Response:
    """How far a batch is, live, as server-sent events: `counts`, whenever they changed, at last `end`."""
    with at.looking() as conn:
        lists.batch(conn, batch_id, None if key.customer is None else key.caller)
    return stream(request, of_batch(at, batch_id), partial(stands, at, key))


@router.get("/{batch_id}")
def get(at: At, key: Reader, batch_id: Id) -> dict[str, Any]:
    """How far a batch is; its payments are at `payments_url`. A key for one customer sees its own batches only."""
    return _shown(at, batch_id, None if key.customer is None else key.caller)


def _shown(at: Office, batch_id: int, caller: str | None = None) -> dict[str, Any]:
    with at.reading() as (conn, _):
        batch = lists.batch(conn, batch_id, caller)
        counts = batches.counts(conn, batch_id)
    return {
        "id": batch.id,
        "label": batch.label,
        "state": batch.state,
        "created_at": moment(batch.created_at),
        "payments": counts.payments,
        "finished": counts.finished,
        "waiting": counts.waiting,
        "ended": counts.ended,
        "by_state": counts.by_state,
        "payments_url": f"/v1/payments?batch={batch.id}",
    }


def _checked(body: Mapping[str, Any]) -> tuple[str, list[Any]]:
    faults = unknown_fields(body, _FIELDS)
    said = body.get("label")
    blank = said is None or (isinstance(said, str) and not said.strip())
    label = check_words("label", _LABEL if blank else said)
    payments = body.get("payments")
    if isinstance(label, Fault):
        faults.append(label)
    if not isinstance(payments, list) or not 0 < len(payments) <= ROWS_MAX:
        faults.append(Fault("payments", "", "no list of payments", f"Give a list of 1 to {ROWS_MAX:,} payments"))
    if faults or isinstance(label, Fault) or not isinstance(payments, list):
        raise RequestRefused(faults)
    return label, payments


def _others_cards(at: Office, key: ApiKey, payments: Sequence[object]) -> Collection[str]:
    """The tokens that a key for one customer names, and that stand for somebody else's cards."""
    if key.customer_id is None:
        return ()
    tokens = {token for one in payments if isinstance(one, dict) and isinstance(token := one.get("card_token"), str)}
    with at.looking() as conn:
        return card_owners.whose(conn, at.vault, key, key.customer_id, tokens)[1]


def _row(key: ApiKey, idempotency_key: str, number: int, asked: object, strange: Collection[str]) -> Row:
    if not isinstance(asked, dict):
        return Row(number, [Fault("payments", "", "not an object", "Give an object with a payment's fields")])
    if fault := other_customer(key, asked.get("customer")):
        return Row(number, [fault])
    if isinstance(token := asked.get("card_token"), str) and token in strange:
        return Row(number, [card_owners.NO_SUCH_CARD])
    return Row(number, {"idempotency_key": f"{idempotency_key}:{number}", **asked})
