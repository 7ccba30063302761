"""All that `make bench` measures, one process after another: `services.py python run.py [--full]`.

Charging and posting are measured three times by the same workers, and all is gone through as often as there are rounds.
What is printed is also appended to BENCH_OUT. Exit code 1 where a run failed.
"""

import argparse
import os
import platform
import subprocess
import sys
import time

import common
import psycopg

PEERS = {
    "naive-prefork2": 100,
    "naive-prefork8": 300,
    "prefork2-sql": 100,
    "threads50-session": 300,
    "gevent200-session": 300,
    "dramatiq-p2t50": 300,
    "procrastinate-c100": 300,
}
"""How many payments each is given: some seconds' worth."""


def charge(config, n, latency, repeat=3):
    return ["charge.py", config, str(n), str(latency)], {"BENCH_REPEAT": repeat, "BENCH_WARM": min(n, 300)}


def allocate(n, how):
    return ["allocate.py", str(n), "20000", how], {}


def plan(full):
    size = 4 if full else 1
    for config, n in PEERS.items():
        yield charge(config, n * size, 50)
    for config in ("naive-prefork2", "dramatiq-p2t50"):
        yield charge(config, PEERS[config] * size, 0)
    for latency in (50, 0):
        yield charge("chunk100-adapter-p2", 2_500 * size, latency)
        yield charge("defray-p2", 2_500 * size, latency)
    for config in ("defray-p2-w100", "defray-p2-w500", "defray-p2-one-customer"):
        yield charge(config, 2_500 * size, 50)
    for gateway in ("payflow", "plugnpay", "stripe", "paypal", "authorizenet"):
        yield charge(f"defray-p2-{gateway}", 1_000 * size, 50)
    yield ["messages.py", str(1_000 * size)], {}
    for config in ("defray-checks-p2", "defray-checks-p2-one-customer"):
        yield charge(config, 5_000 * size, 0)
    for n in (10, 100, 1_000, 10_000, *([100_000] if full else [])):
        for how in ("Defray: post", "Defray: one statement", "one statement"):
            yield allocate(n, how)
    for how in ("python tuples, bulk unnest", "orm loop"):
        yield allocate(10_000, how)
    yield ["http_clients.py", str(1_000 * size), "50", "100"], {}


def once(full):
    """What grows with the size of a batch, and what people wait for."""
    sizes = (1_000, 10_000, *([100_000] if full else []))
    return [
        *(charge("defray-p2", n, 50, repeat=1) for n in sizes),
        charge("defray-p2", 2_500, 500, repeat=1),
        charge("defray-p2", 2_500, "50t", repeat=1),
        (["limit.py", "2500", "50"], {}),
        (["startup.py"], {}),
        (["find.py"], {}),
        *api(full),
        *([charge("defray-checks-p2", 100_000, 0, repeat=1)] if full else []),
        *([charge("defray-checks-p2-one-customer", 10_000, 0, repeat=1), (["growth.py"], {})] if full else []),
    ]


def api(full):
    """What upstream apps wait for."""
    size = 100_000 if full else 40_000  # several seconds of two workers
    return [(["api.py", "calls", "10" if full else "3"], {}), (["api.py", "beside", str(size), "50", "50"], {})]


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
    parser.add_argument("--rounds", type=int, default=1, help="how often all is gone through (3 with --full)")
    parser.add_argument("--only", default="", help="only runs whose words contain this")
    asked = parser.parse_args()
    rounds = max(asked.rounds, 3 if asked.full else 1)
    with psycopg.connect(common.DSN) as db:
        version = db.execute("SHOW server_version").fetchone()[0]
    cores = len(os.sched_getaffinity(0))
    common.emit(
        bench="machine", cores=cores, python=platform.python_version(), postgres=version, full=asked.full,
        at=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )  # fmt: skip
    failed = []
    for step in [*(s for _ in range(rounds) for s in plan(asked.full)), *once(asked.full)]:
        if asked.only in " ".join(step[0]):
            run(step, failed)
    if failed:
        sys.exit("These runs failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
