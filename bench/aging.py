"""How long aging takes: `services.py python aging.py [INVOICES]` (a million pending unless said, and a tenth paid).

Today must come within a second; a day of the past undoes all that was moved since. Everything is rolled back.
"""

import datetime
import sys
import time
from zoneinfo import ZoneInfo

import common
from sqlalchemy import create_engine, text

from books import aging
from models import migrate

UTC = ZoneInfo("UTC")

FILL = text("""
    INSERT INTO customers (number, name, created_at)
    SELECT 'N' || n, 'Customer ' || n, now() FROM generate_series(1, :invoices / 10) AS n""")
BILL = text("""
    INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor, balance_minor, state,
                          created_at)
    SELECT first.id + n % (:invoices / 10), 'I' || n, CAST(:today AS date) - n % 300,
           CAST(:today AS date) - n % 300 + 30,
           'USD', 100 + n % 900, CASE WHEN n > :invoices THEN 0 ELSE 100 + n % 900 END,
           CASE WHEN n > :invoices THEN 'paid' ELSE 'pending' END, now()
    FROM generate_series(1, :invoices + :invoices / 10) AS n, (SELECT min(id) AS id FROM customers) AS first""")
BOOK = text("""
    INSERT INTO journal (at, post_date, kind, customer_id, invoice_id, currency, accounts, amounts_minor)
    SELECT now(), invoice_date, 'billed', customer_id, id, currency, '{receivable,revenue}',
           ARRAY[total_minor, -total_minor]
    FROM invoices ORDER BY invoice_date""")
PAY = text("""
    INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,
                          post_date, as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state,
                          applied_minor, recorded_at, recorded_by)
    SELECT customer_id, 'bench', id::text, '', 'check', currency, total_minor,
           CAST(:today AS date) - CAST(id % 100 AS int), false, false,
           'ask', total_minor, 'posted', total_minor, now(), 'bench'
    FROM invoices WHERE state = 'paid' ORDER BY id % 100 DESC""")
APPLY = text("""
    INSERT INTO allocations (payment_id, invoice_id, amount_minor, created_at)
    SELECT id, idempotency_key::bigint, total_minor, now() FROM payments WHERE caller = 'bench'""")
POST = text("""
    INSERT INTO journal (at, post_date, kind, customer_id, payment_id, currency, accounts, amounts_minor)
    SELECT now(), post_date, 'posted', customer_id, id, currency, '{cash:check,receivable}',
           ARRAY[total_minor, -total_minor]
    FROM payments WHERE caller = 'bench' ORDER BY id""")


def main(invoices):
    url = common.database("bench_aging")
    migrate.upgrade(url)
    engine = create_engine(url)
    today = datetime.date(2026, 3, 1)
    asked = {"invoices": invoices, "today": today}
    with engine.connect() as conn:
        for statement in (FILL, BILL, BOOK, PAY, APPLY, POST):
            conn.execute(statement, {name: value for name, value in asked.items() if f":{name}" in statement.text})
            conn.execute(text("ANALYZE customers, invoices, journal, payments, allocations"))
        conn.execute(text("SELECT brin_summarize_new_values('ix_journal_post_date')"))  # as autovacuum does
        for days in (0, 1, 30, 90):
            day = today - datetime.timedelta(days=days)
            begun = time.perf_counter()
            found = aging.standing(conn, day, UTC)
            took = time.perf_counter() - begun
            common.emit(
                bench="aging", invoices=invoices, days_ago=days, found=len(found.customers), ms=round(took * 1000)
            )
        conn.rollback()
    engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
