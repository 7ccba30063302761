"""A supervisor with one child, as `defray up` is one: `supervised.py HOME MODE FILE`; Ctrl-C ends it."""

import os
import signal
import sys
from pathlib import Path

from local.interrupts import watched_interrupts
from local.postgres import say_on_stderr
from local.processes import Supervisor
from local.topology import Process

HOME, MODE, FILE = sys.argv[1:]


def main() -> None:
    child = Process(
        MODE,
        ("python", str(Path(__file__).with_name("child.py")), MODE, FILE),
        stop_rank=1,
        ready_text="ready",
        drain=30,
    )
    supervisor = Supervisor(Path(HOME), os.environ, say_on_stderr)
    with watched_interrupts() as interrupts:
        try:
            supervisor.start(child)
            sys.stdout.write("started\n")
            sys.stdout.flush()
            while True:
                signal.pause()
        except KeyboardInterrupt:
            interrupts.begin_the_end()
            supervisor.stop(interrupts.hurry)


if __name__ == "__main__":
    main()
