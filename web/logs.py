"""Logs of the web process: every line redacted, the access log's addresses, too (C3)."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Final

from rules.redaction import redact_text

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RedactingFormatter(logging.Formatter):
    """Redacts the whole line with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, redacted."""
        return redact_text(super().format(record))


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
