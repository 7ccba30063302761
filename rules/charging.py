"""Whether a card is charged at all, and how much: looked at right before every send (R8)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rules.outcomes import Approved, Held, Outcome


class WhenOwedLess(StrEnum):
    """What to do if, at the moment of charging, less is owed than when it was asked for (R8)."""

    CHARGE_REDUCED = "charge_reduced"
    ASK = "ask"
    CHARGE_ALL = "charge_all"


@dataclass(frozen=True, slots=True)
class Charge:
    """Charge this much."""

    amount_minor: int


@dataclass(frozen=True, slots=True)
class NoLongerOwed:
    """Do not charge: what it was meant for is paid."""


@dataclass(frozen=True, slots=True)
class AskFirst:
    """A person decides: only part of it is owed."""

    owed_minor: int


def decide(
    total_minor: int, owed_at_request_minor: int, owed_now_minor: int, as_credit: bool, policy: WhenOwedLess
) -> Charge | NoLongerOwed | AskFirst:
    """What to charge now. More than is owed is charged only where the *request* exceeded what was owed then (R8)."""
    excess_asked_for = max(0, total_minor - owed_at_request_minor)
    if total_minor <= owed_now_minor + excess_asked_for or as_credit:
        return Charge(total_minor)
    if owed_now_minor <= 0:
        return NoLongerOwed()
    match policy:
        case WhenOwedLess.CHARGE_ALL:
            return Charge(total_minor)
        case WhenOwedLess.CHARGE_REDUCED:
            return Charge(owed_now_minor + excess_asked_for)
        case WhenOwedLess.ASK:
            return AskFirst(owed_now_minor)


DOES_NOT_FIT: Final = "approval_does_not_fit"
"""The code of an approval of something else than was asked for (R18)."""


def fits(outcome: Outcome, amount_minor: int, currency: str, *references: int) -> Outcome:
    """R18: an approval of another amount, currency or reference than was asked for is none: it is held for a person.

    `Approved.reference` is compared where the gateway repeated ours: in decimal digits or in base 36. A void or refund
    has two that fit, its own and its sale's.
    """
    if not isinstance(outcome, Approved):
        return outcome
    wrong = [
        f"{name} {said!r} instead of {asked[0]!r}"
        for name, said, asked in (
            ("amount", outcome.amount_minor, (amount_minor,)),
            ("currency", outcome.currency, (currency,)),
            ("reference", _number(outcome.reference), references),
        )
        if said is not None and said not in asked
    ]
    if not wrong:
        return outcome
    return Held(outcome.transaction_id, DOES_NOT_FIT, "approved with " + ", ".join(wrong))


def _number(reference: str | None) -> int | str | None:
    if not reference:
        return None
    try:
        return int(reference, 10 if len(reference) > 12 else 36)
    except ValueError:
        return reference
