"""What apps send: a write's body, its key, and what a list is asked for; headers that browsers send."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import date

from fastapi import Request

from rules import requests
from rules.apps import check_idempotency_key
from rules.cards import looks_like_card_number
from rules.errors import Fault
from rules.money import AMOUNT_MINOR_MAX
from rules.requests import PaymentRequest, digest
from rules.webhooks import check_contact, check_types
from tests.fuzz.files import NUMBER, refused_in_words
from web import progress, rights
from web.api import requests as api
from web.api.access import brings_key
from web.errors import _is_program

_ASKED = api.asking("customer", "since", "on", "batch", "state", of=("id", "state"))
_TODAY = date(2026, 3, 1)


def check(data: bytes) -> None:
    """The first byte chooses: a body, or a head whose first line is the query, whose others are headers."""
    if not data:
        return
    if data[0] % 2:
        _body(data[1:])
    else:
        _head(data[1:])


def _body(text: bytes) -> None:
    said = api.json_object(text)
    if said is None:
        return
    api.digest(Request({"type": "http", "method": "POST", "path": "/v1/payments", "headers": []}), said)
    check_types(said.get("types"))
    check_contact(said.get("contact"))
    checked = requests.check(said, _TODAY)
    if isinstance(checked, PaymentRequest):
        assert 0 < checked.total_minor <= AMOUNT_MINOR_MAX
        assert not looks_like_card_number(checked.notes)
        digest(checked, None)
    else:
        assert checked
        assert NUMBER not in "; ".join(map(str, checked)), "a fault tells a card's number"


def _head(text: bytes) -> None:
    query, *lines = text.replace(b"\r", b"").split(b"\n")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    if not query.isascii():
        return  # refused at the door
    request = Request(
        {"type": "http", "method": "GET", "path": "/v1/payments", "query_string": query, "headers": headers}
    )
    key = check_idempotency_key(request.headers.get("idempotency-key"))
    assert isinstance(key, Fault) or not looks_like_card_number(key)
    assert 0 <= progress.last_seen(request) < 10**18
    brings_key(request)
    _is_program(request)
    rights.session_token(Request({**request.scope, "scheme": "http", "server": ("127.0.0.1", 1)}))
    with refused_in_words():
        asked = _at_once(_ASKED(request))
        assert 0 <= asked.page.after <= 10**18
        assert 1 <= asked.page.limit <= api.LIMIT_MAX
        api.id_filter(asked, "batch")
        api.day_filter(asked, "on")
        api.moment_filter(asked, "since")
        api.one_of(asked, "state", ("posted",))
        asked.shown([{"id": 1, "state": "x"}] * (asked.page.limit + 1))


def _at_once(waits_for_nothing: Awaitable[api.Asked]) -> api.Asked:
    try:
        next(waits_for_nothing.__await__())
    except StopIteration as done:
        asked: api.Asked = done.value
        return asked
    raise AssertionError("it waits for something")
