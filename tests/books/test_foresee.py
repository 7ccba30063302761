"""What a void is foreseen to do is what it then does (R10, R11)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from books import credit, dispute, foresee, refund
from rules.errors import MoveRefused, NotFound, RequestRefused
from tests.flows.house import House, card

customers = itertools.count(1)


def foreseen(house: House, payment: int) -> foresee.Foreseen:
    with house.engine.connect() as conn:
        return foresee.void(conn, payment)


def apply(house: House, customer: str, most: int | None = None) -> list[credit.Applied]:
    """Let the customer's credits pay what is pending; `most`: so many invoices of it."""
    with house.context.transaction() as (conn, now):
        owner = house.row("SELECT id FROM customers WHERE number = :n", n=customer).id
        pending = house.rows(
            "SELECT id FROM invoices WHERE customer_id = :id AND state = 'pending' ORDER BY id", id=owner
        )
        named = [one.id for one in pending[:most]]
        return credit.apply_to_invoices(conn, owner, "USD", named, house.context.terms.today(now), now, "ann")


def void_as_foreseen(house: House, payment: int) -> foresee.Foreseen:
    """Void it, and hold what the void did against what was foreseen right before."""
    by_id = "SELECT id, number, state, balance_minor FROM invoices"
    before = {row.id: row for row in house.rows(by_id)}
    taken_before = dict(house.rows("SELECT id, taken_back_minor FROM credits"))
    seen = foreseen(house, payment)
    done = house.void(payment)
    after = {row.id: row for row in house.rows(by_id)}
    moved = {
        id_: (row.balance_minor - before[id_].balance_minor, before[id_].state == "paid")
        for id_, row in after.items()
        if row.balance_minor != before[id_].balance_minor
    }
    assert {one.invoice_id: (one.minor, one.was_paid) for one in seen.invoices} == moved
    assert {one.number for one in seen.invoices} == {after[id_].number for id_ in moved}
    assert all(after[id_].state == "pending" for id_ in moved)
    assert (seen.invoice_count, seen.owed_again_minor) == (len(moved), sum(minor for minor, _ in moved.values()))
    assert seen.paid_count == sum(paid for _, paid in moved.values())
    assert sum(one.through_credit_minor for one in seen.invoices) == sum(one.applied_minor for one in seen.credits)
    assert sum(one.minor for one in seen.invoices) == sum(minor for _, minor in done.reopened)
    assert seen.taken_back_minor == done.taken_back_minor == sum(one.amount_minor for one in seen.credits)
    for one in seen.credits:
        taken = house.row("SELECT taken_back_minor AS taken FROM credits WHERE id = :id", id=one.credit_id).taken
        assert taken - taken_before[one.credit_id] == one.amount_minor > 0
        assert sum(minor for _, minor in one.applied) == one.applied_minor
    if done.reversal_id is None:
        assert seen.to_card is None
    else:
        assert seen.to_card is not None
        assert seen.to_card.amount_minor == house.reversal(payment).amount_minor
    return seen


