"""Customers: who is billed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import lists
from books.bill import NewCustomer, record_customers
from rules.cards import looks_like_card_number
from rules.emails import check_email
from rules.errors import Fault, NotFound, RequestRefused
from rules.requests import NAME_MAX, required_text, unknown_fields
from rules.texts import check_text
from web.api import answers
from web.api.access import Payer, Reader, for_all_customers
from web.api.answers import Made, as_json, write
from web.api.requests import Asked, Body, IdempotencyKey, Pick, asking, picking
from web.office import At
from web.problems import EXISTS, Refused

router = APIRouter(prefix="/v1/customers", tags=["customers"])

_FIELDS: Final = ("number", "name", "email", "phone")


@router.post("", status_code=201)
def create(request: Request, at: At, key: Payer, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Record a customer: `number`, optionally `name`, `email`, `phone`."""
    for_all_customers(key)
    new = _checked(body)

    def make(conn: Connection, now: datetime) -> Made:
        [kept] = record_customers(conn, [new], now, key.by)
        if not kept.new:
            raise Refused(EXISTS, "A customer has this number already.")
        return Made(201, answers.customer(lists.customer(conn, new.number)))

    return write(at, request, key, idempotency_key, body, make)


@router.get("")
def list_(at: At, key: Reader, asked: Annotated[Asked, Depends(asking(of=answers.CUSTOMER))]) -> Response:
    """All customers, in the order in which they were recorded."""
    with at.looking() as conn:
        return as_json(
            200, asked.shown([answers.customer(one) for one in lists.customers(conn, asked.one_more, key.customer_id)])
        )


@router.get("/{number:path}")
def get(at: At, key: Reader, number: str, pick: Annotated[Pick, Depends(picking(answers.CUSTOMER))]) -> Response:
    """A customer by number."""
    if key.customer not in (None, number):
        raise NotFound("There is no such customer.")
    with at.looking() as conn:
        return as_json(200, pick(answers.customer(lists.customer(conn, number))))


def _checked(body: dict[str, Any]) -> NewCustomer:
    faults = unknown_fields(body, _FIELDS)
    texts: dict[str, str] = {}
    for name in _FIELDS:
        if name != "number" and body.get(name) in (None, ""):
            continue
        if name == "number":
            checked = required_text(name, body.get(name), NAME_MAX)
        elif name == "email":
            checked = check_email(name, body[name])
        else:
            checked = check_text(name, body[name], NAME_MAX)
        if isinstance(checked, Fault):
            faults.append(checked)
        elif looks_like_card_number(checked):
            faults.append(Fault(name, "", "looks like a card number", "Take it out"))
        else:
            texts[name] = checked
    if faults:
        raise RequestRefused(faults)
    return NewCustomer(**texts)
