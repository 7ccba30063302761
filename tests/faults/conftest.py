"""A plant for each test: its own sandbox, tables and queues; everything that it started is ended after it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from local.valkey import Valkey
from sandbox import client
from tests.faults.plant import Gate, Plant, environment


@contextmanager
def _built(engine: Engine, database_url: str, redis_url: str, folder: Path) -> Iterator[Plant]:
    with client.start(any_amount=True) as sandbox:
        plant = Plant(engine, sandbox, folder, environment(sandbox, database_url, redis_url, folder))
        try:
            yield plant
        finally:
            sandbox.client.clear()
            try:
                plant.end()
            finally:
                sys.stdout.write(plant.logs())  # pytest shows it where the test failed


@pytest.fixture
def plant(engine: Engine, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Plant]:
    """A plant over the servers that all tests share."""
    with _built(engine, database_url, redis_url, tmp_path) as built:
        yield built


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A broker that a test may flush and restart."""
    own = Valkey(tmp_path)
    own.start()
    yield own
    own.stop()
    own.remove()


@pytest.fixture
def plant_of_its_own(engine: Engine, database_url: str, valkey: Valkey, tmp_path: Path) -> Iterator[Plant]:
    """A plant over that broker."""
    with _built(engine, database_url, valkey.url, tmp_path) as built:
        yield built


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gateway's port that answers nobody until it is opened."""
    made = Gate()
    yield made
    made.end()