owed = st.lists(st.integers(1, 3000), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([1000, 2000], 5000, False, [700, 900], 2, True, 0)
@example([1000, 2000], 2500, True, [], 0, False, 400)
@given(owed, st.integers(1, 12_000), st.booleans(), owed, st.integers(0, 4), st.booleans(), st.integers(0, 2000))
def test_whatever_was_paid(
    house: House, first: list[int], amount: int, by_card: bool, later: list[int], most: int, undone: bool, rest: int
) -> None:
    """R10: some invoices, one payment, its credit applied elsewhere or undone, another payment beside it."""
    customer = f"C-{next(customers)}"
    house.bill(customer, {f"A-{place}": minor for place, minor in enumerate(first)})
    payment = house.pay(amount, card() if by_card else None, customer)
    house.work()
    house.bill(customer, {f"B-{place}": minor for place, minor in enumerate(later)})
    applied = apply(house, customer, most) if most else []
    if undone and applied:
        [(application,), *_] = house.rows("SELECT max(id) FROM allocations WHERE credit_id IS NOT NULL")
        with house.context.transaction() as (conn, now):
            credit.take_back(conn, application, "not that one", house.context.terms.today(now), now, "ann")
    if rest:
        house.pay(rest, customer=customer, as_credit=True)
        house.post()
    void_as_foreseen(house, payment)


def test_a_credit_that_was_applied_elsewhere(house: House) -> None:
    """R10: of 50.00 on 30.00, 20.00 were a credit that paid another invoice: both are owed again, the card gets all."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(5000, card())
    house.work()
    house.bill("C-1", {"B": 1500, "D": 4000})
    apply(house, "C-1")
    seen = void_as_foreseen(house, payment)
    assert [(one.number, one.own_minor, one.through_credit_minor, one.was_paid) for one in seen.invoices] == [
        ("A", 3000, 0, True),
        ("B", 0, 1500, True),
        ("D", 0, 500, False),
    ]
    [taken] = seen.credits
    assert (taken.amount_minor, taken.applied_minor, taken.applied) == (2000, 2000, (("B", 1500), ("D", 500)))
    assert seen.to_card == foresee.BackToCard(5000, "payflow", "visa", "1111")
    assert seen.amount_minor == 5000


def test_many_invoices_are_counted_and_the_first_named(house: House) -> None:
    """R10: of more invoices than are named the rest is counted, and still changes the mark."""
    count = foresee.SHOWN + 5
    house.bill("C-1", {f"A-{place:04}": 10 for place in range(count)})
    payment = house.pay(10 * count)
    house.post()
    seen = foreseen(house, payment)
    assert (len(seen.invoices), seen.invoice_count, seen.owed_again_minor) == (foresee.SHOWN, count, 10 * count)
    house.do("UPDATE invoices SET total_minor = 11, balance_minor = 1, state = 'pending' WHERE number = 'A-0204'")
    assert foresee.changes(seen.mark, foreseen(house, payment)) == ("which",)


def test_the_mark_tells_what_changed(house: House) -> None:
    """R10: looked at twice, the mark is the same; where a credit was applied meanwhile, the invoices have changed."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(5000)
    house.post()
    before = foreseen(house, payment)
    assert foresee.changes(before.mark, foreseen(house, payment)) == ()
    house.bill("C-1", {"B": 1500})
    apply(house, "C-1")
    assert foresee.changes(before.mark, foreseen(house, payment)) == ("invoices", "owed_again")
    assert foresee.changes("made up", before) != ()


def ask(house: House, payment: int, minor: int | None) -> None:
    with house.context.transaction() as (conn, now):
        refund.ask(conn, payment, minor, "goods returned", now, "sue")


def test_after_a_part_was_refunded(house: House) -> None:
    """R11: only what is still charged goes back, and by a refund at once: no void is sent any more."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(5000, card())
    house.work()
    house.sandbox.client.settle()
    ask(house, payment, 2600)
    for look in (foreseen, House.void):
        with pytest.raises(MoveRefused, match="under way"):
            look(house, payment)
    house.work()
    seen = void_as_foreseen(house, payment)
    assert seen.to_card == foresee.BackToCard(2400, "payflow", "visa", "1111", by_refund=True)
    assert (seen.owed_again_minor, seen.taken_back_minor, seen.amount_minor) == (2400, 0, 5000)
    assert house.reversal(payment).state == "refund_due"
    house.work()
    assert house.sandbox.client.requests(operation="void") == []


def test_after_all_was_refunded(house: House) -> None:
    """R11: nothing is left to return: the void touches no card."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000, card())
    house.work()
    house.sandbox.client.settle()
    ask(house, payment, None)
    house.work()
    assert void_as_foreseen(house, payment).to_card is None


def test_while_a_dispute_is_open(house: House) -> None:
    """R17: what a bank disputes is not voided; lost, what it took does not go back to the card again."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000, card())
    house.work()
    with house.context.transaction() as (conn, now):
        dispute.open_case(conn, payment, "CB-1", 1000, "fraud", house.context.terms.today(now), now, "sue")
    for look in (foreseen, House.void):
        with pytest.raises(MoveRefused, match="disputes this charge"):
            look(house, payment)
    lose_as_foreseen(house, payment, "CB-1", 1000)
    seen = void_as_foreseen(house, payment)
    assert seen.to_card is not None
    assert (seen.to_card.amount_minor, seen.to_card.by_refund) == (2000, False)


def moved_as_foreseen(house: House, moves: foresee.Moves, act: Callable[[], object], payment: int) -> None:
    """Do it, and hold what moved against what was foreseen."""
    by_id = "SELECT id, number, state, balance_minor FROM invoices"
    before = {row.id: row for row in house.rows(by_id)}
    was = house.payment(payment)
    unused = "SELECT coalesce(sum(balance_minor), 0) AS minor FROM credits WHERE payment_id = :id"
    credit_before = house.row(unused, id=payment).minor
    act()
    after = {row.id: row for row in house.rows(by_id)}
    moved = {
        row.number: (row.balance_minor - before[id_].balance_minor, before[id_].state == "paid")
        for id_, row in after.items()
        if row.balance_minor != before[id_].balance_minor
    }
    assert {one.number: (one.minor, one.was_paid) for one in moves.invoices} == moved
    assert (moves.invoice_count, moves.owed_again_minor) == (len(moved), sum(minor for minor, _ in moved.values()))
    assert moves.credit_minor == credit_before - house.row(unused, id=payment).minor
    now = house.payment(payment)
    gone = now.refunded_minor + now.charged_back_minor - was.refunded_minor - was.charged_back_minor
    assert gone == moves.amount_minor - moves.missing_minor == moves.credit_minor + moves.owed_again_minor


def lose_as_foreseen(house: House, payment: int, case: str, minor: int) -> foresee.Moves:
    with house.engine.connect().execution_options(postgresql_readonly=True) as conn:
        moves = foresee.lost(conn, payment, minor)

    def lose() -> None:
        with house.context.transaction() as (conn, now):
            dispute.lose(conn, payment, case, "no proof", house.context.terms.today(now), now, "sue")

    moved_as_foreseen(house, moves, lose, payment)
    return moves


def refund_as_foreseen(house: House, payment: int, minor: int | None) -> foresee.ForeseenRefund:
    with house.engine.connect().execution_options(postgresql_readonly=True) as conn:
        seen = foresee.refund(conn, payment, minor)

    def do() -> None:
        ask(house, payment, minor)
        house.work()

    moved_as_foreseen(house, seen.moves, do, payment)
    assert house.reversal(payment).amount_minor == seen.amount_minor == seen.to_card.amount_minor
    return seen


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([1000, 2000], 5000, [700, 900], 2, [2600, 100])
@given(owed, st.integers(1, 12_000), owed, st.integers(0, 4), st.lists(st.integers(1, 4000), min_size=1, max_size=3))
def test_refunds_do_what_was_foreseen(
    house: House, first: list[int], amount: int, later: list[int], most: int, parts: list[int]
) -> None:
    """R17: unused credit first, then the newest applications, the credit's too; part after part, and the rest."""
    customer = f"C-{next(customers)}"
    house.bill(customer, {f"A-{place}": minor for place, minor in enumerate(first)})
    payment = house.pay(amount, card(), customer)
    house.work()
    house.sandbox.client.settle()
    house.bill(customer, {f"B-{place}": minor for place, minor in enumerate(later)})
    if most:
        apply(house, customer, most)
    left = amount
    for part in parts:
        if part < left:
            refund_as_foreseen(house, payment, part)
            left -= part
    assert refund_as_foreseen(house, payment, None).amount_minor == left
    assert foreseen_refund(house, payment).amount_minor == 0


def foreseen_refund(house: House, payment: int, minor: int | None = None) -> foresee.ForeseenRefund:
    with house.engine.connect() as conn:
        return foresee.refund(conn, payment, minor)


def test_a_refund_behind_one_that_is_under_way(house: House) -> None:
    """R17: the one under way takes the credit first; the next is foreseen to take what is left after it."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3500, card())
    house.work()
    house.sandbox.client.settle()
    mark = foreseen_refund(house, payment).mark
    ask(house, payment, 400)
    seen = foreseen_refund(house, payment, 1000)
    assert seen.mark != mark
    assert (seen.moves.credit_minor, [one.minor for one in seen.moves.invoices]) == (100, [900])
    house.work()
    assert foreseen_refund(house, payment, 1000).moves == refund_as_foreseen(house, payment, 1000).moves == seen.moves


def test_refused_as_a_refund_is(house: House) -> None:
    """R17: what can't be refunded is not foreseen either."""
    house.bill("C-1", {"A": 3000, "B": 3000})
    check = house.pay(1000, invoices=["A"])
    charged = house.pay(2000, card(), invoices=["B"])
    for payment, minor in ((check, 100), (charged, 100), (charged, None), (987_654, 1)):
        told = []
        for look in (foreseen_refund, ask):
            with pytest.raises((MoveRefused, NotFound)) as caught:
                look(house, payment, minor)
            told.append(caught.value.message)
        assert told[0] == told[1]
    house.work()
    for minor in (0, -5, 2001):
        for look in (foreseen_refund, ask):
            with pytest.raises(RequestRefused):
                look(house, charged, minor)


def test_refused_as_a_void_is(house: House) -> None:
    """R13: what can't be voided is not foreseen either."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000)
    refused: list[Any] = []
    for state in ("requested", "voided"):
        for look in (foreseen, House.void):
            with pytest.raises(MoveRefused) as caught:
                look(house, payment)
            refused.append(caught.value.message)
        assert refused[-1] == refused[-2], state
        house.post()
        if state == "requested":
            house.void(payment)
    with pytest.raises(NotFound):
        foreseen(house, 987_654)
    with pytest.raises(NotFound):
        house.void(987_654)


def test_it_changes_nothing(house: House) -> None:
    """R10: looking ahead writes nothing: it works where nothing can be written."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000)
    house.post()
    with house.engine.connect().execution_options(postgresql_readonly=True) as conn:
        assert foresee.void(conn, payment).invoice_count == 1
    assert house.state(payment) == "posted"
