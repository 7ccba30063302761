"""What a void is foreseen to do is what it then does (R10, R11)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from books import credit, foresee
from rules.errors import MoveRefused, NotFound
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
        assert house.row("SELECT taken_back_minor AS taken FROM credits WHERE id = :id", id=one.credit_id).taken == (
            one.amount_minor
        )
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
