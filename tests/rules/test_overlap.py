"""Card payments that are meant for the same money (R8a)."""

from __future__ import annotations

from rules.overlap import Claim, UnderWay, too_much, unknown_beside


def claim(payment_id: int, pot: str, amount: int, holds: int = 100, new: bool = True, allowed: bool = False) -> Claim:
    return Claim(payment_id, pot, amount, holds, new, allowed)


def test_what_fits_passes() -> None:
    """R8a: payments that together take what the invoice owes do not collide."""
    assert too_much([claim(1, "A", 60, new=False), claim(2, "A", 40)]) == []


def test_what_exceeds_is_refused() -> None:
    """R8a: the one that would take more than is left is refused."""
    assert too_much([claim(1, "A", 60, new=False), claim(2, "A", 41)]) == [2]


def test_a_refused_payment_takes_nothing() -> None:
    """R8a: what was refused stands in nobody's way, at none of its invoices."""
    claims = [claim(1, "A", 100), claim(2, "A", 100), claim(2, "B", 100), claim(3, "B", 100)]
    assert too_much(claims) == [2]


def test_the_first_may_exceed() -> None:
    """R8: a request that itself exceeds the balance makes a credit; it overlaps with nothing."""
    assert too_much([claim(1, "A", 150)]) == []
    assert too_much([claim(1, "A", 150), claim(2, "A", 1)]) == [2]


def test_an_allowed_overlap() -> None:
    """R8a: who says allow_overlap passes, and still counts for those after."""
    assert too_much([claim(1, "A", 100), claim(2, "A", 100, allowed=True), claim(3, "A", 1)]) == [3]


def test_what_was_under_way_before_is_never_refused() -> None:
    """R8a: only the new payments are judged."""
    assert too_much([claim(1, "A", 100, new=False), claim(2, "A", 100, new=False)]) == []


def test_an_unknown_outcome_bars_what_overlaps() -> None:
    """B01: the same invoice, or either of the two naming none, of one customer in one currency."""
    lost = UnderWay(1, 7, "USD", [10, 11])
    lost_for_all = UnderWay(2, 8, "USD", None)
    new = [
        UnderWay(21, 7, "USD", [11, 12]),
        UnderWay(22, 7, "USD", [12]),
        UnderWay(23, 7, "USD", None),
        UnderWay(24, 7, "EUR", None),
        UnderWay(25, 8, "USD", [20]),
        UnderWay(26, 9, "USD", None),
    ]
    assert unknown_beside([lost, lost_for_all], new) == [(21, 1), (23, 1), (25, 2)]
