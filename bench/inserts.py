"""What PostgreSQL takes through psycopg 3: rows a second into `attempts`, whole payments settled with no gateway."""

import functools
import sys
import threading
import time
import uuid

import common
import model
import psycopg

N = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
INSERT = "INSERT INTO attempts (payment_id, key) VALUES (%s, %s)"
UNNEST = "INSERT INTO attempts (payment_id, key) SELECT * FROM unnest(%s::bigint[], %s::uuid[])"
REPLY = "RESULT=0&PNREF=V000000000001&RESPMSG=Approved&AUTHCODE=000001&" + "X=Y&" * 35


def measure(bench, name, n, work):
    postgres = common.cpu(common.pid_of("postgres"))
    cpu, start = time.process_time(), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    postgres = common.cpu(common.pid_of("postgres")) - postgres
    common.emit(
        bench=bench, how=name, n=n, per_s=round(n / wall),
        client_cpu_us=round(cpu / n * 1e6), postgres_cpu_us=round(postgres / n * 1e6),
    )  # fmt: skip


def rows(n=N):
    return [(i + 1, uuid.uuid4()) for i in range(n)]


def insert(db, how):
    db.execute("TRUNCATE attempts CASCADE")
    db.commit()  # else autocommit cannot change below, and transaction() would be a savepoint that commits nothing
    data = rows()
    if how == "commit a row":
        db.autocommit = True
        measure("insert", how, N, lambda: [db.execute(INSERT, row) for row in data])
        db.autocommit = False
        return

    def work():
        with db.transaction():
            if how == "one by one, one commit":
                for row in data:
                    db.execute(INSERT, row)
            elif how == "executemany":
                db.cursor().executemany(INSERT, data)
            elif how == "pipeline":
                with db.pipeline():
                    for row in data:
                        db.execute(INSERT, row)
            elif how == "COPY":
                with db.cursor().copy("COPY attempts (payment_id, key) FROM STDIN (FORMAT binary)") as copy:
                    copy.set_types(["int8", "uuid"])
                    for row in data:
                        copy.write_row(row)
            else:
                size = int(how.split()[1])
                for start in range(0, N, size):
                    part = data[start : start + size]
                    db.execute(UNNEST, ([i for i, _ in part], [key for _, key in part]))

    measure("insert", how, N, work)


def settle(db, first, last, size):
    for start in range(first, last + 1, size):
        ids = list(range(start, min(start + size - 1, last) + 1))
        got = db.execute(model.START, {"ids": ids}).fetchall()
        db.execute(
            model.FINISH,
            {
                "attempts": [r[0] for r in got], "payments": [r[1] for r in got], "outcomes": ["approved"] * len(got),
                "refs": ["V1"] * len(got), "replies": [REPLY] * len(got),
            },
        )  # fmt: skip


common.seed(N)
with psycopg.connect(common.DSN) as db:
    for how in ("commit a row", "one by one, one commit", "executemany", "pipeline",
                "unnest 100", "unnest 1000", "unnest 5000", "COPY"):  # fmt: skip
        insert(db, how)
for size in (1, 10, 100, 1000, 5000):
    n = min(N, size * 1000)
    common.seed(n)
    with psycopg.connect(common.DSN, autocommit=True) as db:
        measure("settle", f"{size} a transaction, 1 connection", n, functools.partial(settle, db, 1, n, size))
    common.check(n)
common.seed(N)
dbs = [psycopg.connect(common.DSN, autocommit=True) for _ in range(2)]
threads = [threading.Thread(target=settle, args=(dbs[k], 1 + k * N // 2, (k + 1) * N // 2, 100)) for k in range(2)]
measure(
    "settle", "100 a transaction, 2 connections", N, lambda: [[t.start() for t in threads], [t.join() for t in threads]]
)
common.check(N)
