"""How a process reaches the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from rules.errors import DefrayError, Unreachable

SKEW_MAX: Final = timedelta(seconds=2)
"""How far this machine's clock and the database's may differ (D2)."""

_SERVER_SETTINGS: Final = {
    "timezone": "UTC",
    # What stopped in the middle of a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "60s",
}


def engine_for(url: str, application_name: str, connections: int = 4) -> Engine:
    """An engine with a small pool; `application_name` is what pg_stat_activity shows. Connects at first use."""
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # values never reach an error's text (C3)
        connect_args={
            "application_name": application_name,
            "connect_timeout": 10,
            "options": " ".join(f"-c {name}={value}" for name, value in _SERVER_SETTINGS.items()),
        },
    )


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
