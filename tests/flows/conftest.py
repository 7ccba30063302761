"""A house of Defray beside a sandbox of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from books.audit import audit
from sandbox import client
from sandbox.client import SandboxProcess
from tests.flows.house import House, build, settings_for


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
def books_in_order(house: House) -> Iterator[None]:
    """B2: whatever a story did, its books prove themselves at its end."""
    yield
    with house.engine.connect() as conn:
        assert audit(conn) == []
