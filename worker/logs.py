"""Logs and events without secrets: whatever leaves a process as text passes the redactor (C3)."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Any, Final

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher

from rules.redaction import redact_text

_FORMAT: Final = "%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s"
_SHOWN_BY_FLOWER: Final = ("args", "kwargs", "result", "exception", "traceback")


class RedactingFormatter(logging.Formatter):
    """Redacts the whole line with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, redacted; a task's seconds are rounded, since their digits may look like a card's."""
        if isinstance(record.args, dict) and isinstance(seconds := record.args.get("runtime"), float):
            record.args = {**record.args, "runtime": round(seconds, 3)}
        return redact_text(super().format(record))


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

    dispatcher_cls = "worker.logs:RedactedDispatcher"


def configure(level: int | str) -> None:
    """Send every log line, warning and uncaught exception of this process to standard error, redacted."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(_FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    logging.getLogger("defray").critical("ended by an error", exc_info=(kind, error, traceback))
