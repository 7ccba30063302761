"""Celery app: worker started with `celery -A jobs_celery worker ...`."""

import concurrent.futures
import functools
import os
import threading
import urllib.parse

import celery
import common
import model
import requests
import requests.adapters

app = celery.Celery("jobs", broker=common.REDIS + "/0")
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")))
if os.environ.get("BENCH_ACKS_LATE"):
    app.conf.task_acks_late = True
POOL = int(os.environ.get("BENCH_DB_POOL", "8"))
FANOUT = int(os.environ.get("BENCH_FANOUT", "50"))
local = threading.local()


@functools.cache
def http():
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=1000))
    return session


def post_plain(data):
    return requests.post(common.PAY_URL, data=data, timeout=30).text


def post_session(data):
    return http().post(common.PAY_URL, data=data, timeout=30).text


@functools.cache
def urllib3_pool():
    import urllib3

    return urllib3.PoolManager(num_pools=1, maxsize=1000)


def post_urllib3(data):
    body = urllib.parse.urlencode(data)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return urllib3_pool().request("POST", common.PAY_URL, body=body, headers=headers, timeout=30).data.decode()


@functools.cache
def template():
    return requests.Request("POST", common.PAY_URL, data={"A": "B"}).prepare()


def post_adapter(data):
    """requests' PreparedRequest and HTTPAdapter, prepared once: no session's merging, no environment look-ups."""
    request = template().copy()
    request.body = urllib.parse.urlencode(data)
    request.headers["Content-Length"] = str(len(request.body))
    return http().adapters["http://"].send(request, timeout=30).text


def post_httpclient(data):
    import http.client

    if not hasattr(local, "connection"):
        local.connection = http.client.HTTPConnection(common.PAY_URL.split("/")[2], timeout=30)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    local.connection.request("POST", "/" + common.PAY_URL.split("/", 3)[3], urllib.parse.urlencode(data), headers)
    return local.connection.getresponse().read().decode()


@app.task
def noop(payment_id):
    pass


@app.task
def charge_orm_plain(payment_id):
    model.charge_orm(payment_id, post_plain, POOL)


@app.task
def charge_orm_session(payment_id):
    model.charge_orm(payment_id, post_session, POOL)


@app.task
def charge_sql(payment_id):
    model.charge_sql(payment_id, post_session, POOL)


# ---- chunks: mark all started, fan the requests out, record all outcomes --------------------------------------------


@functools.cache
def threads():
    return concurrent.futures.ThreadPoolExecutor(FANOUT)


def by_requests(forms):
    return list(threads().map(post_session, forms))


def by_urllib3(forms):
    return list(threads().map(post_urllib3, forms))


def by_adapter(forms):
    return list(threads().map(post_adapter, forms))


def by_httpclient(forms):
    return list(threads().map(post_httpclient, forms))


def by_gevent(forms):
    import gevent.pool

    return gevent.pool.Pool(FANOUT).map(post_session, forms)


def by_curl(forms):
    """One thread, libcurl's multi interface, kept-alive connections."""
    import io

    import pycurl

    if not hasattr(local, "multi"):
        local.multi, local.idle = pycurl.CurlMulti(), []
        local.multi.setopt(pycurl.M_MAXCONNECTS, FANOUT)
        for _ in range(FANOUT):
            handle = pycurl.Curl()
            handle.setopt(pycurl.URL, common.PAY_URL)
            handle.setopt(pycurl.TIMEOUT, 30)
            handle.setopt(pycurl.HTTPHEADER, ["Expect:"])
            local.idle.append(handle)
    multi, idle, replies, todo, done = local.multi, local.idle, [None] * len(forms), len(forms), 0
    while done < len(forms):
        while todo and idle:
            todo -= 1
            handle = idle.pop()
            handle.slot, handle.buffer = todo, io.BytesIO()
            handle.setopt(pycurl.POSTFIELDS, urllib.parse.urlencode(forms[todo]))
            handle.setopt(pycurl.WRITEDATA, handle.buffer)
            multi.add_handle(handle)
        multi.perform()
        while True:
            queued, good, bad = multi.info_read()
            if bad:
                raise RuntimeError(bad[0][2])
            for handle in good:
                multi.remove_handle(handle)
                replies[handle.slot] = handle.buffer.getvalue().decode()
                idle.append(handle)
                done += 1
            if not queued:
                break
        if done < len(forms) and not (todo and idle):
            multi.select(1.0)
    return replies


