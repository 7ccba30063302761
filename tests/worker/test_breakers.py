"""Rests that all workers share: one turns, one tells, a few try again; Redis may go and come at any time (E6)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from local.valkey import Valkey
from rules.outcomes import Approved, DeclineClass, Declined, Failed, FailureClass, Outcome
from worker.breakers import PROBES, Breakers, Turned

MINUTE = timedelta(minutes=1)
BUSY = Failed(FailureClass.BUSY, "106", "not now")
YES, NO = Approved("T1"), Declined(DeclineClass.HARD, "12")
SLOW_OURSELVES = Failed(FailureClass.NOT_SENT, "send_by")


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    """The Redis of the workers."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def worker(redis_url: str, fail_max: int = 3) -> Breakers:
    """What one worker process knows of two gateways."""
    client = redis.Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1)
    return Breakers(client, ["payflow", "stripe"], fail_max, MINUTE)


def said(*outcomes: Outcome, gateway: str = "payflow") -> list[tuple[str, Outcome]]:
    """Answers of one gateway."""
    return [(gateway, outcome) for outcome in outcomes]


def rested(one: Breakers) -> set[str]:
    """Which gateways this process thinks are rested."""
    one.look_anew()
    return set(one.rests())


def let_it_pass(broker: redis.Redis) -> None:
    """The rest began an hour ago."""
    broker.decr("defray:gateway:payflow:pybreaker:opened_at", 3600)


def test_failures_add_up_over_all_workers(redis_url: str) -> None:
    """E6: two failures here and one there rest the gateway for both; another gateway is not touched."""
    here, there = worker(redis_url), worker(redis_url)
    assert here.hear(said(BUSY, BUSY)) == []
    assert there.hear(said(BUSY)) == [Turned("payflow", True, "106 not now")]
    assert rested(here) == rested(there) == {"payflow"}
    rest = here.rests()["payflow"]
    assert timedelta(0) < rest.left <= MINUTE
    assert rest.why == "106 not now"


@pytest.mark.parametrize("healthy", [YES, NO], ids=["yes", "no"])
def test_an_answer_begins_the_count_anew(redis_url: str, healthy: Outcome) -> None:
    """E6: a yes or a decline in between, heard by another worker, and the failures before it count no more."""
    here, there = worker(redis_url), worker(redis_url)
    here.hear(said(BUSY, BUSY))
    assert rested(there) == set()
    there.hear(said(healthy))
    assert here.hear(said(BUSY, healthy, BUSY, BUSY)) == []
    assert rested(here) == set()


def test_our_own_slowness_counts_for_nothing(redis_url: str) -> None:
    """E1, E6: what was not sent in time says nothing of the gateway, neither for nor against it."""
    here = worker(redis_url)
    here.hear(said(BUSY, BUSY))
    assert here.hear(said(*[SLOW_OURSELVES] * 9)) == []
    assert here.hear(said(BUSY)) == [Turned("payflow", True, "106 not now")]


def test_it_is_told_once_however_many_turn_it(redis_url: str) -> None:
    """E6: eight workers whose calls fail at one moment raise one alarm."""
    start = threading.Barrier(8)

    def fail(_: int) -> list[Turned]:
        one = worker(redis_url)
        start.wait(10)
        return one.hear(said(*[BUSY] * 4))

    with ThreadPoolExecutor(8) as threads:
        told = [turned for each in threads.map(fail, range(8)) for turned in each]
    assert told == [Turned("payflow", True, "106 not now")]


def test_after_the_rest_one_worker_tries(redis_url: str, broker: redis.Redis) -> None:
    """E6: a few calls of one worker; when one is answered the gateway works again for all, told once."""
    here, there = worker(redis_url), worker(redis_url)
    here.hear(said(BUSY, BUSY, BUSY))
    let_it_pass(broker)
    assert rested(here) == rested(there) == {"payflow"}
    assert here.rests()["payflow"].over
    assert (here.try_again("payflow"), there.try_again("payflow")) == (PROBES, 0)
    assert here.hear(said(YES, YES, YES)) == [Turned("payflow", False, "")]
    assert rested(here) == rested(there) == set()


def test_who_tries_and_fails_lets_it_rest_anew(redis_url: str, broker: redis.Redis) -> None:
    """E6: rested once more and not told again; after that rest there is another try."""
    here, there = worker(redis_url), worker(redis_url)
    here.hear(said(BUSY, BUSY, BUSY))
    let_it_pass(broker)
    here.try_again("payflow")
    assert here.hear(said(BUSY, BUSY, BUSY)) == []
    assert rested(there) == {"payflow"}
    assert not there.rests()["payflow"].over
    let_it_pass(broker)
    assert there.try_again("payflow") == PROBES


def test_who_dies_trying_hinders_nobody_for_long(redis_url: str, broker: redis.Redis) -> None:
    """E6: the right to try ends with the length of a rest."""
    here = worker(redis_url)
    here.hear(said(BUSY, BUSY, BUSY))
    let_it_pass(broker)
    here.try_again("payflow")
    assert 0 < broker.ttl("defray:gateway:payflow:pybreaker:trying") <= 60


def test_an_answer_that_comes_late_ends_no_rest(redis_url: str) -> None:
    """E6: calls under way when it began to rest may still be answered: that is no sign that new ones would be."""
    here = worker(redis_url)
    here.hear(said(BUSY, BUSY, BUSY))
    assert rested(here) == {"payflow"}
    assert here.hear(said(YES)) == []
    assert rested(here) == {"payflow"}


def test_a_redis_that_dies_while_one_rests(tmp_path: Path) -> None:
    """D3, E6: it dies: every gateway counts as working and nothing is raised; it comes back empty: all begins anew."""
    valkey = Valkey(tmp_path)
    valkey.start()
    here = worker(valkey.url)
    try:
        here.hear(said(BUSY, BUSY, BUSY))
        assert rested(here) == {"payflow"}
        valkey.stop()
        assert rested(here) == set()
        assert here.try_again("payflow") == 0
        assert here.hear(said(BUSY, BUSY, BUSY)) == []
        valkey.start()
        assert rested(here) == set()
        assert here.hear(said(BUSY, BUSY, BUSY)) == [Turned("payflow", True, "106 not now")]
    finally:
        valkey.stop()
        valkey.remove()


def test_a_flushed_redis_forgets(redis_url: str, broker: redis.Redis) -> None:
    """D3, E6: whoever knew of the rest calls again; as many failures as ever rest it again, which is told."""
    here = worker(redis_url)
    here.hear(said(BUSY, BUSY, BUSY))
    broker.flushdb()
    assert rested(here) == set()
    assert here.hear(said(BUSY, BUSY)) == []
    assert here.hear(said(BUSY)) == [Turned("payflow", True, "106 not now")]


def test_a_gateway_that_works_costs_redis_nothing(redis_url: str, broker: redis.Redis) -> None:
    """E6: a thousand good answers: not a word is written, and it is read once a second at most."""
    here = worker(redis_url)
    for _ in range(40):
        here.rests()
        assert here.hear(said(*[YES] * 25)) == []
    assert broker.keys("defray:gateway:*") == []


def test_none_is_ever_rested(redis_url: str) -> None:
    """E6: fail_max 0 turns it off."""
    here = worker(redis_url, fail_max=0)
    assert here.hear(said(*[BUSY] * 50)) == []
    assert rested(here) == set()
