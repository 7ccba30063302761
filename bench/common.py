"""Settings, seeding and measuring shared by every benchmark."""

import collections
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

import psutil
import psycopg

HERE = pathlib.Path(__file__).resolve().parent
try:
    HOME = pathlib.Path(os.environ["BENCH_HOME"])
    SA_URL, SUPERUSER = (os.environ[name] for name in ("BENCH_SA_URL", "BENCH_SUPERUSER"))
    REDIS, GATEWAY = os.environ["BENCH_REDIS"], os.environ["BENCH_GATEWAY"]
    PIDS = {name: int(pid) for name, pid in (pair.split("=") for pair in os.environ["BENCH_PIDS"].split())}
except KeyError as missing:
    sys.exit(f"{missing} is not set: run this by `python bench/services.py python {sys.argv[0]} ...`")
DSN = SA_URL.replace("+psycopg", "")
LATENCY = os.environ.get("BENCH_LATENCY_MS", "0")
PAY_URL = f"{GATEWAY}/pay/{LATENCY}"


def as_superuser(statement, *values):
    with psycopg.connect(SUPERUSER.replace("+psycopg", ""), autocommit=True) as db:
        done = db.execute(statement, values or None)
        return done.fetchone() if done.description else None


def database(name):
    """The address of an empty database, where nothing of the peers' stand-in tables is in the way."""
    drop(name)
    as_superuser(f"CREATE DATABASE {name} OWNER defray")
    return address(name)


