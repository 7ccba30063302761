"""Migrations are taken while workers run: none rewrites or searches a table that grows, or blocks everybody."""

from __future__ import annotations

import importlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from alembic import op
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Engine, NullPool, Transaction, create_engine, text
from sqlalchemy.exc import OperationalError

from models import migrate
from models.migrations import online
from rules.errors import DefrayError, Unreachable
from tests import released, servers
from tests.models.test_migrations import empty_database

STEPS: Final = sorted(
    ScriptDirectory.from_config(migrate._config()).walk_revisions(), key=lambda step: str(step.revision)
)

BEFORE_THE_RULE: Final = {
    "0003": "released: its indexes are built in the transaction",
    "0004": "is taken together with the first release that has workers to keep running",
    "0005": "the same",
    "0007": "the same",
    "0009": "the same",
}
"""Steps that hold a table longer than the rule allows, each with the reason; no newer one may be added."""

_TABLE: Final = r"(?:ONLY )?(?P<table>\w+)"
_SLOW: Final = (
    (
        rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)(?:IF NOT EXISTS )?\w+ ON {_TABLE}",
        "blocks writers while it builds: online.create_index in a step of its own",
    ),
    (
        rf"ALTER TABLE {_TABLE} (?:.*,\s*)?ADD CONSTRAINT \w+ (?!.*\b(?:NOT VALID|USING INDEX)\b)",
        "searches the table: NOT VALID, and VALIDATE in a step of its own",
    ),
    (rf"ALTER TABLE {_TABLE} .*\bALTER (?:COLUMN )?\w+ (?:SET DATA )?TYPE\b", "rewrites the table"),
    (rf"ALTER TABLE {_TABLE} .*\bSET NOT NULL\b", "searches the table"),
    (
        rf"ALTER TABLE {_TABLE} .*\bADD (?:COLUMN )?\w+ .*\b(?:GENERATED|random|clock_timestamp|gen_random_uuid)\b",
        "rewrites",
    ),
    (rf"ALTER TABLE {_TABLE} .*\bADD (?:COLUMN )?(?!CONSTRAINT)\w+ (?!.*DEFAULT).*\bNOT NULL\b", "fails on any row"),
    (rf"(?:CLUSTER|VACUUM FULL) {_TABLE}", "rewrites the table"),
    (rf"UPDATE {_TABLE} SET (?!.*\bWHERE\b)", "writes every row"),
)
_CONCURRENT: Final = r"(?:CREATE (?:UNIQUE )?|DROP )INDEX CONCURRENTLY "

# What the release before this one may still say or need, and would be refused.
_TAKES_AWAY: Final = (
    (rf"DROP (?:TABLE|VIEW) (?:IF EXISTS )?{_TABLE}", "is still read"),
    (r"DROP (?:FUNCTION|TYPE|SEQUENCE|INDEX)\b(?P<table>.*)", "may still be named, an index by ON CONFLICT"),
    (rf"ALTER (?:TABLE|VIEW) {_TABLE} .*\bRENAME\b", "is still called by its old name"),
    (rf"ALTER TABLE {_TABLE} .*\bDROP (?!CONSTRAINT|NOT NULL)(?:COLUMN )?", "is still read, or left to its default"),
    (rf"ALTER TABLE {_TABLE} .*\b(?:TYPE|SET NOT NULL)\b", "is still written as before"),
    (rf"ALTER TABLE {_TABLE} .*\bADD CONSTRAINT\b", "may refuse what is still written"),
    (rf"CREATE UNIQUE INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?\w+ ON {_TABLE}", "may refuse what is still written"),
    (rf"CREATE (?:CONSTRAINT )?TRIGGER \w+ .*?\bON {_TABLE}", "may refuse what is still written"),
    (rf"REVOKE .* ON {_TABLE}", "is still done"),
)


