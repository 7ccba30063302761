"""docs/api.md: its five calls are run as they stand there, and it is what the code says."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from docs import api
from settings import Settings
from tests.api.conftest import App
from tests.flows.house import House
from web.app import served

PROJECT = Path(__file__).parents[2]


@contextmanager
def listening(settings: Settings) -> Iterator[str]:
    """The web process at an address of its own."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(served(settings), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def test_the_page_is_up_to_date() -> None:
    """docs/api.md is what `python -m docs.api` prints today."""
    printed = subprocess.run(
        [sys.executable, "-m", "docs.api"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert (PROJECT / "docs/api.md").read_text() == printed.stdout
    assert api.CALLS in printed.stdout


def test_quick_start(shop: App, house: House, settings: Settings) -> None:
    """Five calls of curl, as they stand in the docs, lead to a paid invoice."""
    if (
        not (curl := shutil.which("curl"))
        or "--json" not in subprocess.run([curl, "--help", "all"], capture_output=True, text=True, check=True).stdout
    ):
        pytest.skip("no curl that knows --json")
    before, after = api.CALLS.rsplit("\n\n", 1)
    assert (before + after).count("curl ") == 5
    with listening(settings) as address:
        shell = {**os.environ, "DEFRAY": address, "KEY": shop.secret}

        def run(words: str) -> str:
            done = subprocess.run(
                ["sh", "-ec", words], env=shell, capture_output=True, text=True, timeout=60, check=True
            )
            return done.stdout

        asked = run(before)
        house.work()
        seen = run(after)
    assert '"state": "requested"' in asked
    assert '"state": "paid", "created_at"' in seen.replace('":', '": ').replace("  ", " ").replace(',"', ', "')
