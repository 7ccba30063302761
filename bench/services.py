"""Run a command with the servers of the benchmarks beside it: `services.py COMMAND ...`.

Defray's own embedded PostgreSQL and Valkey (folder `local`: fsync on, loopback only) and the cheap gateway, in a home
of their own (BENCH_HOME). The command finds them by variables, as `common` reads them; they stop when it ends.
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import psutil

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent
sys.path.append(str(PROJECT))

from local.postgres import Postgres  # noqa: E402
from local.valkey import Valkey  # noqa: E402

HOME = pathlib.Path(os.environ.get("BENCH_HOME", HERE / "out" / "home"))
NAMES = {"postgres": "postgres", "valkey-server": "redis"}


def start_gateway():
    """The gateway on a free port: (process, address)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, HERE / "gateway.py", str(port)])
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the gateway did not start") from None
            time.sleep(0.05)
        else:
            return process, f"http://127.0.0.1:{port}"


def main(command):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    HOME.mkdir(parents=True, exist_ok=True)
    postgres, valkey, gateway = Postgres(HOME), Valkey(HOME), None
    try:
        postgres.start()
        valkey.start()
        gateway, address = start_gateway()
        pids = {NAMES[p.name()]: p.pid for p in psutil.Process().children() if p.name() in NAMES}
        environment = {
            "BENCH_HOME": HOME,
            "BENCH_SA_URL": postgres.create_database("bench"),
            "BENCH_SUPERUSER": postgres.superuser_url,
            "BENCH_REDIS": valkey.url.removesuffix("/0"),
            "BENCH_GATEWAY": address,
            "BENCH_PIDS": " ".join(f"{name}={pid}" for name, pid in {**pids, "gateway": gateway.pid}.items()),
            "PYTHONPATH": os.pathsep.join([str(HERE), str(PROJECT)]),
        }
        return subprocess.call(command, env={**os.environ, **{k: str(v) for k, v in environment.items()}})
    finally:
        if gateway is not None:
            gateway.terminate()
            gateway.wait()
        valkey.stop()
        postgres.stop()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
