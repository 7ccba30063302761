"""C1: an app enters a card by key; whatever goes wrong, no answer, no log line and no table has its number or code."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from producer import Producer
from settings import Settings
from tests.api.conftest import CARD, VISA, App, fields_of, problem
from tests.api.test_docs import listening
from tests.canary.search import found
from tests.flows.house import House

CODE = CARD["security_code"]
WRONG = VISA[:-1] + "2"


def keep(shop: App, card: object, **more: Any) -> httpx2.Response:
    return shop.client.post("/v1/cards", json=card, headers={"Authorization": f"Bearer {shop.secret}"}, **more)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"cvv": "917"}, ["cvv"]),
        ({VISA: "x"}, ["(a long number, not shown)"]),
        ({"number": int(VISA)}, ["number"]),
        ({"name": ["Ann"], "country": 1}, ["name", "country"]),
        ({"number": WRONG, "expiry": "13/39"}, ["number", "expiry"]),
        ({"customer": "C-9"}, ["customer"]),
        ({"idempotency_key": "k"}, ["idempotency_key"]),
    ],
)
def test_refused(shop: App, change: dict[str, Any], wrong: list[str]) -> None:
    """An unknown field, one that is no text and a wrong one are told, as everywhere, and nothing that was sent is."""
    answer = keep(shop, {**CARD, **change})
    assert problem(answer) == (422, "request-refused")
    assert fields_of(answer) == wrong
    assert VISA not in answer.text


@pytest.mark.parametrize(
    "body", [b"[]", b'{"number": "4111111111111111", "number": "4111111111111111"}', b'{"a": NaN}']
)
def test_no_object(shop: App, body: bytes) -> None:
    """A body that is no JSON object, or names a field twice, is told so without a word of it."""
    headers = {"Authorization": f"Bearer {shop.secret}", "Content-Type": "application/json"}
    answer = shop.client.post("/v1/cards", content=body, headers=headers)
    assert problem(answer) == (400, "body-not-understood")
    assert VISA not in answer.text


def test_an_empty_field_is_none(shop: App) -> None:
    """What is null counts as left out."""
    assert keep(shop, {**CARD, "security_code": None, "street": None}).status_code == 201


def test_nothing_tells_the_number(
    shop: App, house: House, settings: Settings, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3: access log, validation error, traceback, problem and oversized body of a real server show no canary."""
    spaced = f"{VISA[:4]}%20{VISA[4:8]}%20{VISA[8:12]}%20{VISA[12:]}"
    with listening(settings) as address, httpx2.Client(base_url=address, timeout=30) as client:
        real = App(client, shop.secret)
        answers = {
            "kept": keep(real, CARD),
            "address": client.post(f"/v1/cards?number={VISA}&card={spaced}", json=CARD, headers=bearer(real)),
            "path": client.get(f"/v1/cards/{VISA}", headers=bearer(real)),
            "validation": keep(real, {**CARD, "expiry": VISA, "security_code": VISA, "country": VISA, "name": VISA}),
            "unknown": keep(real, {**CARD, VISA: CODE, "pan": VISA}),
            "kinds": keep(real, {**CARD, "number": [VISA], "security_code": {"code": CODE}}),
            "broken": client.post(
                "/v1/cards",
                content=json.dumps(CARD)[:-1],
                headers={**bearer(real), "Content-Type": "application/json"},
            ),
            "oversized": keep(real, {**CARD, "street": VISA * 2_000}),
            "chunked": client.post(
                "/v1/cards",
                content=iter([json.dumps(CARD).encode(), b" " * 2**15]),
                headers={**bearer(real), "Content-Type": "application/json"},
            ),
            "no key": client.post("/v1/cards", json=CARD, headers={"Authorization": f"Bearer {VISA}"}),
        }
        monkeypatch.setattr(Producer, "keep_cards", lambda *_: 1 / 0)
        answers["traceback"] = keep(real, CARD)
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "kept": 201,
        "address": 201,
        "path": 404,
        "validation": 422,
        "unknown": 422,
        "kinds": 422,
        "broken": 400,
        "oversized": 413,
        "chunked": 413,
        "no key": 401,
        "traceback": 500,
    }
    for name, answer in answers.items():
        assert VISA not in answer.text, name
        assert found(answer.content, [CODE]) == [], name
        assert VISA not in str(answer.headers), name
    written = log.getvalue()
    assert "POST /v1/cards" in written
    assert "ZeroDivisionError" in written
    assert not [line for line in written.splitlines() if spaced in line or found(line.encode(), [VISA, CODE])]
    with house.engine.connect() as conn:
        for table in conn.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all():
            rows = conn.execute(text(f'SELECT CAST(t AS text) FROM "{table}" AS t')).scalars().all()
            assert not [row for row in rows if VISA in row], table


def bearer(app: App) -> dict[str, str]:
    return {"Authorization": f"Bearer {app.secret}"}
