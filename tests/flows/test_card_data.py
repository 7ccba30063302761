"""A card's number and code are in the vault and on the wire, and nowhere else (C1-C3)."""

from __future__ import annotations

import base64
import logging
import re
import traceback
from typing import Any

import pytest
import redis

from books.charge import begin
from books.claim import Singles
from books.outcome import Heard
from gateways.http import HttpClient
from rules.cards import Card
from rules.errors import RequestRefused
from rules.outcomes import Evidence, Failed, FailureClass
from sandbox.client import close, page, reset
from tasks.charge import record
from tests.flows.house import House, build, card, settings_for

CANARIES = {
    "payflow": Card("4000056655665556", 12, 2039, "7391", "Canary Bird"),
    "plugnpay": Card("371449635398431", 12, 2039, "7391", "Canary Bird"),
}
"""A Visa card would have a code of three digits: four tell one from any other number."""

each_gateway = pytest.mark.parametrize("gateway", CANARIES)


def everything_stored(house: House, redis_url: str) -> str:
    """Every row of every table as text, and every key of Redis with its value."""
    tables = house.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [str(row[0]) for table in tables for row in house.rows(f'SELECT t::text FROM "{table.tablename}" t')]
    assert len(rows) > 5
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter():
            value = client.get(key) if client.type(key) == b"string" else client.execute_command("DUMP", key)
            rows.append(f"{key!r} {value!r}")
    return "\n".join(rows)


def shows(text: str, canary: Card) -> list[str]:
    """In which shapes the number or the code is in a text."""
    number, code = canary.number, canary.security_code or ""
    shapes = {
        "number": number,
        "number in groups": r"[ -]?".join(re.findall(r"\d{1,4}", number)),
        "number in hexadecimal": number.encode().hex(),
        "number in base64": base64.b64encode(number.encode()).decode().rstrip("=")[:-1],
        "code": rf"(?<![\w.]){code}(?!\w)",
        "code in a field": rf"(?i)cvv2?(\[\d\])?['\"]?[=:] ?['\"]?{code}",
    }
    return [name for name, shape in shapes.items() if re.search(shape, text)]


@pytest.fixture
def everything_said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What all loggers say, however talkative they are made."""
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy.engine", "sqlalchemy.pool", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def test_the_search_finds_what_it_looks_for(house: House, redis_url: str) -> None:
    """C3: the canary search can fail: a number in a note, a code in a log line, a key of Redis."""
    canary = CANARIES["payflow"]
    house.bill("C-1", {"A": 500})
    house.pay(500)
    house.do("UPDATE payments SET notes = :number", number=canary.number)
    assert shows(everything_stored(house, redis_url), canary) == ["number", "number in groups"]
    assert shows("ACCT=4000 0566-5566 5556&CVV2[4]=7391", canary) == ["number in groups", "code", "code in a field"]
    assert shows(repr(canary.number.encode().hex()), canary) == ["number in hexadecimal"]


@each_gateway
def test_a_card_is_found_nowhere_but_sealed(
    house: House, gateway: str, redis_url: str, everything_said: pytest.LogCaptureFixture
) -> None:
    """C1, C3, B61, B63: paid, charged, declined, lost and looked up, voided: in no table, log, Redis key or repr."""
    canary = CANARIES[gateway]
    house.bill("C-1", {"A": 500, "B": 600, "C": 700})
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    house.sandbox.client.scenario(
        before=[page(200, f"<p>{canary.number} {canary.security_code}</p>")], operation="sale"
    )
    payments = [house.pay(500, canary, invoices=["A"]), house.pay(600, canary, invoices=["B"])]
    assert shows(everything_stored(house, redis_url), canary) == []
    house.charge()
    house.advance(minutes=1)
    house.work()
    # Which of the two the reset hit is chance; the other's page proves nothing until it must have arrived.
    [posted] = [payment for payment in payments if house.state(payment) == "posted"]
    house.void(posted)
    house.work()
    with pytest.raises(RequestRefused) as refused:
        house.pay(700, canary, invoices=["nowhere"], customer="nobody")
    assert shows(everything_stored(house, redis_url), canary) == []
    said = everything_said.text + "".join(traceback.format_exception(refused.value)) + repr(house) + repr(canary)
    assert "POST" in everything_said.text, "the HTTP client's own log was listened to"
    assert shows(said, canary) == []
    assert house.payment(posted).card_last_four == canary.number[-4:]


@each_gateway
def test_an_error_that_holds_the_request_shows_nothing_of_it(
    house: House,
    gateway: str,
    redis_url: str,
    everything_said: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B61: a bug of ours raises with the whole request in its text: nothing is proven, and nothing shown."""
    canary = CANARIES[gateway]

    def burst(_self: object, body: bytes, *_more: Any) -> None:
        raise ValueError(body.decode())

    house.bill("C-1", {"A": 500})
    payment = house.pay(500, canary)
    with monkeypatch.context() as broken:
        broken.setattr(HttpClient, "post", burst)
        house.charge()
        house.advance(minutes=1)
        house.look_up()
    assert house.sales(payment) == ["unknown"]
    assert "ValueError" in house.row("SELECT said FROM evidence ORDER BY id LIMIT 1").said["broke"]
    printed = capfd.readouterr()
    assert shows(everything_stored(house, redis_url) + everything_said.text + printed.out + printed.err, canary) == []


