"""The money of a voided card payment gets back to the card once (R11, R12)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from books import outcome, refund, reverse
from books.outcome import Heard
from rules.errors import MoveRefused
from rules.outcomes import (
    Absent,
    Approved,
    Evidence,
    Failed,
    FailureClass,
    Found,
    Outcome,
    RefundRefusal,
    Refused,
    Sighting,
    Standing,
    Unknown,
)
from sandbox.client import answer, close, edit, hold, page, reset, settle
from tasks import confirm, watch
from tasks import refund as refund_task
from tasks import void as void_task
from tests.flows.house import AMEX, VISA, House, at_once, card, refused_by_the_database

CARDS = {"payflow": (VISA, "123"), "plugnpay": (AMEX, "1234")}
OWED_AGAIN = {"receivable": 6000, "revenue": -6000}

both = pytest.mark.parametrize("gateway", CARDS)


def charged(house: House, gateway: str = "payflow", **asked: Any) -> int:
    """Invoice A of 6,000, paid by card."""
    house.bill("C-1", {"A": 6000})
    number, code = CARDS[gateway]
    payment = house.pay(6000, card(number, code), **asked)
    house.work()
    assert house.state(payment) == "posted"
    return payment


def operations(house: House, payment: int) -> list[tuple[str, str, int]]:
    """Operation, state and number of sends of each of the payment's gateway transactions."""
    rows = house.rows(
        "SELECT operation, state, sends FROM gateway_transactions WHERE payment_id = :id ORDER BY id", id=payment
    )
    return [tuple(row) for row in rows]


def net(house: House, gateway: str) -> int:
    """What the card was charged in the end."""
    return house.sandbox.client.card(CARDS[gateway][0]).net


def arrived(house: House, operation: str) -> list[tuple[str, str]]:
    """(reference, request id) of each such call that reached the gateway."""
    return [(one.reference, one.request_id) for one in house.sandbox.client.requests(operation=operation)]


def started(house: House, operation: str) -> reverse.Send:
    """A void or refund that is committed as started, by a worker that then says nothing."""
    with house.context.transaction() as (conn, now):
        terms = house.context.terms
        if operation == "void":
            [send] = reverse.begin_voids(conn, None, 10, terms, now)
        else:
            [send] = reverse.begin_refunds(conn, None, 10, terms, now, "defray")
    return send


def hear(house: House, send: reverse.Send, heard: Outcome) -> None:
    """Record what was heard of a void or refund."""
    with house.context.transaction() as (conn, now):
        one = Heard(send.transaction_id, send.lease_token, heard, Evidence(200, {}))
        reverse.finish(conn, [one], house.context.terms, now, "defray")


def until(house: House, payment: int, *ends: str, hours: float = 1, tries: int = 60) -> str:
    """Let time pass until the reversal is in one of these states."""
    for _ in range(tries):
        house.work()
        if (state := house.reversal(payment).state) in ends:
            return str(state)
        house.advance(hours=hours)
    raise AssertionError(f"the reversal is still {house.reversal(payment).state}")


@both
def test_a_void_whose_answer_was_lost_is_looked_up(house: House, gateway: str) -> None:
    """R11, B23: voided, but the answer is lost: the sale's standing says so; no second void, no refund."""
    payment = charged(house, gateway)
    house.void(payment)
    house.sandbox.client.scenario(after=[reset()], operation="void")
    house.work()
    assert house.reversal(payment).state == "voiding"
    assert until(house, payment, "voided") == "voided"
    assert len(arrived(house, "void")) == 1
    assert operations(house, payment) == [("sale", "approved", 1), ("void", "approved", 1)]
    assert net(house, gateway) == 0
    assert house.ledger() == OWED_AGAIN


@both
def test_a_void_that_never_arrived_is_sent_again_as_it_was(house: House, gateway: str) -> None:
    """R11, B24: a void answered by a 500 is looked up; not made, it is sent again under its own reference."""
    payment = charged(house, gateway)
    house.void(payment)
    house.sandbox.client.scenario(before=[page(500)], operation="void")
    until(house, payment, "voided", hours=0.4)
    first, second = arrived(house, "void")
    assert first == second
    assert operations(house, payment) == [("sale", "approved", 1), ("void", "approved", 2)]
    assert net(house, gateway) == 0
    assert house.ledger() == OWED_AGAIN


