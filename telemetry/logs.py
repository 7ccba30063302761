"""Log lines: one an event, with ids in fields, for people or as JSON; whatever leaves is redacted (C3).

Everybody logs by the standard library, `extra` holding the fields; structlog formats the lines of all of them, of
Celery, uvicorn and SQLAlchemy, too. A line is one line: what a message holds can begin no other.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from structlog.contextvars import bind_contextvars, clear_contextvars, merge_contextvars
from structlog.processors import format_exc_info
from structlog.stdlib import ProcessorFormatter

from rules.cards import card_number_spans
from rules.redaction import redact_text
from telemetry import fields, traces
from telemetry.fields import Form

Line = MutableMapping[str, Any]

_NEVER_REDACTED: Final = ("timestamp", *fields.TRACE)
"""Made here, or checked to be hexadecimal digits: a run of them may look like a card's number by chance."""

_TOLD_IN_WORDS: Final = ("task", "task_id", "seconds", "method", "path", "status", "client", "user")
"""What Celery and uvicorn say in their words, too: people need it once."""

_QUERY = re.compile(r"\?\S*")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrtvf])|([\\\"']))")
_ESCAPES_IN_ESCAPES: Final = 4
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def configure(level: int | str, form: Form = "people") -> None:
    """Send every log line, warning and uncaught error of this process to standard error, redacted."""
    handler = _Handler()
    handler.setFormatter(formatter(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_of_thread


def formatter(form: Form) -> logging.Formatter:
    """What turns a record into a line of that form."""
    return ProcessorFormatter(
        processors=[
            merge_contextvars,
            format_exc_info,
            _facts,
            _clean,
            _as_json if form == "json" else _for_people,
        ],
        pass_foreign_args=True,
    )


def about(**given: object) -> None:
    """Let all lines of this task say so, until `about_nothing`."""
    bind_contextvars(**given)


def about_nothing() -> None:
    """Forget what `about` said."""
    clear_contextvars()


class _Handler(logging.StreamHandler[Any]):
    """Where a line cannot be written, says that and no more: the standard library would print its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say where the line came from."""
        kind = sys.exc_info()[0]
        place = f"{record.name}, line {record.lineno}"
        self.stream.write(json.dumps({"event": f"a log line of {place} cannot be written: {kind and kind.__name__}"}))
        self.stream.write(self.terminator)


def _facts(_logger: object, _method: str, said: Line) -> Line:
    """The line's fields, in their order, out of the record and what was bound."""
    record: logging.LogRecord = said["_record"]
    arguments = said.get("positional_args")
    line = {
        "timestamp": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "process": record.processName,
        "event": said["event"],
    }
    if span := traces.current():
        line |= {"trace_id": span.trace_id, "span_id": span.span_id}
    given: dict[str, Any] = {**said, **vars(record)}
    if of_celery := _of_celery(arguments):
        line["event"] = str(record.msg) % of_celery
        given |= of_celery
    if record.name == "uvicorn.access":
        line["event"] = _QUERY.sub("?...", said["event"])
        given |= _of_request(arguments)
    return line | {name: given[name] for name in (*fields.GIVEN, *fields.LAST) if given.get(name) is not None}


def _of_celery(arguments: object) -> dict[str, Any]:
    """Celery hands over a task's facts as its message's arguments; the digits of its seconds may look like a card's."""
    if not isinstance(arguments, Mapping) or not {"id", "name"} <= arguments.keys():
        return {}
    seconds = {"runtime": round(ran, 3), "seconds": round(ran, 3)} if (ran := arguments.get("runtime")) else {}
    return {**arguments, **seconds, "task": arguments["name"], "task_id": arguments["id"]}


def _of_request(arguments: object) -> dict[str, Any]:
    """uvicorn hands over a request's facts likewise; its query may hold anything, and is left out."""
    if not isinstance(arguments, tuple) or len(arguments) != 5:
        return {}
    client, method, address, _, status = arguments
    return {"client": client, "method": method, "path": str(address).partition("?")[0], "status": status}


def _clean(_logger: object, _method: str, line: Line) -> Line:
    return {name: value if name in _NEVER_REDACTED else _cleaned(value) for name, value in line.items()}


def _cleaned(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int():
            return value if (text := str(value)) == (shown := redact_text(text)) else shown
        case float():
            return value if (text := str(value := round(value, 3))) == (shown := redact_text(text)) else shown
        case Mapping():
            return {str(_cleaned(key)): _cleaned(item) for key, item in value.items()}
        case _:
            return redacted(str(value))


def redacted(text: str) -> str:
    """The text, redacted; where a card's number hides behind escapes or line breaks, as a text without those."""
    shown = redact_text(text)
    if "\\" in shown or not shown.isprintable():
        plain = shown
        for _ in range(_ESCAPES_IN_ESCAPES):
            plain = _ESCAPE.sub(_unescaped, plain)
            smooth = " ".join(plain.split())
            if any(card_number_spans(smooth)):
                return redact_text(smooth)
    return shown


def _unescaped(escape: re.Match[str]) -> str:
    number, short, _, character = escape.groups()
    return chr(int(number or short, 16)) if number or short else character or " "


def _as_json(_logger: object, _method: str, line: Line) -> str:
    return json.dumps(line)  # beyond ASCII all is escaped, every kind of line break, too


def _for_people(_logger: object, _method: str, line: Line) -> str:
    """The fields behind the words; a traceback, and whatever else has several lines, is set in.

    What a terminal would obey is written as an escape.
    """
    words = str(line["event"])
    named = [
        f"{name}={line[name]}"
        for name in fields.GIVEN
        if name in line and not (name in _TOLD_IN_WORDS and str(line[name]) in words)
    ]
    begin = f"{line['timestamp']} {line['level'].upper()} {line['process']} {line['logger']}: {words}"
    head = redacted(" ".join([begin, *named]))
    ids = f" trace_id={line['trace_id']}" if "trace_id" in line else ""
    said = "\n".join([head + ids, *(line[name] for name in fields.LAST if name in line)])
    return _BREAKS.sub("\n    ", _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", said))


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    logging.getLogger("defray").critical("ended by an error", exc_info=(kind, error, traceback))


def _log_uncaught_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        error = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        logging.getLogger("defray").critical("a thread ended by an error", exc_info=error)
