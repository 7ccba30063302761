"""All that `make bench` measures, one process after another: `services.py python run.py [--full]`.

Every figure is taken several times, in rounds, so that what the machine does meanwhile falls on all alike. What is
printed is also appended to BENCH_OUT. Exit code 1 where a run failed.
"""

import argparse
import os
import platform
import subprocess
import sys
import time

import common
import psycopg

# (script, arguments, payments measured in one worker: BENCH_REPEAT), by latency where there is one
PEERS = {
    "naive-prefork2": 200,
    "naive-prefork8": 500,
    "prefork2-sql": 300,
    "threads50-session": 600,
    "gevent200-session": 600,
    "dramatiq-p2t50": 600,
    "procrastinate-c100": 600,
}
ALLOCATE = ("Defray: post", "Defray: one statement", "one statement", "python tuples, bulk unnest", "orm loop")


def charge(config, n, latency, repeat=1):
    return ["charge.py", config, str(n), str(latency)], {"BENCH_REPEAT": repeat, "BENCH_WARM": min(n, 300)}


def allocate(n, others, how):
    return ["allocate.py", str(n), str(others), how], {}


def plan(full):
    size = 4 if full else 1
    for latency in (50, 0):
        for config, n in PEERS.items():
            if latency or config in ("naive-prefork2", "dramatiq-p2t50"):
                yield charge(config, n * (2 if full else 1), latency)
        yield charge("chunk100-adapter-p2", 3000 * size, latency)
        yield charge("defray-p2", 2500 * size, latency)
    yield charge("defray-p2-w250", 2500 * size, 50)
    yield charge("defray-p2-one-customer", 2500 * size, 50)
    yield charge("defray-checks-p2", 5000 * size, 0)
    yield charge("defray-checks-p2-one-customer", 5000 * size, 0)
    for n in (10, 100, 1_000, 10_000, *([100_000] if full else [])):
        for how in ALLOCATE:
            if n < 100_000 or how != "orm loop":
                yield allocate(n, 20_000, how)
    yield ["http_clients.py", str(2000 * size), "50", "100"], {}


def memory(full):
    """What grows with the size of a batch; once."""
    return [charge("defray-p2", n, 50) for n in (1_000, 10_000, *([100_000] if full else []))]


def run(step, failed):
    command, variables = step
    script, *arguments = command
    code = subprocess.call(
        [common.PY, common.HERE / script, *arguments],
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
    )
    if code:
        failed.append(" ".join(command))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="larger sizes, up to 100,000 payments (about an hour)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken")
    parser.add_argument("--only", default="", help="only runs whose words contain this")
    asked = parser.parse_args()
    with psycopg.connect(common.DSN) as db:
        version = db.execute("SHOW server_version").fetchone()[0]
    cores = len(os.sched_getaffinity(0))
    common.emit(
        bench="machine", cores=cores, python=platform.python_version(), postgres=version, full=asked.full,
        at=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )  # fmt: skip
    failed = []
    for step in [*(s for _ in range(asked.rounds) for s in plan(asked.full)), *memory(asked.full)]:
        if asked.only in " ".join(step[0]):
            run(step, failed)
    if failed:
        sys.exit("These runs failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