@both
def test_a_void_that_may_still_work_bars_the_refund(house: House, gateway: str) -> None:
    """R11: the sale settled while a void is unknown: no refund before the void can't arrive any more."""
    payment = charged(house, gateway)
    house.void(payment)
    house.sandbox.client.scenario(before=[page(502)], operation="void")
    house.work()
    house.sandbox.client.settle()
    send = house.row("SELECT send_until FROM gateway_transactions WHERE operation = 'void'")
    house.do("UPDATE reversals SET due_at = now()")
    house.work()
    assert (house.reversal(payment).state, arrived(house, "refund")) == ("voiding", [])
    assert house.reversal(payment).due_at > send.send_until
    until(house, payment, "refunded", "refund_accepted", hours=0.5)
    assert len(arrived(house, "void")) == 1
    assert len(arrived(house, "refund")) == 1
    assert net(house, gateway) == 0


def test_an_answer_to_the_second_send_of_a_void_does_not_free_the_refund(house: House) -> None:
    """R11, B75: the second send is refused as settled; the first, whose worker died, may still be on its way."""
    payment = charged(house)
    house.void(payment)
    started(house, "void")
    house.advance(minutes=3)
    house.work()
    house.advance(minutes=2)
    house.sandbox.client.settle()
    house.work()
    assert operations(house, payment)[1] == ("void", "declined", 2)
    assert (house.reversal(payment).state, arrived(house, "refund")) == ("voiding", [])
    until(house, payment, "refunded", "refund_accepted", hours=0.5)
    assert net(house, "payflow") == 0


def test_no_person_is_asked_while_a_void_may_still_work(house: House) -> None:
    """R11, R12: kept as a credit while its void is on its way, the amount would be given back twice."""
    payment = charged(house)
    house.void(payment)
    started(house, "void")
    house.advance(minutes=3)
    terms = house.context.terms
    for state, later in (("voiding", {"minutes": 20}), ("failed", {})):
        with house.context.transaction() as (conn, now):
            [question] = reverse.begin_confirms(conn, None, 10, terms, now)
            limbo = Found(Approved("A10A6D5F7C3B", "0"), Standing.LIMBO)
            reverse.learn(conn, [reverse.Answer(question, limbo, Evidence(200, {}))], terms, now, "defray")
        assert house.reversal(payment).state == state
        house.advance(**later)


@both
def test_a_sale_that_settles_while_it_is_voided_is_refunded(house: House, gateway: str) -> None:
    """R11, B50: the sale settles just before the void: refused, confirmed, refunded; each with its gateway's id."""
    payment = charged(house, gateway)
    house.void(payment)
    house.sandbox.client.scenario(before=[settle()], operation="void")
    until(house, payment, "refunded", "refund_accepted")
    assert operations(house, payment) == [
        ("sale", "approved", 1),
        ("void", "declined", 1),
        ("refund", "approved", 1),
    ]
    ids = house.rows("SELECT transaction_id FROM gateway_transactions WHERE operation <> 'void'")
    assert all(row.transaction_id for row in ids)
    assert net(house, gateway) == 0
    assert house.ledger() == OWED_AGAIN


@both
def test_while_a_sale_settles_neither_void_nor_refund_is_sent(house: House, gateway: str) -> None:
    """R11: in settlement a sale is left alone; when it has settled the refund follows."""
    payment = charged(house, gateway)
    house.void(payment)
    house.sandbox.client.scenario(before=[settle("settling")], operation="void")
    house.work()
    assert house.reversal(payment).state == "voiding"
    house.advance(hours=1.1)
    house.work()
    assert house.reversal(payment).state in ("voiding", "refunding", "refund_accepted", "refunded")
    house.sandbox.client.settle()
    until(house, payment, "refunded", "refund_accepted", hours=2)
    voids = len(arrived(house, "void"))
    assert voids == 1 or gateway == "plugnpay", "Plug'n Pay tells no settling sale from one that can be voided"
    assert net(house, gateway) == 0


