"""A real worker process: what it refuses to start with, what it logs, and what reaches Flower."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.events.state import State
from sqlalchemy import Engine, text

import models.engine
from local.valkey import Valkey
from models.engine import check_clock, engine_for
from rules.errors import DefrayError
from settings import load
from tests import servers
from tests.worker.canary import CARD
from worker import boot
from worker.wake import Wake

PROJECT = Path(__file__).parents[2]
START = """
from worker.app import app
app.conf.include = ["tests.worker.sample_tasks"]
app.worker_main(["worker", "--queues=interactive,bulk,scheduled,outbound", "--concurrency=1"])
"""


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """What a worker is told of its servers."""
    return {"DEFRAY_DATABASE_URL": database_url, "DEFRAY_REDIS_URL": redis_url}


class Worker:
    """A worker process and what it wrote so far."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", START],
            cwd=PROJECT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def output(self) -> str:
        """All that it wrote so far."""
        return "".join(self._lines)

    def wait_for(self, pattern: str, seconds: float = 30) -> None:
        """Wait until the worker wrote what matches."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.output):
            assert self._process.poll() is None, f"the worker ended:\n{self.output}"
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.output}"
            time.sleep(0.05)

    def end(self, seconds: float = 30) -> int:
        """Let it drain and end; return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self.ended(seconds)

    def ended(self, seconds: float = 30) -> int:
        """Wait for its end; return its exit code."""
        try:
            return self._process.wait(seconds)
        finally:
            self._process.kill()
            self._reader.join()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)


@contextmanager
def running(environment: dict[str, str]) -> Iterator[Worker]:
    """A worker that is ready for messages, and drained after the block."""
    worker = Worker(environment)
    try:
        worker.wait_for(r" ready\.")
        yield worker
    finally:
        worker.end()


def heard(redis_url: str, until: str, act: Callable[[], object], seconds: float = 30) -> State:
    """What Flower knows, by the same means, when the first event of type `until` came after `act`."""
    app = Celery(broker=redis_url, set_as_current=False)
    state = app.events.State()
    types: list[str] = []

    def hear(event: dict[str, Any]) -> None:
        types.append(event["type"])
        state.event(event)

    with app.connection() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": hear})
        with receiver.consumer_context(wakeup=False) as (listening, _, _):
            deadline = time.monotonic() + seconds

            def listen(awaited: str) -> None:
                while awaited not in types:
                    assert time.monotonic() < deadline, f"no {awaited} among {types}"
                    with suppress(TimeoutError):
                        listening.drain_events(timeout=0.5)

            listen("worker-heartbeat")  # events sent before the broker knew of this listener are lost
            act()
            listen(until)
    app.close()
    return state


def test_sentence_reaches_flower(environment: dict[str, str], redis_url: str) -> None:
    """D4: what a task returns reaches Flower with its event, and no result is kept anywhere."""
    wake = Wake(redis_url)
    with running(environment):
        state = heard(redis_url, "task-succeeded", lambda: wake.batch(7, "charge", 1))
    wake.close()
    (task,) = state.tasks.values()
    assert task.name == "defray.charge"
    assert task.kwargs == "{'batch': 7, 'lane': '1 of 1'}"
    assert task.result == "'batch 7, lane 1 of 1: charged 391, declined 9'"
    with redis.Redis.from_url(redis_url) as client:
        assert list(client.scan_iter("celery-task-meta*")) == []


def test_no_card_in_log_or_flower(environment: dict[str, str], redis_url: str) -> None:
    """C3, B61: an exception that holds a card number reaches neither the log nor Flower with it."""
    with running(environment) as worker:
        app = Celery(broker=redis_url, set_as_current=False)
        state = heard(redis_url, "task-failed", lambda: app.send_task("defray.retry", queue="scheduled"))
        app.close()
        worker.wait_for("could not read ACCT=")
    (task,) = state.tasks.values()
    assert "could not read ACCT=***" in task.exception
    for told in (worker.output, task.exception, task.traceback):
        assert CARD not in told
        assert "123" not in re.sub(r"line \d+|[0-9a-f-]{32,36}|\d\d:\d\d:\d\d\.\d+|:\d+", "", told)


def test_pending_steps_stop_the_start(shared_servers: servers.Servers, redis_url: str) -> None:
    """A worker refuses a database that lacks steps of the migration, and says what to do."""
    with servers.empty_database(shared_servers, f"defray_bare_{shared_servers.slot}") as url:
        worker = Worker({"DEFRAY_DATABASE_URL": url, "DEFRAY_REDIS_URL": redis_url})
        assert worker.ended() == 1
    assert "lacks these steps: 0001 First tables" in worker.output
    assert "Run `defray migrate`." in worker.output
    assert "Traceback" not in worker.output


def test_evicting_broker_is_refused(tmp_path: Path) -> None:
    """A Redis that may evict would drop what it was given: refused at start."""
    valkey = Valkey(tmp_path)
    valkey.start()
    try:
        boot.check_broker(valkey.url)
        with redis.Redis.from_url(valkey.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(DefrayError, match="maxmemory-policy is allkeys-lru"):
            boot.check_broker(valkey.url)
    finally:
        valkey.stop()
        valkey.remove()


def test_broker_away_at_start() -> None:
    """A broker that does not answer is told by name, without its password."""
    with pytest.raises(DefrayError, match="DEFRAY_REDIS_URL") as refused:
        boot.check_broker("redis://:hunter2@127.0.0.1:1/0")
    assert "hunter2" not in str(refused.value)


def test_wrong_settings_stop_the_start(environment: dict[str, str]) -> None:
    """A worker with a wrong setting ends with the one line that says which."""
    worker = Worker({**environment, "DEFRAY_LANES": "many"})
    assert worker.ended() == 1
    assert "DEFRAY_LANES is 'many'; expected: a whole number from 1 to 64." in worker.output
    assert "Traceback" not in worker.output


def test_servers_as_they_should_be(environment: dict[str, str]) -> None:
    """D2: with one time, all steps taken and a broker that keeps everything, a worker may start."""
    boot.check_servers(load(environment))


@pytest.mark.parametrize("minutes", [-5, 5])
def test_clock_skew(session_engine: Engine, monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    """D2: a machine whose clock is more than 2 s from the database's is refused, whichever is ahead."""

    class Skewed(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(minutes=minutes)

    check_clock(session_engine)
    monkeypatch.setattr(models.engine, "datetime", Skewed)
    with pytest.raises(DefrayError, match=r"differ by (299|300)\.\d s"):
        check_clock(session_engine)


def test_parts_of_a_process(environment: dict[str, str]) -> None:
    """A process has its parts from `begin` to `end`, and says so where it has none."""
    with pytest.raises(LookupError, match="no worker process"):
        boot.process()
    built = boot.begin(load(environment))
    assert boot.process() is built
    with built.engine.connect() as connection:
        assert connection.execute(text("SHOW application_name")).scalar_one() == "defray worker"
    boot.end()
    with pytest.raises(LookupError):
        boot.process()


def test_what_hangs_in_a_transaction_is_ended(database_url: str) -> None:
    """B3: a process that is stopped in the middle of a transaction does not hold its locks for ever."""
    engine = engine_for(database_url, "test")
    with engine.connect() as connection:
        assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "1min"
        assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"
    engine.dispose()
