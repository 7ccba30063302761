"""Issue 6: live progress for keys, and a whole client, against a listening server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from books import api_keys, clock
from settings import Settings
from tests.api.conftest import App, problem
from tests.api.test_docs import listening
from tests.flows.house import House
from web import progress

PROJECT = Path(__file__).parents[2]


def told(app: App, path: str, after: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """Kind and data of a stream that ends."""
    headers = {"Authorization": f"Bearer {app.secret}", "Last-Event-ID": str(after)}
    answer = app.client.get(path, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    messages = [part.split("\n") for part in answer.text.split("\n\n") if part.startswith("event: ")]
    return [(lines[0].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))) for lines in messages]


def test_a_payment(shop: App, house: House) -> None:
    """Each step once, behind the one that was seen last; at last the end, with how it stands."""
    shop.bill("C-1", {"A-1": 1250})
    paid = shop.made("/v1/payments", **shop.by_card(1250))["id"]
    house.work()
    path = f"/v1/payments/{paid}/progress"
    *steps, (kind, end) = told(shop, path)
    assert [data["what"] for _, data in steps][-1] == "payment.posted"
    assert (kind, end["state"], end["unknown"], end["address"]) == ("end", "posted", False, f"/v1/payments/{paid}")
    latest = house.row("SELECT max(id) AS id FROM events WHERE payment_id = :id", id=paid).id
    assert [kind for kind, _ in told(shop, path, latest)] == ["end"]


def test_a_batch(shop: App, new_app: Callable[..., App], house: House) -> None:
    """The counts, then the end; a key for one customer hears of its own batches only."""
    shop.bill("C-1", {"A-1": 1250})
    batch = shop.made("/v1/batches", payments=[shop.check(10), shop.check(20)])["id"]
    house.post(batch)
    kinds = told(shop, f"/v1/batches/{batch}/progress")
    assert [(kind, data["finished"]) for kind, data in kinds] == [("counts", 2), ("end", 2)]
    assert [one["id"] for one in shop.get("/v1/batches").json()["data"]] == [batch]
    other = new_app("other", customer="C-1")
    assert problem(other.get(f"/v1/batches/{batch}/progress")) == (404, "not-found")
    assert other.get("/v1/batches").json()["data"] == []
    assert problem(shop.get("/v1/payments/99/progress")) == (404, "not-found")


def test_a_revoked_key_hears_no_more(
    shop: App, house: House, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream ends without `end` once its key is revoked; Redis need not be there for any of it."""
    monkeypatch.setattr(progress, "ASKED_EVERY", 0.0)
    shop.bill("C-1", {"A-1": 1250})
    paid = shop.made("/v1/payments", **shop.by_card(1250))["id"]
    alone = replace(settings, redis_url="redis://127.0.0.1:9/0")
    headers = {"Authorization": f"Bearer {shop.secret}"}
    with (
        listening(alone) as address,
        requests.get(f"{address}/v1/payments/{paid}/progress", headers=headers, stream=True, timeout=60) as answer,
    ):
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert "event: step" in lines
        with house.engine.begin() as conn:
            api_keys.revoke(conn, "shop", clock.now(conn), "ada")
        assert "event: end" not in list(lines)


@contextmanager
def working(house: House) -> Iterator[None]:
    """The house's tasks look for what is due, again and again, as workers do."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.1):
            house.work()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join(20)


def test_the_example(shop: App, house: House, settings: Settings) -> None:
    """examples/pay_an_invoice.py pays an invoice; run again it pays nothing twice."""
    with listening(settings) as address, working(house):
        environment = {**os.environ, "DEFRAY": address, "KEY": shop.secret}

        def run() -> str:
            command = [sys.executable, str(PROJECT / "examples/pay_an_invoice.py"), "0042"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        first, again = run(), run()
    assert "end: The payment is posted." in first
    assert "invoice 0042 is paid" in first
    assert first.splitlines()[-2:] == again.splitlines()[-2:]
    assert house.row("SELECT count(*) AS n FROM payments").n == 1
