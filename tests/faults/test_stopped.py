"""Who stands still: a worker for longer than its lease (E1, E4), or somebody who holds all customers (D2)."""

from __future__ import annotations

import time

from sqlalchemy import text

from sandbox.client import hold
from tests.faults.plant import Gate, Plant, Silent, amex, until, visa


def test_stopped_longer_than_its_lease(plant: Plant, gate: Gate) -> None:
    """E1, E4, B03: what it had not sent it does not send any more; what it hears late changes nothing."""
    unsent, answered = amex(10), visa(10)
    plant.environment |= {
        "DEFRAY_PLUGNPAY_URL": gate.url(plant.sandbox.url("plugnpay")),
        "DEFRAY_CONNECT_TIMEOUT": "30",
        "DEFRAY_SEND_WITHIN": "4",
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
    until(lambda: time.monotonic() > begun + 4.5, "its time to send is over")
    asked, said = behind.client.request_count(), plant.rows("SELECT count(*) AS n FROM evidence")[0].n
    stopped.go_on()
    until(lambda: plant.rows("SELECT count(*) AS n FROM evidence")[0].n == said + 20, "it says what it heard")
    assert behind.client.request_count() == asked
    assert plant.payments() == {"posted": 20}
    assert plant.sales() == {"approved": 20}
    assert set(plant.alarms()) <= {"alarm.gateway_rested"}  # ten connections may have ended in that time
    plant.check()


def test_everybody_is_busy(plant: Plant) -> None:
    """D2: a lane that finds all customers locked by one who stands still says so once; it does not wake in circles."""
    worker = plant.worker()
    batch = plant.hand_in(visa(20), plant.producer_waking(Silent()))
    with plant.engine.connect() as still, still.begin():
        still.execute(text("SELECT 1 FROM customers FOR NO KEY UPDATE"))
        plant.wake.batch(batch, "charge", 1)
        worker.wait_for(f"batch {batch}: 0 of 20, none begun (this task: nothing was due)")
        plant.celery.send_task("defray.inquire", queue="bulk")  # behind whatever it woke
        worker.wait_for("nothing to look up")
        assert worker.output.count("nothing was due") == 1
    plant.advance(seconds=20)
    plant.sweep()
    plant.wait_for_payments(posted=20)
    plant.check()


def test_one_customer_of_many_batches(plant: Plant) -> None:
    """D2: batches of one customer, worked on at once, wait for each other; no sweeper has to come."""
    plant.environment["DEFRAY_WINDOW"] = "20"
    plant.sandbox.client.change(latency_ms=50)
    silent = plant.producer_waking(Silent())
    batches = [plant.submit(plant.ask(visa(240)[first : first + 60], "C-1"), silent) for first in range(0, 240, 60)]
    for name in ("one", "other"):
        plant.worker(name)
    for batch in batches:
        assert batch.batch_id is not None
        plant.wake.batch(batch.batch_id, "charge", 1)
    plant.wait_for_payments(posted=240)
    plant.check()
