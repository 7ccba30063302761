"""Issue 6: bad input of every kind gets its problem document, and no card number comes back or stays (C1)."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from typing import Any

import pytest
from sqlalchemy import text

from tests.api.conftest import VISA, App, fields_of, problem
from tests.flows.house import House
from web import headers, problems

DATES = {"invoice_date": "2026-01-05", "due_date": "2026-02-05"}
TYPED = "4111 1111 1111 1111"


def raw(app: App, body: bytes, kind: str = "application/json", path: str = "/v1/customers", **more: str) -> Any:
    sent = {**more, "Authorization": f"Bearer {app.secret}", "Idempotency-Key": "k", "Content-Type": kind}
    return app.client.post(path, content=body, headers=sent)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"number": NaN}',
        b'{"a": 1, "a": 2}',
        b"\xff",
        b'{"a":' * 100_000,
        b"9" * 9999,
    ],
)
def test_no_json_object(shop: App, body: bytes) -> None:
    """A body that is no JSON object, or names a field twice, is told so."""
    assert problem(raw(shop, body)) == (400, "body-not-understood")


def test_packed_bodies(shop: App) -> None:
    """A packed body is not unpacked, however little it says on the wire: it is no JSON object."""
    said = json.dumps({"number": "C-1", "name": " " * (headers.BODY_MAX * 4)}).encode()
    for name, packed in (("gzip", gzip.compress(said)), ("deflate", zlib.compress(said))):
        answer = raw(shop, packed, **{"Content-Encoding": name})
        assert problem(answer) == (400, "body-not-understood"), name
    assert shop.get("/v1/customers").json()["data"] == []


def test_kind_and_size(shop: App) -> None:
    """Another kind of body, and one that is too large."""
    assert problem(raw(shop, b"number=1", "application/x-www-form-urlencoded")) == (415, "media-type")
    assert problem(raw(shop, b" " * (headers.BODY_MAX + 1))) == (413, "body-too-large")
    assert problem(raw(shop, b" " * (2**14 + 1), path="/v1/cards")) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, ["number"]),
        ({"number": 7}, ["number"]),
        ({"number": "C-1", "email": "no address"}, ["email"]),
        ({"number": "C-1", "name": "a\u0000b"}, ["name"]),
        ({"number": "C-1", "name": "\ud800"}, ["name"]),
        ({"number": "C-1", "name": {}, "phone": []}, ["name", "phone"]),
        ({"nomber": "C-1"}, ["nomber", "number"]),
        ({"number": "x" * 101}, ["number"]),
    ],
)
def test_customers(shop: App, fields: dict[str, Any], wrong: list[str]) -> None:
    """What is wrong with a customer, all at once."""
    answer = raw(shop, json.dumps(fields).encode())
    assert problem(answer) == (422, "request-refused")
    assert fields_of(answer) == wrong


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"customer": "C-9"}, ["customer"]),
        ({"amount_minor": 1.0}, ["amount_minor"]),
        ({"amount_minor": 10**13}, ["amount_minor"]),
        ({"amount_minor": True}, ["amount_minor"]),
        ({"amount_minor": None, "amount": "1.005"}, ["amount"]),
        ({"amount": "1.00"}, ["amount"]),
        ({"currency": "XXX"}, ["currency"]),
        ({"invoice_date": "2026-02-30", "due_date": 5}, ["invoice_date", "due_date"]),
        ({"number": ""}, ["number"]),
    ],
)
def test_invoices(shop: App, change: dict[str, Any], wrong: list[str]) -> None:
    """What is wrong with an invoice, all at once."""
    shop.bill("C-1", {})
    good = {"customer": "C-1", "number": "A-1", "currency": "USD", "amount_minor": 500, **DATES}
    refused = shop.post("/v1/invoices", {**good, **change})
    assert problem(refused) == (422, "request-refused")
    assert fields_of(refused) == wrong


def test_invoice_again(shop: App) -> None:
    """An invoice that was issued never changes; its number is its customer's once."""
    shop.bill("C-1", {"A-1": 100})
    good = {"customer": "C-1", "number": "A-1", "currency": "USD", "amount_minor": 100, **DATES}
    assert problem(shop.post("/v1/invoices", good)) == (409, "already-exists")
    assert problem(shop.post("/v1/invoices", {**good, "amount_minor": 5})) == (409, "already-exists")


def test_unforeseen(shop: App, house: House) -> None:
    """What nobody foresaw is told as such, without a word of its insides."""
    house.do("ALTER TABLE customers ADD CONSTRAINT poison CHECK (number <> 'C-1') NOT VALID")
    try:
        answer = shop.post("/v1/customers", number="C-1")
    finally:
        house.do("ALTER TABLE customers DROP CONSTRAINT poison")
    assert problem(answer) == (500, "internal-error")
    assert "poison" not in answer.text


