"""How near Defray comes to what its parts can do: `limit.py [PAYMENTS] [LATENCY_MS]`, all in one run.

The bare client: libcurl's multi interface sends the bytes that the adapter would send, as many processes, as many in
flight, and knows no database. The bare database: a twin of Defray's own, from the moment before the first charge, is
given the rows that Defray wrote, table by table in single statements, the attempts in a transaction before the rest.
Allowed is what two cores could charge if nothing but the bare client, the gateway and those statements took their time.
"""

import contextlib
import multiprocessing
import os
import secrets
import sys
import time
import warnings

import common
import defray
import psycopg
import pycurl
import sqlalchemy as sa

from gateways.contract import Sale
from gateways.registry import build
from rules.cards import Card

PROCESSES, WINDOW = 2, 250
WARM = int(os.environ.get("BENCH_WARM", "300"))
TWIN = "bench_limit_twin"
CHARGING = """
    UPDATE payments AS t SET state = 'charging', next_step = NULL, due_at = NULL FROM done.payments AS d
    WHERE d.id = t.id"""
STARTED = {
    "state": "'started'", "next_step": "'inquire'", "due_at": "d.send_until", "transaction_id": "''",
    "approval_code": "''", "code": "''", "message": "''", "decline_class": "NULL", "finished_at": "NULL",
}  # fmt: skip
ROWS = "SELECT sum(n_tup_ins + n_tup_upd)::bigint FROM pg_stat_user_tables WHERE schemaname = 'public'"


# ---- the bare client ------------------------------------------------------------------------------------------------


class _Built(Exception):
    """The message was about to be sent."""


class Listener:
    """Takes the place of the HTTP client: hears what would be sent."""

    def __init__(self):
        self.bodies, self.headers = [], {}

    def post(self, body, _send_by, headers=None):
        self.bodies.append(body)
        self.headers = headers or {}
        raise _Built


