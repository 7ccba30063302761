"""Issue 6: apps are told by real workers, woken by the task that recorded what happened."""

from __future__ import annotations

import json

from books import clock, feed
from books import webhooks as hooks
from tests.faults.plant import Plant, until, visa
from tests.webhooks.conftest import SECRET, receiving


def test_told_without_the_sweeper(plant: Plant) -> None:
    """D1: no sweep is made: the message that charged a batch wakes who tells apps, and each payment is told of once."""
    plant.environment["DEFRAY_WEBHOOK_ALLOW_PRIVATE"] = "yes"
    with plant.engine.begin() as conn:
        feed.settle(conn)
    sealed = plant.vault.seal_text(SECRET, hooks.PURPOSE)
    with receiving() as app:
        with plant.engine.begin() as conn:
            kept = hooks.Sealed(sealed.key_id, sealed.sealed)
            hooks.add(conn, app.url, ("payment.posted",), None, "", kept, clock.now(conn), "ada")
        plant.worker()
        batch = plant.hand_in(visa(3))
        until(lambda: len(app.got) == 3, "the app is told of three payments")
        told = [json.loads(body)["data"]["payment"] for _, body in app.got]
        posted = plant.rows("SELECT id FROM payments WHERE state = 'posted' AND batch_id = :id", id=batch)
        assert sorted(one["id"] for one in told) == sorted(row.id for row in posted)
        assert {one["batch_id"] for one in told} == {batch}
        plant.drain()
