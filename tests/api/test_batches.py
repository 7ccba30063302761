"""Issue 6: batches by API: all or none, every row's faults at once, and how far they are."""

from __future__ import annotations

from tests.api.conftest import App, fields_of, problem
from tests.flows.house import House


def test_a_batch(shop: App, house: House) -> None:
    """A batch is recorded whole, worked on, counted, and its payments are listed, by state, too."""
    shop.bill("C-1", {"A-1": 1000, "A-2": 500})
    rows = [shop.check(1000, invoices=["A-1"]), shop.check(500, invoices=["A-2"], idempotency_key="mine")]
    made = shop.post("/v1/batches", label="March", payments=rows, key="march")
    said = made.json()
    assert made.status_code == 201
    assert (said["label"], said["payments"], said["finished"], said["ended"]) == ("March", 2, 0, False)
    house.post(said["id"])
    done = shop.get(made.headers["location"]).json()
    assert (done["finished"], done["ended"], done["by_state"]) == (2, True, {"posted": 2})
    posted = shop.get(f"{done['payments_url']}&state=posted&limit=1").json()
    assert [one["idempotency_key"] for one in posted["data"]] == ["march:1"]
    assert [one["idempotency_key"] for one in shop.get(posted["next"]).json()["data"]] == ["mine"]
    assert house.row("SELECT created_by FROM batches").created_by == "api key shop"


def test_faults_of_rows(shop: App, house: House) -> None:
    """Without a good word for every row nothing is recorded; each bad one is named with all its faults."""
    shop.bill("C-1", {"A-1": 1000})
    rows = [shop.check(10), {"method": "chek", "currency": "USD"}, "no object", shop.check(10, invoices=["B-9"])]
    refused = shop.post("/v1/batches", payments=rows, key="k")
    assert problem(refused) == (422, "batch-refused")
    said = refused.json()
    assert said["refused"] == 3
    assert [(one["row"], [fault["field"] for fault in one["faults"]]) for one in said["rows"]] == [
        (2, ["customer", "method", "amount"]),
        (3, ["payments"]),
        (4, ["invoices"]),
    ]
    assert house.rows("SELECT 1 FROM payments UNION ALL SELECT 1 FROM batches") == []
    assert shop.post("/v1/batches", payments=rows[:1], key="k").status_code == 201


def test_limits(shop: App) -> None:
    """1 to 10,000 rows."""
    shop.bill("C-1", {"A-1": 100_000_000})
    wrong: tuple[object, ...] = ([], {}, None, [shop.check(1)] * 10_001)
    for payments in wrong:
        assert fields_of(shop.post("/v1/batches", payments=payments)) == ["payments"]
    most = shop.post("/v1/batches", payments=[shop.check(1)] * 10_000)
    assert most.json()["payments"] == 10_000


def test_rows_of_before(shop: App) -> None:
    """R15: rows that were all recorded under keys of their own make no batch."""
    shop.bill("C-1", {"A-1": 1000})
    rows = [shop.check(10, idempotency_key="mine")]
    assert shop.post("/v1/batches", payments=rows, key="one").status_code == 201
    assert problem(shop.post("/v1/batches", payments=rows, key="two")) == (409, "idempotency-key-reused")
