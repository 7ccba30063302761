"""C4: a kept card is charged by the gateway's own token, with what the networks want to know of it."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from sqlalchemy import Engine

from books import kept_cards
from producer.payments import Row
from sandbox.client import SandboxProcess, answer, close, reset
from tests.flows.house import CREDENTIALS, VISA, House, all_at, build, card, settings_for
from vault import SealedText

KEEP_CARDS: Final = ("payflow", "stripe", "paypal", "authorizenet")
UNKNOWN_TOKENS: Final = {
    "payflow": "A00000000000",
    "stripe": "cus_nosuch/pm_nosuch",
    "paypal": "nosuch",
    "authorizenet": "926000001/926000002",
}
"""Tokens that look right and stand for no card."""
DECLINED_ONCE: Final = "4000050000010006"

Open = Callable[..., House]


@pytest.fixture
def opened(
    engine: Engine, sandbox: SandboxProcess, database_url: str, redis_url: str, tmp_path: Path
) -> Iterator[Open]:
    """Houses on the same books, every card of which goes to the gateway."""
    houses: list[House] = []
    keys = map("key-{}".format, itertools.count(1))

    def open_one(gateway: str = "payflow", **more: str) -> House:
        told = {**all_at(gateway, sandbox), **more}
        houses.append(
            build(engine, settings_for(sandbox, database_url, redis_url, str(tmp_path / "keys.json"), **told), sandbox)
        )
        houses[-1].keys = keys
        return houses[-1]

    yield open_one
    for house in houses:
        house.context.wake.close()


@pytest.fixture(params=KEEP_CARDS)
def gateway(request: pytest.FixtureRequest) -> str:
    """Each that keeps cards."""
    name: str = request.param
    return name


@pytest.fixture
def at_each(opened: Open, gateway: str) -> House:
    """A house whose cards all go to the gateway, and a customer with four invoices."""
    return billed(opened(gateway))


@pytest.fixture
def at_payflow(opened: Open) -> House:
    """As `at_each`, at Payflow."""
    return billed(opened())


def billed(house: House) -> House:
    house.bill("C-1", {"A": 500, "B": 500, "C": 500, "D": 500})
    return house


def keeping(house: House, invoice: str = "A", number: str = VISA, **fields: Any) -> int:
    """An invoice, paid by a new card that is kept."""
    asked = {
        "idempotency_key": next(house.keys),
        "method": "credit_card",
        "currency": "USD",
        "customer": "C-1",
        "amount_minor": 500,
        "invoices": [invoice],
        **fields,
    }
    given = None if "card_token" in fields else card(number)
    return house.producer.pay(asked, given, caller="shop", by="ann", keep_card=True).payment_id


def by_kept(house: House, invoice: str = "B", **fields: Any) -> int:
    """An invoice, paid by the kept card."""
    token = house.row("SELECT token FROM kept_cards WHERE removed_at IS NULL").token
    return house.pay(500, card_token=token, invoices=[invoice], **fields)


def kept(house: House, number: str = VISA) -> int:
    """Invoice A, paid by a card that the gateway keeps now."""
    payment = keeping(house, number=number)
    house.work()
    assert house.state(payment) == "posted"
    assert stored(house).sealed is not None
    return payment


def stored(house: House) -> Any:
    """What stands in for the one card."""
    return house.row("SELECT * FROM gateway_cards")


def purpose(row: Any) -> str:
    """What the token is sealed for."""
    return f"gateway card:{row.gateway}:{row.account}:{row.fingerprint}"


def token_of(house: House) -> str:
    """The token itself."""
    row = house.row("SELECT g.*, v.fingerprint FROM gateway_cards g JOIN card_vault v ON v.token = g.card_token")
    sealed = SealedText(row.key_id, bytes(row.sealed))
    opened = house.context.vault.open_text(sealed, purpose(row))
    assert opened
    return opened


def exchange_token(house: House, token: str) -> None:
    """Let the stored token be another one."""
    row = house.row("SELECT g.*, v.fingerprint FROM gateway_cards g JOIN card_vault v ON v.token = g.card_token")
    sealed = house.context.vault.seal_text(token, purpose(row))
    house.do("UPDATE gateway_cards SET sealed = :sealed, key_id = :key", sealed=sealed.sealed, key=sealed.key_id)


def sent(house: House) -> list[tuple[str, str, str]]:
    """(reference, key, body) of each sale that arrived."""
    return [(one.reference, one.request_id, one.body) for one in house.sandbox.client.requests(operation="sale")]


def shows_a_number(body: str) -> bool:
    """Whether the body of a sale has the field of a card's number; the sandbox shows no number in full."""
    return bool(re.search(r"ACCT|cardNumber|%5Bnumber%5D|\[number\]|\"number\"", body))


