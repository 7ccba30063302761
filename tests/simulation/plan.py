"""What happens in a run, drawn from its seed beforehand: a list of steps that can be replayed and shortened."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.simulation.gateway import FAULTS


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens; the numbers choose among what is there at that moment."""

    kind: str
    a: int = 0
    b: int = 0
    c: int = 0
    word: str = ""


WEIGHTS: Final = {
    "work": 45,
    "finish": 12,
    "sweep": 10,
    "tick": 11,
    "pay_card": 9,
    "pay_check": 3,
    "batch": 2,
    "again": 2,
    "void": 5,
    "cancel": 2,
    "refund": 4,
    "credit": 2,
    "resolve": 4,
    "approve": 2,
    "keep": 1,
    "fault": 26,
    "kill": 3,
    "die": 2,
    "skew": 1,
    "broker": 3,
    "settle": 3,
    "decide": 2,
}


def plan(seed: int) -> list[Step]:
    """The steps of a seed. Each seed favours some kinds, so that rare things also meet in numbers."""
    rng = random.Random(seed)
    weights = {kind: weight * rng.choice((0.3, 1, 1, 3)) for kind, weight in WEIGHTS.items()}
    weights["work"] = max(weights["work"], 40)
    operations = [rng.choice(tuple(FAULTS)) for _ in range(2)]
    favourite = {name: rng.choice(FAULTS[name]) for name in FAULTS}
    steps: list[Step] = []
    for _ in range(rng.randint(1, 3)):
        steps += [_step(rng, "fault", rng.choice(("sale", "sale", *operations)), favourite), _step(rng, "pay_card")]
    for kind in rng.choices(list(weights), list(weights.values()), k=rng.randint(15, 45)):
        steps.append(_step(rng, kind, rng.choice((*FAULTS, *operations)), favourite))
    return steps


def _step(rng: random.Random, kind: str, operation: str = "sale", favourite: Mapping[str, str] | None = None) -> Step:
    word = ""
    if kind == "fault":
        word = (
            f"{operation}:{favourite[operation] if favourite and rng.random() < 0.4 else rng.choice(FAULTS[operation])}"
        )
    return Step(kind, rng.randrange(100), rng.randrange(100), rng.randrange(100), word)
