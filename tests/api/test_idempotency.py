"""R15 for every write of the API: the same key and body gives the first answer, another body an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import App, fields_of, problem
from tests.flows.house import House, at_once

DATES = {"invoice_date": "2026-01-05", "due_date": "2026-02-05"}


def test_no_key(shop: App) -> None:
    """A write without the header is refused, whatever it writes; a preview writes nothing."""
    headers = {"Authorization": f"Bearer {shop.secret}"}
    for path in ("customers", "invoices", "payments", "payments/1/void", "credits/apply", "batches"):
        refused = shop.client.post(f"/v1/{path}", json={}, headers=headers)
        assert problem(refused) == (422, "request-refused")
        assert fields_of(refused) == ["Idempotency-Key"]
    assert fields_of(shop.post("/v1/customers", number="C-1", key="k" * 191)) == ["Idempotency-Key"]
    assert fields_of(shop.post("/v1/customers", number="C-1", key="4111 1111 1111 1111")) == ["Idempotency-Key"]


WRITES: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "customer": ("/v1/customers", lambda n: {"number": f"N-{n}"}),
    "invoice": (
        "/v1/invoices",
        lambda n: {"customer": "C-1", "number": f"N-{n}", "currency": "USD", "amount_minor": 500, **DATES},
    ),
    "payment": (
        "/v1/payments",
        lambda n: {"customer": "C-1", "method": "check", "currency": "USD", "amount_minor": 100 + n},
    ),
    "batch": (
        "/v1/batches",
        lambda n: {
            "payments": [{"customer": "C-1", "method": "check", "currency": "USD", "amount_minor": 100 + n}] * 2
        },
    ),
}


@pytest.mark.parametrize("kind", WRITES)
def test_again(shop: App, new_app: Callable[..., App], house: House, kind: str) -> None:
    """The same again is answered the same and makes nothing; other content is an error; each app has its own keys."""
    shop.bill("C-1", {"A-1": 100_000})
    path, body = WRITES[kind]
    first = shop.post(path, body(1), key="k")
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    made = counts(house)
    again = shop.post(path, body(1), key="k")
    assert (again.status_code, again.content, again.headers["idempotent-replayed"]) == (201, first.content, "true")
    assert problem(shop.post(path, body(2), key="k")) == (409, "idempotency-key-reused")
    assert counts(house) == made
    assert new_app("other").post(path, body(3), key="k").status_code == 201


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize("other", WRITES)
def test_one_key_one_write(shop: App, kind: str, other: str) -> None:
    """A key stands for one write, whatever is written."""
    if kind == other:
        return
    shop.bill("C-1", {"A-1": 100_000})
    path, body = WRITES[kind]
    assert shop.post(path, body(1), key="k").status_code == 201
    path, body = WRITES[other]
    assert problem(shop.post(path, body(2), key="k")) == (409, "idempotency-key-reused")


@pytest.mark.parametrize("kind", WRITES)
def test_side_by_side(shop: App, house: House, kind: str) -> None:
    """Of eight that come at one moment one is made; the others get its answer, or are told that it is under way."""
    shop.bill("C-1", {"A-1": 100_000})
    before = counts(house)
    path, body = WRITES[kind]
    answered = at_once(*[lambda: shop.post(path, body(1), key="k")] * 8)
    made = [one for one in answered if one.status_code == 201]
    for one in answered:
        if one not in made:
            assert problem(one) == (409, "idempotency-key-in-flight")
            assert one.headers["retry-after"] == "1"
    assert len({one.content for one in made}) == 1
    assert Counter("idempotent-replayed" in one.headers for one in made)[False] == 1
    assert shop.post(path, body(1), key="k").content == made[0].content
    gained = {name: number - before[name] for name, number in counts(house).items() if number > before[name]}
    wanted = {"customer": {"customers": 1}, "invoice": {"invoices": 1}, "payment": {"payments": 1}}
    assert gained == wanted.get(kind, {"batches": 1, "payments": 2})


def test_refused_is_not_kept(shop: App) -> None:
    """What was refused made nothing: the same key works once it is put right."""
    assert problem(shop.post("/v1/customers", number="", key="k"))[0] == 422
    assert shop.post("/v1/customers", number="C-1", key="k").status_code == 201
    again = shop.post("/v1/customers", number="C-1", key="other")
    assert problem(again) == (409, "already-exists")


def test_kept_with_what_it_made(shop: App, house: House) -> None:
    """An answer is kept in the transaction of what it made: where it cannot be, nothing is made."""
    house.do("ALTER TABLE api_answers ADD CONSTRAINT poison CHECK (status <> 201) NOT VALID")
    try:
        assert problem(shop.post("/v1/customers", number="C-1", key="k"))[0] == 500
    finally:
        house.do("ALTER TABLE api_answers DROP CONSTRAINT poison")
    assert counts(house)["customers"] == 0
    assert shop.post("/v1/customers", number="C-1", key="k").status_code == 201


def counts(house: House) -> dict[str, int]:
    """Rows of what calls make."""
    return {
        name: int(house.row(f"SELECT count(*) AS n FROM {name}").n)
        for name in ("customers", "invoices", "payments", "batches")
    }
