"""R16: days of retry in the payer's zone: where clocks change, months end, a leap day comes, a day never was."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.calendar import business_day, is_rest_day
from rules.cards import Brand
from rules.outcomes import DeclineClass, Declined, Failed, FailureClass
from rules.retry import (
    DEFAULT_POLICY,
    CardCounts,
    CardFacts,
    History,
    RetryAt,
    RetryPolicy,
    after_failure,
    decide,
    inquiry_due,
)

VISA = CardFacts(Brand.VISA, 12, 2049)
HOUR = timedelta(hours=1)
DATED, GENERIC, UNLISTED = DeclineClass.SOFT_DATED, DeclineClass.SOFT_GENERIC, DeclineClass.SOFT_UNLISTED
ZONES = [
    ZoneInfo(name)
    for name in (
        "America/New_York",
        "America/St_Johns",
        "Europe/London",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Kiritimati",
    )
]


def tried_again(decline: DeclineClass, first: datetime, zone: ZoneInfo) -> RetryAt:
    """When the first retry is after a decline at that moment."""
    history = History(first, 1, {decline: 1}, CardCounts(1, 1, 1))
    decided = decide(Declined(decline, "12"), history, VISA, first, DEFAULT_POLICY, zone, salt=7)
    assert isinstance(decided, RetryAt)
    return decided


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sampled_from([DATED, GENERIC, UNLISTED]),
    st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_an_attempt_is_made_on_the_morning_of_a_working_day(
    zone: ZoneInfo, decline: DeclineClass, first: datetime
) -> None:
    """R16: by the clocks where the payer is, whatever they did in between; never within 20 hours."""
    due_at = tried_again(decline, first, zone).due_at
    assert DEFAULT_POLICY.opens <= due_at.astimezone(zone).time() < DEFAULT_POLICY.closes
    day = business_day(due_at, zone)
    assert not is_rest_day(day, DEFAULT_POLICY.bank_holidays)
    assert day - business_day(first, zone) >= timedelta(days=2)
    assert due_at - first >= DEFAULT_POLICY.spacing


@pytest.mark.parametrize(
    ("zone", "first", "day", "opens"),
    [
        # An hour is skipped on Sunday 14 March, and the 13th would be too early by the calendar there alone.
        ("America/New_York", "2027-03-11T23:59-05:00", date(2027, 3, 13), "2027-03-13T14:00+00:00"),
        ("America/New_York", "2027-03-13T00:00-05:00", date(2027, 3, 15), "2027-03-15T13:00+00:00"),
        # The hour of 31 October 2027 and of 7 November 2027 comes twice.
        ("Europe/London", "2027-10-30T12:00+01:00", date(2027, 11, 1), "2027-11-01T09:00+00:00"),
        ("America/New_York", "2027-11-06T12:00-04:00", date(2027, 11, 8), "2027-11-08T14:00+00:00"),
        ("Europe/London", "2027-03-26T12:00+00:00", date(2027, 3, 29), "2027-03-29T08:00+00:00"),
        # Month ends and a leap day; what is the 28th there is the 27th in UTC, and the other way round.
        ("Pacific/Kiritimati", "2028-02-26T10:00+00:00", date(2028, 2, 29), "2028-02-28T19:00+00:00"),
        ("America/St_Johns", "2028-02-28T03:29+00:00", date(2028, 2, 29), "2028-02-29T12:30+00:00"),
        ("Asia/Kathmandu", "2028-02-27T18:15+00:00", date(2028, 3, 1), "2028-03-01T03:15+00:00"),
        ("Asia/Kathmandu", "2027-02-26T18:14+00:00", date(2027, 3, 1), "2027-03-01T03:15+00:00"),
        # Samoa had no 30 December 2011: its second day after the 28th is the 31st.
        ("Pacific/Apia", "2011-12-28T15:00-10:00", date(2011, 12, 31), "2011-12-30T19:00+00:00"),
    ],
)
def test_two_days_later(zone: str, first: str, day: date, opens: str) -> None:
    """R16: the payer's day, from 9 o'clock there; what people are told names the same day."""
    decided = tried_again(GENERIC, datetime.fromisoformat(first), ZoneInfo(zone))
    assert business_day(decided.due_at, ZoneInfo(zone)) == day
    assert timedelta(0) <= decided.due_at - datetime.fromisoformat(opens) < 2.5 * HOUR
    assert f"attempt 2 on {day}" in decided.why


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "UTC"])
@pytest.mark.parametrize("month", [3, 11])
def test_hours_pass_whatever_the_clocks_show(zone: str, month: int) -> None:
    """E4, R16: a wait of hours is as long on the day on which the clocks change, wherever its moment is told."""
    for day in (7, 8, 13, 14, 28):
        utc = datetime(2027, month, day, 0, 30, tzinfo=UTC)
        local = utc.astimezone(ZoneInfo(zone))
        assert inquiry_due(9, local, 7) == inquiry_due(9, utc, 7)
        for so_far in range(5):
            failed = Failed(FailureClass.GATEWAY_SETUP, "1")
            assert after_failure(failed, so_far, local, 7) == after_failure(failed, so_far, utc, 7)


def test_a_morning_within_the_hour_that_is_skipped() -> None:
    """R16: an office that opens at an hour which the clocks skip charges as soon after it, on the same day."""
    zone, policy = ZoneInfo("Asia/Jerusalem"), RetryPolicy(opens=time(2, 0), closes=time(2, 30))
    first = datetime.fromisoformat("2027-03-24T12:00+02:00")  # the clocks change on Friday 26
    decided = decide(Declined(GENERIC, "12"), History(first, 1, {GENERIC: 1}), VISA, first, policy, zone, salt=7)
    assert isinstance(decided, RetryAt)
    shown = decided.due_at.astimezone(zone)
    assert (shown.date(), shown.hour, shown.utcoffset()) == (date(2027, 3, 26), 3, 3 * HOUR)
