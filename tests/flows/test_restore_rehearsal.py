"""E7: restores as they happen to a real server, each followed by an unattended start: nothing is sent."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine

from books import epoch
from local.account import service_account
from local.postgres import Postgres
from models import migrate
from sandbox.client import SandboxProcess
from tests import servers
from tests.flows.house import House, all_at, build, card, settings_for


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def copied(source: Path, target: Path) -> None:
    """A copy of a stopped server's data, owned by the account that it runs as."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    account = service_account()
    if account is not None:
        for folder, _, names in os.walk(target):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                os.chown(path, account.uid, account.gid)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A server of this test's own, whose data it may replace."""
    server = Postgres(tmp_path / "home", say=lambda _: None)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.remove()


@contextmanager
def processes(url: str, sandbox: SandboxProcess, redis_url: str, folder: Path) -> Iterator[House]:
    """New processes on this database, beside the key file and the broker that stayed."""
    engine = create_engine(url)
    told = settings_for(sandbox, url, redis_url, str(folder / "keys.json"), **all_at("stripe", sandbox))
    house = build(engine, told, sandbox)
    try:
        yield house
    finally:
        house.context.wake.close()
        engine.dispose()


def unattended(url: str, sandbox: SandboxProcess, redis_url: str, folder: Path) -> str:
    """Start, work, and see that the gateway heard of no charge, void or refund; why it is quarantined."""
    before = sandbox.client.transactions()
    with processes(url, sandbox, redis_url, folder) as house:
        house.work()
        for _ in range(3):
            house.advance(hours=6)
            house.work()
        with house.context.transaction() as (conn, _):
            found = epoch.current(conn)
    assert [one.id for one in sandbox.client.transactions()] == [one.id for one in before]
    assert found is not None
    return found.why


def test_three_ways_to_restore(
    server: Postgres, sandbox: SandboxProcess, redis_url: str, shared_servers: servers.Servers, tmp_path: Path
) -> None:
    """E7: copied files, a point in time, dump and restore: what was charged since is not charged again.

    The copied files have the identifier and the timeline of the original: only the witness tells.
    """
    data, cold, wal, dump = server._data, tmp_path / "cold", server._folder / "archive", tmp_path / "dump"
    binaries = server._binaries()
    migrate.upgrade(server.url)
    with processes(server.url, sandbox, redis_url, tmp_path) as house:
        house.bill("C-0", {"A": 500})
        voided = house.pay(500, card(), customer="C-0")
        house.work()
        house.void(voided)
        house.bill("C-1", {"A": 1000})
        house.pay(1000, card(), customer="C-1")
    server.stop()
    copied(data, cold)
    server.start()
    with psycopg.connect(plain(server.superuser_url), autocommit=True) as admin:
        admin.execute("SELECT pg_create_restore_point('before')")
    dumped = [str(binaries / "pg_dump"), "--format=custom", f"--file={dump}", plain(server.url)]
    subprocess.run(dumped, check=True, capture_output=True)
    with processes(server.url, sandbox, redis_url, tmp_path) as house:
        house.work()
        assert house.invoices("C-1") == {"A": ("paid", 0)}
    with servers.empty_database(shared_servers, f"defray_dumped_{shared_servers.slot}") as url:
        restore(binaries, dump, url)
        assert "system identifier" in unattended(url, sandbox, redis_url, tmp_path)
    same_cluster = server.create_database("dumped")
    restore(binaries, dump, same_cluster)
    assert "is behind what was seen" in unattended(same_cluster, sandbox, redis_url, tmp_path)
    with psycopg.connect(plain(server.superuser_url), autocommit=True) as admin:
        admin.execute("SELECT pg_switch_wal()")
    copied(data / "pg_wal", wal)  # before the stop, whose checkpoint would recycle it: as an archive has it
    server.stop()

    copied(cold, data)
    server.start()
    assert "is behind what was seen" in unattended(server.url, sandbox, redis_url, tmp_path)
    server.stop()

    copied(cold, data)
    (data / "recovery.signal").touch()
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write(
            f"restore_command = 'cp {wal}/%f %p'\nrecovery_target_name = 'before'\nrecovery_target_action = 'promote'\n"
        )
    server.start()
    with psycopg.connect(plain(server.superuser_url), autocommit=True) as admin:
        while admin.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
            admin.execute("SELECT pg_sleep(0.02)")
        assert admin.execute("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)").fetchone() == ("00000002",)
    assert "is behind what was seen" in unattended(server.url, sandbox, redis_url, tmp_path)


def restore(binaries: Path, dump: Path, url: str) -> None:
    restored = [str(binaries / "pg_restore"), "--no-owner", f"--dbname={plain(url)}", str(dump)]
    subprocess.run(restored, check=True, capture_output=True)
