"""Charge N recorded payments under one design and measure it.

`charge.py CONFIG [N] [LATENCY_MS] [OTHERS]`, or `charge.py list`.
"""

import asyncio
import os
import pathlib
import subprocess
import sys
import time

import common
import defray
import psycopg
import redis

BIN = pathlib.Path(common.PY).parent
ARQ = os.environ.get("BENCH_ARQ", BIN / "arq")  # arq's newest pins redis<6, Celery 5.7 takes 8: it needs its own venv
WARM = int(os.environ.get("BENCH_WARM", "300"))


def celery(pool, concurrency, *more):
    start = [common.PY, "-m", "celery", "-A", "jobs_celery", "worker", "-l", "WARNING"]
    return [*start, "-P", pool, "-c", concurrency, *more]


def per_payment(task):
    def send(first, last):
        import jobs_celery

        job = getattr(jobs_celery, task)
        for i in range(first, last + 1):
            job.delay(i)

    return send


def chunks(via, size):
    def send(first, last):
        import jobs_celery

        for start in range(first, last + 1, size):
            jobs_celery.charge_chunk.delay(start, min(start + size - 1, last), via)

    return send


def streams(via, processes):
    def send(first, last):
        import jobs_celery

        size = -(-(last - first + 1) // processes)
        for start in range(first, last + 1, size):
            jobs_celery.charge_stream.delay(start, min(start + size - 1, last), via, 100)

    return send


def dramatiq_send(first, last):
    import jobs_dramatiq

    for i in range(first, last + 1):
        jobs_dramatiq.charge.send(i)


def procrastinate_send(first, last):
    import jobs_procrastinate

    async def main():
        async with jobs_procrastinate.app.open_async():
            await jobs_procrastinate.charge.batch_defer_async(*({"payment_id": i} for i in range(first, last + 1)))

    asyncio.run(main())


def arq_send(first, last):
    import arq
    import jobs_arq

    async def main():
        pool = await arq.create_pool(jobs_arq.Worker.redis_settings)
        for start in range(first, last + 1, 100):
            ids = range(start, min(start + 100, last + 1))
            await asyncio.gather(*(pool.enqueue_job("charge", i) for i in ids))
        await pool.aclose()

    asyncio.run(main())


# name: (worker command, how to enqueue, environment)
CONFIGS = {
    "naive-prefork2": (celery("prefork", 2), per_payment("charge_orm_plain"), {}),
    "naive-prefork8": (celery("prefork", 8), per_payment("charge_orm_plain"), {}),
    "threads50-session": (celery("threads", 50), per_payment("charge_orm_session"), {"BENCH_DB_POOL": 50}),
    "gevent200-session": (celery("gevent", 200), per_payment("charge_orm_session"), {"BENCH_DB_POOL": 40}),
    "threads50-sql": (celery("threads", 50), per_payment("charge_sql"), {"BENCH_DB_POOL": 20}),
    "gevent200-sql": (celery("gevent", 200), per_payment("charge_sql"), {"BENCH_DB_POOL": 40}),
    "prefork2-sql": (celery("prefork", 2), per_payment("charge_sql"), {}),
    "dramatiq-p1t50": ([BIN / "dramatiq", "-p", 1, "-t", 50, "jobs_dramatiq"], dramatiq_send, {"BENCH_DB_POOL": 50}),
    "dramatiq-p2t8": ([BIN / "dramatiq", "-p", 2, "-t", 8, "jobs_dramatiq"], dramatiq_send, {"BENCH_DB_POOL": 8}),
    "dramatiq-p2t50": ([BIN / "dramatiq", "-p", 2, "-t", 50, "jobs_dramatiq"], dramatiq_send, {"BENCH_DB_POOL": 50}),
    "procrastinate-c100": (
        [BIN / "procrastinate", "--app", "jobs_procrastinate.app", "worker", "--concurrency", 100],
        procrastinate_send,
        {},
    ),
    "arq-c100": ([ARQ, "jobs_arq.Worker"], arq_send, {}),
}
for via in ("requests", "adapter", "urllib3", "httpclient", "aiohttp", "curl"):
    for processes in (1, 2):
        for size in (100, 500):
            CONFIGS[f"chunk{size}-{via}-p{processes}"] = (
                celery("prefork", processes),
                chunks(via, size),
                {"BENCH_FANOUT": size, "BENCH_PREFETCH": 1},
            )
for via in ("requests", "adapter", "urllib3", "curl"):
    for processes in (1, 2):
        for window in (100, 500):
            CONFIGS[f"stream{window}-{via}-p{processes}"] = (
                celery("prefork", processes),
                streams(via, processes),
                {"BENCH_FANOUT": window // processes, "BENCH_PREFETCH": 1},
            )
CONFIGS["chunk100-gevent-c1"] = (celery("gevent", 1), chunks("gevent", 100), {"BENCH_FANOUT": 100})
CONFIGS["chunk100-gevent-c4"] = (celery("gevent", 4), chunks("gevent", 100), {"BENCH_FANOUT": 100})
CONFIGS["chunk100-requests-t4"] = (celery("threads", 4), chunks("requests", 100), {"BENCH_FANOUT": 200})
CONFIGS["chunk100-curl-t4"] = (celery("threads", 4), chunks("curl", 100), {"BENCH_FANOUT": 100})


POLLS = [0]
REPEAT = int(os.environ.get("BENCH_REPEAT", "1"))


def paid(db, first, last):
    POLLS[0] += 1
    return db.execute(
        "SELECT count(*) FROM payments WHERE batch_id = 1 AND state = 'paid' AND id BETWEEN %s AND %s", (first, last)
    ).fetchone()[0]


def wait_paid(db, first, last, proc, limit):
    until = time.time() + limit
    while (count := paid(db, first, last)) < last - first + 1:
        if time.time() > until or proc.poll() is not None:
            log = (common.HOME / "worker.log").read_text()[-3000:]
            raise SystemExit(f"{count} of {last - first + 1} paid in {limit} s\n{log}")
        time.sleep(0.1)


def run(name, n, latency, others):
    """REPEAT measured slices of n payments, one after another, under one worker (one row each)."""
    command, send, env = CONFIGS[name]
    total = n * REPEAT + WARM
    redis.Redis.from_url(common.REDIS).flushall()
    common.seed(total, others=others)
    if name.startswith("procrastinate"):
        with psycopg.connect(common.DSN, autocommit=True) as db:
            db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        common.seed(total, others=others)
        subprocess.run(
            [BIN / "procrastinate", "--app", "jobs_procrastinate.app", "schema", "--apply"],
            check=True, cwd=common.HERE, capture_output=True,
        )  # fmt: skip
    env = {k: str(v) for k, v in env.items()}
    time.sleep(0.3)
    counters = common.pg_counters()  # before the warm-up: backends report their counts late (at most once a second)
    worker = common.spawn(command, BENCH_LATENCY_MS=latency, **env)
    db = psycopg.connect(common.DSN, autocommit=True)
    rows = []
    try:
        # Warm up on the last WARM payments: imports, connections, caches.
        send(n * REPEAT + 1, total)
        wait_paid(db, n * REPEAT + 1, total, worker, 120)
        services = {k: common.pid_of(k) for k in ("postgres", "redis", "gateway")}
        pids = {"worker": worker.pid, **services}
        for k in range(REPEAT):
            a, b = k * n + 1, (k + 1) * n
            time.sleep(0.5)
            before = {k: common.cpu(v) for k, v in pids.items()}
            own, start = time.process_time(), time.time()
            send(a, b)
            enqueued = time.time() - start
            own = time.process_time() - own
            wait_paid(db, a, b, worker, 280)
            after = {k: common.cpu(v) for k, v in pids.items()}
            last = db.execute(
                "SELECT extract(epoch FROM max(settled_at))::float8 FROM payments WHERE id BETWEEN %s AND %s", (a, b)
            )
            seconds = last.fetchone()[0] - start
            rows.append((seconds, enqueued, {"enqueue": own, **{k: after[k] - before[k] for k in pids}}))
        memory = common.memory(worker.pid)
    finally:
        common.stop(worker)
        db.close()
    time.sleep(0.3)
    commits, syncs, wal = (b - a for a, b in zip(counters, common.pg_counters(), strict=True))
    common.check(total)
    for seconds, enqueued, used in rows:
        common.emit(
            bench="charge", config=name, n=n, latency_ms=common.told(latency), others=others, seconds=round(seconds, 3),
            per_s=round(n / seconds, 1), enqueue_s=round(enqueued, 3),
            cpu_us={k: round(v / n * 1e6) for k, v in used.items()}, cpu_us_all=round(sum(used.values()) / n * 1e6),
            commits_per=round((commits - POLLS[0]) / total, 3), syncs_per=round(syncs / total, 3),
            wal_bytes_per=round(int(wal) / total), pss_mib=memory.pss, peak_rss_mib=memory.peak,
            largest_rss_mib=memory.largest, repeat=REPEAT,
        )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "list":
        print(*CONFIGS, *defray.CONFIGS, sep="\n")
    else:
        name, n, latency, others = [*sys.argv[1:], *[None, 5000, 0, 0][len(sys.argv) - 1 :]]
        if name in defray.CONFIGS:
            defray.run(name, int(n), str(latency), REPEAT, WARM, **defray.CONFIGS[name])
        else:
            run(name, int(n), str(latency), int(others))
