"""The clock of a running process, turned: at SIGURG it reads by how many seconds from the file that CHAOS_CLOCK names.

Found by the interpreter at its start where this folder is in PYTHONPATH. Forked children have their parent's clock.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import time_machine

_turned: list[time_machine.travel] = []


def _turn(_number: int, _frame: object) -> None:
    while _turned:
        _turned.pop().stop()
    ahead = float(Path(os.environ["CHAOS_CLOCK"]).read_text())
    if ahead:
        travel = time_machine.travel(time.time() + ahead, tick=True)
        travel.start()
        _turned.append(travel)


if "CHAOS_CLOCK" in os.environ:
    signal.signal(signal.SIGURG, _turn)
