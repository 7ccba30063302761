"""How long a gateway's report takes beside the books: `services.py python reconcile.py [LINES]` (100,000 unless said).

A hundredth of the lines is missing here, a hundredth of ours missing there, a hundredth differs. It takes seconds, and
no more memory the longer the report is. Everything is rolled back.
"""

import datetime
import resource
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from zoneinfo import ZoneInfo

import common
from sqlalchemy import create_engine, text

from books import reconcile
from models import migrate
from reports import FORMS
from reports.file import look_over

FIRST = 10**18
BEGIN = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
HEAD = "Transaction ID,Time,Type,Amount,Currency,Result Code,Transaction State,Cust Ref\n"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

OWNER = text("INSERT INTO customers (number, name, created_at) VALUES ('bench', 'Bench', now()) RETURNING id")
PAY = text("""
    INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,
                          charged_minor, post_date, as_credit, allow_overlap, when_owed_less, owed_at_request_minor,
                          state, applied_minor, recorded_at, recorded_by)
    SELECT :owner, 'bench', n::text, '', 'check', 'USD', 100 + n % 900, 100 + n % 900, CAST(:begin AS date), false,
           false, 'ask', 100 + n % 900, 'posted', 100 + n % 900, now(), 'bench'
    FROM generate_series(1, :lines) AS n""")
SELL = text("""
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency, state,
                                      transaction_id, send_until, started_at, finished_at)
    SELECT id, 'sale', 'payflow', 'bench', :first + CAST(idempotency_key AS bigint), total_minor, 'USD', 'approved',
           'A' || idempotency_key, at, at, at + interval '1 second'
    FROM (SELECT *, CAST(:begin AS timestamptz) + interval '1 second' * (CAST(idempotency_key AS bigint) % 86000) AS at
          FROM payments WHERE caller = 'bench') AS p ORDER BY id""")


def base36(number):
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return digits.rjust(12, "0")


def write(path, lines, referenced):
    zone = ZoneInfo(FORMS["payflow"].zone)
    with path.open("w") as file:
        file.write(HEAD)
        for n in range(1, lines + 1):
            at = (BEGIN + datetime.timedelta(seconds=n % 86000)).astimezone(zone)
            own, amount = (n + lines if n % 100 == 1 else n), (100 + n % 900) + (n % 100 == 2)
            reference = base36(FIRST + own) if referenced else ""
            file.write(f"A{own},{at:%Y-%m-%d %H:%M:%S},Sale,{amount / 100:.2f},USD,0,8,{reference}\n")


def main(lines, referenced):
    url = common.database("bench_reconcile")
    migrate.upgrade(url)
    engine = create_engine(url)
    form = FORMS["payflow"]
    with tempfile.TemporaryDirectory() as folder, engine.connect() as conn:
        path = Path(folder) / "report.csv"
        write(path, lines, referenced)
        owner = conn.execute(OWNER).scalar_one()
        conn.execute(PAY, {"owner": owner, "begin": BEGIN, "lines": lines})
        conn.execute(SELL, {"begin": BEGIN, "first": FIRST})
        conn.execute(text("ANALYZE payments, gateway_transactions"))
        begun = time.perf_counter()
        report = look_over(path)
        looked = time.perf_counter()
        deque(report.lines(form, ZoneInfo(form.zone)), maxlen=0)
        parsed = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        source = reconcile.Source(
            "payflow", report.digest, path.name, BEGIN, BEGIN + datetime.timedelta(days=1), datetime.timedelta(),
            form.grain,
        )  # fmt: skip
        started = time.perf_counter()
        reading = reconcile.read(conn, source, report.lines(form, ZoneInfo(form.zone)), BEGIN, "bench")
        took = time.perf_counter() - started
        common.emit(
            bench="reconcile",
            lines=lines,
            found_by="reference" if referenced else "id",
            digest_ms=round((looked - begun) * 1000),
            parse_ms=round((parsed - looked) * 1000),
            ms=round(took * 1000),
            peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            grown_mib=(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024,
            groups={each.group: each.lines for each in reading.sums},
        )
        conn.rollback()
    engine.dispose()


if __name__ == "__main__":
    for by_reference in (True, False):
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, by_reference)
