"""The per-payment ORM job for asyncio workers: SQLAlchemy's async session on psycopg, aiohttp."""

import functools
import os

import aiohttp
import common
import model
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

POOL = int(os.environ.get("BENCH_DB_POOL", "20"))
FANOUT = int(os.environ.get("BENCH_FANOUT", "100"))


@functools.cache
def engine():
    return create_async_engine(common.SA_URL, pool_size=POOL, max_overflow=0, pool_timeout=60)


@functools.cache
def http():
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=FANOUT))


async def charge(payment_id):
    async with AsyncSession(engine()) as session:
        started = await session.run_sync(model.start_orm, payment_id)
    if started:
        attempt_id, data = started
        async with http().post(common.PAY_URL, data=data) as response:
            reply = await response.text()
        async with AsyncSession(engine()) as session:
            await session.run_sync(model.finish_orm, payment_id, attempt_id, reply)
