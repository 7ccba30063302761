"""What `defray doctor` looks at, one check after another; a check that cannot be made is one that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import redis
from sqlalchemy import Engine

from books import clock, epoch
from cli import reach
from models.engine import SKEW_MAX, check_clock, check_reachable, engine_for
from models.migrate import pending
from rules.errors import DefrayError, Unreachable
from settings import Settings
from vault import key_file
from worker.breakers import Breakers


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    well: bool
    found: str
    remedy: str = ""
    unreachable: bool = False


def all_of_it() -> list[Check]:
    """Every check, in an order in which one wrong thing is found before what follows from it."""
    try:
        settings = reach.settings()
        database_url, redis_url = settings.servers()
    except DefrayError as error:
        return [_wrong("settings", error)]
    checks = [Check("settings", True, "read and understood"), *_gateways(settings)]
    engine = engine_for(database_url, "defray doctor")
    try:
        reached = _try("database", lambda: _reached(engine))
        checks.append(reached)
        if reached.well:
            checks += [_try(what, partial(look, engine)) for what, look in _OF_DATABASE.items()]
            checks.append(_try("key file", partial(_key_file, settings, engine)))
    finally:
        engine.dispose()
    broker = _try("broker", lambda: _broker(redis_url))
    checks += [broker, *(_rests(settings, redis_url) if broker.well else ())]
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


def _broker(redis_url: str) -> str:
    try:
        with redis.Redis.from_url(redis_url, socket_connect_timeout=5, socket_timeout=5) as client:
            memory = client.info("memory")
    except (redis.ConnectionError, redis.TimeoutError) as reason:
        raise Unreachable(f"The broker does not answer: {reason}", "Start it, or mend DEFRAY_REDIS_URL.") from None
    policy = memory["maxmemory_policy"]
    if policy != "noeviction":
        raise DefrayError(
            f"The broker's maxmemory-policy is {policy}: full, it would drop messages and keys of security codes.",
            "Set it to noeviction.",
        )
    return "answers, and evicts nothing"


def _key_file(settings: Settings, engine: Engine) -> str:
    with engine.connect() as conn:
        if not key_file.is_needed(conn) and not settings.key_file.exists():
            return f"{settings.key_file} is made when the first card comes"
        key_file.check(settings.key_file, conn)
    return f"{settings.key_file} is yours alone, and the one of this database"


def _gateways(settings: Settings) -> Iterator[Check]:
    if not settings.gateways:
        yield Check("gateways", True, "none: card payments are recorded like cash (R7)")
    for gateway in settings.gateways:
        routed = any(gateway in route.gateways for route in settings.card_routes)
        yield Check(f"gateway {gateway}", True, "configured" if routed else "configured, and no card goes there")


def _rests(settings: Settings, redis_url: str) -> Iterator[Check]:
    with redis.Redis.from_url(redis_url, socket_connect_timeout=5, socket_timeout=5) as client:
        rests = Breakers(client, settings.gateways, settings.gateway_fail_max, settings.gateway_rest).rests()
    for gateway, rest in sorted(rests.items()):
        remedy = "Look at the gateway's own status page; it is tried again by itself. docs/routing.md tells more."
        yield Check(f"rest of {gateway}", False, f"{rest.words(gateway)}: {rest.until()}", remedy)
