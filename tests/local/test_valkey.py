"""DESIGN section 9: the embedded Valkey trusts nobody, evicts nothing, keeps nothing and is never left running."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local import pids
from local.lock import AlreadyInUse
from local.valkey import Valkey

OWNER = Path(__file__).with_name("owner.py")


@pytest.fixture
def client(valkey: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as connected:
        yield connected


@pytest.fixture
def running(valkey: Valkey) -> Iterator[Valkey]:
    """The server of the module, running again whatever a test did to it."""
    yield valkey
    valkey.stop()
    valkey.start()


def process_id(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(cast(dict[str, int], client.info("server"))["process_id"])


def test_evicts_nothing_and_keeps_nothing(client: redis.Redis) -> None:
    """C2: noeviction, no snapshot, no append-only file, loopback only."""
    wanted = {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no", "bind": "127.0.0.1"}
    assert client.config_get(*wanted) == wanted


def test_password_is_proved(valkey: Valkey, home: Path) -> None:
    """A client without the password is refused; the password is in no argument and no log."""
    parts = urlsplit(valkey.url)
    with (
        redis.Redis(host="127.0.0.1", port=int(parts.port or 0), retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    assert str(parts.password) not in pids.command_line(process_id(valkey.url))
    assert str(parts.password) not in (home / "log" / "valkey.log").read_text()


def test_one_owner(valkey: Valkey, home: Path) -> None:
    """A second owner is refused with the pid of the first."""
    with pytest.raises(AlreadyInUse, match=rf"in use by process {os.getpid()}\b"):
        Valkey(home).start()


def test_stop_leaves_nothing_running(running: Valkey) -> None:
    """Stopping waits for the end of the server; the next start has the same address."""
    url, pid = running.url, process_id(running.url)
    running.stop()
    assert pids.birth(pid) is None
    running.start()
    assert running.url == url


def test_owner_killed(running: Valkey, home: Path) -> None:
    """After kill -9 of its owner the next start ends the old server."""
    running.stop()
    with subprocess.Popen([sys.executable, str(OWNER), "valkey", str(home)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"started\n"
        owner.kill()
    old = process_id(running.url)
    said: list[str] = []
    successor = Valkey(home, say=said.append)
    successor.start()
    try:
        assert pids.birth(old) is None
        assert f"process {old}" in said[0]
        assert process_id(successor.url) != old
    finally:
        successor.stop()
