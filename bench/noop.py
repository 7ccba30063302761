"""Bare no-op tasks: publish N, then drain N.  `noop.py CONFIG [N]`, or `noop.py list`."""

import asyncio
import functools
import subprocess
import sys
import time

import common
import psycopg
import redis
from charge import ARQ, BIN, celery

R = redis.Redis.from_url


@functools.cache
def connection(database):
    return R(common.REDIS + database)


def celery_send(n):
    import jobs_celery

    for i in range(n):
        jobs_celery.noop.delay(i)


def celery_one_connection(n):
    import jobs_celery

    with jobs_celery.app.producer_pool.acquire(block=True) as producer:
        for i in range(n):
            jobs_celery.noop.apply_async((i,), producer=producer)


def celery_left():
    r = connection("/0")
    return r.llen("celery") + r.hlen("unacked")


def dramatiq_send(n):
    import jobs_dramatiq

    for i in range(n):
        jobs_dramatiq.noop.send(i)


def dramatiq_left():
    r = connection("/1")
    return r.hlen("dramatiq:default.msgs")


def procrastinate_send(n):
    import jobs_procrastinate

    async def main():
        async with jobs_procrastinate.app.open_async():
            await jobs_procrastinate.noop.batch_defer_async(*({"payment_id": i} for i in range(n)))

    asyncio.run(main())


def procrastinate_left():
    with psycopg.connect(common.DSN) as db:
        query = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        return db.execute(query).fetchone()[0]


def arq_send(n):
    import arq
    import jobs_arq

    async def main():
        pool = await arq.create_pool(jobs_arq.Worker.redis_settings)
        for start in range(0, n, 100):
            await asyncio.gather(*(pool.enqueue_job("noop", i) for i in range(start, min(start + 100, n))))
        await pool.aclose()

    asyncio.run(main())


def arq_left():
    r = connection("/2")
    return r.zcard("arq:queue")


CONFIGS = {
    "celery-prefork1": (celery("prefork", 1), celery_send, celery_left),
    "celery-prefork2": (celery("prefork", 2), celery_one_connection, celery_left),
    "celery-prefork2-x100": (celery("prefork", 2, "--prefetch-multiplier", 100), celery_send, celery_left),
    "celery-threads50": (celery("threads", 50), celery_send, celery_left),
    "celery-gevent200": (celery("gevent", 200), celery_send, celery_left),
    "celery-solo": (celery("solo", 1), celery_send, celery_left),
    "dramatiq-p1t50": ([BIN / "dramatiq", "-p", 1, "-t", 50, "jobs_dramatiq"], dramatiq_send, dramatiq_left),
    "dramatiq-p2t8": ([BIN / "dramatiq", "-p", 2, "-t", 8, "jobs_dramatiq"], dramatiq_send, dramatiq_left),
    "procrastinate-c100": (
        [BIN / "procrastinate", "--app", "jobs_procrastinate.app", "worker", "--concurrency", 100],
        procrastinate_send,
        procrastinate_left,
    ),
    "arq-c100": ([ARQ, "jobs_arq.Worker"], arq_send, arq_left),
}


def run(name, n):
    command, send, left = CONFIGS[name]
    R(common.REDIS).flushall()
    if name.startswith("procrastinate"):
        with psycopg.connect(common.DSN, autocommit=True) as db:
            db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        schema = [BIN / "procrastinate", "--app", "jobs_procrastinate.app", "schema", "--apply"]
        subprocess.run(schema, check=True, cwd=common.HERE, capture_output=True)
    send(1)  # connect
    R(common.REDIS).flushall()
    cpu, start = time.process_time(), time.perf_counter()
    send(n)
    publish, cpu = time.perf_counter() - start, time.process_time() - cpu
    count = left()
    worker = common.spawn(command)
    try:
        while (now := left()) == count:
            time.sleep(0.002)
        pids = {"worker": worker.pid, **{k: common.pid_of(k) for k in ("postgres", "redis")}}
        before = {k: common.cpu(v) for k, v in pids.items()}
        start, until = time.perf_counter(), time.time() + 240
        while left():
            time.sleep(0.01)
            assert time.time() < until, left()
            assert worker.poll() is None, left()
        seconds = time.perf_counter() - start
        used = {k: common.cpu(v) - before[k] for k, v in pids.items()}
        memory = common.memory(worker.pid)
    finally:
        common.stop(worker)
    common.emit(
        bench="noop", config=name, n=n, publish_per_s=round(n / publish), publish_cpu_us=round(cpu / n * 1e6),
        drain_per_s=round(now / seconds), drain_cpu_us={k: round(v / now * 1e6) for k, v in used.items()},
        pss_mib=memory.pss, peak_rss_mib=memory.peak,
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "list":
        print(*CONFIGS, sep="\n")
    else:
        run(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5000)
