"""Aging as of any date: what was owed then by days past due, who owed it, and all of it as a table to take away."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import chain
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from books import aging
from books.aging import Aging, Owes
from rules.cards import looks_like_card_number
from rules.errors import Fault, RequestRefused
from rules.money import for_people, to_decimal
from rules.requests import POST_DATE_REACH, parse_day
from rules.spreadsheet import as_text
from web.office import At, Office
from web.pages import page
from web.rights import Supervisor

router = APIRouter(include_in_schema=False)

SHOWN: Final = 50
"""Customers on one page."""
_PAGES_MAX: Final = 100_000
_BUCKETS: Final = (
    ("Current", "current_minor"),
    ("1–30 days", "to_30_minor"),
    ("31–60", "to_60_minor"),
    ("61–90", "to_90_minor"),
    ("Over 90", "over_90_minor"),
)
_COLUMNS: Final = (
    "as_of", "currency", "customer", "customer_name", "due", "overdue", "current", "1_to_30_days", "31_to_60_days",
    "61_to_90_days", "over_90_days",
)  # fmt: skip


@router.get("/console/aging")
def window(
    request: Request,
    at: At,
    user: Supervisor,
    as_of: str = "",
    currency: str = "",
    number: Annotated[int, Query(alias="page", ge=1, le=_PAGES_MAX)] = 1,
) -> Response:
    """The sums by currency, a chart of the one chosen, and its customers, the most overdue first."""
    with at.reading() as (conn, now):
        today = at.today(now)
        day = day_of("as_of", as_of, today)
        if not isinstance(day, Fault):
            zone = at.settings.business_time_zone
            found = aging.standing(conn, day, zone, currency, SHOWN + 1, (number - 1) * SHOWN)
    if isinstance(day, Fault):
        given = "" if looks_like_card_number(as_of) else as_of
        return page(request, "console/aging.html", 422, day=None, today=today, given=given, faults=(day,))
    chosen = next((one for one in found.totals if one.currency == found.currency), None)
    return page(
        request,
        "console/aging.html",
        day=day,
        today=today,
        given=day.isoformat(),
        totals=found.totals,
        chosen=chosen,
        bars=bars(chosen) if chosen else (),
        customers=found.customers[:SHOWN],
        more=len(found.customers) > SHOWN,
        number=number,
        business=at.settings.business_name,
    )


@router.get("/console/aging.csv")
def as_csv(at: At, user: Supervisor, as_of: str = "") -> Response:
    """Every customer that owed, one a row; read and sent as it comes."""
    with at.reading() as (_, now):
        day = day_of("as_of", as_of, at.today(now))
    if isinstance(day, Fault):
        raise RequestRefused([day])
    headers = {"Content-Disposition": f'attachment; filename="aging-{day.isoformat()}.csv"'}
    return StreamingResponse(_lines(at, day), media_type="text/csv; charset=utf-8", headers=headers)


def bars(one: Aging) -> list[dict[str, object]]:
    """What a chart of the days past due shows."""
    return [
        {"label": label, "minor": getattr(one, name), "said": for_people(getattr(one, name), one.currency)}
        for label, name in _BUCKETS
    ]


def day_of(field: str, said: str, otherwise: date) -> date | Fault:
    """A day as it was typed, `otherwise` where nothing was; or what is wrong with it."""
    if not said:
        return otherwise
    day = parse_day(field, said)
    if isinstance(day, date) and abs(day - otherwise) > POST_DATE_REACH:
        return Fault(field, day.isoformat(), "more than fifty years away", "Compare the year")
    return day


def _lines(at: Office, day: date) -> Iterator[str]:
    file = io.StringIO()
    writer = csv.writer(file)
    with at.reading() as (conn, _):
        owing = aging.everybody(conn, day, at.settings.business_time_zone)
        for row in chain([_COLUMNS], (_row(one, day) for one in owing)):
            writer.writerow(row)
            if file.tell() > 2**16:
                yield file.getvalue()
                file.seek(0)
                file.truncate()
    yield file.getvalue()


def _row(one: Owes, day: date) -> Sequence[str]:
    owed = one.aging
    sums = (owed.due_minor, owed.overdue_minor, *(getattr(owed, name) for _, name in _BUCKETS))
    amounts = (to_decimal(minor, owed.currency) for minor in sums)
    return (day.isoformat(), owed.currency, as_text(one.number), as_text(one.name), *amounts)
