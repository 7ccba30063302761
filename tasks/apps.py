"""Apps are told at once: where endpoints exist, a task that recorded something wakes `defray.webhook`, once a message.

Without an endpoint this costs one question of a process in five seconds, and no message.
"""

from __future__ import annotations

import time
from typing import Any, Final

from celery.signals import task_success

from books import webhooks
from tasks.context import Context, current

TELLING: Final = frozenset(
    f"defray.{name}" for name in ("charge", "post", "inquire", "void", "confirm", "refund", "watch", "notice", "expiry")
)
"""Tasks whose outcomes apps are told of."""
KNOWN_FOR: Final = 5.0
"""Seconds for which it is known whether any endpoint exists: a first one is told by the sweeper meanwhile."""


class Listening:
    """Whether any app wants to be told, as it was a moment ago."""

    def __init__(self) -> None:
        self._known_until = 0.0
        self._any = False

    def look(self, context: Context) -> bool:
        """Look, unless it was looked a moment ago."""
        if time.monotonic() >= self._known_until:
            with context.engine.connect() as conn:
                self._any = webhooks.listening(conn)
            self._known_until = time.monotonic() + KNOWN_FOR
        return self._any


_listening = Listening()


@task_success.connect
def after(sender: Any = None, **_: object) -> None:
    """Wake who tells apps, after a task whose outcomes they are told of."""
    if getattr(sender, "name", "") in TELLING:
        wake(current(), _listening)


def wake(context: Context, listening: Listening) -> None:
    """Wake who tells apps, if there are any."""
    if listening.look(context):
        context.wake.webhooks()
