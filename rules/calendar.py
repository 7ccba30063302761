"""The business's days (R5), and those on which charging is worth while (retry rules, section 4)."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

_ONE_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5
_SUNDAY: Final = 6
_REST_DAYS_OF_EVERY_YEAR: Final = frozenset({(12, 24), (12, 25), (12, 26), (1, 1)})


def is_rest_day(day: date, bank_holidays: AbstractSet[date]) -> bool:
    """Whether it is a Sunday, a bank holiday, 24 to 26 December or 1 January."""
    return day.weekday() == _SUNDAY or day in bank_holidays or (day.month, day.day) in _REST_DAYS_OF_EVERY_YEAR


def off_rest_days(day: date, bank_holidays: AbstractSet[date]) -> date:
    """The day itself, or from a rest day the next Monday to Friday that is none."""
    if is_rest_day(day, bank_holidays):
        day += _ONE_DAY
        while day.weekday() >= _SATURDAY or is_rest_day(day, bank_holidays):
            day += _ONE_DAY
    return day


def is_payday(day: date) -> bool:
    """Whether it is the 1st, the 15th or the last weekday (Monday to Friday) of its month."""
    if day.day in {1, 15}:
        return True
    last = date(day.year, day.month, monthrange(day.year, day.month)[1])
    while last.weekday() >= _SATURDAY:
        last -= _ONE_DAY
    return day == last


def payday_within(day: date, reach_days: int) -> date:
    """The first payday from that day to `reach_days` later; the day itself where there is none."""
    for days in range(reach_days + 1):
        if is_payday(day + days * _ONE_DAY):
            return day + days * _ONE_DAY
    return day


def business_day(moment: datetime, zone: tzinfo) -> date:
    """The day of a moment where the business is (R5); `moment` is aware."""
    return moment.astimezone(zone).date()


def begins(day: date, zone: tzinfo) -> datetime:
    """The first moment of a business day, in UTC; where the clocks skip midnight, the moment at which they do."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
