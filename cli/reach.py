"""Reaching what is up: settings, database, broker, vault. Imported by verbs when they run, never by `--help`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from books.desk import Desk
from books.terms import Terms
from local.up import environment_of
from models.engine import check_reachable, engine_for
from producer import Producer
from rules import routes
from rules.breaking import Rest
from settings import Settings, load
from vault import HourKeys, KeyFile, Vault
from worker.wake import Wake
from worker.witness import Witness

CALLER = "cli"
"""Whose idempotency keys the command line's are (R15)."""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The variables given, and for what they leave out, those of the `defray up` that runs on this home."""
    set_here = {name: text for name, text in given.items() if text}
    running = environment_of(Path(set_here.get("DEFRAY_HOME", ".defray")))
    if "DEFRAY_DATABASE_URL" in running and "DEFRAY_DATABASE_URL" in set_here:
        return set_here  # another database than the one that is up here
    return {**running, **set_here}


def settings() -> Settings:
    """The settings of this command. Raises SettingsError."""
    return load(environment(os.environ))


@dataclass(frozen=True, slots=True)
class Office(Desk):
    """What a verb works with."""

    settings: Settings
    engine: Engine
    wake: Wake = field(repr=False)

    def terms(self) -> Terms:
        """What the books must know to record what a person says; nothing is sent by these terms."""
        return self.settings.terms()

    def rested(self) -> Mapping[str, Rest]:
        """The gateways that are rested now, since they keep failing; none where the broker is away."""
        import redis

        from worker.breakers import Breakers

        with redis.Redis.from_url(self.settings.servers()[1], socket_connect_timeout=1, socket_timeout=1) as broker:
            known = Breakers(broker, self.settings.gateways, self.settings.gateway_fail_max, self.settings.gateway_rest)
            return known.rests()

    def witness(self) -> Witness:
        """What is kept outside the database of how far it had come (E7)."""
        import redis

        broker = redis.Redis.from_url(self.settings.servers()[1], socket_connect_timeout=1, socket_timeout=1)
        return Witness(self.settings.witness_folder, broker)

    def vault(self) -> Vault:
        """The vault. Raises VaultClosed where its key file is not the database's."""
        import redis

        broker = redis.Redis.from_url(self.settings.servers()[1], socket_connect_timeout=1, socket_timeout=1)
        return Vault(self.key_file(), HourKeys(broker))

    def key_file(self) -> KeyFile:
        """The vault's key file, made where nothing was sealed yet. Raises VaultClosed."""
        key_file = KeyFile(self.settings.key_file, self.engine)
        key_file.keys()
        return key_file

    def producer(self) -> Producer:
        """The way in for requests. Raises VaultClosed as `vault` does."""
        return Producer(
            self.engine,
            self.vault(),
            self.wake,
            routes.chooser(self.settings.card_routes),
            self.settings.business_time_zone,
            self.settings.lanes,
        )


@contextmanager
def office(of: Settings | None = None) -> Iterator[Office]:
    """Reach the servers until the block ends. Raises SettingsError, Unreachable."""
    read = of or settings()
    database_url, redis_url = read.servers()
    engine = engine_for(database_url, "defray")
    try:
        check_reachable(engine)
        wake = Wake(redis_url)
        try:
            yield Office(read, engine, wake)
        finally:
            wake.close()
    finally:
        engine.dispose()