def test_a_void_that_is_refused_though_nothing_settled_asks_a_person_in_the_end(house: House) -> None:
    """R11: a refusal counts only where the sale's standing confirms it; an unsettled sale is never refunded."""
    payment = charged(house)
    house.void(payment)
    house.sandbox.client.scenario(before=[answer("108")], operation="void", times=0)
    assert until(house, payment, "failed", hours=1, tries=20) == "failed"
    assert arrived(house, "refund") == []
    assert len(arrived(house, "void")) == 6
    assert house.alarms() == ["alarm.reversal"]


@both
def test_no_void_follows_a_refund(house: House, gateway: str) -> None:
    """R11, B75: a void that comes late, after the refund began, is not sent; the customer keeps the money."""
    payment = charged(house, gateway)
    house.void(payment)
    late = started(house, "void")
    house.sandbox.client.settle()
    house.advance(minutes=20)
    until(house, payment, "refund_accepted", "refunded")
    with house.context.transaction() as (conn, now):
        assert reverse.begin_voids(conn, None, 10, house.context.terms, now) == []
    house.work()
    assert arrived(house, "void") == []
    hear(house, late, Failed(FailureClass.NOT_SENT, "send_by"))
    assert net(house, gateway) == 0
    assert house.ledger() == OWED_AGAIN


def test_a_void_approved_after_the_refund_began_raises_an_alarm(house: House) -> None:
    """R11, B75: at Plug'n Pay such a void undid the refund: nothing is concluded by itself, a person must look."""
    payment = charged(house, "plugnpay")
    house.void(payment)
    late = started(house, "void")
    house.sandbox.client.settle()
    house.advance(minutes=20)
    until(house, payment, "refund_accepted")
    before = house.alarms()
    hear(house, late, Approved(str(late.sale_reference), "success"))
    assert house.reversal(payment).state == "refund_accepted"
    assert house.alarms() == [*before, "alarm.reversal"]


def test_a_late_void_that_undoes_the_refund_is_noticed(house: House) -> None:
    """R11, R17, B75: the held void hits the return at the gateway: the refund does not become final, an alarm tells."""
    payment = charged(house, "plugnpay")
    house.void(payment)
    house.sandbox.client.scenario(before=[hold("void")], operation="void")
    sending = threading.Thread(target=house.reverse)
    sending.start()
    house.sandbox.client.wait_for("void")
    house.sandbox.client.settle()
    house.advance(minutes=30)
    until(house, payment, "refund_accepted", hours=0.5)
    house.sandbox.client.release("void")
    sending.join(10)
    assert not sending.is_alive()
    assert net(house, "plugnpay") == 6000, "the return was undone"
    house.advance(days=2)
    house.work()
    assert house.reversal(payment).state in ("refund_accepted", "failed")
    assert "alarm.reversal" in house.alarms()


@both
def test_a_refund_waits_for_a_persons_yes(house: House, gateway: str) -> None:
    """R12: from the console a refused void asks whether the amount is to be returned; yes returns it."""
    payment = charged(house, gateway)
    house.sandbox.client.settle()
    house.void(payment, policy="ask")
    for _ in range(3):
        house.work()
        house.advance(hours=7)
    assert house.reversal(payment).state == "refund_awaiting_approval"
    assert arrived(house, "refund") == []
    house.approve_refund(payment)
    with pytest.raises(MoveRefused):
        house.approve_refund(payment)
    with pytest.raises(MoveRefused):
        house.keep(payment)
    until(house, payment, "refunded", "refund_accepted")
    assert net(house, gateway) == 0
    assert house.ledger() == OWED_AGAIN


