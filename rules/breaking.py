"""Which answers say that a gateway itself does not work, so that it is to be rested; and where a payment goes then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from rules.outcomes import Failed, FailureClass, Outcome, Unknown


class WhenRested(StrEnum):
    """What becomes of a payment whose gateway is rested."""

    WAIT = "wait"  # until the rest is over
    ELSEWHERE = "elsewhere"  # to the next gateway of its route; where there is none, it waits


@dataclass(frozen=True, slots=True)
class Rest:
    """A gateway that keeps failing is not called for `left` of its `whole` rest.

    `over`: a few calls may try it now, and `left` is how long all others wait for what they find out.
    """

    left: timedelta
    whole: timedelta
    why: str = ""
    over: bool = False

    def words(self, gateway: str) -> str:
        """For people: which gateway is rested, and why."""
        return f"{gateway} is rested, it keeps failing" + (f" ({self.why})" if self.why else "")

    def until(self) -> str:
        """For people: how long it lasts."""
        if self.over:
            return "a few calls find out whether it works again"
        return f"for {self.left // timedelta(seconds=1) + 1} s more"


# Our own doing, or a matter of one reference: they say nothing of the gateway's health.
_OURS: Final = frozenset({"broke", "send_by", "repeated", "duplicate_of_other", "other_reference", "other_reply"})
_TURNS: Final = frozenset({FailureClass.NOT_SENT, FailureClass.BUSY, FailureClass.GATEWAY_SETUP})


def is_failing(outcome: Outcome) -> bool | None:
    """Whether an outcome counts against the gateway; None: it says nothing about it.

    Refusing us counts, as does not being reached and giving no answer that can be read. A decline is a healthy answer.
    """
    if outcome.code in _OURS:
        return None
    match outcome:
        case Failed(failure=failure):
            return failure in _TURNS
        case Unknown():
            return True
        case _:
            return False


def turns_away(failed: Failed) -> bool:
    """E6: whether another gateway may do better: this one certainly did nothing, and for no fault of the request."""
    return failed.failure in _TURNS and failed.code not in _OURS


def after(way: Sequence[str], gateway: str) -> tuple[str, ...]:
    """The gateways of a way that come behind this one."""
    return tuple(way[way.index(gateway) + 1 :]) if gateway in way else ()


def first_awake(candidates: Sequence[str], is_resting: Callable[[str], bool]) -> str | None:
    """The first that is not rested, if any."""
    return next((gateway for gateway in candidates if not is_resting(gateway)), None)
