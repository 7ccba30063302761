"""The Customer Payment window, one sum over all that is owed, and the Payment window of a single invoice: one form.

The idempotency key stands in the window's address, so that a double click, Back and a reload all save the same payment
(R15). What would be applied is the producer's preview (R9): nothing is computed here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import account, holds, under_way, views
from books.account import Customer, Invoice
from books.people import User
from books.preview import Preview
from books.under_way import UnderWay
from papers.schedules import held
from rules.cards import Brand
from rules.errors import Fault, KeyReused, RequestRefused
from rules.methods import Method
from rules.money import check_currency, for_people, to_decimal
from rules.people import Role
from web.console import card_choice, form_words
from web.console.card_choice import CardChoice
from web.office import CALLER, At, Id, Office
from web.pages import form_key, go, page
from web.rights import Clerk, Fields

router = APIRouter(include_in_schema=False)

POSTED_WITHIN: Final = 2.0
"""Seconds for which an answer waits until the worker has posted what needs no gateway."""

_LOOK_EVERY: Final = 0.05
_INVOICES_MOST: Final = 1_000
_KEY: Final = re.compile(r"form-[a-z]{20}")
_TEXTS: Final = ("method", "number", "amount", "notes")
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
    under_way: Sequence[UnderWay]
    today: date
    hold: str = ""  # in words, where nothing charges the customer by itself

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
    return _window(request, at, user, customer_id, None, currency, key)


@router.get("/console/customers/{customer_id}/invoices/{invoice_id}/payment")
def invoice_window(request: Request, at: At, user: Clerk, customer_id: Id, invoice_id: Id, key: str = "") -> Response:
    """A payment of one invoice."""
    return _window(request, at, user, customer_id, invoice_id, "", key)


@router.post("/console/customers/{customer_id}/payment")
def save_for_customer(request: Request, at: At, user: Clerk, customer_id: Id, fields: Fields) -> Response:
    """Save, or show what saving would do."""
    return _save(request, at, user, customer_id, None, fields)


@router.post("/console/customers/{customer_id}/invoices/{invoice_id}/payment")
def save_for_invoice(
    request: Request, at: At, user: Clerk, customer_id: Id, invoice_id: Id, fields: Fields
) -> Response:
    """Save, or show what saving would do."""
    return _save(request, at, user, customer_id, invoice_id, fields)


def _window(
    request: Request, at: Office, user: User, customer_id: int, invoice_id: int | None, currency: str, key: str
) -> Response:
    with at.reading() as (conn, now):
        owed = _owed(at, conn, customer_id, invoice_id, currency, now)
        card = card_choice.of_form(conn, at.vault, customer_id, {}, owed.today)
        saved = views.find_payment(conn, CALLER, key) if key else None
    if not _KEY.fullmatch(key):
        chosen = {"currency": owed.currency} if owed.currency and not owed.invoice else {}
        return go(f"{owed.address}?{urlencode({**chosen, 'key': form_key()})}")
    form = {
        "idempotency_key": key,
        "method": Method.CHECK.value,
        "amount": to_decimal(owed.due_minor, owed.currency) if owed.due_minor else "",
        "post_date": owed.today.isoformat(),
        "post_date_shown": owed.today.isoformat(),
    }
    return _shown(request, at, user, owed, form, card, saved=saved)


def _save(
    request: Request, at: Office, user: User, customer_id: int, invoice_id: int | None, fields: Mapping[str, str]
) -> Response:
    typed = form_words.card_numbers(fields)
    fields = form_words.without_card_numbers(fields)
    key = fields.get("idempotency_key", "")
    with at.reading() as (conn, now):
        owed = _owed(at, conn, customer_id, invoice_id, fields.get("currency", ""), now)
        card = card_choice.of_form(conn, at.vault, customer_id, fields, owed.today)
        saved = views.find_payment(conn, CALLER, key)
    if fields.get("do") == "other_card":
        if card.once and saved is None:
            with at.transaction() as (conn, _):
                at.vault.drop_keys(conn, [card.token])  # C2: it was entered for nothing
        fields, card = {**fields, "card_token": "", "kept_card": ""}, replace(card, chosen=None, entered=None)
    faults = typed or ([] if fields.get("do") or saved is not None else _not_as_shown(owed, fields, card))
    if faults or fields.get("do"):
        return _shown(request, at, user, owed, fields, card, faults)
    try:
        recorded = at.producer.pay(
            _asked(owed, fields, card),
            caller=CALLER,
            by=user.name,
            card_once=card.once,
            keep_card=card.once and "keep_card" in fields,
            attended=True,
            allow_unknown="allow_unknown" in fields and user.role.may(Role.SUPERVISOR),
        )
    except RequestRefused as error:
        return _shown(request, at, user, owed, fields, card, error.faults)
    except KeyReused:
        with at.reading() as (conn, _):
            saved = views.find_payment(conn, CALLER, key)
        return go(f"/console/payments/{saved}/progress", _SAVED_BEFORE.format(saved))
    return go(_result(at, recorded.payment_id))


def _asked(owed: Owed, fields: Mapping[str, str], card: CardChoice) -> dict[str, object]:
    """What the form asks for. A post date that nobody touched is not given, so that R5 finds the day."""
    day = fields.get("post_date", "")
    by_card = fields.get("method") == Method.CREDIT_CARD
    return {
        **owed.asked,
        **{name: fields.get(name) for name in _TEXTS},
        **{flag: flag in fields for flag in ("as_credit", "allow_overlap")},
        "post_date": None if day == fields.get("post_date_shown") else day,
        "card_token": card.token if by_card else None,
        "run_on": fields.get("run_on") if by_card else None,
        "idempotency_key": fields.get("idempotency_key", ""),
    }


def _not_as_shown(owed: Owed, fields: Mapping[str, str], card: CardChoice) -> list[Fault]:
    """What changed since the window was shown: another's payment would turn this one into a credit without a word."""
    faults = [card.fault] if card.fault and fields.get("method") == Method.CREDIT_CARD else []
    if owed.hold and fields.get("method") == Method.CREDIT_CARD and "although_held" not in fields:
        faults.append(Fault("although_held", "", "the customer is on hold", "Tick that it is charged all the same"))
    if fields.get("balance_shown", str(owed.due_minor)) != str(owed.due_minor):
        now = for_people(owed.due_minor, owed.currency) if owed.currency else "nothing"
        remedy = f"It is {now} now: look at what is applied, then save again"
        faults.append(Fault("balance", "", "the balance due changed while this window was open", remedy))
    return faults


