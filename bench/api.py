"""What a call of the API costs, beside the bare framework; and a person's payment beside a large batch.

`api.py calls [SECONDS]`: requests a second, p50 and p99 of creating a payment, a batch of 1,000, a list of 50, over
kept connections, against one web process with the real database; and of FastAPI under uvicorn that answers a constant.
`api.py beside [BATCH] [LATENCY_MS] [PAYMENTS]`: how long single card payments take by API, from the call to the
charge's posting, alone and while two workers charge a batch.
"""

import contextlib
import http.client
import json
import socket
import statistics
import sys
import threading
import time
import uuid

import common
import defray
import psycopg

from books import api_keys, clock
from rules.apps import Scope

SECRET = "dfk_live_bench"
CLIENTS = 8
ROWS = 1_000
BARE = "from fastapi import FastAPI\napp = FastAPI()\n@app.post('/')\ndef say():\n    return {'answer': 'constant'}\n"


class App:
    """One upstream app with one kept connection."""

    def __init__(self, port):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        self.http.request(method, path, None if body is None else json.dumps(body), headers)
        reply = self.http.getresponse()
        said = reply.read()
        assert reply.status < 300, said[:500]
        return json.loads(said)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(command, port, cwd=None, **environment):
    process = common.spawn(command, cwd=cwd or common.HERE.parent, log=f"serving-{port}.log", **environment)
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command} does not listen; see {common.HOME}")
            time.sleep(0.05)
        yield
    finally:
        common.stop(process)


@contextlib.contextmanager
def web(house):
    port = free_port()
    with house.engine.begin() as conn:
        api_keys.add(conn, "bench", SECRET, list(Scope), None, clock.now(conn), "bench")
    counted = {"DEFRAY_WEB_PORT": str(port), "DEFRAY_API_CALLS_A_MINUTE": "1000000"}
    with serving([common.PY, "-m", "web"], port, **house.environment, **counted):
        yield port


def measure(port, clients, seconds, ask):
    """Requests a second, p50 and p99 in ms, of so many clients at once; `ask(app, n)` makes the nth call."""
    took, numbers, lock = [], iter(range(10**9)), threading.Lock()
    until = time.perf_counter() + seconds

    def client():
        app = App(port)
        while time.perf_counter() < until:
            with lock:
                number = next(numbers)
            start = time.perf_counter()
            ask(app, number)
            took.append(time.perf_counter() - start)

    start = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    passed = time.perf_counter() - start
    cuts = statistics.quantiles(took, n=100, method="inclusive") if len(took) > 1 else took * 99
    return {"calls": len(took), "per_s": round(len(took) / passed, 1), "p50_ms": round(cuts[49] * 1e3, 2),
            "p99_ms": round(cuts[98] * 1e3, 2)}  # fmt: skip


def payment(number, minor=1):
    who = number % 200
    return {"customer": f"C{who}", "method": "check", "currency": "USD", "amount_minor": minor, "as_credit": True}


def calls(seconds):
    house = defray.House("bench_api", "check", 2_000, 10, "0", 100, "payflow")
    asked = {
        "payment": (CLIENTS, lambda app, n: app.call("POST", "/v1/payments", payment(n))),
        f"batch of {ROWS:,}": (
            1,
            lambda app, n: app.call("POST", "/v1/batches", {"payments": [payment(n + k) for k in range(ROWS)]}),
        ),
        "list of 50": (CLIENTS, lambda app, n: app.call("GET", f"/v1/payments?limit=50&customer=C{n % 200}")),
    }
    with web(house) as port:
        for name, (clients, ask) in asked.items():
            measure(port, clients, min(1, seconds), ask)
            common.emit(bench="api", call=name, clients=clients, **measure(port, clients, seconds, ask))
    house.close()
    bare = common.HOME / "bare"
    bare.mkdir(exist_ok=True)
    (bare / "bare_app.py").write_text(BARE)
    port = free_port()
    command = [common.PY, "-m", "uvicorn", "bare_app:app", "--port", port, "--no-access-log"]
    with serving(command, port, cwd=bare):

        def ask(app, n):
            return app.call("POST", "/", payment(n))

        measure(port, CLIENTS, min(1, seconds), ask)
        common.emit(bench="api", call="bare framework", clients=CLIENTS, **measure(port, CLIENTS, seconds, ask))


