"""Where a payment is charged: by its route, elsewhere after a proof only, and not at a gateway that is rested (E6)."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine

from books.outcome import Heard
from rules.outcomes import Approved, Evidence, Failed, FailureClass
from sandbox.client import SandboxProcess, answer, close, hold, page, reset
from sandbox.scenarios import Step
from tasks.charge import record, sentence
from tests.faults.plant import numbers
from tests.flows.house import VISA, House, at_once, build, card, settings_for

NOBODY_LISTENS = "http://127.0.0.1:1"
BUSY, SET_UP, DECLINED = answer("106"), answer("1"), answer("12")
WAITS, RESTED = "waits: payflow is rested", "alarm.gateway_rested"

Open = Callable[..., House]


@pytest.fixture
def opened(
    engine: Engine, sandbox: SandboxProcess, database_url: str, redis_url: str, tmp_path: Path
) -> Iterator[Open]:
    """Houses with routes and rests of their own, on the same books: each is one more worker process."""
    houses: list[House] = []
    keys = map("key-{}".format, itertools.count(1))

    def open_one(routes: str = "*=payflow>plugnpay", **more: str) -> House:
        told = {"DEFRAY_CARD_ROUTES": routes, "DEFRAY_GATEWAY_FAIL_MAX": "3", **more}
        key_file = str(tmp_path / "keys.json")
        houses.append(build(engine, settings_for(sandbox, database_url, redis_url, key_file, **told), sandbox))
        houses[-1].keys = keys
        return houses[-1]

    yield open_one
    for house in houses:
        house.context.wake.close()


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    """The Redis in which the rests stand."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def bill_many(house: House, payments: int) -> None:
    """An invoice a payment, of a customer a payment."""
    for number in range(payments):
        house.bill(f"C-{number}", {"A": 1000})


def pay_many(house: House, first: int, payments: int) -> list[int]:
    """A payment of each customer, each by a card of its own in the vault."""
    return [house.pay(1000, card(), customer=f"C-{number}") for number in range(first, first + payments)]


def sold(house: House, payment: int) -> list[tuple[str, str]]:
    """Gateway and state of each sale of a payment, in their order."""
    rows = house.rows(
        "SELECT gateway, state FROM gateway_transactions WHERE payment_id = :id AND operation = 'sale' ORDER BY id",
        id=payment,
    )
    return [(row.gateway, row.state) for row in rows]


def pass_the_rest(house: House, broker: redis.Redis, gateway: str = "payflow") -> None:
    """Let the rest be over: it began an hour ago. What waits for its end is due as well."""
    broker.decr(f"defray:gateway:{gateway}:pybreaker:opened_at", 3600)
    house.context.breakers.look_anew()
    house.advance(minutes=2)


# ---- to another gateway, after a proof ------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [BUSY, SET_UP], ids=["busy", "refuses our account"])
def test_the_next_gateway_takes_over_at_once(opened: Open, said: dict[str, object]) -> None:
    """E6: the first gateway said that it did nothing, so the second charges, in the same task; one charge."""
    house = opened()
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[said], operation="sale", gateway="payflow", times=0)
    payment = house.pay(6000, card())
    house.charge()
    assert house.state(payment) == "posted"
    assert sold(house, payment) == [("payflow", "failed"), ("plugnpay", "approved")]
    assert house.payment(payment).gateway == "plugnpay"
    assert house.sandbox.client.card(VISA).charged == 1
    [seen] = house.sandbox.client.requests(gateway="plugnpay")
    assert "card-cvv" in seen.body, "no authorization was answered yet (C2)"
    assert house.ledger() == {"clearing:plugnpay": 6000, "revenue": -6000}
    whys = [row.why for row in house.rows("SELECT why FROM events WHERE what = 'payment.retrying'")]
    assert whys == [f"plugnpay takes over: nothing was charged at payflow ({_said(house, payment)})"]


def _said(house: House, payment: int) -> str:
    row = house.row(
        "SELECT code, message FROM gateway_transactions WHERE payment_id = :id AND gateway = 'payflow'", id=payment
    )
    return f"{row.code} {row.message}".strip()


