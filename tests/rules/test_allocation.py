"""How one sum is applied to invoices: the manual's page on it, as stories.

A story reads from left to right: what each invoice can take, the payment, what is applied to each, the credit.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.allocation import Spread, spread

STORIES = """
    what the invoices take | payment | applied      | credit | rule
    100 50 25              | 175     | 100 50 25    | 0      | R1: oldest first, all of them paid
    100 50 25              | 120     | 100 20       | 0      | R2: the last one reached takes what is left
    100 50 25              | 100     | 100          | 0      | R2: an invoice that nothing is left for takes nothing
    100 50 25              | 200     | 100 50 25    | 25     | R3: what is left over is a credit
    3000 7000              | 10000   | 3000 7000    | 0      | B32: an over-payment of one goes on to the next
    500                    | 4000    | 500          | 3500   | B70: an over-payment does not vanish
    0 40 0 60              | 70      | - 40 - 30    | 0      | paid ones in between are passed over
    -                      | 70      | -            | 70     | nothing to pay: all is credit
    5710                   | 595     | 595          | 0      | B38: a small sum goes on a bigger invoice
"""


def _stories() -> list[list[str]]:
    lines = STORIES.strip().splitlines()[1:]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


@pytest.mark.parametrize("story", _stories(), ids=lambda story: story[-1])
def test_a_sum_is_spread_as_the_manual_says(story: list[str]) -> None:
    """R1, R2, R3: to each invoice in order what is left or what it takes, and the rest is a credit."""
    takes, amount, applied, credit, _ = story
    owed = [(number, int(minor)) for number, minor in enumerate(takes.split()) if minor != "-"]
    expected = [(number, int(minor)) for number, minor in enumerate(applied.split()) if minor != "-"]
    assert spread(int(amount), owed) == Spread(expected, int(credit))


BALANCES = st.lists(st.integers(0, 10**12), max_size=30)


@given(amount=st.integers(1, 10**12), balances=BALANCES)
def test_no_cent_is_lost_and_no_invoice_is_over_applied(amount: int, balances: list[int]) -> None:
    """R2, R3: applied and credit add up to the payment; no invoice takes more than it can."""
    result = spread(amount, enumerate(balances))
    assert sum(part for _, part in result.applied) + result.left_over_minor == amount
    assert all(0 < part <= balances[number] for number, part in result.applied)


@given(amount=st.integers(1, 10**12), balances=BALANCES)
def test_a_later_invoice_takes_only_what_the_earlier_ones_left(amount: int, balances: list[int]) -> None:
    """R1: an invoice takes something only if every one before it was filled; a credit only if all were."""
    result = spread(amount, enumerate(balances))
    applied = dict(result.applied)
    last = max(applied, default=-1)
    assert all(applied.get(number, 0) == balances[number] for number in range(last))
    if result.left_over_minor:
        assert sum(applied.values()) == sum(balances)


@given(amount=st.integers(1, 10**6), balances=st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_invoices_are_read_only_as_far_as_the_sum_reaches(amount: int, balances: list[int]) -> None:
    """A sum that pays three invoices does not read a million."""
    read: list[int] = []

    def reading() -> object:
        for number, balance in enumerate(balances):
            read.append(number)
            yield number, balance

    result = spread(amount, reading())  # type: ignore[arg-type]
    assert len(read) == max(1, len(result.applied))
