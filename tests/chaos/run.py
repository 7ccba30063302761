"""One seed: the apps ask, the faults come and go, and in the end everything is compared."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos import check
from tests.chaos.faults import Script, plan
from tests.chaos.load import Load
from tests.chaos.site import Site

PATIENCE: Final = 60.0
"""Seconds without any change after which something is stuck."""
_LOOKED_UP: Final = "SELECT count(DISTINCT gateway_transaction_id) AS n FROM evidence WHERE kind = 'inquiry'"
_RAISED: Final = re.compile(r"raised unexpected: ([A-Z]\w+\(['\"].{0,60})")


@dataclass(frozen=True, slots=True)
class Trial:
    """How much is asked for, and how much goes wrong, for how long."""

    payments: int
    singles: int
    apps: int
    faults: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a seed went: what was wrong, and figures for the log."""

    seed: int
    wrong: Sequence[str]
    kinds: Counter[str]
    figures: str
    seconds: float


def run(site: Site, seed: int, trial: Trial, say: Callable[[str], None]) -> Outcome:
    """Run a seed on a site that is up."""
    began = time.monotonic()
    site.clear()
    load = Load(site, seed, trial.payments, trial.singles)
    load.prepare()
    early = plan(2 * seed, trial.faults // 5, trial.seconds / 5, site.size.lease)
    faults = plan(2 * seed + 1, trial.faults - len(early), trial.seconds, site.size.lease)
    script = Script(site)
    wrong: list[str] = []
    moved = 0.0
    load.start(trial.apps)
    try:
        script.run(early, lambda: not load.handed_in)
        say(f"the batch is handed in: {site.glance()}")
        over = time.monotonic() + trial.seconds
        script.run(faults, lambda: time.monotonic() < over)
        say("all faults are over")
        site.sandbox.client.change(latency_ms=10, tail_percent=0)
        site.wait_until_ready()
        load.finish(PATIENCE)
        moved = check.come_to_rest(site, PATIENCE)
        say(f"at rest, the clock was moved by {moved:.0f} s: {site.glance()}")
        wrong += check.wrong(site, load)
    except AssertionError as stuck:
        wrong.append(str(stuck))
    finally:
        script.stop()
        load.stop()
    return Outcome(
        seed, wrong, Counter(one.kind for one in (*early, *faults)), _figures(site, load), time.monotonic() - began
    )


def _figures(site: Site, load: Load) -> str:
    states = site.rows("SELECT state, count(*) AS n FROM payments GROUP BY 1 ORDER BY 2 DESC, 1")
    reversals = site.rows("SELECT purpose, state, count(*) AS n FROM reversals GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2")
    again = site.rows("SELECT count(*) AS n FROM gateway_transactions WHERE sends > 1")[0].n
    looked_up = site.rows("SELECT count(DISTINCT gateway_transaction_id) AS n FROM evidence WHERE kind = 'inquiry'")[
        0
    ].n
    alarms = site.rows("SELECT what, why, count(*) AS n FROM events WHERE what LIKE 'alarm.%' GROUP BY 1, 2")
    raised = Counter(_RAISED.findall(site.logs()))
    lines = [
        "payments: " + ", ".join(f"{row.n} {row.state}" for row in states),
        "reversals: " + ", ".join(f"{row.n} {row.purpose} {row.state}" for row in reversals),
        f"{looked_up} looked up at the gateways, {again} sent again under the same reference",
        f"asked again by the apps: {dict(load.troubles)}; refused: {dict(load.refused)}",
        "alarms: " + ", ".join(f"{row.n} {row.what.removeprefix('alarm.')} ({row.why})" for row in alarms),
        f"tasks that raised: {dict(raised)}; ended by itself: {site.ended_by_itself}",
    ]
    site.ended_by_itself.clear()
    return "\n".join(f"    {line}" for line in lines)
