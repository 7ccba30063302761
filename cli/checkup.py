"""What `defray doctor` looks at, one check after another; a check that cannot be made is one that failed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import redis
from sqlalchemy import Engine

from books import archive, clock, epoch
from cli import reach
from cli.server_checks import Check, of_broker, of_database, of_disk, of_workers
from models import server
from models.engine import SKEW_MAX, check_clock, check_reachable, engine_for
from models.migrate import pending
from rules.errors import DefrayError, Unreachable
from settings import Settings
from vault import key_file
from worker import pulse
from worker.breakers import Breakers


def all_of_it(with_processes: bool = True) -> list[Check]:
    """Every check, in an order in which one wrong thing is found before what follows from it.

    Without Defray's own processes (workers, beat): what they will stand on, before they are started.
    """
    try:
        settings = reach.settings()
        database_url, redis_url = settings.servers()
    except DefrayError as error:
        return [_wrong("settings", error)]
    checks = [Check("settings", True, "read and understood"), _zone(settings), *_gateways(settings)]
    engine = engine_for(database_url, "defray doctor")
    try:
        reached = _try("database", lambda: _reached(engine))
        checks.append(reached)
        if reached.well:
            with engine.connect() as conn:
                checks += of_database(server.facts(conn))
            checks += [_try(what, partial(look, engine)) for what, look in _OF_DATABASE.items()]
            checks.append(_try("key file", partial(_key_file, settings, engine)))
            checks += _archives(engine)
    finally:
        engine.dispose()
    try:
        checks += _of_broker(settings, redis_url, with_processes)
    except DefrayError as error:
        checks.append(_wrong("broker", error))
    if _is_here(database_url) and settings.home.exists():
        space = shutil.disk_usage(settings.home)
        checks.append(of_disk(str(settings.home), space.free, space.total))
    return checks


def _try(what: str, look: Callable[[], str]) -> Check:
    try:
        return Check(what, True, look())
    except DefrayError as error:
        return _wrong(what, error)


def _wrong(what: str, error: DefrayError) -> Check:
    return Check(what, False, error.message, error.hint, isinstance(error, Unreachable))


def _reached(engine: Engine) -> str:
    check_reachable(engine)
    return "answers"


def _skew(engine: Engine) -> str:
    check_clock(engine)
    return f"this machine's and the database's agree within {SKEW_MAX.total_seconds():.0f} s"


def _offset(engine: Engine) -> str:
    with engine.connect() as conn:
        ahead = clock.ahead(conn)
    if ahead:
        raise DefrayError(
            f"Defray's time is {ahead} ahead of the database's, which only tests may do.",
            "Set it back: UPDATE clock SET ahead = '0'.",
        )
    return "not shifted: Defray's time is the database's"


def _tables(engine: Engine) -> str:
    with engine.connect() as conn:
        missing = pending(conn)
    if missing:
        raise DefrayError(f"These steps are missing: {', '.join(missing)}.", "Run `defray migrate`.")
    return "up to date"


def _quarantine(engine: Engine) -> str:
    with engine.connect() as conn:
        found = epoch.current(conn)
    if found is not None:
        raise DefrayError(f"since {found.since:%Y-%m-%d %H:%M} UTC: {found.why}.", "See `defray quarantine`.")
    return "none: cards are charged"


_OF_DATABASE = {"tables": _tables, "quarantine": _quarantine, "clock": _skew, "time": _offset}


def _of_broker(settings: Settings, redis_url: str, with_processes: bool) -> list[Check]:
    with redis.Redis.from_url(redis_url, socket_connect_timeout=5, socket_timeout=5) as client:
        try:
            checks = list(of_broker(client.info()))
            checks.append(_try("broker's clock", partial(broker_skew, client)))
            if with_processes:
                checks += of_workers(pulse.workers(client, redis_url), pulse.since_sweep(client))
            return [*checks, *_rests(settings, client)]
        except (redis.ConnectionError, redis.TimeoutError) as reason:
            raise Unreachable(f"The broker does not answer: {reason}", "Start it, or mend DEFRAY_REDIS_URL.") from None


def broker_skew(client: redis.Redis) -> str:
    """Its time-outs are spans and need no clock, but one that is wrong tells of a machine without NTP.

    Raises DefrayError.
    """
    before = datetime.now(UTC)
    seconds, microseconds = map(int, client.time())
    there = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
    skew = max(before - there, there - datetime.now(UTC), timedelta())
    if skew > SKEW_MAX:
        raise DefrayError(
            f"This machine's clock and the broker's differ by {skew.total_seconds():.1f} s, and 2 s are the most.",
            "Let both follow a time server (NTP).",
        )
    return f"agrees with this machine's within {SKEW_MAX.total_seconds():.0f} s"


def _zone(settings: Settings) -> Check:
    zone = settings.business_time_zone
    return Check("business days", True, f"those of {zone.key}, where it is {datetime.now(zone):%Y-%m-%d %H:%M} now")


def _is_here(database_url: str) -> bool:
    return urlsplit(database_url).hostname in ("127.0.0.1", "::1", "localhost")


def _key_file(settings: Settings, engine: Engine) -> str:
    with engine.connect() as conn:
        if not key_file.is_needed(conn) and not settings.key_file.exists():
            return f"{settings.key_file} is made when the first card comes"
        key_file.check(settings.key_file, conn)
    return f"{settings.key_file} is yours alone, and the one of this database"


def _archives(engine: Engine) -> Iterator[Check]:
    with engine.connect() as conn:
        cut_off = archive.unfinished(conn)
    for one in cut_off:
        found = f"{one.name} in {one.folder} is not finished ({one.state})"
        yield Check("archive", True, found, "Give the same `defray archive` again: it goes on.", advice=True)


def _gateways(settings: Settings) -> Iterator[Check]:
    if not settings.gateways:
        yield Check("gateways", True, "none: card payments are recorded like cash (R7)")
    for gateway in settings.gateways:
        routed = any(gateway in route.gateways for route in settings.card_routes)
        yield Check(f"gateway {gateway}", True, "configured" if routed else "configured, and no card goes there")


def _rests(settings: Settings, client: redis.Redis) -> Iterator[Check]:
    rests = Breakers(client, settings.gateways, settings.gateway_fail_max, settings.gateway_rest).rests()
    for gateway, rest in sorted(rests.items()):
        remedy = "Look at the gateway's own status page; it is tried again by itself. docs/routing.md tells more."
        yield Check(f"rest of {gateway}", False, f"{rest.words(gateway)}: {rest.until()}", remedy)
