"""Wake-up calls: which task, which queue, which words; and what happens when nobody takes them."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from local.valkey import Valkey
from rules.errors import DefrayError
from worker.wake import Wake

Call = tuple[str, dict[str, Any]]


@pytest.fixture
def wake(redis_url: str) -> Iterator[Wake]:
    """The sender under test."""
    wake = Wake(redis_url)
    yield wake
    wake.close()


def calls(redis_url: str, queue: str) -> list[Call]:
    """The messages that wait in a queue, first sent first."""
    with redis.Redis.from_url(redis_url) as client:
        waiting = [json.loads(message) for message in reversed(client.lrange(queue, 0, -1))]
    return [(message["headers"]["task"], eval(message["headers"]["kwargsrepr"])) for message in waiting]


@pytest.mark.parametrize(
    ("act", "queue", "expected"),
    [
        (
            lambda wake: wake.batch(7, "charge", 2),
            "bulk",
            [("defray.charge", {"batch": 7, "lane": "1 of 2"}), ("defray.charge", {"batch": 7, "lane": "2 of 2"})],
        ),
        (lambda wake: wake.batch(7, "post", 1), "bulk", [("defray.post", {"batch": 7, "lane": "1 of 1"})]),
        (lambda wake: wake.payment(12, "charge"), "interactive", [("defray.charge", {"payment": 12})]),
        (lambda wake: wake.singles("post"), "scheduled", [("defray.post", {})]),
        (lambda wake: wake.inquiries(), "scheduled", [("defray.inquire", {})]),
        (lambda wake: wake.inquiries(12), "interactive", [("defray.inquire", {"payment": 12})]),
        (lambda wake: wake.mails(), "outbound", [("defray.mail", {})]),
        (lambda wake: wake.mails(5), "outbound", [("defray.mail", {"mail": 5})]),
        (lambda wake: wake.notices(), "scheduled", [("defray.notice", {})]),
        (lambda wake: wake.reversals("void"), "scheduled", [("defray.void", {})]),
        (lambda wake: wake.reversals("refund", 12), "interactive", [("defray.refund", {"payment": 12})]),
    ],
)
def test_calls(wake: Wake, redis_url: str, act: Callable[[Wake], bool], queue: str, expected: list[Call]) -> None:
    """D1: a call says which task looks where, in words for people; a person's goes before a batch's."""
    assert act(wake) is True
    assert calls(redis_url, queue) == expected


def test_no_eta(wake: Wake, redis_url: str) -> None:
    """D3: no call waits in a worker's memory, and none expires: what is due stands in the database."""
    wake.batch(7, "charge", 1)
    with redis.Redis.from_url(redis_url) as client:
        (message,) = client.lrange("bulk", 0, -1)
    headers = json.loads(message)["headers"]
    assert headers["eta"] is None
    assert headers["expires"] is None
    assert json.loads(message)["content-type"] == "application/json"


def test_flushed_broker(wake: Wake, redis_url: str) -> None:
    """D3: a broker that forgot everything takes the next call as ever."""
    wake.batch(7, "charge", 1)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    wake.batch(8, "charge", 1)
    assert calls(redis_url, "bulk") == [("defray.charge", {"batch": 8, "lane": "1 of 1"})]


def test_connections_that_died(wake: Wake, redis_url: str) -> None:
    """B64: a call over a connection that the broker closed meanwhile goes out over a new one."""
    wake.batch(7, "charge", 1)
    with redis.Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert wake.batch(8, "charge", 1) is True
    assert len(calls(redis_url, "bulk")) == 2


def test_card_number_is_refused(wake: Wake, redis_url: str) -> None:
    """B62: what looks like a card number is in no message; this is a mistake of ours, so it is raised."""
    with pytest.raises(DefrayError, match="card number"):
        wake.payment(4111111111111111, "charge")
    assert calls(redis_url, "interactive") == []


def test_broker_refuses(caplog: pytest.LogCaptureFixture) -> None:
    """D3: a broker that is down is logged, not raised, and at once."""
    wake = Wake("redis://:hunter2@127.0.0.1:1/0")
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert wake.batch(7, "charge", 8) is False
    assert time.monotonic() - began < 3
    assert "nobody was woken for defray.charge, the sweeper will" in caplog.text
    assert "hunter2" not in caplog.text
    wake.close()


def test_broker_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """D3: a broker that takes connections and never answers costs seconds, not the request that wakes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wake = Wake(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        with caplog.at_level(logging.WARNING):
            assert wake.payment(12, "charge") is False
        assert time.monotonic() - began < 8
        assert "nobody was woken" in caplog.text
        wake.close()


def test_broker_is_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """D3: a broker that is full, and evicts nothing, is logged, too: the payment is recorded all the same."""
    valkey = Valkey(tmp_path)
    valkey.start()
    wake = Wake(valkey.url)
    try:
        with redis.Redis.from_url(valkey.url) as client:
            client.config_set("maxmemory", 1)
        with caplog.at_level(logging.WARNING):
            assert wake.payment(12, "charge") is False
    finally:
        wake.close()
        valkey.stop()
        valkey.remove()
    assert "nobody was woken" in caplog.text
