"""The fields of a log line. Nothing else that somebody hands to a logger is written: an allow-list (C3)."""

from __future__ import annotations

from typing import Final, Literal

Form = Literal["people", "json"]
"""How lines are written."""

ALWAYS: Final = {
    "timestamp": "when, in UTC",
    "level": "debug, info, warning, error or critical",
    "logger": "which part says it: the module's name",
    "process": "which process says it: a worker's parent and its children have names of their own",
    "event": "what happened, in words",
}
"""What every line has."""

TRACE: Final = {
    "trace_id": "which request it belongs to, or which run of the schedule; the same in `X-Request-Id` and in traces",
    "span_id": "which part of that",
}
"""By what lines of several processes belong together."""

GIVEN: Final = {
    "payment": "the payment's id, as in `defray explain PAYMENT`",
    "batch": "the batch's id",
    "transaction": "our id of the gateway transaction",
    "gateway": "the gateway's name",
    "operation": "what was asked of the gateway: sale, void, refund, an inquiry",
    "outcome": "what its answer proved: approved, declined, failed, unknown, ...",
    "code": "its code for that",
    "step": "what is due next: post, charge, void, refund, ...",
    "counts": "how many took which turn, by its name",
    "reason": "why, in words",
    "user": "who acted, as the books name them",
    "task": "the task's name",
    "task_id": "the id of its message, as in Flower",
    "seconds": "how long it took",
    "method": "of a request",
    "path": "of a request, without its query",
    "status": "of the answer to a request",
    "client": "where a request came from",
}
"""What a line may have besides."""

LAST: Final = {"exception": "the traceback, without values of variables"}
"""What only the line of an error has."""

ALL: Final = {**ALWAYS, **TRACE, **GIVEN, **LAST}


def table() -> str:
    """All of them, as docs/operations.md shows them."""
    rows = [f"| `{name}` | {says} |" for name, says in ALL.items()]
    return "\n".join(["| field | what it says |", "| --- | --- |", *rows])
