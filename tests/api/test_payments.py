"""Issue 6: payments by API, from the call to what became of the money."""

from __future__ import annotations

from sandbox.client import reset
from tests.api.conftest import App, fields_of, problem
from tests.flows.house import House


def test_card_payment(shop: App, house: House) -> None:
    """R8: a card is kept, charged by the workers, and the invoice is Paid; each write says which key it was."""
    shop.bill("C-1", {"A-1": 1250})
    asked = shop.post("/v1/payments", shop.by_card(1250, invoices=["A-1"]))
    assert asked.status_code == 201
    said = asked.json()
    assert (said["state"], said["card"]) == ("requested", {"brand": "visa", "last_four": "1111"})
    assert asked.headers["location"] == f"/v1/payments/{said['id']}"
    house.work()
    paid = shop.get(asked.headers["location"]).json()
    assert (paid["state"], paid["charged_minor"], paid["applied_minor"]) == ("posted", 1250, 1250)
    assert paid["posted_at"].endswith("Z")
    [invoice] = shop.get("/v1/invoices", customer="C-1").json()["data"]
    assert (invoice["state"], invoice["balance_minor"]) == ("paid", 0)
    assert house.row("SELECT recorded_by FROM payments").recorded_by == "api key shop"
    assert {one.by for one in house.rows("SELECT by FROM events WHERE what LIKE 'invoice.created'")} == {"api key shop"}


def test_declined_card(shop: App, house: House) -> None:
    """R16: a decline is told with its code, what that means, and what to say to clerk and customer; else it is null."""
    shop.bill("C-1", {"A-1": 1250})
    token = shop.made("/v1/cards", number="4000000000000002", expiry="12/39", customer="C-1")["token"]
    asked = {**shop.by_card(1250, invoices=["A-1"]), "card_token": token}
    address = shop.post("/v1/payments", asked).headers["location"]
    assert shop.get(address).json()["decline"] is None
    house.work()
    said = shop.get(address).json()
    assert said["state"] in ("declined", "retrying")
    assert said["decline"] == {
        "code": "05",
        "class": "soft_generic",
        "meaning": "do not honour: the bank gives no reason",
        "advice": {
            "clerk": "Ask the payer to call the bank or to use another card.",
            "customer": "Your bank declined without giving a reason. Please call it or use another card.",
        },
    }


def test_entered_card_counts_once(shop: App, house: House) -> None:
    """C2: the number of a card that was entered for a payment is dropped after it, unless the customer agreed."""
    shop.bill("C-1", {"A-1": 100, "A-2": 100})
    shop.made("/v1/payments", **shop.by_card(100, invoices=["A-1"]))
    kept = shop.by_card(100, invoices=["A-2"], keep_card=True)
    shop.made("/v1/payments", **kept)
    house.work()
    still = house.rows("SELECT token FROM card_vault WHERE wrapped_key IS NOT NULL")
    assert [one.token for one in still] == [kept["card_token"]]


def test_token_of_somebody_else(shop: App) -> None:
    """C1: a card that was entered for one customer is no card of another's."""
    shop.bill("C-1", {"A-1": 100})
    shop.bill("C-2", {"B-1": 100})
    asked = shop.by_card(100)
    asked["card_token"] = shop.made("/v1/cards", number="4111111111111111", expiry="12/39", customer="C-2")["token"]
    refused = shop.post("/v1/payments", asked)
    assert problem(refused) == (422, "request-refused")
    assert fields_of(refused) == ["card_token"]


def test_preview(shop: App) -> None:
    """R9: how a sum would spread, oldest first, and the credit; nothing is recorded."""
    shop.bill("C-1", {"A-1": 1000, "A-2": 500})
    seen = shop.client.post(
        "/v1/payments/preview", json=shop.check(1700), headers={"Authorization": f"Bearer {shop.secret}"}
    )
    assert seen.json() == {
        "currency": "USD",
        "invoices": [
            {"invoice": "A-1", "balance_minor": 1000, "applied_minor": 1000},
            {"invoice": "A-2", "balance_minor": 500, "applied_minor": 500},
        ],
        "credit_minor": 200,
    }
    assert shop.get("/v1/payments").json() == {"data": [], "next": None}


def test_all_faults_at_once(shop: App) -> None:
    """B26: a float is no sum; every fault comes with its field and remedy, none with what was given."""
    refused = shop.post("/v1/payments", customer="", method="chek", currency="usd", amount_minor=12.5, amont=1)
    assert problem(refused) == (422, "request-refused")
    assert fields_of(refused) == ["amont", "customer", "method", "currency"]
    assert fields_of(shop.post("/v1/payments", shop.check(1) | {"amount_minor": 12.5})) == ["amount_minor"]


def test_overlap(shop: App, house: House) -> None:
    """R8a: a card payment that overlaps with one under way has a type of its own; it is taken if both are meant."""
    shop.bill("C-1", {"A-1": 1000})
    shop.made("/v1/payments", **shop.by_card(1000))
    again = shop.by_card(1000)
    assert problem(shop.post("/v1/payments", again)) == (422, "payment-overlaps")
    assert shop.post("/v1/payments", {**again, "allow_overlap": True}).status_code == 201
    house.work()


