"""What follows each answer on the way back to the card (R11, R12), as a table."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Failed,
    FailureClass,
    Found,
    Held,
    NoAnswer,
    Outcome,
    RefundRefusal,
    Refused,
    Sighting,
    Standing,
    Unknown,
    VoidRefusal,
)
from rules.reversal import REFUNDS_MAX, VOIDS_MAX, Step, after_confirm, after_refund, after_void, after_watch

SETTLING = timedelta(minutes=15)
CANNOT_VOID = Refused(VoidRefusal.CANNOT_VOID, "108", "Void error")
NOT_SENT = Failed(FailureClass.NOT_SENT, "refused")


@pytest.mark.parametrize(
    ("outcome", "move", "step"),
    [
        (Approved("T1"), "void", None),
        (CANNOT_VOID, None, Step.CONFIRM),
        (NOT_SENT, None, Step.VOID),
        (Unknown("timeout"), None, Step.CONFIRM),
        (Held("T1", "126"), None, Step.CONFIRM),
        (Declined(DeclineClass.HARD, "12"), None, Step.CONFIRM),
    ],
)
def test_after_a_void(outcome: Outcome, move: str | None, step: Step | None) -> None:
    """R11: a void is done when the gateway says so; a refusal or a lost answer is looked up, never refunded at once."""
    following = after_void(outcome, 1, SETTLING)
    assert (following.move, following.step) == (move, step)
    assert following.step is not Step.REFUND


def test_a_lost_void_is_looked_up_once_it_must_have_arrived() -> None:
    """R11: an unknown void may still be on its way for the time to appear."""
    assert after_void(Unknown("timeout"), 1, SETTLING).delay == SETTLING


def test_a_void_that_cannot_be_sent_ends_with_a_person() -> None:
    """R12: after several tries a person is asked, with an alarm."""
    following = after_void(NOT_SENT, VOIDS_MAX, SETTLING)
    assert (following.move, following.step, following.alarm) == ("fail", None, True)


@pytest.mark.parametrize(
    ("sighting", "policy", "move", "step"),
    [
        (Found(Approved("T1"), Standing.SETTLED), "auto", "owe_refund", Step.REFUND),
        (Found(Approved("T1"), Standing.SETTLED), "ask", "ask", None),
        (Found(Approved("T1"), Standing.VOIDED), "auto", "void", None),
        (Found(Approved("T1"), Standing.SETTLING), "auto", None, Step.CONFIRM),
        (Found(Approved("T1"), Standing.UNSETTLED), "auto", None, Step.VOID),
        (Found(Approved("T1"), Standing.LIMBO), "auto", "fail", None),
        (Found(Approved("T1"), Standing.REFUNDED), "auto", "fail", None),
        (Absent("20"), "auto", None, Step.CONFIRM),
        (NoAnswer("timeout"), "auto", None, Step.CONFIRM),
    ],
)
def test_after_the_gateway_was_asked_where_the_money_stands(
    sighting: Sighting, policy: str, move: str | None, step: Step | None
) -> None:
    """R11, R12: only a settled sale leads to a refund, by itself (auto) or after a yes (ask)."""
    following = after_confirm(sighting, policy, 1, 0)
    assert (following.move, following.step) == (move, step)


@pytest.mark.parametrize(
    ("outcome", "move", "step"),
    [
        (Approved("T2"), "refund", None),
        (Approved("T2", final=False), "accept", Step.WATCH),
        (Refused(RefundRefusal.NOT_YET, "problem"), "owe_refund", Step.REFUND),
        (Refused(RefundRefusal.ALREADY, "105"), None, Step.WATCH),
        (Refused(RefundRefusal.REFUSED, "117"), "fail", None),
        (NOT_SENT, "owe_refund", Step.REFUND),
        (Unknown("timeout"), None, Step.WATCH),
    ],
)
def test_after_a_refund(outcome: Outcome, move: str | None, step: Step | None) -> None:
    """R11, B45, B47: a lost or doubtful refund is looked up; only what was certainly not made is sent anew."""
    following = after_refund(outcome, 1, SETTLING)
    assert (following.move, following.step) == (move, step)


def test_a_refund_that_is_never_possible_ends_with_a_person() -> None:
    """R12: "not yet" for ever is a failure with an alarm."""
    following = after_refund(Refused(RefundRefusal.NOT_YET, "problem"), REFUNDS_MAX, SETTLING)
    assert (following.move, following.alarm) == ("fail", True)


@pytest.mark.parametrize(
    ("sighting", "accepted", "may_resend", "move", "step"),
    [
        (Found(Approved("T2"), Standing.SETTLED), True, False, "refund", None),
        (Found(Approved("T2", final=False), Standing.UNSETTLED), True, False, None, Step.WATCH),
        (Found(Approved("T2", final=False), Standing.UNSETTLED), False, False, "accept", Step.WATCH),
        (Found(Failed(FailureClass.REFUSED, "x"), Standing.NOTHING), True, False, "fail", None),
        (Absent(), False, True, None, Step.REFUND),
        (Absent(), False, False, None, Step.WATCH),
        (Absent(), True, True, None, Step.WATCH),
        (NoAnswer("timeout"), False, True, None, Step.WATCH),
    ],
)
def test_after_the_gateway_was_asked_about_a_refund(
    sighting: Sighting, accepted: bool, may_resend: bool, move: str | None, step: Step | None
) -> None:
    """R17, E4: accepted is not final; an absent one is sent again only as the same, when that is safe."""
    following = after_watch(sighting, accepted, 0, may_resend)
    assert (following.move, following.step) == (move, step)


@pytest.mark.parametrize(
    ("sighting", "refused", "move"),
    [
        (Absent(), True, "fail"),
        (Absent(), False, None),
        (Found(Held("T2", "another amount"), Standing.LIMBO), True, "fail"),
        (Found(Held("T2", "another amount"), Standing.LIMBO), False, None),
        (NoAnswer("timeout"), True, None),
        (Found(Approved("T2"), Standing.REFUNDED), True, "refund"),
    ],
)
def test_a_refund_that_was_refused_as_returned_before(sighting: Sighting, refused: bool, move: str | None) -> None:
    """B47: where the gateway shows no refund of ours, ours has failed, whoever made the other: a person looks."""
    following = after_watch(sighting, False, 0, False, refused)
    assert (following.move, following.alarm) == (move, move == "fail")
