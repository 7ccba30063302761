"""R15 by table: every POST of the API that writes; one that is not in the table fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text

from books import audit
from tests.api.conftest import App, problem
from tests.flows.house import House
from web.api import ROUTERS, batches, customers, holds, invoices, payments, schedules, webhook_endpoints
from web.api import credits as customer_credits

MINE = (batches, customer_credits, customers, holds, invoices, payments, schedules, webhook_endpoints)
DAYS = {"invoice_date": "2026-01-05", "due_date": "2026-02-05", "currency": "USD"}
WHY = {"reason": "as agreed"}
HOOKS = "/v1/webhook-endpoints"


@dataclass
class Shop:
    """A shop with a posted charge, one that was only asked for, a credit that paid an invoice, an unpaid invoice."""

    app: App
    house: House

    def __post_init__(self) -> None:
        self.app.bill("C-1", {"A-1": 1000})
        self.charged = self.app.made("/v1/payments", **self.app.by_card(1000))["id"]
        self.house.work()
        self.app.made("/v1/payments", **self.app.check(500, as_credit=True))
        self.house.work()
        self.app.invoice("C-1", "A-2", 300)
        [part] = self.app.made("/v1/credits/apply", customer="C-1", currency="USD")["applied"]
        self.application = part["id"]
        self.unpaid = self.app.invoice("C-1", "A-3", 700)["id"]

    def asked(self) -> int:
        """A card payment that nobody charged yet."""
        made: int = self.app.made("/v1/payments", **self.app.by_card(700))["id"]
        return made

    def planned(self) -> int:
        """A card payment that waits for its day."""
        made: int = self.app.made("/v1/payments", **self.app.by_card(700), run_on="2037-01-31")["id"]
        return made

    def kept(self) -> str:
        """The token of a card that the customer let us keep."""
        said = self.app.by_card(10)
        self.app.made("/v1/payments", **said, keep_card=True)
        return str(said["card_token"])

    def schedule(self, *, paused: bool = False) -> str:
        """The address of a schedule."""
        asked: dict[str, Any] = {"customer": "C-1", "currency": "USD", "all_owed": True, "unit": "month"}
        made = self.app.made("/v1/schedules", card_token=self.kept(), **asked)["id"]
        if paused:
            self.app.made(f"/v1/schedules/{made}/pause", **WHY)
        return f"/v1/schedules/{made}"

    def on_hold(self) -> dict[str, Any]:
        """Who was put on hold."""
        self.app.made("/v1/holds", customer="C-1", **WHY)
        return {"customer": "C-1"}

    def endpoint(self, state: str = "enabled") -> str:
        """The address of a webhook endpoint."""
        made = self.app.made(HOOKS, url="https://93.184.216.34/")["id"]
        self.house.do("UPDATE webhook_endpoints SET state = :state", state=state)
        return f"{HOOKS}/{made}"


Write = Callable[[Shop], tuple[str, dict[str, Any], dict[str, Any] | None]]
"""The address, what is written, and something else; None where nothing else may be said."""

WRITES: dict[str, Write] = {
    "/v1/customers": lambda _: ("", {"number": "C-2"}, {"number": "C-3"}),
    "/v1/invoices": lambda _: (
        "",
        {"customer": "C-1", "number": "A-9", "amount_minor": 5, **DAYS},
        {"customer": "C-1", "number": "A-9", "amount_minor": 6, **DAYS},
    ),
    "/v1/invoices/{invoice_id}/void": lambda shop: (f"/v1/invoices/{shop.unpaid}/void", WHY, {"reason": "other"}),
    "/v1/payments": lambda shop: ("", shop.app.check(100), shop.app.check(101)),
    "/v1/payments/{payment_id}/void": lambda shop: (f"/v1/payments/{shop.charged}/void", WHY, {"reason": "other"}),
    "/v1/payments/{payment_id}/cancel": lambda shop: (f"/v1/payments/{shop.asked()}/cancel", WHY, {"reason": "other"}),
    "/v1/payments/{payment_id}/refund": lambda shop: (
        f"/v1/payments/{shop.charged}/refund",
        {**WHY, "amount_minor": 10},
        {**WHY, "amount_minor": 20},
    ),
    "/v1/payments/{payment_id}/move": lambda shop: (
        f"/v1/payments/{shop.planned()}/move",
        {"run_on": "2037-02-28"},
        {"run_on": "2037-03-31"},
    ),
    "/v1/schedules": lambda shop: (
        "",
        said := {
            "customer": "C-1",
            "currency": "USD",
            "amount_minor": 100,
            "unit": "week",
            "card_token": shop.kept(),
        },
        {**said, "amount_minor": 101},
    ),
    "/v1/schedules/{schedule_id}/pause": lambda shop: (f"{shop.schedule()}/pause", WHY, {"reason": "other"}),
    "/v1/schedules/{schedule_id}/skip": lambda shop: (f"{shop.schedule()}/skip", WHY, {"reason": "other"}),
    "/v1/schedules/{schedule_id}/stop": lambda shop: (f"{shop.schedule()}/stop", WHY, {"reason": "other"}),
    "/v1/schedules/{schedule_id}/resume": lambda shop: (f"{shop.schedule(paused=True)}/resume", {}, None),
    "/v1/holds": lambda _: ("", {"customer": "C-1", **WHY}, {"customer": "C-1", "reason": "other"}),
    "/v1/holds/lift": lambda shop: ("", shop.on_hold(), {"customer": "C-2"}),
    "/v1/credits/apply": lambda _: (
        "",
        {"customer": "C-1", "currency": "USD"},
        {"customer": "C-1", "currency": "USD", "invoices": ["A-3"]},
    ),
    "/v1/credits/applications/{application_id}/reverse": lambda shop: (
        f"/v1/credits/applications/{shop.application}/reverse",
        WHY,
        {"reason": "other"},
    ),
    HOOKS: lambda _: ("", {"url": "https://93.184.216.34/"}, {"url": "https://93.184.216.34/x"}),
    f"{HOOKS}/{{endpoint_id}}/rotate-secret": lambda shop: (f"{shop.endpoint()}/rotate-secret", {}, None),
    f"{HOOKS}/{{endpoint_id}}/enable": lambda shop: (f"{shop.endpoint('disabled')}/enable", {}, None),
    f"{HOOKS}/{{endpoint_id}}/replay": lambda shop: (
        f"{shop.endpoint()}/replay",
        {"since": "2026-01-05T09:00:00Z"},
        {"since": "2026-01-06T09:00:00Z"},
    ),
    "/v1/batches": lambda shop: ("", {"payments": [shop.app.check(1)]}, {"payments": [shop.app.check(2)]}),
}
WRITES_NOTHING = {"/v1/payments/preview"}
NEEDS_NO_KEY = {f"{HOOKS}/{{endpoint_id}}"}
"""DELETE: a second one finds nothing."""
ONCE = {"secret"}
"""What only the first answer has."""

HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended('defray api ' || id || ' k', 0)) FROM api_keys")


def test_all_are_here() -> None:
    """No write of customers, invoices, payments, credits, batches, webhooks is left out; no address is taken twice."""
    posts = [
        route.path
        for module in MINE
        for route in module.router.routes
        if isinstance(route, APIRoute) and not (route.methods or set()) <= {"GET", "HEAD"}
    ]
    assert sorted(posts) == sorted([*WRITES, *WRITES_NOTHING, *NEEDS_NO_KEY])
    assert all(module.router in ROUTERS for module in MINE)


@pytest.mark.parametrize("path", WRITES)
def test_exactly_once(shop: App, house: House, path: str) -> None:
    """While the first is under way, 409; then made once, answered the same again; another body is an error."""
    address, body, other = WRITES[path](Shop(shop, house))
    address = address or path
    with house.engine.begin() as conn:
        conn.execute(HOLD)
        assert problem(shop.post(address, body, key="k")) == (409, "idempotency-key-in-flight")
    made = shop.post(address, body, key="k")
    assert made.is_success, made.text
    counted = house.row("SELECT count(*) AS n FROM events").n
    again = shop.post(address, body, key="k")
    kept = {name: value for name, value in made.json().items() if name not in ONCE}
    assert (again.status_code, again.json()) == (made.status_code, kept)
    assert again.headers["idempotent-replayed"] == "true"
    if other is not None:
        assert problem(shop.post(address, other, key="k")) == (409, "idempotency-key-reused")
    assert house.row("SELECT count(*) AS n FROM events").n == counted


@pytest.mark.parametrize("flag", ["keep_card", "attended", "recurring"])
def test_flags_are_content(shop: App, flag: str) -> None:
    """R15: whether the card is kept, the payer is there, or it is one of a series is part of what was asked for."""
    shop.bill("C-1", {"A-1": 1000})
    body = shop.by_card(100)
    made = shop.made("/v1/payments", **body, **{flag: True}, key="k")
    assert made.get(flag, True) is True
    assert shop.post("/v1/payments", {**body, flag: True}, key="k").json() == made
    assert problem(shop.post("/v1/payments", body, key="k")) == (409, "idempotency-key-reused")


def test_void_invoice(shop: App, house: House) -> None:
    """R8a: an invoice that nobody paid is void; one with a sum applied or under way is not; the books still hold."""
    shop.bill("C-1", {"A-1": 1000, "A-2": 500, "A-3": 250})
    one, two, three = (row["id"] for row in shop.get("/v1/invoices", customer="C-1").json()["data"])
    shop.made("/v1/payments", **shop.check(10, invoices=["A-1"]))
    house.work()
    shop.made("/v1/payments", **shop.by_card(500, invoices=["A-2"]))
    for taken in (one, two):
        assert problem(shop.post(f"/v1/invoices/{taken}/void", WHY)) == (409, "state-refuses")
    assert shop.made(f"/v1/invoices/{three}/void", **WHY)["state"] == "void"
    assert problem(shop.post(f"/v1/invoices/{three}/void", WHY)) == (409, "state-refuses")
    told = house.row("SELECT why, by, from_state, to_state FROM events WHERE what = 'invoice.voided'")
    assert tuple(told) == ("as agreed", "api key shop", "pending", "void")
    house.work()
    with house.engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
        assert audit.audit(conn) == []


def test_reverse_an_application(shop: App, house: House) -> None:
    """R14: what a credit was applied to is listed; taken back, the invoice owes again and the credit has it back."""
    story = Shop(shop, house)
    credit = shop.get("/v1/credits", customer="C-1").json()["data"][0]["id"]
    [listed] = shop.get(f"/v1/credits/{credit}/applications").json()["data"]
    assert (listed["id"], listed["invoice"], listed["amount_minor"]) == (story.application, "A-2", 300)
    taken = shop.made(f"/v1/credits/applications/{story.application}/reverse", **WHY)
    assert taken["reversed_minor"] == 300
    assert shop.get("/v1/credits", customer="C-1", fields="balance_minor").json()["data"] == [{"balance_minor": 500}]
    assert problem(shop.get("/v1/credits/99/applications")) == (404, "not-found")


def test_sparse(shop: App) -> None:
    """`fields` leaves the rest out, of a list and of one; the next page is asked for the same."""
    shop.bill("C-1", {"A-1": 1000, "A-2": 500})
    page = shop.get("/v1/invoices?fields=number,amount_minor&limit=1").json()
    assert page["data"] == [{"number": "A-1", "amount_minor": 1000}]
    assert shop.get(page["next"]).json()["data"] == [{"number": "A-2", "amount_minor": 500}]
    assert shop.get("/v1/customers/C-1?fields=number").json() == {"number": "C-1"}


def test_filters_of_payments(shop: App, house: House) -> None:
    """By method, by when they were recorded, and by the idempotency key of this caller."""
    shop.bill("C-1", {"A-1": 1000})
    cash = shop.made("/v1/payments", **{**shop.check(1), "method": "cash"}, key="till-1")
    shop.made("/v1/payments", **shop.check(2))

    def found(**query: str) -> list[int]:
        return [one["amount_minor"] for one in shop.get("/v1/payments", **query).json()["data"]]

    assert found(customer="C-1", method="cash") == [1]
    assert found(idempotency_key="till-1") == [1]
    assert found(customer="C-1", recorded_to=cash["recorded_at"]) == []
    assert found(customer="C-1", recorded_from=cash["recorded_at"]) == [1, 2]
