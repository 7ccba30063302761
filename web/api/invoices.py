"""Invoices: what is owed."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import lists
from books.bill import NewInvoice, record_invoices
from books.void_invoice import void_invoice
from rules.cards import looks_like_card_number
from rules.errors import Fault, RequestRefused
from rules.money import check_currency
from rules.requests import NAME_MAX, check_amount, check_words, parse_day, required_text, unknown_fields
from web.api import answers
from web.api.access import Payer, Reader, Voider, other_customer
from web.api.answers import Made, as_json, write
from web.api.requests import Asked, Body, IdempotencyKey, Pick, asking, day_filter, one_of, picking
from web.office import At, Id
from web.problems import EXISTS, Refused

router = APIRouter(prefix="/v1/invoices", tags=["invoices"])

STATES: Final = ("draft", "pending", "paid", "void")
_DAYS: Final = ("invoice_date_from", "invoice_date_to", "due_date_from", "due_date_to")
FILTERS: Final = ("customer", "number", "state", *_DAYS)
_FIELDS: Final = ("customer", "number", "invoice_date", "due_date", "currency", "amount", "amount_minor")


@router.post("", status_code=201)
def create(request: Request, at: At, key: Payer, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Issue an invoice: `customer`, `number`, `invoice_date`, `due_date`, `currency`, `amount_minor`."""
    if fault := other_customer(key, body.get("customer")):
        raise RequestRefused([fault])
    new = _checked(body)

    def make(conn: Connection, now: datetime) -> Made:
        [kept] = record_invoices(conn, [new], now, key.by)
        if isinstance(kept, list):
            if all(fault.field == "customer" for fault in kept):
                raise RequestRefused(kept)
            raise Refused(EXISTS, "The customer has an invoice with this number already, with other content.")
        if not kept.new:
            raise Refused(EXISTS, "The customer has an invoice with this number already.", id=kept.id)
        return Made(201, answers.invoice(lists.invoice(conn, kept.id)))

    return write(at, request, key, idempotency_key, body, make)


@router.get("")
def list_(at: At, key: Reader, asked: Annotated[Asked, Depends(asking(*FILTERS, of=answers.INVOICE))]) -> Response:
    """Invoices, in the order in which they were recorded: all, by number, a customer's; these by state and dates."""
    state = one_of(asked, "state", STATES)
    number, customer = asked.filters.get("number"), asked.filters.get("customer", key.customer)
    days = {name: day_filter(asked, name) for name in _DAYS}
    alone = [name for name in ("state", *_DAYS) if name in asked.filters]
    if alone and customer is None:
        raise RequestRefused([Fault(name, "", "given without a customer", "Give the customer, too") for name in alone])
    if fault := other_customer(key, customer):
        raise RequestRefused([fault])
    with at.looking() as conn:
        customer_id = None if customer is None else lists.customer(conn, customer).id
        found = lists.invoices(conn, asked.one_more, customer_id, number, state, days)
    return as_json(200, asked.shown([answers.invoice(one) for one in found]))


@router.get("/{invoice_id}")
def get(at: At, key: Reader, invoice_id: Id, pick: Annotated[Pick, Depends(picking(answers.INVOICE))]) -> Response:
    """An invoice by id."""
    with at.looking() as conn:
        return as_json(200, pick(answers.invoice(lists.invoice(conn, invoice_id, key.customer_id))))


@router.post("/{invoice_id}/void")
def void(
    request: Request, at: At, key: Voider, invoice_id: Id, idempotency_key: IdempotencyKey, body: Body
) -> Response:
    """Void an invoice that nobody paid: `reason`. Refused where anything is applied to it or under way (R8a)."""
    faults = unknown_fields(body, ("reason",))
    reason = check_words("reason", body.get("reason"))
    if isinstance(reason, Fault):
        faults.append(reason)
    if faults or isinstance(reason, Fault):
        raise RequestRefused(faults)

    def make(conn: Connection, now: datetime) -> Made:
        void_invoice(conn, invoice_id, reason, now, key.by, key.customer_id)
        return Made(200, answers.invoice(lists.invoice(conn, invoice_id)))

    return write(at, request, key, idempotency_key, body, make)


def _checked(body: dict[str, Any]) -> NewInvoice:
    faults = unknown_fields(body, _FIELDS)
    customer = _name("customer", body.get("customer"))
    number = _name("number", body.get("number"))
    invoice_date = _day("invoice_date", body.get("invoice_date"))
    due_date = _day("due_date", body.get("due_date"))
    currency = check_currency(body.get("currency"))
    total = currency if isinstance(currency, Fault) else check_amount(body, currency)
    if (
        not faults
        and isinstance(customer, str)
        and isinstance(number, str)
        and isinstance(invoice_date, date)
        and isinstance(due_date, date)
        and isinstance(currency, str)
        and isinstance(total, int)
    ):
        return NewInvoice(customer, number, invoice_date, due_date, currency, total)
    checked = (customer, number, invoice_date, due_date, currency, total)
    found = [one for one in checked if isinstance(one, Fault)]
    raise RequestRefused(faults + list(dict.fromkeys(found)))


def _name(field: str, value: object) -> str | Fault:
    checked = required_text(field, value, NAME_MAX)
    if isinstance(checked, str) and looks_like_card_number(checked):
        return Fault(field, "", "looks like a card number", "Take it out")
    return checked


def _day(field: str, value: object) -> date | Fault:
    return Fault(field, "", "missing", "Give the day") if value in (None, "") else parse_day(field, value)
