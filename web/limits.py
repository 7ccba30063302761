"""How much is taken of whom: calls of each key, and calls without a right key of each address, a minute.

Counted in Redis, by all web processes together. Where Redis is away nothing is counted, and everything is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import redis
from pybreaker import CircuitBreaker, CircuitBreakerError
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import TOO_MANY, Refused

PATIENCE: Final = 0.2
"""Seconds that Redis has for an answer; one that fails is not asked again for `REST` seconds."""
REST: Final = 5

_MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands after this call: the limit, what is left of it, and in how many seconds it begins anew."""

    quota: int
    left: int
    seconds: int
    taken: bool

    @property
    def headers(self) -> dict[str, str]:
        """As the draft `RateLimit header fields for HTTP` has them."""
        return {
            "RateLimit-Policy": f'"minute";q={self.quota};w=60',
            "RateLimit": f'"minute";r={self.left};t={self.seconds}',
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one web process, as the settings say; 0: none."""

    a_minute: int
    by_key: Mapping[str, int]
    failed_a_minute: int
    _counts: redis.Redis = field(repr=False)
    _breaker: CircuitBreaker = field(repr=False)

    def of_key(self, request: Request, name: str, key_id: int) -> None:
        """Count a call by key. Raises Refused where it is one too many."""
        self._count(request, self.by_key.get(name, self.a_minute), "key", str(key_id))

    def of_stranger(self, request: Request) -> None:
        """Count a call without a right key, by the address that it comes from. Raises Refused likewise."""
        self._count(request, self.failed_a_minute, "address", request.client.host if request.client else "")

    def _count(self, request: Request, quota: int, *whose: str) -> None:
        if quota == 0:
            return
        try:
            standing = self._breaker.call(self._ask, quota, ":".join(("defray:limits", *whose)))
        except (redis.RedisError, CircuitBreakerError):
            return
        request.state.rate = standing
        if not standing.taken:
            detail = f"More than {quota:,} calls in a minute; the next is taken in {standing.seconds} seconds."
            raise Refused(TOO_MANY, detail)

    def _ask(self, quota: int, name: str) -> Standing:
        """One round trip: a minute begins with the first call after the last one ended."""
        with self._counts.pipeline() as asked:
            asked.set(name, 0, ex=_MINUTE, nx=True)
            asked.incr(name)
            asked.ttl(name)
            _, used, seconds = asked.execute()
        return Standing(quota, max(0, quota - used), max(1, seconds), used <= quota)


def limits(redis_url: str, a_minute: int, by_key: Mapping[str, int], failed_a_minute: int) -> Limits:
    """Limits that are counted there; nothing is connected before the first call."""
    counts = redis.Redis.from_url(redis_url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
    breaker = CircuitBreaker(fail_max=1, reset_timeout=REST)
    return Limits(a_minute, by_key, failed_a_minute, counts, breaker)


class Told:
    """Tells in every answer to a counted call how its caller stands, and with 429 when to come again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def told(message: Message) -> None:
            standing = scope.get("state", {}).get("rate")
            if message["type"] == "http.response.start" and standing is not None:
                headers = MutableHeaders(scope=message)
                headers.update(standing.headers)
                if message["status"] == TOO_MANY.status:
                    headers["Retry-After"] = str(standing.seconds)
            await send(message)

        await self._app(scope, receive, told)
