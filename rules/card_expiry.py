"""When it is told that a stored card expires: some days before its last month begins, and when that month has begun."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

DAYS_MAX: Final = 90
"""The longest that a card's last month is told of before it begins."""

Month = tuple[int, int]
"""Year and month, as a card's expiry is ordered. A card is good through the last day of its month (B55)."""


class Notice(StrEnum):
    """What is told of a card, each once."""

    SOON = "soon"  # its last month comes
    LAST_MONTH = "last_month"  # it has come


class MailTo(StrEnum):
    """Who gets a mail about it."""

    CUSTOMER = "customer"  # the office, where the customer has no address
    OFFICE = "office"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Span:
    """A notice, and the first and the last month of expiry of the cards that it is due for."""

    notice: Notice
    first: Month
    last: Month


def expire_soon(today: date, days: int) -> tuple[Month, Month]:
    """The first and the last month of the cards that expire soon; `days` before it begins the last one comes in."""
    ahead = today + timedelta(days=days)
    return (today.year, today.month), (ahead.year, ahead.month)


def spans(today: date, days: int) -> Iterator[Span]:
    """What is due on a business day; with no `days` there is no notice before the last month."""
    now, last = expire_soon(today, days)
    yield Span(Notice.LAST_MONTH, now, now)
    if last > now:
        yield Span(Notice.SOON, _after(now), last)


def notice(exp_month: int, exp_year: int, today: date, days: int) -> Notice | None:
    """What is to be told of a card on a business day; None of one that is good for longer, or has expired."""
    month = (exp_year, exp_month)
    return next((span.notice for span in spans(today, days) if span.first <= month <= span.last), None)


def _after(month: Month) -> Month:
    year, number = month
    return (year + 1, 1) if number == 12 else (year, number + 1)
