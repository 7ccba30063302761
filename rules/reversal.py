"""How the money of a voided card payment gets back to the card (R11, R12): what follows each answer, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, assert_never

from rules.outcomes import (
    Absent,
    Approved,
    Declined,
    Failed,
    Found,
    Held,
    NoAnswer,
    Outcome,
    RefundRefusal,
    Refused,
    Sighting,
    Standing,
    Unknown,
)


class Step(StrEnum):
    """What a reversal does next."""

    VOID = "void"
    CONFIRM = "confirm"  # ask the gateway where the sale's money stands
    REFUND = "refund"
    WATCH = "watch"  # ask the gateway what became of the refund


@dataclass(frozen=True, slots=True)
class Next:
    """The move in `rules.states` to make (None: stay), the step that follows it (None: none), the delay, and why."""

    move: str | None
    step: Step | None
    delay: timedelta
    why: str
    alarm: bool = False


NOW: Final = timedelta(0)
VOIDS_MAX: Final = 6
"""Voids that are sent of one sale before a person is asked."""
REFUNDS_MAX: Final = 8
"""Refunds that are refused as "not yet" or could not be sent before a person is asked."""


def _again(tries: int) -> timedelta:
    minutes: int = 4 ** min(max(tries, 0), 6)
    return min(timedelta(minutes=minutes), timedelta(hours=6))


def after_void(outcome: Outcome, voids_sent: int, appears_within: timedelta) -> Next:
    """After a void was sent. A refusal is only believed once the sale's standing confirms it (R11)."""
    match outcome:
        case Approved():
            return Next("void", None, NOW, "the gateway voided the sale")
        case Refused():
            return Next(None, Step.CONFIRM, NOW, f"the gateway refused the void ({outcome.code} {outcome.message})")
        case Failed():
            if voids_sent >= VOIDS_MAX:
                return Next(
                    "fail", None, NOW, f"the void could not be made ({outcome.code} {outcome.message})", alarm=True
                )
            return Next(
                None, Step.VOID, _again(voids_sent), f"the void was not made ({outcome.code} {outcome.message})"
            )
        case Unknown() | Held() | Declined():
            return Next(None, Step.CONFIRM, appears_within, f"the void's outcome is not known ({outcome.code})")
    assert_never(outcome)


def after_confirm(sighting: Sighting, policy: str, voids_sent: int, asked: int) -> Next:
    """After the gateway was asked where the sale's money stands."""
    match sighting:
        case Found(standing=Standing.VOIDED):
            return Next("void", None, NOW, "the gateway says that the sale is voided")
        case Found(standing=Standing.SETTLED):
            if policy == "ask":
                return Next("ask", None, NOW, "the sale is settled: shall the amount be returned to the card?")
            return Next("owe_refund", Step.REFUND, NOW, "the sale is settled: a refund returns the amount to the card")
        case Found(standing=Standing.SETTLING):
            return Next(
                None, Step.CONFIRM, timedelta(hours=1), "the sale is being settled: neither void nor refund now"
            )
        case Found(standing=Standing.UNSETTLED):
            if voids_sent >= VOIDS_MAX:
                return Next("fail", None, NOW, "the sale is not settled, yet the gateway refuses the void", alarm=True)
            return Next(None, Step.VOID, _again(voids_sent - 1), "the sale is not settled: the void is sent again")
        case Found(standing=Standing.REFUNDED | Standing.NOTHING | Standing.LIMBO as standing):
            return Next(
                "fail", None, NOW, f"the sale stands as {standing} at the gateway: a person must look", alarm=True
            )
        case Absent() | NoAnswer():
            return Next(
                None, Step.CONFIRM, _again(asked), f"the gateway could not tell ({sighting.code})", alarm=asked >= 5
            )
    raise AssertionError(sighting)


def after_refund(outcome: Outcome, refunds_sent: int, appears_within: timedelta) -> Next:
    """After a refund was sent."""
    match outcome:
        case Approved(final=True):
            return Next("refund", None, NOW, "the gateway refunded the amount")
        case Approved():
            return Next("accept", Step.WATCH, timedelta(hours=12), "the gateway accepted the refund")
        case Refused(refusal=RefundRefusal.NOT_YET) if refunds_sent < REFUNDS_MAX:
            return Next("owe_refund", Step.REFUND, timedelta(hours=12), f"not settled yet ({outcome.code}): later")
        case Refused(refusal=RefundRefusal.ALREADY):
            return Next(None, Step.WATCH, NOW, f"the gateway says that it was returned already ({outcome.code})")
        case Failed() if refunds_sent < REFUNDS_MAX:
            return Next("owe_refund", Step.REFUND, _again(refunds_sent), f"the refund was not made ({outcome.code})")
        case Refused() | Failed() | Declined():
            return Next("fail", None, NOW, f"the refund failed ({outcome.code} {outcome.message})", alarm=True)
        case Unknown() | Held():
            return Next(None, Step.WATCH, appears_within, f"the refund's outcome is not known ({outcome.code})")
    assert_never(outcome)


def after_watch(sighting: Sighting, accepted: bool, asked: int, may_resend: bool, refused: bool = False) -> Next:
    """After the gateway was asked what became of the refund.

    `accepted`: it had said yes before. `may_resend`: the same reference may be sent again (E4), since the time to
    appear has passed and the gateway still recognises it. `refused`: it was refused as returned before, and whatever
    had been made of it would have appeared by now (B47).
    """
    match sighting:
        case Found(outcome=Approved(final=True)):
            return Next("refund", None, NOW, "the gateway says that the refund was made")
        case Found(outcome=Approved()) if accepted:
            return Next(None, Step.WATCH, timedelta(days=1), "the refund is accepted, not yet final", alarm=asked >= 14)
        case Found(outcome=Approved()):
            return Next("accept", Step.WATCH, timedelta(hours=12), "the gateway has accepted the refund")
        case Found(outcome=Refused() | Declined() | Failed()):
            return Next("fail", None, NOW, "the gateway says that the refund was not made", alarm=True)
        case Absent() if may_resend and not accepted:
            return Next(None, Step.REFUND, NOW, "the gateway does not know the refund: the same one is sent again")
        case Found(outcome=Held()) | Absent() if refused:
            why = "the gateway says that it was returned before, and not by this refund: a person must look"
            return Next("fail", None, NOW, why, alarm=True)
        case Found() | Absent() | NoAnswer():
            return Next(None, Step.WATCH, _again(asked), "what became of the refund is not known yet", alarm=asked >= 5)
    assert_never(sighting)
