"""E7: what proves that a database was restored."""

from __future__ import annotations

import pytest

from rules.epoch import AfterFailover, Finding, Mark, Place, judge

HERE = Place("7301", 1)


@pytest.mark.parametrize(
    ("known", "mark", "seen", "policy", "finding"),
    [
        (HERE, Mark(9, 9), Mark(9, 9), "ask", Finding.SAME),
        (HERE, Mark(9, 9), Mark(5, 5), "ask", Finding.SAME),  # another machine's witness lags behind
        (HERE, Mark(8, 9), Mark(9, 9), "ask", Finding.DIFFERS),
        (HERE, Mark(9, 8), Mark(9, 9), "ask", Finding.DIFFERS),
        (HERE, Mark(9, 9), None, "ask", Finding.DIFFERS),
        (HERE, Mark(0, 9), None, "ask", Finding.SAME),  # nothing was ever sent
        (Place("7302", 1), Mark(9, 9), Mark(9, 9), "go_on", Finding.DIFFERS),
        (Place("7301", 2), Mark(9, 9), Mark(9, 9), "ask", Finding.DIFFERS),
        (Place("7301", 2), Mark(9, 9), Mark(9, 9), "go_on", Finding.MOVED_ON),
        (Place("7301", 2), Mark(8, 9), Mark(9, 9), "go_on", Finding.DIFFERS),
        (Place("7301", 2), Mark(9, 9), None, "go_on", Finding.DIFFERS),
    ],
)
def test_what_proves_a_restore(known: Place, mark: Mark, seen: Mark | None, policy: str, finding: Finding) -> None:
    """E7: another cluster, a witness that knows more, another timeline, or no witness at all: each is found."""
    found, why = judge(known, HERE, mark, seen, AfterFailover(policy))
    assert found is finding
    assert bool(why) is (finding is not Finding.SAME)
