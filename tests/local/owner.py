"""A process that owns an embedded server and does not end by itself: `owner.py postgres|valkey HOME`."""

import signal
import sys
from pathlib import Path

from local.postgres import Postgres
from local.valkey import Valkey

SERVERS: dict[str, type[Postgres | Valkey]] = {"postgres": Postgres, "valkey": Valkey}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](Path(sys.argv[2])).start()
    sys.stdout.write("started\n")
    sys.stdout.flush()
    signal.pause()