def drop(name):
    as_superuser(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def exists(name):
    return as_superuser("SELECT count(*) FROM pg_database WHERE datname = %s", name)[0] == 1


def size(name):
    """Bytes of a database."""
    return as_superuser("SELECT pg_database_size(%s)", name)[0]


def address(name):
    """The address of a database, for the role that owns it and is no superuser."""
    return SA_URL.rpartition("/")[0] + "/" + name


def told(latency):
    """A gateway's latency as results tell it: milliseconds, or words such as 50t where it has a tail."""
    return int(latency) if latency.isdigit() else latency


def form(payment_id, amount, currency, token, key):
    """The name-value request a card gateway takes (about 450 bytes on the wire)."""
    return {
        "USER": "merchant", "VENDOR": "merchant", "PARTNER": "processor", "PWD": "not-a-secret", "TRXTYPE": "S",
        "TENDER": "C", "ORIGID": token, "AMT": str(amount), "CURRENCY": currency, "INVNUM": str(payment_id),
        "COMMENT1": "monthly subscription", "CUSTIP": "127.0.0.1", "VERBOSITY": "HIGH", "REQUEST_ID": str(key),
        "BILLTOFIRSTNAME": "Ada", "BILLTOLASTNAME": "Lovelace", "BILLTOSTREET": "12 St James's Square",
        "BILLTOZIP": "SW1Y4JH", "BILLTOCOUNTRY": "GB", "EMAIL": "ada@example.com",
    }  # fmt: skip


def parse(text):
    reply = dict(pair.split("=", 1) for pair in text.split("&"))
    return ("approved" if reply["RESULT"] == "0" else "declined"), reply["PNREF"]


def seed(n, invoices_per_customer=10, others=0):
    """n recorded payments of batch 1, one invoice each; `others` settled payments of batch 0 as ballast."""
    with psycopg.connect(DSN, autocommit=True) as db:
        db.execute((HERE / "schema.sql").read_text())
        total = n + others
        db.execute(
            "INSERT INTO invoices (id, customer_id, total)"
            " SELECT i, i / %s, 10 + i %% 90 FROM generate_series(1, %s) i",
            (invoices_per_customer, total),
        )
        db.execute(
            "INSERT INTO payments (id, batch_id, invoice_id, amount, currency, card_token, state)"
            " SELECT i, (i <= %s)::int, i, 10 + i %% 90, 'USD', 'tok_' || md5(i::text),"
            " CASE WHEN i <= %s THEN 'recorded' ELSE 'paid' END FROM generate_series(1, %s) i",
            (n, n, total),
        )
        if others:
            db.execute(
                "INSERT INTO attempts (payment_id, key, outcome, gateway_ref)"
                " SELECT i, gen_random_uuid(), 'approved', 'V' || i FROM generate_series(%s, %s) i",
                (n + 1, total),
            )
            db.execute(
                "INSERT INTO allocations (payment_id, invoice_id, amount)"
                " SELECT i, i, 10 FROM generate_series(%s, %s) i",
                (n + 1, total),
            )
            db.execute(
                "INSERT INTO ledger_entries (payment_id, account, amount) SELECT i, a, s"
                " FROM generate_series(%s, %s) i, (VALUES ('cash', 10), ('receivable', -10)) v(a, s)",
                (n + 1, total),
            )
        db.execute("VACUUM ANALYZE")
    checkpoint()


def checkpoint():
    as_superuser("CHECKPOINT")


def check(n):
    """Every payment paid once, every invoice settled, the ledger balanced."""
    with psycopg.connect(DSN) as db:
        row = db.execute(
            "SELECT (SELECT count(*) FROM payments WHERE batch_id = 1 AND state = 'paid'),"
            " (SELECT count(*) FROM attempts JOIN payments p ON p.id = payment_id"
            "  WHERE outcome = 'approved' AND batch_id = 1),"
            " (SELECT count(*) FROM allocations JOIN payments p ON p.id = payment_id WHERE batch_id = 1),"
            " (SELECT count(*) FROM ledger_entries JOIN payments p ON p.id = payment_id WHERE batch_id = 1),"
            " (SELECT sum(amount) FROM ledger_entries) = 0,"
            " (SELECT count(*) FROM invoices i JOIN payments p ON p.invoice_id = i.id"
            "  WHERE batch_id = 1 AND i.paid = i.total)"
        ).fetchone()
    assert row == (n, n, n, 2 * n, True, n), row


def pid_of(name):
    return PIDS[name]


def tree(pid):
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu(pid):
    """CPU seconds of a process, its live descendants and its reaped children."""
    total = 0.0
    for p in tree(pid):
        try:
            t = p.cpu_times()
            total += t.user + t.system + t.children_user + t.children_system
        except psutil.NoSuchProcess:
            pass
    return total


Memory = collections.namedtuple("Memory", "pss peak largest")


def memory(pid):
    """Of the tree, in MiB: sum of PSS, sum of peak RSS, and the largest peak RSS of one process."""
    pss, peaks = 0, []
    for p in tree(pid):
        try:
            pss += p.memory_full_info().pss
            for line in pathlib.Path(f"/proc/{p.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    peaks.append(int(line.split()[1]) * 1024)
        except (psutil.NoSuchProcess, FileNotFoundError):
            pass
    return Memory(round(pss / 2**20), round(sum(peaks) / 2**20), round(max(peaks) / 2**20))


def pg_counters(dsn=DSN):
    """Commits in the database, and fsyncs and bytes of the server's write-ahead log."""
    with psycopg.connect(dsn) as db:
        return db.execute(
            "SELECT xact_commit, (SELECT sum(fsyncs)::bigint FROM pg_stat_io WHERE object = 'wal'),"
            " (SELECT wal_bytes::bigint FROM pg_stat_wal) FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()


def rows(dsn, question):
    """One number, once all counts up to now were told (at most once a second)."""
    time.sleep(1.1)
    with psycopg.connect(dsn) as db:
        return db.execute(question).fetchone()[0]


def spawn(args, cwd=HERE, log="worker.log", **env):
    with open(HOME / log, "wb") as file:
        return subprocess.Popen(
            [str(a) for a in args], cwd=cwd, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **env}
        )


def stop(proc):
    """Ask, then insist: only our own child and its descendants."""
    procs = tree(proc.pid)
    proc.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        proc.wait(15)
    for p in procs:
        with contextlib.suppress(psutil.NoSuchProcess):
            p.kill()
    proc.wait()


def emit(**row):
    """Print a result, and append it to BENCH_OUT."""
    line = json.dumps({**row, "load": round(os.getloadavg()[0], 2)})
    print(line, flush=True)
    out = os.environ.get("BENCH_OUT")
    if out:
        with open(out, "a") as f:
            f.write(line + "\n")
    return row


PY = sys.executable
now = time.time