def test_a_gateway_that_cannot_be_reached_is_passed_over(opened: Open) -> None:
    """E3, E6: no byte left for the first one; the security code is still there for the second (C2)."""
    house = opened(DEFRAY_PAYFLOW_URL=NOBODY_LISTENS, DEFRAY_SEND_WITHIN="2")
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.charge()
    assert sold(house, payment) == [("payflow", "failed"), ("plugnpay", "approved")]
    [seen] = house.sandbox.client.requests(gateway="plugnpay")
    assert "card-cvv" in seen.body


@pytest.mark.parametrize("how", [close(), reset(), page(502)], ids=["closed", "reset", "a page"])
def test_what_may_have_been_done_never_goes_elsewhere(opened: Open, how: dict[str, object]) -> None:
    """E6: an unknown outcome stays where it is, also while its gateway is rested; no second gateway sees the card."""
    house = opened(DEFRAY_GATEWAY_FAIL_MAX="1")
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[how], gateway="payflow", times=0)
    payment = house.pay(6000, card())
    for _ in range(4):
        house.charge()
        house.advance(hours=1)
        house.look_up()
    assert RESTED in house.alarms()
    assert sold(house, payment) == [("payflow", "unknown")]
    assert house.sandbox.client.requests(gateway="plugnpay") == []
    house.sandbox.client.clear()
    house.advance(hours=6)
    house.work()
    assert house.sandbox.client.requests(gateway="plugnpay") == []
    assert house.sandbox.client.card(VISA).charged <= 1


def test_a_decline_does_not_go_elsewhere(opened: Open) -> None:
    """R16, E6: the issuer said no; asking it through another gateway would be a retry past the networks' rules."""
    house = opened()
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[DECLINED], operation="sale")
    payment = house.pay(6000, card())
    house.charge()
    assert sold(house, payment) == [("payflow", "declined")]
    assert house.sandbox.client.requests(gateway="plugnpay") == []


def test_our_own_bad_request_does_not_go_elsewhere(opened: Open) -> None:
    """E3: a request that is refused is ours to mend; another gateway would refuse it as well."""
    house = opened()
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[answer("4")], operation="sale")
    payment = house.pay(6000, card())
    house.charge()
    assert (house.payment(payment).gateway, sold(house, payment)) == ("payflow", [("payflow", "failed")])


def test_at_the_end_of_the_way_it_begins_anew_later(opened: Open) -> None:
    """E6: where no gateway of the route works the payment waits as ever, and then begins with the first again."""
    house = opened(DEFRAY_GATEWAY_FAIL_MAX="0", DEFRAY_PLUGNPAY_URL=NOBODY_LISTENS, DEFRAY_SEND_WITHIN="2")
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[BUSY], operation="sale", gateway="payflow")
    payment = house.pay(6000, card())
    house.charge()
    assert sold(house, payment) == [("payflow", "failed"), ("plugnpay", "failed")]
    assert (house.state(payment), house.payment(payment).gateway) == ("retrying", "payflow")
    house.advance(hours=1)
    house.charge()
    assert sold(house, payment)[2:] == [("payflow", "approved")]
    assert house.sandbox.client.card(VISA).charged == 1


def test_a_late_yes_of_the_first_gateway_is_surplus(opened: Open) -> None:
    """E6, R18: the first one approved after all what it had said it did not do: that is reversed, the second counts."""
    house = opened()
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[BUSY], operation="sale", gateway="payflow")
    payment = house.pay(6000, card())
    house.charge()
    failed = house.row("SELECT * FROM gateway_transactions WHERE gateway = 'payflow'")
    late = Approved("V1", amount_minor=6000, currency="USD")
    record(house.context, "inquiry", [Heard(failed.id, None, late, Evidence(200, {}))])
    assert sold(house, payment) == [("payflow", "surplus"), ("plugnpay", "approved")]
    assert house.state(payment) == "posted"
    assert house.ledger()["clearing:plugnpay"] == 6000
    assert house.reversal(payment).sale_id == failed.id
    assert "alarm.surplus" in house.alarms()


def test_voided_and_refunded_where_it_was_charged(opened: Open) -> None:
    """R11, E6: what another gateway charged is voided there."""
    house = opened()
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[BUSY], operation="sale", gateway="payflow")
    payment = house.pay(6000, card())
    house.charge()
    house.void(payment)
    house.work()
    assert house.reversal(payment).state == "voided"
    assert {row.gateway for row in house.sandbox.client.transactions(operation="void")} == {"plugnpay"}
    assert house.sandbox.client.card(VISA).standing == 0
    assert "clearing:plugnpay" not in house.ledger()


