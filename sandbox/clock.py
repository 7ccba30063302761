"""The sandbox's own clock: real time plus a shift that a test may change."""

import time
from datetime import UTC, datetime, timedelta

DAY = 86_400


class Clock:
    """Seconds since the epoch (UTC), shifted by `shift` seconds."""

    __slots__ = ("shift",)

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def now(self) -> float:
        return time.time() + self.shift

    def advance(self, seconds: float) -> None:
        self.shift += seconds

    def set(self, moment: datetime) -> None:
        self.shift = moment.timestamp() - time.time()


def moment(seconds: float) -> datetime:
    """The aware UTC datetime of `seconds` since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def next_cutoff(after: float, hour: int, minute: int) -> float:
    """The first daily cut-off (UTC) strictly later than `after`."""
    start = moment(after)
    today = start.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (today if today > start else today + timedelta(days=1)).timestamp()
