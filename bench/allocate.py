"""One check spread oldest first over N open invoices of one customer: Defray, ORM loop, bulk, one statement, limits.

Those called "Defray" work on Defray's own tables: `post` is what its worker runs; `one statement` writes the same rows
of invoices, allocations and events as `post`, but no state, journal entry or event of the payment.
"""

import resource
import subprocess
import sys
import time

import common
import defray
import model
import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from books import claim, clock, post

SPREAD = """
WITH open AS (
         SELECT id, total - paid AS due,
                sum(total - paid) OVER (ORDER BY due_on, id ROWS UNBOUNDED PRECEDING) - (total - paid) AS before
         FROM {source}),
     take AS (SELECT id, least(due, %(amount)s - before) AS amount FROM open WHERE before < %(amount)s),
     done AS (UPDATE invoices i SET paid = paid + take.amount,
                     state = CASE WHEN paid + take.amount >= total THEN 'paid' ELSE 'open' END
              FROM take WHERE i.id = take.id RETURNING i.id, take.amount)
INSERT INTO allocations (payment_id, invoice_id, amount) SELECT %(payment)s, id, amount FROM done
"""
OPEN = "invoices WHERE customer_id = 1 AND state = 'open'"
LOCKED = "(SELECT * FROM invoices WHERE customer_id = 1 AND state = 'open' ORDER BY due_on, id FOR UPDATE) l"


def seed(n, others):
    with psycopg.connect(common.DSN, autocommit=True) as db:
        db.execute((common.HERE / "schema.sql").read_text())
        db.execute(
            "INSERT INTO invoices (id, customer_id, total, due_on)"
            " SELECT i, CASE WHEN i <= %(n)s THEN 1 ELSE 2 + i %% 1000 END, 10 + i %% 90, date '2026-01-01' + i %% 365"
            " FROM generate_series(1, %(n)s + %(others)s) i",
            {"n": n, "others": others},
        )
        amount = db.execute("SELECT sum(total) - 5 FROM invoices WHERE customer_id = 1").fetchone()[0]
        db.execute(
            "INSERT INTO payments (id, batch_id, invoice_id, amount, currency, card_token)"
            " VALUES (1, 1, 1, %s, 'USD', 'check')",
            (amount,),
        )
        db.execute("VACUUM ANALYZE")
    common.checkpoint()
    return amount


def orm_loop(amount):
    with Session(model.engine()) as session:
        query = sa.select(model.Invoice).where(model.Invoice.customer_id == 1, model.Invoice.state == "open")
        left = amount
        for invoice in session.scalars(query.order_by(model.Invoice.due_on, model.Invoice.id).with_for_update()):
            if not left:
                break
            take = min(left, invoice.total - invoice.paid)
            invoice.paid += take
            invoice.state = "paid" if invoice.paid >= invoice.total else "open"
            session.add(model.Allocation(payment_id=1, invoice_id=invoice.id, amount=take))
            left -= take
        session.commit()


def python_bulk(amount):
    """Loop over plain tuples, then one unnest UPDATE and one unnest INSERT."""
    with psycopg.connect(common.DSN) as db:
        left, ids, takes = amount, [], []
        query = f"SELECT id, total - paid FROM {OPEN} ORDER BY due_on, id FOR UPDATE"
        for invoice, due in db.execute(query):
            if not left:
                break
            takes.append(take := min(left, due))
            ids.append(invoice)
            left -= take
        data = {"ids": ids, "takes": takes}
        db.execute(
            "UPDATE invoices i SET paid = paid + t.amount,"
            " state = CASE WHEN paid + t.amount >= total THEN 'paid' ELSE 'open' END"
            " FROM unnest(%(ids)s::bigint[], %(takes)s::numeric[]) t(id, amount) WHERE i.id = t.id",
            data,
        )
        db.execute(
            "INSERT INTO allocations (payment_id, invoice_id, amount)"
            " SELECT 1, * FROM unnest(%(ids)s::bigint[], %(takes)s::numeric[])",
            data,
        )


def statement(text):
    def work(amount):
        with psycopg.connect(common.DSN) as db:
            db.execute("SELECT 1 FROM payments WHERE id = 1 FOR UPDATE")
            db.execute(text, {"amount": amount, "payment": 1} if "%(" in text else None)

    return work


def no_foreign_keys(amount):
    with psycopg.connect(common.DSN, autocommit=True) as db:
        db.execute("ALTER TABLE allocations DROP CONSTRAINT allocations_payment_id_fkey,"
                   " DROP CONSTRAINT allocations_invoice_id_fkey")  # fmt: skip
    return statement(SPREAD.format(source=OPEN))


DEFRAY_SPREAD = """
WITH open AS (
         SELECT id, balance_minor AS due, sum(balance_minor) OVER (
             ORDER BY invoice_date, due_date, number, id ROWS UNBOUNDED PRECEDING) - balance_minor AS before
         FROM invoices WHERE customer_id = 1 AND currency = 'USD' AND state = 'pending'),
     take AS (SELECT id, least(due, %(amount)s - before) AS amount FROM open WHERE before < %(amount)s),
     done AS (UPDATE invoices i SET balance_minor = balance_minor - take.amount,
                     state = CASE WHEN balance_minor = take.amount THEN 'paid' ELSE 'pending' END
              FROM take WHERE i.id = take.id RETURNING i.id, i.customer_id, i.state, take.amount),
     told AS (INSERT INTO events (at, what, customer_id, payment_id, invoice_id, from_state, to_state, by)
              SELECT now(), 'invoice.paid', customer_id, 1, id, 'pending', 'paid', 'bench' FROM done
              WHERE state = 'paid')
INSERT INTO allocations (payment_id, invoice_id, amount_minor, created_at) SELECT 1, id, amount, now() FROM done
"""


