"""How fast a batch goes, as the console and Flower say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rules.speed import Speed

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def after(seconds: int) -> datetime:
    """So many seconds later."""
    return NOW + timedelta(seconds=seconds)


def test_how_fast_a_batch_goes() -> None:
    """The rate is that of the last seconds, and the time left follows from it; at the first look nothing is said."""
    speed = Speed()
    assert speed.words(NOW, 0, 10_000) == ""
    assert speed.words(after(10), 1_000, 10_000) == "100.0 payments a second, about 1 min 30 s left."
    assert speed.words(after(30), 9_000, 10_000) == "400.0 payments a second, about 3 s left."
    assert speed.words(after(60), 9_000, 10_000) == ""


def test_what_is_long_ago_says_nothing() -> None:
    """After a pause, or when nothing is left, there is no rate."""
    speed = Speed()
    speed.words(NOW, 0, 10_000)
    assert speed.words(after(3_600), 1_000, 10_000) == ""
    assert speed.words(after(3_610), 3_000, 10_000) == "200.0 payments a second, about 35 s left."
    assert speed.words(after(3_620), 10_000, 10_000) == ""