def the_last(house: House) -> str:
    """The body of the last sale."""
    return sent(house)[-1][2]


# ---- the token in place of the number


def test_the_second_payment_needs_no_number(at_each: House) -> None:
    """C4: the first sale asks for a token; the second one by that card sends it and no number. One charge each."""
    kept(at_each)
    assert shows_a_number(the_last(at_each)), "the search finds a number where there is one"
    second = by_kept(at_each)
    at_each.work()
    assert at_each.state(second) == "posted"
    assert not shows_a_number(the_last(at_each))
    assert VISA[-4:] not in the_last(at_each)
    assert at_each.sandbox.client.card(VISA).charged == 2
    row = at_each.row("SELECT by_token, keep_card FROM gateway_transactions WHERE payment_id = :id", id=second)
    assert (row.by_token, row.keep_card) == (True, False)
    assert stored(at_each).last_used > stored(at_each).kept_at


def test_a_refused_token_falls_back_once(at_each: House) -> None:
    """C4, E5: the gateway knows the token no longer: by the number, as a new attempt, once, and from then on."""
    kept(at_each)
    exchange_token(at_each, UNKNOWN_TOKENS[stored(at_each).gateway])
    second = by_kept(at_each)
    at_each.charge()  # one task: somebody may wait for it
    assert (at_each.state(second), at_each.sales(second)) == ("posted", ["failed", "approved"])
    assert stored(at_each).refused_at is not None
    assert at_each.sandbox.client.card(VISA).charged == 2
    third = by_kept(at_each, "C")
    at_each.work()
    assert (at_each.state(third), at_each.sales(third)) == ("posted", ["approved"])
    assert shows_a_number(the_last(at_each))


def test_a_token_sale_that_was_lost_is_sent_again_as_it_was(at_each: House) -> None:
    """E4, C4: no answer, and absent: the same bytes under the same key, though the token was refused to another one."""
    kept(at_each)
    second = by_kept(at_each)
    at_each.sandbox.client.scenario(before=[close()], operation="sale")
    at_each.charge()
    assert at_each.sales(second) == ["unknown"]
    at_each.do("UPDATE gateway_cards SET refused_at = now()")
    for _ in range(3):
        at_each.advance(minutes=16)
        at_each.work()
    assert (at_each.state(second), at_each.sales(second)) == ("posted", ["approved"])
    first_send, *others = sent(at_each)[-2:]
    assert others == [first_send]
    assert not shows_a_number(first_send[2])
    assert at_each.sandbox.client.card(VISA).charged == 2


def test_a_number_that_was_sent_is_sent_again(at_each: House) -> None:
    """E4, C2, C4: what went by the number goes by it again, code and all, although there is a token meanwhile."""
    lost = keeping(at_each)
    at_each.sandbox.client.scenario(before=[close()], operation="sale")
    at_each.charge()
    assert at_each.sales(lost) == ["unknown"]
    other = by_kept(at_each)
    at_each.charge()
    assert at_each.state(other) == "posted"
    assert stored(at_each).sealed is not None
    for _ in range(3):
        at_each.advance(minutes=16)
        at_each.work()
    assert at_each.state(lost) == "posted"
    first, _, again = sent(at_each)
    assert again == first
    assert at_each.sandbox.client.card(VISA).charged == 2
    assert at_each.row("SELECT security_code FROM card_vault").security_code is None


def test_an_inquiry_gives_the_token_too(at_each: House) -> None:
    """C4, E4: approved, and killed before it was recorded, or the answer was lost: found, and the token with it."""
    lost = keeping(at_each)
    at_each.sandbox.client.scenario(after=[reset()], operation="sale")
    at_each.charge()
    assert (at_each.sales(lost), at_each.rows("SELECT * FROM gateway_cards")) == (["unknown"], [])
    for _ in range(3):
        at_each.advance(minutes=16)
        at_each.work()
    assert at_each.state(lost) == "posted"
    second = by_kept(at_each)
    at_each.work()
    assert at_each.state(second) == "posted"
    assert not shows_a_number(the_last(at_each))
    assert at_each.sandbox.client.card(VISA).charged == 2