def test_attempts_count_at_the_gateway_that_makes_them(opened: Open) -> None:
    """R16: the limits of a card count by merchant account: what failed at one gateway is no attempt at another."""
    house = opened()
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[BUSY], operation="sale", gateway="payflow", times=0)
    house.sandbox.client.scenario(before=[answer("51")], operation="sale", gateway="plugnpay")
    payment = house.pay(6000, card())
    house.charge()
    [reached] = house.sandbox.client.requests(gateway="plugnpay", operation="sale")
    assert "transflags" not in reached.body, "the first that reaches an issuer is no recurring one"
    assert sold(house, payment)[0] == ("payflow", "failed")


# ---- by route -------------------------------------------------------------------------------------------------------


def test_routes_by_amount_customer_and_weight(opened: Open) -> None:
    """R7: amount, customer and weight choose the gateway; asked again, a request goes the same way (R15)."""
    routes = "customer:VIP-*=plugnpay,USD/>=500.00=plugnpay,*=payflow:1+plugnpay:1"
    house = opened(routes)
    bill_many(house, 40)
    house.bill("VIP-1", {"A": 100})
    house.bill("C-big", {"A": 50_000, "B": 49_999})
    assert house.payment(house.pay(100, card(), customer="VIP-1")).gateway == "plugnpay"
    assert house.payment(house.pay(50_000, card(), customer="C-big", invoices=["A"])).gateway == "plugnpay"
    payments = pay_many(house, 0, 40)
    shares = [house.payment(payment).gateway for payment in payments]
    assert 8 <= shares.count("payflow") <= 32
    asked = {"customer": "C-0", "idempotency_key": house.payment(payments[0]).idempotency_key}
    token = house.payment(payments[0]).card_token
    assert house.pay(1000, None, card_token=token, **asked) == payments[0]


# ---- a gateway that is rested ---------------------------------------------------------------------------------------


def test_a_gateway_that_keeps_failing_is_rested_and_told_once(opened: Open) -> None:
    """E6: after so many failures on end nothing is sent there any more, by no process; one alarm says why."""
    house, other = opened("*=payflow", DEFRAY_WHEN_RESTED="wait"), opened("*=payflow", DEFRAY_WHEN_RESTED="wait")
    bill_many(house, 8)
    house.sandbox.client.scenario(before=[BUSY], operation="sale", gateway="payflow", times=0)
    pay_many(house, 0, 5)
    house.charge()
    before = len(house.sandbox.client.requests(gateway="payflow"))
    [late] = pay_many(other, 5, 1)
    other.charge()
    assert len(house.sandbox.client.requests(gateway="payflow")) == before
    assert (house.state(late), sold(house, late)) == ("requested", [])
    assert house.payment(late).reason.startswith(WAITS)
    assert house.alarms() == [RESTED]
    alarm = house.row("SELECT why, details FROM events WHERE what = :what", what=RESTED)
    assert "106" in alarm.why
    assert alarm.details == {"gateway": "payflow"}
    assert "payflow is rested, it keeps failing (106" in sentence(other.context, "done")


def test_declines_rest_nobody(opened: Open) -> None:
    """E6: a gateway that answers works, whatever the issuers say."""
    house = opened("*=payflow")
    bill_many(house, 6)
    house.sandbox.client.scenario(before=[DECLINED], operation="sale", times=0)
    pay_many(house, 0, 6)
    house.charge()
    assert house.alarms() == []
    assert house.context.breakers.rests() == {}


def test_one_answer_between_failures_rests_nobody(opened: Open) -> None:
    """E6: only failures on end count."""
    house = opened("*=payflow")
    bill_many(house, 8)
    for number in range(8):
        if number % 3 != 2:
            house.sandbox.client.scenario(before=[BUSY], operation="sale", times=1)
        pay_many(house, number, 1)
        house.charge()
    assert house.alarms() == []


