"""Defray itself: real tables, producer, vault and Celery workers, charged through its real adapters.

Only the gateway is not the sandbox, which would take ten times the CPU of a request: it is the one that the peers use.
"""

import datetime
import itertools
import resource
import time
import urllib.request

import common
import psycopg
import redis
import sqlalchemy as sa

from books import audit, clock
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from models.migrate import upgrade
from producer import Producer
from rules.cards import Card, luhn_valid
from settings import load
from vault import HourKeys, Keyring, Vault
from worker.wake import Wake

GROUP = 5_000
KEYS = {
    "payflow": {"user": "merchant", "vendor": "merchant", "password": "not-a-secret"},
    "plugnpay": {"publisher_name": "merchant", "publisher_password": "not-a-secret"},
    "stripe": {"secret_key": "not-a-secret", "account": "acct_bench"},
    "paypal": {"client_id": "merchant", "client_secret": "not-a-secret", "account": "bench"},
    "authorizenet": {"login_id": "merchant", "transaction_key": "not-a-secret"},
}
UNDER_WAY = """
    SELECT EXISTS (SELECT FROM payments WHERE batch_id = %(batch)s AND state = 'requested')
        OR EXISTS (SELECT FROM payments WHERE batch_id = %(batch)s AND state IN ('charging', 'retrying', 'review'))
"""
DONE = """
    WITH p AS MATERIALIZED (SELECT id, charged_minor, invoice_ids, total_minor FROM payments WHERE state = 'posted')
    SELECT (SELECT count(*) FROM p),
           (SELECT count(*) FROM p JOIN allocations a ON a.payment_id = p.id WHERE a.amount_minor = p.total_minor),
           (SELECT count(*) FROM p JOIN journal j ON j.payment_id = p.id AND j.kind = 'posted'),
           (SELECT count(*) FROM invoices WHERE state = 'paid' AND balance_minor = 0),
           (SELECT count(*) FROM p JOIN gateway_transactions t ON t.payment_id = p.id AND t.state = 'approved'
                AND t.amount_minor = p.charged_minor JOIN evidence e ON e.gateway_transaction_id = t.id)
"""


def card_number(i):
    """An invented number that passes Luhn's check."""
    return next(number for last in range(10) if luhn_valid(number := f"4{i:014}{last}"))


class Bell:
    """Nobody is woken when a batch is recorded: recording and charging are timed apart."""

    def batch(self, *_):
        pass

    payment = batch


