"""The steps of `models/migrations` make the tables that `models` describes, and those refuse what they must."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Connection, NullPool, Row, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

import models
from models import metadata, migrate
from rules.errors import DefrayError
from tests import servers

COLUMNS = """
    SELECT table_name, column_name, data_type, udt_name, collation_name, is_nullable, column_default, is_identity
    FROM information_schema.columns WHERE table_schema = :schema AND table_name NOT IN ('alembic_version', 'postings')
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, replace(pg_get_constraintdef(oid), :schema || '.', '') FROM pg_constraint
    WHERE connamespace = CAST(:schema AS regnamespace) AND conrelid <> 0
    AND conrelid <> 'public.alembic_version'::regclass
"""
INDEXES = """
    SELECT tablename, indexname, replace(indexdef, :schema || '.', '') FROM pg_indexes
    WHERE schemaname = :schema AND tablename <> 'alembic_version'
"""

ENTRY = text(
    "INSERT INTO journal (at, post_date, kind, customer_id, currency, accounts, amounts_minor)"
    " VALUES (now(), current_date, 'billed', 7, 'USD', :accounts, :amounts) RETURNING id"
)


@contextmanager
def empty_database(shared: servers.Servers, name: str) -> Iterator[str]:
    """A database without tables, gone after the test."""
    with servers.empty_database(shared, f"{name}_{shared.slot}") as url:
        yield url


def describe_all_tables() -> None:
    """Import what adds tables to the metadata."""
    for module in pkgutil.iter_modules(models.__path__, "models."):
        importlib.import_module(module.name)
    if importlib.util.find_spec("vault.table"):
        importlib.import_module("vault.table")


def catalogue(connection: Connection, query: str, schema: str) -> set[Row[tuple[object, ...]]]:
    return set(connection.execute(text(query), {"schema": schema}).all())


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES], ids=["columns", "constraints", "indexes"])
def test_models_and_migrations_agree(connection: Connection, query: str) -> None:
    """The database as migrated has the very columns, defaults, constraints and indexes of `models`."""
    describe_all_tables()
    migrated = catalogue(connection, query, "public")
    connection.execute(text("CREATE SCHEMA as_modelled"))
    connection.execute(text("SET LOCAL search_path TO as_modelled, public"))
    metadata.create_all(connection, checkfirst=False)
    modelled = catalogue(connection, query, "as_modelled")
    assert len(modelled) > 20
    assert sorted(map(str, migrated - modelled)) == []
    assert sorted(map(str, modelled - migrated)) == []


def test_two_upgrades_at_once(shared_servers: servers.Servers) -> None:
    """Of two upgrades at once one does the work, the other waits and finds nothing to do."""
    with empty_database(shared_servers, "defray_twice") as url:
        failures: list[Exception] = []

        def upgrade() -> None:
            try:
                migrate.upgrade(url)
            except DBAPIError as reason:
                failures.append(reason)

        both = [threading.Thread(target=upgrade) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert failures == []
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            assert migrate.pending(connection) == []


def test_pending_names_the_steps(shared_servers: servers.Servers) -> None:
    """A database that no upgrade has seen lacks every step, in order, in words."""
    with empty_database(shared_servers, "defray_pending") as url:
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            assert migrate.pending(connection)[0] == "0001 First tables"
        migrate.upgrade(url)
        with engine.begin() as connection:
            assert migrate.pending(connection) == []
            connection.execute(text("UPDATE alembic_version SET version_num = 'of a later release'"))
            assert migrate.pending(connection) == []


def test_upgrade_does_not_wait_for_ever(shared_servers: servers.Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade that cannot have its lock says so and changes nothing."""
    monkeypatch.setattr(migrate, "_WAIT_FOR_OTHERS", timedelta(milliseconds=50))
    with empty_database(shared_servers, "defray_waits") as url:
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as other:
            other.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": migrate._ONE_AT_A_TIME})
            with pytest.raises(DefrayError, match="another upgrade holds a lock"):
                migrate.upgrade(url)


@pytest.mark.parametrize("table", ["journal", "events", "evidence"])
@pytest.mark.parametrize("act", ["UPDATE {} SET at = now()", "DELETE FROM {}", "TRUNCATE {}"])
def test_append_only(connection: Connection, table: str, act: str) -> None:
    """B1: the application's role may not update, delete or truncate the journal, the events and the evidence."""
    with pytest.raises(ProgrammingError, match=f"permission denied for table {table}"):
        connection.execute(text(act.format(table)))


@pytest.mark.parametrize(
    ("amounts", "refusal"),
    [
        ([100, -99], "ck_journal_balances"),
        ([0], "ck_journal_balances"),
        ([100, -50, -50], "ck_journal_account_for_each_amount"),
        ([100, None], "an amount of a journal entry is null"),
    ],
)
def test_unbalanced_entry(connection: Connection, amounts: list[int | None], refusal: str) -> None:
    """B1: an entry whose lines do not come to nothing, or have no account each, cannot be written."""
    accounts = ["receivable", "cash"][: len(amounts)]
    with pytest.raises(DBAPIError, match=refusal):
        connection.execute(ENTRY, {"accounts": accounts, "amounts": amounts})


def test_postings_show_lines(connection: Connection) -> None:
    """B1: the view `postings` shows an entry's lines one by one, in their order."""
    accounts, amounts = ["receivable", "cash:check", "credit"], [-70, 100, -30]
    entry = connection.execute(ENTRY, {"accounts": accounts, "amounts": amounts}).scalar_one()
    shown = connection.execute(text("SELECT account, amount_minor FROM postings WHERE entry_id = :id"), {"id": entry})
    assert [tuple(row) for row in shown] == list(zip(accounts, amounts, strict=True))


def test_one_live_sale(connection: Connection) -> None:
    """E5: while a sale is started, unknown, in review or approved, the database refuses another of that payment."""
    connection.execute(
        text("INSERT INTO customers (id, number, name, created_at) VALUES (1, '0042', 'Hazel Ng', now())")
    )
    connection.execute(
        text(
            "INSERT INTO payments (id, customer_id, caller, idempotency_key, content_digest, method, currency,"
            " total_minor, as_credit, allow_overlap, when_owed_less, owed_at_request_minor, card_token,"
            " gateway, state, recorded_at, recorded_by) VALUES (2, 1, 'test', 'k', '', 'credit_card', 'USD', 100,"
            " false, false, 'ask', 100, 'tok', 'payflow', 'charging', now(), 'test')"
        )
    )
    sale = text(
        "INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency,"
        " state, send_until, started_at)"
        " VALUES (2, 'sale', 'payflow', 'main', :reference, 100, 'USD', :state, now(), now())"
    )
    connection.execute(sale, [{"reference": 1, "state": "declined"}, {"reference": 2, "state": "failed"}])
    for reference, state in enumerate(("started", "unknown", "review", "approved"), start=10):
        attempt = connection.begin_nested()
        connection.execute(sale, {"reference": reference, "state": state})
        with pytest.raises(IntegrityError, match="uq_gateway_transactions_one_live_sale"):
            connection.execute(sale, {"reference": reference + 100, "state": "started"})
        attempt.rollback()
