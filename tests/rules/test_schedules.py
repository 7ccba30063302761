"""The dates of schedules: month ends, leap years, outages, ends; and what a run asks for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.calendar import begins, business_day
from rules.errors import Fault
from rules.schedules import (
    LAST_DAY,
    Due,
    Rhythm,
    ScheduleRequest,
    Unit,
    check,
    due,
    first_from,
    next_after,
    start_fault,
    to_ask,
)

DAY = timedelta(days=1)
DAYS = st.dates(date(2019, 1, 1), date(2060, 1, 1))
ZONES = st.sampled_from(list(map(ZoneInfo, ("America/New_York", "Australia/Lord_Howe", "America/Asuncion", "UTC"))))


@st.composite
def rhythms(draw: st.DrawFn) -> Rhythm:
    start, every = draw(DAYS), draw(st.integers(1, 13))
    if draw(st.booleans()):
        return Rhythm(Unit.WEEK, every, start)
    day = draw(st.integers(1, LAST_DAY))
    return Rhythm(Unit.MONTH, every, first_from(start, Unit.MONTH, day), day)


def dates(rhythm: Rhythm, count: int) -> list[str]:
    return [rhythm.on(place).isoformat() for place in range(count)]


@pytest.mark.parametrize(
    ("rhythm", "expected"),
    [
        (
            Rhythm(Unit.MONTH, 1, date(2027, 1, 31), 31),
            ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"],
        ),
        (Rhythm(Unit.MONTH, 1, date(2028, 1, 30), 30), ["2028-01-30", "2028-02-29", "2028-03-30"]),
        (Rhythm(Unit.MONTH, 12, date(2028, 2, 29), 29), ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28"]),
        (Rhythm(Unit.MONTH, 3, date(2026, 11, 15), 15), ["2026-11-15", "2027-02-15", "2027-05-15"]),
        (Rhythm(Unit.WEEK, 2, date(2026, 12, 25)), ["2026-12-25", "2027-01-08", "2027-01-22"]),
    ],
)
def test_dates(rhythm: Rhythm, expected: list[str]) -> None:
    """A month that lacks the day takes its last one, and the next month has the day again."""
    assert dates(rhythm, len(expected)) == expected


@pytest.mark.parametrize(
    ("start", "day", "first"),
    [
        (date(2026, 11, 25), 25, date(2026, 11, 25)),
        (date(2026, 11, 25), 3, date(2026, 12, 3)),
        (date(2027, 1, 31), 30, date(2027, 2, 28)),
        (date(2026, 2, 3), LAST_DAY, date(2026, 2, 28)),
        (date(2026, 12, 31), 1, date(2027, 1, 1)),
    ],
)
def test_the_first_date(start: date, day: int, first: date) -> None:
    """It is the day of the start, or the next one that is this day of a month."""
    assert first_from(start, Unit.MONTH, day) == first


@settings(max_examples=200, deadline=None)
@given(rhythms(), st.integers(0, 150))
def test_dates_only_grow_and_are_found_again(rhythm: Rhythm, place: int) -> None:
    """Each date is later than the one before it, in its own month or week, and `next_from` finds it from between."""
    before, on = rhythm.on(place), rhythm.on(place + 1)
    assert before < on
    assert rhythm.next_from(before) == before
    assert rhythm.next_from(before + DAY) == rhythm.next_from(on) == on
    if rhythm.unit is Unit.MONTH and rhythm.month_day is not None:
        assert on.day == rhythm.month_day or (on.day < rhythm.month_day and (on + DAY).day == 1)


@settings(max_examples=200, deadline=None)
@given(rhythms(), st.lists(st.integers(0, 100), max_size=30), st.integers(1, 40))
def test_one_run_a_date_and_never_two(rhythm: Rhythm, outages: list[int], times: int) -> None:
    """However long nobody looked: each date comes once, as run or as missed, none after the end, in their order."""
    until = rhythm.first_on + timedelta(days=900)
    seen: list[date] = []
    made, today, next_on = 0, rhythm.first_on, rhythm.on(0)
    for away in outages:
        today += away * DAY
        found = due(rhythm, next_on, today, until)
        if found is None:
            assert next_on > min(today, until)
            continue
        seen += [*found.missed, found.run_on]
        made += 1
        assert (
            found.run_on <= today < rhythm.next_from(found.run_on + DAY) or rhythm.next_from(found.run_on + DAY) > until
        )
        following = next_after(rhythm, found.run_on, until, times, made)
        if following is None:
            assert made == times or rhythm.next_from(found.run_on + DAY) > until
            break
        next_on = following
    assert seen == [rhythm.on(place) for place in range(len(seen))]
    assert made <= times


@settings(max_examples=200, deadline=None)
@given(rhythms(), st.integers(0, 60), ZONES)
def test_a_date_is_a_day_of_the_business_whatever_its_clocks_do(rhythm: Rhythm, place: int, zone: ZoneInfo) -> None:
    """R5: a date is due from the first moment of its day in the business's zone, not a second before."""
    on = rhythm.on(place)
    moment = begins(on, zone)
    assert business_day(moment, zone) == on
    assert business_day(moment - timedelta(seconds=1), zone) == on - DAY
    assert due(rhythm, on, business_day(moment, zone), None) == Due(on, ())


