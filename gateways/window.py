"""A rolling window of calls: many at once, their results handed back as they come."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

K = TypeVar("K")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Broke:
    """A call raised: a bug of ours, and no proof of anything (the caller records Unknown or NoAnswer).

    `where` names the kind of error and its place, never its text, which may hold what no log may show (B61).
    """

    where: str


class Window(Generic[K, R]):
    """Up to `size` calls at once on threads of its own; safe to be used from many.

    On leaving it every call that was submitted has ended, and what was not collected still can be.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="gateway-call")
        self._done: queue.SimpleQueue[tuple[K, Future[R]]] = queue.SimpleQueue()
        self._count = threading.Lock()
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Calls that were submitted and whose results were not collected yet."""
        return self._in_flight

    def submit(self, key: K, call: Callable[[], R]) -> None:
        """Run `call` as soon as fewer than `size` run; its result is collected under `key`."""
        with self._count:
            future = self._threads.submit(call)
            self._in_flight += 1
        future.add_done_callback(lambda done: self._done.put((key, done)))

    def collect(self, at_least: int, wait_seconds: float) -> list[tuple[K, R | Broke]]:
        """All results that are there; waits until there are `at_least`, or none are in flight, or the time is over."""
        results: list[tuple[K, R | Broke]] = []
        give_up = time.monotonic() + wait_seconds
        while self.in_flight:
            patience = give_up - time.monotonic() if len(results) < at_least else 0.0
            try:
                key, future = self._done.get(timeout=patience) if patience > 0 else self._done.get_nowait()
            except queue.Empty:
                break
            with self._count:
                self._in_flight -= 1
            error = future.exception()
            results.append((key, future.result() if error is None else Broke(_place(error))))
        return results

    def __enter__(self) -> Window[K, R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True)


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}, line {last.lineno} of {last.filename.rpartition('/')[2]}"
