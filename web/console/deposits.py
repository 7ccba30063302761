"""A day's deposits: what came in by method, gateway and currency, less what went back; printable, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from books import deposits
from books.deposits import Deposit, Total
from rules.errors import Fault, RequestRefused, shown
from rules.money import to_decimal
from rules.spreadsheet import as_text
from web.office import At
from web.pages import page
from web.rights import Supervisor

router = APIRouter(include_in_schema=False)

SHOWN: Final = 500
_YEARS: Final = range(1900, 9000)
_DAY: Final = timedelta(days=1)
_COLUMNS: Final = (
    "post_date", "currency", "method", "gateway", "payment", "customer", "customer_name", "number", "card", "what",
    "amount",
)  # fmt: skip
_WHAT: Final = {
    "posted": "received",
    "voided": "void",
    "charged_unwanted": "charged, goes back",
    "reversed_at_gateway": "returned to the card",
    "refund_failed": "return failed",
    "refunded": "returned to the card",
    "refund_failed_credited": "return failed, now a credit",
    "disputed": "held back by a dispute",
    "dispute_won": "dispute won",
}


@router.get("/console/deposits")
def window(
    request: Request,
    at: At,
    user: Supervisor,
    day: str = "",
    account: str = "",
    currency: str = "",
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """The day's sums and its payments; of one account alone where one is named (a slip for the bank)."""
    with at.reading() as (conn, now):
        today = at.today(now)
        chosen = _day(day, today)
        totals = deposits.totals(conn, chosen)
        found = deposits.deposits(conn, chosen, SHOWN + 1, after, account or None, currency or None)
    sums = {(one.currency, one.account): one for one in totals}
    shown_now = found[:SHOWN]
    return page(
        request,
        "console/deposits.html",
        business=at.settings.business_name,
        day=chosen,
        today=today,
        before=chosen - _DAY,
        following=chosen + _DAY,
        account=account,
        currency=currency,
        totals=totals,
        by_currency=deposits.by_currency(totals),
        parts=[(sums[key], list(group)) for key, group in groupby(shown_now, lambda one: (one.currency, one.account))],
        count=len(shown_now),
        after=after,
        more=len(found) > SHOWN,
        last=shown_now[-1].entry_id if shown_now else None,
        named=_named,
        what=_WHAT,
    )


@router.get("/console/deposits.csv")
def as_csv(at: At, user: Supervisor, day: str = "") -> Response:
    """All of the day's entries, one a row; what a spreadsheet would take for a formula is made text."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    with at.reading() as (conn, now):
        chosen = _day(day, at.today(now))
        for part in deposits.every(conn, chosen):
            writer.writerows(_rows(part, chosen))
    headers = {"Content-Disposition": f'attachment; filename="deposits-{chosen.isoformat()}.csv"'}
    return Response(file.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _rows(part: Iterable[Deposit], day: date) -> Iterable[tuple[str, ...]]:
    for one in part:
        gateway = one.account.removeprefix("clearing:") if one.account.startswith("clearing:") else ""
        texts = (day.isoformat(), one.currency, one.method, gateway, str(one.payment_id), one.customer,
                 one.customer_name, one.number or "", _card(one), _WHAT[one.kind])  # fmt: skip
        yield (*map(as_text, texts), to_decimal(one.amount_minor, one.currency))


def _card(one: Deposit) -> str:
    return f"{one.card_brand} ending in {one.card_last_four}" if one.card_last_four else ""


def _named(total: Total) -> str:
    """An account of money as people call it."""
    method = "PayPal" if total.method == "paypal" else total.method.replace("_", " ").capitalize()
    if total.gateway:
        return f"{method} at {total.gateway}"
    return f"{method}, not charged here" if total.method == "credit_card" else method


def _day(said: str, today: date) -> date:
    try:
        day = date.fromisoformat(said) if said else today
    except ValueError:
        day = None
    if day is None or day.year not in _YEARS:
        raise RequestRefused([Fault("day", shown(said), "not a day", "Give one such as 2026-01-31")])
    return day
