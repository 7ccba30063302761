"""What beat starts: the sweeper, the retry run, the forgetting of cards, the look for expiring ones (D3, R16, C2)."""

from __future__ import annotations

import celeryconfig
from tasks import expiry, forget, retry, sweep


def test_beat_starts_these_alone() -> None:
    """D3, R16, C2: beat starts these four and nothing else."""
    tasks = {sweep.run.name, retry.run.name, forget.run.name, expiry.run.name}
    assert {entry["task"] for entry in celeryconfig.beat_schedule.values()} == tasks
