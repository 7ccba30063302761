"""Migrations are taken while workers run: none rewrites or searches a table that grows, or blocks everybody."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Final

import pytest
from alembic import op
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, text

from models import migrate
from rules.errors import DefrayError
from tests import servers
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
    (rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)(?:IF NOT EXISTS )?\w+ ON {_TABLE}", "blocks writers while it builds"),
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


def statements(revision: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What a step executes, statement by statement, bodies of functions left out, on one line each."""
    [step] = [step for step in STEPS if step.revision == revision]
    executed: list[str] = []
    monkeypatch.setattr(op, "execute", lambda said, *_, **__: executed.append(str(said)))
    module = importlib.import_module(f"models.migrations.versions.{step.path.rpartition('/')[2].removesuffix('.py')}")
    module.upgrade()
    for whole in executed:
        plain = re.sub(r"\$\$.*?\$\$", "$$", re.sub(r"--[^\n]*", "", whole), flags=re.S)
        yield from (" ".join(one.split()) for one in plain.split(";") if one.strip())


def slow(said: list[str]) -> list[str]:
    """What is wrong with a step's statements; tables that it makes itself are empty, and may be treated as it likes."""
    own = {found[1] for one in said if (found := re.match(r"CREATE TABLE (\w+)", one))}
    return [
        f"{one[:80]}: {why}"
        for one in said
        for pattern, why in _SLOW
        if (found := re.match(pattern, one, re.I)) and found["table"] not in own
    ]


@pytest.mark.parametrize("revision", [str(step.revision) for step in STEPS])
def test_no_step_holds_a_large_table_for_long(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old and new workers run side by side: a step takes its locks for a moment only."""
    found = slow(list(statements(revision, monkeypatch)))
    if revision in BEFORE_THE_RULE:
        assert found != [], "take it off the list of exceptions"
    else:
        assert found == []


@pytest.mark.parametrize(
    "said",
    [
        "CREATE INDEX ix_a ON payments (state)",
        "CREATE UNIQUE INDEX ix_a ON payments (state)",
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
        "CREATE INDEX CONCURRENTLY ix_a ON payments (state)",
        "ALTER TABLE payments ADD CONSTRAINT ck_a CHECK (total_minor > 1) NOT VALID",
        "ALTER TABLE payments ADD COLUMN a integer NOT NULL DEFAULT 0",
        "ALTER TABLE payments ADD COLUMN a integer",
    ],
)
def test_the_check_lets_pass_what_is_quick(said: str) -> None:
    """What takes a lock for a moment only is fine."""
    assert slow([said]) == []


def test_a_lock_that_somebody_holds_fails_a_step_quickly(
    shared_servers: servers.Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that cannot have a table's lock in time changes nothing, and goes through once the lock is free."""
    monkeypatch.setattr(migrate, "_WAIT_FOR_A_TABLE", "50ms")
    [before] = [str(step.down_revision) for step in STEPS if step.revision == "0011"]
    with empty_database(shared_servers, "defray_locked") as url:
        migrate.upgrade(url)
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as conn:
            conn.execute(text("DROP TRIGGER nothing_is_sent_while_quarantined ON gateway_transactions"))
            conn.execute(text("DROP FUNCTION refuse_while_quarantined"))
            conn.execute(text("DROP TABLE epoch"))
            conn.execute(text("UPDATE alembic_version SET version_num = :before"), {"before": before})
        with engine.connect() as conn:
            missing = migrate.pending(conn)
        with engine.begin() as writer:
            writer.execute(text("LOCK TABLE gateway_transactions IN ROW EXCLUSIVE MODE"))
            with pytest.raises(DefrayError, match="holds a lock that it needs"):
                migrate.upgrade(url)
            with engine.connect() as conn:
                assert migrate.pending(conn) == missing
                assert conn.execute(text("SELECT to_regclass('epoch')")).scalar_one() is None
        migrate.upgrade(url)
        with engine.connect() as conn:
            assert migrate.pending(conn) == []
