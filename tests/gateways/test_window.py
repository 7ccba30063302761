"""The rolling window: as many calls at once as it is wide, results as they come, and none lost."""

from __future__ import annotations

import threading
import time
from typing import NoReturn

import pytest

from gateways.window import Broke, Window


def test_as_many_at_once_as_it_is_wide() -> None:
    """E1: calls run at once up to the window's size; the others wait for their turn."""
    running: list[int] = []
    go_on = threading.Event()

    def call() -> int:
        running.append(1)
        go_on.wait(5)
        return len(running)

    with Window[int, int](4) as window:
        for key in range(12):
            window.submit(key, call)
        assert window.in_flight == 12
        deadline = time.monotonic() + 5
        while len(running) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert window.collect(1, 0.05) == []
        assert len(running) == 4
        go_on.set()
        assert sorted(key for key, _ in window.collect(12, 5)) == list(range(12))
        assert window.in_flight == 0


def test_results_as_they_come() -> None:
    """A slow call holds nobody up: what is done is handed back, under its key."""
    go_on = threading.Event()
    with Window[str, int](2) as window:
        window.submit("slow", lambda: int(go_on.wait(5)))
        window.submit("quick", lambda: 7)
        assert window.collect(1, 5) == [("quick", 7)]
        assert window.in_flight == 1
        go_on.set()
        assert window.collect(1, 5) == [("slow", 1)]


def test_waits_no_longer_than_told() -> None:
    """What is not there in time is left for the next collection."""
    go_on = threading.Event()
    with Window[str, bool](1) as window:
        assert window.collect(1, 5) == []
        window.submit("held", lambda: go_on.wait(5))
        begun = time.monotonic()
        assert window.collect(1, 0.05) == []
        assert 0.04 < time.monotonic() - begun < 4
        assert window.collect(0, 5) == []
        go_on.set()
        assert window.collect(1, 5) == [("held", True)]


def test_a_bug_comes_back_as_a_value() -> None:
    """B61: a call that raises is handed back like any other: the kind of error and its place, not its text."""

    def broken() -> NoReturn:
        raise KeyError("4111111111111111")

    with Window[int, int](2) as window:
        window.submit(1, broken)
        window.submit(2, lambda: 7)
        results = dict(window.collect(2, 5))
    assert results[2] == 7
    assert isinstance(results[1], Broke)
    assert results[1].where.startswith("KeyError in broken, line ")
    assert results[1].where.endswith("of test_window.py")
    assert "4111" not in repr(results)


def test_leaving_it_abandons_no_call() -> None:
    """E1: an error of the caller's ends no call that is under way, and its result can still be collected."""
    begun, ended = threading.Event(), threading.Event()

    def call() -> str:
        begun.set()
        ended.wait(0.1)
        ended.set()
        return "done"

    def fail_meanwhile(window: Window[int, str]) -> NoReturn:
        with window:
            window.submit(1, call)
            assert begun.wait(5)
            raise LookupError

    window = Window[int, str](1)
    with pytest.raises(LookupError):
        fail_meanwhile(window)
    assert ended.is_set()
    assert window.collect(1, 5) == [(1, "done")]
