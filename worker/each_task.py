"""Around each task: its lines name it and what it is about, and it is a part of the trace that its message names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celery import states

from telemetry import logs, traces

_IDS: Final = ("batch", "payment")


def begin(task_id: str, task: Any, kwargs: Mapping[str, object], **_signal: object) -> None:
    """Before it runs."""
    ids = {name: found for name in _IDS if isinstance(found := kwargs.get(name), int)}
    logs.about(task=task.name, task_id=task_id, **ids)
    span = traces.enter(task.name, "consumer", traces.parse(task.request.get("traceparent")))
    span.say(task_id=task_id, **ids)


def end(retval: object, state: str, **_signal: object) -> None:
    """After it ran. What the schedule began and found nothing to do is no trace."""
    if span := traces.current():
        if state == states.FAILURE:
            span.failed(type(retval).__name__)
        elif isinstance(retval, str):
            span.say(told=retval)
        if span.goes_on or span.led_on or state == states.FAILURE:
            span.end()
    traces.leave()
    logs.about_nothing()