def test_payments_of_a_rested_gateway_go_elsewhere(opened: Open) -> None:
    """E6: where the route names another gateway they go there unsent, and the story tells why."""
    house = opened()
    bill_many(house, 8)
    house.sandbox.client.scenario(before=[BUSY], operation="sale", gateway="payflow", times=0)
    payments = pay_many(house, 0, 4)
    house.charge()
    [late] = pay_many(house, 4, 1)
    house.charge()
    assert {house.state(payment) for payment in [*payments, late]} == {"posted"}
    assert sold(house, late) == [("plugnpay", "approved")]
    event = house.row("SELECT why FROM events WHERE what = 'payment.rerouted' AND payment_id = :id", id=late)
    assert event.why.startswith("plugnpay takes over: payflow is rested, it keeps failing (106")
    assert house.sandbox.client.card(VISA).charged == 5


def test_when_all_of_a_route_rest_it_waits(opened: Open) -> None:
    """E6: with both gateways rested nothing is sent and nothing turns in a circle."""
    house = opened()
    bill_many(house, 4)
    house.sandbox.client.scenario(before=[BUSY], operation="sale", gateway="payflow", times=0)
    house.sandbox.client.scenario(before=[page(500)], operation="sale", gateway="plugnpay", times=0)
    pay_many(house, 0, 3)
    house.charge()
    assert house.alarms() == [RESTED, RESTED]
    before = house.sandbox.client.request_count()
    [late] = pay_many(house, 3, 1)
    house.charge()
    assert house.sandbox.client.request_count() == before
    assert house.payment(late).reason.startswith(WAITS)
    house.sandbox.client.clear()


def test_one_that_failed_does_not_turn_in_a_circle(opened: Open) -> None:
    """E6: the second gateway rests, the first one just failed: the payment waits and is not sent back at once."""
    house = opened(DEFRAY_GATEWAY_FAIL_MAX="5")
    bill_many(house, 1)
    house.context.breakers.hear([("plugnpay", Failed(FailureClass.BUSY, "x"))] * 5)
    house.sandbox.client.scenario(before=[BUSY], operation="sale", gateway="payflow", times=0)
    [payment] = pay_many(house, 0, 1)
    house.charge()
    assert sold(house, payment) == [("payflow", "failed")]
    assert house.payment(payment).reason.startswith("waits: plugnpay is rested")


def test_after_the_rest_a_few_calls_try(opened: Open, broker: redis.Redis) -> None:
    """E6: when the rest is over three calls find out; the others wait for what they learn, then all goes on."""
    house = opened("*=payflow", DEFRAY_WHEN_RESTED="wait")
    bill_many(house, 24)
    house.sandbox.client.scenario(before=[BUSY], operation="sale", times=0)
    pay_many(house, 0, 3)
    house.charge()
    payments = pay_many(house, 3, 20)
    house.charge()
    house.sandbox.client.clear()
    pass_the_rest(house, broker)
    house.do("UPDATE payments SET due_at = due_at + interval '1 day' WHERE state = 'retrying'")
    house.sandbox.client.scenario(before=[hold("trying")], operation="sale", times=3)
    with_three_held(house, opened("*=payflow", DEFRAY_WHEN_RESTED="wait"))
    assert [house.state(payment) for payment in payments].count("posted") == 3
    assert house.row("SELECT count(*) AS n FROM events WHERE what = 'gateway.works_again'").n == 1
    house.advance(minutes=3)
    house.charge()
    assert {house.state(payment) for payment in payments} == {"posted"}
    assert house.sandbox.client.card(VISA).charged == 20


def with_three_held(house: House, other: House) -> None:
    """Charge while three calls are under way, and let them go once nothing else was sent beside them."""
    worker = threading.Thread(target=house.charge)
    worker.start()
    try:
        assert house.sandbox.client.wait_for("trying", at_least=3).waiting == 3
        other.charge()
        due = house.row(
            "SELECT count(*) AS n FROM payments, clock WHERE next_step = 'charge' AND due_at <= now() + ahead"
        )
        assert due.n == 0, "nobody turns in circles while they try"
        assert len(house.sandbox.client.requests(gateway="payflow", operation="sale")) == 6
    finally:
        house.sandbox.client.release("trying")
        worker.join(20)


def test_a_rest_that_helped_nothing_goes_on_without_another_alarm(opened: Open, broker: redis.Redis) -> None:
    """E6: the calls that tried failed: rested again; an outage of a day is one alarm."""
    house = opened("*=payflow", DEFRAY_WHEN_RESTED="wait")
    bill_many(house, 8)
    house.sandbox.client.scenario(before=[BUSY], operation="sale", times=0)
    pay_many(house, 0, 3)
    house.charge()
    pass_the_rest(house, broker)
    pay_many(house, 3, 4)
    house.charge()
    assert house.alarms() == [RESTED]
    assert house.context.breakers.rests()["payflow"].over is False


