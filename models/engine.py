"""How a process reaches the database."""

from __future__ import annotations

import select
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DisconnectionError, OperationalError

from models.arrays import write_at_once
from rules.errors import DefrayError, Unreachable

SKEW_MAX: Final = timedelta(seconds=2)
"""How far this machine's clock and the database's may differ (D2)."""

_SERVER_SETTINGS: Final = {
    "timezone": "UTC",
    # What stopped in the middle of a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "60s",
}

# A peer that vanished without a word is found out within a minute, and no router forgets a connection that rests.
_KEPT_ALIVE: Final = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


def engine_for(url: str, application_name: str, connections: int = 4) -> Engine:
    """An engine with a small pool; `application_name` is what pg_stat_activity shows. Connects at first use."""
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,  # values never reach an error's text (C3)
        connect_args={
            "application_name": application_name,
            "connect_timeout": 10,
            **_KEPT_ALIVE,
            "options": " ".join(f"-c {name}={value}" for name, value in _SERVER_SETTINGS.items()),
        },
    )
    event.listen(engine, "connect", _write_lists_at_once)
    event.listen(engine, "checkout", _refuse_ended)
    return engine


def _write_lists_at_once(connection: Any, _record: object) -> None:
    write_at_once(connection)


def _refuse_ended(connection: Any, _record: object, _checked_out: object) -> None:
    """Let the pool connect anew where a connection has ended: one that is well has nothing to say by itself.

    A look at the socket, where a question to the server would cost each transaction a round trip.
    """
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    if waiting.poll(0):
        raise DisconnectionError


def _let_it_write_lists_at_once(connection: Any, _record: object) -> None:
    write_at_once(connection)


def check_reachable(engine: Engine) -> None:
    """Raise Unreachable where the database does not answer, DefrayError where it has no tables of Defray's."""
    try:
        with engine.connect() as connection:
            tables = connection.execute(text("SELECT to_regclass('clock')")).scalar_one()
    except OperationalError as reason:
        why = str(reason.orig).strip().splitlines()[-1]
        raise Unreachable(f"The database does not answer: {why}", "Start it, or mend DEFRAY_DATABASE_URL.") from None
    if tables is None:
        raise DefrayError("The database has no tables of Defray's.", "Run `defray migrate`.")


def snapshot(engine: Engine) -> Engine:
    """The same pool for readers who ask several times and want all answers of one moment."""
    return engine.execution_options(isolation_level="REPEATABLE READ")


def check_clock(engine: Engine) -> None:
    """Raise DefrayError where this machine's clock is more than SKEW_MAX from the database's (D2)."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))  # whatever connecting takes is not counted
        before = datetime.now(UTC)
        there: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        after = datetime.now(UTC)
    skew = max(before - there, there - after, timedelta())
    if skew > SKEW_MAX:
        raise DefrayError(
            f"This machine's clock and the database's differ by {skew.total_seconds():.1f} s, and 2 s are the most.",
            "Let both follow a time server (NTP).",
        )
