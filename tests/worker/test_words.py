"""What monitors such as Flower show of a wake-up call: words, and never the arguments as Python has them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import redis

import celeryconfig
from tests.released import messages
from worker import words
from worker.wake import Wake


def test_a_call_says_in_words_what_it_is_for(redis_url: str) -> None:
    """D4: the message has words for people beside its arguments."""
    wake = Wake(redis_url)
    wake.batch(7, "charge", 2)
    wake.close()
    with redis.Redis.from_url(redis_url) as client:
        sent = [json.loads(message)["headers"]["argsrepr"] for message in reversed(client.lrange("bulk", 0, -1))]
    assert sent == ["Charge cards: batch 7, lane 1 of 2", "Charge cards: batch 7, lane 2 of 2"]
    assert words.parts(sent[0]) == ("Charge cards", "batch 7, lane 1 of 2")
    assert words.of_call("inquire", {}) == "Inquire about outcomes: whatever is due"
    assert words.parts("(1, 2)") is None
    assert words.parts(None) is None


def test_what_the_clock_starts_has_words_too() -> None:
    """What beat starts says what it is for as other calls do."""
    schedule: dict[str, Any] = celeryconfig.beat_schedule
    said = {
        entry["task"]: entry["options"]["argsrepr"] for entry in schedule.values() if "argsrepr" in entry["options"]
    }
    assert set(said) >= {"defray.sweep", "defray.forget", "defray.retry"}
    for task, phrase in said.items():
        step, what = words.parts(phrase) or ("", "")
        assert what
        assert step == words.title(task.removeprefix("defray."))


@pytest.mark.parametrize("task", sorted({message.task for message in messages()}))
def test_siblings_are_found_by_the_words(task: str) -> None:
    """Flower takes the words for a search: the first must be in the task's name, and three letters are the least."""
    step, _ = words.parts(words.of_call(task.removeprefix("defray."), {})) or ("", "")
    first, *others = step.lower().split()
    assert first in task
    assert all(len(other) >= 3 for other in others)


def test_progress_is_told_or_not(caplog: pytest.LogCaptureFixture) -> None:
    """D3, D4: where the broker is away nobody is told how far a task is, and the task goes on."""
    wake = Wake("redis://127.0.0.1:1/0")
    with caplog.at_level(logging.WARNING, "worker.wake"):
        assert not wake.tell("a-task", "bulk@here", "batch 7: 4 of 10")
    wake.close()
    assert "Flower was not told how far a task is" in caplog.text
