"""Above a limit a second person decides: proposals of voids and refunds."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy.exc import IntegrityError

from books import proposals
from rules.errors import MoveRefused, NotFound
from tests.flows.house import House, at_once, card

TODAY = date(2026, 3, 1)


def posted(house: House, by_card: bool = True) -> int:
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card() if by_card else None)
    house.work()
    return payment


def propose(house: House, payment: int, by: str = "sue") -> int:
    with house.context.transaction() as (conn, now):
        return proposals.propose_void(conn, payment, "ask", "wrong customer", now, by)


def approve(house: House, proposal: int, by: str = "ada") -> proposals.Approved:
    with house.context.transaction() as (conn, now):
        return proposals.approve(conn, proposal, TODAY, now, by)


def told(house: House, payment: int) -> list[tuple[str, str]]:
    rows = house.rows(
        "SELECT what, by FROM events WHERE payment_id = :id AND what LIKE 'proposal.%' ORDER BY id", id=payment
    )
    return [tuple(row) for row in rows]


def test_a_void_waits_until_a_second_person_approves(house: House) -> None:
    """R10: nothing is done while it waits; approved, it is void by the approver, and the events tell who asked."""
    payment = posted(house)
    proposal = propose(house, payment)
    with house.engine.connect() as conn:
        [waits] = proposals.waiting(conn, 10)
        assert proposals.open_of(conn, payment) == waits
    assert (waits.kind, waits.payment_id, waits.amount_minor, waits.asked_by) == ("void", payment, 6000, "sue")
    house.work()
    assert house.state(payment) == "posted"
    done = approve(house, proposal)
    assert done.voided is not None
    assert (house.state(payment), house.payment(payment).voided_by) == ("voided", "ada")
    assert told(house, payment) == [("proposal.asked", "sue"), ("proposal.approved", "ada")]
    with house.engine.connect() as conn:
        assert proposals.waiting(conn, 10) == []
    house.work()
    assert house.reversal(payment).state == "voided"


def test_a_refund_waits_until_a_second_person_approves(house: House) -> None:
    """R12: the same for the answer yes to the question whether the amount is returned."""
    payment = posted(house)
    house.sandbox.client.settle()
    house.void(payment, policy="ask")
    house.work()
    with house.context.transaction() as (conn, now):
        proposal = proposals.propose_refund(conn, payment, "as agreed", now, "sue")
    house.work()
    assert house.reversal(payment).state == "refund_awaiting_approval"
    assert approve(house, proposal).voided is None
    house.work()
    assert house.reversal(payment).state in ("refund_accepted", "refunded")


def test_who_asked_cannot_approve(house: House) -> None:
    """Two pairs of eyes: not by the code, and not by the database."""
    payment = posted(house, by_card=False)
    proposal = propose(house, payment)
    with pytest.raises(MoveRefused, match="asked for this yourself"):
        approve(house, proposal, "sue")
    with pytest.raises(IntegrityError, match="second_person"):
        house.do("UPDATE proposals SET decision = 'approved', decided_at = now(), decided_by = 'sue'")
    assert house.state(payment) == "posted"


def test_refused_and_withdrawn(house: House) -> None:
    """Another person refuses, who asked withdraws; then it can be asked for anew, and nothing was done."""
    payment = posted(house, by_card=False)
    with house.context.transaction() as (conn, now):
        first = proposals.propose_void(conn, payment, "ask", "a", now, "sue")
        with pytest.raises(MoveRefused, match="Withdraw"):
            proposals.refuse(conn, first, "no", now, "sue")
        with pytest.raises(MoveRefused, match="sue asked"):
            proposals.withdraw(conn, first, now, "ada")
        proposals.refuse(conn, first, "it is right as it is", now, "ada")
        second = proposals.propose_void(conn, payment, "ask", "b", now, "sue")
        proposals.withdraw(conn, second, now, "sue")
    for decided in (first, second):
        with pytest.raises(MoveRefused, match="decided already"):
            approve(house, decided)
    assert [what for what, _ in told(house, payment)] == [
        "proposal.asked",
        "proposal.refused",
        "proposal.asked",
        "proposal.withdrawn",
    ]
    assert house.state(payment) == "posted"


def test_one_at_a_time(house: House) -> None:
    """Of one payment one proposal is open; while it is, the payment is not voided past it."""
    payment = posted(house, by_card=False)
    propose(house, payment)
    with pytest.raises(MoveRefused, match="sue asked for a void"):
        propose(house, payment, "ada")
    with house.context.transaction() as (conn, _), pytest.raises(MoveRefused, match="already"):
        proposals.none_open(conn, payment)


def test_two_who_approve_at_once(house: House) -> None:
    """Approved twice at one moment, the payment is voided once."""
    payment = posted(house)
    proposal = propose(house, payment)

    def try_it(by: str) -> str:
        try:
            approve(house, proposal, by)
        except MoveRefused as refused:
            return refused.message
        return "done"

    assert sorted(at_once(lambda: try_it("ada"), lambda: try_it("bob")))[1] == "done"
    assert len(house.rows("SELECT 1 FROM reversals")) == 1


def test_the_payment_moved_on(house: House) -> None:
    """R13: voided by other hands meanwhile: the approval is refused, the proposal stays and can only be ended."""
    payment = posted(house, by_card=False)
    proposal = propose(house, payment)
    house.void(payment)
    with pytest.raises(MoveRefused, match="the payment is voided"):
        approve(house, proposal)
    with house.context.transaction() as (conn, now):
        assert proposals.open_of(conn, payment) is not None
        proposals.refuse(conn, proposal, "it is void", now, "ada")


def test_what_cannot_be_done_is_not_proposed(house: House) -> None:
    """R12, R13: a void of what is not posted, a refund that nothing waits for, a proposal that is not there."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000)
    with pytest.raises(MoveRefused):
        propose(house, payment)
    with house.context.transaction() as (conn, now), pytest.raises(MoveRefused):
        proposals.propose_refund(conn, payment, "why", now, "sue")
    with pytest.raises(NotFound):
        approve(house, 987_654)
