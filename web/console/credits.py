"""A customer's credits: what each was applied to, applying them to invoices, and undoing that (R14).

What would be applied is the books' own computation (R9). The form says what its reader has seen of credits and dues, so
that a second click cannot apply to further invoices what the first one left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import account, credit
from books.account import Credit, Customer, Invoice, Part
from books.credit import Applied, OutOfDate, Usable
from rules.cards import looks_like_card_number
from rules.errors import Fault, shown
from rules.money import for_people
from rules.requests import check_words
from web.office import At, Id, Office
from web.pages import go, page
from web.rights import Clerk, Fields

router = APIRouter(include_in_schema=False)

CREDITS_SHOWN: Final = 200
INVOICES_SHOWN: Final = 1_000
APPLICATIONS_SHOWN: Final = 50
_NAMED_MOST: Final = 3
_PLACES_MAX: Final = 9_999


@dataclass(frozen=True, slots=True)
class Choice:
    """Which credit (None: all, oldest first) goes to which invoices in which order (None: all, oldest first)."""

    credit_id: int | None = None
    invoice_ids: Sequence[int] | None = None
    faults: Sequence[Fault] = ()


@dataclass(frozen=True, slots=True)
class Open:
    """What can be applied to what, in one currency."""

    customer: Customer
    credits: Sequence[Credit]
    invoices: Sequence[Invoice]
    currency: str
    currencies: Sequence[str]
    usable: Usable

    @property
    def address(self) -> str:
        """The window's address."""
        return _address(self.customer.id)


@dataclass(frozen=True, slots=True)
class Looked:
    """What the window shows: what can be applied, what would be, and what each credit was applied to."""

    found: Open
    preview: Sequence[Applied]
    applications: Mapping[int, Sequence[Part]]


@router.get("/console/customers/{customer_id}/credits")
def window(request: Request, at: At, user: Clerk, customer_id: Id, currency: str = "") -> Response:
    """The credits, and what applying all of them would do."""
    with at.reading() as (conn, _):
        looked = _looked(conn, _open(conn, customer_id, currency), Choice())
    return _shown(request, looked, {}, Choice())


@router.post("/console/customers/{customer_id}/credits")
def save(request: Request, at: At, user: Clerk, customer_id: Id, fields: Fields) -> Response:
    """Apply, or show what applying would do."""
    with at.reading() as (conn, _):
        found = _open(conn, customer_id, fields.get("currency", ""))
        choice = _choice(found, fields)
        looked = _looked(conn, found, choice)
    if choice.faults or fields.get("do") != "apply":
        return _shown(request, looked, fields, choice)
    return _apply(request, at, found, fields, choice, user.name)


def _apply(request: Request, at: Office, found: Open, fields: Mapping[str, str], choice: Choice, by: str) -> Response:
    customer_id, currency = found.customer.id, found.currency
    try:
        with at.transaction() as (conn, now):
            applied = credit.apply_to_invoices(
                conn,
                customer_id,
                currency,
                choice.invoice_ids,
                at.today(now),
                now,
                by,
                choice.credit_id,
                _as_seen(fields),
            )
    except OutOfDate as error:
        problem = Fault("apply", "", error.message.rstrip("."), error.hint.rstrip("."))
        choice = Choice(choice.credit_id, choice.invoice_ids, [problem])
    else:
        if applied:
            return go(f"{found.address}?{urlencode({'currency': currency})}", _said(found, applied))
        problem = Fault("apply", "", "nothing was applied", "Choose a credit with something left, and what is owed")
        choice = Choice(choice.credit_id, choice.invoice_ids, [problem])
    with at.reading() as (conn, _):
        looked = _looked(conn, _open(conn, customer_id, currency), choice)
    return _shown(request, looked, fields, choice)


@router.get("/console/customers/{customer_id}/credits/applications/{allocation_id}/undo")
def undo_window(request: Request, at: At, user: Clerk, customer_id: Id, allocation_id: Id) -> Response:
    """What undoing one application does; asks for the reason."""
    return _undo_shown(request, at, customer_id, allocation_id, "")


@router.post("/console/customers/{customer_id}/credits/applications/{allocation_id}/undo")
def undo(request: Request, at: At, user: Clerk, customer_id: Id, allocation_id: Id, fields: Fields) -> Response:
    """Undo it: the invoice owes again, the credit has it back."""
    said = fields.get("reason", "")
    reason = check_words("reason", said)
    if isinstance(reason, Fault):
        return _undo_shown(request, at, customer_id, allocation_id, said, [reason])
    with at.transaction() as (conn, now):
        part = account.application(conn, customer_id, allocation_id)
        back = credit.take_back(conn, allocation_id, reason, at.today(now), now, user.name, customer_id)
    amount = for_people(back.amount_minor, part.currency)
    return go(
        f"{_address(customer_id)}?{urlencode({'currency': part.currency})}",
        f"Undone: invoice {part.invoice} owes {amount} again, credit {back.credit_id} has it back.",
    )


