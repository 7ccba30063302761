"""Bringing a database to the tables of `models`, by the steps in `migrations/`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from rules.errors import DefrayError, Unreachable

_STEPS: Final = Path(__file__).with_name("migrations")
_ONE_AT_A_TIME: Final = int.from_bytes(b"defray")  # an advisory lock's number
_WAIT_FOR_OTHERS: Final = "60s"
_WAIT_FOR_A_TABLE: Final = "5s"  # what waits for a table's lock makes everybody behind it wait, too
_LOCK_NOT_AVAILABLE: Final = "55P03"


def upgrade(url: str) -> None:
    """Take every step that is missing, all in one transaction: a step that fails leaves the database as it was.

    Of two upgrades at once the second waits for the first and finds nothing to do. A database that a newer
    release has brought further is left alone. Raises DefrayError where a lock is not to be had in time, Unreachable
    where the database does not answer.
    """
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{_WAIT_FOR_OTHERS}'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ONE_AT_A_TIME})
            connection.execute(text(f"SET LOCAL lock_timeout = '{_WAIT_FOR_A_TABLE}'"))
            if pending(connection):
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "heads")
    except OperationalError as reason:
        state = getattr(reason.orig, "sqlstate", None)
        if state is None:
            why = str(reason.orig).strip().splitlines()[-1]
            raise Unreachable(
                f"The database does not answer: {why}", "Start it, or mend DEFRAY_DATABASE_URL."
            ) from None
        if state != _LOCK_NOT_AVAILABLE:
            raise
        raise DefrayError(
            "The database was not upgraded: another upgrade or a long transaction holds a lock that it needs.",
            "Nothing was changed; try again when that has ended (pg_stat_activity shows it).",
        ) from reason


def pending(connection: Connection) -> list[str]:
    """The steps that this database has not seen, first to last, as "0001 First tables"."""
    steps = list(reversed(list(ScriptDirectory.from_config(_config()).walk_revisions())))
    known = {step.revision for step in steps}
    heads = set(MigrationContext.configure(connection).get_current_heads())
    if not heads <= known:
        return []  # a newer release was here; its steps only add, so this one still works
    seen: set[str] = set()
    for step in reversed(steps):
        if step.revision in heads | seen:
            seen |= {step.revision, *step._all_down_revisions}
    return [f"{step.revision} {step.doc.rstrip('.')}" for step in steps if step.revision not in seen]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    return config
