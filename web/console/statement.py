"""A customer's statement over a period, as a page that prints well and as PDF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import account, aging, statement
from books.account import Customer
from books.aging import Aging
from books.statement import Statement
from papers.statement import said_of, statement_file_name, statement_pdf
from rules.errors import Fault, RequestRefused, shown
from web.console.aging import day_of
from web.console.form_words import without_card_numbers
from web.console.receipt import PDF
from web.office import At, Id, Office
from web.pages import page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)

From = Annotated[str, Query(alias="from")]
_QUARTER: Final = 3


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is shown, or what is wrong with what was asked for."""

    customer: Customer
    currencies: list[str]
    statement: Statement | None
    aging: Aging | None
    faults: tuple[Fault, ...] = ()


@router.get("/console/customers/{customer_id}/statement")
def window(
    request: Request, at: At, user: Clerk, customer_id: Id, first: From = "", to: str = "", currency: str = ""
) -> Response:
    """The statement; without days the current quarter up to today."""
    asked = {"from": first, "to": to, "currency": currency}
    with at.reading() as (conn, now):
        found = _chosen(conn, at, now, customer_id, asked)
    shown_now = found.statement
    return page(
        request,
        "console/statement.html",
        422 if found.faults else 200,
        customer=found.customer,
        currencies=found.currencies,
        statement=shown_now,
        aging=found.aging,
        form=_shown_again(shown_now) if shown_now else without_card_numbers(asked),
        faults=found.faults,
        said_of=said_of,
        business=at.settings.business_name,
    )


@router.get("/console/customers/{customer_id}/statement.pdf")
def paper(at: At, user: Clerk, customer_id: Id, first: From = "", to: str = "", currency: str = "") -> Response:
    """The same to keep, to print or to send."""
    with at.reading() as (conn, now):
        found = _chosen(conn, at, now, customer_id, {"from": first, "to": to, "currency": currency})
    if found.statement is None:
        raise RequestRefused(found.faults or [Fault("currency", "", "nothing was billed or paid", "Bill something")])
    pdf = statement_pdf(found.statement, found.customer, found.aging, at.settings.business_name)
    name = statement_file_name(found.statement)
    return Response(pdf, media_type=PDF, headers={"Content-Disposition": f'inline; filename="{name}"'})


def _shown_again(one: Statement) -> Mapping[str, str]:
    return {"from": one.first.isoformat(), "to": one.last.isoformat(), "currency": one.currency}


def _chosen(conn: Connection, at: Office, now: datetime, customer_id: int, asked: Mapping[str, str]) -> _Chosen:
    customer = account.customer(conn, customer_id)
    known = statement.currencies(conn, customer_id)
    today = at.today(now)
    last = day_of("to", asked["to"], today)
    first = day_of("from", asked["from"], _quarter(last if isinstance(last, date) else today))
    faults = [one for one in (first, last) if isinstance(one, Fault)]
    if isinstance(first, date) and isinstance(last, date) and first > last:
        faults.append(Fault("from", first.isoformat(), "after the last day", "Give a day that is not after it"))
    currency = asked["currency"] or (known[0] if known else "")
    if currency and currency not in known:
        faults.append(Fault("currency", shown(currency), "nothing was billed or paid in it", "Choose one of the list"))
    if faults or not currency or isinstance(first, Fault) or isinstance(last, Fault):
        return _Chosen(customer, known, None, None, tuple(faults))
    owed = aging.of_customer(conn, customer_id, last, at.settings.business_time_zone)
    return _Chosen(
        customer,
        known,
        statement.statement(conn, customer_id, currency, first, last),
        next((one for one in owed if one.currency == currency), None),
    )


def _quarter(day: date) -> date:
    """The first day of its quarter."""
    return day.replace(month=(day.month - 1) // _QUARTER * _QUARTER + 1, day=1)
