"""arq: `arq jobs_arq.Worker`, one job per payment."""

import os

import common
import model_async
from arq.connections import RedisSettings


async def charge(ctx, payment_id):
    await model_async.charge(payment_id)


async def noop(ctx, payment_id):
    pass


class Worker:
    functions = (charge, noop)
    redis_settings = RedisSettings.from_dsn(common.REDIS + "/2")
    max_jobs = int(os.environ.get("BENCH_FANOUT", "100"))
