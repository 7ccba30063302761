"""A rolling window of calls: many at once on one thread, their results handed back as they come."""

from __future__ import annotations

import os
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Generic, TypeVar

from greenlet import getcurrent

from gateways.loop import Loop

K = TypeVar("K")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Broke:
    """A call raised: a bug of ours, and no proof of anything (the caller records Unknown or NoAnswer).

    `where` names the kind of error and its place, never its text, which may hold what no log may show (B61).
    """

    where: str


class Window(Generic[K, R]):
    """Up to `size` calls at once, to be entered by `with`.

    A call waits only for its gateway, by HttpClient, or by `loop.pause`: whatever else it did would hold up the others.
    On leaving the window every call that was submitted has ended, and what was not collected still can be.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._todo: deque[tuple[K, Callable[[], R]]] = deque()
        self._under_way: dict[int, K] = {}
        self._ended: list[tuple[K, R | Broke]] = []
        self._done: queue.SimpleQueue[list[tuple[K, R | Broke]]] = queue.SimpleQueue()
        self._in_flight = 0
        self._left = False
        self._broken: Broke | None = None
        self._hand_in = threading.Lock()
        self._thread = threading.Thread(target=self._carry_all, name="gateway-calls", daemon=True)

    @property
    def in_flight(self) -> int:
        """Calls that were submitted and whose results were not collected yet."""
        return self._in_flight

    def submit(self, key: K, call: Callable[[], R]) -> None:
        """Make the call as soon as fewer than `size` are under way; its result is collected under `key`."""
        self._in_flight += 1
        with self._hand_in:
            if self._broken:
                self._done.put([(key, self._broken)])
                return
            self._todo.append((key, call))
            if len(self._todo) == 1:
                self._loop.ring()

    def collect(self, at_least: int, wait_seconds: float) -> list[tuple[K, R | Broke]]:
        """All results that are there; waits until there are `at_least`, or none are in flight, or the time is over."""
        results: list[tuple[K, R | Broke]] = []
        give_up = time.monotonic() + wait_seconds
        while self._in_flight:
            patience = give_up - time.monotonic() if len(results) < at_least else 0.0
            try:
                some = self._done.get(timeout=patience) if patience > 0 else self._done.get_nowait()
            except queue.Empty:
                break
            self._in_flight -= len(some)
            results += some
        return results

    def __enter__(self) -> Window[K, R]:
        self._loop = _borrowed()
        self._loop.keep(self.size)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        self._loop.ring()
        self._thread.join()

    # -- on the window's thread

    def _carry_all(self) -> None:
        try:
            while not self._left or self._todo or self._under_way:
                self._loop.turn()
                while self._todo and len(self._under_way) < self.size:
                    self._loop.spawn(partial(self._carry, *self._todo.popleft()))
                if self._ended:
                    self._done.put(self._ended)
                    self._ended = []
        except BaseException as error:
            self._break(Broke(_place(error)))
            raise
        _give_back(self._loop)

    def _carry(self, key: K, call: Callable[[], R]) -> None:
        number = id(getcurrent())
        self._under_way[number] = key
        try:
            result: R | Broke = call()
        except Exception as error:  # noqa: BLE001 - a bug of ours, whatever it is, must hold up no other call
            result = Broke(_place(error))
        del self._under_way[number]
        self._ended.append((key, result))

    def _break(self, why: Broke) -> None:
        """The thread ends by a bug of ours: nothing is proved of any call."""
        with self._hand_in:
            self._broken = why
            lost = [*self._under_way.values(), *(key for key, _ in self._todo)]
        self._done.put([*self._ended, *((key, why) for key in lost)])


_idle: Final[dict[int, list[Loop]]] = {}
"""Loops that no window uses, with their open connections, by process: a fork must not use its parent's."""


def _borrowed() -> Loop:
    mine = _idle.setdefault(os.getpid(), [])
    return mine.pop() if mine else Loop()


def _give_back(loop: Loop) -> None:
    _idle[os.getpid()].append(loop)


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}, line {last.lineno} of {last.filename.rpartition('/')[2]}"