def _undo_shown(
    request: Request, at: Office, customer_id: int, allocation_id: int, reason: str, faults: Sequence[Fault] = ()
) -> Response:
    with at.reading() as (conn, _):
        customer = account.customer(conn, customer_id)
        part = account.application(conn, customer_id, allocation_id)
    return page(
        request,
        "console/credit_undo.html",
        422 if faults else 200,
        customer=customer,
        part=part,
        reason="" if looks_like_card_number(reason) else reason,  # C1: never echoed
        faults=faults,
    )


def _address(customer_id: int) -> str:
    return f"/console/customers/{customer_id}/credits"


def _open(conn: Connection, customer_id: int, currency: str) -> Open:
    """The currency is the one asked for, else the first in which there is something left, else the first of all."""
    customer = account.customer(conn, customer_id)
    kept = account.credits_of(conn, customer_id, CREDITS_SHOWN)
    currencies = sorted({one.currency for one in kept})
    left = [one.currency for one in kept if one.balance_minor]
    chosen = currency if currency in currencies else next(iter([*left, *currencies]), "")
    pending = account.invoices(conn, customer_id, most=INVOICES_SHOWN)
    return Open(
        customer,
        [one for one in kept if one.currency == chosen],
        [one for one in pending if one.currency == chosen],
        chosen,
        currencies,
        credit.usable(conn, customer_id, chosen),
    )


def _choice(found: Open, fields: Mapping[str, str]) -> Choice:
    faults, places = [], {}
    said = fields.get("credit", "")
    usable = {str(one.id): one.id for one in found.credits if one.balance_minor}
    if said and said not in usable:
        faults.append(Fault("credit", shown(said), "this credit has nothing left", "Choose another one"))
    for invoice in found.invoices:
        place = fields.get(_place(invoice), "").strip()
        if not place:
            continue
        if place.isascii() and place.isdecimal() and len(place) <= len(str(_PLACES_MAX)):
            places[invoice.id] = int(place)
        else:
            problem = f"what is given for invoice {invoice.number} is no place in an order"
            faults.append(Fault(_place(invoice), shown(place), problem, "Give 1 for the first, 2 for the next"))
    order = sorted(places, key=lambda invoice_id: places[invoice_id]) if places else None
    return Choice(usable.get(said), order, faults)


def _place(invoice: Invoice) -> str:
    return f"place_{invoice.id}"


def _as_seen(fields: Mapping[str, str]) -> Usable:
    """What the form's reader has seen; what is no number was never shown, and fits nothing."""
    seen = [fields.get(name, "") for name in ("credit_seen", "due_seen")]
    left, due = (int(one) if one.isascii() and one.isdecimal() and len(one) < 19 else -1 for one in seen)
    return Usable(left, due)


def _said(found: Open, applied: Sequence[Applied]) -> str:
    numbers = {one.id: one.number for one in found.invoices}
    paid: dict[int, int] = {}
    for one in applied:
        paid[one.invoice_id] = paid.get(one.invoice_id, 0) + one.amount_minor
    total = for_people(sum(paid.values()), found.currency)
    named = ", ".join(numbers.get(invoice_id, str(invoice_id)) for invoice_id in list(paid)[:_NAMED_MOST])
    more = f" and {len(paid) - _NAMED_MOST:,} more" if len(paid) > _NAMED_MOST else ""
    return f"Applied {total} to {'invoice' if len(paid) == 1 else 'invoices'} {named}{more}."


def _looked(conn: Connection, found: Open, choice: Choice) -> Looked:
    preview: list[Applied] = []
    if found.currency and not any(one.field != "apply" for one in choice.faults):
        preview = credit.preview(conn, found.customer.id, found.currency, choice.invoice_ids, choice.credit_id)
    applications = account.applications(conn, [one.id for one in found.credits], APPLICATIONS_SHOWN)
    return Looked(found, preview, applications)


def _shown(request: Request, looked: Looked, fields: Mapping[str, str], choice: Choice) -> Response:
    """The window; for htmx only the part that tells what would be applied."""
    part = request.headers.get("HX-Request")
    return page(
        request,
        "console/credits_preview.html" if part else "console/credits.html",
        422 if choice.faults and not part else 200,
        found=looked.found,
        form={name: "" if looks_like_card_number(said) else said for name, said in fields.items()},
        faults=choice.faults,
        preview=looked.preview,
        preview_total=sum(one.amount_minor for one in looked.preview),
        numbers={one.id: one for one in looked.found.invoices},
        applications=looked.applications,
        most=APPLICATIONS_SHOWN,
        credits_most=CREDITS_SHOWN,
    )
