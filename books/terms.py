"""What the books need to know from the settings to charge and to reverse."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from rules.breaking import WhenRested
from rules.calendar import business_day
from rules.card_expiry import MailTo
from rules.retry import RetryPolicy
from rules.routes import Route
from rules.stored_cards import KeepNumbers

REFERENCE_MIN: Final = 10**18
REFERENCE_END: Final = 36**12
"""E2: 19 decimal digits and at most 12 in base 36, so that one reference fits every gateway."""


def draw_reference() -> int:
    """A merchant reference at random: never derived, since ids run back after a restore (E2)."""
    return REFERENCE_MIN + secrets.randbelow(REFERENCE_END - REFERENCE_MIN)


@dataclass(frozen=True, slots=True)
class AtGateway:
    """What the rules must know of a configured gateway."""

    account: str
    appears_within: timedelta  # how long absence in an inquiry means nothing (E4)
    replay_window: timedelta  # how long the same reference may be sent again (E4)
    one_refund: bool = False  # it takes one refund of a sale, whatever its amount (R17)
    refund_within: timedelta | None = None  # of the sale; older ones it does not refund


_NOT_CONFIGURED: Final = AtGateway(account="", appears_within=timedelta(days=1), replay_window=timedelta(0))


@dataclass(frozen=True, slots=True)
class Terms:
    """What charging and reversing need from the settings."""

    zone: ZoneInfo
    policy: RetryPolicy
    gateways: Mapping[str, AtGateway]
    send_within: timedelta  # what was not sent by then is not sent
    answer_within: timedelta  # all time-outs of one call together: a lease lasts for both (E1)
    routes: Sequence[Route] = ()  # where a payment may go when its gateway is rested or did not charge it (E6)
    when_rested: WhenRested = WhenRested.ELSEWHERE
    keep_numbers: KeepNumbers = KeepNumbers.ALWAYS
    card_expiry_days: int = 30  # before its last month begins a kept card expires soon
    card_expiry_mail: MailTo = MailTo.CUSTOMER

    def at(self, gateway: str) -> AtGateway:
        """What holds at a gateway; of one that is not configured any more nothing may be concluded or sent again."""
        return self.gateways.get(gateway, _NOT_CONFIGURED)

    def today(self, now: datetime) -> date:
        """The business day of a moment (R5)."""
        return business_day(now, self.zone)
