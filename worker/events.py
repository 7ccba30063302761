"""Events without secrets: whatever Flower shows of a task passes the redactor (C3)."""

from __future__ import annotations

from typing import Any, Final

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher

from rules.redaction import redact_text

_SHOWN_BY_FLOWER: Final = ("args", "kwargs", "result", "exception", "traceback")


class RedactedDispatcher(EventDispatcher):  # type: ignore[misc]
    """Redacts what Flower shows of a task."""

    def send(self, type: str, *positional: Any, **fields: Any) -> Any:  # noqa: A002
        """Send an event, its texts redacted."""
        for name in _SHOWN_BY_FLOWER:
            if isinstance(fields.get(name), str):
                fields[name] = redact_text(fields[name])
        return super().send(type, *positional, **fields)


class RedactedEvents(Events):  # type: ignore[misc]
    """Lets an app send its events by RedactedDispatcher."""

    dispatcher_cls = "worker.events:RedactedDispatcher"
