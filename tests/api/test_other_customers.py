"""Issue 8, attack: a key for one customer names another's things in every call: nothing is read, nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from tests.api.conftest import CARD, App, problem
from tests.api.test_keys import CALLS
from tests.flows.house import House

MINE, THEIRS = "Aardvark", "Zebra"
WHY = {"reason": "as agreed"}
HOOKS = "/v1/webhook-endpoints"
IN_THE_BOOKS = (
    *("customers", "invoices", "payments", "credits", "allocations", "reversals", "gateway_transactions", "journal"),
    *("batches", "events", "card_vault", "kept_cards", "webhook_endpoints", "webhook_deliveries"),
    *("schedules", "schedule_runs", "customer_holds"),
)


@dataclass
class Other:
    """What somebody else has: one of each thing that an address or a body may name."""

    shop: App
    house: House
    ids: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shop = self.shop
        shop.bill(THEIRS, {f"{THEIRS}-1": 1000})
        self.token = shop.made("/v1/cards", **CARD, customer=THEIRS)["token"]
        charged = shop.made("/v1/payments", key="shop-1", **shop.by_card(1000, THEIRS), keep_card=True)["id"]
        self.house.work()
        over = shop.made("/v1/payments", **shop.check(500, THEIRS, as_credit=True))["id"]
        self.house.work()
        shop.invoice(THEIRS, f"{THEIRS}-2", 300)
        [part] = shop.made("/v1/credits/apply", customer=THEIRS, currency="USD")["applied"]
        unpaid = shop.invoice(THEIRS, f"{THEIRS}-3", 700)["id"]
        card = shop.by_card(5, THEIRS)
        shop.made("/v1/payments", **card, keep_card=True)
        self.schedule = {
            "customer": THEIRS,
            "currency": "USD",
            "all_owed": True,
            "unit": "month",
            "card_token": card["card_token"],
        }
        schedules = [shop.made("/v1/schedules", **self.schedule)["id"] for _ in range(2)]
        shop.made(f"/v1/schedules/{schedules[1]}/pause", **WHY)
        shop.made("/v1/holds", customer=THEIRS, **WHY)
        planned = shop.made("/v1/payments", **shop.by_card(5, THEIRS), run_on="2037-01-31")["id"]
        batch = shop.made("/v1/batches", label=THEIRS, payments=[shop.by_card(10, THEIRS)])["id"]
        asked = shop.made("/v1/payments", **shop.by_card(20, THEIRS))["id"]
        endpoint = shop.made(HOOKS, url=f"https://93.184.216.34/{THEIRS}")["id"]
        self.events = {one["id"] for one in shop.get("/v1/events", customer=THEIRS, limit=200).json()["data"]}
        self.ids = {
            "charged": charged,
            "over": over,
            "asked": asked,
            "credit": part["credit_id"],
            "application": part["id"],
            "unpaid": unpaid,
            "batch": batch,
            "endpoint": endpoint,
            "active": schedules[0],
            "paused": schedules[1],
            "planned": planned,
            "event": min(self.events),
        }


Tries = list[tuple[str, dict[str, Any] | None]]
"""Addresses with what is sent there, None for nothing."""

TRIES: dict[tuple[str, str], Callable[[Other, App, int], Tries]] = {
    ("GET", "/v1/customers"): lambda *_: [("/v1/customers", None), ("/v1/customers?limit=1&after=1", None)],
    ("GET", "/v1/customers/{number:path}"): lambda *_: [(f"/v1/customers/{THEIRS}", None)],
    ("POST", "/v1/customers"): lambda *_: [("/v1/customers", {"number": THEIRS, "name": "mine now"})],
    ("GET", "/v1/invoices"): lambda *_: [
        ("/v1/invoices", None),
        (f"/v1/invoices?customer={THEIRS}", None),
        (f"/v1/invoices?number={THEIRS}-1", None),
        (f"/v1/invoices?customer={THEIRS}&state=pending", None),
    ],
    ("GET", "/v1/invoices/{invoice_id}"): lambda of, *_: [(f"/v1/invoices/{of.ids['unpaid']}", None)],
    ("POST", "/v1/invoices"): lambda *_: [
        (
            "/v1/invoices",
            {
                "customer": THEIRS,
                "number": "X-1",
                "currency": "USD",
                "amount_minor": 1,
                "invoice_date": "2026-01-05",
                "due_date": "2026-02-05",
            },
        )
    ],
    ("POST", "/v1/invoices/{invoice_id}/void"): lambda of, *_: [(f"/v1/invoices/{of.ids['unpaid']}/void", WHY)],
    ("GET", "/v1/payments"): lambda of, *_: [
        ("/v1/payments", None),
        (f"/v1/payments?customer={THEIRS}", None),
        (f"/v1/payments?batch={of.ids['batch']}", None),
        (f"/v1/payments?batch={of.ids['batch']}&customer={MINE}", None),
        ("/v1/payments?idempotency_key=shop-1", None),
    ],
    ("GET", "/v1/payments/{payment_id:id}"): lambda of, *_: [(f"/v1/payments/{of.ids['charged']}", None)],
    ("GET", "/v1/payments/{payment_id}/progress"): lambda of, *_: [
        (f"/v1/payments/{of.ids['charged']}/progress", None)
    ],
    ("POST", "/v1/payments"): lambda of, app, _: [
        ("/v1/payments", app.check(10, THEIRS)),
        ("/v1/payments", app.check(10, MINE, invoices=[{"number": f"{THEIRS}-3"}])),
        ("/v1/payments", {**app.check(10, MINE), "method": "credit_card", "card_token": of.token}),
        *(
            ("/v1/payments", {**app.check(10, MINE), "method": "credit_card", "card_token": token, "keep_card": True})
            for token in (of.token, of.schedule["card_token"])
        ),
        ("/v1/payments", {**app.check(10, THEIRS), "method": "credit_card", "card_token": of.token}),
    ],
    ("POST", "/v1/payments/preview"): lambda of, app, _: [
        ("/v1/payments/preview", app.check(10, THEIRS)),
        ("/v1/payments/preview", app.check(10, MINE, invoices=[{"number": f"{THEIRS}-3"}])),
    ],
    ("POST", "/v1/payments/{payment_id}/void"): lambda of, *_: [
        (f"/v1/payments/{of.ids[one]}/void", WHY) for one in ("charged", "over", "asked")
    ],
    ("POST", "/v1/payments/{payment_id}/cancel"): lambda of, *_: [
        (f"/v1/payments/{of.ids[one]}/cancel", WHY) for one in ("charged", "asked")
    ],
    ("POST", "/v1/payments/{payment_id}/refund"): lambda of, *_: [
        (f"/v1/payments/{of.ids['charged']}/refund", WHY),
        (f"/v1/payments/{of.ids['charged']}/refund", {**WHY, "amount_minor": 1}),
    ],
    ("POST", "/v1/payments/{payment_id}/move"): lambda of, *_: [
        (f"/v1/payments/{of.ids['planned']}/move", {"run_on": "2037-02-28"})
    ],
    ("GET", "/v1/schedules"): lambda *_: [("/v1/schedules", None), (f"/v1/schedules?customer={THEIRS}", None)],
    ("GET", "/v1/schedules/{schedule_id:id}"): lambda of, *_: [(f"/v1/schedules/{of.ids['active']}", None)],
    ("GET", "/v1/schedules/{schedule_id}/runs"): lambda of, *_: [(f"/v1/schedules/{of.ids['active']}/runs", None)],
    ("POST", "/v1/schedules"): lambda of, *_: [
        ("/v1/schedules", of.schedule),
        ("/v1/schedules", {**of.schedule, "customer": MINE}),
    ],
    **{
        ("POST", f"/v1/schedules/{{schedule_id}}/{act}"): lambda of, _, __, act=act: [  # type: ignore[misc]
            (f"/v1/schedules/{of.ids['active']}/{act}", WHY)
        ]
        for act in ("pause", "skip", "stop")
    },
    ("POST", "/v1/schedules/{schedule_id}/resume"): lambda of, *_: [(f"/v1/schedules/{of.ids['paused']}/resume", {})],
    ("GET", "/v1/holds/{number:path}"): lambda *_: [(f"/v1/holds/{THEIRS}", None)],
    ("POST", "/v1/holds"): lambda *_: [("/v1/holds", {"customer": THEIRS, **WHY})],
    ("POST", "/v1/holds/lift"): lambda *_: [("/v1/holds/lift", {"customer": THEIRS})],
    ("GET", "/v1/credits"): lambda *_: [("/v1/credits", None), (f"/v1/credits?customer={THEIRS}", None)],
    ("GET", "/v1/credits/{credit_id}/applications"): lambda of, *_: [
        (f"/v1/credits/{of.ids['credit']}/applications", None)
    ],
    ("POST", "/v1/credits/apply"): lambda of, *_: [
        ("/v1/credits/apply", {"customer": THEIRS, "currency": "USD"}),
        ("/v1/credits/apply", {"customer": MINE, "currency": "USD", "credit_id": of.ids["credit"]}),
        ("/v1/credits/apply", {"customer": MINE, "currency": "USD", "invoices": [f"{THEIRS}-3"]}),
    ],
    ("POST", "/v1/credits/applications/{application_id}/reverse"): lambda of, *_: [
        (f"/v1/credits/applications/{of.ids['application']}/reverse", WHY)
    ],
    ("GET", "/v1/batches"): lambda *_: [("/v1/batches", None)],
    ("GET", "/v1/batches/{batch_id}"): lambda of, *_: [(f"/v1/batches/{of.ids['batch']}", None)],
    ("GET", "/v1/batches/{batch_id}/progress"): lambda of, *_: [(f"/v1/batches/{of.ids['batch']}/progress", None)],
    ("POST", "/v1/batches"): lambda of, app, _: [
        ("/v1/batches", {"payments": [app.check(10, THEIRS)]}),
        ("/v1/batches", {"payments": [app.check(10, MINE), app.check(10, THEIRS)]}),
        *(
            ("/v1/batches", {"payments": [{**app.check(10, MINE), "method": "credit_card", "card_token": token}]})
            for token in (of.token, of.schedule["card_token"])
        ),
    ],
    ("GET", "/v1/events"): lambda *_: [("/v1/events", None), (f"/v1/events?customer={THEIRS}", None)],
    ("POST", "/v1/cards"): lambda *_: [("/v1/cards", {**CARD, "customer": THEIRS})],
    ("GET", HOOKS): lambda *_: [(HOOKS, None)],
    ("POST", HOOKS): lambda *_: [(HOOKS, {"url": "https://93.184.216.34/", "customer": THEIRS})],
    ("GET", f"{HOOKS}/{{endpoint_id}}"): lambda of, *_: [(f"{HOOKS}/{of.ids['endpoint']}", None)],
    ("DELETE", f"{HOOKS}/{{endpoint_id}}"): lambda of, *_: [(f"{HOOKS}/{of.ids['endpoint']}", None)],
    ("GET", f"{HOOKS}/{{endpoint_id}}/deliveries"): lambda of, *_: [(f"{HOOKS}/{of.ids['endpoint']}/deliveries", None)],
    ("POST", f"{HOOKS}/{{endpoint_id}}/enable"): lambda of, *_: [(f"{HOOKS}/{of.ids['endpoint']}/enable", {})],
    ("POST", f"{HOOKS}/{{endpoint_id}}/rotate-secret"): lambda of, *_: [
        (f"{HOOKS}/{of.ids['endpoint']}/rotate-secret", {})
    ],
    ("POST", f"{HOOKS}/{{endpoint_id}}/replay"): lambda of, _, own: [
        (f"{HOOKS}/{of.ids['endpoint']}/replay", {"since": "2026-01-05T09:00:00Z"}),
        (f"{HOOKS}/{own}/replay", {"event_id": of.ids["event"]}),
    ],
}


def kept(house: House) -> dict[str, list[str]]:
    """Every row of the books, as text."""
    with house.engine.connect() as conn:
        return {
            table: sorted(conn.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t")).scalars())
            for table in IN_THE_BOOKS
        }


def test_every_call_is_tried() -> None:
    """A call that the table below does not try fails here."""
    assert set(TRIES) == {*CALLS, ("POST", "/v1/cards")}


def test_nothing_of_another_customer(shop: App, new_app: Callable[..., App], house: House) -> None:
    """Each call with a key for one customer and all rights, made for another's things: refused, or empty."""
    shop.bill(MINE, {f"{MINE}-1": 100})
    app = new_app("of-one", customer=MINE)
    own = app.made(HOOKS, url=f"https://93.184.216.34/{MINE}")["id"]
    other = Other(shop, house)
    before = kept(house)
    for (method, path), tries in TRIES.items():
        for address, body in tries(other, app, own):
            answer = app.ask(method, address) if body is None else app.post(address, body)
            said = (method, address, answer.status_code, answer.text)
            assert THEIRS not in answer.text.replace(address, ""), said
            if not answer.is_success:
                assert problem(answer)[0] in (403, 404, 422), said
            elif method == "GET":
                rows = answer.json()["data"]
                mine = [row["id"] not in other.events if path == "/v1/events" else MINE in str(row) for row in rows]
                assert all(mine), said
            else:
                assert answer.json() == {"currency": "USD", "applied": []}, said
            assert kept(house) == before, said
