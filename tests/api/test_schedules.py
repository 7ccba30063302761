"""Planned payments, schedules and holds as upstream apps make them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from tasks import schedule as task
from tests.api.conftest import App, fields_of, problem
from tests.flows.house import House
from tests.flows.test_schedules import today, until_day

DAY = timedelta(days=1)
WHY = {"reason": "as agreed"}


@pytest.fixture
def asked(shop: App, house: House) -> dict[str, Any]:
    """A schedule that can be asked for: the customer owes, and let us keep a card."""
    shop.bill("C-1", {"A": 500, "B": 9_000})
    said = shop.by_card(500, invoices=["A"])
    shop.made("/v1/payments", **said, keep_card=True)
    house.work()
    return {
        "customer": "C-1",
        "currency": "USD",
        "amount_minor": 700,
        "unit": "week",
        "card_token": said["card_token"],
    }


def numbers_kept(house: House, token: str) -> int:
    """1 where the card's number can still be read."""
    kept = "SELECT count(*) AS n FROM card_vault WHERE token = :token AND wrapped_key IS NOT NULL"
    return int(house.row(kept, token=token).n)


def test_a_schedule(shop: App, house: House, asked: dict[str, Any]) -> None:
    """Made, run, looked at, skipped, paused, resumed, stopped; the feed tells of each."""
    made = shop.made("/v1/schedules", **asked, times=3)
    first = today(house)
    assert (made["state"], made["next_on"], made["card"]) == (
        "active",
        first.isoformat(),
        {"brand": "visa", "last_four": "1111"},
    )
    task.work(house.context)
    house.work()
    at = f"/v1/schedules/{made['id']}"
    [run] = shop.get(f"{at}/runs").json()["data"]
    assert (run["due_on"], run["outcome"]) == (first.isoformat(), "payment")
    payment = shop.get(f"/v1/payments/{run['payment_id']}").json()
    assert (payment["state"], payment["initiated_by"], payment["recurring"]) == ("posted", "schedule", True)
    assert shop.made(f"{at}/skip", **WHY)["next_on"] == (first + 14 * DAY).isoformat()
    assert shop.made(f"{at}/pause", **WHY)["next_on"] is None
    assert problem(shop.post(f"{at}/pause", WHY)) == (409, "state-refuses")
    assert shop.made(f"{at}/resume")["state"] == "active"
    assert shop.made(f"{at}/stop", **WHY)["state"] == "ended"
    assert [one["id"] for one in shop.get("/v1/schedules", customer="C-1").json()["data"]] == [made["id"]]
    assert problem(shop.get("/v1/schedules/999999")) == (404, "not-found")
    house.do("UPDATE event_horizon SET safe_id = (SELECT last_value FROM events_id_seq)")
    told = [one for one in shop.get("/v1/events", limit=200).json()["data"] if one["type"].startswith("schedule.")]
    assert [one["type"].partition(".")[2] for one in told] == [
        "created",
        "ran",
        "skipped",
        "paused",
        "resumed",
        "ended",
    ]
    assert told[1]["data"]["schedule"] == {"id": made["id"], "due_on": first.isoformat()}
    assert told[1]["data"]["payment"]["id"] == payment["id"]


def test_what_a_schedule_is_refused_for(shop: App, asked: dict[str, Any]) -> None:
    """Every fault names its field."""
    for change, field in (
        ({"customer": "C-9"}, "customer"),
        ({"card_token": "card_unknown"}, "card_token"),
        ({"all_owed": True}, "amount_minor"),
        ({"unit": "day"}, "unit"),
        ({"month_day": 3}, "month_day"),
        ({"start": "2020-01-01"}, "start"),
        ({"idempotency_key": "k"}, "idempotency_key"),
    ):
        assert fields_of(shop.post("/v1/schedules", {**asked, **change})) == [field]


def test_a_planned_payment(shop: App, house: House) -> None:
    """R13, C2: charged on its day, moved before it, or cancelled, which forgets its card; batches take none."""
    shop.bill("C-1", {"A": 500, "B": 300})
    day = today(house) + 2 * DAY
    said = shop.by_card(500, invoices=["A"], run_on=day.isoformat())
    made = shop.made("/v1/payments", **said, key="plan")
    assert (made["state"], made["run_on"], made["initiated_by"]) == ("requested", day.isoformat(), "planned")
    assert fields_of(shop.post("/v1/payments", {**said, "run_on": "2020-01-01"})) == ["run_on"]
    assert problem(shop.post("/v1/batches", payments=[said]))[1] == "batch-refused"
    at = f"/v1/payments/{made['id']}"
    assert shop.made(f"{at}/move", run_on=(day + DAY).isoformat())["run_on"] == (day + DAY).isoformat()
    assert fields_of(shop.post(f"{at}/move", run_on="2020-01-01")) == ["run_on"]
    assert fields_of(shop.post(f"{at}/move", run_on="soon")) == ["run_on"]
    by_other = shop.by_card(300, invoices=["B"], run_on=day.isoformat())
    other = shop.made("/v1/payments", **by_other)["id"]
    assert numbers_kept(house, by_other["card_token"]) == 1
    assert shop.made(f"/v1/payments/{other}/cancel", **WHY)["state"] == "cancelled"
    assert numbers_kept(house, by_other["card_token"]) == 0
    until_day(house, day + DAY)
    house.work()
    assert shop.get(at).json()["state"] == "posted"
    assert problem(shop.post(f"{at}/move", run_on="2037-01-31")) == (409, "state-refuses")
    assert shop.made("/v1/payments", **said, key="plan")["id"] == made["id"]


def test_a_hold(shop: App, house: House, asked: dict[str, Any]) -> None:
    """While it stands a kept card is not charged, unless the payer is there; lifted, what waited is charged."""
    assert problem(shop.get("/v1/holds/C-1")) == (404, "not-found")
    assert problem(shop.post("/v1/holds/lift", customer="C-1")) == (404, "not-found")
    last_day = today(house) + 3 * DAY
    placed = shop.made("/v1/holds", customer="C-1", until=last_day.isoformat(), **WHY)
    assert (placed["reason"], shop.get("/v1/holds/C-1").json()) == ("as agreed", placed)
    by_kept = {**shop.check(100, invoices=["B"]), "method": "credit_card", "card_token": asked["card_token"]}
    waits = shop.made("/v1/payments", **by_kept)["id"]
    there = shop.made("/v1/payments", **by_kept, attended=True)["id"]
    house.work()
    states = [shop.get(f"/v1/payments/{one}").json()["state"] for one in (waits, there)]
    assert states == ["requested", "posted"]
    shop.made("/v1/holds/lift", customer="C-1")
    house.work()
    assert shop.get(f"/v1/payments/{waits}").json()["state"] == "posted"
    for change, field in (({"until": date(2020, 1, 1).isoformat()}, "until"), ({"reason": ""}, "reason")):
        assert fields_of(shop.post("/v1/holds", {"customer": "C-1", **WHY, **change})) == [field]
    assert fields_of(shop.post("/v1/holds/lift", {})) == ["customer"]
