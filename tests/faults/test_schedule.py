"""What beat starts: the sweeper and the retry run (D3, R16)."""

from __future__ import annotations

import celeryconfig
from tasks import retry, sweep


def test_beat_starts_the_sweeper_and_the_retry_run() -> None:
    """D3, R16: beat starts these two and nothing else."""
    assert {entry["task"] for entry in celeryconfig.beat_schedule.values()} == {sweep.run.name, retry.run.name}