def statements(step: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What a step executes, statement by statement, bodies of functions left out, on one line each."""
    executed: list[str] = []
    monkeypatch.setattr(op, "execute", lambda said, *_, **__: executed.append(str(said)))
    monkeypatch.setattr(online, "is_valid", lambda _name: None)
    module = importlib.import_module(f"models.migrations.versions.{Path(step.path).stem}")
    module.upgrade()
    for whole in executed:
        plain = re.sub(r"\$\$.*?\$\$", "$$", re.sub(r"--[^\n]*", "", whole), flags=re.S)
        yield from (" ".join(one.split()) for one in plain.split(";") if one.strip())


def wrong(said: list[str], patterns: tuple[tuple[str, str], ...]) -> list[str]:
    """What is wrong with a step's statements; tables that it makes itself are empty, and may be treated as it likes."""
    own = {found[1] for one in said if (found := re.match(r"CREATE TABLE (\w+)", one))}
    return [
        f"{one[:80]}: {why}"
        for one in said
        for pattern, why in patterns
        if (found := re.match(pattern, one, re.I)) and found["table"] not in own
    ]


def slow(said: list[str], outside: bool = False) -> list[str]:
    """What holds a table for long, or stands on the wrong side of a transaction."""
    misplaced = [
        f"{one[:80]}: {'is not safe to repeat' if outside else 'needs outside_a_transaction = True'}"
        for one in said
        if bool(re.match(_CONCURRENT, one, re.I)) is not outside
    ]
    return wrong(said, _SLOW) + (misplaced if outside else [one for one in misplaced if "CONCURRENTLY" in one])


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.revision)
def test_no_step_holds_a_large_table_for_long(step: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old and new workers run side by side: a step takes its locks for a moment only."""
    found = slow(list(statements(step, monkeypatch)), migrate._is_outside(step))
    if step.revision in BEFORE_THE_RULE:
        assert found != [], "take it off the list of exceptions"
    else:
        assert found == []


def test_a_step_takes_nothing_away_that_the_last_release_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step only adds; or it says by `fits_since` from which release on nobody needs or does what it ends."""
    for step in STEPS:
        if step.revision > released.FIRST.head:
            taken = wrong(list(statements(step, monkeypatch)), _TAKES_AWAY)
            since = getattr(step.module, "fits_since", None)
            assert since in released.versions() if taken else since is None, f"{step}: {taken} (docs/upgrading.md)"


@pytest.mark.parametrize(
    "said",
    [
        "CREATE INDEX ix_a ON payments (state)",
        "CREATE UNIQUE INDEX ix_a ON payments (state)",
        "CREATE INDEX CONCURRENTLY ix_a ON payments (state)",
        "ALTER TABLE payments ADD CONSTRAINT ck_a CHECK (total_minor > 1)",
        "ALTER TABLE payments ALTER COLUMN notes TYPE varchar(9)",
        "ALTER TABLE payments ALTER notes SET NOT NULL",
        "ALTER TABLE payments ADD COLUMN a uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE payments ADD COLUMN a integer NOT NULL",
        "UPDATE payments SET notes = ''",
    ],
)
def test_the_check_finds_what_it_looks_for(said: str) -> None:
    """Each kind of slow statement is seen."""
    assert len(slow([said])) == 1


@pytest.mark.parametrize(
    "said",
    [
        "ALTER TABLE payments ADD CONSTRAINT ck_a CHECK (total_minor > 1) NOT VALID",
        "ALTER TABLE payments ADD COLUMN a integer NOT NULL DEFAULT 0",
        "ALTER TABLE payments ADD COLUMN a integer",
    ],
)
def test_the_check_lets_pass_what_is_quick(said: str) -> None:
    """What takes a lock for a moment only is fine."""
    assert slow([said]) == []


def test_outside_a_transaction_all_can_be_repeated() -> None:
    """A step that may be cut off in its middle does nothing but what can be done again."""
    assert slow(["CREATE INDEX CONCURRENTLY ix_a ON payments (state)"], outside=True) == []
    assert len(slow(["ALTER TABLE payments ADD COLUMN a integer"], outside=True)) == 1


@pytest.mark.parametrize(
    "said",
    [
        "DROP TABLE payments",
        "DROP INDEX CONCURRENTLY ix_a",
        "ALTER TABLE payments RENAME COLUMN notes TO remarks",
        "ALTER TABLE payments DROP COLUMN notes",
        "ALTER TABLE payments ALTER notes DROP DEFAULT",
        "ALTER TABLE payments ALTER notes TYPE varchar(9)",
        "ALTER TABLE payments ADD CONSTRAINT ck_a CHECK (total_minor > 1) NOT VALID",
        "CREATE UNIQUE INDEX CONCURRENTLY ix_a ON payments (number)",
        "CREATE TRIGGER a BEFORE INSERT ON payments FOR EACH STATEMENT EXECUTE FUNCTION f()",
        "REVOKE UPDATE ON payments FROM CURRENT_USER",
    ],
)
def test_the_check_sees_what_is_taken_away(said: str) -> None:
    """Each kind of statement that an older program may run into is seen."""
    assert len(wrong([said], _TAKES_AWAY)) == 1


@pytest.mark.parametrize(
    "said",
    [
        "ALTER TABLE payments ADD COLUMN a integer NOT NULL DEFAULT 0",
        "ALTER TABLE payments DROP CONSTRAINT ck_a",
        "ALTER TABLE payments ALTER notes DROP NOT NULL",
        "CREATE INDEX CONCURRENTLY ix_a ON payments (state)",
        "CREATE TABLE a (b integer)",
    ],
)
def test_the_check_lets_pass_what_only_adds_or_loosens(said: str) -> None:
    """What an older program does not notice is fine."""
    assert wrong([said], _TAKES_AWAY) == []


# ---- taken on a database that is at work ----------------------------------------------------------------------------


ADDS_A_COLUMN: Final = """
def upgrade() -> None:
    op.execute("ALTER TABLE customers ADD COLUMN nickname TEXT")
"""
BUILDS_AN_INDEX: Final = """
from models.migrations import online

outside_a_transaction = True


def upgrade() -> None:
    online.create_index("ix_customers_after_the_release", "customers (created_at)")
"""
INDEX: Final = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_customers_after_the_release')"
BUILDING: Final = """
    SELECT pid FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase LIKE 'waiting for%'"""


@pytest.fixture
def at_work(shared_servers: servers.Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A database of this release with a customer; upgrades wait for milliseconds where they would for seconds."""
    monkeypatch.setattr(migrate, "_WAIT_FOR_A_TABLE", "20ms")
    monkeypatch.setattr(migrate, "_PAUSE_MAX", timedelta(milliseconds=20))
    with empty_database(shared_servers, "defray_at_work") as url:
        migrate.upgrade(url)
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as conn:
            conn.execute(text("INSERT INTO customers (number, name, created_at) VALUES ('C-1', 'Ann', now())"))
        yield engine


@pytest.fixture
def next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the next release have one step more."""

    def release(body: str) -> None:
        steps = tmp_path / "migrations"
        shutil.copytree(migrate._STEPS, steps, ignore=shutil.ignore_patterns("__pycache__"))
        head = f"from alembic import op\n\nrevision = '9999'\ndown_revision = '{STEPS[-1].revision}'\n"
        (steps / "versions" / "9999_next.py").write_text(f'"""The next release."""\n\n{head}{body}', encoding="utf-8")
        monkeypatch.setattr(migrate, "_STEPS", steps)

    return release


def url_of(engine: Engine) -> str:
    """The engine's address with its password."""
    return engine.url.render_as_string(hide_password=False)


@contextmanager
def open_transaction(engine: Engine) -> Iterator[Transaction]:
    """Somebody has written a row and not committed yet."""
    with engine.connect() as conn, conn.begin() as transaction:
        conn.execute(text("UPDATE customers SET name = 'Ann Example' WHERE number = 'C-1'"))
        yield transaction
        if transaction.is_active:
            transaction.rollback()


class Traffic:
    """Somebody who writes rows all the time, each in a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._grown = threading.Condition()
        self._stop = threading.Event()
        self.rows = 0

    def run(self) -> None:
        """Write until it is stopped."""
        with self._engine.connect() as conn:
            while not self._stop.is_set():
                with conn.begin():
                    conn.execute(
                        text("INSERT INTO customers (number, name, created_at) VALUES (:number, 'Bob', now())"),
                        {"number": f"T-{self.rows}"},
                    )
                with self._grown:
                    self.rows += 1
                    self._grown.notify_all()

    def goes_on(self) -> None:
        """Wait until another row was written and committed."""
        with self._grown:
            seen = self.rows
            assert self._grown.wait_for(lambda: self.rows > seen + 1, 30)

    def stop(self) -> None:
        """Write no more."""
        self._stop.set()


@contextmanager
def traffic_on(engine: Engine) -> Iterator[Traffic]:
    """Traffic until the block ends; its errors are raised then."""
    traffic = Traffic(engine)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(traffic.run)
        try:
            yield traffic
        finally:
            traffic.stop()
        running.result(30)


def until_it_builds(engine: Engine) -> int:
    """Wait until an index is being built and waits for others; the process id of its backend."""
    with engine.connect() as conn:
        watch = conn.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(3_000):
            if pid := watch.execute(text(BUILDING)).scalar_one_or_none():
                return int(pid)
            watch.execute(text("SELECT pg_sleep(0.01)"))
    raise AssertionError("no index is being built")


def index_is_valid(engine: Engine) -> bool | None:
    """Whether the next release's index can be used; None where there is none."""
    with engine.connect() as conn:
        found: bool | None = conn.execute(text(INDEX)).scalar_one_or_none()
        return found


def test_a_step_lets_the_traffic_pass_while_somebody_holds_the_table(
    at_work: Engine, next_step: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a long transaction holds the table, the step tries and steps aside; rows are written all along."""
    next_step(ADDS_A_COLUMN)
    monkeypatch.setattr(migrate, "_TRIES_MAX", 10_000)
    heard: list[str] = []
    tried_twice = threading.Event()

    def hear(sentence: str) -> None:
        heard.append(sentence)
        if sum("once more" in one for one in heard) >= 2:
            tried_twice.set()

    with traffic_on(at_work) as traffic, ThreadPoolExecutor(1) as threads, open_transaction(at_work) as long:
        upgrading = threads.submit(migrate.upgrade, url_of(at_work), hear)
        assert tried_twice.wait(30)
        traffic.goes_on()
        assert not upgrading.done()
        long.rollback()
        upgrading.result(30)
        traffic.goes_on()
    assert "9999 The next release: a lock is held by" in heard[0]
    assert "9999 The next release: taken in" in heard[-1]


def test_a_step_gives_up_and_nothing_is_changed(at_work: Engine, next_step: Callable[[str], None]) -> None:
    """Where a transaction never ends, the step says who it is and leaves all as it was; later it goes through."""
    next_step(ADDS_A_COLUMN)
    with (
        open_transaction(at_work),
        pytest.raises(DefrayError, match=r"step 9999 The next release changed nothing.* of somebody for "),
    ):
        migrate.upgrade(url_of(at_work))
    with at_work.connect() as conn:
        assert migrate.pending(conn) == ["9999 The next release"]
    migrate.upgrade(url_of(at_work))
    with at_work.connect() as conn:
        assert migrate.pending(conn) == []
        assert conn.execute(text("SELECT nickname FROM customers")).all() == [(None,)]


def test_an_index_is_built_beside_the_traffic(at_work: Engine, next_step: Callable[[str], None]) -> None:
    """An index waits for the transactions that are open, and nobody waits for it; a second upgrade is no ring."""
    next_step(BUILDS_AN_INDEX)
    second_waits = threading.Event()
    with traffic_on(at_work) as traffic, ThreadPoolExecutor(2) as threads, open_transaction(at_work) as long:
        upgrading = threads.submit(migrate.upgrade, url_of(at_work))
        until_it_builds(at_work)
        another = threads.submit(migrate.upgrade, url_of(at_work), lambda _sentence: second_waits.set())
        assert second_waits.wait(30)
        traffic.goes_on()
        assert not upgrading.done()
        long.rollback()
        upgrading.result(30)
        another.result(30)
    assert index_is_valid(at_work)


def test_what_a_crash_left_of_an_index_is_built_anew(at_work: Engine, next_step: Callable[[str], None]) -> None:
    """An upgrade that is killed while it builds an index leaves an invalid one; the next drops and builds it."""
    next_step(BUILDS_AN_INDEX)
    with ThreadPoolExecutor(1) as threads, open_transaction(at_work) as long:
        upgrading = threads.submit(migrate.upgrade, url_of(at_work))
        killed = until_it_builds(at_work)
        with at_work.connect() as conn:
            conn.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": killed})
        with pytest.raises((Unreachable, OperationalError)):
            upgrading.result(30)
        long.rollback()
    assert index_is_valid(at_work) is False
    with at_work.connect() as conn:
        assert migrate.pending(conn) == ["9999 The next release"]
    migrate.upgrade(url_of(at_work))
    assert index_is_valid(at_work) is True


def test_a_step_that_was_done_but_not_noted_is_done_again(at_work: Engine, next_step: Callable[[str], None]) -> None:
    """Cut off between the index and the note that it is there, the step finds its work done."""
    next_step(BUILDS_AN_INDEX)
    migrate.upgrade(url_of(at_work))
    with at_work.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = :before"), {"before": STEPS[-1].revision})
    migrate.upgrade(url_of(at_work))
    assert index_is_valid(at_work) is True
