"""Misbehaviour that a test asks for: which call it hits, and what happens before and after it is booked.

A scenario is a match plus two lists of steps. Everything runs on one event loop, so counts are exact: a call that
a barrier reports as waiting has (or has not) been booked, as its step says, and stays there until released.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.books import Books
from sandbox.cards import acceptable
from sandbox.contract import OPERATIONS, Call, minor_units

Step = Mapping[str, Any]

STEPS: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    "hold": {"barrier": (str,)},
    "delay": {"ms": (int, float)},
    "reset": {},
    "close": {},
    "page": {"status": (int,), "body": (str,), "content_type": (str,), "headers": (dict,)},
    "answer": {"code": (str,), "message": (str,), "fields": (dict,)},
    "foreign": {"id": (str,)},
    "settle": {"to": (str,)},
    "edit": {"fields": (dict,)},
    "cut": {"bytes": (int,), "promise_all": (bool,), "stall": (bool,)},
    "garble": {"how": (str,)},
    "close_after_reply": {},
}
"""Every kind of step with its parameters and their types."""

REQUIRED: Final = {"hold": ("barrier",), "delay": ("ms",), "answer": ("code",), "foreign": ("id",), "edit": ("fields",)}
ONLY_AFTER: Final = frozenset({"edit", "cut", "garble", "close_after_reply"})
ONLY_BEFORE: Final = frozenset({"settle"})
MATCH_TYPES: Final[dict[str, tuple[type, ...]]] = {"amount": (str, int, type(None)), "reused": (bool, type(None))}
CHOICES: Final = {"to": ("settling", "settled"), "how": ("noise", "utf-16", "latin-1", "nul")}


class ScenarioError(ValueError):
    """A scenario that cannot be set; the text says what is wrong and what is expected."""


@dataclass(slots=True)
class Match:
    """Which calls a scenario hits; what is empty or None matches everything."""

    gateway: str = ""
    operation: str = ""
    card: str = ""
    """The books' hash of the number."""
    amount: int | None = None
    currency: str = ""
    reference: str = ""
    request_id: str = ""
    reused: bool | None = None
    """True: only requests on a connection that served one before; False: only the first of a connection."""

    def hits(self, call: Call, reused: bool, hashed: str) -> bool:
        return (
            self.gateway in ("", call.gateway)
            and self.operation in ("", call.operation)
            and self.card in ("", hashed)
            and self.amount in (None, call.amount)
            and self.currency in ("", call.currency)
            and self.reference in ("", call.reference)
            and self.request_id in ("", call.request_id)
            and self.reused in (None, reused)
        )


@dataclass(slots=True)
class Scenario:
    """What happens to the calls that match: `times` of them (0: all), after the first `skip`."""

    id: int
    match: Match
    before: list[Step]
    after: list[Step]
    times: int = 1
    skip: int = 0
    matched: int = 0
    applied: int = 0

    @property
    def spent(self) -> bool:
        return 0 < self.times <= self.applied

    def view(self) -> dict[str, object]:
        """The scenario as the control API shows it."""
        return {
            "id": self.id,
            "match": {name: getattr(self.match, name) for name in Match.__slots__},
            "before": self.before,
            "after": self.after,
            "times": self.times,
            "skip": self.skip,
            "matched": self.matched,
            "applied": self.applied,
        }


@dataclass(slots=True)
class Barrier:
    """A named place where calls wait until a test lets them go on."""

    waiting: list[asyncio.Future[Sequence[Step] | None]] = field(default_factory=list)
    arrived: int = 0
    released: int = 0
    open: bool = False
    watchers: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)

    async def wait(self) -> Sequence[Step] | None:
        """Wait here; returns the steps that replace what was planned, or None."""
        self.arrived += 1
        if self.open:
            self.released += 1
            return None
        place: asyncio.Future[Sequence[Step] | None] = asyncio.get_running_loop().create_future()
        self.waiting.append(place)
        self._tell()
        return await place

    def release(self, count: int | None = None, then: Sequence[Step] | None = None, stay_open: bool = False) -> int:
        """Let `count` calls (None: all) go on, the first come first; returns how many went."""
        going = self.waiting[:count]
        del self.waiting[: len(going)]
        for place in going:
            if not place.done():
                place.set_result(then)
        self.released += len(going)
        self.open = stay_open
        return len(going)

    async def reached(self, at_least: int, seconds: float) -> bool:
        """Wait until so many calls are waiting here; False when the time is up."""
        if len(self.waiting) >= at_least:
            return True
        notice: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watcher = (at_least, notice)
        self.watchers.append(watcher)
        try:
            await asyncio.wait_for(notice, seconds)
        except TimeoutError:
            return False
        finally:
            if watcher in self.watchers:
                self.watchers.remove(watcher)
        return True

    def _tell(self) -> None:
        for at_least, notice in self.watchers:
            if len(self.waiting) >= at_least and not notice.done():
                notice.set_result(None)

    def view(self) -> dict[str, object]:
        """The barrier as the control API shows it."""
        return {
            "waiting": len(self.waiting),
            "arrived": self.arrived,
            "released": self.released,
            "open": self.open,
        }


