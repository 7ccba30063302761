"""Schedules: their dates, what a date that was missed becomes, and how much a run asks for.

Dates are days of the business (R5), so no change of clocks moves one. A month that lacks the day takes its last one,
and the next month has the day again: 31 January, 28 February, 31 March.
"""

from __future__ import annotations

import hashlib
import json
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from rules.errors import Fault, shown
from rules.money import check_currency
from rules.requests import (
    KEY_MAX,
    NAME_MAX,
    check_amount,
    check_flag,
    check_notes,
    parse_day,
    required_text,
    unknown_fields,
    without_card,
)

LAST_DAY: Final = 31
"""As the day of the month: its last, whichever that is."""

EVERY_MAX: Final = 52
TIMES_MAX: Final = 1_000
"""More of either is a slip of the pen."""

START_REACH: Final = timedelta(days=2 * 366)
"""The first date is no further away than this."""

_Checked = TypeVar("_Checked")


class Unit(StrEnum):
    """What dates are counted in."""

    WEEK = "week"
    MONTH = "month"


class State(StrEnum):
    """Where a schedule stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class RunOutcome(StrEnum):
    """What became of one date."""

    PAYMENT = "payment"  # it made a payment; what became of that, the payment says
    SKIPPED = "skipped"  # a person, a hold, or nothing owed
    MISSED = "missed"  # nobody ran it in time
    REFUSED = "refused"  # the payment was refused, and the schedule paused


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The dates of a schedule: every so many weeks or months from its first one; `month_day` of months only."""

    unit: Unit
    every: int
    first_on: date
    month_day: int | None = None

    def on(self, place: int) -> date:
        """The date at a place; 0: the first."""
        if self.unit is Unit.WEEK:
            return self.first_on + timedelta(weeks=place * self.every)
        months = self.first_on.year * 12 + self.first_on.month - 1 + place * self.every
        return _in_month(months // 12, months % 12 + 1, self.month_day or self.first_on.day)

    def next_from(self, day: date) -> date:
        """The first date that is not before this day."""
        if day <= self.first_on:
            return self.first_on
        if self.unit is Unit.WEEK:
            return self.on(-(-(day - self.first_on).days // (7 * self.every)))
        months = (day.year - self.first_on.year) * 12 + day.month - self.first_on.month
        place = months // self.every
        return next(on for on in map(self.on, range(place, place + 2)) if on >= day)


def _in_month(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, monthrange(year, month)[1]))


def first_from(start: date, unit: Unit, month_day: int | None) -> date:
    """The first date of a schedule that starts on a day: that day, or the next one that is this day of a month."""
    if unit is Unit.WEEK or month_day is None:
        return start
    in_this_month = _in_month(start.year, start.month, month_day)
    if in_this_month >= start:
        return in_this_month
    following = start.replace(day=1) + timedelta(days=32)
    return _in_month(following.year, following.month, month_day)


@dataclass(frozen=True, slots=True)
class Due:
    """What is due of a schedule: one date, the latest, is run; those before it are told of and are not."""

    run_on: date
    missed: tuple[date, ...]


def due(rhythm: Rhythm, next_on: date, today: date, until: date | None) -> Due | None:
    """The dates from `next_on` to today: after an outage the latest is run once, the others never. None: none yet.

    A customer who agreed to one charge a month is not charged for three at once because nobody was there.
    """
    last = today if until is None else min(today, until)
    dates: list[date] = []
    on = next_on
    while on <= last:
        dates.append(on)
        on = rhythm.next_from(on + timedelta(days=1))
    return Due(dates[-1], tuple(dates[:-1])) if dates else None


def next_after(rhythm: Rhythm, day: date, until: date | None, times: int | None, made: int) -> date | None:
    """The date after a day; None where the schedule has ended: by its last day, or as all its payments were made."""
    if times is not None and made >= times:
        return None
    on = rhythm.next_from(day + timedelta(days=1))
    return None if until is not None and on > until else on


def to_ask(amount_minor: int | None, as_credit: bool, owed_minor: int) -> int:
    """What a run asks for, in minor units: a fixed amount, yet no more than is owed unless `as_credit`; or all of it.

    `owed_minor` is what is owed now, less what is under way. 0: nothing, the date is skipped.
    """
    if amount_minor is not None and as_credit:
        return amount_minor
    owed = max(0, owed_minor)
    return owed if amount_minor is None else min(amount_minor, owed)


# ---- a schedule as it is asked for ----------------------------------------------------------------------------------

FIELDS: Final = (
    "idempotency_key",
    "customer",
    "currency",
    "amount",
    "amount_minor",
    "all_owed",
    "as_credit",
    "card_token",
    "unit",
    "every",
    "month_day",
    "start",
    "until",
    "times",
    "notes",
)
"""All fields that a schedule may be asked for with."""


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """A schedule as it was asked for; `amount_minor` None: all that is owed on the day; `start` None: today."""

    idempotency_key: str
    customer: str
    currency: str
    amount_minor: int | None
    as_credit: bool
    card_token: str
    unit: Unit
    every: int
    month_day: int | None
    start: date | None
    until: date | None
    times: int | None
    notes: str

    def rhythm(self, today: date) -> Rhythm:
        """Its dates, if it is made today."""
        start = self.start or today
        if self.unit is Unit.WEEK:
            return Rhythm(self.unit, self.every, start)
        day = self.month_day or start.day
        return Rhythm(self.unit, self.every, first_from(start, self.unit, day), day)

    def digest(self) -> bytes:
        """R15: what tells whether two requests with one key ask for the same."""
        said = [
            self.customer,
            self.currency,
            self.amount_minor,
            self.as_credit,
            self.card_token,
            self.unit,
            self.every,
            self.month_day,
            self.start.isoformat() if self.start else None,
            self.until.isoformat() if self.until else None,
            self.times,
            self.notes,
        ]
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).digest()


def check(raw: Mapping[str, object]) -> ScheduleRequest | list[Fault]:
    """The schedule that is asked for, or all that is wrong with it."""
    faults = unknown_fields(raw, FIELDS)

    def good(checked: _Checked | Fault, otherwise: _Checked) -> _Checked:
        if isinstance(checked, Fault):
            faults.append(checked)
            return otherwise
        return checked

    key = good(_plain("idempotency_key", raw.get("idempotency_key"), KEY_MAX), "")
    customer = good(required_text("customer", raw.get("customer"), NAME_MAX), "")
    token = good(_plain("card_token", raw.get("card_token"), NAME_MAX), "")
    all_owed = good(check_flag("all_owed", raw.get("all_owed")), False)
    as_credit = good(check_flag("as_credit", raw.get("as_credit")), False)
    currency = good(check_currency(raw.get("currency")), "")
    amount_minor: int | None = None
    if all_owed:
        faults += [_beside(name, "all_owed") for name in ("amount", "amount_minor") if raw.get(name) is not None]
        faults += [_beside("as_credit", "all_owed")] if as_credit else []
    elif currency:
        amount_minor = good(check_amount(raw, currency), 0)
    unit = good(_check_unit(raw.get("unit")), Unit.MONTH)
    month_day = good(_check_count("month_day", raw.get("month_day"), LAST_DAY), None)
    if unit is Unit.WEEK and month_day is not None:
        faults.append(_beside("month_day", "unit week"))
    start = good(_check_day("start", raw.get("start")), None)
    until = good(_check_day("until", raw.get("until")), None)
    if start and until and until < start:
        faults.append(Fault("until", until.isoformat(), "before the start", "Give a later day"))
    request = ScheduleRequest(
        idempotency_key=key,
        customer=customer,
        currency=currency,
        amount_minor=amount_minor,
        as_credit=as_credit,
        card_token=token,
        unit=unit,
        every=good(_check_count("every", raw.get("every"), EVERY_MAX), None) or 1,
        month_day=month_day,
        start=start,
        until=until,
        times=good(_check_count("times", raw.get("times"), TIMES_MAX), None),
        notes=good(check_notes(raw.get("notes")), ""),
    )
    return faults or request


def start_fault(request: ScheduleRequest, today: date) -> Fault | None:
    """What is wrong with its days if it is made today."""
    start = request.start or today
    if start < today:
        return Fault("start", start.isoformat(), "before today", "Give today or a later day")
    if start - today > START_REACH:
        return Fault("start", start.isoformat(), "more than two years from today", "Compare the year")
    first = request.rhythm(today).first_on
    if request.until is not None and request.until < first:
        remedy = f"Give {first.isoformat()} or a later day, or leave it out"
        return Fault("until", request.until.isoformat(), "before the first date", remedy)
    return None


def _plain(field: str, value: object, max_len: int) -> str | Fault:
    return without_card(field, required_text(field, value, max_len))


def _check_unit(value: object) -> Unit | Fault:
    if isinstance(value, str) and value in set(Unit):
        return Unit(value)
    return Fault("unit", shown(value or ""), "neither week nor month", "Give week or month")


def _check_count(field: str, value: object, most: int) -> int | Fault | None:
    if value is None:
        return None
    if type(value) is int and 1 <= value <= most:
        return value
    return Fault(field, shown(value), "out of range", f"Give a whole number from 1 to {most:,}")


def _check_day(field: str, value: object) -> date | Fault | None:
    return None if value is None or value == "" else parse_day(field, value)


def _beside(field: str, other: str) -> Fault:
    return Fault(field, "", f"given beside {other}", "Give one of the two")
