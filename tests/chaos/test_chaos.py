"""Three short seeds on real processes, and what a batch sends to the broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import plant
from tests.faults.plant import Plant
from worker.wake import CROWDED

__all__ = ["plant"]

PROJECT = Path(__file__).parents[2]
SHORT = "--short --quiet --payments 30 --singles 8 --apps 2 --faults 5 --seconds 1".split()


@pytest.mark.timeout(300)
def test_short_seeds() -> None:
    """D1-D3, E1-E5: processes and servers are killed, stopped, cut off; each card is charged once, all books agree."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seeds", "3", *SHORT],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-5_000:]
    assert "3 of 3 seeds went well" in ran.stdout


def test_batch_sends_no_message_for_each_payment(plant: Plant) -> None:
    """D1, D3: a batch of 3,000 sends one message a lane; a sweep, too, and none where nobody takes them."""
    asked = [
        {
            "idempotency_key": f"key-{place}",
            "method": "check",
            "currency": "USD",
            "customer": f"C-{place % 100}",
            "amount_minor": 100,
            "as_credit": True,
        }
        for place in range(3_000)
    ]
    plant.bill({f"I-{place}": (f"C-{place}", 100) for place in range(100)})
    assert plant.submit(asked).recorded == 3_000
    assert plant.broker.llen("bulk") == 2
    plant.broker.delete("bulk")
    plant.worker("scheduled", "scheduled", 1)
    plant.advance(seconds=20)
    plant.sweep()
    plant.running[0].wait_for("woke batch")
    assert plant.broker.llen("bulk") <= 2
    plant.broker.rpush("bulk", *["one that nobody takes"] * CROWDED)
    waiting = plant.broker.llen("bulk")
    plant.sweep()
    plant.running[0].wait_for("nothing is overdue; bulk is crowded")
    assert plant.broker.llen("bulk") == waiting
    assert plant.payments() == {"requested": 3_000}