class Scenarios:
    """The scenarios and barriers of one sandbox, in the order in which they were set: the first that hits counts."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._active: list[Scenario] = []
        self._all: dict[int, Scenario] = {}
        self._last_id = 0
        self.barriers: dict[str, Barrier] = {}

    def add(self, wanted: Mapping[str, Any]) -> Scenario:
        """Set a scenario from its JSON form. Raises ScenarioError."""
        unknown = wanted.keys() - {"match", "before", "after", "times", "skip"}
        if unknown:
            raise ScenarioError(f"unknown {_names(unknown)}; a scenario has match, before, after, times, skip")
        before = check_steps(wanted.get("before", ()), "before")
        after = check_steps(wanted.get("after", ()), "after")
        if not before and not after:
            raise ScenarioError("a scenario needs at least one step in before or after")
        times, skip = wanted.get("times", 1), wanted.get("skip", 0)
        if not isinstance(times, int) or not isinstance(skip, int) or times < 0 or skip < 0:
            raise ScenarioError("times and skip must be whole numbers from 0 (times 0: every call)")
        self._last_id += 1
        scenario = Scenario(self._last_id, self._match(wanted.get("match", {})), before, after, times, skip)
        self._active.append(scenario)
        self._all[scenario.id] = scenario
        return scenario

    def _match(self, wanted: object) -> Match:
        if not isinstance(wanted, dict):
            raise ScenarioError("match must be an object")
        unknown = wanted.keys() - set(Match.__slots__)
        if unknown:
            raise ScenarioError(f"match: unknown {_names(unknown)}; known are {_names(Match.__slots__)}")
        for name, value in wanted.items():
            if not isinstance(value, MATCH_TYPES.get(name, (str,))):
                raise ScenarioError(f"match: {name} has the wrong type: {value!r}")
        match = Match(**wanted)
        if match.operation and match.operation not in OPERATIONS:
            raise ScenarioError(f"match: operation is one of {_names(OPERATIONS)}, not {match.operation!r}")
        if isinstance(match.amount, str):
            match.amount = minor_units(match.amount)
            if match.amount is None:
                raise ScenarioError("match: amount is a decimal such as '118.50' or whole minor units")
        if acceptable(match.card):
            match.card = self._books.hash_card(match.card)
        elif match.card and len(match.card) != 16:
            raise ScenarioError("match: card is a card number or the hash that the sandbox gave for one")
        return match

    def take(self, call: Call, reused: bool) -> Scenario | None:
        """The scenario that this call runs into, counted as applied."""
        if not self._active:
            return None
        hashed = self._books.hash_card(call.card) if call.card else ""
        if not hashed and any(scenario.match.card for scenario in self._active):
            hashed = self._card_of_original(call)
        for scenario in self._active:
            if not scenario.match.hits(call, reused, hashed):
                continue
            scenario.matched += 1
            if scenario.matched <= scenario.skip:
                continue
            scenario.applied += 1
            if scenario.spent:
                self._active.remove(scenario)
            return scenario
        return None

    def _card_of_original(self, call: Call) -> str:
        original = call.fields.get("ORIGID") or call.reference
        found = self._books.find(call.gateway, original) if original else None
        if found is None and original:
            found = next(iter(self._books.by_reference(call.gateway, original)), None)
        return found.card_hash if found else ""

    def barrier(self, name: str) -> Barrier:
        """The barrier of that name, made when first asked for."""
        return self.barriers.setdefault(name, Barrier())

    def all(self) -> list[Scenario]:
        return list(self._all.values())

    def get(self, number: int) -> Scenario | None:
        return self._all.get(number)

    def remove(self, number: int) -> bool:
        """Take a scenario away; calls that it holds stay held. Returns whether it was there."""
        scenario = self._all.pop(number, None)
        if scenario in self._active:
            self._active.remove(scenario)
        return scenario is not None

    def clear(self) -> None:
        """Take all scenarios away and let go on whatever a barrier holds."""
        self._active.clear()
        self._all.clear()
        for barrier in self.barriers.values():
            barrier.release(stay_open=True)
        self.barriers.clear()


def check_steps(steps: object, phase: str) -> list[Step]:
    """The steps if each is known and complete and belongs in this phase. Raises ScenarioError."""
    if not isinstance(steps, list | tuple):
        raise ScenarioError(f"{phase} must be a list of steps")
    for step in steps:
        kind = step.get("do") if isinstance(step, dict) else None
        if kind not in STEPS:
            raise ScenarioError(f'{phase}: a step is an object with "do", one of {_names(STEPS)}')
        if (kind in ONLY_AFTER and phase == "before") or (kind in ONLY_BEFORE and phase == "after"):
            raise ScenarioError(f"{phase}: {kind} makes no sense there")
        known = STEPS[kind]
        for name in REQUIRED.get(kind, ()):
            if name not in step:
                raise ScenarioError(f"{phase}: {kind} needs {name}")
        for name, value in step.items():
            if name == "do":
                continue
            if name not in known:
                raise ScenarioError(f"{phase}: {kind} has no {name}; it takes {_names(known) or 'nothing'}")
            if not isinstance(value, known[name]):
                raise ScenarioError(f"{phase}: {name} of {kind} must be {_names(t.__name__ for t in known[name])}")
            if name in CHOICES and value not in CHOICES[name]:
                raise ScenarioError(f"{phase}: {name} of {kind} is one of {_names(CHOICES[name])}")
    return list(steps)


def _names(names: Any) -> str:
    return ", ".join(sorted(names))
