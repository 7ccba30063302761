"""Issue 4, window 7: what people decide about one payment: refund, cancelling, held and unknown charges (R8, R12)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from sandbox.client import answer, hold, reset
from settings import Settings
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import VISA, House, card, settings_for
from tests.web.conftest import Books, Visitor
from tests.web.test_progress import told

__all__ = ["house", "sandbox", "sandbox_process"]

WHY = {"reason": "as the customer wishes"}


@pytest.fixture
def settings(sandbox: Any, database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings of a web process that has gateways; those of the house."""
    return settings_for(sandbox, database_url, redis_url, str(tmp_path / "keys.json"))


def page_of(payment: int, window: str = "") -> str:
    return f"/console/payments/{payment}{window}"


# ---- shall the amount be returned to the card? ----------------------------------------------------------------------


def settled(house: House) -> int:
    """A charge of 43.00 that was settled, then voided: the gateway refused that, and somebody is asked."""
    house.bill("C-1", {"A": 4300})
    payment = house.pay(4300, card())
    house.work()
    house.sandbox.client.settle()
    house.void(payment, policy="ask")
    house.work()
    assert house.reversal(payment).state == "refund_awaiting_approval"
    return payment


def test_the_question_and_yes(house: House, sue: Visitor) -> None:
    """R12: the gateway could not void it; the page asks, a yes returns the amount, and twice is once."""
    payment = settled(house)
    asked = sue.get(page_of(payment)).text
    assert "Return 43.00 USD to Visa ending in 1111 by a refund?" in asked
    yes = sue.post(page_of(payment, "/refund"))
    assert (yes.status_code, yes.headers["location"]) == (303, page_of(payment, "/progress"))
    again = sue.post(page_of(payment, "/refund"))
    assert again.status_code == 409
    assert page_of(payment) in again.text
    house.work()
    house.advance(hours=13)
    house.work()
    assert house.reversal(payment).state in ("refund_accepted", "refunded")
    assert house.sandbox.client.card(VISA).net == 0
    assert len(house.rows("SELECT 1 FROM gateway_transactions WHERE operation = 'refund'")) == 1
    assert "by a refund?" not in sue.get(page_of(payment)).text


@pytest.mark.parametrize(
    ("keep", "credit", "invoice"), [("credit", 4300, ("pending", 4300)), ("again", 0, ("paid", 0))]
)
def test_the_question_and_no(house: House, sue: Visitor, keep: str, credit: int, invoice: tuple[str, int]) -> None:
    """R12: a no needs a reason; the sum becomes a credit, or pays its invoices again."""
    payment = settled(house)
    sue.get(page_of(payment))
    without = sue.post(page_of(payment, "/keep"), keep=keep, reason="")
    assert without.status_code == 422
    assert "Nothing was done" in without.text
    assert house.reversal(payment).state == "refund_awaiting_approval"
    done = sue.post(page_of(payment, "/keep"), keep=keep, **WHY)
    assert (done.status_code, done.headers["location"]) == (303, page_of(payment))
    assert house.reversal(payment).state == "kept"
    assert (house.credit(), house.invoices()["A"]) == (credit, invoice)
    assert house.sandbox.client.card(VISA).net == 4300
    assert "as the customer wishes" in sue.get(page_of(payment)).text


def test_a_refund_that_failed(house: House, sue: Visitor) -> None:
    """R12: it finally failed: it can be tried again, or kept."""
    payment = settled(house)
    house.sandbox.client.scenario([answer("12", "refused")], operation="refund")
    sue.get(page_of(payment))
    sue.post(page_of(payment, "/refund"))
    house.work()
    assert house.reversal(payment).state == "failed"
    asked = sue.get(page_of(payment)).text
    assert "The amount could not be returned." in asked
    assert "Try again to return 43.00 USD to Visa ending in 1111" in asked
    assert sue.post(page_of(payment, "/refund")).status_code == 303
    house.work()
    assert house.reversal(payment).state in ("refund_accepted", "refunded")


def test_a_clerk_sees_who_can_answer(house: House, clerk: Visitor) -> None:
    """Rights: a clerk reads the question and who may answer it, and can't answer."""
    payment = settled(house)
    seen = clerk.get(page_of(payment)).text
    assert "by a refund?" in seen
    assert "Who can answer: ada, sue." in seen
    assert "Yes, return it" not in seen
    for window in ("/refund", "/keep", "/decide", "/resolve"):
        assert clerk.post(page_of(payment, window), **WHY).status_code == 403
    assert house.reversal(payment).state == "refund_awaiting_approval"


