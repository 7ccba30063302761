"""Business days (R5) in zones far from UTC, across changes of the clocks, leap days and a day that never was."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.calendar import begins, business_day

ZONES = [
    ZoneInfo(name)
    for name in (
        "Pacific/Kiritimati",
        "Pacific/Apia",
        "America/St_Johns",
        "Asia/Kathmandu",
        "America/Asuncion",
        "America/New_York",
        "Australia/Lord_Howe",
        "UTC",
    )
]
DAY = timedelta(days=1)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ZONES), st.datetimes(datetime(2008, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_moment_lies_in_its_day(zone: ZoneInfo, moment: datetime) -> None:
    """R5: every moment is in the day that began last: days leave no gap and do not overlap."""
    day = business_day(moment, zone)
    assert begins(day, zone) <= moment < begins(day + DAY, zone)


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("Pacific/Kiritimati", "2024-02-28T10:00+00:00", date(2024, 2, 29)),
        ("Pacific/Apia", "2011-12-30T09:59+00:00", date(2011, 12, 29)),
        ("Pacific/Apia", "2011-12-30T10:00+00:00", date(2011, 12, 31)),
        ("America/St_Johns", "2026-03-01T03:29+00:00", date(2026, 2, 28)),
        ("Asia/Kathmandu", "2026-01-31T18:15+00:00", date(2026, 2, 1)),
    ],
)
def test_days_far_from_utc(zone: str, moment: str, day: date) -> None:
    """R5: the business's own day counts: at month ends, on a leap day, around the day that Samoa skipped."""
    assert business_day(datetime.fromisoformat(moment), ZoneInfo(zone)) == day
