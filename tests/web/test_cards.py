"""C1: the card endpoint is the one place that takes a number; the number shows up nowhere else."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from sqlalchemy import Engine, text

from producer import Producer
from telemetry import logs
from tests.canary.search import found
from tests.web.conftest import Books, Visitor

VISA, CODE = "4111111111111111", "917"
CARD = {"number": VISA, "expiry": "12/39", "security_code": CODE, "name": "Ann Example"}


def keep(visitor: Visitor, card: object, **headers: str) -> Any:
    return visitor.client.post("/v1/cards", json=card, headers={"X-CSRF-Token": visitor.token(), **headers})


@pytest.mark.parametrize("as_form", [False, True])
def test_kept(clerk: Visitor, books: Books, as_form: bool) -> None:
    """C1: JSON or form, a card becomes a token with brand, last four and expiry, and lies sealed in the vault."""
    typed = {**CARD, "number": "4111 1111-1111 1111"}
    answer = clerk.post("/v1/cards", **typed) if as_form else keep(clerk, typed)
    assert answer.status_code == 201
    said = answer.json()
    assert said.pop("token") == books.one("SELECT token FROM card_vault")
    assert said == {"brand": "visa", "last_four": "1111", "exp_month": 12, "exp_year": 2039}


def test_refused(clerk: Visitor, books: Books) -> None:
    """All faults at once, each with its field and remedy, none with what was given."""
    answer = keep(clerk, {**CARD, "number": "4111111111111112", "expiry": "1/20", "security_code": "91"})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["faults"]] == ["number", "expiry", "security_code"]
    assert books.one("SELECT count(*) FROM card_vault") == 0


def test_whose_it_is(clerk: Visitor, books: Books) -> None:
    """C1: a card may be entered for one customer; then its token counts there alone."""
    assert keep(clerk, {**CARD, "customer": "7"}).status_code == 201
    assert books.one("SELECT customer_id FROM card_vault") == 7
    for wrong in ("x", "-7", "9" * 30, "٧"):
        answer = keep(clerk, {**CARD, "customer": wrong})
        assert (answer.status_code, answer.json()["faults"][0]["field"]) == (422, "customer")


@pytest.mark.parametrize("card", ["no object", [1], 7, None, {"number": 4111111111111111}, {"number": {"a": 1}}])
def test_no_card_at_all(clerk: Visitor, card: object) -> None:
    """What is no object of texts is refused, and not repeated."""
    answer = keep(clerk, card)
    assert answer.status_code in (400, 422)
    assert VISA not in answer.text


def test_needs_rights(clerk: Visitor, visitor: Visitor) -> None:
    """Neither without a session nor without its token is a card taken."""
    assert visitor.client.post("/v1/cards", json=CARD).status_code == 403
    clerk.client.cookies.clear()
    answer = visitor.client.post("/v1/cards", json=CARD)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_nothing_tells_the_number(
    clerk: Visitor, engine: Engine, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3: whatever is wrong, no answer, no log line, no traceback and no table has the number or the code."""
    said = [
        keep(clerk, CARD),
        keep(clerk, {**CARD, "expiry": "no"}),
        keep(clerk, {**CARD, "name": VISA, "expiry": "1/20"}),
        keep(clerk, {**CARD, VISA: VISA, "country": VISA}),
        keep(clerk, [VISA]),
        clerk.client.post(
            "/v1/cards",
            content=json.dumps(CARD)[:-1],
            headers={"X-CSRF-Token": clerk.token(), "Content-Type": "application/json"},
        ),
        clerk.post("/v1/cards", **{**CARD, "number": VISA[:-1] + "2"}),
        clerk.client.get(f"/v1/cards?number={VISA}"),
        clerk.client.get(f"/console/customers/{VISA}"),
        clerk.client.get(f"/console/customers/x{VISA}"),
        clerk.client.get("/console/find/results", params={"q": VISA}),
        clerk.post("/console/login", name=VISA, password=VISA),
    ]
    monkeypatch.setattr(Producer, "keep_cards", lambda *_: 1 / 0)
    broken = keep(clerk, CARD)
    assert broken.status_code == 500
    for answer in (*said, broken):
        assert VISA not in answer.text, answer.url
        assert found(answer.content, [CODE]) == [] or answer.headers["content-type"].startswith("text/html")
    written = log.getvalue()
    assert VISA not in written
    with engine.connect() as conn:
        for table in conn.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all():
            rows = conn.execute(text(f'SELECT CAST(t AS text) FROM "{table}" AS t')).scalars().all()
            assert not [row for row in rows if VISA in row], table


def test_the_access_log_is_redacted() -> None:
    """C3: uvicorn's line of a request has its address without the question; a number in it is masked."""
    record = logging.LogRecord(
        "uvicorn.access",
        logging.INFO,
        "",
        0,
        '%s - "%s %s HTTP/%s" %d',
        (
            "127.0.0.1:1",
            "GET",
            f"/console/{VISA[:4]}%20{VISA[4:8]}%20{VISA[8:12]}%20{VISA[12:]}?token=hush",
            "1.1",
            200,
        ),
        None,
    )
    line = logs.formatter("people").format(record)
    assert "/console/************1111" in line
    assert "hush" not in line
    assert VISA[4:8] + "%20" not in line
    assert "4111" not in line