def sealed(house: House) -> Any:
    """The one card in the vault."""
    return house.row("SELECT * FROM card_vault")


def test_the_security_code_is_dropped_with_the_first_answer(house: House) -> None:
    """C2: the first authorization was answered: the code is gone, and the retry goes without it."""
    house.bill("C-1", {"A": 500})
    payment = house.pay(500, card("4000050000010006"))
    assert sealed(house).security_code is not None
    house.charge()
    assert sealed(house).security_code is None
    assert sealed(house).wrapped_key is not None, "the number is needed once more"
    house.advance(days=8)
    house.work()
    assert house.state(payment) == "posted"
    first, second = house.sandbox.client.requests(operation="sale")
    assert ("CVV2" in first.body, "CVV2" in second.body) == (True, False)


def test_a_sale_that_never_left_keeps_the_code(house: House) -> None:
    """C2, E3: nothing was sent, so no authorization was answered: the next attempt still has the code."""
    house.bill("C-1", {"A": 500})
    house.pay(500, card())
    with house.context.transaction() as (conn, now):
        [sale], _ = begin(conn, Singles(), 10, house.context.terms, now, "defray", house.context.breakers)
    unsent = Heard(sale.transaction_id, sale.lease_token, Failed(FailureClass.NOT_SENT, "refused"), Evidence(None, {}))
    record(house.context, "reply", [unsent])
    assert sealed(house).security_code is not None
    house.advance(hours=1)
    house.work()
    assert "CVV2" in house.sandbox.client.requests(operation="sale")[0].body
    assert sealed(house).security_code is None


def test_an_answer_that_was_lost_keeps_the_code_for_the_same_sale(house: House) -> None:
    """C2, E4: not answered yet: sent again under its reference, it is the same sale byte for byte."""
    house.bill("C-1", {"A": 500})
    house.pay(500, card())
    house.sandbox.client.scenario(before=[close()], operation="sale")
    house.charge()
    assert sealed(house).security_code is not None
    for _ in range(2):
        house.advance(minutes=16)
        house.work()
    first, second = house.sandbox.client.requests(operation="sale")
    assert first.body == second.body
    assert "CVV2" in second.body
    assert sealed(house).security_code is None


@pytest.mark.parametrize(("number", "state"), [("4111111111111111", "posted"), ("4000000000009979", "declined")])
def test_the_number_is_dropped_when_no_attempt_is_to_come(house: House, number: str, state: str) -> None:
    """C2: charged or declined for good: the data key of a card that came for this payment alone is dropped."""
    house.bill("C-1", {"A": 500})
    payment = house.pay(500, card(number))
    house.charge()
    assert house.state(payment) == state
    assert (sealed(house).wrapped_key, sealed(house).security_code) == (None, None)
    assert sealed(house).dropped_at is not None
    assert sealed(house).last_four == number[-4:]


def test_the_number_is_dropped_where_nothing_is_owed_any_more(house: House) -> None:
    """C2, R8: cancelled since a check was quicker: the number goes, too."""
    house.bill("C-1", {"A": 500})
    payment = house.pay(500, card("4000050000010006"))
    house.charge()
    house.pay(500)
    house.post()
    house.advance(days=8)
    house.work()
    assert house.state(payment) == "cancelled"
    assert sealed(house).wrapped_key is None


def test_a_card_that_was_kept_for_more_stays(house: House) -> None:
    """C2: a card that was sealed by itself serves several payments; only its code goes with the first answer."""
    house.bill("C-1", {"A": 500, "B": 500})
    [kept] = house.producer.keep_cards([card()])
    first = house.pay(500, None, card_token=kept.token)
    house.work()
    second = house.pay(500, None, card_token=kept.token)
    house.work()
    assert [house.state(one) for one in (first, second)] == ["posted", "posted"]
    assert (sealed(house).security_code, sealed(house).wrapped_key is None) == (None, False)


def test_a_lost_hour_key_costs_only_the_code(house: House, redis_url: str) -> None:
    """C2, D3: Redis was flushed: the charge goes without the code; the key of an hour lives less than a day."""
    house.bill("C-1", {"A": 500})
    payment = house.pay(500, card())
    with redis.Redis.from_url(redis_url) as client:
        [key] = client.scan_iter("defray:hour:*")
        assert 0 < client.ttl(key) <= 24 * 3600
        client.flushdb()
    house.charge()
    assert house.state(payment) == "posted"
    [sale] = house.sandbox.client.requests(operation="sale")
    assert "CVV2" not in sale.body


def test_without_a_gateway_a_card_is_recorded_and_forgotten(
    house: House, database_url: str, redis_url: str, tmp_path: Any
) -> None:
    """R7, C2: no gateway for it: recorded like cash, posted, never charged; its number is dropped at once."""
    settings = settings_for(
        house.sandbox, database_url, redis_url, str(tmp_path / "keys.json"), DEFRAY_CARD_ROUTES="amex=plugnpay"
    )
    other = build(house.engine, settings, house.sandbox)
    other.bill("C-1", {"A": 500})
    payment = other.pay(500, card())
    assert sealed(house).wrapped_key is None
    other.work()
    assert (other.state(payment), other.sales(payment)) == ("posted", [])
    assert other.ledger() == {"revenue": -500, "cash:credit_card": 500}
    assert house.sandbox.client.request_count() == 0
    other.void(payment)
    assert other.ledger() == {"receivable": 500, "revenue": -500}
    other.context.wake.close()