def test_a_no_keeps_the_amount_as_a_credit_with_its_note(house: House) -> None:
    """R12, R3: not returned to the card, the sum is the customer's credit; the invoice stays open."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.void(payment, policy="ask")
    house.work()
    house.keep(payment)
    assert house.reversal(payment).state == "kept"
    assert house.credit() == 6000
    note = house.row("SELECT note FROM credits").note
    assert f"From payment {payment}" in note
    assert "not returned to the card" in note
    assert house.invoices() == {"A": ("pending", 6000)}
    assert house.ledger() == {"receivable": 6000, "revenue": -6000, "customer_credit": -6000, "clearing:payflow": 6000}
    with pytest.raises(MoveRefused):
        house.approve_refund(payment)


def test_a_no_may_pay_the_same_invoices_anew(house: House) -> None:
    """R12: with "apply again" the kept sum, and no other credit, pays what the voided payment had paid."""
    house.bill("C-1", {"old": 100})
    house.pay(500)
    house.post()
    assert house.credit() == 400
    house.bill("C-1", {"A": 6000, "B": 5000})
    payment = house.pay(8000, card(), invoices=["B", "A"])
    house.work()
    house.bill("C-1", {"older": 1})
    house.do("UPDATE invoices SET invoice_date = '2020-01-01' WHERE number = 'older'")
    house.sandbox.client.settle()
    house.void(payment, policy="ask")
    house.work()
    house.keep(payment, apply_again=True)
    assert house.invoices() == {"old": ("paid", 0), "A": ("pending", 3000), "B": ("paid", 0), "older": ("pending", 1)}
    assert house.credit() == 400


def test_a_kept_overpayment_leaves_other_invoices_alone(house: House) -> None:
    """R12: a payment that named no invoice pays on "apply again" those that it had paid; the rest stays a credit."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(7000, card())
    house.work()
    house.sandbox.client.settle()
    house.void(payment, policy="ask")
    house.work()
    house.bill("C-1", {"B": 500})
    house.keep(payment, apply_again=True)
    assert house.invoices() == {"A": ("paid", 0), "B": ("pending", 500)}
    assert house.credit() == 1000


@both
def test_a_refused_refund_can_be_tried_again_or_kept(house: House, gateway: str) -> None:
    """R17, B45, B48, B49: a refund that was refused moves nothing, counts for nothing, and may be sent anew."""
    payment = charged(house, gateway)
    house.sandbox.client.settle()
    house.void(payment)
    no = {"payflow": answer("12"), "plugnpay": answer("failure", "insufficient balance")}
    house.sandbox.client.scenario(before=[no[gateway]], operation="refund")
    until(house, payment, "failed", hours=0.5)
    assert "alarm.reversal" in house.alarms()
    assert house.ledger() == {
        "receivable": 6000,
        "revenue": -6000,
        f"clearing:{gateway}": 6000,
        "refunds_payable": -6000,
    }
    code = house.row("SELECT code, message FROM gateway_transactions WHERE operation = 'refund'")
    assert code.code
    house.approve_refund(payment)
    until(house, payment, "refunded", "refund_accepted")
    first, second = arrived(house, "refund")
    assert (first == second) is (gateway == "plugnpay"), "a new try has a reference of its own where there is one"
    assert net(house, gateway) == 0
    assert house.ledger() == OWED_AGAIN