def worker(house, queues, processes):
    command = [common.PY, "-m", "celery", "-A", "worker.app", "worker", "--queues", queues, "-l", "WARNING"]
    return common.spawn(
        [*command, "--concurrency", processes], cwd=common.HERE.parent, log=f"{queues}.log", **house.environment
    )


POSTED = "SELECT extract(epoch FROM posted_at - recorded_at) FROM payments WHERE id = %s AND state = 'posted'"
LEFT = "SELECT EXISTS (SELECT FROM payments WHERE batch_id = %s AND state IN ('requested', 'charging'))"


def singles(house, port, db, first, count, tokens):
    """Seconds from the call to the posting, of one card payment after another."""
    app, took = App(port), []
    for n in range(first, first + count):
        asked = {
            "customer": f"C{n // house.per_customer}", "method": "credit_card", "currency": "USD",
            "card_token": tokens[n - first], "amount_minor": 1000 + n % 90, "invoices": [f"I{n}"],
        }  # fmt: skip
        start = time.perf_counter()
        made = app.call("POST", "/v1/payments", asked)["id"]
        answered, until = time.perf_counter() - start, time.monotonic() + 60
        while (row := db.execute(POSTED, (made,)).fetchone()) is None:
            if time.monotonic() > until:
                raise SystemExit(f"payment {made} was not charged within a minute; see {common.HOME}")
            time.sleep(0.002)
        took.append((float(row[0]), answered))
    return took


def beside(batch, latency, count):
    """Single payments alone, then while two workers charge a batch; fails where the batch ended before them."""
    total = batch + 2 * count + 2
    house = defray.House("bench_beside", "credit_card", total, 10, latency, 250, "payflow")
    tokens = house.seal(total)
    batch_id = house.record(0, batch, tokens[:batch])
    house.engine.dispose()
    workers = [worker(house, "interactive", 1), worker(house, "bulk", 2)]
    try:
        with web(house) as port, psycopg.connect(house.dsn, autocommit=True) as db:
            first = batch
            singles(house, port, db, first, 2, tokens[first:])
            alone = singles(house, port, db, first + 2, count, tokens[first + 2 :])
            house.wake.batch(batch_id, "charge", 2)
            while not db.execute("SELECT EXISTS (SELECT FROM payments WHERE batch_id = %s AND state = 'posted')",
                                 (batch_id,)).fetchone()[0]:  # fmt: skip
                time.sleep(0.05)
            busy = singles(house, port, db, first + 2 + count, count, tokens[first + 2 + count :])
            under_way = db.execute(LEFT, (batch_id,)).fetchone()[0]
    finally:
        for one in workers:
            common.stop(one)
        house.close()
    assert under_way, "the batch ended before the single payments: take a larger one"
    for name, took in (("alone", alone), ("beside a batch", busy)):
        posted = sorted(one for one, _ in took)
        common.emit(
            bench="beside", how=name, n=batch, latency_ms=int(latency), payments=count,
            p50_ms=round(posted[len(posted) // 2] * 1e3, 1), worst_ms=round(posted[-1] * 1e3, 1),
            answered_p50_ms=round(statistics.median(one for _, one in took) * 1e3, 1),
            within_twice=round(sum(one <= 2 * int(latency) / 1e3 for one in posted) / count, 3),
        )  # fmt: skip


def main(what, *numbers):
    if what == "calls":
        calls(float(numbers[0]) if numbers else 5)
    else:
        batch, latency, count = [*numbers, *("100000", "50", "100")[len(numbers) :]]
        beside(int(batch), latency, int(count))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("calls", "beside"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