def test_progress_leads_to_the_question(house: House, sue: Visitor) -> None:
    """R12: who followed the void is led to the payment, where it is asked."""
    payment = settled(house)
    end = told(sue, page_of(payment, "/progress"))[-1]
    assert end[0] == "end"
    assert (end[1]["address"], end[1]["leads"]) == (page_of(payment), True)
    assert "could not void the charge" in end[1]["words"]


def test_above_the_limit_a_second_person_returns_it(house: House, sue: Visitor, ada: Visitor, books: Books) -> None:
    """Rights: above Sue's limit nothing is returned before Ada approves; the question is not asked meanwhile."""
    payment = settled(house)
    books.do("UPDATE users SET refund_limit_minor = 4299 WHERE name = 'sue'")
    assert "Yes, ask for approval" in sue.get(page_of(payment)).text
    sue.post(page_of(payment, "/refund"))
    house.work()
    assert house.reversal(payment).state == "refund_awaiting_approval"
    assert sue.post(page_of(payment, "/refund")).status_code == 409
    assert sue.post(page_of(payment, "/keep"), **WHY).status_code == 409
    shown = ada.get(page_of(payment)).text
    assert "return the amount to the card" in shown
    assert "No, keep it" not in shown
    assert ada.post(page_of(payment, "/refund")).status_code == 409, "not past what Sue asked for"
    approve = page_of(payment, f"/proposals/{books.one('SELECT id FROM proposals')}/approve")
    assert sue.post(approve).status_code == 409
    assert ada.post(approve).headers["location"] == page_of(payment, "/progress")
    house.work()
    assert house.reversal(payment).state in ("refund_accepted", "refunded")


def test_a_proposal_of_another_payment(house: House, sue: Visitor, ada: Visitor, books: Books) -> None:
    """Rights: a proposal is decided on its own payment's page alone."""
    books.do("UPDATE users SET refund_limit_minor = 0 WHERE name = 'sue'")
    payment = settled(house)
    house.bill("C-2", {"B": 100})
    other = house.pay(100, customer="C-2")
    house.post()
    sue.get(page_of(payment))
    sue.post(page_of(payment, "/refund"))
    ada.get(page_of(other))
    approve = page_of(other, f"/proposals/{books.one('SELECT id FROM proposals')}/approve")
    assert ada.post(approve).status_code == 409
    assert books.one("SELECT decision FROM proposals") is None


# ---- before the charge ----------------------------------------------------------------------------------------------


def test_cancelled_before_the_charge(house: House, clerk: Visitor, books: Books) -> None:
    """R13, C2: a clerk cancels what was not charged yet; the one-time card's number is not kept."""
    house.bill("C-1", {"A": 4300})
    payment = house.pay(4300, card())
    assert "Cancel this payment" in clerk.get(page_of(payment)).text
    assert "The card was not charged." in clerk.get(page_of(payment, "/cancel")).text
    assert clerk.post(page_of(payment, "/cancel"), reason=" ").status_code == 422
    done = clerk.post(page_of(payment, "/cancel"), **WHY)
    assert done.headers["location"] == page_of(payment)
    assert house.state(payment) == "cancelled"
    assert books.one("SELECT count(*) FROM card_vault WHERE wrapped_key IS NOT NULL") == 0
    assert clerk.get(page_of(payment, "/cancel")).status_code == 409
    assert clerk.post(page_of(payment, "/cancel"), **WHY).status_code == 409
    assert "Cancel this payment" not in clerk.get(page_of(payment)).text


def test_cancelled_while_it_is_charged(house: House, clerk: Visitor) -> None:
    """R13: while the gateway works it is a wish: the page says so, the approval goes back to the card."""
    house.bill("C-1", {"A": 4300})
    payment = house.pay(4300, card())
    house.sandbox.client.scenario(after=[hold("charged")], operation="sale")
    charging = threading.Thread(target=house.charge)
    charging.start()
    house.sandbox.client.wait_for("charged")
    assert "The card is being charged." in clerk.get(page_of(payment, "/cancel")).text
    done = clerk.post(page_of(payment, "/cancel"), **WHY)
    assert done.headers["location"] == page_of(payment, "/progress")
    assert "wants this cancelled" in clerk.get(page_of(payment)).text
    house.sandbox.client.release("charged")
    charging.join(10)
    house.work()
    assert house.state(payment) == "cancelled"
    assert house.sandbox.client.card(VISA).net == 0


