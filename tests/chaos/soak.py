"""Load without a pause, with faults, and what grows: memory, connections, file handles, queues, what is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from statistics import median
from typing import Final

import psutil
import redis
from sqlalchemy.exc import SQLAlchemyError

from tests.chaos import check
from tests.chaos.faults import Script, plan
from tests.chaos.load import Load
from tests.chaos.run import PATIENCE, Trial
from tests.chaos.site import Site

SPARING: Final = (
    "flush",
    "fill memory",
    "cut",
    "refuse",
    "hold",
    "delay",
    "lose answers",
    "kill redis",
    "kill backend",
)
"""Faults after which all of Defray's processes still are the same ones, so that what they hold can be compared."""
MIB: Final = 1 << 20
SLACK: Final[Mapping[str, float]] = {
    "memory, MiB": 40,
    "handles": 40,
    "database connections": 15,
    "broker connections": 15,
    "messages": 50,
    "oldest due, s": 60,
}
"""By how much the median of the last third may be above one and a quarter times that of the first."""

Sample = dict[str, float]


def soak(site: Site, minutes: float, trial: Trial, say: Callable[[str], None]) -> list[str]:
    """Load and faults for so long; what is wrong at the end, in words."""
    site.clear()
    samples: list[Sample] = []
    over, number, amounts = time.monotonic() + 60 * minutes, 0, 0
    loads: list[Load] = []
    while time.monotonic() < over:
        number += 1
        load = Load(site, number, trial.payments, trial.singles, amounts)
        amounts += trial.payments + trial.singles
        loads.append(load)
        load.prepare()
        load.start(trial.apps)
        script = Script(site)
        script.run(plan(number, trial.faults, trial.seconds, site.size.lease, SPARING))
        script.stop()
        load.finish(PATIENCE)
        with suppress(SQLAlchemyError, redis.RedisError):
            samples.append(_sample(site))
            say(f"round {number}: " + ", ".join(f"{name} {value:.0f}" for name, value in samples[-1].items()))
    site.wait_until_ready()
    check.come_to_rest(site, PATIENCE)
    everything = Load(site, 0, 0, 0, acknowledged=[one for load in loads for one in load.acknowledged])
    return [*check.wrong(site, everything), *_grown(samples, say)]


def _sample(site: Site) -> Sample:
    processes = [process for name in site.kept for process in site.everyone(name)]
    memory, handles = 0.0, 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            memory += process.memory_full_info().pss / MIB
            handles += process.num_fds()
    [database] = site.rows("SELECT count(*) AS n FROM pg_stat_activity WHERE usename = 'defray'")
    [due] = site.rows(_OLDEST)
    return {
        "memory, MiB": memory,
        "handles": handles,
        "database connections": database.n,
        "broker connections": int(site.broker.info("clients")["connected_clients"]),
        "messages": sum(int(str(site.broker.llen(queue))) for queue in _QUEUES),
        "oldest due, s": float(due.seconds),
    }


_QUEUES: Final = ("interactive", "bulk", "scheduled", "outbound")
_OLDEST: Final = """
    SELECT coalesce(greatest(extract(epoch FROM now() + ahead - min(due_at)), 0), 0) AS seconds FROM clock, (
        SELECT min(due_at) AS due_at FROM payments WHERE next_step IS NOT NULL
        UNION ALL SELECT min(due_at) FROM gateway_transactions WHERE next_step IS NOT NULL
        UNION ALL SELECT min(due_at) FROM reversals WHERE next_step IS NOT NULL) AS oldest GROUP BY ahead"""


def _grown(samples: Sequence[Sample], say: Callable[[str], None]) -> list[str]:
    third = max(1, len(samples) // 3)
    wrong = []
    for name, slack in SLACK.items():
        first, last = (median(one[name] for one in part) for part in (samples[:third], samples[-third:]))
        say(f"{name}: {first:.0f} in the first third, {last:.0f} in the last")
        if last > 1.25 * first + slack:
            wrong.append(f"{name} grew from {first:.0f} to {last:.0f}")
    return wrong