def test_a_failed_refund_may_be_kept(house: House) -> None:
    """R12: a refund that finally failed becomes a credit where a person says so."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.void(payment)
    house.sandbox.client.scenario(before=[answer("12")], operation="refund")
    house.work()
    assert house.reversal(payment).state == "failed"
    house.keep(payment)
    assert house.credit() == 6000


def test_a_refund_that_comes_too_early_is_tried_later(house: House) -> None:
    """R11, B43: "not yet settled" is no refusal: the refund is sent again half a day later."""
    payment = charged(house, "plugnpay")
    house.sandbox.client.settle()
    house.void(payment)
    early = answer("failure", "Transaction not yet settled")
    house.sandbox.client.scenario(before=[early], operation="refund")
    house.work()
    assert house.reversal(payment).state == "refund_due"
    house.advance(hours=13)
    house.work()
    assert house.reversal(payment).state in ("refund_accepted", "refunded")
    assert net(house, "plugnpay") == 0


@both
def test_a_refund_whose_answer_was_lost_is_not_made_twice(house: House, gateway: str) -> None:
    """R17, B47, E4: refunded, but the answer is lost: it is found, and not sent again."""
    payment = charged(house, gateway)
    house.sandbox.client.settle()
    house.void(payment)
    house.sandbox.client.scenario(after=[reset()], operation="refund")
    house.work()
    assert house.reversal(payment).state == "refunding"
    until(house, payment, "refund_accepted", "refunded", hours=0.5)
    assert len(arrived(house, "refund")) == 1
    assert net(house, gateway) == 0
    assert house.ledger() == OWED_AGAIN


@both
def test_a_refund_that_never_arrived_is_sent_again_as_it_was(house: House, gateway: str) -> None:
    """E4, B09, B47: absent after the time to appear, the same refund goes out again under its own reference."""
    payment = charged(house, gateway)
    house.sandbox.client.settle()
    house.void(payment)
    house.sandbox.client.scenario(before=[close()], operation="refund")
    house.work()
    assert house.reversal(payment).state == "refunding"
    until(house, payment, "refund_accepted", "refunded", hours=0.3)
    first, second = arrived(house, "refund")
    assert first == second
    assert operations(house, payment)[-1] == ("refund", "approved", 2)
    assert net(house, gateway) == 0


def test_a_refund_that_waited_too_long_to_be_sent_again_is_looked_up(house: House) -> None:
    """E4: it was absent, and workers were away before it was sent again: the gateway may not know it any more."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.void(payment)
    house.sandbox.client.scenario(before=[close()], operation="refund")
    house.work()
    house.advance(minutes=30)
    watch.work(house.context, None, 10)
    assert house.reversal(payment).next_step == "refund"
    house.advance(days=3)
    for _ in range(6):
        house.work()
        house.advance(hours=6)
    assert len(arrived(house, "refund")) == 1
    assert (house.reversal(payment).state, house.reversal(payment).next_step) == ("refunding", "watch")
    assert "alarm.reversal" in house.alarms()
    say(house, payment, made=False)
    assert house.reversal(payment).state == "failed"
    house.approve_refund(payment)
    house.work()
    assert len(set(arrived(house, "refund"))) == 2
    assert net(house, "payflow") == 0


def say(house: House, payment: int, *, made: bool, amount: int | None = None) -> None:
    """A person says what became of a refund."""
    with house.context.transaction() as (conn, now):
        reverse.resolve(conn, payment, made, amount, "the gateway's support says so", house.context.terms, now, "sue")


def test_a_person_closes_a_refund_that_no_inquiry_can(house: House) -> None:
    """E4, R17: of two parts with lost answers each is named by its amount; the word is kept as evidence."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.sandbox.client.scenario(after=[reset()], operation="refund", times=2)
    house.sandbox.client.scenario(before=[page(503)], operation="inquiry", times=0)
    with pytest.raises(MoveRefused, match="no refund with an unknown outcome"):
        say(house, payment, made=True)
    for amount in (500, 700):
        with house.context.transaction() as (conn, now):
            refund.ask(conn, payment, amount, "goods returned", now, "sue")
    refund_task.work(house.context, None, 10)
    with pytest.raises(MoveRefused, match="being sent right now"):
        say(house, payment, made=True, amount=700)
    house.advance(hours=1)
    with pytest.raises(MoveRefused, match="Several refunds"):
        say(house, payment, made=True)
    say(house, payment, made=True, amount=700)
    say(house, payment, made=True)
    assert house.payment(payment).refunded_minor == 1200
    said = house.rows("SELECT said FROM evidence WHERE kind = 'person'")
    assert [(row.said["verdict"], row.said["by"]) for row in said] == [("made", "sue")] * 2


def test_a_second_refund_send_that_failed_proves_nothing_of_the_first(house: House) -> None:
    """E4, B47: the first send may have been made, so no new refund is drawn after a failure of the second."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.void(payment)
    house.sandbox.client.scenario(before=[close()], operation="refund")
    house.work()
    house.advance(minutes=30)
    with house.context.transaction() as (conn, now):
        [question] = reverse.begin_watches(conn, None, 10, house.context.terms, now)
        answers = [reverse.Answer(question, Absent("20"), Evidence(200, {}))]
        reverse.learn(conn, answers, house.context.terms, now, "defray")
    again = started(house, "refund")
    hear(house, again, Failed(FailureClass.NOT_SENT, "refused"))
    for _ in range(6):
        house.advance(minutes=20)
        house.work()
    assert [one for one in operations(house, payment) if one[0] == "refund"] == [("refund", "approved", 3)]
    assert len(set(arrived(house, "refund"))) == 1