def test_the_token_is_found_nowhere_but_sealed(
    at_each: House, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C1, C4: it can charge money: it is in no table, log, Redis key or repr. Payflow's is the transaction's own id."""
    caplog.set_level(logging.DEBUG)
    kept(at_each)
    if stored(at_each).gateway == "payflow":
        assert token_of(at_each) == at_each.row("SELECT transaction_id FROM gateway_transactions").transaction_id
        return
    by_kept(at_each)
    at_each.work()
    token = token_of(at_each)
    tables = at_each.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [str(row[0]) for table in tables for row in at_each.rows(f'SELECT t::text FROM "{table.tablename}" t')]
    with redis.Redis.from_url(redis_url) as client:
        rows += [repr(client.dump(key)) for key in client.scan_iter()]
    everything = "\n".join(rows) + caplog.text + repr(at_each)
    for part in {token, token.rpartition("/")[2]}:
        assert part not in everything
        assert part.encode().hex() not in everything


# ---- when none is asked for, and when it goes


def test_a_card_that_is_taken_once_is_not_kept(at_each: House) -> None:
    """C2, C4: a card for one payment alone: no token is asked for, none is stored."""
    payment = at_each.pay(500, card())
    at_each.work()
    assert at_each.state(payment) == "posted"
    assert at_each.rows("SELECT * FROM gateway_cards") == []
    assert not re.search(r"CARDONFILE|store_in_vault|createProfile|setup_future_usage", the_last(at_each))


def test_removing_the_card_removes_the_token(at_payflow: House) -> None:
    """C2, C4: a card that is kept no longer can be charged no longer."""
    kept(at_payflow)
    with at_payflow.context.transaction() as (conn, now):
        row = conn.exec_driver_sql("SELECT id, customer_id FROM kept_cards").one()
        at_payflow.context.vault.drop_keys(conn, kept_cards.remove(conn, row.customer_id, row.id, now, "sue"))
    assert at_payflow.rows("SELECT * FROM gateway_cards") == []


def test_a_removed_card_keeps_its_token_for_what_is_under_way(at_payflow: House) -> None:
    """C2, C4: the payment under way ends by the token; then it goes."""
    kept(at_payflow)
    second = by_kept(at_payflow)
    with at_payflow.context.transaction() as (conn, now):
        row = conn.exec_driver_sql("SELECT id, customer_id FROM kept_cards").one()
        assert kept_cards.remove(conn, row.customer_id, row.id, now, "sue") == []
    assert stored(at_payflow).sealed is not None
    at_payflow.work()
    assert at_payflow.state(second) == "posted"
    assert at_payflow.rows("SELECT * FROM gateway_cards") == []
    assert at_payflow.row("SELECT wrapped_key FROM card_vault").wrapped_key is None


@pytest.mark.parametrize(("policy", "there"), [("always", True), ("until_token", False)])
def test_how_long_the_number_is_kept(opened: Open, policy: str, there: bool) -> None:
    """C2, C4: the number goes with the token's coming, if so configured; the card is charged all the same."""
    house = billed(opened(DEFRAY_KEEP_NUMBERS=policy))
    kept(house)
    assert (house.row("SELECT wrapped_key FROM card_vault").wrapped_key is not None) is there
    second = by_kept(house)
    house.work()
    assert house.state(second) == "posted"


def test_a_number_that_may_be_sent_again_is_kept(opened: Open) -> None:
    """C2, E4: the token is there, and a sale by the number is not known yet: the number stays until it is."""
    house = billed(opened(DEFRAY_KEEP_NUMBERS="until_token"))
    lost = keeping(house)
    house.sandbox.client.scenario(before=[close()], operation="sale")
    house.charge()
    by_kept(house)
    house.charge()
    assert stored(house).sealed is not None
    assert house.row("SELECT wrapped_key FROM card_vault").wrapped_key is not None
    for _ in range(3):
        house.advance(minutes=16)
        house.work()
    assert house.state(lost) == "posted"
    assert house.row("SELECT wrapped_key FROM card_vault").wrapped_key is None


def test_without_the_number_a_refused_token_is_a_persons(opened: Open) -> None:
    """C2, C4: the token is refused and the number is gone: nothing is charged, and a person is told in the end."""
    house = billed(opened(DEFRAY_KEEP_NUMBERS="until_token"))
    kept(house)
    exchange_token(house, UNKNOWN_TOKENS["payflow"])
    second = by_kept(house)
    house.work()
    for _ in range(4):
        house.advance(days=2)
        house.work()
    assert house.state(second) == "review"
    assert set(house.sales(second)) == {"failed"}
    assert "dropped" in house.payment(second).reason or "card_unavailable" in house.payment(second).reason
    assert house.sandbox.client.card(VISA).charged == 1


def test_another_gateway_gets_the_number(opened: Open) -> None:
    """C4, E6: a token is good at its own merchant account only: whoever takes over is given the number."""
    told = {
        "DEFRAY_GATEWAYS": "payflow,plugnpay",
        "DEFRAY_CARD_ROUTES": "*=payflow>plugnpay",
        **{f"DEFRAY_PLUGNPAY_{key}": value for key, value in CREDENTIALS["plugnpay"].items()},
    }
    house = billed(opened(DEFRAY_GATEWAY_FAIL_MAX="0", **told, DEFRAY_PLUGNPAY_URL=opened().sandbox.url("plugnpay")))
    kept(house)
    second = by_kept(house)
    house.sandbox.client.scenario(before=[answer("106")], operation="sale")
    house.work()
    assert house.state(second) == "posted"
    rows = house.rows(
        "SELECT gateway, by_token FROM gateway_transactions WHERE payment_id = :id ORDER BY id", id=second
    )
    assert [tuple(row) for row in rows] == [("payflow", True), ("plugnpay", False)]


def test_a_declined_token_is_no_refused_one(at_payflow: House) -> None:
    """C4, R16: the issuer said no: the token stays, and the retry goes by it."""
    kept(at_payflow)
    second = by_kept(at_payflow)
    at_payflow.sandbox.client.scenario(before=[answer("51")], operation="sale")
    at_payflow.work()
    assert at_payflow.state(second) == "retrying"
    assert stored(at_payflow).refused_at is None
    at_payflow.advance(days=20)
    at_payflow.work()
    assert at_payflow.state(second) == "posted"
    assert not shows_a_number(the_last(at_payflow))


# ---- what the networks want to know


def said(house: House) -> dict[str, str]:
    """CARDONFILE, TXID and CVV2 of the last sale at Payflow, where the sandbox shows a code as stars."""
    return dict(re.findall(r"(CARDONFILE|TXID|CVV2)\[\d+\]=([^&]*)", the_last(house)))


def test_the_first_charge_says_that_the_card_is_to_be_stored(at_payflow: House) -> None:
    """C4: the customer gives the card and agrees: initiated by the cardholder, with the code, to be stored."""
    keeping(at_payflow)
    at_payflow.work()
    assert said(at_payflow) == {"CARDONFILE": "CITI", "CVV2": "***"}
    keeping(at_payflow, "B", "4000056655665556", recurring=True)
    at_payflow.work()
    assert said(at_payflow) == {"CARDONFILE": "CITR", "CVV2": "***"}


def test_what_nobody_waits_for_says_so(at_payflow: House) -> None:
    """C4: by the number, as a batch or a schedule does: by the merchant, with the network's name of the first sale."""
    kept(at_payflow)
    first = stored(at_payflow).network_reference
    assert re.fullmatch(r"\d{15}", first)
    at_payflow.do("UPDATE gateway_cards SET refused_at = now()")
    by_kept(at_payflow)
    at_payflow.work()
    assert said(at_payflow) == {"CARDONFILE": "MITU", "TXID": first}
    by_kept(at_payflow, "C", recurring=True)
    at_payflow.work()
    assert said(at_payflow) == {"CARDONFILE": "MITR", "TXID": first}
    by_kept(at_payflow, "D")
    at_payflow.do("UPDATE payments SET initiated_by = 'schedule' WHERE state = 'requested'")
    at_payflow.work()
    assert said(at_payflow) == {"CARDONFILE": "MITR", "TXID": first}, "a schedule's charge is one of a series"


TOLD: Final = {
    "payflow": (
        "customer first unscheduled",
        "merchant subsequent unscheduled",
        "merchant subsequent recurring after {first}",
        "customer subsequent unscheduled",
    ),
    "stripe": ("customer first", "merchant subsequent", "merchant subsequent", ""),
    "paypal": (
        "customer first unscheduled",
        "merchant subsequent unscheduled",
        "merchant subsequent recurring after {first}",
        "customer subsequent unscheduled",
    ),
    "authorizenet": (
        "customer first unscheduled",
        "merchant subsequent unscheduled after {first} of 5.00",
        "merchant subsequent recurring after {first} of 5.00",
        "customer subsequent unscheduled",
    ),
    "plugnpay": ("", "", "recurring", ""),
}
"""What each gateway's own books say that it was told, of the sales below one after the other."""


@pytest.mark.parametrize("at", TOLD)
def test_each_gateway_is_told(opened: Open, at: str) -> None:
    """C4: stored with its holder there; by token with nobody there; in a series by the number; by its holder again."""
    house = billed(opened(at))
    keeping(house)
    house.work()
    by_kept(house)
    house.work()
    house.do("UPDATE gateway_cards SET refused_at = now()")
    by_kept(house, "C", recurring=True)
    house.work()
    token = house.row("SELECT token FROM kept_cards").token
    asked = {"idempotency_key": next(house.keys), "method": "credit_card", "currency": "USD", "customer": "C-1"}
    house.producer.pay({**asked, "amount_minor": 500, "card_token": token}, caller="x", by="ann", attended=True)
    house.work()
    booked = house.sandbox.client.transactions(operation="sale")
    assert len(booked) == len(TOLD[at])
    first = house.rows("SELECT network_reference FROM gateway_cards")
    expected = [words.format(first=first[0].network_reference if first else "") for words in TOLD[at]]
    assert [one.credential for one in booked] == expected


@pytest.mark.parametrize(("attended", "expected"), [(True, "CITI"), (False, "MITU")])
def test_a_screen_tells_whether_somebody_is_there(at_payflow: House, attended: bool, expected: str) -> None:
    """C4: the console and the command line say that somebody is at the screen; an upstream app does not."""
    [sealed] = at_payflow.producer.keep_cards([card()])
    asked = {
        "idempotency_key": next(at_payflow.keys),
        "method": "credit_card",
        "currency": "USD",
        "customer": "C-1",
        "amount_minor": 500,
        "card_token": sealed.token,
    }
    at_payflow.producer.pay(asked, caller="x", by="ann", attended=attended)
    at_payflow.work()
    assert said(at_payflow)["CARDONFILE"] == expected


def test_a_retry_is_never_attended(at_payflow: House) -> None:
    """C4, R16: whoever was there for the first attempt is not there for the second."""
    payment = at_payflow.pay(500, card(DECLINED_ONCE))
    at_payflow.work()
    assert "CARDONFILE" not in said(at_payflow)
    at_payflow.advance(days=8)
    at_payflow.work()
    assert at_payflow.state(payment) == "posted"
    assert said(at_payflow) == {"CARDONFILE": "MITU"}


def test_after_a_failure_it_is_still_the_first_attempt(at_payflow: House) -> None:
    """C4, E3: what the gateway was too busy for is no attempt of the card: the code goes along, somebody was there."""
    payment = keeping(at_payflow)
    at_payflow.sandbox.client.scenario(before=[answer("106")], operation="sale")
    at_payflow.work()
    at_payflow.advance(hours=1)
    at_payflow.work()
    assert at_payflow.state(payment) == "posted"
    assert said(at_payflow)["CARDONFILE"] == "CITI"


def test_a_batch_is_unattended(at_payflow: House) -> None:
    """C4: nobody is at the screen for a batch; its cards are kept for the next one."""
    [sealed] = at_payflow.producer.keep_cards([card()])
    rows = [
        {
            "idempotency_key": next(at_payflow.keys),
            "method": "credit_card",
            "currency": "USD",
            "customer": "C-1",
            "amount_minor": 500,
            "invoices": [invoice],
            "card_token": sealed.token,
            "recurring": True,
        }
        for invoice in "AB"
    ]
    receipt = at_payflow.producer.submit_rows(
        [Row(1, rows[0]), Row(2, rows[1])], label="rent", caller="erp", idempotency_key="b-1", by="erp"
    )
    at_payflow.charge(receipt.batch_id)
    assert said(at_payflow) == {"CARDONFILE": "MITR"}
    assert stored(at_payflow).sealed is not None
