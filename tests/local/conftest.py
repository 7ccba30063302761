"""Homes for embedded servers, and what is left of them afterwards: nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.postgres import Postgres
from local.valkey import Valkey


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def postgres(home: Path) -> Iterator[Postgres]:
    server = Postgres(home)
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="module")
def valkey(home: Path) -> Iterator[Valkey]:
    server = Valkey(home)
    server.start()
    yield server
    server.stop()
    server.remove()
