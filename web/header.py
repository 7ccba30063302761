"""What stands at the top of every page: how much waits for a person, and what came of payments that one had left."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import Request

from books import epoch, follow_ups, waiting
from books.follow_ups import News
from books.people import User
from rules.money import for_people
from rules.people import Role
from web.office import of as office_of

COUNTED: Final = 99
"""What waits is counted so far; beyond it there is a plus."""
TOLD: Final = 5
"""News that are shown at once."""

_STATES: Final = {
    "posted": "is posted",
    "declined": "was declined: nothing was charged",
    "retrying": "was declined for now; it is tried again by itself",
    "review": "needs a person before it goes on",
    "cancelled": "was cancelled: nothing was charged",
    "voided": "is void",
}
_REVERSALS: Final = {
    "voided": "is void: the charge was voided at the gateway",
    "refund_awaiting_approval": "is void: somebody must say whether the amount goes back to the card",
    "refund_accepted": "is void: the amount goes back to the card",
    "refunded": "is void: the amount was returned to the card",
    "failed": "is void, but the amount could not be returned to the card: a person must look",
    "kept": "is void: the amount was kept as a credit",
}
_REFUNDS: Final = {
    "refund_accepted": "is posted; its refund goes back to the card",
    "refunded": "is posted; its refund was returned to the card",
    "failed": "is posted, but its refund could not be made: it can be asked for again",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One payment: what it is called, and what became of it."""

    payment_id: int
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Header:
    """What a user sees at the top; `waiting` is "" for none, and for who only looks."""

    waiting: str = ""
    told: tuple[Told, ...] = ()
    more: bool = False
    flower: str = ""
    quarantined: datetime | None = None  # since when cards are not charged (E7)

    @property
    def mark(self) -> str:
        """Another one wherever something else is to be seen."""
        return hashlib.sha256(repr((self.waiting, self.told, self.more, self.quarantined)).encode()).hexdigest()[:16]


def of(request: Request, user: User) -> Header:
    """The header for somebody, by one short look at the database."""
    office = office_of(request)
    supervises = user.role.may(Role.SUPERVISOR)
    with office.transaction() as (conn, now):  # committed, so that its questions stay prepared: a third of the time
        waits = waiting.count(conn, now, COUNTED + 1) if supervises else 0
        news = follow_ups.news(conn, user.name, TOLD + 1)
        held = epoch.current(conn)
    return Header(
        waiting="" if not waits else f"{COUNTED}+" if waits > COUNTED else str(waits),
        told=tuple(Told(one.payment_id, _name(one), _words(one)) for one in news[:TOLD]),
        more=len(news) > TOLD,
        flower=office.settings.web_flower_url if supervises else "",
        quarantined=held.since if held else None,
    )


def _name(one: News) -> str:
    whose = f" of {one.customer_name}" if one.customer_name else ""
    return f"Payment {one.payment_id}{whose} ({for_people(one.amount_minor, one.currency)})"


def _words(one: News) -> str:
    if one.state == "voided" and one.reversal_state in _REVERSALS:
        return _REVERSALS[one.reversal_state]
    if one.state == "posted" and one.reversal_state in _REFUNDS:
        return _REFUNDS[one.reversal_state]
    return _STATES[one.state]
