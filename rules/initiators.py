"""Who set a payment going, which card networks want to know of a stored card (C4)."""

from __future__ import annotations

from enum import StrEnum


class Initiator(StrEnum):
    """Who set a payment going. That an attempt is a retry is told by its count, not by this."""

    CUSTOMER = "customer"  # is at the screen or on the phone, or gave the card right now
    OFFICE = "office"  # the business or an app, with nobody there: batches, kept cards without their owner
    PLANNED = "planned"  # the day that it was planned for (`run_on`)
    SCHEDULE = "schedule"  # the schedule whose run it is


def initiator(*, attended: bool, planned: bool, scheduled: bool) -> Initiator:
    """Who sets a payment going that is recorded now; the clock comes before whoever recorded it."""
    if scheduled:
        return Initiator.SCHEDULE
    if planned:
        return Initiator.PLANNED
    return Initiator.CUSTOMER if attended else Initiator.OFFICE
