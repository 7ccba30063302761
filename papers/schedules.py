"""Schedules and holds in words, for the console and the command line."""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo

from books.holds import Hold
from books.schedules import Run, Schedule
from papers.story import moment
from rules.money import for_people
from rules.schedules import LAST_DAY, Unit

_ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
_OUTCOMES: Final = {
    "payment": "payment {payment_id}",
    "skipped": "passed over: {why}",
    "missed": "missed: {why}",
    "refused": "refused: {why}",
}


def rhythm(schedule: Schedule) -> str:
    """When it is run: "on the last day of every month"."""
    if schedule.unit == Unit.WEEK:
        return f"every week, on {schedule.first_on:%A}s" if schedule.every == 1 else f"every {schedule.every} weeks"
    months = "every month" if schedule.every == 1 else f"every {schedule.every} months"
    return f"on the {_day(schedule.month_day or schedule.first_on.day)} of {months}"


def _day(day: int) -> str:
    if day == LAST_DAY:
        return "last day"
    return f"{day}{'th' if 10 < day < 20 else _ENDINGS.get(day % 10, 'th')}"


def amount(schedule: Schedule) -> str:
    """What each run asks for."""
    if schedule.amount_minor is None:
        return f"all that is owed in {schedule.currency}"
    return for_people(schedule.amount_minor, schedule.currency)


def ends(schedule: Schedule) -> str:
    """When it ends: "after 12 payments"; "" where it goes on until it is stopped."""
    parts = [f"after {schedule.times:,} payments"] if schedule.times else []
    parts += [f"with {schedule.until.isoformat()}"] if schedule.until else []
    return " or ".join(parts)


def standing(schedule: Schedule) -> str:
    """Where it stands: "next on 2027-01-31", "paused: on holiday"."""
    if schedule.next_on is not None:
        return f"next on {schedule.next_on.isoformat()}"
    return f"{schedule.state}: {schedule.reason}"


def line(schedule: Schedule) -> str:
    """One schedule in one sentence."""
    until = f", ends {ends(schedule)}" if ends(schedule) else ""
    card = f"{schedule.card_brand} ending in {schedule.card_last_four}"
    return (
        f"Schedule {schedule.id} of {schedule.customer}: {amount(schedule)} by {card} {rhythm(schedule)}{until};"
        f" {schedule.payments_made:,} made so far, {standing(schedule)}."
    )


def what_became(run: Run) -> str:
    """What became of one date."""
    return _OUTCOMES[run.outcome].format(payment_id=run.payment_id, why=run.why)


def held(hold: Hold, zone: ZoneInfo) -> str:
    """A hold in one sentence."""
    end = f"until {moment(hold.until, zone)}" if hold.until else "until it is lifted"
    return f"On hold {end}: {hold.reason} ({hold.placed_by}, {moment(hold.placed_at, zone)})."
