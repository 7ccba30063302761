"""A worker that stands still for longer than its lease, then goes on; another one looked its calls up (E1, E4)."""

from __future__ import annotations

import time

from sandbox.client import hold
from tests.faults.plant import Gate, Plant, amex, until, visa


def test_stopped_longer_than_its_lease(plant: Plant, gate: Gate) -> None:
    """E1, E4, B03: what it had not sent it does not send any more; what it hears late changes nothing."""
    unsent, answered = amex(10), visa(10)
    plant.environment |= {
        "DEFRAY_PLUGNPAY_URL": gate.url("plugnpay"),
        "DEFRAY_CONNECT_TIMEOUT": "30",
        "DEFRAY_SEND_WITHIN": "2",
    }
    plant.sandbox.client.scenario(after=[hold("answered")], gateway="payflow", operation="sale", times=10)
    stopped = plant.worker("stopped", "bulk", 1)
    plant.hand_in([*unsent, *answered])
    begun = time.monotonic()
    plant.sandbox.client.wait_for("answered", 10)
    child = stopped.child_in_call(gate.port)
    until(lambda: gate.knocking(child) == 10, "ten calls wait for their connection")
    assert plant.sales() == {"started": 20}
    assert plant.charged(answered) == [1] * 10
    stopped.stop()
    plant.sandbox.client.release("answered")  # the answers wait in its sockets
    behind = gate.open()
    plant.sandboxes.append(behind)

    plant.worker("other", "scheduled", 1)
    plant.advance(minutes=20)
    plant.sweep()
    plant.wait_for_payments(posted=20)
    assert plant.charged(unsent) == [1] * 10
    until(lambda: time.monotonic() > begun + 2.5, "its time to send is over")
    asked, said = behind.client.request_count(), plant.rows("SELECT count(*) AS n FROM evidence")[0].n
    stopped.go_on()
    until(lambda: plant.rows("SELECT count(*) AS n FROM evidence")[0].n == said + 20, "it says what it heard")
    assert behind.client.request_count() == asked
    assert plant.payments() == {"posted": 20}
    assert plant.sales() == {"approved": 20}
    assert plant.alarms() == []
    plant.check()
