"""The Customer Payment window, one sum over all that is owed, and the Payment window of a single invoice: one form.

The idempotency key stands in the window's address, so that a double click, Back and a reload all save the same payment
(R15). What would be applied is the producer's preview (R9): nothing is computed here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import account, views
from books.account import Customer, Invoice
from books.preview import Preview
from rules.cards import Brand, looks_like_card_number
from rules.errors import Fault, KeyReused, RequestRefused
from rules.methods import Method
from rules.money import check_currency, to_decimal
from vault import SealedCard
from web.office import CALLER, At, Id, Office
from web.pages import form_key, go, page
from web.rights import Clerk, Fields

router = APIRouter(include_in_schema=False)

POSTED_WITHIN: Final = 2.0
"""Seconds for which an answer waits until the worker has posted what needs no gateway."""

_LOOK_EVERY: Final = 0.05
_INVOICES_MOST: Final = 1_000
_KEY: Final = re.compile(r"form-[a-z]{20}")
_TEXTS: Final = ("method", "number", "amount", "post_date", "notes", "card_token")
_SAVED_BEFORE: Final = "This form was saved before, as payment {}. What was changed in it since was not saved."


@dataclass(frozen=True, slots=True)
class Owed:
    """What a window is for: one invoice, or all Pending ones of a currency, oldest first."""

    customer: Customer
    invoice: Invoice | None
    invoices: Sequence[Invoice]
    currency: str
    currencies: Sequence[str]
    due_minor: int

    @property
    def record(self) -> str:
        """The address of the customer's record."""
        return f"/console/customers/{self.customer.id}"

    @property
    def address(self) -> str:
        """The window's own address."""
        return f"{self.record}/invoices/{self.invoice.id}/payment" if self.invoice else f"{self.record}/payment"

    @property
    def asked(self) -> dict[str, object]:
        """What a request of this window always says."""
        named = {"invoices": [self.invoice.number]} if self.invoice else {}
        return {"customer": self.customer.number, "currency": self.currency, **named}


@router.get("/console/customers/{customer_id}/payment")
def customer_window(
    request: Request, at: At, user: Clerk, customer_id: Id, currency: str = "", key: str = ""
) -> Response:
    """One sum for all that the customer owes in a currency."""
    return _window(request, at, customer_id, None, currency, key)


@router.get("/console/customers/{customer_id}/invoices/{invoice_id}/payment")
def invoice_window(request: Request, at: At, user: Clerk, customer_id: Id, invoice_id: Id, key: str = "") -> Response:
    """A payment of one invoice."""
    return _window(request, at, customer_id, invoice_id, "", key)


@router.post("/console/customers/{customer_id}/payment")
def save_for_customer(request: Request, at: At, user: Clerk, customer_id: Id, fields: Fields) -> Response:
    """Save, or show what saving would do."""
    return _save(request, at, customer_id, None, fields, user.name)


@router.post("/console/customers/{customer_id}/invoices/{invoice_id}/payment")
def save_for_invoice(
    request: Request, at: At, user: Clerk, customer_id: Id, invoice_id: Id, fields: Fields
) -> Response:
    """Save, or show what saving would do."""
    return _save(request, at, customer_id, invoice_id, fields, user.name)


def _window(
    request: Request, at: Office, customer_id: int, invoice_id: int | None, currency: str, key: str
) -> Response:
    with at.reading() as (conn, now):
        today = at.today(now)
        owed = _owed(at, conn, customer_id, invoice_id, currency, now)
        saved = views.find_payment(conn, CALLER, key) if key else None
    if not _KEY.fullmatch(key):
        chosen = {"currency": owed.currency} if owed.currency and not owed.invoice else {}
        return go(f"{owed.address}?{urlencode({**chosen, 'key': form_key()})}")
    form = {
        "idempotency_key": key,
        "method": Method.CHECK.value,
        "amount": to_decimal(owed.due_minor, owed.currency) if owed.due_minor else "",
        "post_date": today.isoformat(),
    }
    return _shown(request, at, owed, form, saved=saved)