def owed_less(house: House) -> int:
    """A card payment of 60.00 of which, when it is to be charged, 20.00 are owed still."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card(), allow_overlap=True)
    house.pay(4000)
    house.post()
    house.charge()
    assert house.state(payment) == "review"
    return payment


@pytest.mark.parametrize(
    ("choice", "state", "charged"),
    [("charge_reduced", "posted", 2000), ("charge_all", "posted", 6000), ("cancel", "cancelled", None)],
)
def test_less_is_owed(house: House, sue: Visitor, choice: str, state: str, charged: int | None) -> None:
    """R8: a supervisor decides what becomes of a payment of which less is owed than was asked for."""
    payment = owed_less(house)
    assert "What becomes of this payment?" in sue.get(page_of(payment)).text
    assert sue.post(page_of(payment, "/decide"), **WHY).status_code == 422
    assert sue.post(page_of(payment, "/decide"), choice=choice, reason="").status_code == 422
    assert sue.post(page_of(payment, "/decide"), choice=choice, **WHY).status_code == 303
    house.work()
    assert (house.state(payment), house.payment(payment).charged_minor) == (state, charged)
    assert sue.post(page_of(payment, "/decide"), choice=choice, **WHY).status_code == 409
    if choice == "cancel":
        assert house.row("SELECT wrapped_key FROM card_vault").wrapped_key is None


def test_a_clerk_does_not_decide(house: House, clerk: Visitor) -> None:
    """Rights: of a payment in review a supervisor decides; cancelling it is such a decision."""
    payment = owed_less(house)
    seen = clerk.get(page_of(payment)).text
    assert "Who can answer: ada, sue." in seen
    assert "Cancel this payment" not in seen
    assert clerk.get(page_of(payment, "/cancel")).status_code == 403
    clerk.get(page_of(payment))
    assert clerk.post(page_of(payment, "/cancel"), **WHY).status_code == 403
    assert house.state(payment) == "review"


@pytest.mark.parametrize(
    ("verdict", "state"), [("approved", "posted"), ("declined", "declined"), ("not_made", "retrying")]
)
def test_what_became_of_it_is_not_known(house: House, sue: Visitor, verdict: str, state: str) -> None:
    """E4: a supervisor says what the gateway's support told, after a strong warning; once."""
    house.bill("C-1", {"A": 4300})
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    payment = house.pay(4300, card())
    house.charge()
    shown = sue.get(page_of(payment)).text
    assert "Ask the gateway’s support first." in shown
    assert "What became of the charge is not known" in shown
    assert sue.post(page_of(payment, "/resolve"), **WHY).status_code == 422
    refused = sue.post(page_of(payment, "/resolve"), verdict=verdict, reason="card 4111111111111111")
    assert refused.status_code == 422
    assert "4111111111111111" not in refused.text
    assert sue.post(page_of(payment, "/resolve"), verdict=verdict, **WHY).status_code == 303
    assert house.state(payment) == state
    kept = house.row("SELECT wrapped_key IS NOT NULL AS number, security_code IS NOT NULL AS code FROM card_vault")
    assert (kept.number, kept.code) == (state == "retrying", False)
    again = sue.post(page_of(payment, "/resolve"), verdict=verdict, **WHY)
    assert again.status_code == 409
    assert "is known by now" in again.text


def test_held_at_the_gateway(house: House, sue: Visitor) -> None:
    """R18: what the gateway holds is said to be held, and can be answered by a person."""
    house.bill("C-1", {"A": 4300})
    house.sandbox.client.scenario([answer("126", "Under review")], operation="sale")
    payment = house.pay(4300, card())
    house.charge()
    assert house.sales(payment) == ["review"]
    shown = sue.get(page_of(payment)).text
    assert "The gateway holds this charge" in shown
    sue.post(page_of(payment, "/resolve"), verdict="declined", **WHY)
    assert house.state(payment) == "declined"
