"""Charts for who would rather look than read: recovered by retries, declines by reason, money a day, what is owed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from books import aging, trends
from books.trends import Recovered, Taken
from papers.story import DECLINES
from rules.calendar import begins
from rules.money import for_people
from web.console.aging import bars
from web.office import At
from web.pages import page
from web.rights import Supervisor

router = APIRouter(include_in_schema=False)

SPANS: Final = (7, 30, 90, 365)
_SHORT: Final = {
    "soft_technical": "bank not reached",
    "soft_dated": "no funds, a limit",
    "soft_generic": "no reason given",
    "soft_unlisted": "unlisted reason",
    "new_data": "wrong card data",
    "other_way": "call the bank",
    "hard": "never again",
}
"""A class of declines as the text below a bar."""
_DAY: Final = timedelta(days=1)


@router.get("/console/charts")
def window(
    request: Request, at: At, user: Supervisor, days: Annotated[int, Query(ge=1, le=366)] = 30, currency: str = ""
) -> Response:
    """The charts of the last so many days, today included; sums in one currency, the most used unless one is chosen."""
    with at.reading() as (conn, now):
        last = at.today(now)
        first = last - (days - 1) * _DAY
        zone = at.settings.business_time_zone
        since, until = begins(first, zone), begins(last + _DAY, zone)
        recovered = trends.recovered(conn, since, until)
        owed = aging.standing(conn, last, zone, most=0).totals
        used = [
            *trends.currencies(conn, first, last),
            *(one.currency for one in recovered),
            *(one.currency for one in owed),
        ]
        currencies = list(dict.fromkeys(used))
        chosen = currency if currency in currencies else next(iter(currencies), "")
        taken = trends.taken(conn, first, last, chosen)
        retried = trends.retried(conn, since, until)
        declines = trends.declines(conn, since, until)
        reasons = trends.reasons(conn, since, until)
    mine = [one for one in recovered if one.currency == chosen]
    return page(
        request,
        "console/charts.html",
        days=days,
        spans=SPANS,
        first=first,
        last=last,
        currency=chosen,
        currencies=currencies,
        retried=retried,
        retried_share=_share(retried.recovered, retried.declined),
        recovered=_attempts(mine),
        declines=[{"reason": _SHORT.get(kind, "not known"), "count": count} for kind, count in declines.items()],
        reasons=[(_reason(one.decline_class), one) for one in reasons],
        most=trends.REASONS_SHOWN,
        money=_by_day(taken, first, last, chosen),
        methods=sorted({one.method for one in taken}),
        by_method=_by_method(taken),
        aging=[bars(one) for one in owed if one.currency == chosen],
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "–"


def _reason(decline_class: str) -> str:
    return DECLINES.get(decline_class, "no reason is known")


def _attempts(recovered: Sequence[Recovered]) -> list[dict[str, Any]]:
    whole = sum(one.payments for one in recovered)
    return [
        {
            "attempt": f"attempt {one.attempt}",
            "payments": one.payments,
            "share": _share(one.payments, whole),
            "sum": for_people(one.sum_minor, one.currency),
        }
        for one in recovered
    ]


def _by_day(taken: Sequence[Taken], first: date, last: date, currency: str) -> list[dict[str, Any]]:
    """Every day of the span, also those without money."""
    if not currency:
        return []
    sums = dict.fromkeys((first + place * _DAY for place in range((last - first).days + 1)), 0)
    for one in taken:
        sums[one.day] += one.sum_minor
    return [
        {"day": f"{day:%m-%d}", "sum_minor": minor, "said": for_people(minor, currency)} for day, minor in sums.items()
    ]


def _by_method(taken: Sequence[Taken]) -> dict[date, dict[str, int]]:
    """Days with money, by method; the latest first."""
    days: dict[date, dict[str, int]] = {}
    for one in reversed(taken):
        days.setdefault(one.day, {})[one.method] = one.sum_minor
    return days
