"""A house of Defray beside a sandbox of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from books.audit import audit
from sandbox import client
from sandbox.client import SandboxProcess
from tests.flows.house import House, build, settings_for

CUTOFF_PASSED = timedelta(hours=3)
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[SandboxProcess]:
    """Gateway servers over HTTP, shared by the tests of one process."""
    with client.start(any_amount=True) as process:
        yield process


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """The gateway servers with empty books, no scenario, and the clock at now."""
    sandbox_process.client.forget()
    return sandbox_process


@pytest.fixture
def house(
    engine: Engine, sandbox: SandboxProcess, database_url: str, redis_url: str, tmp_path: Path
) -> Iterator[House]:
    """All of Defray but its messages."""
    settings = settings_for(sandbox, database_url, redis_url, str(tmp_path / "keys.json"))
    built = build(engine, settings, sandbox)
    yield built
    built.context.wake.close()


@pytest.fixture(autouse=True)
def story(house: House) -> Iterator[None]:
    """Begin just after the gateways' daily cut-off, at whatever hour the test runs; end with books that audit (B2)."""
    now = house.sandbox.client.now()
    house.advance(seconds=(CUTOFF_PASSED - timedelta(hours=now.hour, minutes=now.minute)) % timedelta(days=1) / SECOND)
    yield
    with house.engine.connect() as conn:
        assert audit(conn) == []
