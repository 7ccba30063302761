"""`defray up` with a main job that does nothing: `everything.py HOME`."""

import os
import sys
from pathlib import Path

from local import up
from local.errors import LocalError
from local.up import Running


def job(running: Running) -> bool:
    running.check()
    sys.stdout.write("the job\n")
    sys.stdout.flush()
    return True


if __name__ == "__main__":
    try:
        sys.exit(up.run(Path(sys.argv[1]), os.environ, job, once=False))
    except LocalError as error:
        sys.exit(str(error))