def messages(config, n):
    """The headers and the bodies of so many sales, as the adapter builds them."""
    gateway = build("payflow", config, 1, 5.0, 30.0)
    heard, constant = Listener(), gateway._http._among_many._headers
    gateway._http = heard
    for i in range(n):
        card = Card(
            defray.card_number(i // 10), 12, 2039, name="Ada Lovelace", street="12 St James's Square",
            postal_code="SW1Y4JH", country="GB",
        )  # fmt: skip
        reference = 10**18 + secrets.randbelow(10**18)
        with contextlib.suppress(_Built):
            gateway.sale(
                Sale(reference, 1000 + i % 90, "USD", time.monotonic() + 600, card=card, invoice_number=f"I{i}")
            )
    return [f"{name}: {value}" for name, value in {**constant, **heard.headers}.items()], heard.bodies


class Client:
    """One thread, kept connections, so many calls in flight; what comes is read and thrown away."""

    def __init__(self, url, headers):
        self.multi, self.idle, self.read = pycurl.CurlMulti(), [], 0
        self.multi.setopt(pycurl.M_MAXCONNECTS, WINDOW)
        for _ in range(WINDOW):
            handle = pycurl.Curl()
            handle.setopt(pycurl.URL, url)
            handle.setopt(pycurl.HTTPHEADER, [*headers, "Accept:", "Expect:"])
            handle.setopt(pycurl.WRITEFUNCTION, self._take)
            self.idle.append(handle)

    def _take(self, data):
        self.read += len(data)

    def send(self, bodies):
        left, under_way = iter(bodies), 0
        while True:
            while self.idle and (body := next(left, None)) is not None:
                handle = self.idle.pop()
                handle.setopt(pycurl.POSTFIELDS, body)
                self.multi.add_handle(handle)
                under_way += 1
            if not under_way:
                return
            self.multi.perform()
            queued = 1
            while queued:
                queued, good, bad = self.multi.info_read()
                assert not bad, bad[0][2]
                for handle in good:
                    assert handle.getinfo(pycurl.RESPONSE_CODE) == 200
                    self.multi.remove_handle(handle)
                    self.idle.append(handle)
                    under_way -= 1
            self.multi.select(1.0)


def client(url, headers, bodies, start, told):
    own = Client(url, headers)
    own.send(bodies[: 2 * WINDOW])
    start.wait()
    cpu, began = time.process_time(), time.perf_counter()
    own.send(bodies)
    told.put((time.perf_counter() - began, time.process_time() - cpu))


def bare_client(n, config):
    """Requests a second, and CPU microseconds of client and gateway for each."""
    headers, bodies = messages(config, n)
    forked = multiprocessing.get_context("fork")
    start, told = forked.Barrier(PROCESSES + 1), forked.SimpleQueue()
    parts = [bodies[part::PROCESSES] for part in range(PROCESSES)]
    clients = [forked.Process(target=client, args=(config["url"], headers, part, start, told)) for part in parts]
    for one in clients:
        one.start()
    start.wait()
    gateway = common.cpu(common.pid_of("gateway"))
    ends = [told.get() for _ in clients]
    gateway = common.cpu(common.pid_of("gateway")) - gateway
    for one in clients:
        one.join()
    seconds, cpu = max(end[0] for end in ends), sum(end[1] for end in ends)
    return {"per_s": round(n / seconds, 1), "client_cpu_us": round(cpu / n * 1e6),
            "gateway_cpu_us": round(gateway / n * 1e6)}  # fmt: skip


# ---- the bare database ----------------------------------------------------------------------------------------------


def twin(house):
    """Keep the database as it is now, before anything is charged, as another one."""
    house.engine.dispose()
    common.drop(TWIN)
    name = sa.make_url(house.url).database
    common.as_superuser(f"CREATE DATABASE {TWIN} TEMPLATE {name} STRATEGY file_copy OWNER defray")


def take_over(source, db, table):
    """Put the rows of a table that are new or changed into schema `done`; what changed, whether some are new."""
    columns, keys = [f'"{column.name}"' for column in table.columns], [column.name for column in table.primary_key]
    db.execute(f"CREATE TABLE done.{table.name} (LIKE {table.name})")
    with (
        source.cursor().copy(f"COPY {table.name} TO STDOUT (FORMAT binary)") as rows,
        db.cursor().copy(f"COPY done.{table.name} FROM STDIN (FORMAT binary)") as copied,
    ):
        for data in rows:
            copied.write(data)
    same = " AND ".join(f't."{key}" = d."{key}"' for key in keys)
    db.execute(f"ANALYZE done.{table.name}")
    db.execute(f"DELETE FROM done.{table.name} d USING {table.name} t WHERE {same} AND t IS NOT DISTINCT FROM d")
    counts = ", ".join(f"count(*) FILTER (WHERE t.{column} IS DISTINCT FROM d.{column})" for column in columns)
    both = db.execute(f"SELECT {counts} FROM done.{table.name} d JOIN {table.name} t ON {same}").fetchone()
    new = db.execute(
        f"SELECT EXISTS (SELECT FROM done.{table.name} d WHERE NOT EXISTS (SELECT FROM {table.name} t WHERE {same}))"
    ).fetchone()[0]
    return [column for column, count in zip(columns, both, strict=True) if count], new, same


def statements(source, db):
    """What writes the rows that Defray wrote: of the attempts, and of what came of them."""
    metadata, begin, finish = sa.MetaData(), [CHARGING], []
    engine = sa.create_engine(common.address(TWIN))
    metadata.reflect(engine)
    engine.dispose()
    db.execute("CREATE SCHEMA done")
    with warnings.catch_warnings(action="ignore", category=sa.exc.SAWarning):  # reversals and sales name each other
        tables = metadata.sorted_tables
    for table in tables:
        changed, new, same = take_over(source, db, table)
        name, order = table.name, ", ".join(f'd."{column.name}"' for column in table.primary_key)
        if name == "gateway_transactions":
            names = [column.name for column in table.columns]
            values = ", ".join(STARTED.get(column, f'd."{column}"') for column in names)
            begin.append(f"INSERT INTO {name} SELECT {values} FROM done.{name} d ORDER BY {order}")
            changed, new = [f'"{column}"' for column in STARTED], False
        if new:
            finish.append(
                f"INSERT INTO {name} SELECT d.* FROM done.{name} d"
                f" WHERE NOT EXISTS (SELECT FROM {name} t WHERE {same}) ORDER BY {order}"
            )
        if changed:
            values = ", ".join(f"{column} = d.{column}" for column in changed)
            finish.append(f"UPDATE {name} t SET {values} FROM done.{name} d WHERE {same}")
    return begin, finish


def bare_database(n, source_dsn):
    """Payments a second in single statements, CPU microseconds, WAL bytes and row versions of each."""
    dsn = common.address(TWIN).replace("+psycopg", "")
    with psycopg.connect(source_dsn) as source, psycopg.connect(dsn) as db:
        begin, finish = statements(source, db)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("VACUUM ANALYZE")
        common.checkpoint()
        rows, wal = common.rows(dsn, ROWS), common.pg_counters(dsn)[2]
        cpu, began = common.cpu(common.pid_of("postgres")), time.perf_counter()
        for transaction in (begin, finish):
            with db.transaction():
                for statement in transaction:
                    db.execute(statement)
        seconds, cpu = time.perf_counter() - began, common.cpu(common.pid_of("postgres")) - cpu
    rows, wal = common.rows(dsn, ROWS) - rows, common.pg_counters(dsn)[2] - wal
    common.drop(TWIN)
    return {"per_s": round(n / seconds, 1), "postgres_cpu_us": round(cpu / n * 1e6),
            "wal_bytes_per": round(int(wal) / n), "rows_per": round(int(rows) / n, 2)}  # fmt: skip


# ---- Defray beside them ---------------------------------------------------------------------------------------------


def main(n=2_500, latency="50"):
    n, before, repeat = int(n), [], 3
    total = n * repeat + WARM

    def recorded(house):
        twin(house)
        before.append((common.rows(house.dsn, ROWS), house.settings.gateway_config["payflow"]))

    own = defray.run("limit", n, latency, repeat, WARM, processes=PROCESSES, window=WINDOW, database="bench_limit",
                     before_charging=recorded)  # fmt: skip
    dsn = common.address("bench_limit").replace("+psycopg", "")
    [(rows, config)] = before
    rows = round((common.rows(dsn, ROWS) - rows) / total, 2)
    client = bare_client(n * repeat, config)
    database = bare_database(total, dsn)
    rate = sorted(row["per_s"] for row in own)[repeat // 2]
    cores = len(os.sched_getaffinity(0))
    floor = client["client_cpu_us"] + client["gateway_cpu_us"] + database["postgres_cpu_us"]
    allowed = cores * 1e6 / floor
    common.emit(
        bench="limit", n=n, latency_ms=common.told(latency), cores=cores, defray_per_s=rate, defray_rows_per=rows,
        defray_cpu_us=sorted(row["cpu_us_all"] for row in own)[repeat // 2],
        defray_wal_bytes_per=own[0]["wal_bytes_per"],
        client=client, database=database, allowed_per_s=round(allowed), of_client=round(rate / client["per_s"], 3),
        of_database=round(rate / database["per_s"], 3), of_allowed=round(rate / allowed, 3),
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
