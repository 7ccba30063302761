"""kill -9 of a pool child and of a whole worker, before the send and between answer and recording (B05)."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from local import pids
from sandbox.client import hold
from tests.faults.plant import Gate, Plant, Running, amex, until, visa


def kill_child(worker: Running, child: psutil.Process) -> None:
    """The child only; its parent starts another one."""
    child.kill()
    assert pids.wait_until_gone(child.pid, pids.birth(child.pid), 5)


def kill_worker(worker: Running, child: psutil.Process) -> None:
    """Parent and pool."""
    worker.kill()


def kill_parent(worker: Running, child: psutil.Process) -> None:
    """The parent only; its pool goes with it."""
    born = pids.birth(child.pid)
    worker.process.kill()
    worker.process.wait()
    assert pids.wait_until_gone(child.pid, born, 5)


@pytest.mark.parametrize(
    ("kill", "shut", "reached"),
    [
        (kill_child, "plugnpay", "payflow"),
        (kill_worker, "payflow", "plugnpay"),
        (kill_parent, "plugnpay", "payflow"),
        (kill_child, "paypal", "stripe"),
        (kill_worker, "stripe", "authorizenet"),
        (kill_parent, "authorizenet", "paypal"),
    ],
)
def test_killed(
    plant: Plant, gate: Gate, kill: Callable[[Running, psutil.Process], None], shut: str, reached: str
) -> None:
    """B05, E1, E4: whatever was sent, booked or answered when it died, every card is charged once, by the sweeper."""
    unsent, sent = visa(10), amex(20)
    unbooked, booked = sent[:10], sent[10:]
    plant.route(others=shut, amex=reached)
    plant.environment |= {
        f"DEFRAY_{shut.upper()}_URL": gate.url(plant.sandbox.url(shut)),
        "DEFRAY_CONNECT_TIMEOUT": "30",
    }
    sandbox = plant.sandbox.client
    for card in unbooked:
        sandbox.scenario(before=[hold("on its way")], card=card, operation="sale")
    for card in booked:
        sandbox.scenario(after=[hold("answered")], card=card, operation="sale")
    worker = plant.worker("first")
    plant.hand_in([*unsent, *unbooked, *booked])

    sandbox.wait_for("on its way", 10)
    sandbox.wait_for("answered", 10)
    child = worker.child_in_call(gate.port)
    knocks = 1 if shut == "paypal" else 10  # who has no token yet waits for the one that is fetched
    until(lambda: gate.knocking(child) == knocks, "ten calls wait for their connection")
    assert plant.sales() == {"started": 30}
    assert plant.charged(unbooked) == [0] * 10
    assert plant.charged(booked) == [1] * 10
    kill(worker, child)
    if worker.process.poll() is not None:
        plant.worker("second")
    plant.beat()
    sandbox.release("answered")
    plant.sandboxes.append(gate.open())

    plant.advance(minutes=5)  # their leases are over; what was booked is found
    plant.sweep()
    plant.wait_for_payments(posted=10, charging=20)
    assert plant.charged([*unsent, *unbooked]) == [0] * 20
    plant.advance(minutes=16)  # absence means something now: the same references are sent again
    plant.sweep()
    plant.wait_for_payments(posted=30)
    assert sandbox.release("on its way") == 10  # and now the first sends arrive, too late
    assert {row.sends for row in plant.rows("SELECT DISTINCT sends FROM gateway_transactions")} == {1, 2}
    plant.check()
    plant.drain()