def test_unknown_beside(shop: App, house: House) -> None:
    """R8a: while the outcome of an overlapping charge is unknown, no other is taken, and the type says so."""
    shop.bill("C-1", {"A-1": 1000})
    shop.made("/v1/payments", **shop.by_card(400))
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    house.charge()
    again = shop.by_card(1000, allow_overlap=True)
    assert problem(shop.post("/v1/payments", again)) == (422, "payment-outcome-unknown")
    house.advance(hours=1)
    house.work()


def test_nothing_owed(shop: App) -> None:
    """R1: what would pay nothing is refused by its type, unless it is meant as a credit."""
    shop.bill("C-1", {})
    assert problem(shop.post("/v1/payments", shop.check(100))) == (422, "nothing-owed")
    assert shop.post("/v1/payments", shop.check(100, as_credit=True)).status_code == 201


def test_void(shop: App, house: House) -> None:
    """R10, R11: a void reopens the invoice and goes to the gateway; a void of a void is refused by its type."""
    shop.bill("C-1", {"A-1": 1000})
    paid = shop.made("/v1/payments", **shop.by_card(1000))["id"]
    house.work()
    voided = shop.post(f"/v1/payments/{paid}/void", reason="wrong customer", key="void-1")
    assert (voided.status_code, voided.json()["state"], voided.json()["reversal_state"]) == (200, "voided", "voiding")
    assert shop.get("/v1/invoices", customer="C-1", state="pending").json()["data"][0]["balance_minor"] == 1000
    again = shop.post(f"/v1/payments/{paid}/void", reason="wrong customer", key="void-1")
    assert (again.content, again.headers["idempotent-replayed"]) == (voided.content, "true")
    assert problem(shop.post(f"/v1/payments/{paid}/void", reason="once more")) == (409, "state-refuses")
    house.work()
    assert shop.get(f"/v1/payments/{paid}").json()["reversal_state"] == "voided"
    assert house.row("SELECT voided_by FROM payments").voided_by == "api key shop"


def test_cancel(shop: App, house: House) -> None:
    """R13: what was not charged yet is cancelled; what ended is not."""
    shop.bill("C-1", {"A-1": 1000})
    asked = shop.made("/v1/payments", **shop.by_card(1000))["id"]
    cancelled = shop.made(f"/v1/payments/{asked}/cancel", reason="changed my mind")
    assert cancelled["state"] == "cancelled"
    assert problem(shop.post(f"/v1/payments/{asked}/cancel", reason="again")) == (409, "state-refuses")


def test_refund(shop: App, house: House) -> None:
    """R17: a part goes back, reserved at once; more than was charged is refused."""
    shop.bill("C-1", {"A-1": 1000})
    paid = shop.made("/v1/payments", **shop.by_card(1000))["id"]
    house.work()
    house.advance(days=1)
    part = shop.post(f"/v1/payments/{paid}/refund", reason="damaged", amount_minor=300)
    assert part.status_code == 201
    assert {**part.json(), "id": 0} == {
        "id": 0,
        "payment_id": paid,
        "amount_minor": 300,
        "currency": "USD",
        "state": "refund_due",
    }
    assert problem(shop.post(f"/v1/payments/{paid}/refund", reason="all", amount_minor=701)) == (
        422,
        "request-refused",
    )
    house.work()
    assert shop.get(f"/v1/payments/{paid}").json()["refunded_minor"] == 300
    assert shop.post(f"/v1/payments/{paid}/refund", reason="the rest").json()["amount_minor"] == 700


def test_reason(shop: App) -> None:
    """Every act has who, when, why: without a reason nothing is voided, cancelled or refunded."""
    shop.bill("C-1", {"A-1": 1000})
    paid = shop.made("/v1/payments", **shop.check(1000))["id"]
    for act in ("void", "cancel", "refund"):
        assert fields_of(shop.post(f"/v1/payments/{paid}/{act}", other="x")) == ["other", "reason"]


def test_credits(shop: App, house: House) -> None:
    """R14: what was left over is listed, applied oldest first, and named again for the same key."""
    shop.bill("C-1", {"A-1": 1000})
    shop.made("/v1/payments", **shop.check(1500))
    house.work()
    shop.invoice("C-1", "A-2", 300)
    [credit] = shop.get("/v1/credits", customer="C-1").json()["data"]
    assert (credit["amount_minor"], credit["balance_minor"], credit["currency"]) == (500, 500, "USD")
    applied = shop.post("/v1/credits/apply", customer="C-1", currency="USD", key="apply-1")
    [part] = applied.json()["applied"]
    assert (part["credit_id"], part["amount_minor"]) == (credit["id"], 300)
    assert shop.post("/v1/credits/apply", customer="C-1", currency="USD", key="apply-1").content == applied.content
    assert shop.get("/v1/credits", customer="C-1").json()["data"][0]["balance_minor"] == 200
    assert fields_of(shop.post("/v1/credits/apply", customer="C-1", currency="USD", invoices=["B-9"])) == ["invoices"]
