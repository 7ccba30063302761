"""How far a task is: told to Flower now and then while it works, and in the sentence that it returns (D4)."""

from __future__ import annotations

import time
from datetime import datetime
from functools import lru_cache
from typing import Final

from celery import current_task
from sqlalchemy import Connection

from books import claim, progress
from books.tally import Tally
from rules.speed import Speed
from tasks.context import Context

EVERY: Final = 2.0
"""Seconds between two looks, at least."""
_REST: Final = 50
"""So many times as long as a look took there is none: counting a large batch takes a fiftieth of the time at most."""


class Meanwhile:
    """What Flower shows of one task while it works. A task that was called, and not sent, tells nobody."""

    def __init__(self, context: Context, scope: claim.Scope) -> None:
        self._context = context
        self._scope = scope
        request = current_task.request if current_task else None
        self._task = (request.id, request.hostname) if request and request.id else None
        self._next = time.monotonic() + EVERY

    def so_far(self, tally: Tally) -> None:
        """Tell what was done so far, unless that was told just now. Nothing more is told once the broker is away."""
        began = time.monotonic()
        if self._task is None or began < self._next:
            return
        with self._context.transaction() as (conn, now):
            so_far = self.sentence(conn, now, tally)
        self._next = time.monotonic() + max(EVERY, _REST * (time.monotonic() - began))
        if not self._context.wake.tell(*self._task, so_far):
            self._task = None

    def sentence(self, conn: Connection, now: datetime, tally: Tally) -> str:
        """How far it is in words."""
        return progress.sentence(conn, self._scope, tally, now, _speed_of(self._scope))


@lru_cache(maxsize=32)
def _speed_of(scope: claim.Scope) -> Speed:
    """The speed as this process sees it, from one task of a batch to the next."""
    return Speed()