@pytest.mark.parametrize("number", [VISA, TYPED], ids=["plain", "typed"])
def test_card_numbers(shop: App, house: House, log: io.StringIO, number: str) -> None:
    """C1: a card number in any field is refused, not repeated, not logged and not kept."""
    shop.bill("C-1", {"A-1": 1000})
    pay = shop.check(100)
    answers = [
        *(
            shop.post("/v1/customers", **{"number": "C-2", name: number})
            for name in ("number", "name", "phone", "email")
        ),
        shop.post("/v1/customers", **{"number": "C-2", number: "x"}),
        *(
            shop.post(
                "/v1/invoices",
                {"customer": "C-1", "number": "A-9", "currency": "USD", "amount_minor": 5, **DATES, **put},
            )
            for put in ({"number": number}, {"customer": number}, {"amount": number, "amount_minor": None})
        ),
        *(
            shop.post("/v1/payments", {**pay, **put})
            for put in (
                {"notes": number},
                {"number": number},
                {"customer": number},
                {"method": number},
                {"currency": number},
                {"invoices": [number]},
                {"invoices": [{"number": "A-1", number: 1}]},
                {"method": "credit_card", "card_token": number},
                {"card_number": number},
                {"amount_minor": number},
                {"post_date": number},
                {"when_owed_less": number},
                {"keep_card": number},
                {"as_credit": number},
            )
        ),
        *(shop.post(f"/v1/payments/1/{act}", reason=f"card {number}") for act in ("void", "cancel", "refund")),
        shop.post("/v1/payments/1/void", reason="x", refund_on_void_failure=number),
        shop.post("/v1/batches", label=number, payments=[pay]),
        shop.post("/v1/batches", payments=[{**pay, "notes": number}]),
        shop.post("/v1/credits/apply", customer=number, currency="USD"),
        shop.post("/v1/credits/apply", customer="C-1", currency="USD", invoices=[number]),
        shop.post("/v1/customers", number="C-3", key=number),
        shop.get("/v1/invoices", number="A-9", customer=number),
        shop.get(f"/v1/customers/{number}"),
        shop.get("/v1/payments", **{number: "x"}),
    ]
    assert [answer.status_code for answer in answers if answer.status_code not in (404, 422)] == []
    for answer in answers:
        assert VISA not in answer.text
        assert TYPED not in answer.text
    assert VISA not in log.getvalue()
    assert TYPED not in log.getvalue()
    with house.engine.connect() as conn:
        tables = conn.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        for table in tables:
            for row in conn.execute(text(f'SELECT CAST(t AS text) FROM "{table}" AS t')).scalars():
                assert VISA not in row, table
                assert TYPED not in row, table


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("/v1/customers", "GET, POST"),
        ("/v1/payments/preview", "POST"),
        ("/v1/payments/7", "GET"),
        ("/v1/cards", "POST"),
        ("/v1/webhook-endpoints/7", "DELETE, GET"),
    ],
)
def test_methods(shop: App, path: str, taken: str) -> None:
    """An address that takes another method says all that it takes."""
    answer = shop.client.put(path, headers={"Authorization": f"Bearer {shop.secret}"})
    assert problem(answer) == (405, "method-not-allowed")
    assert answer.headers["allow"] == taken


@pytest.mark.parametrize("number", ["preview1", "-1", "9" * 30, "9" * 5_000])
def test_no_id(shop: App, number: str) -> None:
    """What is no id of a payment is not found."""
    assert problem(shop.get(f"/v1/payments/{number}")) == (404, "not-found")


def test_odd_values(shop: App) -> None:
    """An event type that is an object is refused; a batch's blank label counts as none."""
    refused = shop.post("/v1/webhook-endpoints", url="https://192.0.2.1/hooks", types=[{}])
    assert problem(refused) == (422, "request-refused")
    assert "types" in fields_of(refused)
    shop.bill("C-1", {"A-1": 500})
    assert shop.made("/v1/batches", label=" ", payments=[shop.check(100)])["label"] == "by API"


def test_every_type_is_documented() -> None:
    """Every type has a name of its own, words on when it comes and what a program does then."""
    assert len({one.name for one in problems.ALL}) == len(problems.ALL)
    assert all(one.when and one.then for one in problems.ALL)
    declared = {one for one in vars(problems).values() if isinstance(one, problems.Problem)}
    assert declared == set(problems.ALL)