def test_already_refunded_is_looked_up_and_the_record_completed(house: House) -> None:
    """B47: "already refunded" is verified by an inquiry; what stands there is recorded, nothing is sent again."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.void(payment)
    house.sandbox.client.scenario(after=[answer("105")], operation="refund")
    house.work()
    until(house, payment, "refund_accepted", "refunded", hours=0.5)
    assert len(arrived(house, "refund")) == 1
    assert net(house, "payflow") == 0
    assert house.ledger() == OWED_AGAIN


def test_already_refunded_that_cannot_be_found_is_not_refunded_again(house: House) -> None:
    """B47, R17: answered "already refunded", yet no inquiry finds it: a person looks; no other refund is drawn."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.void(payment)
    void_task.work(house.context, None, 10)
    confirm.work(house.context, None, 10)
    hear(house, started(house, "refund"), Refused(RefundRefusal.ALREADY, "105", "already credited"))
    for _ in range(6):
        house.advance(hours=6)
        house.work()
    assert [one for one in operations(house, payment) if one[0] == "refund"] == [("refund", "declined", 1)]
    assert (arrived(house, "refund"), "alarm.reversal" in house.alarms()) == ([], True)


@both
def test_an_accepted_refund_is_watched_until_it_is_final(house: House, gateway: str) -> None:
    """R17: accepted is not final: it is asked about until the gateway says so."""
    payment = charged(house, gateway)
    house.sandbox.client.settle()
    house.void(payment)
    house.work()
    assert house.reversal(payment).state == "refund_accepted"
    house.sandbox.client.settle()
    until(house, payment, "refunded", hours=13)
    assert house.reversal(payment).next_step is None
    assert house.ledger() == OWED_AGAIN


def watched(house: House, sighting: Sighting) -> None:
    """What the gateway says to the next question about a refund."""
    house.do("UPDATE reversals SET due_at = now() WHERE next_step = 'watch'")
    with house.context.transaction() as (conn, now):
        [question] = reverse.begin_watches(conn, None, 10, house.context.terms, now)
        answers = [reverse.Answer(question, sighting, Evidence(200, {}))]
        reverse.learn(conn, answers, house.context.terms, now, "defray")


