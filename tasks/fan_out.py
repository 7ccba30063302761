"""Several calls at once, all their answers together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from gateways.window import Broke, Window

K = TypeVar("K")
R = TypeVar("R")


def every(size: int, calls: Sequence[tuple[K, Callable[[], R]]]) -> list[tuple[K, R | Broke]]:
    """Make the calls, at most `size` at a time, and give each one's answer beside its key."""
    if not calls:
        return []
    window: Window[K, R] = Window(min(size, len(calls)))
    with window:
        for key, call in calls:
            window.submit(key, call)
    return window.collect(len(calls), 0)
