"""A child for the supervisor: `child.py MODE FILE`, says `ready`, and writes to FILE what became of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

MODE, FILE = sys.argv[1], Path(sys.argv[2])


def note(text: str) -> None:
    with FILE.open("a") as file:
        file.write(f"{text}\n")


def drain(_number: int, _frame: FrameType | None) -> None:
    note(f"{MODE} asked")
    if MODE == "slow":
        time.sleep(60)
    time.sleep(0.2)
    note(f"{MODE} drained")
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN if MODE == "stubborn" else drain)
    if MODE == "fails":
        sys.exit("no such table: payments")
    if MODE == "parent":
        grandchild = subprocess.Popen([sys.executable, __file__, "stubborn", str(FILE)])
        note(str(grandchild.pid))
    if MODE == "environment":
        note("\n".join(f"{name}={value}" for name, value in sorted(os.environ.items())))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        signal.pause()
