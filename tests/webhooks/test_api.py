"""Issue 6: the feed and the endpoints over HTTP, and their plans."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, text
from standardwebhooks.webhooks import Webhook

from books import feed, webhooks
from docs import events as docs_events
from rules.apps import Scope
from tests.api.conftest import App, client, fields_of, new_app, problem, settings, shop
from tests.books.plans import nodes, read_whole
from tests.flows.conftest import story
from tests.flows.house import House
from tests.webhooks.conftest import complete

__all__ = ["client", "new_app", "settings", "shop", "story"]
URL = "https://93.184.216.34/hooks"


def test_feed(shop: App, new_app: Callable[..., App], house: House) -> None:
    """By `after` each event comes once; filters count; a key for one customer sees that one's only."""
    shop.bill("C-1", {"A-1": 100})
    shop.bill("C-2", {"B-1": 100})
    shop.made("/v1/payments", **shop.check(150, "C-1", notes="for the office"))
    house.work()
    complete(house)
    seen: list[dict[str, object]] = []
    after, more = 0, True
    while more:
        said = shop.get("/v1/events", after=after, limit=2).json()
        seen += said["data"]
        after, more = said["after"], said["more"]
    ids = [one["id"] for one in seen]
    assert ids == sorted(set(ids))  # type: ignore[type-var]
    assert {"invoice.created", "payment.posted", "invoice.paid", "credit.created"} <= {one["type"] for one in seen}
    assert "for the office" not in json.dumps(seen)
    paid = shop.get("/v1/events", type="invoice.paid").json()["data"]
    assert [one["data"]["invoice"]["number"] for one in paid] == ["A-1"]
    only = new_app("only", Scope.READ, customer="C-2")
    assert {one["data"]["customer"] for one in only.get("/v1/events").json()["data"]} == {"C-2"}
    assert problem(only.get("/v1/events", customer="C-1")) == (404, "not-found")
    assert problem(shop.get("/v1/events", type="x")) == (422, "request-refused")


def test_endpoints(shop: App, new_app: Callable[..., App], house: House) -> None:
    """An endpoint's secret is shown once, also where its request is repeated; scope admin only."""
    made = shop.post("/v1/webhook-endpoints", {"url": URL, "types": ["payment.posted"]}, key="one")
    assert made.status_code == 201
    said = made.json()
    Webhook(said["secret"])
    again = shop.post("/v1/webhook-endpoints", {"url": URL, "types": ["payment.posted"]}, key="one").json()
    assert again == {name: value for name, value in said.items() if name != "secret"}
    assert said["secret"] not in str(house.rows("SELECT * FROM api_answers"))
    path = f"/v1/webhook-endpoints/{said['id']}"
    rotated = shop.post(f"{path}/rotate-secret", {}).json()["secret"]
    assert rotated != said["secret"]
    assert shop.get("/v1/webhook-endpoints").json()["data"] == [shop.get(path).json()]
    assert shop.get(f"{path}/deliveries").json() == {"data": []}
    assert problem(shop.post(f"{path}/enable", {})) == (409, "state-refuses")
    assert problem(shop.post(f"{path}/replay", {"event_id": 1})) == (404, "not-found")
    assert fields_of(shop.post(f"{path}/replay", {})) == ["event_id"]
    assert problem(new_app("reader", Scope.READ).get(path)) == (403, "not-allowed")
    deleted = shop.client.delete(path, headers={"Authorization": f"Bearer {shop.secret}"})
    assert deleted.status_code == 204
    acts = house.row("SELECT count(*) AS n FROM events WHERE what = 'webhook.deleted'").n
    again = shop.client.delete(path, headers={"Authorization": f"Bearer {shop.secret}"})
    assert (problem(again), acts) == ((404, "not-found"), 1)
    assert house.row("SELECT count(*) AS n FROM events WHERE what = 'webhook.deleted'").n == 1
    assert problem(shop.get(path)) == (404, "not-found")


WRONG = (
    "http://93.184.216.34/", "https://127.0.0.1/", "https://u:p@93.184.216.34/", "https://@93.184.216.34/",
    "https://93.184.216.34\\@127.0.0.1/", "https://93.184.216.34/#x", "https://93.184.216.34:0/",
    "https://93.184.216.34:99999/", "https://[::1/", "https:///x", "https://a b/",
    "https://93.184.216.34/\n", "//93.184.216.34/", "file:///etc/passwd", "x", "", 1, None,
)  # fmt: skip


def test_wrong_urls(shop: App) -> None:
    """SSRF: what is no public https address is refused."""
    for url in WRONG:
        said = shop.post("/v1/webhook-endpoints", {"url": url, "types": ["x"]})
        assert fields_of(said) == ["url", "types"], url


