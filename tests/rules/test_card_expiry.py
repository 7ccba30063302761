"""When it is told that a stored card expires (B55)."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest

from rules.card_expiry import Notice, notice, spans
from rules.cards import expires_before


@pytest.mark.parametrize(
    ("today", "days", "expected"),
    [
        (date(2026, 10, 31), 30, None),
        (date(2026, 11, 1), 30, Notice.SOON),
        (date(2026, 11, 30), 30, Notice.SOON),
        (date(2026, 12, 1), 30, Notice.LAST_MONTH),
        (date(2026, 12, 31), 30, Notice.LAST_MONTH),
        (date(2027, 1, 1), 30, None),
        (date(2026, 11, 30), 0, None),
        (date(2026, 12, 1), 0, Notice.LAST_MONTH),
        (date(2026, 9, 2), 90, Notice.SOON),
    ],
)
def test_a_card_of_december(today: date, days: int, expected: Notice | None) -> None:
    """B55: good through the last day of its month: told of before that month begins, and when it has begun."""
    assert notice(12, 2026, today, days) is expected


def test_over_the_year() -> None:
    """B55: in December the cards of January expire soon, of the next year."""
    assert notice(1, 2027, date(2026, 12, 20), 30) is Notice.SOON
    assert notice(1, 2026, date(2026, 12, 20), 30) is None


@pytest.mark.parametrize("days", [0, 7, 30, 90])
def test_each_notice_once_in_a_cards_life(days: int) -> None:
    """B55: day after day a card gets its notices one after the other, none too early, none once it has expired."""
    told = []
    day = date(2026, 6, 1)
    while day < date(2027, 3, 1):
        now = notice(2, 2027, day, days)
        assert now is None or not expires_before(2, 2027, day)
        if now and now not in told:
            told.append(now)
        day += timedelta(days=1)
    assert told == ([Notice.SOON] if days else []) + [Notice.LAST_MONTH]


def test_spans_are_apart() -> None:
    """D4: no card is due for two notices at once."""
    for offset in range(400):
        months = [(span.first, span.last) for span in spans(date(2026, 1, 1) + timedelta(days=offset), 45)]
        assert all(first <= last for first, last in months)
        assert all(before[1] < after[0] for before, after in pairwise(months))
