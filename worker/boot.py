"""What a worker process is built of, after the fork; and what is checked before there is one."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field

import redis
from sqlalchemy import Engine

from models.engine import check_clock, engine_for
from models.migrate import pending
from rules.errors import DefrayError
from settings import Settings
from worker.wake import Wake


@dataclass(frozen=True, slots=True)
class Process:
    """What every task of one process shares."""

    settings: Settings
    engine: Engine
    wake: Wake = field(repr=False)


_processes: list[Process] = []


def begin(settings: Settings) -> Process:
    """Build this process's parts: after the fork, since neither connections nor locks survive one."""
    database_url, redis_url = settings.servers()
    built = Process(settings, engine_for(database_url, "defray worker"), Wake(redis_url))
    _processes[:] = [built]
    gc.freeze()  # what was imported stays: looking through it again and again took a twentieth of a worker's time
    return built


def process() -> Process:
    """The parts of this process; raises LookupError where `begin` was not called."""
    if not _processes:
        raise LookupError("this is no worker process: worker.boot.begin was not called")
    return _processes[0]


def end() -> None:
    """Close what `begin` opened."""
    while _processes:
        ended = _processes.pop()
        ended.engine.dispose()
        ended.wake.close()


def check_servers(settings: Settings) -> None:
    """Raise DefrayError where the clock, the tables or the broker would not let work go well."""
    database_url, redis_url = settings.servers()
    engine = engine_for(database_url, "defray start")
    try:
        check_clock(engine)
        with engine.connect() as connection:
            missing = pending(connection)
    finally:
        engine.dispose()
    if missing:
        raise DefrayError(
            f"The database lacks these steps: {', '.join(missing)}.",
            "Run `defray migrate`.",
        )
    check_broker(redis_url)


def check_broker(redis_url: str) -> None:
    """Raise DefrayError where the broker may drop messages, or is away."""
    try:
        with redis.Redis.from_url(redis_url, socket_connect_timeout=5, socket_timeout=5) as client:
            # INFO and not CONFIG GET, which managed servers refuse.
            policy = client.info("memory")["maxmemory_policy"]
    except redis.ConnectionError as reason:
        raise DefrayError(f"The broker does not answer: {reason}.", "Start it, or mend DEFRAY_REDIS_URL.") from reason
    if policy != "noeviction":
        raise DefrayError(
            f"The broker's maxmemory-policy is {policy}: full, it would drop messages and the keys of security codes.",
            "Set it to noeviction.",
        )