def test_keys_for_one_customer(shop: App, new_app: Callable[..., App], house: House) -> None:
    """An endpoint that a key for one customer made is told of that customer; such a key sees no other endpoint."""
    shop.bill("C-1", {"A-1": 100})
    shop.bill("C-2", {})
    only = new_app("only", customer="C-2")
    all_of = shop.made("/v1/webhook-endpoints", url=URL)["id"]
    own = only.made("/v1/webhook-endpoints", url=URL)
    assert own["customer"] == "C-2"
    assert [one["id"] for one in only.get("/v1/webhook-endpoints").json()["data"]] == [own["id"]]
    path = f"/v1/webhook-endpoints/{all_of}"
    for act, body in (("rotate-secret", {}), ("enable", {}), ("replay", {"event_id": 1})):
        assert problem(only.post(f"{path}/{act}", body)) == (404, "not-found")
    for look in (path, f"{path}/deliveries"):
        assert problem(only.get(look)) == (404, "not-found")
    denied = only.client.delete(path, headers={"Authorization": f"Bearer {only.secret}"})
    assert problem(denied) == (404, "not-found")
    shop.invoice("C-1", "A-2", 100)
    shop.invoice("C-2", "B-1", 100)
    complete(house)
    with house.context.transaction() as (conn, now):
        webhooks.fan_out(conn, now)
    told = shop.get(f"/v1/webhook-endpoints/{own['id']}/deliveries").json()["data"]
    numbers = house.rows(
        "SELECT i.number FROM events e JOIN invoices i ON i.id = e.invoice_id WHERE e.id = ANY(:ids)",
        ids=[one["event_id"] for one in told],
    )
    assert [row.number for row in numbers] == ["B-1"]


def test_scope_admin_only(new_app: Callable[..., App]) -> None:
    """Neither looking nor writing is for keys of other scopes."""
    app = new_app("other", *(one for one in Scope if one is not Scope.ADMIN))
    assert problem(app.get("/v1/webhook-endpoints")) == (403, "not-allowed")
    assert problem(app.post("/v1/webhook-endpoints", {"url": URL})) == (403, "not-allowed")


def test_sample() -> None:
    """docs/events.md is as the code says, and its sample verifies."""
    assert Path("docs/events.md").read_text() == docs_events.document()
    names: dict[str, object] = {}
    exec(docs_events.SAMPLE, names)
    from datetime import UTC, datetime

    from webhooks.send import signed

    secret = "whsec_" + "QUJD" * 8
    headers = signed("evt_1", datetime.now(UTC), '{"id": 1}', [secret])
    assert names["read"](secret, headers, b'{"id": 1}') == {"id": 1}  # type: ignore[operator]


def test_plans(connection: Connection) -> None:
    """The feed, the fan-out and the claim go by index however much there is."""
    connection.execute(
        text("""
        INSERT INTO events (at, what, customer_id, payment_id, by)
        SELECT now(), 'payment.posted', n, n, 'x' FROM generate_series(1, 60000) n;
        INSERT INTO webhook_endpoints (id, url, types, contact, secret_sealed, secret_key_id, state, cursor, created_at,
                                       created_by) VALUES (1, 'x', '{}', '', '', '', 'enabled', 0, now(), 'x');
        INSERT INTO webhook_deliveries (endpoint_id, event_id, payment_id, state, next_step, due_at, began_at)
        SELECT 1, id, payment_id, CASE WHEN n % 100 = 0 THEN 'due' ELSE 'delivered' END,
               CASE WHEN n % 100 = 0 THEN 'deliver' END, CASE WHEN n % 100 = 0 THEN now() END, now()
        FROM (SELECT id, payment_id, row_number() OVER () AS n FROM events) e;
        ANALYZE events, webhook_endpoints, webhook_deliveries, webhook_attempts, payments, invoices, customers;""")
    )
    first = connection.execute(text("SELECT min(id) FROM events")).scalar_one()
    asked = {"after": first, "upto": first + 500, "whats": feed.whats(()), "customer_id": 7, "most": 50}
    assert "events" not in read_whole(connection, feed.FEED, **asked)
    spread = {**asked, "id": 1, "now": connection.execute(text("SELECT now()")).scalar_one()}
    assert "events" not in read_whole(connection, webhooks.FAN_OUT, **spread)
    replayed = {**spread, "since": spread["now"]}
    assert not {"events", "webhook_deliveries"} & read_whole(connection, webhooks.REPLAY_STEP, **replayed)
    assert "webhook_deliveries" not in read_whole(connection, webhooks.DUE, now=spread["now"])
    found = {node.get("Index Name") for node in nodes(connection, feed.FEED, **asked)}
    assert "pk_events" in found
    now = connection.execute(text("SELECT now()")).scalar_one()
    claim = {"now": now, "until": now, "token": 1, "most": 10, "busy": [7]}
    assert "webhook_deliveries" not in read_whole(connection, webhooks.CLAIM, **claim)
    some = {"id": 1, "before": 2**62, "most": 10}
    assert read_whole(connection, webhooks.DELIVERIES, **some) <= {"webhook_attempts"}
