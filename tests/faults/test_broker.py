"""A broker that forgets, that comes and goes, that is away (D1, D3, B64), and messages that come twice (D4, B04)."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from socket import gethostname
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from celery.events.state import State
from sqlalchemy.exc import DBAPIError

from books import clock, sweep
from local.valkey import Valkey
from sandbox.client import hold
from tests.faults.plant import Plant, Silent, Twice, connections, declined_once, until, visa


def test_flushed_in_the_middle(plant_of_its_own: Plant) -> None:
    """D3, B05: FLUSHALL takes all wake-up calls and the codes' keys; the sweeper comes, every card is charged once."""
    plant = plant_of_its_own
    plant.environment["DEFRAY_WINDOW"] = "10"
    sandbox = plant.sandbox.client
    sandbox.scenario(after=[hold("answered")], operation="sale", times=10)
    plant.worker(concurrency=1)
    cards = visa(90)
    for first in range(0, 90, 30):
        plant.hand_in(cards[first : first + 30])
    sandbox.wait_for("answered", 10)
    assert plant.sales() == {"started": 10}
    assert plant.payments() == {"charging": 10, "requested": 80}
    assert plant.broker.llen("bulk") == 2
    plant.broker.flushall()
    sandbox.release("answered")
    plant.wait_for_payments(posted=30, requested=60)  # the batch that was begun; of the others nobody knows
    plant.beat()
    plant.advance(seconds=20)  # the sweeper gives fresh messages ten seconds
    plant.wait_for_payments(posted=90)
    plant.check()


def test_broker_comes_and_goes(plant_of_its_own: Plant, valkey: Valkey) -> None:
    """B64, D1: three restarts within five seconds with 100 payments due; workers and beat go on without a hand."""
    plant = plant_of_its_own
    plant.sandbox.client.change(latency_ms=100)
    plant.environment["DEFRAY_WINDOW"] = "10"
    worker, beat = plant.worker(), plant.beat()
    begun = time.monotonic()
    valkey.stop()
    plant.hand_in(visa(100))  # nobody can be woken; that is no error of the one who hands in
    assert plant.payments() == {"requested": 100}
    for _ in range(2):
        valkey.start()
        valkey.stop()
    valkey.start()
    assert time.monotonic() - begun < 5
    plant.advance(seconds=20)
    plant.wait_for_payments(posted=100)
    plant.hand_in(visa(110)[100:])  # and it is woken again as if nothing had been
    plant.wait_for_payments(posted=110)
    assert [list(said) for said in plant.celery.control.ping(timeout=10, limit=1)] == [[f"worker@{gethostname()}"]]
    assert worker.process.poll() is None
    assert beat.process.poll() is None
    plant.check()
    plant.drain()


def test_full_broker_ends_no_worker(plant_of_its_own: Plant) -> None:
    """D3: a worker that cannot even take a message, since Redis is full, goes on when it no longer is."""
    plant = plant_of_its_own
    worker = plant.worker(concurrency=1)
    worker.stop()
    plant.sweep()
    plant.broker.config_set("maxmemory", 1)
    worker.go_on()
    worker.wait_for("OutOfMemoryError")
    plant.broker.config_set("maxmemory", 0)
    plant.hand_in(visa(10))
    plant.wait_for_payments(posted=10)
    assert worker.process.poll() is None
    plant.check()


def test_no_connection_is_left_behind(plant_of_its_own: Plant) -> None:
    """B64, D3: however often a full broker refuses a worker that it dropped, no connection stays open."""
    plant = plant_of_its_own
    worker = plant.worker(concurrency=1)
    parent, port = psutil.Process(worker.process.pid), urlsplit(plant.environment["DEFRAY_REDIS_URL"]).port or 0
    plant.hand_in(visa(10))
    plant.wait_for_payments(posted=10)
    before = len(connections(parent, port))

    def refused() -> bool:
        times = len(re.findall("maxmemory|OutOfMemory", worker.output))
        if not times:  # the client repairs what it finds cut, so that one cut may be no loss
            plant.broker.client_kill_filter(_type="normal", skipme=True)
        return times >= 10

    plant.broker.config_set("maxmemory", 1)
    until(refused, "it is refused ten times")
    plant.broker.config_set("maxmemory", 0)
    plant.hand_in(visa(20)[10:])
    plant.wait_for_payments(posted=20)
    until(lambda: len(connections(parent, port)) <= before, f"it has {before} connections again, as before", 10)
    plant.check()