def _result(at: Office, payment_id: int) -> str:
    """Where to see what became of it: a charge while it is made, anything else when it is posted."""
    end = time.monotonic() + POSTED_WITHIN
    while True:
        with at.reading() as (conn, _):
            status = views.payment(conn, payment_id)
        if status.is_planned:
            return f"/console/payments/{payment_id}"
        if status.state == "posted" and status.gateway is None:
            return f"/console/payments/{payment_id}/receipt"
        if status.gateway is not None or time.monotonic() >= end:
            return f"/console/payments/{payment_id}/progress"
        time.sleep(_LOOK_EVERY)


def _owed(at: Office, conn: Connection, customer_id: int, invoice_id: int | None, currency: str, now: datetime) -> Owed:
    customer, today = account.customer(conn, customer_id), at.today(now)
    standing = holds.of_customer(conn, customer_id, now)
    hold = held(standing, at.zone) if standing else ""
    if invoice_id is not None:
        invoice = account.invoice(conn, customer_id, invoice_id)
        beside = under_way.meant_for(conn, customer_id, invoice.currency, [invoice_id])
        return Owed(customer, invoice, [invoice], invoice.currency, [], invoice.balance_minor, beside, today, hold)
    due = {one.currency: one.due_minor for one in account.balances(conn, customer_id, today) if one.due_minor}
    known = check_currency(currency)
    chosen = next(iter(due), "") if isinstance(known, Fault) else known
    pending = account.invoices(conn, customer_id, most=_INVOICES_MOST)
    mine = [one for one in pending if one.currency == chosen]
    beside = under_way.meant_for(conn, customer_id, chosen, None) if chosen else []
    return Owed(customer, None, mine, chosen, list(due), due.get(chosen, 0), beside, today, hold)


def _shown(
    request: Request,
    at: Office,
    user: User,
    owed: Owed,
    form: Mapping[str, str],
    card: CardChoice,
    faults: Sequence[Fault] = (),
    saved: int | None = None,
) -> Response:
    """The window; for htmx only the part that tells what would be applied."""
    preview, objections = _previewed(at, owed, form.get("amount", ""))
    part = request.headers.get("HX-Request")
    answers = user.role.may(Role.SUPERVISOR)
    mended = form_words.mended_by([*faults, *objections])
    charged = [brand.value for brand in Brand if owed.currency and at.charges(brand, owed.currency)]
    asked = form.get("do") == "preview" or any(fault.field == "balance" for fault in faults)
    told = [*faults, *objections] if part else objections if asked else ()
    return page(
        request,
        "console/payment_preview.html" if part else "console/customer_payment.html",
        422 if faults else 200,
        owed=owed,
        form={**form, "idempotency_key": form.get("idempotency_key") or form_key()},
        faults=form_words.in_the_form(faults, answers),
        saved=saved,
        preview=preview,
        applied={line.invoice: line.applied_minor for line in preview.lines} if preview else {},
        objections=form_words.in_the_form(told, answers),
        card=card,
        charged=charged,
        brands=len(Brand),
        methods=tuple(Method),
        offered={
            flag: label
            for flag, label in form_words.FLAGS.items()
            if (flag in form or flag in mended) and (answers or flag != "allow_unknown")
        },
    )


def _previewed(at: Office, owed: Owed, amount: str) -> tuple[Preview | None, Sequence[Fault]]:
    if not owed.currency:
        return None, ()
    try:
        return at.producer.preview({**owed.asked, "method": Method.OTHER.value, "amount": amount}), ()
    except RequestRefused as error:
        return None, error.faults
