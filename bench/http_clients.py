"""Raw name-value POSTs a second, kept-alive, one process: requests, urllib3, http.client, aiohttp, httpx, pycurl.

`http_clients.py [N] [LATENCY_MS] [FANOUT]`.  Each client runs once with one connection and once with FANOUT in flight.
"""

import asyncio
import concurrent.futures
import http.client
import io
import sys
import threading
import time
import urllib.parse

import aiohttp
import common
import httpx
import pycurl
import requests
import requests.adapters
import urllib3
import uvloop

N = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
common.LATENCY = sys.argv[2] if len(sys.argv) > 2 else "0"
FANOUT = int(sys.argv[3]) if len(sys.argv) > 3 else 50
URL = f"{common.GATEWAY}/pay/{common.LATENCY}"
FORMS = [common.form(i, 10 + i % 90, "USD", f"tok_{i}", i) for i in range(N)]
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
local = threading.local()


def measure(name, mode, work):
    gateway = common.cpu(common.pid_of("gateway"))
    cpu, start = time.process_time(), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    gateway = common.cpu(common.pid_of("gateway")) - gateway
    common.emit(
        bench="http", client=name, mode=mode, n=N, latency_ms=int(common.LATENCY), per_s=round(N / wall),
        client_cpu_us=round(cpu / N * 1e6), gateway_cpu_us=round(gateway / N * 1e6),
    )  # fmt: skip


def sync(name, post, serial=True):
    if serial:
        post(FORMS[0])
        measure(name, "1", lambda: [post(f) for f in FORMS])
    with concurrent.futures.ThreadPoolExecutor(FANOUT) as pool:
        list(pool.map(post, FORMS[: FANOUT * 2]))
        measure(name, f"threads{FANOUT}", lambda: list(pool.map(post, FORMS)))


def mount(session):
    session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=FANOUT))
    return session


session, lean = mount(requests.Session()), mount(requests.Session())
lean.trust_env = False
adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=FANOUT)
template = requests.Request("POST", URL, data=FORMS[0]).prepare()
pool = urllib3.PoolManager(num_pools=1, maxsize=FANOUT)


def by_adapter(form):
    """requests' own PreparedRequest and HTTPAdapter, prepared once: no session merging, no environment look-up."""
    request = template.copy()
    request.body = urllib.parse.urlencode(form)
    request.headers["Content-Length"] = str(len(request.body))
    return adapter.send(request, timeout=30).text


def by_http_client(form):
    if not hasattr(local, "connection"):
        local.connection = http.client.HTTPConnection(URL.split("/")[2], timeout=30)
    local.connection.request("POST", "/pay/" + common.LATENCY, urllib.parse.urlencode(form), HEADERS)
    return local.connection.getresponse().read().decode()


def by_urllib3(form):
    body = urllib.parse.urlencode(form)
    return pool.request("POST", URL, body=body, headers=HEADERS, timeout=30).data.decode()


def by_curl(form):
    if not hasattr(local, "curl"):
        local.curl = pycurl.Curl()
        local.curl.setopt(pycurl.URL, URL)
        local.curl.setopt(pycurl.HTTPHEADER, ["Expect:"])
    buffer = io.BytesIO()
    local.curl.setopt(pycurl.POSTFIELDS, urllib.parse.urlencode(form))
    local.curl.setopt(pycurl.WRITEDATA, buffer)
    local.curl.perform()
    return buffer.getvalue().decode()


httpx_client = httpx.Client(limits=httpx.Limits(max_connections=FANOUT, max_keepalive_connections=FANOUT), timeout=30)
if common.LATENCY == "0":
    sync("requests.post", lambda form: requests.post(URL, data=form, timeout=30).text)
    sync("httpx.Client", lambda form: httpx_client.post(URL, data=form).text)
sync("requests.Session", lambda form: session.post(URL, data=form, timeout=30).text, common.LATENCY == "0")
sync("requests.Session trust_env=False", lambda form: lean.post(URL, data=form, timeout=30).text, common.LATENCY == "0")
sync("requests HTTPAdapter.send", by_adapter, common.LATENCY == "0")
sync("urllib3", by_urllib3, common.LATENCY == "0")
sync("http.client", by_http_client, common.LATENCY == "0")
sync("pycurl easy", by_curl, common.LATENCY == "0")


async def gathered(post):
    todo = iter(FORMS)

    async def lane():
        for form in todo:
            await post(form)

    await asyncio.gather(*(lane() for _ in range(FANOUT)))


async def by_aiohttp():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=FANOUT)) as client:

        async def post(form):
            async with client.post(URL, data=form) as response:
                return await response.text()

        await gathered(post)


async def by_httpx():
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=FANOUT), timeout=30) as client:
        await gathered(lambda form: client.post(URL, data=form))


measure("aiohttp (uvloop)", f"async{FANOUT}", lambda: uvloop.run(by_aiohttp()))
measure("httpx.AsyncClient (uvloop)", f"async{FANOUT}", lambda: uvloop.run(by_httpx()))

import jobs_celery  # noqa: E402

jobs_celery.FANOUT, jobs_celery.common.PAY_URL = FANOUT, URL
measure("pycurl multi", f"multi{FANOUT}", lambda: jobs_celery.by_curl(FORMS))
