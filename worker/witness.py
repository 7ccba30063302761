"""What was seen of a database, kept outside it (E7): in a file of this machine, and in Redis for all machines.

Each alone is a proof; together they know what the furthest knows. A lost one is made anew from the other.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path
from typing import Final

import redis

from rules.epoch import Mark
from rules.errors import Unreachable

_AWAY_SECONDS: Final = 15.0
"""How long a Redis that did not answer is not asked again: charging must not wait for it."""

_log = logging.getLogger(__name__)


class Witness:
    """A file a database in `folder`, and a sorted set a database in Redis, whose scores only rise."""

    def __init__(self, folder: Path, client: redis.Redis) -> None:
        self._folder = folder
        self._client = client
        self._away_until = 0.0
        self._complained = False

    def seen(self, life: str) -> Mark | None:
        """How far this life had come, None where neither knows it. Raises Unreachable where only Redis could know."""
        in_file = self._in_file(life)
        try:
            in_redis = self._in_redis(life, asked=in_file is None)
        except redis.RedisError as reason:
            self._away(reason)
            if in_file is None:
                raise Unreachable(
                    "The broker does not answer, and it alone can tell how far this database had come.",
                    "Start it, or mend DEFRAY_REDIS_URL.",
                ) from None
            return in_file
        known = [mark for mark in (in_file, in_redis) if mark is not None]
        return known[0].or_later(known[-1]) if known else None

    def keep(self, life: str, mark: Mark) -> None:
        """Remember that this life came so far, in both places as far as they can be reached; never goes back."""
        self._write(life, mark)
        if time.monotonic() >= self._away_until:
            try:
                self._client.zadd(_key(life), {"sent": mark.sent, "events": mark.events}, gt=True)
            except redis.RedisError as reason:
                self._away(reason)

    def _in_redis(self, life: str, asked: bool) -> Mark | None:
        if not asked and time.monotonic() < self._away_until:
            return None
        sent, events = self._client.zmscore(_key(life), ["sent", "events"])
        return None if sent is None or events is None else Mark(int(sent), int(events))

    def _in_file(self, life: str) -> Mark | None:
        try:
            sent, events = (self._folder / life).read_text("ascii").split()
            return Mark(int(sent), int(events))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as reason:
            self._complain(reason)
            return None

    def _write(self, life: str, mark: Mark) -> None:
        """Under a lock, since all processes of this machine write the same file; fixed width, so never half of one."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / life, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                before = os.pread(descriptor, 64, 0).split()
                known = Mark(*map(int, before)) if len(before) == 2 else Mark(0, 0)
                os.pwrite(descriptor, b"%020d %020d\n" % _pair(mark.or_later(known)), 0)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as reason:
            self._complain(reason)

    def _away(self, reason: redis.RedisError) -> None:
        self._away_until = time.monotonic() + _AWAY_SECONDS
        _log.warning("Redis does not keep how far the database has come: %s", reason)

    def _complain(self, reason: OSError | ValueError) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("No file in %s keeps how far the database has come: %s", self._folder, reason)


def _pair(mark: Mark) -> tuple[int, int]:
    return mark.sent, mark.events


def _key(life: str) -> str:
    return f"defray:witness:{life}"
