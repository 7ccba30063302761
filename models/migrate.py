"""Bringing a database to the tables of `models`, by the steps in `migrations/`, while Defray goes on working."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import tenacity
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from rules.errors import DefrayError, Unreachable

_STEPS: Final = Path(__file__).with_name("migrations")
_ONE_AT_A_TIME: Final = int.from_bytes(b"defray")  # an advisory lock's number
_WAIT_FOR_OTHERS: Final = timedelta(seconds=60)
_LOOK_AGAIN: Final = timedelta(milliseconds=200)
_WAIT_FOR_A_TABLE: Final = "2s"  # what waits for a table's lock makes everybody behind it wait, too
_TRIES_MAX: Final = 12
_PAUSE_MAX: Final = timedelta(seconds=15)
_LOCK_NOT_AVAILABLE: Final = "55P03"
_REMEDY: Final = "Steps that were taken stay taken; try again when that has ended (pg_stat_activity shows it)."

Say = Callable[[str], object]
"""Who hears how it goes, a sentence at a time."""


def upgrade(url: str, say: Say = lambda _sentence: None) -> None:
    """Take every step that is missing, each in a transaction of its own: one that fails leaves what it found.

    A step whose module says `outside_a_transaction = True` is safe to repeat (see `migrations/online.py`), and is
    repeated where it was cut off. A table's lock is asked for in short tries with pauses, so that traffic goes on. Of
    two upgrades at once the second waits for the first and finds nothing to do. A database that a newer release has
    brought further is left alone. Raises DefrayError where a lock is not to be had in time, Unreachable where the
    database does not answer.
    """
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            _take_turns(connection, say)
            while step := _first_missing(connection):
                began = time.monotonic()
                if _is_outside(step):
                    say(f"{_named(step)}: runs beside the traffic, until the transactions of now have ended")
                _patiently(connection, step, say)
                say(f"{_named(step)}: taken in {time.monotonic() - began:.1f} s")
    except OperationalError as reason:
        if getattr(reason.orig, "sqlstate", None) is not None:
            raise
        why = str(reason.orig).strip().splitlines()[-1]
        raise Unreachable(f"The database does not answer: {why}", "Start it, or mend DEFRAY_DATABASE_URL.") from None


def pending(connection: Connection) -> list[str]:
    """The steps that this database has not seen, first to last, as "0001 First tables"."""
    return [_named(step) for step in _missing(connection)]


def _missing(connection: Connection) -> list[Script]:
    steps = list(reversed(list(ScriptDirectory.from_config(_config()).walk_revisions())))
    known = {step.revision for step in steps}
    heads = set(MigrationContext.configure(connection).get_current_heads())
    if not heads <= known:
        return []  # a newer release was here; its steps only add, so this one still works
    seen: set[str] = set()
    for step in reversed(steps):
        if step.revision in heads | seen:
            seen |= {step.revision, *step._all_down_revisions}
    return [step for step in steps if step.revision not in seen]


def _first_missing(connection: Connection) -> Script | None:
    return next(iter(_missing(connection)), None)


def _named(step: Script) -> str:
    return f"{step.revision} {step.doc.rstrip('.')}"


def _take_turns(connection: Connection, say: Say) -> None:
    """Wait until no other upgrade is under way.

    By looking again and again: who waits inside a statement holds a snapshot, for whose end an index that the other one
    builds concurrently would wait, and both for ever.
    """
    deadline = time.monotonic() + _WAIT_FOR_OTHERS.total_seconds()
    told = False
    while not connection.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": _ONE_AT_A_TIME}).scalar_one():
        if time.monotonic() >= deadline:
            raise DefrayError("The database was not upgraded: another upgrade holds a lock that it needs.", _REMEDY)
        if not told:
            say("another upgrade is under way: waiting for it")
            told = True
        time.sleep(_LOOK_AGAIN.total_seconds())


def _patiently(connection: Connection, step: Script, say: Say) -> None:
    """Take a step; where somebody holds a table, let everybody pass and try again."""

    def waits(state: tenacity.RetryCallState) -> None:
        pause = state.upcoming_sleep
        say(f"{_named(step)}: a lock is held by {_holders(connection)}; once more in {pause:.0f} s")

    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_held),
        wait=tenacity.wait_random_exponential(multiplier=1, max=_PAUSE_MAX.total_seconds()),
        stop=tenacity.stop_after_attempt(_TRIES_MAX),
        before_sleep=waits,
        reraise=True,
    )
    try:
        tries(_take, connection, step)
    except OperationalError as reason:
        if not _is_held(reason):
            raise
        raise DefrayError(
            f"The database was not upgraded: step {_named(step)} changed nothing, for a long transaction holds a lock"
            f" that it needs: {_holders(connection)}.",
            _REMEDY,
        ) from reason


def _take(connection: Connection, step: Script) -> None:
    config = _config()
    config.attributes["connection"] = connection
    if _is_outside(step):
        command.upgrade(config, step.revision)
        return
    with _in_a_transaction(connection):
        connection.execute(text(f"SET LOCAL lock_timeout = '{_WAIT_FOR_A_TABLE}'"))
        command.upgrade(config, step.revision)


def _is_outside(step: Script) -> bool:
    return bool(getattr(step.module, "outside_a_transaction", False))


@contextmanager
def _in_a_transaction(connection: Connection) -> Iterator[None]:
    """A real transaction on the connection that otherwise commits each statement."""
    connection.commit()
    connection.execution_options(isolation_level="READ COMMITTED")
    try:
        with connection.begin():
            yield
    finally:
        connection.execution_options(isolation_level="AUTOCOMMIT")


_HOLDERS = text("""
    SELECT string_agg(format('%s of %s for %s s', pid, coalesce(nullif(application_name, ''), 'somebody'),
                             round(extract(epoch FROM now() - xact_start))), ', ' ORDER BY xact_start)
    FROM (SELECT * FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
          ORDER BY xact_start LIMIT 3) AS oldest""")


def _holders(connection: Connection) -> str:
    """The oldest transactions: one of them it is."""
    return str(connection.execute(_HOLDERS).scalar_one() or "a transaction that has ended meanwhile")


def _is_held(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    return config