class Defray:
    """Defray's own tables with the same invoices, and a check that was recorded for them."""

    def __init__(self, n, others):
        self.house = defray.House("bench_defray_allocate", "check", 0, 1, 0, 1, "payflow")
        self.n = n
        with psycopg.connect(self.house.dsn, autocommit=True) as db:
            db.execute(
                "INSERT INTO customers (number, name, created_at)"
                " SELECT 'C' || i, 'C' || i, now() FROM generate_series(1, 1002) i"
            )
            db.execute(
                "INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor,"
                " balance_minor, state, created_at)"
                " SELECT CASE WHEN i <= %(n)s THEN 1 ELSE 2 + i %% 1000 END, 'I' || i, date '2026-01-01' + i %% 365,"
                " date '2026-02-01' + i %% 365, 'USD', 10 + i %% 90, 10 + i %% 90, 'pending', now()"
                " FROM generate_series(1, %(n)s + %(others)s) i",
                {"n": n, "others": others},
            )
            query = "SELECT sum(balance_minor)::bigint - 5 FROM invoices WHERE customer_id = 1"
            self.amount = db.execute(query).fetchone()[0]
            check = {
                "idempotency_key": "check", "method": "check", "currency": "USD", "customer": "C1",
                "amount_minor": self.amount,
            }  # fmt: skip
            self.house.producer.pay(check, caller="bench", by="bench")
            db.execute("VACUUM ANALYZE")
        common.checkpoint()

    def post(self):
        with self.house.engine.begin() as conn:
            now = clock.now(conn)
            tally = post.post_due(conn, claim.Single(1), 1, now.date(), now, "bench")
        assert tally.posted == 1, tally

    def one_statement(self):
        with psycopg.connect(self.house.dsn) as db:
            db.execute("SELECT 1 FROM customers WHERE id = 1 FOR NO KEY UPDATE")
            db.execute(DEFRAY_SPREAD, {"amount": self.amount})

    def check(self, posted):
        with psycopg.connect(self.house.dsn) as db:
            done = db.execute(
                "SELECT (SELECT count(*) FROM invoices WHERE state = 'paid'),"
                " (SELECT sum(total_minor - balance_minor)::bigint FROM invoices),"
                " (SELECT count(*) FROM allocations), (SELECT sum(amount_minor)::bigint FROM allocations),"
                " (SELECT count(*) FROM events WHERE what = 'invoice.paid'),"
                " (SELECT applied_minor FROM payments WHERE state = 'posted'),"
                " (SELECT count(*) FROM journal WHERE kind = 'posted')"
            ).fetchone()
        payment = (self.amount, 1) if posted else (None, 0)
        assert done == (self.n - 1, self.amount, self.n, self.amount, self.n - 1, *payment), done
        self.house.close()


HOW = {
    "Defray: post": Defray.post,
    "Defray: one statement": Defray.one_statement,
    "orm loop": orm_loop,
    "python tuples, bulk unnest": python_bulk,
    "one statement": statement(SPREAD.format(source=OPEN)),
    "one statement, rows locked first": statement(SPREAD.format(source=LOCKED)),
    "one statement, no foreign keys": None,
    "limit: raw UPDATE": statement(f"UPDATE {OPEN.replace(' WHERE', ' SET paid = total, state = $$paid$$ WHERE', 1)}"),
    "limit: raw UPDATE, paid only": statement(f"UPDATE {OPEN.replace(' WHERE', ' SET paid = total WHERE', 1)}"),
    "limit: raw INSERT of allocations": statement(
        f"INSERT INTO allocations (payment_id, invoice_id, amount) SELECT 1, id, total - paid FROM {OPEN}"
    ),
}


def run(name, n, others):
    books = Defray(n, others) if name.startswith("Defray") else None
    amount = books or seed(n, others)
    work = HOW[name] or no_foreign_keys(amount)
    postgres = common.cpu(common.pid_of("postgres"))
    cpu, start = time.process_time(), time.perf_counter()
    work(amount)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    time.sleep(0.1)
    postgres = common.cpu(common.pid_of("postgres")) - postgres
    if books:
        books.check(posted=name == "Defray: post")
    with psycopg.connect(common.DSN) as db:
        paid = db.execute("SELECT sum(paid), count(*) FILTER (WHERE state = 'paid') FROM invoices").fetchone()
        allocated = db.execute("SELECT sum(amount), count(*) FROM allocations").fetchone()
    if not name.startswith(("limit", "Defray")):
        assert (*paid, *allocated) == (amount, n - 1, amount, n), (paid, allocated, amount)
    common.emit(
        bench="allocate", how=name, n=n, others=others, seconds=round(wall, 4), client_cpu_s=round(cpu, 3),
        postgres_cpu_s=round(postgres, 3), rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )  # fmt: skip


if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    others = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    if len(sys.argv) > 3:
        run(sys.argv[3], n, others)
    else:
        for name in HOW:  # each in a process of its own, so that peak memory is its own
            subprocess.run([common.PY, __file__, str(n), str(others), name], check=True)
