"""The rolling window: as many calls at once as it is wide, results as they come, and none lost."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import NoReturn

import pytest

from gateways import loop
from gateways.window import Broke, Window


def parked_until(event: threading.Event) -> bool:
    """What a call does that waits for its gateway."""
    deadline = time.monotonic() + 5
    while not event.is_set():
        assert time.monotonic() < deadline
        loop.pause(0.005)
    return True


def test_as_many_at_once_as_it_is_wide() -> None:
    """E1: calls run at once up to the window's size; the others wait for their turn."""
    running: list[int] = []
    go_on = threading.Event()

    def call() -> int:
        running.append(1)
        parked_until(go_on)
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
        window.submit("slow", lambda: int(parked_until(go_on)))
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
        window.submit("held", lambda: parked_until(go_on))
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
        loop.pause(0.05)
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


def test_a_lock_held_across_an_exchange() -> None:
    """A call that waits for another's lock waits parked: the one that holds it goes on, on the same thread."""
    lock, order = loop.CallLock(), list[str]()

    def call(name: str) -> None:
        with lock:
            order.append(name)
            loop.pause(0.02)
            order.append(name)

    with Window[str, None](3) as window:
        for name in ("a", "b", "c"):
            window.submit(name, partial(call, name))
    assert order[0::2] == order[1::2]
    assert sorted(order[0::2]) == ["a", "b", "c"]


def test_a_loop_that_breaks_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """E3: where the thread itself ends by a bug, each call that was handed in comes back as one that broke."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    window, go_on = Window[int, bool](1), threading.Event()
    with window:
        window.submit(1, lambda: parked_until(go_on))
        window.submit(2, lambda: parked_until(go_on))
        monkeypatch.setattr(loop.Loop, "turn", _breaks)
        results = dict(window.collect(2, 5))
        window.submit(3, lambda: True)
        results |= dict(window.collect(1, 5))
    assert sorted(results) == [1, 2, 3]
    for result in results.values():
        assert isinstance(result, Broke)
        assert result.where.startswith("KeyError in ")
        assert "4111" not in result.where


def test_a_fork_shares_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was forked uses no connection of its parent's; windows of one process share theirs."""
    used: list[loop.Loop | None] = []

    def one_call() -> None:
        with Window[int, None](1) as window:
            window.submit(1, lambda: used.append(loop.current()))

    one_call()
    one_call()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    one_call()
    assert used[0] is used[1] is not None
    assert used[2] not in (used[0], None)


def _breaks(_: loop.Loop) -> NoReturn:
    raise KeyError("4111111111111111")
