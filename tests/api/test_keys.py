"""Issue 6: keys and rights: every call of the API asks for a key, with the scope for what it does."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from books import api_keys, clock
from rules.apps import Scope
from tests.api.conftest import ALL, App, fields_of, problem
from tests.flows.house import House
from tests.web.test_every_route import BY_KEY, ROUTES, calls

CALLS = sorted(BY_KEY)


def scopes_of(call: tuple[str, str]) -> tuple[Scope, ...]:
    """The scopes of which a call needs one, read off its route."""
    for one in calls(ROUTES[call].dependant):
        if one.__qualname__ == "needs.<locals>.check":
            return tuple(inspect.getclosurevars(one).nonlocals["scopes"])
    raise AssertionError(call)


def ask(app: App, call: tuple[str, str]) -> int:
    """Call, with nothing that it could work with."""
    method, path = call
    path = re.sub(r"\{[^}]+\}", "1", path)
    answer = app.ask(method, path)
    if answer.status_code in (401, 403):
        problem(answer)
    return answer.status_code


@pytest.fixture
def wrong_keys(new_app: Callable[..., App], house: House) -> dict[str, App]:
    """Keys that open nothing."""
    revoked = new_app("old")
    with house.engine.begin() as conn:
        api_keys.revoke(conn, "old", clock.now(conn), "ada")
    return {name: App(revoked.client, name and f"dfk_live_test-{name}") for name in ("", "unknown", "old")}


def test_no_right_key(wrong_keys: dict[str, App]) -> None:
    """Without a key, with an unknown or a revoked one, every call is refused with 401, and says how to log in."""
    assert len(CALLS) > 15
    for app in wrong_keys.values():
        for call in [*CALLS, ("POST", "/v1/cards")]:
            assert ask(app, call) == 401, (app.secret, call)
    assert wrong_keys[""].get("/v1/customers").headers["www-authenticate"] == "Bearer"


def test_too_weak(new_app: Callable[..., App]) -> None:
    """A key with every scope but the one that is needed is refused with 403; one that has it, or admin, is let in."""
    apps = {scope: new_app(f"only-{scope}", scope) for scope in Scope}
    for call in [*CALLS, ("POST", "/v1/cards")]:
        needed = (Scope.PAY,) if call[1] == "/v1/cards" else scopes_of(call)
        for scope, app in apps.items():
            let_in = scope is Scope.ADMIN or scope in needed
            assert (ask(app, call) != 403) == let_in, (scope, call)


def test_scopes_are_apart(new_app: Callable[..., App]) -> None:
    """Who may look may not pay; who may pay may not void; who may void may not refund."""
    needed = {call: set(scopes_of(call)) for call in CALLS}
    assert {scope for scopes in needed.values() for scope in scopes} == set(ALL)
    assert needed["POST", "/v1/webhook-endpoints"] == {Scope.ADMIN}
    assert needed["POST", "/v1/payments"] == {Scope.PAY}
    assert needed["POST", "/v1/payments/{payment_id}/void"] == {Scope.VOID}
    assert needed["POST", "/v1/payments/{payment_id}/refund"] == {Scope.REFUND}


def test_one_customer(shop: App, new_app: Callable[..., App], house: House) -> None:
    """A key for one customer sees nobody else's: what is not theirs is not found, as if it were not there."""
    shop.bill("C-1", {"A-1": 100})
    shop.bill("C-2", {"B-1": 100})
    mine, theirs = (shop.made("/v1/payments", **shop.check(60, one))["id"] for one in ("C-1", "C-2"))
    batch = shop.made("/v1/batches", payments=[shop.check(10, "C-2")])["id"]
    app = new_app("of-1", customer="C-1")
    invoices = {one["number"]: one["id"] for one in shop.get("/v1/invoices").json()["data"]}
    assert [one["number"] for one in app.get("/v1/customers").json()["data"]] == ["C-1"]
    assert [one["number"] for one in app.get("/v1/invoices").json()["data"]] == ["A-1"]
    assert [one["id"] for one in app.get("/v1/payments").json()["data"]] == [mine]
    assert app.get("/v1/customers/C-1").status_code == 200
    for path in (
        "/v1/customers/C-2",
        f"/v1/invoices/{invoices['B-1']}",
        f"/v1/payments/{theirs}",
        f"/v1/batches/{batch}",
        f"/v1/payments?batch={batch}",
    ):
        assert problem(app.get(path)) == (404, "not-found")
    for act in ("void", "cancel", "refund"):
        assert problem(app.post(f"/v1/payments/{theirs}/{act}", reason="why")) == (404, "not-found")
    for kind in ("payments", "invoices", "credits"):
        assert fields_of(app.get(f"/v1/{kind}", customer="C-2")) == ["customer"]
    assert fields_of(app.post("/v1/payments", app.check(1, "C-2"))) == ["customer"]
    assert fields_of(app.post("/v1/payments/preview", app.check(1, "C-2"))) == ["customer"]
    assert fields_of(app.post("/v1/credits/apply", customer="C-2", currency="USD")) == ["customer"]
    assert problem(app.post("/v1/batches", payments=[app.check(1, "C-2")])) == (422, "batch-refused")
    assert problem(app.post("/v1/customers", number="C-3")) == (403, "not-allowed")
    assert fields_of(app.post("/v1/cards", number="4111111111111111", expiry="12/39", customer="C-2")) == ["customer"]
    own = app.made("/v1/cards", number="4111111111111111", expiry="12/39")["token"]
    [card] = house.rows("SELECT c.number FROM card_vault v JOIN customers c ON c.id = v.customer_id")
    assert card.number == "C-1"
    shared = shop.made("/v1/cards", number="4111111111111111", expiry="12/39")["token"]
    paying = {**app.check(40), "method": "credit_card"}
    assert fields_of(app.post("/v1/payments", {**paying, "card_token": shared})) == ["card_token"]
    assert app.post("/v1/payments", {**paying, "card_token": own}).status_code == 201


def test_last_used(shop: App, house: House) -> None:
    """When a key was used last is written once a minute, not with every call."""
    asked = "SELECT last_used_at FROM api_keys"
    assert house.row(asked).last_used_at is None
    shop.get("/v1/customers")
    first = house.row(asked).last_used_at
    house.do("UPDATE clock SET ahead = ahead + CAST(:by AS interval)", by=timedelta(seconds=50))
    shop.get("/v1/customers")
    assert house.row(asked).last_used_at == first
    house.do("UPDATE clock SET ahead = ahead + CAST(:by AS interval)", by=timedelta(seconds=20))
    shop.get("/v1/customers")
    assert house.row(asked).last_used_at > first
