"""How fast something of many parts goes, from what was done of it at several moments."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Final

OF_LATE: Final = timedelta(seconds=15)
"""The speed is that of so long."""
_STALE: Final = 4 * OF_LATE
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = 60


class Speed:
    """What was done at the latest moments; what lies further back says nothing of now."""

    def __init__(self) -> None:
        self._seen: deque[tuple[datetime, int]] = deque()

    def words(self, now: datetime, done: int, of_all: int) -> str:
        """The rate and the time left in words; "" while it is not known, and when nothing is left."""
        self._seen.append((now, done))
        while now - self._seen[0][0] > (OF_LATE if len(self._seen) > 2 else _STALE):
            self._seen.popleft()
        since, before = self._seen[0]
        if done <= before or now <= since or done >= of_all:
            return ""
        span, parts = now - since, done - before
        tenths = 10 * parts * _SECOND // span
        left = -(-(of_all - done) * span // (parts * _SECOND))
        spelled = f"{left // _MINUTE:,} min {left % _MINUTE} s" if left >= _MINUTE else f"{left} s"
        return f"{tenths // 10:,}.{tenths % 10} payments a second, about {spelled} left."
