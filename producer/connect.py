"""A producer that reaches the servers: what a program of one's own, or the command line, opens once and keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import redis

from models.engine import engine_for
from producer.payments import Producer
from rules.charging import WhenOwedLess
from rules.routes import Route, chooser
from vault import HourKeys, KeyFile, Vault
from worker.wake import Wake


@contextmanager
def connected(
    database_url: str,
    redis_url: str,
    key_file: Path,
    routes: Sequence[Route],
    zone: ZoneInfo,
    lanes: int,
    when_owed_less: WhenOwedLess,
    application_name: str = "defray producer",
) -> Iterator[Producer]:
    """A producer with connections of its own, which end with the block; may be used by several threads.

    Raises VaultClosed where the key file is not the one of the database, or cannot be made.
    """
    engine = engine_for(database_url, application_name)
    wake = Wake(redis_url)
    try:
        with redis.Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1) as hours:
            keys = KeyFile(key_file, engine)
            keys.keys()
            yield Producer(engine, Vault(keys, HourKeys(hours)), wake, chooser(routes), zone, lanes, when_owed_less)
    finally:
        wake.close()
        engine.dispose()
