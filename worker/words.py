"""What a wake-up call is for, in words: shown by Flower and other monitors in place of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# By these words Flower looks for a task's siblings: the first is part of its name, and none is shorter than three.
_TITLES: Final = {
    "charge": "Charge cards",
    "post": "Post payments",
    "inquire": "Inquire about outcomes",
    "void": "Void charges",
    "confirm": "Confirm refused voids",
    "refund": "Refund charges",
    "watch": "Watch refunds",
    "retry": "Retry declined cards",
    "schedule": "Schedule payments",
    "mail": "Mail receipts",
    "notice": "Notice what gateways tell",
    "webhook": "Webhook deliveries",
    "sweep": "Sweep overdue work",
    "forget": "Forget unused cards",
    "expiry": "Expiry notices",
}


def title(step: str) -> str:
    """A step by itself."""
    return _TITLES.get(step, step.capitalize())


def of(step: str, what: str) -> str:
    """Step and what it works on as one phrase: "Charge cards: batch 7, lane 1 of 2"."""
    return f"{title(step)}: {what}"


def of_call(step: str, arguments: Mapping[str, Any]) -> str:
    """The phrase of a call with these arguments."""
    return of(step, ", ".join(f"{name} {value}" for name, value in arguments.items()) or "whatever is due")


def parts(phrase: str | None) -> tuple[str, str] | None:
    """The step and what it works on, of a phrase by `of`; None of anything else."""
    step, colon, what = (phrase or "").partition(": ")
    return (step, what) if colon and step.replace(" ", "").isalpha() else None
