"""Signs of life: when the sweeper last ran, and which workers answer; read by `defray doctor`, needed by nobody.

Beat alone starts the sweeper, every few seconds: its last run shows that beat ticks and a worker takes its calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import redis
from celery import Celery
from kombu.exceptions import OperationalError

_SWEPT: Final = "defray:swept"
_REMEMBERED: Final = timedelta(days=7)
_ANSWER_WITHIN: Final = 2.0


def swept(client: redis.Redis) -> None:
    """The sweeper ran. A broker that is away, or full, learns nothing of it."""
    with contextlib.suppress(redis.RedisError):
        client.set(_SWEPT, 1, ex=_REMEMBERED)


def since_sweep(client: redis.Redis) -> timedelta | None:
    """How long ago the sweeper ran, by the broker's clock alone; None: not within a week, or the broker was emptied."""
    left = int(str(client.pttl(_SWEPT)))
    return None if left < 0 else max(_REMEMBERED - timedelta(milliseconds=left), timedelta())


def workers(client: redis.Redis, redis_url: str) -> Mapping[str, frozenset[str]]:
    """The workers that answer now, and the queues that each takes calls from. Waits only where somebody listens."""
    listening = _listening(client)
    if listening == 0:
        return {}
    with Celery("doctor", broker=redis_url, set_as_current=False) as app:
        try:
            found: dict[str, list[dict[str, Any]]] | None = app.control.inspect(
                timeout=_ANSWER_WITHIN, limit=listening
            ).active_queues()
        except OperationalError:
            return {}
    return {name: frozenset(str(queue["name"]) for queue in queues) for name, queues in (found or {}).items()}


def _listening(client: redis.Redis) -> int | None:
    """How many connections wait for what is said to all workers; None: not to be known."""
    ours = str(client.connection_pool.connection_kwargs.get("db") or 0)
    try:
        connections: list[dict[str, str]] = client.client_list()
    except redis.ResponseError:  # some managed servers tell nobody of their connections
        return None
    return sum(one["db"] == ours and one["psub"] != "0" for one in connections)
