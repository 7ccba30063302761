"""Which gateways are rested because they keep failing: a circuit breaker a gateway, shared by all processes by Redis.

What stands there is a hint. Where Redis is away or was flushed, every gateway counts as working: charging goes on, and
fail_max more failures rest a gateway again. What is charged, and where, the database alone decides (E5).
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NoReturn

import redis
from pybreaker import STATE_CLOSED, STATE_OPEN, CircuitBreaker, CircuitBreakerError, CircuitRedisStorage

from rules.breaking import Rest, is_failing
from rules.outcomes import Outcome

PROBES: Final = 3
"""Calls that may find out, after a rest, whether the gateway works again."""

_LOOK_SECONDS: Final = 1.0
_AWAY_SECONDS: Final = 15.0
"""How long a Redis that did not answer is not asked again: charging must not wait for it."""
_TRYING_TAKES: Final = timedelta(seconds=5)
"""How long the others wait at least for what the calls that try find out."""
_KEYS: Final = ("state", "fail_counter", "opened_at", "told")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Turned:
    """A gateway began to be rested, or works again; told once, to one process."""

    gateway: str
    resting: bool
    why: str


class _FailingError(Exception):
    """An answer that counts against the gateway."""


class Breakers:
    """The breakers of all gateways, for one thread. Reads Redis once a second at most, and writes where one fails."""

    def __init__(self, client: redis.Redis, gateways: Iterable[str], fail_max: int, rest: timedelta) -> None:
        """`fail_max`: failing answers on end after which a gateway is rested, 0: never; `rest`: for how long."""
        self._client = client
        self._gateways = tuple(gateways) if fail_max else ()
        self._fail_max = fail_max
        self._rest = rest
        self._breakers: dict[str, CircuitBreaker] = {}
        self._rests: Mapping[str, Rest] = {}
        self._troubled: frozenset[str] = frozenset()
        self._look_at = 0.0

    def rests(self) -> Mapping[str, Rest]:
        """The gateways that are rested now, by name."""
        if self._gateways and time.monotonic() >= self._look_at:
            self._look()
        return self._rests

    def look_anew(self) -> None:
        """Read Redis at the next question, however short ago it was read."""
        self._look_at = 0.0

    def try_again(self, gateway: str) -> int:
        """After a rest: how many calls may find out whether the gateway works; 0 where another process is at it."""
        try:
            won = self._client.set(_key(gateway, "trying"), 1, nx=True, px=_milliseconds(self._rest))
        except redis.RedisError as reason:
            self._away(reason)
            return 0
        return PROBES if won else 0

    def hear(self, heard: Iterable[tuple[str, Outcome]]) -> list[Turned]:
        """Count what was answered, in its order; what is to be told of it."""
        said: dict[str, list[Outcome]] = {}
        for gateway, outcome in heard:
            if gateway in self._gateways and is_failing(outcome) is not None:
                said.setdefault(gateway, []).append(outcome)
        turned: list[Turned] = []
        for gateway, outcomes in said.items():
            # A gateway that works, as it did before, costs no word to Redis.
            if gateway in self._troubled or any(map(is_failing, outcomes)):
                try:
                    turned += self._count(gateway, outcomes)
                except redis.RedisError as reason:
                    self._away(reason)
        return turned

    def _look(self) -> None:
        self._look_at = time.monotonic() + _LOOK_SECONDS
        try:
            asked = [_key(name, what) for name in self._gateways for what in _KEYS]
            found: list[bytes | None] = self._client.mget(asked)  # type: ignore[assignment]
        except redis.RedisError as reason:
            self._away(reason)
            return
        width = len(_KEYS)
        rests: dict[str, Rest] = {}
        troubled: set[str] = set()
        for place, gateway in enumerate(self._gateways):
            state, failures, opened_at, told = found[place * width : (place + 1) * width]
            if state not in (None, STATE_CLOSED.encode()):
                rests[gateway] = self._rest_of(opened_at, told)
                troubled.add(gateway)
            elif told or failures not in (None, b"0"):
                troubled.add(gateway)
        self._rests, self._troubled = rests, frozenset(troubled)

    def _rest_of(self, opened_at: bytes | None, told: bytes | None) -> Rest:
        left = timedelta(seconds=int(opened_at or 0) - time.time()) + self._rest
        why = str(json.loads(told)["why"]) if told else ""
        if left > timedelta(0):
            return Rest(left, self._rest, why)
        return Rest(min(_TRYING_TAKES, self._rest), self._rest, why, over=True)

    def _count(self, gateway: str, outcomes: Sequence[Outcome]) -> list[Turned]:
        breaker = self._breaker(gateway)
        failing = [bool(is_failing(outcome)) for outcome in outcomes]
        trailing = failing[::-1].index(False) if False in failing else len(failing)
        if trailing < len(failing):
            _feed(breaker, failing=False)
        for _ in range(min(trailing, self._fail_max)):
            _feed(breaker, failing=True)
        self.look_anew()
        return self._told(gateway, breaker.current_state, outcomes[-1])

    def _told(self, gateway: str, state: str, last: Outcome) -> list[Turned]:
        """What changed by these answers; whoever sets or takes the note first is the one to tell."""
        note = _key(gateway, "told")
        if state == STATE_OPEN:
            self._client.delete(_key(gateway, "trying"))
            why = f"{last.code} {last.message}".strip()
            if self._client.set(note, json.dumps({"why": why}), nx=True):
                return [Turned(gateway, True, why)]
        elif state == STATE_CLOSED and self._client.delete(note, _key(gateway, "trying")):
            return [Turned(gateway, False, "")]
        return []

    def _breaker(self, gateway: str) -> CircuitBreaker:
        if gateway not in self._breakers:
            storage: Any = CircuitRedisStorage(STATE_CLOSED, self._client, namespace=_namespace(gateway))
            self._breakers[gateway] = CircuitBreaker(
                fail_max=self._fail_max,
                reset_timeout=self._rest.total_seconds(),
                state_storage=storage,
                name=gateway,
                throw_new_error_on_trip=False,
            )
        return self._breakers[gateway]

    def _away(self, reason: redis.RedisError) -> None:
        self._rests, self._troubled = {}, frozenset()
        self._look_at = time.monotonic() + _AWAY_SECONDS
        _log.warning("every gateway counts as working: what rests cannot be read: %s", reason)


def _feed(breaker: CircuitBreaker, *, failing: bool) -> None:
    # The second: it is rested already, and this answer came late.
    with contextlib.suppress(_FailingError, CircuitBreakerError):
        breaker.call(_fail if failing else _work)


def _fail() -> NoReturn:
    raise _FailingError


def _work() -> None:
    """An answer of a gateway that works."""


def _namespace(gateway: str) -> str:
    return f"defray:gateway:{gateway}"


def _key(gateway: str, what: str) -> str:
    return f"{_namespace(gateway)}:{CircuitRedisStorage.BASE_NAMESPACE}:{what}"


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
