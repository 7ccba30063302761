"""Flower with Defray's settings, from any folder: `python -m worker.flower --port=5555`."""

from __future__ import annotations

import sys
from pathlib import Path

from worker import extras

if lacking := extras.lacking("flower", "flower"):
    sys.exit(lacking)

from worker.app import app

if __name__ == "__main__":
    app.start(["flower", f"--conf={Path(__file__).with_name('flower_settings.py')}", *sys.argv[1:]])