def test_an_outage_runs_the_latest_date_once() -> None:
    """After three months nobody is charged three times: the latest date is run, the others are told of."""
    monthly = Rhythm(Unit.MONTH, 1, date(2026, 1, 31), 31)
    assert due(monthly, date(2026, 1, 31), date(2026, 4, 15), None) == Due(
        date(2026, 3, 31), (date(2026, 1, 31), date(2026, 2, 28))
    )


@pytest.mark.parametrize(
    ("amount", "as_credit", "owed", "asked"),
    [
        (None, False, 700, 700),
        (None, False, -5, 0),
        (500, False, 700, 500),
        (500, False, 300, 300),
        (500, True, 0, 500),
    ],
)
def test_what_a_run_asks_for(amount: int | None, as_credit: bool, owed: int, asked: int) -> None:
    """R8: all that is owed, or a fixed amount: no more than is owed, unless the excess is to be a credit."""
    assert to_ask(amount, as_credit, owed) == asked


ASKED = {
    "idempotency_key": "k",
    "customer": "C-1",
    "currency": "USD",
    "amount_minor": 500,
    "card_token": "card_x",
    "unit": "month",
}


def request(**changes: object) -> ScheduleRequest:
    checked = check({**ASKED, **changes})
    assert isinstance(checked, ScheduleRequest), checked
    return checked


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"unit": "day"}, "unit"),
        ({"unit": None}, "unit"),
        ({"every": 0}, "every"),
        ({"every": True}, "every"),
        ({"times": 1_001}, "times"),
        ({"month_day": 32}, "month_day"),
        ({"unit": "week", "month_day": 3}, "month_day"),
        ({"all_owed": True}, "amount_minor"),
        ({"all_owed": True, "amount_minor": None, "as_credit": True}, "as_credit"),
        ({"amount_minor": None}, "amount"),
        ({"start": "2026-12-02", "until": "2026-12-01"}, "until"),
        ({"card_token": ""}, "card_token"),
        ({"card_token": "4111111111111111"}, "card_token"),
        ({"months": 3}, "months"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], field: str) -> None:
    """A request says what is wrong with it, by the field."""
    faults = check({**ASKED, **changes})
    assert isinstance(faults, list)
    assert [fault.field for fault in faults] == [field]


def test_a_schedule_that_pays_all_that_is_owed() -> None:
    """Its amount is not known beforehand."""
    asked = {name: value for name, value in ASKED.items() if name != "amount_minor"}
    checked = check({**asked, "all_owed": True})
    assert isinstance(checked, ScheduleRequest)
    assert checked.amount_minor is None


def test_the_same_content_is_known_again() -> None:
    """R15: the digest changes with every field but the key."""
    changes: list[dict[str, object]] = [
        {"customer": "C-2"},
        {"amount_minor": 1},
        {"as_credit": True},
        {"every": 2},
        {"month_day": 2},
        {"start": "2030-01-01"},
        {"until": "2030-01-01"},
        {"times": 2},
        {"notes": "x"},
        {"card_token": "card_y"},
    ]
    digests = [request(**change).digest() for change in ({}, *changes)]
    assert len(set(digests)) == len(digests)
    assert request(idempotency_key="other").digest() == digests[0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start": "2026-11-24"}, "start"),
        ({"start": "2029-11-24"}, "start"),
        ({"until": "2026-11-27", "month_day": 30}, "until"),
        ({}, None),
    ],
)
def test_days_that_do_not_fit_today(changes: dict[str, object], field: str | None) -> None:
    """It starts today or later, and has at least one date."""
    fault = start_fault(request(**changes), date(2026, 11, 25))
    assert (fault.field if isinstance(fault, Fault) else None) == field


def test_the_last_moment_of_a_year_is_in_it() -> None:
    """A date at the turn of the year is the business's, not UTC's."""
    zone = ZoneInfo("America/New_York")
    assert begins(date(2027, 1, 1), zone) == datetime(2027, 1, 1, 5, tzinfo=UTC)
