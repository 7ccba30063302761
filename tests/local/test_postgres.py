"""DESIGN section 9: the embedded PostgreSQL trusts nobody, survives kills and is never left running."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from local import pids
from local.account import popen_as, service_account
from local.lock import AlreadyInUse
from local.postgres import Postgres, PostgresFailed

OWNER = Path(__file__).with_name("owner.py")


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def one(url: str, query: str) -> object:
    with connect(url) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def postmaster_pid(url: str) -> int:
    text = one(url, "SELECT pg_read_file('postmaster.pid')")
    return int(str(text).splitlines()[0])


def data_folder(url: str) -> Path:
    return Path(str(one(url, "SHOW data_directory")))


@contextmanager
def killed_owner(server: str, home: Path) -> Iterator[None]:
    """Let another process start the server, and kill that process before it can stop it."""
    with subprocess.Popen([sys.executable, str(OWNER), server, str(home)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"started\n"
        owner.kill()
    yield


@pytest.fixture
def running(postgres: Postgres) -> Iterator[Postgres]:
    """The server of the module, running again whatever a test did to it."""
    yield postgres
    postgres.stop()
    postgres.start()


def test_application_role(postgres: Postgres) -> None:
    """The address handed out is that of a role that owns the database and is no superuser."""
    assert one(postgres.url, "SELECT current_user::text") == "defray"
    assert one(postgres.url, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = 'defray'") is False
    owner = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'defray'"
    assert one(postgres.url, owner) == "defray"
    assert one(postgres.superuser_url, "SELECT rolsuper FROM pg_roles WHERE rolname = 'postgres'") is True


@pytest.mark.parametrize("role", ["defray", "postgres"])
def test_password_is_proved(postgres: Postgres, role: str) -> None:
    """Nobody is trusted for being on this machine: a wrong password is refused, hashes are SCRAM's."""
    port = urlsplit(postgres.url).port
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(f"postgresql://{role}:guess@127.0.0.1:{port}/defray")
    rules = "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules"
    assert one(postgres.superuser_url, rules) == "scram-sha-256"


def test_listens_on_loopback_only(postgres: Postgres) -> None:
    """Neither another machine nor a socket file leads to the server."""
    assert one(postgres.superuser_url, "SHOW listen_addresses") == "127.0.0.1"
    assert one(postgres.superuser_url, "SHOW unix_socket_directories") == ""


def test_what_is_committed_is_on_disk(postgres: Postgres) -> None:
    """A commit survives a power cut: fsync, synchronous commit and full page writes are on."""
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert one(postgres.superuser_url, f"SHOW {setting}") == "on", setting


def test_secrets_and_data_are_private(postgres: Postgres) -> None:
    """Passwords are files of mode 0600, the data folder is 0700."""
    data = data_folder(postgres.superuser_url)
    assert data.stat().st_mode & 0o077 == 0
    passwords = list(data.parent.glob("*.password"))
    assert len(passwords) == 2
    assert [path.stat().st_mode & 0o177 for path in passwords] == [0, 0]


def test_password_is_in_no_log(postgres: Postgres, home: Path) -> None:
    """The log of the set-up names neither password."""
    log = (home / "log" / "postgres.log").read_text()
    assert "ready to accept connections" in log
    for url in (postgres.url, postgres.superuser_url):
        assert str(urlsplit(url).password) not in log


def test_database_for_a_test_worker(postgres: Postgres) -> None:
    """Another process of the same home can make databases while the owner keeps the server running."""
    guest = Postgres(postgres._home)
    url = guest.create_database("worker_1")
    assert url == guest.create_database("worker_1")
    assert one(url, "SELECT current_database()::text") == "worker_1"
    guest.drop_database("worker_1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(url)


def test_one_owner(postgres: Postgres, home: Path) -> None:
    """A second owner is refused with the pid of the first; the server goes on."""
    with pytest.raises(AlreadyInUse, match=rf"in use by process {os.getpid()}\b"):
        Postgres(home).start()
    assert one(postgres.url, "SELECT 1") == 1


def test_stop_leaves_nothing_running(running: Postgres) -> None:
    """Stopping waits for the end of the server; the next start keeps port and data."""
    with connect(running.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    url, pid = running.url, postmaster_pid(running.superuser_url)
    running.stop()
    assert pids.birth(pid) is None
    running.start()
    assert running.url == url
    assert one(running.url, "SELECT n FROM kept") == 7


def test_owner_killed(running: Postgres, home: Path) -> None:
    """After kill -9 of its owner the next start ends the old server, and starts one that has its data."""
    running.stop()
    said: list[str] = []
    successor = Postgres(home, say=said.append)
    with killed_owner("postgres", home):
        old = postmaster_pid(running.superuser_url)
        with connect(running.url) as connection:
            connection.execute("CREATE TABLE survived ()")
        successor.start()
    try:
        assert pids.birth(old) is None
        assert f"process {old}" in said[0]
        assert one(successor.url, "SELECT to_regclass('survived') IS NOT NULL") is True
    finally:
        successor.stop()


def test_recovery_after_a_crash(running: Postgres) -> None:
    """After kill -9 of the server itself the next start recovers what was committed."""
    with connect(running.url) as connection:
        connection.execute("CREATE TABLE crashed AS SELECT generate_series(1, 50000) AS n")
    pid = postmaster_pid(running.superuser_url)
    born = pids.birth(pid)
    os.kill(pid, signal.SIGKILL)
    assert pids.wait_until_gone(pid, born, 10)
    running.stop()
    running.start()
    assert one(running.url, "SELECT count(*) FROM crashed") == 50000


def test_stale_pid_file(running: Postgres) -> None:
    """A pid file whose pid now belongs to a stranger is dropped, and the stranger left alone."""
    data = data_folder(running.superuser_url)
    running.stop()
    # Under the server's account: a process of another one PostgreSQL itself would take for a stranger.
    with subprocess.Popen(["sleep", "20"], cwd="/", **popen_as(service_account())) as stranger:
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n")
        running.start()
        assert postmaster_pid(running.superuser_url) != stranger.pid
        assert stranger.poll() is None
        stranger.kill()


def test_no_such_binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong DEFRAY_PG_BIN is named with its value, and the lock is given back."""
    monkeypatch.setenv("DEFRAY_PG_BIN", "/nowhere/bin")
    server = Postgres(tmp_path)
    for _ in range(2):
        with pytest.raises(PostgresFailed, match="DEFRAY_PG_BIN=/nowhere/bin has no program `postgres`"):
            server.start()
    server.remove()


def test_never_started(tmp_path: Path) -> None:
    """Asking a home that never had a server for its address says what to do."""
    server = Postgres(tmp_path)
    with pytest.raises(PostgresFailed, match="never started: run `make run`"):
        _ = server.url
    server.remove()
