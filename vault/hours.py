"""Keys of the hour: what security codes are sealed with, gone within a day (C2).

They live in Redis or Valkey under a time to live and never enter the database, whose backups keep what was deleted.
Where the server is away or a key is gone, a charge goes without the code; that is never an error. The server must keep
nothing on disk (`save ""`, `appendonly no`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import redis

from vault.sealing import KEY_BYTES

LIFE: Final = timedelta(hours=23)
"""Of a key, from its first use: the last code sealed with it is out of reach within 24 hours."""


class HourKeys:
    """The keys of the last hours; the client should have a short socket time-out."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def current(self, now: datetime) -> tuple[str, bytes] | None:
        """The hour and its key, made on first use; None where Redis is away."""
        hour = hour_of(now)
        fresh = secrets.token_hex(KEY_BYTES)
        try:
            self._client.set(_name(hour), fresh, nx=True, ex=LIFE)
            key = _key(self._client.get(_name(hour)))
        except redis.RedisError:
            return None
        return (hour, key) if key else None

    def of(self, hours: Iterable[str], now: datetime) -> dict[str, bytes]:
        """The keys of those hours that are still there; of none where Redis is away."""
        oldest = hour_of(now - timedelta(hours=24))
        wanted = sorted({hour for hour in hours if hour > oldest})
        if not wanted:
            return {}
        try:
            values = self._client.mget([_name(hour) for hour in wanted])
        except redis.RedisError:
            return {}
        return {hour: key for hour, value in zip(wanted, values, strict=True) if (key := _key(value))}


def hour_of(moment: datetime) -> str:
    """YYYYMMDDHH in UTC."""
    return moment.astimezone(UTC).strftime("%Y%m%d%H")


def _name(hour: str) -> str:
    return f"defray:hour:{hour}"


def _key(value: bytes | str | None) -> bytes | None:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value or ""
    return bytes.fromhex(text) if re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", text) else None
