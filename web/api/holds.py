"""Holds: while one stands, nothing charges its customer by itself."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import holds, lists
from rules.errors import Fault, NotFound, RequestRefused
from rules.requests import NAME_MAX, check_words, parse_day, required_text, unknown_fields
from web.api import answers
from web.api.access import Reader, Voider, other_customer
from web.api.answers import Made, as_json, write
from web.api.requests import Body, IdempotencyKey
from web.office import At

router = APIRouter(prefix="/v1/holds", tags=["holds"])

_FIELDS: Final = ("customer", "reason", "until")


@router.post("", status_code=201)
def place(request: Request, at: At, key: Voider, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Put a customer on hold, in place of a hold that stands: `customer`, `reason`, maybe `until`, its last day."""
    if fault := other_customer(key, body.get("customer")):
        raise RequestRefused([fault])
    number, reason, last_day = _checked(body)

    def make(conn: Connection, now: datetime) -> Made:
        customer_id = lists.customer(conn, number).id
        holds.place(conn, customer_id, reason, last_day, at.zone, now, key.by)
        return Made(201, _shown(conn, number, customer_id, now))

    return write(at, request, key, idempotency_key, body, make)


@router.post("/lift")
def lift(request: Request, at: At, key: Voider, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Lift the hold of a `customer`: what waits for that is looked at now; the answer is the hold as it was."""
    if fault := other_customer(key, body.get("customer")):
        raise RequestRefused([fault])
    faults = unknown_fields(body, ("customer",))
    number = required_text("customer", body.get("customer"), NAME_MAX)
    if isinstance(number, Fault):
        faults.append(number)
    if faults or isinstance(number, Fault):
        raise RequestRefused(faults)

    def make(conn: Connection, now: datetime) -> Made:
        customer_id = lists.customer(conn, number).id
        said = _shown(conn, number, customer_id, now)
        waited = holds.lift(conn, customer_id, now, key.by)
        return Made(200, said, partial(at.wake.singles, "charge") if waited else None)

    return write(at, request, key, idempotency_key, body, make)


@router.get("/{number:path}")
def get(at: At, key: Reader, number: str) -> Response:
    """The hold of a customer by number; 404 where none stands."""
    if key.customer not in (None, number):
        raise NotFound("There is no such customer.")
    with at.reading() as (conn, now):
        return as_json(200, _shown(conn, number, lists.customer(conn, number).id, now))


def _shown(conn: Connection, number: str, customer_id: int, now: datetime) -> dict[str, Any]:
    standing = holds.of_customer(conn, customer_id, now)
    if standing is None:
        raise NotFound("The customer is not on hold.")
    return {"customer": number, **answers.hold(standing)}


def _checked(body: dict[str, Any]) -> tuple[str, str, date | None]:
    faults = unknown_fields(body, _FIELDS)
    number = required_text("customer", body.get("customer"), NAME_MAX)
    reason = check_words("reason", body.get("reason"))
    last_day = parse_day("until", body["until"]) if body.get("until") not in (None, "") else None
    faults += [one for one in (number, reason, last_day) if isinstance(one, Fault)]
    if faults or isinstance(number, Fault) or isinstance(reason, Fault) or isinstance(last_day, Fault):
        raise RequestRefused(faults)
    return number, reason, last_day