def test_every_message_twice(plant: Plant) -> None:
    """D4, B03, B04, B07: each message comes twice, to two workers under two beats; nothing is done twice."""
    sandbox = plant.sandbox.client
    sandbox.scenario(after=[hold("answered")], operation="sale", times=100)
    cards = [*visa(60), *declined_once(40)]
    plant.hand_in(cards, plant.producer_waking(Twice(plant.wake)))
    queued = plant.broker.lrange("bulk", 0, -1)
    assert len(queued) == 2
    plant.broker.rpush("bulk", *queued)  # and each of them again, under its old id
    workers = [plant.worker("one"), plant.worker("other")]
    sandbox.wait_for("answered", 100)
    until(lambda: sum(one.output.count("defray.charge[") for one in workers) >= 4, "all four are taken")
    for number in (1, 2):
        plant.beat(f"beat-{number}")
    assert sandbox.barrier("answered").arrived == sandbox.request_count() == 100
    sandbox.release("answered")
    plant.wait_for_payments(posted=60, retrying=40)
    with plant.engine.begin() as conn:
        sweep.hasten(conn, None, clock.now(conn))
    for task in ("defray.retry", "defray.sweep", "defray.inquire") * 2:
        plant.celery.send_task(task, queue="scheduled")
    plant.wait_for_payments(posted=100)
    for one in workers:
        one.wait_for("defray.sweep")
        assert "raised" not in one.output
    assert plant.sales() == {"approved": 100, "declined": 40}
    assert {sandbox.card(card).declined for card in cards[60:]} == {1}
    assert sandbox.request_count() == 140
    plant.check()


def test_handed_in_again(plant: Plant) -> None:
    """B02: who handed in died before it could wake anybody, and hands the same in again: recorded and charged once."""
    asked = plant.ask(visa(20))
    first = plant.submit(asked, plant.producer_waking(Silent()))
    again = plant.submit(asked)
    assert (again.batch_id, again.recorded, again.repeated) == (first.batch_id, 0, 20)
    plant.worker(concurrency=1)
    plant.advance(seconds=20)
    plant.sweep()
    plant.wait_for_payments(posted=20)
    assert plant.submit(asked).recorded == 0
    plant.sweep()
    plant.running[0].wait_for("nothing is overdue")
    assert plant.sandbox.client.request_count() == 20
    plant.check()


def test_waking_inside_a_slow_transaction(plant: Plant) -> None:
    """B06: a commit that takes its time loses no message; a transaction that fails wakes nobody and charges nothing."""
    plant.worker(concurrency=1)
    taken, refused = visa(40)[:20], visa(40)[20:]
    on_commit = (
        "CREATE FUNCTION on_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {}; RETURN NULL; END $$;"
        " CREATE CONSTRAINT TRIGGER on_commit AFTER INSERT ON batches DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION on_commit()"
    )
    try:
        plant.do(on_commit.format("PERFORM pg_sleep(1)"))
        plant.hand_in(taken)
        plant.wait_for_payments(posted=20)
        plant.do("DROP FUNCTION on_commit() CASCADE")
        plant.do(on_commit.format("RAISE EXCEPTION 'not today'"))
        requests = plant.sandbox.client.request_count()
        messages = plant.running[0].output.count("received")
        with pytest.raises(DBAPIError, match="not today"):
            plant.hand_in(refused)
        assert plant.payments() == {"posted": 20}
        plant.sweep()
        plant.running[0].wait_for("nothing is overdue")
        assert plant.running[0].output.count("received") == messages + 1
        assert plant.sandbox.client.request_count() == requests
    finally:
        plant.do("DROP FUNCTION on_commit() CASCADE")
    plant.check(never=refused)


def test_no_results_but_sentences(plant: Plant) -> None:
    """D4, B65, B66: no result is kept anywhere and none is waited for; what a task did is told by its event."""
    state, heard = State(), []

    def hear(event: dict[str, Any]) -> None:
        state.event(event)
        heard.append(event["type"])

    plant.worker()
    with plant.celery.connection() as connection:
        receiver = plant.celery.events.Receiver(connection, handlers={"*": hear})
        with receiver.consumer_context(wakeup=False) as (listening, _, _):

            def told(kind: str, times: int) -> bool:
                with suppress(TimeoutError):
                    listening.drain_events(timeout=1)
                return heard.count(kind) >= times

            until(lambda: told("worker-heartbeat", 1), "the worker is heard")
            batch = plant.hand_in(visa(110))
            until(lambda: told("task-succeeded", 2), "both lanes tell what they did")
    tasks = list(state.tasks.values())
    assert {task.name for task in tasks} == {"defray.charge"}
    lanes = {f"{{'batch': {batch}, 'lane': '{lane} of 2'}}" for lane in (1, 2)}
    assert lanes <= {task.kwargs for task in tasks}
    assert all(task.result.startswith(f"'batch {batch}: ") for task in tasks)
    assert any(task.result.startswith(f"'batch {batch}: 110 of 110, posted 110 (this task: ") for task in tasks)
    assert "results:     disabled://" in plant.running[0].output
    kept = {key.decode() for key in plant.broker.scan_iter("*")}
    assert not [key for key in kept if "celery-task-meta" in key or "chord" in key or "taskset" in key], kept
    plant.check()
