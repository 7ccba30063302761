"""The Celery app of the workers, beat and Flower: `celery -A worker.app worker --queues bulk`.

Imported by the `celery` command alone: importing it reads the settings and ends the process where they are wrong.
Tasks are registered by `shared_task`, so that they can be imported anywhere.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from celery import Celery, signals

from rules.errors import DefrayError, SettingsError
from settings import load
from telemetry import logs, traces
from worker import boot, core_dumps, each_task, events

core_dumps.forbid()
try:
    settings = load(os.environ)
    _, _redis_url = settings.servers()
except SettingsError as refusal:
    sys.exit(str(refusal))

_BULK_NICENESS: Final = 10

app = Celery("defray", broker=_redis_url, include=["tasks"], events=events.RedactedEvents)
app.config_from_object("celeryconfig")


def _configure_logs(**_signal: Any) -> None:
    logs.configure(settings.log_level, settings.log_format)


def _check_servers(**_signal: Any) -> None:
    try:
        traces.check(settings.traces_endpoint)
        boot.check_servers(settings)
    except DefrayError as refusal:
        # Celery logs what a signal's receiver raises and goes on; this passes it by.
        sys.exit(str(refusal))


def _let_others_go_first(options: dict[str, Any], **_signal: Any) -> None:
    """Where the cores are scarce, a batch makes nobody wait who is waited for: neither web nor interactive work."""
    if list(options.get("queues") or ()) == ["bulk"]:
        os.nice(_BULK_NICENESS)


def _begin(**_signal: Any) -> None:
    boot.begin(settings)
    traces.begin("worker", settings.traces_endpoint, dict(settings.traces_headers))


def _end(**_signal: Any) -> None:
    boot.end()
    traces.end()


signals.celeryd_init.connect(_configure_logs)  # what is warned of before Celery sets up its logs is a line, too
signals.setup_logging.connect(_configure_logs)
signals.worker_init.connect(_check_servers)
signals.celeryd_init.connect(_let_others_go_first)
signals.worker_process_init.connect(_begin)
signals.worker_process_shutdown.connect(_end)
signals.task_prerun.connect(each_task.begin)
signals.task_postrun.connect(each_task.end)
