"""R17: what a gateway would refuse for certain is not sent to it: a second refund of a sale, one of an old sale."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from books import refund, reverse, waiting
from sandbox.client import answer
from tests.flows.house import AMEX, VISA, House, card


def charged(house: House, number: str) -> int:
    """60.00 charged, posted and settled; American Express goes to Plug'n Pay."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card(number, "1234" if number == AMEX else "123"))
    house.work()
    house.sandbox.client.settle()
    return payment


def ask(house: House, payment: int, minor: int) -> None:
    with house.context.transaction() as (conn, now):
        refund.ask(conn, payment, minor, "goods returned", now, "sue")


def why_failed(house: House) -> str:
    row = house.row("SELECT why FROM events WHERE what = 'reversal.failed' ORDER BY id DESC LIMIT 1")
    return str(row.why)


def test_one_refund_a_sale(house: House) -> None:
    """R17: Plug'n Pay returns a sale once: the second refund fails with the reason, unsent, and moves nothing."""
    payment = charged(house, AMEX)
    ask(house, payment, 1000)
    house.work()
    assert house.reversal(payment).state == "refund_accepted"
    ask(house, payment, 500)
    house.work()
    assert house.reversal(payment).state == "failed"
    assert "plugnpay takes one refund of a sale, and had one already" in why_failed(house)
    with house.context.transaction() as (conn, now):
        [group] = waiting.waiting(conn, now, 10)
    assert group.items[0].why == f"goods returned: {why_failed(house)}"
    assert len(house.sandbox.client.requests(operation="refund")) == 1
    assert house.payment(payment).refunded_minor == 1000
    assert house.alarms() == ["alarm.reversal"]


def test_one_refund_a_sale_then_void(house: House) -> None:
    """R12: of a void after that, the rest can't be returned by the gateway either: a person keeps it as a credit."""
    payment = charged(house, AMEX)
    ask(house, payment, 1000)
    house.work()
    house.void(payment)
    house.work()
    assert house.reversal(payment).state == "failed"
    house.keep(payment)
    assert house.credit() == 5000


def test_a_refused_one_is_none(house: House) -> None:
    """R17: one that the gateway refused counts for nothing there either: the next is sent."""
    payment = charged(house, AMEX)
    house.sandbox.client.scenario(before=[answer("problem")], operation="refund")
    ask(house, payment, 1000)
    house.work()
    assert house.reversal(payment).state == "failed"
    ask(house, payment, 1000)
    house.work()
    assert house.reversal(payment).state == "refund_accepted"


def test_many_refunds_a_sale(house: House) -> None:
    """R17: at a gateway that takes many, each part is sent."""
    payment = charged(house, VISA)
    for minor in (1000, 500):
        ask(house, payment, minor)
        house.work()
    assert house.payment(payment).refunded_minor == 1500


def test_an_old_sale(house: House) -> None:
    """R17: beyond the days in which a gateway refunds, it fails with the reason, unsent; a void's refund, too."""
    payment = charged(house, VISA)
    terms = house.context.terms
    limited = {**terms.gateways, "payflow": replace(terms.at("payflow"), refund_within=timedelta(days=120))}
    dated = replace(terms, gateways=limited)

    def begin() -> int:
        with house.context.transaction() as (conn, now):
            return len(reverse.begin_refunds(conn, payment, 10, dated, now, "defray"))

    house.advance(days=119)
    ask(house, payment, 1000)
    assert begin() == 1
    house.advance(hours=1)
    house.work()
    assert house.payment(payment).refunded_minor == 1000
    house.advance(days=2)
    ask(house, payment, 500)
    assert begin() == 0
    assert why_failed(house) == "payflow refunds no sale that is older than 120 days: give it back by hand"
    house.void(payment)
    assert begin() == 0
    assert [row.state for row in house.rows("SELECT state FROM reversals ORDER BY id")][1:] == ["failed", "failed"]
    assert len(house.sandbox.client.requests(operation="refund")) == 1


def test_the_terms_are_the_gateways(house: House) -> None:
    """R17: what the terms say of a gateway is what it promises."""
    for name, gateway in house.context.gateways.items():
        at = house.context.terms.at(name)
        assert at.one_refund is (gateway.traits.refunds.value == "one")
        assert at.refund_within == gateway.traits.refund_within
    assert {name: house.context.terms.at(name).one_refund for name in ("payflow", "plugnpay")} == {
        "payflow": False,
        "plugnpay": True,
    }
