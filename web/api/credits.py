"""Credits: what was paid too much, and applying it to invoices (R14)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import credit, lists
from rules.errors import Fault, RequestRefused, shown
from rules.money import check_currency
from rules.requests import NAME_MAX, check_words, required_text, unknown_fields
from web.api import answers
from web.api.access import Payer, Reader, Voider, other_customer
from web.api.answers import Made, as_json, write
from web.api.requests import Asked, Body, IdempotencyKey, asking
from web.office import At, Id

router = APIRouter(prefix="/v1/credits", tags=["credits"])

INVOICES_MAX: Final = 10_000
"""Invoices that one call may name."""

_FIELDS: Final = ("customer", "currency", "credit_id", "invoices")
_ID_MAX: Final = 2**63 - 1


@router.get("")
def list_(at: At, key: Reader, asked: Annotated[Asked, Depends(asking("customer", of=answers.CREDIT))]) -> Response:
    """A customer's credits, used up ones, too."""
    customer = asked.filters.get("customer", key.customer)
    if customer is None:
        raise RequestRefused([Fault("customer", "", "missing", "Give the customer's number")])
    if fault := other_customer(key, customer):
        raise RequestRefused([fault])
    with at.looking() as conn:
        found = lists.credits_of(conn, asked.one_more, lists.customer(conn, customer).id)
    return as_json(200, asked.shown([answers.credit(one) for one in found]))


@router.post("/apply")
def apply(request: Request, at: At, key: Payer, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Apply a customer's credits in a currency, oldest first, to invoices, oldest first.

    `customer`, `currency`; `credit_id`: this one only; `invoices`: the numbers of these only, in this order. The answer
    lists what was applied; nothing where nothing fits.
    """
    if fault := other_customer(key, body.get("customer")):
        raise RequestRefused([fault])
    number, currency, credit_id, named = _checked(body)

    def make(conn: Connection, now: datetime) -> Made:
        customer_id = lists.customer(conn, number).id
        ids = None if named is None else _ids(conn, customer_id, named)
        done = credit.apply_to_invoices(
            conn, customer_id, currency, ids, at.today(now), now, key.by, credit_id=credit_id
        )
        return Made(200, {"currency": currency, "applied": _shown(conn, done)})

    return write(at, request, key, idempotency_key, body, make)


@router.get("/{credit_id}/applications")
def applications(
    at: At, key: Reader, credit_id: Id, asked: Annotated[Asked, Depends(asking(of=answers.APPLICATION))]
) -> Response:
    """What of a credit was applied to which invoices, what was taken back, too."""
    with at.looking() as conn:
        found = lists.applications(conn, asked.one_more, credit_id, key.customer_id)
    return as_json(200, asked.shown([answers.application(one) for one in found]))


@router.post("/applications/{application_id}/reverse")
def reverse(
    request: Request, at: At, key: Voider, application_id: Id, idempotency_key: IdempotencyKey, body: Body
) -> Response:
    """Take back one application of a credit: `reason`. The invoice owes again, the credit has it back (R14)."""
    faults = unknown_fields(body, ("reason",))
    reason = check_words("reason", body.get("reason"))
    if isinstance(reason, Fault):
        faults.append(reason)
    if faults or isinstance(reason, Fault):
        raise RequestRefused(faults)

    def make(conn: Connection, now: datetime) -> Made:
        credit.take_back(conn, application_id, reason, at.today(now), now, key.by, key.customer_id)
        return Made(200, answers.application(lists.application(conn, application_id)))

    return write(at, request, key, idempotency_key, body, make)


def _shown(conn: Connection, done: Sequence[credit.Applied]) -> list[dict[str, int]]:
    ids = lists.latest_applications(conn, [one.credit_id for one in done])
    return [
        {
            "id": ids[one.credit_id, one.invoice_id],
            "credit_id": one.credit_id,
            "invoice_id": one.invoice_id,
            "amount_minor": one.amount_minor,
        }
        for one in done
    ]


def _ids(conn: Connection, customer_id: int, named: Sequence[str]) -> list[int]:
    known = lists.invoice_ids(conn, customer_id, named)
    if missing := [number for number in named if number not in known]:
        remedy = "Compare both numbers; leading zeros count"
        raise RequestRefused([Fault("invoices", shown(missing[0]), "the customer has no such invoice", remedy)])
    return [known[number] for number in named]


def _checked(body: dict[str, Any]) -> tuple[str, str, int | None, list[str] | None]:
    faults = unknown_fields(body, _FIELDS)
    number = required_text("customer", body.get("customer"), NAME_MAX)
    currency = check_currency(body.get("currency"))
    faults += [one for one in (number, currency) if isinstance(one, Fault)]
    credit_id = body.get("credit_id")
    if credit_id is not None and (type(credit_id) is not int or not 0 < credit_id <= _ID_MAX):
        faults.append(Fault("credit_id", "", "no id of a credit", "Give the id of a credit of this customer"))
    named = body.get("invoices")
    if named is not None:
        texts = isinstance(named, list) and 0 < len(named) <= INVOICES_MAX
        texts = texts and all(isinstance(one, str) and 0 < len(one) <= NAME_MAX for one in named)
        if not texts or len(set(named)) < len(named) or any("\0" in one for one in named):
            remedy = f"Give a list of 1 to {INVOICES_MAX:,} invoice numbers, or leave it out for the oldest first"
            faults.append(Fault("invoices", "", "no list of invoice numbers, each once", remedy))
    if faults or isinstance(number, Fault) or isinstance(currency, Fault):
        raise RequestRefused(faults)
    return number, currency, credit_id, named
