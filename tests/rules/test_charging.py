"""Whether a card is charged at all, and how much (R8), and which approval is none (R18)."""

from __future__ import annotations

import pytest

from rules.charging import AskFirst, Charge, NoLongerOwed, WhenOwedLess, decide, fits
from rules.outcomes import Approved, DeclineClass, Declined, Held, Outcome

ASK, LESS, ALL = WhenOwedLess.ASK, WhenOwedLess.CHARGE_REDUCED, WhenOwedLess.CHARGE_ALL
REFERENCE = 2_611_240_000_010_410_101


@pytest.mark.parametrize(
    ("total", "owed_then", "owed_now", "policy", "turn"),
    [
        (100, 100, 100, ASK, Charge(100)),
        (100, 100, 300, ASK, Charge(100)),
        (100, 100, 0, ASK, NoLongerOwed()),
        (100, 100, 0, LESS, NoLongerOwed()),
        (100, 100, 0, ALL, NoLongerOwed()),
        (100, 100, 60, ASK, AskFirst(60)),
        (100, 100, 60, LESS, Charge(60)),
        (100, 100, 60, ALL, Charge(100)),
        (150, 100, 100, ASK, Charge(150)),  # the request itself exceeded what was owed: 50 were meant as credit
        (150, 100, 60, ASK, AskFirst(60)),
        (150, 100, 60, LESS, Charge(110)),  # 60 owed, and the 50 that were meant as credit
        (150, 100, 0, ASK, NoLongerOwed()),
    ],
)
def test_what_is_charged_right_before_the_send(
    total: int, owed_then: int, owed_now: int, policy: WhenOwedLess, turn: object
) -> None:
    """R8: no longer owed is not charged; part owed goes by the policy; more only where the request exceeded it."""
    assert decide(total, owed_then, owed_now, as_credit=False, policy=policy) == turn


def test_a_payment_meant_as_credit_is_charged_whatever_is_owed() -> None:
    """R1, R8: `as_credit` asks for nothing to be owed."""
    assert decide(100, 0, 0, as_credit=True, policy=ASK) == Charge(100)


@pytest.mark.parametrize(
    "approved",
    [
        Approved("T1", amount_minor=99),
        Approved("T1", currency="EUR"),
        Approved("T1", reference="1" + str(REFERENCE)[1:]),
        Approved("T1", reference="not ours"),
        Approved("T1", amount_minor=100, currency="USD", reference="K7Q2M9X4T1BA"),
    ],
    ids=["amount", "currency", "reference", "no reference of ours", "base 36"],
)
def test_an_approval_that_does_not_fit_is_held_for_a_person(approved: Approved) -> None:
    """R18: another amount, currency or reference than was asked is not an approval."""
    outcome = fits(approved, 100, "USD", REFERENCE)
    assert isinstance(outcome, Held)
    assert outcome.code == "approval_does_not_fit"


@pytest.mark.parametrize(
    "outcome",
    [
        Approved("T1"),
        Approved("T1", amount_minor=100, currency="USD", reference=str(REFERENCE)),
        Declined(DeclineClass.HARD, "41"),
    ],
)
def test_what_fits_or_was_not_repeated_stays_what_it_is(outcome: Outcome) -> None:
    """R18: what a gateway does not repeat cannot be compared; other outcomes pass."""
    assert fits(outcome, 100, "USD", REFERENCE) is outcome


def test_a_reference_in_base_36_is_compared_as_a_number() -> None:
    """E2: one reference, 19 digits or 12 characters."""
    digits, number = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10**18
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    assert fits(Approved("T1", reference=text), 100, "USD", 10**18) == Approved("T1", reference=text)
