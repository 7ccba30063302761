"""A producer on real tables, with a real vault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

import pytest
import redis
from sqlalchemy import Engine, event

from producer import Producer
from tests.producer.office import Bell, Office, route
from vault import HourKeys, Keyring, Vault


@pytest.fixture
def office(engine: Engine, redis_url: str) -> Iterator[Office]:
    """A producer with real tables and a real vault."""
    bell = Bell(engine)
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        vault = Vault(Keyring.generate(), HourKeys(client))
        yield Office(engine, Producer(engine, vault, bell, route, ZoneInfo("America/New_York")), bell)


@pytest.fixture
def statements(engine: Engine) -> Iterator[Callable[[], int]]:
    """How many statements were sent so far."""
    sent = 0

    def note(*_: object) -> None:
        nonlocal sent
        sent += 1

    event.listen(engine, "before_cursor_execute", note)
    yield lambda: sent
    event.remove(engine, "before_cursor_execute", note)
