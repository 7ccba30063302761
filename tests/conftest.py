"""What all tests share: a database, a broker, and no way out but loopback. Builders of rows live in `builders.py`."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from tests import servers

_FOR_TESTS = ("DEFRAY_TEST_", "DEFRAY_RECEIVABLES")
for _name in [name for name in os.environ if name.startswith("DEFRAY_") and not name.startswith(_FOR_TESTS)]:
    del os.environ[_name]

# Else each of the many processes that tests start compiles all of Defray, and each test process rewrites all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def _loopback_only(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        if host not in (None, "", "localhost") and not _is_loopback(str(host)):
            raise socket.gaierror(socket.EAI_NONAME, f"tests resolve no names, and here {host!r} was asked for")
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        assert _is_loopback(str(arguments[1][0])), f"tests reach loopback only, and this one tried {arguments[1]}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


sys.addaudithook(_loopback_only)


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[servers.Servers]:
    """PostgreSQL and Valkey, and this process's number among those that use them."""
    with servers.borrowed() as borrowed:
        yield borrowed


@pytest.fixture(scope="session")
def database_url(shared_servers: servers.Servers) -> str:
    """The address of this process's own migrated database, for the role that owns it and is no superuser."""
    return servers.fresh_database(shared_servers)


@pytest.fixture(scope="session")
def session_engine(database_url: str) -> Iterator[Engine]:
    """The pool behind `engine` and `connection`."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def sweeper(shared_servers: servers.Servers, session_engine: Engine) -> Iterator[Engine]:
    """The same database for the one who made it: a superuser, unless DEFRAY_TEST_DATABASE_URL names somebody else."""
    admin = make_url(shared_servers.admin_url).set(
        drivername=session_engine.url.drivername, database=session_engine.url.database
    )
    engine = create_engine(admin, isolation_level="READ COMMITTED")
    yield engine
    engine.dispose()


@pytest.fixture
def engine(session_engine: Engine, sweeper: Engine) -> Iterator[Engine]:
    """An engine on empty tables; what the test committed is removed after it."""
    yield session_engine
    with sweeper.begin() as connection:
        tables = connection.execute(_TABLES).all()
        every = ", ".join(table.name for table in tables)
        if all(table.quickly for table in tables):  # new files for every table and index take far longer
            deletes = "".join(f"DELETE FROM {table.name};" for table in tables if table.used)
            connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            connection.execute(text(f"LOCK {every} IN SHARE ROW EXCLUSIVE MODE"))  # waits for those who still write
            connection.execute(text(f"SET LOCAL session_replication_role = replica; {deletes}"))
            connection.execute(text("UPDATE clock SET ahead = '0' WHERE ahead <> '0'"))
            return
    with session_engine.begin() as connection:
        connection.execute(text(f"GRANT TRUNCATE ON {every} TO CURRENT_USER"))
    # Apart from the GRANT: with its lock on pg_class, TRUNCATE and an autovacuum would wait for each other.
    with session_engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        connection.execute(text(f"TRUNCATE {every}"))
        connection.execute(text("UPDATE clock SET ahead = '0' WHERE ahead <> '0'"))
        connection.execute(text("REVOKE TRUNCATE ON events, evidence, journal FROM CURRENT_USER"))


# Only a superuser may delete what is append-only, and without its foreign keys.
_TABLES = text("""
    SELECT quote_ident(relname) AS name, pg_relation_size(oid) > 0 AS used,
           pg_relation_size(oid) <= 512 * 1024 AND current_setting('is_superuser')::boolean AS quickly
    FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT IN ('alembic_version', 'clock')""")


@pytest.fixture
def connection(session_engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that is rolled back after the test."""
    with session_engine.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def redis_url(shared_servers: servers.Servers) -> Iterator[str]:
    """The address of this process's own database of the broker, empty before and after the test."""
    with redis.Redis.from_url(shared_servers.redis_url) as client:
        client.flushdb()
        yield shared_servers.redis_url
        client.flushdb()


@pytest.fixture
def usual_ports() -> Iterator[None]:
    """For tests that start all of Defray: one at a time, since two at once would find the same ports free."""
    with (Path(tempfile.gettempdir()) / "defray-usual-ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