def test_an_accepted_refund_that_failed_after_all_is_owed_again(house: House) -> None:
    """R17, B60: accepted, then failed: the amount is owed to the card again, an alarm tells, a new try is possible."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.void(payment)
    house.work()
    watched(house, Found(Refused(RefundRefusal.REFUSED, "12"), Standing.LIMBO))
    assert house.reversal(payment).state == "failed"
    assert "alarm.reversal" in house.alarms()
    assert house.ledger()["refunds_payable"] == -6000


@both
def test_outcomes_of_reversals_recorded_twice_change_nothing(house: House, gateway: str) -> None:
    """D4: a void's or refund's answer that is recorded again moves nothing a second time."""
    payment = charged(house, gateway)
    house.void(payment)
    void = started(house, "void")
    for _ in range(2):
        hear(house, void, Approved("A10A6D5F7C3B", "0"))
    assert house.reversal(payment).state == "voided"
    assert house.ledger() == OWED_AGAIN


def test_a_stale_worker_proves_nothing_of_a_void_that_was_sent_again(house: House) -> None:
    """E1, R11: "not sent" of the first send is ignored once the void was sent again."""
    payment = charged(house)
    house.void(payment)
    first = started(house, "void")
    house.advance(minutes=5)
    with house.context.transaction() as (conn, now):
        [question] = reverse.begin_confirms(conn, None, 10, house.context.terms, now)
        answers = [reverse.Answer(question, Found(Approved("x"), Standing.UNSETTLED), Evidence(200, {}))]
        reverse.learn(conn, answers, house.context.terms, now, "defray")
    house.advance(minutes=5)
    second = started(house, "void")
    assert second.reference == first.reference
    for nothing in (Failed(FailureClass.NOT_SENT, "send_by"), Unknown("timeout")):
        hear(house, first, nothing)
    assert operations(house, payment)[-1] == ("void", "started", 2)
    hear(house, second, Approved("A10A6D5F7C3B", "0"))
    assert house.reversal(payment).state == "voided"


def test_a_gateway_that_is_down_delays_a_void(house: House) -> None:
    """R11: a void that was certainly not made is tried again, under a reference of its own."""
    payment = charged(house)
    house.void(payment)
    house.sandbox.client.scenario(before=[answer("106")], operation="void", times=2)
    until(house, payment, "voided", hours=0.5)
    assert net(house, "payflow") == 0
    assert len(arrived(house, "void")) == 3


def test_retries_wait_while_a_reversal_is_open(house: House) -> None:
    """R12: reopened invoices take no automatic charge while their money may still be on its way back."""
    paid = charged(house)
    house.sandbox.client.settle()
    house.void(paid, policy="ask")
    house.work()
    assert house.reversal(paid).state == "refund_awaiting_approval"
    retried = house.pay(6000, card("4000050000010006"))
    house.work()
    assert house.state(retried) == "retrying"
    house.advance(days=10)
    house.work()
    assert (house.state(retried), house.sales(retried)) == ("retrying", ["declined"])
    assert "reversal" in house.payment(retried).reason
    house.approve_refund(paid)
    house.sandbox.client.settle()
    until(house, paid, "refunded", hours=12)
    house.advance(days=1)
    house.work()
    assert house.state(retried) == "posted"


def test_a_poisoned_reversal_is_set_aside_and_its_neighbours_go_on(house: House) -> None:
    """DESIGN 3: the outcome that the database refuses waits with an alarm; the others of its group are recorded."""
    house.bill("C-1", {"A": 13_013, "B": 600})
    payments = [house.pay(13_013, card(), invoices=["A"]), house.pay(600, card(), invoices=["B"])]
    house.work()
    for payment in payments:
        house.void(payment)
    with refused_by_the_database(house, "reversals", "state = 'voided' AND amount_minor = 13013"):
        house.reverse()
        assert [house.reversal(payment).state for payment in payments] == ["voiding", "voided"]
        house.advance(minutes=5)
        house.reverse()
        house.advance(minutes=20)
        house.reverse()
        assert [house.reversal(payment).state for payment in payments] == ["voiding", "voided"]
        assert set(house.alarms()) == {"alarm.outcome_set_aside"}
    assert until(house, payments[0], "voided") == "voided"
    assert net(house, "payflow") == 0
    assert len(arrived(house, "void")) == 2


def test_a_persons_word_is_about_the_reversal_that_waits_for_it(house: House) -> None:
    """R12: beside a reversal that waits for a yes one of a surplus goes its own way; the yes is for the former."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.void(payment, policy="ask")
    house.work()
    [sale] = house.rows("SELECT * FROM gateway_transactions WHERE operation = 'sale'")
    house.do(
        "INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency,"
        " state, send_until, started_at) SELECT payment_id, operation, gateway, account, reference + 1, amount_minor,"
        " currency, 'declined', send_until, started_at FROM gateway_transactions WHERE id = :id",
        id=sale.id,
    )
    late = house.row("SELECT max(id) AS id FROM gateway_transactions").id
    with house.context.transaction() as (conn, now):
        one = Heard(late, None, Approved("A10A6D5F7C3B", "0"), Evidence(200, {}))
        outcome.finish(conn, "inquiry", [one], house.context.terms, now, "defray")
    assert house.reversal(payment).sale_id == late
    house.approve_refund(payment)
    state = house.row("SELECT state FROM reversals WHERE sale_id = :id", id=sale.id).state
    assert state == "refund_due"


