"""Which answers count against a gateway, and when another one may try (E6)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rules.breaking import Rest, after, first_awake, is_failing, turns_away
from rules.outcomes import Approved, DeclineClass, Declined, Failed, FailureClass, Held, Outcome, Unknown

SAID: dict[str, tuple[Outcome, bool | None]] = {
    "approved": (Approved("T1"), False),
    "declined": (Declined(DeclineClass.HARD, "12"), False),
    "held": (Held("T1", "126"), False),
    "our request is wrong": (Failed(FailureClass.REFUSED, "4"), False),
    "not reached": (Failed(FailureClass.NOT_SENT, "ConnectionError"), True),
    "busy": (Failed(FailureClass.BUSY, "106"), True),
    "refuses our account": (Failed(FailureClass.GATEWAY_SETUP, "1"), True),
    "no answer in time": (Unknown("ReadTimeout"), True),
    "a page": (Unknown("http_502"), True),
    "we were too slow to send": (Failed(FailureClass.NOT_SENT, "send_by"), None),
    "an answer about another operation": (Unknown("other_reply"), None),
}


@pytest.mark.parametrize("name", SAID)
def test_what_counts_against_a_gateway(name: str) -> None:
    """E6: not reached, busy, refusing us, unreadable; a decline is a healthy answer, our own slowness says nothing."""
    outcome, failing = SAID[name]
    assert is_failing(outcome) is failing


@pytest.mark.parametrize("failure", FailureClass)
def test_when_another_may_try(failure: FailureClass) -> None:
    """E6: where the gateway certainly did nothing, for no fault of the request."""
    assert turns_away(Failed(failure, "x")) is (failure is not FailureClass.REFUSED)
    assert not turns_away(Failed(failure, "send_by"))


def test_the_way_goes_forward() -> None:
    """E6: behind a gateway come those that its route names after it; one that is no part of it has none."""
    assert after(("a", "b", "c"), "a") == ("b", "c")
    assert after(("a", "b", "c"), "c") == ()
    assert after(("a", "b"), "x") == ()
    assert first_awake(("a", "b"), {"a"}.__contains__) == "b"
    assert first_awake(("a",), {"a"}.__contains__) is None


def test_a_rest_in_words() -> None:
    """An operator reads which gateway is rested and why."""
    minute = timedelta(minutes=1)
    assert Rest(minute, minute, "106 busy").words("payflow") == "payflow is rested, it keeps failing (106 busy)"
