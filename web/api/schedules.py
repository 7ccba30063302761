"""Schedules: a kept card that is charged again and again by the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import lists, schedules
from books.api_keys import ApiKey
from rules.errors import Fault, RequestRefused
from rules.requests import check_words, unknown_fields
from rules.schedules import check
from web.api import answers
from web.api.access import Payer, Reader, Voider, other_customer
from web.api.answers import Made, as_json, write
from web.api.requests import Asked, Body, IdempotencyKey, Pick, asking, picking
from web.office import At, Id, Office

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])


@router.post("", status_code=201)
def create(request: Request, at: At, key: Payer, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Make a schedule: every so many weeks, or on a day of every so many months, from a day on.

    `card_token` is of a card that the customer let us keep. `amount_minor`, no more than is owed (`as_credit`: all of
    it), or `all_owed`. `month_day` 31 is the last of each month. It ends after so many `times`, with `until`, or when
    it is stopped.
    """
    if fault := other_customer(key, body.get("customer")):
        raise RequestRefused([fault])
    if "idempotency_key" in body:
        raise RequestRefused([Fault("idempotency_key", "", "no such field", "Send the header Idempotency-Key")])
    asked = check({**body, "idempotency_key": idempotency_key})
    if isinstance(asked, list):
        raise RequestRefused(asked)

    def make(conn: Connection, now: datetime) -> Made:
        made, _ = schedules.make(conn, asked, key.caller, at.zone, now, key.by)
        return Made(201, answers.schedule(schedules.get(conn, made)))

    return write(at, request, key, idempotency_key, body, make)


@router.get("")
def list_(at: At, key: Reader, asked: Annotated[Asked, Depends(asking("customer", of=answers.SCHEDULE))]) -> Response:
    """Schedules, in the order in which they were made: all, or a customer's."""
    customer = asked.filters.get("customer", key.customer)
    if fault := other_customer(key, customer):
        raise RequestRefused([fault])
    with at.looking() as conn:
        customer_id = None if customer is None else lists.customer(conn, customer).id
        found = schedules.some(conn, asked.one_more, customer_id)
    return as_json(200, asked.shown([answers.schedule(one) for one in found]))


@router.get("/{schedule_id:id}")
def get(at: At, key: Reader, schedule_id: Id, pick: Annotated[Pick, Depends(picking(answers.SCHEDULE))]) -> Response:
    """Where a schedule stands."""
    with at.looking() as conn:
        return as_json(200, pick(answers.schedule(schedules.get(conn, schedule_id, key.customer_id))))


@router.get("/{schedule_id}/runs")
def runs(at: At, key: Reader, schedule_id: Id) -> Response:
    """What became of its latest dates, the latest first."""
    with at.looking() as conn:
        schedules.get(conn, schedule_id, key.customer_id)
        found = schedules.runs(conn, schedule_id)
    return as_json(200, {"data": [answers.run(one) for one in found]})


@router.post("/{schedule_id}/pause")
def pause(
    request: Request, at: At, key: Voider, schedule_id: Id, idempotency_key: IdempotencyKey, body: Body
) -> Response:
    """Run no date until it is resumed; a payment that was made goes on. `reason`."""
    reason = _reason(body)
    return _do(
        request,
        at,
        key,
        idempotency_key,
        body,
        schedule_id,
        lambda conn, now: schedules.pause(conn, schedule_id, reason, now, key.by, key.customer_id),
    )


@router.post("/{schedule_id}/resume")
def resume(
    request: Request, at: At, key: Payer, schedule_id: Id, idempotency_key: IdempotencyKey, body: Body
) -> Response:
    """Go on with the first date from today; those of the pause are not made up for."""
    if faults := unknown_fields(body, ()):
        raise RequestRefused(faults)
    return _do(
        request,
        at,
        key,
        idempotency_key,
        body,
        schedule_id,
        lambda conn, now: schedules.resume(conn, schedule_id, at.zone, now, key.by, key.customer_id),
    )


@router.post("/{schedule_id}/skip")
def skip(
    request: Request, at: At, key: Voider, schedule_id: Id, idempotency_key: IdempotencyKey, body: Body
) -> Response:
    """Pass over its next date. `reason`."""
    reason = _reason(body)
    return _do(
        request,
        at,
        key,
        idempotency_key,
        body,
        schedule_id,
        lambda conn, now: schedules.skip(conn, schedule_id, reason, at.zone, now, key.by, key.customer_id),
    )


@router.post("/{schedule_id}/stop")
def stop(
    request: Request, at: At, key: Voider, schedule_id: Id, idempotency_key: IdempotencyKey, body: Body
) -> Response:
    """End it for good; a payment that was made goes on. `reason`."""
    reason = _reason(body)
    return _do(
        request,
        at,
        key,
        idempotency_key,
        body,
        schedule_id,
        lambda conn, now: schedules.stop(conn, schedule_id, reason, now, key.by, key.customer_id),
    )


def _do(
    request: Request,
    at: Office,
    key: ApiKey,
    idempotency_key: str,
    body: Mapping[str, Any],
    schedule_id: int,
    act: Callable[[Connection, datetime], object],
) -> Response:
    def make(conn: Connection, now: datetime) -> Made:
        act(conn, now)
        return Made(200, answers.schedule(schedules.get(conn, schedule_id)))

    return write(at, request, key, idempotency_key, body, make)


def _reason(body: Mapping[str, Any]) -> str:
    faults = unknown_fields(body, ("reason",))
    reason = check_words("reason", body.get("reason"))
    if isinstance(reason, Fault):
        faults.append(reason)
    if faults or isinstance(reason, Fault):
        raise RequestRefused(faults)
    return reason
