"""Right before every send it is looked at once more whether the payment is still owed (R8, R8a)."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from rules.errors import RequestRefused
from sandbox.client import close, hold, page, reset
from tests.flows.house import VISA, House, card

FUNDS_LATER = "4000050000010006"


def declined_once(house: House, amount: int, **asked: Any) -> int:
    """A card payment whose first attempt was declined for funds."""
    payment = house.pay(amount, card(FUNDS_LATER), **asked)
    house.charge()
    assert house.state(payment) == "retrying"
    return payment


def next_attempt(house: House) -> None:
    """Let the time of the next attempt come."""
    house.advance(days=10)
    house.work()


@pytest.mark.parametrize("named", [True, False], ids=["invoices named", "oldest first"])
def test_a_check_between_decline_and_retry_cancels_the_charge(house: House, named: bool) -> None:
    """R8: a check paid the invoice meanwhile: the card is not charged, "no longer owed"."""
    house.bill("C-1", {"A": 6000})
    payment = declined_once(house, 6000, **({"invoices": ["A"]} if named else {}))
    house.pay(6000)
    house.post()
    next_attempt(house)
    assert (house.state(payment), house.payment(payment).reason) == ("cancelled", "no longer owed")
    assert house.sandbox.client.card(FUNDS_LATER).charged == 0
    assert house.invoices() == {"A": ("paid", 0)}
    assert house.credit() == 0


@pytest.mark.parametrize(
    ("policy", "state", "charged", "credit"),
    [("ask", "review", 0, 0), ("charge_reduced", "posted", 2000, 0), ("charge_all", "posted", 6000, 4000)],
)
def test_where_only_part_is_owed_the_policy_decides(
    house: House, policy: str, state: str, charged: int, credit: int
) -> None:
    """R8: part was paid by check: ask a person, charge the rest, or charge all and owe the difference."""
    house.bill("C-1", {"A": 6000})
    payment = declined_once(house, 6000, when_owed_less=policy)
    house.pay(4000)
    house.post()
    next_attempt(house)
    assert house.state(payment) == state
    assert house.sandbox.client.card(FUNDS_LATER).net == charged
    assert house.credit() == credit
    assert house.invoices()["A"] == (("paid", 0) if charged else ("pending", 2000))
    if state == "review":
        assert "only 2000 of 6000" in house.payment(payment).reason


def test_what_a_person_is_asked_about_is_not_charged_by_itself(house: House) -> None:
    """R8: a payment that waits for a person stays as it is however often the workers look; it can be cancelled."""
    house.bill("C-1", {"A": 6000})
    payment = declined_once(house, 6000)
    house.pay(4000)
    house.post()
    next_attempt(house)
    next_attempt(house)
    assert (house.state(payment), house.sales(payment)) == ("review", ["declined"])
    assert house.cancel(payment)
    assert house.state(payment) == "cancelled"


def test_more_than_is_owed_is_charged_where_the_request_said_so(house: House) -> None:
    """R8, R3, B70: the request itself exceeded the balance: all of it is charged, the rest is a credit."""
    house.bill("C-1", {"A": 500})
    payment = house.pay(4000, card())
    house.work()
    assert house.state(payment) == "posted"
    assert (house.payment(payment).applied_minor, house.payment(payment).credited_minor) == (500, 3500)
    assert house.credit() == 3500
    assert house.sandbox.client.card(VISA).net == 4000


def test_the_excess_asked_for_stays_what_it_was(house: House) -> None:
    """R8: of 4,000 on a balance of 500 a check pays 200: charging 3,800 keeps the excess that was asked for."""
    house.bill("C-1", {"A": 500})
    payment = declined_once(house, 4000, when_owed_less="charge_reduced")
    house.pay(200)
    house.post()
    next_attempt(house)
    assert house.payment(payment).charged_minor == 3800
    assert house.credit() == 3500
    assert house.invoices() == {"A": ("paid", 0)}


def test_an_excess_is_no_reason_to_charge_what_is_not_owed_any_more(house: House) -> None:
    """R8: 4,000 were asked for on a balance of 500; a check paid the 500: nothing is charged."""
    house.bill("C-1", {"A": 500})
    payment = declined_once(house, 4000)
    house.pay(500)
    house.post()
    next_attempt(house)
    assert house.state(payment) == "cancelled"
    assert house.sandbox.client.card(FUNDS_LATER).charged == 0


def test_a_sum_on_account_is_charged_whatever_is_owed(house: House) -> None:
    """R1, R3: asked for as a credit, it is charged though nothing is owed."""
    house.bill("C-1", {"A": 500})
    house.pay(500)
    house.post()
    with pytest.raises(RequestRefused, match="nothing is owed"):
        house.pay(4000, card())
    payment = house.pay(4000, card(), as_credit=True)
    house.work()
    assert house.state(payment) == "posted"
    assert house.credit() == 4000


def test_new_invoices_do_not_widen_a_request(house: House) -> None:
    """R1, R8: what was asked for is charged; invoices that came since are paid only by what named none."""
    house.bill("C-1", {"A": 6000})
    named = declined_once(house, 6000, invoices=["A"])
    house.bill("C-1", {"B": 1000})
    next_attempt(house)
    assert house.state(named) == "posted"
    assert house.invoices() == {"A": ("paid", 0), "B": ("pending", 1000)}


def test_caps_hold_at_the_charge(house: House) -> None:
    """R2, R8: at most so much goes to a named invoice; where others took it, less is owed to this payment."""
    house.bill("C-1", {"A": 6000, "B": 6000})
    invoices = [{"number": "A", "cap_minor": 1000}, {"number": "B", "cap_minor": 2000}]
    payment = declined_once(house, 3000, invoices=invoices, when_owed_less="charge_reduced")
    house.pay(5500, invoices=["A"])
    house.post()
    next_attempt(house)
    assert house.payment(payment).charged_minor == 2500
    assert house.invoices() == {"A": ("paid", 0), "B": ("pending", 4000)}


def overlapping(house: House) -> tuple[int, int]:
    """Two card payments for one invoice that got past the entry: the first is due with the second."""
    house.bill("C-1", {"A": 6000})
    first = house.pay(6000, card())
    second = house.pay(6000, card("4012888888881881"), allow_overlap=True)
    house.do("UPDATE payments SET allow_overlap = false WHERE id = :id", id=second)
    return first, second


def test_card_payments_of_one_group_do_not_charge_one_debt_twice(house: House) -> None:
    """R8a: two card payments of one group for one invoice: the second waits, and finds nothing left to charge."""
    first, second = overlapping(house)
    house.charge()
    assert (house.state(first), house.state(second)) == ("posted", "requested")
    assert "under way" in house.payment(second).reason
    house.advance(minutes=16)
    house.work()
    assert (house.state(second), house.payment(second).reason) == ("cancelled", "no longer owed")
    assert house.sandbox.client.card("4012888888881881").charged == 0
    assert house.credit() == 0


@pytest.mark.parametrize(("outcome", "ends"), [("found", "cancelled"), ("declined", "posted")])
def test_an_outcome_that_is_not_known_yet_decides_nothing(house: House, outcome: str, ends: str) -> None:
    """R8, R8a: beside an unknown outcome the second is neither charged nor given up; it waits for the answer."""
    first, second = overlapping(house)
    house.do("UPDATE payments SET due_at = due_at + interval '1 minute' WHERE id = :id", id=second)
    lost = {"found": ([], [reset()]), "declined": ([close()], [])}
    house.sandbox.client.scenario(*lost[outcome], operation="sale")
    house.charge()
    house.sandbox.client.scenario(before=[page(503)], operation="inquiry", times=0)
    house.advance(minutes=2)
    house.work()
    assert (house.sales(first), house.state(second)) == (["unknown"], "requested")
    if outcome == "declined":
        house.resolve(first, "declined")
    house.sandbox.client.clear()
    house.advance(minutes=31)
    house.work()
    house.advance(minutes=31)
    house.work()
    assert house.state(second) == ends
    assert house.invoices() == {"A": ("paid", 0)}
    assert house.credit() == 0


def test_overlap_that_is_meant_becomes_a_credit(house: House) -> None:
    """R8a: together more than is owed is refused, unless both are meant: then the second is a credit."""
    house.bill("C-1", {"A": 6000})
    house.pay(6000, card(), invoices=["A"])
    with pytest.raises(RequestRefused, match="allow_overlap"):
        house.pay(6000, card("4012888888881881"), invoices=["A"])
    meant = house.pay(6000, card("4012888888881881"), invoices=["A"], allow_overlap=True, when_owed_less="charge_all")
    house.work()
    assert house.state(meant) == "posted"
    assert house.credit() == 6000


def test_an_equal_sum_for_another_invoice_is_another_sale(house: House) -> None:
    """B11: the same card and amount twice within seconds, for two invoices: two sales."""
    house.bill("C-1", {"A": 5000, "B": 5000})
    house.pay(5000, card(), invoices=["A"])
    house.pay(5000, card(), invoices=["B"])
    house.work()
    assert house.invoices() == {"A": ("paid", 0), "B": ("paid", 0)}
    assert house.sandbox.client.card(VISA).charged == 2


def test_a_check_that_is_quicker_than_the_gateways_answer(house: House) -> None:
    """R3, R8: paid by check while the card is being charged: the charge stands, all of it is a credit."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(after=[hold("charged")], operation="sale")
    charging = threading.Thread(target=house.charge)
    charging.start()
    house.sandbox.client.wait_for("charged")
    house.pay(6000)
    house.post()
    house.sandbox.client.release("charged")
    charging.join(10)
    assert house.state(payment) == "posted"
    assert (house.invoices(), house.credit()) == ({"A": ("paid", 0)}, 6000)


def test_an_invoice_that_is_issued_while_a_card_is_charged_is_paid_by_what_is_left(house: House) -> None:
    """R1: what named no invoice is applied to what is pending when it posts, as the direct road does."""
    house.bill("C-1", {"A": 6000})
    house.pay(7000, card())
    house.sandbox.client.scenario(after=[hold("charged")], operation="sale")
    charging = threading.Thread(target=house.charge)
    charging.start()
    house.sandbox.client.wait_for("charged")
    house.bill("C-1", {"B": 5000})
    house.sandbox.client.release("charged")
    charging.join(10)
    assert house.invoices() == {"A": ("paid", 0), "B": ("pending", 4000)}
    assert house.credit() == 0
