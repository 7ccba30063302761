"""Issue 6, point 7: every example of the document is sent as it stands there, and what comes back is as it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from books import webhooks
from settings import Settings
from tests.api.conftest import App
from tests.api.test_docs import listening
from tests.api.test_schema import every_name_is_public
from tests.flows.house import House
from web.api import document

DOCUMENT = document.parsed()
CALLS = {(method.upper(), path) for path, by in DOCUMENT["paths"].items() for method in by}


def faults_of(schema: Mapping[str, Any], said: object) -> list[str]:
    """What is wrong with an answer by the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return [one.message for one in Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(said)]


def whole_rows(schema: Any) -> Any:
    """The schema where no `fields=` was asked for: each row has all of its fields."""
    if isinstance(schema, list):
        return [whole_rows(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema and "/Some" in schema["anyOf"][-1].get("$ref", ""):
        return schema["anyOf"][0]
    return {name: whole_rows(one) for name, one in schema.items()}


def card_kept(house: House, token: str) -> None:
    """The customer of the examples let us keep this card."""
    house.do(
        "INSERT INTO kept_cards (customer_id, token, brand, last_four, exp_month, exp_year, fingerprint, kept_at,"
        " kept_by) SELECT id, :token, 'visa', '1111', 12, 2039, 'f', now(), 'ann' FROM customers"
        " WHERE number = 'C-1001'",
        token=token,
    )


@dataclass
class Reader:
    """An app whose author has read the document, and nothing else."""

    client: httpx2.Client
    secret: str
    sent: set[tuple[str, str]] = field(default_factory=set)

    def send(self, method: str, path: str, ids: object = None, **query: str) -> Any:
        """Send the example of a call; its answer, which is as the document says."""
        call = DOCUMENT["paths"][path][method.lower()]
        self.sent.add((method, path))
        headers = {"Authorization": f"Bearer {self.secret}", "Idempotency-Key": f"example-{len(self.sent)}-{ids}"}
        body = call["requestBody"]["content"]["application/json"]["example"] if "requestBody" in call else None
        address = path if ids is None else f"{path.partition('{')[0]}{ids}{path.partition('}')[2]}"
        answer = self.client.request(method, address, json=body, headers=headers, params=query or None)
        good = next(iter(call["responses"]))
        assert answer.status_code == int(good), (method, address, answer.text)
        if "content" not in call["responses"][good]:
            assert not answer.content
            return None
        [(kind, content)] = call["responses"][good]["content"].items()
        assert answer.headers["content-type"].partition(";")[0] == kind
        if kind == "text/event-stream":
            return self._followed(answer.text, content["schema"])
        schema = content["schema"] if "fields" in query else whole_rows(content["schema"])
        said = answer.json()
        assert faults_of(schema, said) == [], (method, address)
        return said

    def _followed(self, text: str, schema: Mapping[str, Any]) -> list[Any]:
        blocks = [
            dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            for block in text.split("\n\n")
        ]
        messages = [one for one in blocks if "data" in one]
        forms = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["oneOf"]
        spoken = {form["properties"]["event"]["const"]: form["properties"]["data"]["contentSchema"] for form in forms}
        for one in messages:
            assert faults_of(schema, one) == []
            assert faults_of(spoken[one["event"]], json.loads(one["data"])) == [], one
        return messages


def test_every_example(shop: App, house: House, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the document, by its example, in the order in which an app needs them, and every kind of row."""
    every_name_is_public(monkeypatch)
    with listening(settings) as address, httpx2.Client(base_url=address, timeout=30) as client:
        app = Reader(client, shop.secret)
        endpoint = app.send("POST", "/v1/webhook-endpoints")["id"]
        app.send("POST", "/v1/customers")
        app.send("POST", "/v1/invoices")
        unpaid = shop.invoice("C-1001", "0002", 700)["id"]
        shop.invoice("C-1001", "0003", 90_000)
        app.send("POST", "/v1/cards")
        app.send("POST", "/v1/payments/preview")
        by_check = app.send("POST", "/v1/payments")["id"]
        waits = shop.made("/v1/payments", **shop.check(100, "C-1001"))["id"]
        app.send("POST", "/v1/payments/{payment_id}/cancel", waits)
        app.send("POST", "/v1/invoices/{invoice_id}/void", unpaid)
        batch = app.send("POST", "/v1/batches")["id"]
        by_card = shop.made("/v1/payments", **shop.by_card(800, "C-1001", invoices=["0003"]))["id"]
        too_much = shop.check(2_000, "C-1001", invoices=[{"number": "0003", "cap_minor": 1}])
        shop.made("/v1/payments", **too_much)
        house.work()
        house.post(batch)
        app.send("POST", "/v1/payments/{payment_id}/void", by_check)
        app.send("POST", "/v1/payments/{payment_id}/refund", by_card)
        [credit] = app.send("GET", "/v1/credits", customer="C-1001")["data"]
        applied = app.send("POST", "/v1/credits/apply")["applied"]
        app.send("POST", "/v1/credits/applications/{application_id}/reverse", applied[0]["id"])
        house.work()
        app.send("GET", "/v1/credits/{credit_id}/applications", credit["id"])
        planned = shop.made("/v1/payments", **shop.by_card(50, "C-1001", invoices=["0003"]), run_on="2037-12-31")["id"]
        app.send("POST", "/v1/payments/{payment_id}/move", planned)
        card_kept(house, "card_of_the_customer")
        schedule = app.send("POST", "/v1/schedules")["id"]
        for act in ("skip", "pause", "resume", "stop"):
            app.send("POST", f"/v1/schedules/{{schedule_id}}/{act}", schedule)
        app.send("GET", "/v1/schedules/{schedule_id}", schedule)
        assert app.send("GET", "/v1/schedules/{schedule_id}/runs", schedule)["data"]
        app.send("POST", "/v1/holds")
        app.send("GET", "/v1/holds/{number}", "C-1001")
        app.send("POST", "/v1/holds/lift")
        app.send("GET", "/v1/customers/{number}", "C-1001")
        app.send("GET", "/v1/invoices/{invoice_id}", unpaid)
        for payment in (by_check, by_card, waits):
            app.send("GET", "/v1/payments/{payment_id}", payment)
            assert app.send("GET", "/v1/payments/{payment_id}/progress", payment)[-1]["event"] == "end"
        app.send("GET", "/v1/batches/{batch_id}", batch)
        assert app.send("GET", "/v1/batches/{batch_id}/progress", batch)[-1]["event"] == "end"
        app.send("GET", "/v1/events")
        house.do("UPDATE event_horizon SET safe_id = (SELECT last_value FROM events_id_seq)")
        for path in ("customers", "invoices", "payments", "batches", "schedules", "events", "webhook-endpoints"):
            assert app.send("GET", f"/v1/{path}")["data"], path
            assert app.send("GET", f"/v1/{path}", fields="id")["data"][0].keys() == {"id"}
        app.send("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate-secret", endpoint)
        with house.context.transaction() as (conn, now):
            assert webhooks.fan_out(conn, now)
        house.do("UPDATE webhook_deliveries SET state = 'delivered', next_step = NULL, due_at = NULL")
        house.do("UPDATE webhook_endpoints SET state = 'disabled'")
        app.send("POST", "/v1/webhook-endpoints/{endpoint_id}/enable", endpoint)
        app.send("POST", "/v1/webhook-endpoints/{endpoint_id}/replay", endpoint)
        app.send("GET", "/v1/webhook-endpoints/{endpoint_id}/deliveries", endpoint)
        app.send("GET", "/v1/webhook-endpoints/{endpoint_id}", endpoint)
        app.send("DELETE", "/v1/webhook-endpoints/{endpoint_id}", endpoint)
    assert app.sent == CALLS


def test_no_answer_is_anything() -> None:
    """Every object that is answered says its fields, which of them are always there, and that there are no others."""

    def objects(schema: Any) -> list[Any]:
        if isinstance(schema, list):
            return [found for one in schema for found in objects(one)]
        if not isinstance(schema, dict):
            return []
        here = [schema] if schema.get("type") in ("object", ["object", "null"]) else []
        return here + [found for one in schema.values() for found in objects(one)]

    answers = [
        answer for by in DOCUMENT["paths"].values() for call in by.values() for answer in call["responses"].values()
    ]
    found = objects([DOCUMENT["components"]["schemas"], [answer.get("content", {}) for answer in answers]])
    assert len(found) > 40
    for one in found:
        assert "additionalProperties" in one
        assert "required" in one or "propertyNames" in one, one
    assert all(
        "content" in answer or status == "204"
        for by in DOCUMENT["paths"].values()
        for call in by.values()
        for status, answer in call["responses"].items()
    )
