"""Ctrl-C once asks for an orderly end, twice hurries it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """What the person at the keyboard asked for."""

    def __init__(self) -> None:
        self._count = 0
        self._ending = False

    def hurry(self) -> bool:
        """Say whether the end that has begun should not wait for what is under way."""
        return self._count > 1

    def begin_the_end(self) -> None:
        """From here on nothing is interrupted; a further Ctrl-C only hurries."""
        self._ending = True
        self._count = max(self._count, 1)

    def _received(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count == 1 and not self._ending:
            raise KeyboardInterrupt


@contextmanager
def watched_interrupts() -> Iterator[Interrupts]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into KeyboardInterrupt, and count those after it."""
    interrupts = Interrupts()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupts._received) for number in numbers]
    try:
        yield interrupts
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
