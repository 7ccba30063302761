"""What a task says of a batch, in Flower and in the log."""

from __future__ import annotations

from datetime import datetime, timedelta

from books import claim, clock, progress
from books.tally import Tally
from rules.speed import Speed
from tests.flows.house import House, card


def test_how_far_a_batch_is(house: House) -> None:
    """D4: done of all, by state, the rate and the time left, and what this task did of it."""
    for name in ("C-1", "C-2", "C-3"):
        house.bill(name, {"A-1": 1250})
    cards = house.producer.keep_cards([card(), card(), card("4000000000009979")])
    rows = [
        {
            "customer": f"C-{place}",
            "currency": "USD",
            "method": "credit_card",
            "card_token": one.token,
            "amount_minor": 1250,
            "idempotency_key": str(place),
        }
        for place, one in enumerate(cards, start=1)
    ]
    batch = house.producer.submit(rows, label="", caller="shop", idempotency_key="b", by="ann").batch_id
    assert batch is not None
    with house.engine.connect() as conn:
        began, speed = clock.now(conn), Speed()

    def said(now: datetime, tally: Tally) -> str:
        with house.engine.connect() as conn:
            return progress.sentence(conn, claim.Batch(batch), tally, now, speed)

    assert said(began, Tally()) == f"batch {batch}: 0 of 3, none begun (this task: nothing was due)"
    house.charge(batch, most=1)
    assert said(began + timedelta(seconds=10), Tally(posted=1)) == (
        f"batch {batch}: 1 of 3, posted 1; 0.1 payments a second, about 20 s left (this task: 1 posted)"
    )
    house.charge(batch)
    assert said(began + timedelta(seconds=12), Tally(posted=1, declined=1)) == (
        f"batch {batch}: 3 of 3, declined 1, posted 2 (this task: 1 posted, 1 declined)"
    )