# ---- Redis is only a hint -------------------------------------------------------------------------------------------


def test_a_flushed_redis_costs_only_the_rest(opened: Open, broker: redis.Redis) -> None:
    """D3, E6: with the rests forgotten the gateway counts as working; one charge a payment all the same."""
    house = opened("*=payflow", DEFRAY_WHEN_RESTED="wait")
    bill_many(house, 5)
    house.sandbox.client.scenario(before=[BUSY], operation="sale", times=0)
    pay_many(house, 0, 4)
    house.charge()
    broker.flushdb()
    house.sandbox.client.clear()
    house.context.breakers.look_anew()
    [late] = pay_many(house, 4, 1)
    house.charge()
    assert house.state(late) == "posted"
    assert house.sandbox.client.card(VISA).charged == 1


def test_without_redis_cards_are_charged(opened: Open) -> None:
    """D3, E6: with Redis away every gateway counts as working, failures too are recorded as ever."""
    house = opened("*=payflow", DEFRAY_REDIS_URL="redis://127.0.0.1:1/0")
    bill_many(house, 5)
    house.sandbox.client.scenario(before=[BUSY], operation="sale", times=4)
    payments = pay_many(house, 0, 5)
    house.charge()
    house.advance(hours=1)
    house.charge()
    assert {house.state(payment) for payment in payments} == {"posted"}
    assert house.sandbox.client.card(VISA).charged == 5


# ---- all of it at once ----------------------------------------------------------------------------------------------

FAULTS: dict[str, dict[str, list[Step]]] = {
    "busy": {"before": [BUSY]},
    "refuses us": {"before": [SET_UP]},
    "closed unheard": {"before": [close()]},
    "booked, and reset": {"after": [reset()]},
    "a page": {"before": [page(503)]},
    "booked, and a page": {"after": [page(502)]},
    "declined": {"before": [answer("51")]},
}
PLUGNPAY_SAYS = {
    "busy": {"before": [close()]},
    "refuses us": {"before": [page(500)]},
    "declined": {"before": [close()]},
}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_fails_every_card_is_charged_once(opened: Open, broker: redis.Redis, seed: int) -> None:
    """E5, E6: three workers, two gateways that fail in every way, rests, a flushed Redis: one charge a payment."""
    chance = random.Random(seed)
    workers = [opened("*=payflow:1+plugnpay:1>plugnpay>payflow", DEFRAY_READ_TIMEOUT="3") for _ in range(3)]
    house, cards = workers[0], numbers("4539", 36)
    bill_many(house, len(cards))
    payments = [house.pay(1000, card(one), customer=f"C-{place}") for place, one in enumerate(cards)]
    for one in cards:
        for gateway in ("payflow", "plugnpay"):
            name = chance.choice([*FAULTS, "none", "none"])
            if name != "none":
                fault = PLUGNPAY_SAYS.get(name, FAULTS[name]) if gateway == "plugnpay" else FAULTS[name]
                times = chance.choice([1, 2])
                house.sandbox.client.scenario(
                    before=fault.get("before", []),
                    after=fault.get("after", []),
                    card=one,
                    gateway=gateway,
                    operation="sale",
                    times=times,
                )
    for turn in range(40):
        at_once(*(worker.charge for worker in workers))
        house.look_up()
        if turn == 2:
            broker.flushdb()
        house.advance(hours=1 if turn < 8 else 24)
    charged = [house.sandbox.client.card(one).charged for one in cards]
    assert charged == [1 if house.state(payment) == "posted" else 0 for payment in payments]
    assert [house.state(payment) for payment in payments].count("posted") > 30
    elsewhere = house.rows(
        "SELECT p.id FROM payments p JOIN gateway_transactions t ON t.payment_id = p.id AND t.state = 'approved'"
        " WHERE t.operation = 'sale' AND t.gateway <> p.gateway"
    )
    assert elsewhere == []
    assert house.rows("SELECT 1 FROM gateway_transactions WHERE gateway = 'plugnpay' AND state = 'approved'")
