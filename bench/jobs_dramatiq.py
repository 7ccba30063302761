"""dramatiq: `dramatiq -p P -t T jobs_dramatiq`, one actor call per payment."""

import os

import common
import dramatiq
import model
import requests
import requests.adapters
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=common.REDIS + "/1"))
POOL = int(os.environ.get("BENCH_DB_POOL", "8"))
http = requests.Session()
http.mount("http://", requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=1000))


@dramatiq.actor
def charge(payment_id):
    model.charge_orm(payment_id, lambda data: http.post(common.PAY_URL, data=data, timeout=30).text, POOL)


@dramatiq.actor
def noop(payment_id):
    pass
