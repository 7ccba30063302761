"""One PostgreSQL and one Valkey for all test processes of this user, started by the first and stopped after the last.

Who uses them holds a shared lock; their owner, a process of its own, waits for an exclusive one. The kernel gives
locks back however a process ends, so nothing is left running. Run as a program, this file is the owner.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from local.postgres import ROLE, Postgres
from local.valkey import Valkey
from models import migrate

HOME = Path(tempfile.gettempdir()) / f"defray-tests-{os.getuid()}"
PROJECT = Path(__file__).parents[1]
SLOTS = range(1, 16)  # a broker's numbered databases, without the first


@dataclass(frozen=True)
class Servers:
    """Where the servers are, and which numbered database of each is this process's alone."""

    admin_url: str  # may create databases
    role: str  # owns them; no superuser, or B1 could not be shown
    redis_base_url: str
    slot: int

    @property
    def redis_url(self) -> str:
        """This process's own database of the broker."""
        return f"{self.redis_base_url.rpartition('/')[0]}/{self.slot}"


@contextmanager
def borrowed() -> Iterator[Servers]:
    """Use the servers of DEFRAY_TEST_DATABASE_URL and DEFRAY_TEST_REDIS_URL, or embedded ones, until the block ends."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    if HOME.stat().st_uid != os.getuid():
        raise PermissionError(f"{HOME} belongs to somebody else: move it away")
    with _locked("users", fcntl.LOCK_SH), _own_slot() as slot:
        database, redis = os.environ.get("DEFRAY_TEST_DATABASE_URL"), os.environ.get("DEFRAY_TEST_REDIS_URL")
        if database is None or redis is None:
            _ensure_owner()
        yield Servers(
            admin_url=database or Postgres(HOME).superuser_url,
            role=make_url(database).username or "" if database else ROLE,
            redis_base_url=redis or Valkey(HOME).url,
            slot=slot,
        )


def fresh_database(servers: Servers) -> str:
    """Make this process's database anew as a copy of a migrated template; return its address for the role."""
    with _locked("template", fcntl.LOCK_EX):
        template = _template(servers)
        name = f"defray_test_{servers.slot}"
        with _admin(servers) as connection:
            _drop(connection, name)
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template), sql.Identifier(servers.role)
                )
            )
            _do_not_wait_for_the_disk(connection, name)
    return _role_url(servers, name)


@contextmanager
def empty_database(servers: Servers, name: str) -> Iterator[str]:
    """Make a database without tables and drop it after the block; yields its address for the role."""
    with _admin(servers) as connection:
        _drop(connection, name)
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(servers.role))
        )
        _do_not_wait_for_the_disk(connection, name)
        yield _role_url(servers, name)
        _drop(connection, name)


def _template(servers: Servers) -> str:
    """The template for the migrations as they are now; made where missing, in place of the one before."""
    digest = hashlib.sha256()
    for path in sorted([*(PROJECT / "models" / "migrations").rglob("*.py"), PROJECT / "models" / "migrate.py"]):
        digest.update(path.read_bytes())
    name = f"defray_template_{digest.hexdigest()[:12]}"
    with _admin(servers) as connection:
        known = {
            row[0]
            for row in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'defray\\_template%'")
        }
        if name in known:
            return name
        for old in known:
            _drop(connection, str(old))
        making = "defray_template_unfinished"
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(making), sql.Identifier(servers.role))
        )
        migrate.upgrade(_role_url(servers, making))
        _keep_ids_apart(_role_url(servers, making))
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(making), sql.Identifier(name))
        )
    return name


def _keep_ids_apart(url: str) -> None:
    """Let every table count from a number of its own, so that one table's id is never taken for another's."""
    with psycopg.connect(_plain(url)) as connection:
        sequences = connection.execute("SELECT sequencename FROM pg_sequences ORDER BY sequencename").fetchall()
        for place, (name,) in enumerate(sequences, start=1):
            connection.execute(
                sql.SQL("ALTER SEQUENCE {} RESTART {}").format(sql.Identifier(name), sql.Literal(place * 100_000 + 1))
            )


def _role_url(servers: Servers, database: str) -> str:
    url = make_url(os.environ.get("DEFRAY_TEST_DATABASE_URL") or Postgres(HOME).url)
    return url.set(drivername="postgresql+psycopg", database=database).render_as_string(hide_password=False)


@contextmanager
def _admin(servers: Servers) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(_plain(servers.admin_url), autocommit=True) as connection:
        yield connection


def _drop(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _do_not_wait_for_the_disk(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    """Commits are seen at once all the same; only a crash of the server could lose them."""
    connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


@contextmanager
def _locked(name: str, how: int) -> Iterator[None]:
    with (HOME / name).open("a") as file:
        fcntl.flock(file, how)
        yield


@contextmanager
def _own_slot() -> Iterator[int]:
    for slot in SLOTS:
        with (HOME / f"slot-{slot}").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield slot
            return
    raise RuntimeError(f"all {len(SLOTS)} test databases are in use: run fewer test processes at once")


def _ensure_owner() -> None:
    with _locked("starting", fcntl.LOCK_EX):
        try:
            with _locked("owner", fcntl.LOCK_EX | fcntl.LOCK_NB):
                pass
        except BlockingIOError:
            return
        with (HOME / "owner.log").open("w") as log:
            owner = subprocess.Popen(
                [sys.executable, "-m", "tests.servers"],
                cwd=PROJECT,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert owner.stdout is not None
        with owner.stdout:
            if owner.stdout.readline() != b"started\n":
                raise RuntimeError(f"no test servers:\n{(HOME / 'owner.log').read_text()}")
        owner.returncode = 0  # it outlives us on purpose; without this, Popen warns of it


def _own() -> None:
    with _locked("owner", fcntl.LOCK_EX):
        postgres, valkey = Postgres(HOME), Valkey(HOME)
        postgres.start()
        try:
            valkey.start()
            sys.stdout.write("started\n")
            sys.stdout.flush()
            with _locked("users", fcntl.LOCK_EX):
                valkey.stop()
                postgres.stop()
        finally:
            valkey.stop()
            postgres.stop()


if __name__ == "__main__":
    _own()
