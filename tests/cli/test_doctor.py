"""`defray doctor`: each finding seen red, on real servers where one can be made to misbehave (issue 9)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from cli import checkup
from cli.server_checks import Check, of_broker, of_database, of_disk, of_workers
from local.valkey import Valkey
from models import server
from rules.errors import DefrayError
from tests import servers
from tests.cli.conftest import Desk

WELL = {"what", "well", "found", "remedy", "unreachable", "advice"}


def wrong(found: Any) -> list[str]:
    """What was found wrong, in the order of looking."""
    return [check["what"] for check in found["checks"] if not check["well"]]


def test_doctor_before_the_start(desk: Desk, durable: None) -> None:
    """D2: what processes stand on is well before they are started; keys of its JSON stay."""
    found = desk.ask("doctor", "--before-start")
    assert (found["well"], wrong(found)) == (True, [])
    assert set(found["checks"][0]) == WELL
    assert [check["what"] for check in found["checks"] if not check["advice"]] == [
        *("settings", "business days", "gateway payflow", "gateway plugnpay", "database", "postgresql", "tables"),
        *("quarantine", "clock", "time", "key file", "broker", "broker's clock"),
    ]
    assert "America/New_York" in desk.run("doctor", "--before-start").stdout


@pytest.mark.usefixtures("durable")
def test_a_moved_clock(desk: Desk) -> None:
    """D2: time that was moved, which only tests may do, is found."""
    desk.house.do("UPDATE clock SET ahead = interval '1 hour'")
    assert wrong(desk.ask("doctor", "--before-start", code=1)) == ["time"]


def test_a_database_that_can_lose_commits(desk: Desk) -> None:
    """E1: commits that a crash may take back are no proof that nothing was sent; the variable is named."""
    found = desk.ask("doctor", "--before-start", code=1)
    [check] = [check for check in found["checks"] if not check["well"]]
    assert check["found"].startswith("synchronous_commit is off")
    assert "synchronous_commit = on" in check["remedy"]


def test_a_superuser(desk: Desk, shared_servers: servers.Servers, database_url: str) -> None:
    """B1: a role that no REVOKE holds back is found."""
    if "DEFRAY_TEST_DATABASE_URL" in os.environ:
        pytest.skip("whose role that is, somebody else decided")
    url = f"{shared_servers.admin_url.rpartition('/')[0]}/{database_url.rpartition('/')[2]}"
    said = desk.run("doctor", "--before-start", environment={"DEFRAY_DATABASE_URL": url})
    assert "WRONG  postgresql: Defray's role is a superuser" in said.stdout


@contextmanager
def broker(folder: Path) -> Iterator[tuple[str, redis.Redis]]:
    """A broker of the test's own."""
    own = Valkey(folder, lambda _said: None)
    own.start()
    try:
        with redis.Redis.from_url(own.url) as client:
            yield own.url, client
    finally:
        own.stop()


@pytest.mark.usefixtures("durable")
def test_a_broker_that_drops(desk: Desk, tmp_path: Path) -> None:
    """A broker that evicts, or is full is found, and one that is away (C2)."""
    with broker(tmp_path / "own") as (url, client):
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", client.info("memory")["used_memory"] * 10 // 9)
        said = desk.run("doctor", "--before-start", environment={"DEFRAY_REDIS_URL": url})
    assert said.exit_code == 1
    assert "WRONG  broker: maxmemory-policy is allkeys-lru" in said.stdout
    assert "WRONG  broker: its memory is nearly full" in said.stdout
    gone = desk.run("doctor", "--before-start", environment={"DEFRAY_REDIS_URL": url})
    assert (gone.exit_code, "broker: The broker does not answer" in gone.stdout) == (3, True)


@pytest.mark.usefixtures("durable")
def test_nobody_works(desk: Desk) -> None:
    """D3: queues that nobody takes calls from, and a beat that does not tick, each with the command that starts it."""
    found = desk.ask("doctor", code=1)
    queues = ["queue interactive", "queue bulk", "queue scheduled", "queue outbound"]
    assert wrong(found) == [*queues, "beat"]
    assert "--queues bulk" in next(check["remedy"] for check in found["checks"] if check["what"] == "queue bulk")


def test_what_no_test_server_has(session_engine: Any) -> None:
    """Each other setting of a server that matters is found, beside the good ones of a real server."""
    with session_engine.connect() as conn:
        facts = server.facts(conn)
    good = replace(facts, synchronous_commit="on", data_checksums=True, archives=True, wal_level="replica")
    assert [check.well and not check.advice for check in of_database(good)] == [True]
    bad: dict[str, tuple[Any, str]] = {
        "version": (130_012, "version"),
        "fsync": (False, "fsync is off"),
        "full_page_writes": (False, "full_page_writes is off"),
        "synchronous_commit": ("off", "synchronous_commit is off"),
        "read_only": (True, "it only reads"),
        "superuser": (True, "Defray's role is a superuser"),
        "encoding": ("SQL_ASCII", "the encoding is"),
        "autovacuum": (False, "autovacuum is off"),
        "xid_age": (1_500_000_000, "its oldest transaction"),
        "connections": (good.max_connections - 1, f"{good.max_connections - 1} of {good.max_connections}"),
    }
    for name, (value, words) in bad.items():
        found = [check for check in of_database(replace(good, **{name: value})) if not check.well]
        assert len(found) == 1, name
        assert found[0].found.startswith(words)
        assert found[0].remedy
    advised: dict[str, Any] = {"data_checksums": False, "archives": False, "wal_level": "minimal"}
    for name, worse in advised.items():
        assert sum(check.advice for check in of_database(replace(good, **{name: worse}))) == 1, name


def test_what_no_test_broker_is() -> None:
    """An old broker, a replica, one without a limit; a disk that is nearly full; a sweep that was long ago."""
    info = {"maxmemory_policy": "noeviction", "redis_version": "9.1.0", "maxmemory": 2**30, "used_memory": 2**20}
    assert [check.well and not check.advice for check in of_broker(info)] == [True]
    assert found(of_broker({**info, "redis_version": "6.0.9"})) == ["broker"]
    assert found(of_broker({**info, "role": "slave"})) == ["broker"]
    for worse in ({"maxmemory": 0}, {"aof_enabled": 1}):  # the second writes keys of security codes to its disk (C2)
        assert sum(check.advice for check in of_broker({**info, **worse})) == 1
    assert not of_disk("here", 2**30, 2**40).well
    assert of_disk("here", 2**33, 2**40).well
    all_queues = {"one": frozenset({"interactive", "bulk", "scheduled", "outbound"})}
    assert found(of_workers(all_queues, timedelta(seconds=4))) == []
    assert found(of_workers(all_queues, timedelta(seconds=400))) == ["beat"]
    assert found(of_workers({"one": all_queues["one"] - {"bulk"}}, timedelta(0))) == ["queue bulk"]


class Ahead:
    """A broker on a machine whose clock is wrong."""

    def time(self) -> tuple[int, int]:
        """Ten seconds from now."""
        return int(time.time()) + 10, 0


def test_the_clock_of_the_broker() -> None:
    """D2: a machine of ours without a time server is found by its broker, too."""
    with pytest.raises(DefrayError, match="the broker's differ by"):
        checkup.broker_skew(cast(redis.Redis, Ahead()))


def found(checks: Iterator[Check]) -> list[str]:
    """What is wrong of these."""
    return [check.what for check in checks if not check.well]