def _save(
    request: Request, at: Office, customer_id: int, invoice_id: int | None, fields: Mapping[str, str], by: str
) -> Response:
    with at.reading() as (conn, now):
        owed = _owed(at, conn, customer_id, invoice_id, fields.get("currency", ""), now)
    if fields.get("do") == "preview":
        return _shown(request, at, owed, fields)
    if fields.get("do") == "other_card":
        return _shown(request, at, owed, {**fields, "card_token": ""})
    key = fields.get("idempotency_key", "")
    flags = {name: name in fields for name in ("as_credit", "allow_overlap")}
    asked = {**owed.asked, **{name: fields.get(name) for name in _TEXTS}, **flags, "idempotency_key": key}
    try:
        recorded = at.producer.pay(asked, caller=CALLER, by=by, card_once=True)
    except RequestRefused as error:
        return _shown(request, at, owed, fields, error.faults)
    except KeyReused:
        with at.reading() as (conn, _):
            saved = views.find_payment(conn, CALLER, key)
        return go(f"/console/payments/{saved}/progress", _SAVED_BEFORE.format(saved))
    return go(_result(at, recorded.payment_id))


def _result(at: Office, payment_id: int) -> str:
    """Where to see what became of it: a charge while it is made, anything else when it is posted."""
    end = time.monotonic() + POSTED_WITHIN
    while True:
        with at.reading() as (conn, _):
            status = views.payment(conn, payment_id)
        if status.state == "posted" and status.gateway is None:
            return f"/console/payments/{payment_id}/receipt"
        if status.gateway is not None or time.monotonic() >= end:
            return f"/console/payments/{payment_id}/progress"
        time.sleep(_LOOK_EVERY)


def _owed(at: Office, conn: Connection, customer_id: int, invoice_id: int | None, currency: str, now: Any) -> Owed:
    customer = account.customer(conn, customer_id)
    if invoice_id is not None:
        invoice = account.invoice(conn, customer_id, invoice_id)
        return Owed(customer, invoice, [invoice], invoice.currency, [], invoice.balance_minor)
    due = {one.currency: one.due_minor for one in account.balances(conn, customer_id, at.today(now)) if one.due_minor}
    known = check_currency(currency)
    chosen = next(iter(due), "") if isinstance(known, Fault) else known
    pending = account.invoices(conn, customer_id, most=_INVOICES_MOST)
    mine = [one for one in pending if one.currency == chosen]
    return Owed(customer, None, mine, chosen, list(due), due.get(chosen, 0))


def _shown(
    request: Request,
    at: Office,
    owed: Owed,
    form: Mapping[str, str],
    faults: Sequence[Fault] = (),
    saved: int | None = None,
) -> Response:
    """The window; for htmx only the part that tells what would be applied."""
    form = {name: "" if looks_like_card_number(said) else said for name, said in form.items()}  # C1: never echoed
    preview, objections = _previewed(at, owed, form.get("amount", ""))
    faults = [replace(one, field="card_number") if one.field == "card_token" else one for one in faults]
    card = _card(at, form.get("card_token", "")) if not any(one.field == "card_number" for one in faults) else None
    part = request.headers.get("HX-Request")
    return page(
        request,
        "console/payment_preview.html" if part else "console/customer_payment.html",
        422 if faults else 200,
        owed=owed,
        form=form,
        faults=faults,
        saved=saved,
        preview=preview,
        applied={line.invoice: line.applied_minor for line in preview.lines} if preview else {},
        objections=objections if part or form.get("do") == "preview" else (),
        card=card,
        charging=_charging(at, owed.currency, card),
        brands=len(Brand),
        methods=tuple(Method),
        offered=[flag for flag in ("as_credit", "allow_overlap") if flag in form or _offers(faults, flag)],
    )


def _previewed(at: Office, owed: Owed, amount: str) -> tuple[Preview | None, Sequence[Fault]]:
    if not owed.currency:
        return None, ()
    try:
        return at.producer.preview({**owed.asked, "method": Method.OTHER.value, "amount": amount}), ()
    except RequestRefused as error:
        return None, error.faults


def _card(at: Office, token: str) -> SealedCard | None:
    if not token:
        return None
    with at.reading() as (conn, _):
        return at.vault.facts(conn, [token]).get(token)


def _charging(at: Office, currency: str, card: SealedCard | None) -> list[str]:
    """The brands that saving would charge (R7): of this card, or of whichever is entered."""
    if not currency:
        return []
    return [brand.value for brand in ([card.brand] if card else Brand) if at.charges(brand, currency)]


def _offers(faults: Sequence[Fault], flag: str) -> bool:
    """Whether a fault's remedy is to say this."""
    return any(flag in fault.remedy for fault in faults)
