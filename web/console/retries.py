"""The calendar of what is tried again by itself: when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from books import retries
from books.retries import Retry
from rules.calendar import begins, business_day
from web.office import At
from web.pages import page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)

DAYS: Final = 30
"""Days that are counted."""
MOST: Final = 100
"""Attempts on one page."""

_DAY: Final = timedelta(days=1)
_BEGIN: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OnDay:
    """One day's number."""

    day: date
    label: str
    attempts: int


@router.get("/console/retries")
def window(
    request: Request,
    at: At,
    user: Clerk,
    day: Annotated[date | None, Query(ge=date(2000, 1, 1), le=date(9000, 1, 1))] = None,
    due: Annotated[datetime | None, Query()] = None,
    payment: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
) -> Response:
    """What is next, or from a day on, or from behind the last one of a page (`due`, `payment`)."""
    zone = at.settings.business_time_zone
    place = _moment(due) if due else begins(day, zone) if day else _BEGIN
    with at.reading() as (conn, now):
        today = at.today(now)
        counted = {one.day: one.attempts for one in retries.days(conn, now, begins(today + DAYS * _DAY, zone), zone)}
        found = retries.scheduled(conn, place, payment if due else 0, MOST + 1)
    return page(
        request,
        "console/retries.html",
        days=[
            OnDay(each, f"{each:%m-%d}", counted.get(each, 0))
            for each in (today + number * _DAY for number in range(DAYS))
        ],
        groups=[(each, list(rows)) for each, rows in groupby(found[:MOST], lambda one: _day_of(one, now, zone))],
        more=found[MOST - 1] if len(found) > MOST else None,
        first=place == _BEGIN,
        today=today,
    )


def _moment(said: datetime) -> datetime:
    return said if said.tzinfo else said.replace(tzinfo=UTC)


def _day_of(one: Retry, now: datetime, zone: ZoneInfo) -> date:
    return business_day(max(one.due_at, now), zone)