@functools.cache
def loop():
    """An asyncio loop on its own thread, with one aiohttp session."""
    import asyncio

    import aiohttp
    import uvloop

    runner = uvloop.new_event_loop()
    threading.Thread(target=runner.run_forever, daemon=True).start()

    async def make():
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=FANOUT))

    return runner, asyncio.run_coroutine_threadsafe(make(), runner).result()


def by_aiohttp(forms):
    import asyncio

    runner, session = loop()

    async def one(data):
        async with session.post(common.PAY_URL, data=data) as response:
            return await response.text()

    async def every():
        return await asyncio.gather(*map(one, forms))

    return asyncio.run_coroutine_threadsafe(every(), runner).result()


SENDERS = {
    f.__name__[3:]: f for f in (by_requests, by_urllib3, by_adapter, by_httpclient, by_gevent, by_curl, by_aiohttp)
}


@app.task
def charge_chunk(first, last, via):
    rows = model.start_set(list(range(first, last + 1)), POOL)
    if rows:
        model.finish_set(rows, SENDERS[via]([common.form(*row[1:]) for row in rows]), POOL)


# ---- a rolling window: no barrier, attempts are started ahead and outcomes recorded in groups as replies come -------


def curl_lane(todo, results):
    """One thread: libcurl multi fed from a queue; FANOUT requests in flight."""
    import io
    import queue

    import pycurl

    multi, idle = pycurl.CurlMulti(), []
    multi.setopt(pycurl.M_MAXCONNECTS, FANOUT)
    for _ in range(FANOUT):
        handle = pycurl.Curl()
        handle.setopt(pycurl.URL, common.PAY_URL)
        handle.setopt(pycurl.TIMEOUT, 30)
        handle.setopt(pycurl.HTTPHEADER, ["Expect:"])
        idle.append(handle)
    while True:
        while idle:
            try:
                row = todo.get(block=len(idle) == FANOUT)
            except queue.Empty:
                break
            if row is None:
                return
            handle = idle.pop()
            handle.row, handle.buffer = row, io.BytesIO()
            handle.setopt(pycurl.POSTFIELDS, urllib.parse.urlencode(common.form(*row[1:])))
            handle.setopt(pycurl.WRITEDATA, handle.buffer)
            multi.add_handle(handle)
        multi.perform()
        queued = 1
        while queued:
            queued, good, bad = multi.info_read()
            if bad:
                raise RuntimeError(bad[0][2])
            for handle in good:
                multi.remove_handle(handle)
                results.put((handle.row, handle.buffer.getvalue().decode()))
                idle.append(handle)
        if len(idle) < FANOUT and not (idle and not todo.empty()):
            multi.select(0.005)


def thread_lane(post, todo, results):
    while (row := todo.get()) is not None:
        results.put((row, post(common.form(*row[1:]))))


@app.task
def charge_stream(first, last, via, group):
    import queue
    import time

    todo, results = queue.SimpleQueue(), queue.SimpleQueue()
    if via == "curl":
        lanes = [threading.Thread(target=curl_lane, args=(todo, results))]
    else:
        post = {"requests": post_session, "adapter": post_adapter, "urllib3": post_urllib3}[via]
        lanes = [threading.Thread(target=thread_lane, args=(post, todo, results)) for _ in range(FANOUT)]
    for lane in lanes:
        lane.start()
    flying, done, oldest, following = 0, [], 0.0, first
    while following <= last or flying or done:
        while following <= last and flying < FANOUT + group:
            for row in model.start_set(list(range(following, min(following + group, last + 1))), POOL):
                todo.put(row)
                flying += 1
            following += group
        try:
            block = True
            while len(done) < group:
                done.append(results.get(block, 0.02))
                oldest, block, flying = oldest or time.monotonic(), False, flying - 1
        except queue.Empty:
            pass
        if done and (len(done) >= group or not flying or time.monotonic() - oldest > 0.02):
            model.finish_set([row for row, _ in done], [reply for _, reply in done], POOL)
            done, oldest = [], 0.0
    for _ in lanes:
        todo.put(None)
    for lane in lanes:
        lane.join()
