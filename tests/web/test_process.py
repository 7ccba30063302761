"""Issue 4: the web process itself: how it starts, what it says where it cannot, how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from books import clock, passwords, people, sessions
from local.ports import answers, free_port
from rules.people import Role
from tests.faults.plant import PROJECT, Running, until
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, card
from tests.web.conftest import PASSWORD
from web.rights import csrf_token

__all__ = ["house", "sandbox", "sandbox_process"]


@pytest.mark.parametrize(
    ("given", "says"),
    [({}, "DEFRAY_DATABASE_URL"), ({"DEFRAY_WEB_PORT": "70000"}, "expected: a whole number from 1 to 65535")],
)
def test_a_setting_is_missing_or_wrong(given: dict[str, str], says: str) -> None:
    """It does not start, and says which setting is why."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("DEFRAY_")}
    ended = subprocess.run(
        [sys.executable, "-m", "web"], cwd=PROJECT, env={**known, **given}, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 1
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_ends_while_somebody_follows(
    house: House, engine: Engine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """A SIGTERM ends it within seconds, though a browser follows a payment; its log has no card number."""
    house.bill("C-1", {"A-1": 1250})
    payment = house.pay(1250, card())
    with engine.begin() as conn:
        now = clock.now(conn)
        people.add(conn, "ann", passwords.hashed(PASSWORD), Role.CLERK, now, "test")
        found = people.find(conn, "ann")
        assert found
        sessions.open_session(conn, "a token", found.user, now)
    port = free_port()
    told = {
        "DEFRAY_DATABASE_URL": database_url,
        "DEFRAY_REDIS_URL": redis_url,
        "DEFRAY_KEY_FILE": str(tmp_path / "keys.json"),
        "DEFRAY_WEB_PORT": str(port),
    }
    web = Running("web", ("python", "-m", "web"), told, tmp_path / "web.log")
    try:
        until(lambda: answers(port), "the web process listens")
        server = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        cookie = {"Cookie": "defray_session=a token"}
        body = '{"number": "4111111111111111", "expiry": "12/39"}'
        headers = {**cookie, "X-CSRF-Token": csrf_token("a token"), "Content-Type": "application/json"}
        server.request("POST", "/v1/cards", body, headers)
        with server.getresponse() as taken:
            assert taken.status == 201
            assert taken.headers["Server"] is None
            taken.read()
        server.request("GET", "/console/find/results?q=4111%201111%201111%201111", headers=cookie)
        with server.getresponse() as answer:
            answer.read()
        path = f"/console/payments/{payment}/progress"
        server.request("GET", path, headers={**cookie, "Accept": "text/event-stream"})
        stream = server.getresponse()
        while b"Recorded" not in stream.readline():
            pass
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(10) in (0, -signal.SIGTERM)
        stream.close()
        server.close()
        assert "POST /v1/cards" in web.output
        assert "4111" not in web.output
    finally:
        web.end()
