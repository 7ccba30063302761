"""Cancelling: at once where nothing was sent, else a wish that is kept (R13)."""

from __future__ import annotations

import threading

import pytest

from rules.errors import MoveRefused, NotFound
from sandbox.client import answer, hold, page, reset
from tests.flows.house import AMEX, VISA, House, card

OWED = {"receivable": 6000, "revenue": -6000}


@pytest.mark.parametrize("by_card", [True, False], ids=["card", "check"])
def test_a_payment_that_was_not_charged_is_cancelled_at_once(house: House, by_card: bool) -> None:
    """R13: requested, then cancelled: nothing is charged, nothing posted."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card() if by_card else None)
    assert house.cancel(payment) is True
    house.work()
    assert house.state(payment) == "cancelled"
    assert house.sandbox.client.card(VISA).charged == 0
    assert house.ledger() == OWED


def test_a_retry_is_cancelled_at_once(house: House) -> None:
    """R13: declined once and waiting: no further attempt."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card("4000050000010006"))
    house.charge()
    assert house.cancel(payment) is True
    house.advance(days=10)
    house.work()
    assert (house.state(payment), house.sales(payment)) == ("cancelled", ["declined"])


@pytest.mark.parametrize(("number", "code", "gateway"), [(VISA, "123", "payflow"), (AMEX, "1234", "plugnpay")])
def test_an_approval_after_the_wish_goes_back_to_the_card(house: House, number: str, code: str, gateway: str) -> None:
    """R13: cancelled while it is being charged: the approval is reversed at once, nothing is applied."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card(number, code))
    house.sandbox.client.scenario(after=[hold("charged")], operation="sale")
    charging = threading.Thread(target=house.charge)
    charging.start()
    house.sandbox.client.wait_for("charged")
    assert house.cancel(payment) is False
    assert house.cancel(payment) is False, "wishing again changes nothing"
    house.sandbox.client.release("charged")
    charging.join(10)
    assert house.state(payment) == "cancelled"
    assert house.ledger() == {**OWED, f"clearing:{gateway}": 6000, "refunds_payable": -6000}
    house.work()
    assert house.reversal(payment).state == "voided"
    assert house.sandbox.client.card(number).net == 0
    assert house.invoices() == {"A": ("pending", 6000)}
    assert house.ledger() == OWED


def test_a_decline_after_the_wish_ends_the_payment(house: House) -> None:
    """R13: cancelled while it is being charged, and declined: cancelled, no retry."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card("4000050000010006"))
    house.sandbox.client.scenario(after=[hold("declined")], operation="sale")
    charging = threading.Thread(target=house.charge)
    charging.start()
    house.sandbox.client.wait_for("declined")
    assert house.cancel(payment) is False
    house.sandbox.client.release("declined")
    charging.join(10)
    assert house.state(payment) == "cancelled"
    house.advance(days=10)
    house.work()
    assert house.sales(payment) == ["declined"]


def test_a_wish_outlives_an_unknown_outcome(house: House) -> None:
    """R13, E4: the answer was lost, then cancelled: found charged by inquiry, the money goes back."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    house.charge()
    assert house.cancel(payment) is False
    house.advance(minutes=1)
    house.work()
    assert house.state(payment) == "cancelled"
    assert house.sandbox.client.card(VISA).charged == 1
    assert house.sandbox.client.card(VISA).net == 0


def test_a_wish_holds_while_the_gateway_reviews(house: House) -> None:
    """R13, B22: cancelled while it is held for review, then accepted there: the money goes back."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card("4000000000009235"))
    house.charge()
    assert house.state(payment) == "review"
    assert house.cancel(payment) is False
    house.sandbox.client.review("accept")
    house.advance(hours=1)
    house.work()
    assert house.state(payment) == "cancelled"
    assert house.sandbox.client.card("4000000000009235").net == 0


def test_an_unwanted_charge_that_settled_is_refunded(house: House) -> None:
    """R13, R11: the approval that nobody wants has settled before its void: it is refunded."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    house.charge()
    house.cancel(payment)
    house.sandbox.client.settle()
    house.advance(minutes=1)
    house.work()
    assert house.reversal(payment).state == "refund_accepted"
    assert house.sandbox.client.card(VISA).net == 0
    assert house.ledger() == OWED


def test_what_has_ended_can_be_neither_cancelled_nor_voided(house: House) -> None:
    """R13: a void of a void, of a declined or a cancelled payment is refused, each with a clear error."""
    house.bill("C-1", {"A": 6000, "B": 6000, "C": 6000})
    posted = house.pay(6000, invoices=["A"])
    declined = house.pay(6000, card("4000000000009979"), invoices=["B"])
    cancelled = house.pay(6000, invoices=["C"])
    house.cancel(cancelled)
    house.work()
    with pytest.raises(MoveRefused, match="Void it instead"):
        house.cancel(posted)
    house.void(posted)
    for payment, state in ((posted, "voided"), (declined, "declined"), (cancelled, "cancelled")):
        with pytest.raises(MoveRefused, match=f"To void is not possible: the payment is {state}"):
            house.void(payment)
        with pytest.raises(MoveRefused, match=f"To cancel is not possible: the payment is {state}"):
            house.cancel(payment)
        assert house.state(payment) == state
    with pytest.raises(NotFound, match="no payment"):
        house.void(1)
    with pytest.raises(NotFound, match="no payment"):
        house.cancel(1)


def test_a_requested_payment_is_cancelled_not_voided(house: House) -> None:
    """R10, R13: what was not posted has nothing to void."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000)
    with pytest.raises(MoveRefused):
        house.void(payment)
    assert house.state(payment) == "requested"


@pytest.mark.parametrize("step", [answer("12"), page(500)], ids=["declined", "lost"])
def test_a_wish_before_the_send_is_kept(house: House, step: dict[str, object]) -> None:
    """R13: a wish that came while another attempt was under way bars the next one."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(before=[step], operation="sale")
    house.charge()
    house.cancel(payment)
    for _ in range(4):
        house.advance(hours=3)
        house.work()
    assert len(house.sales(payment)) == 1
    assert house.sandbox.client.card(VISA).charged == 0
