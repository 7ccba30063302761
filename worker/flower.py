"""Flower with Defray's settings, from any folder: `python -m worker.flower --port=5555`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from worker import extras

if lacking := extras.lacking("flower", "flower"):
    sys.exit(lacking)

from telemetry import logs
from worker import flower_options
from worker.app import app, settings

if __name__ == "__main__":
    os.umask(0o077)  # what it keeps is for nobody else
    logs.configure(settings.log_level, settings.log_format)  # before Flower does, which leaves it then
    os.environ.update(flower_options.environment(settings))
    app.conf.include = ()  # it shows tasks and runs none
    app.conf.timezone = settings.business_time_zone.key
    app.start(["flower", f"--conf={Path(__file__).with_name('flower_settings.py')}", *sys.argv[1:]])