class House:
    """A database of its own, or one that is `kept`, with `n` invoices of one payment each, ready to be recorded.

    What it makes in a database that is kept begins with `prefix`, so that it was not there before.
    """

    def __init__(self, name, method, n, invoices_per_customer, latency, window, gateway, prefix="", kept=False):
        self.method, self.per_customer, self.prefix, self.kept = method, invoices_per_customer, prefix, kept
        self.url = common.address(name) if kept else common.database(name)
        self.dsn = self.url.replace("+psycopg", "")
        upgrade(self.url)
        self.environment = {
            "DEFRAY_DATABASE_URL": self.url,
            "DEFRAY_REDIS_URL": common.REDIS + "/0",
            "DEFRAY_KEY_FILE": str(common.HOME / "keys.json"),
            "DEFRAY_LOG_LEVEL": "WARNING",
            "DEFRAY_WINDOW": str(window),
            "DEFRAY_GATEWAYS": gateway,
            f"DEFRAY_{gateway.upper()}_URL": f"{common.GATEWAY}/{gateway}/{latency}",
            **{f"DEFRAY_{gateway.upper()}_{key.upper()}": value for key, value in KEYS[gateway].items()},
        }
        self.settings = load(self.environment)
        self.engine = sa.create_engine(self.url)
        self.vault = Vault(
            Keyring.load_or_create(self.settings.key_file), HourKeys(redis.Redis.from_url(common.REDIS + "/0"))
        )
        self.producer = Producer(
            self.engine, self.vault, Bell(), lambda _brand, _request: gateway, self.settings.business_time_zone
        )
        self.wake = Wake(common.REDIS + "/0")
        for first in range(0, n, GROUP):
            self._bill(range(first, min(first + GROUP, n)))
        with psycopg.connect(self.dsn, autocommit=True) as db:
            db.execute("VACUUM ANALYZE")
            self.before = db.execute(DONE).fetchone()
        common.checkpoint()

    def _bill(self, numbers):
        customers = sorted({i // self.per_customer for i in numbers})
        day, due = datetime.date(2026, 1, 1), datetime.date(2026, 2, 1)
        with self.engine.begin() as conn:
            now = clock.now(conn)
            record_customers(conn, [NewCustomer(f"{self.prefix}C{i}") for i in customers], now, "bench")
            invoices = [NewInvoice(self._customer(i), f"I{i}", day, due, "USD", 1000 + i % 90) for i in numbers]
            record_invoices(conn, invoices, now, "bench")

    def _customer(self, i):
        return f"{self.prefix}C{i // self.per_customer}"

    def seal(self, n):
        """A card for each payment, with another number for each customer; the cards' tokens."""
        tokens = []
        for first in range(0, n, GROUP):
            cards = [
                Card(
                    card_number(i // self.per_customer), 12, 2039, name="Ada Lovelace", street="12 St James's Square",
                    postal_code="SW1Y4JH", country="GB",
                )
                for i in range(first, min(first + GROUP, n))
            ]  # fmt: skip
            tokens += [sealed.token for sealed in self.producer.keep_cards(cards)]
        return tokens

    def record(self, first, n, tokens):
        """Hand in a batch that pays the invoices from `first` on, one each; its id."""
        requests = (
            {
                "idempotency_key": f"{self.prefix}key-{i}", "method": self.method, "currency": "USD",
                "customer": self._customer(i), "amount_minor": 1000 + i % 90, "invoices": [f"I{i}"],
                **({"card_token": tokens[i - first]} if tokens else {}),
            }
            for i in range(first, first + n)
        )  # fmt: skip
        receipt = self.producer.submit(
            requests, label="bench", caller="bench", idempotency_key=f"{self.prefix}batch-{first}", by="bench"
        )
        assert receipt.recorded == n, receipt
        return receipt.batch_id

    def check(self, n, served):
        """Every payment was charged once, posted, applied to its invoice and booked; the audit finds nothing.

        Where the database is kept, whoever keeps it audits it.
        """
        with psycopg.connect(self.dsn, autocommit=True) as db:
            db.execute("VACUUM ANALYZE")  # else the planner takes the tables for empty
            done = tuple(now - then for now, then in zip(db.execute(DONE).fetchone(), self.before, strict=True))
        charged = n if self.method == "credit_card" else 0
        assert done == (n, n, n, n, charged), (done, n)
        assert served == charged, f"the gateway was called {served} times for {charged} payments"
        if self.kept:
            return
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
            findings = audit.audit(conn)
            assert not findings, findings

    def close(self):
        self.wake.close()
        self.engine.dispose()


def served():
    with urllib.request.urlopen(common.GATEWAY + "/served") as reply:
        return int(reply.read())


def worker(processes, house):
    command = [common.PY, "-m", "celery", "-A", "worker.app", "worker", "--queues", "bulk", "-l", "WARNING"]
    return common.spawn([*command, "--concurrency", processes], cwd=common.HERE.parent, **house.environment)


def wait(db, batch_id, process, limit):
    """Look every 50 ms until nothing is under way; the number of looks."""
    until = time.time() + limit
    for looks in itertools.count(1):
        if not db.execute(UNDER_WAY, {"batch": batch_id}).fetchone()[0]:
            return looks
        if time.time() > until or process.poll() is not None:
            log = (common.HOME / "worker.log").read_text()[-3000:]
            raise SystemExit(f"batch {batch_id} is not done after {limit} s\n{log}")
        time.sleep(0.05)
    return 0


def run(name, n, latency, repeat, warm, method="credit_card", one_customer=False, processes=2, window=250,
        gateway="payflow", per_customer=10, database="bench_defray", about=(), before_charging=None,
        **more):  # fmt: skip
    """`repeat` batches of `n` payments, one after another, under one worker (one row each, with `about` added).

    `before_charging` is called with the house. Returns the rows.
    """
    redis.Redis.from_url(common.REDIS).flushall()
    total = n * repeat + warm
    house = House(database, method, total, total if one_customer else per_customer, latency, window, gateway, **more)
    started = time.perf_counter()
    tokens = house.seal(total) if method == "credit_card" else []
    sealing = time.perf_counter() - started
    batches = []
    for first, count in [(n * repeat, warm), *((k * n, n) for k in range(repeat))]:
        before = common.pg_counters(house.dsn)
        cpu, postgres, start = time.process_time(), common.cpu(common.pid_of("postgres")), time.perf_counter()
        batch_id = house.record(first, count, tokens[first : first + count])
        seconds = time.perf_counter() - start
        spent = {"producer": time.process_time() - cpu, "postgres": common.cpu(common.pid_of("postgres")) - postgres}
        house.engine.dispose()
        time.sleep(0.3)
        wal = common.pg_counters(house.dsn)[2] - before[2]
        batches.append((batch_id, seconds, spent, wal))
    if before_charging:
        before_charging(house)
    producer_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    with psycopg.connect(house.dsn, autocommit=True) as db:
        db.execute("VACUUM ANALYZE")
    common.checkpoint()
    time.sleep(0.3)
    counters, calls, looks = common.pg_counters(house.dsn), served(), 0
    process = worker(processes, house)
    step = "charge" if method == "credit_card" else "post"
    db = psycopg.connect(house.dsn, autocommit=True)
    pids = {"worker": process.pid, **{k: common.pid_of(k) for k in ("postgres", "redis", "gateway")}}
    rows = []
    try:
        house.wake.batch(batches[0][0], step, processes)
        looks += wait(db, batches[0][0], process, 120)
        for batch_id, *recorded in batches[1:]:
            time.sleep(0.5)
            before = {k: common.cpu(v) for k, v in pids.items()}
            start = time.time()
            house.wake.batch(batch_id, step, processes)
            enqueued = time.time() - start
            looks += wait(db, batch_id, process, 600)
            seconds = time.time() - start
            used = {k: common.cpu(v) - before[k] for k, v in pids.items()}
            rows.append((seconds, enqueued, used, *recorded))
        memory = common.memory(process.pid)
    finally:
        common.stop(process)
        db.close()
    time.sleep(0.3)
    commits, syncs, wal = (b - a for a, b in zip(counters, common.pg_counters(house.dsn), strict=True))
    house.check(total, served() - calls)
    house.close()
    return [
        common.emit(
            bench="charge", config=name, n=n, latency_ms=common.told(latency), others=0, seconds=round(seconds, 3),
            per_s=round(n / seconds, 1), enqueue_s=round(enqueued, 4),
            cpu_us={k: round(v / n * 1e6) for k, v in used.items()}, cpu_us_all=round(sum(used.values()) / n * 1e6),
            commits_per=round((commits - looks) / total, 3), syncs_per=round(syncs / total, 3),
            wal_bytes_per=round(int(wal) / total), pss_mib=memory.pss, peak_rss_mib=memory.peak,
            largest_rss_mib=memory.largest, repeat=repeat, record_s=round(record_s, 3),
            record_cpu_us={k: round(v / n * 1e6) for k, v in record_cpu.items()},
            record_wal_bytes_per=round(int(record_wal) / n), producer_rss_mib=producer_rss,
            seal_us=round(sealing / total * 1e6), **dict(about),
        )
        for seconds, enqueued, used, record_s, record_cpu, record_wal in rows
    ]  # fmt: skip


CONFIGS = {
    "defray-p2": {},
    "defray-p2-w100": {"window": 100},
    "defray-p2-w50": {"window": 50},
    "defray-p2-w500": {"window": 500},
    "defray-p1": {"processes": 1},
    "defray-p2-one-customer": {"one_customer": True},
    **{f"defray-p2-{gateway}": {"gateway": gateway} for gateway in KEYS},
    "defray-checks-p2": {"method": "check"},
    "defray-checks-p2-one-customer": {"method": "check", "one_customer": True},
}