@both
def test_a_refund_of_another_amount_is_no_refund(house: House, gateway: str) -> None:
    """R18: the gateway's yes to another sum than was asked is held, with an alarm, and looked up."""
    payment = charged(house, gateway)
    house.sandbox.client.settle()
    house.void(payment)
    wrong = {"payflow": {"AMT": "1.00"}, "plugnpay": {"card-amount": "1.00"}}
    house.sandbox.client.scenario(after=[edit(wrong[gateway])], operation="refund")
    house.work()
    assert house.reversal(payment).state == "refunding"
    assert "alarm.held" in house.alarms()
    assert house.ledger()["refunds_payable"] == -6000
    until(house, payment, "refund_accepted", "refunded", hours=0.5)
    assert len(arrived(house, "refund")) == 1
    assert house.ledger() == OWED_AGAIN


@both
@pytest.mark.parametrize("settled", [False, True], ids=["unsettled", "settled"])
def test_a_charge_that_a_person_vouched_for_can_be_given_back(house: House, gateway: str, settled: bool) -> None:
    """R11, E4: said to be approved by a person, the gateway's id never came: it is learnt before the void is sent."""
    house.bill("C-1", {"A": 6000})
    number, code = CARDS[gateway]
    payment = house.pay(6000, card(number, code))
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    house.charge()
    house.resolve(payment, "approved")
    assert house.state(payment) == "posted"
    if settled:
        house.sandbox.client.settle()
    house.void(payment)
    until(house, payment, "refund_accepted" if settled else "voided", hours=0.2)
    assert net(house, gateway) == 0
    assert house.ledger() == OWED_AGAIN


def test_two_clerks_at_once_reverse_once(house: House) -> None:
    """R10, R12, R13: of two voids at once one is refused; so is one of a yes and a no."""
    payment = charged(house)
    house.sandbox.client.settle()
    done = at_once(*[lambda: refused(lambda: house.void(payment, policy="ask"))] * 2)
    assert sorted(done) == [False, True]
    house.work()
    done = at_once(lambda: refused(lambda: house.approve_refund(payment)), lambda: refused(lambda: house.keep(payment)))
    assert sorted(done) == [False, True]
    house.work()
    kept = house.credit() == 6000
    assert net(house, "payflow") == (6000 if kept else 0)
    assert len(house.rows("SELECT id FROM reversals")) == 1


def refused(act: Callable[[], object]) -> bool:
    """Whether the state does not allow it any more."""
    try:
        act()
    except MoveRefused:
        return True
    return False


@both
def test_already_voided_is_voided(house: House, gateway: str) -> None:
    """B23: the gateway refuses the void since the sale is voided already: its standing says so, no refund."""
    payment = charged(house, gateway)
    house.void(payment)
    no = {"payflow": answer("108"), "plugnpay": answer("problem", "Transaction already voided")}
    house.sandbox.client.scenario(after=[no[gateway]], operation="void")
    house.work()
    assert house.reversal(payment).state == "voided"
    assert arrived(house, "refund") == []
    assert net(house, gateway) == 0
    assert house.ledger() == OWED_AGAIN


def test_a_refund_whose_worker_died_waits_out_the_time_to_appear(house: House) -> None:
    """E4: nothing was heard of a refund: absent means nothing at once; after the time to appear it is sent again."""
    payment = charged(house)
    house.sandbox.client.settle()
    house.void(payment)
    for task in (void_task, confirm):
        task.work(house.context, None, 10)
    lost = started(house, "refund")
    house.advance(minutes=3)
    house.work()
    assert (house.reversal(payment).state, arrived(house, "refund")) == ("refunding", [])
    house.advance(minutes=16)
    house.work()
    [(reference, _)] = arrived(house, "refund")
    assert int(reference, 36) == lost.reference
    assert net(house, "payflow") == 0
