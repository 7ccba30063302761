"""How long the office waits for a customer: `services.py python find.py [CUSTOMERS]` (a million unless said).

The console is to answer within 50 ms on two cores. Everything is rolled back in the end.
"""

import statistics
import sys
import time

import common
from sqlalchemy import create_engine, text

from books import find
from models import migrate

ASKED = {
    "beginning of a name": "ann",
    "part of a name": "ttoll",
    "two words": "maria eat",
    "customer number": "N7771",
    "e-mail": "a77@",
    "part of a telephone number": "5557",
    "invoice": "I7771",
    "last four digits": "4242",
    "nobody": "zzz",
}
REPEAT = 20

FILL = text("""
    INSERT INTO customers (number, name, email, phone, created_at)
    SELECT 'N' || n, (ARRAY['Ann', 'Bob', 'Carla', 'Eva', 'Frank', 'Grace', 'Maria', 'Otto'])[1 + n % 8] || ' '
           || initcap(left(translate(md5(n::text), '0123456789', 'aeioulnrst'), 8)),
           'a' || n || '@example.org', '212555' || n, now()
    FROM generate_series(1, :customers) AS n""")
BILL = text("""
    INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor, balance_minor, state,
                          created_at)
    SELECT id, 'I' || id, '2026-01-01', '2026-01-31', 'USD', 100, 100, 'pending', now() FROM customers""")


def main(customers):
    url = common.database("bench_find")
    migrate.upgrade(url)
    engine = create_engine(url)
    with engine.connect() as conn:
        conn.execute(FILL, {"customers": customers})
        conn.execute(BILL)
        conn.execute(text("ANALYZE customers, invoices"))
        for what, asked in ASKED.items():
            took = []
            for _ in range(REPEAT):
                begun = time.perf_counter()
                found = len(find.customers(conn, asked))
                took.append((time.perf_counter() - begun) * 1000)
            common.emit(
                bench="find", customers=customers, asked=what, found=found,
                median_ms=round(statistics.median(took), 1), worst_ms=round(max(took), 1),
            )  # fmt: skip
        conn.rollback()
    engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
