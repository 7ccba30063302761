"""How long a file of invoices takes: `services.py python imports.py [INVOICES]` (a million of 100,000 customers).

Beside it the floor: the same rows, read by nobody, copied into tables of the same indexes and constraints (COPY), and
into a table that has none. Each has the database to itself, and fsync is on. Told is also the memory of this process at
its highest before and after, which must not grow with the file.
"""

import datetime
import pathlib
import resource
import sys
import time

import common
import psycopg
from sqlalchemy import create_engine, text

from books.export import Asked, What, reading
from exports import Format, written
from models import migrate
from producer.files import FileOptions, import_customers, import_invoices

DAY = datetime.date(2026, 1, 1)


def made_up(folder, invoices):
    """The two files."""
    customers = max(1, invoices // 10)
    people, bills = folder / f"customers-{invoices}.csv", folder / f"invoices-{invoices}.csv"
    with people.open("w") as file:
        file.write("number,name,email\n")
        file.writelines(f"C-{n},Customer {n},c{n}@example.com\n" for n in range(customers))
    with bills.open("w") as file:
        file.write("customer,number,invoice_date,due_date,currency,amount\n")
        for n in range(invoices):
            day = DAY + datetime.timedelta(n * 7919 % 300)
            due = day + datetime.timedelta(30)
            file.write(f"C-{n * 7907 % customers},INV-{n:07d},{day},{due},USD,{100 + n % 900}.{n % 100:02d}\n")
    return people, bills


def timed(what, rows, work):
    started, cpu, wal = time.perf_counter(), time.process_time(), written_log()
    done = work()
    took = time.perf_counter() - started
    print(f"{what:<58} {took:7.2f} s {rows / took:11,.0f} rows/s   here {time.process_time() - cpu:6.2f} s CPU"
          f"   {(written_log() - wal) / rows:7,.0f} B WAL a row")  # fmt: skip
    return done


def written_log():
    return int(common.as_superuser("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")[0])


def highest():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def copied(url, path, into, columns):
    """COPY, by the server's own reader of CSV."""
    statement = f"COPY {into} ({columns}) FROM STDIN (FORMAT csv, HEADER)"
    with psycopg.connect(url) as db, db.cursor().copy(statement) as copy, path.open("rb") as file:
        while block := file.read(1 << 20):
            copy.write(block)


def main(invoices):
    people, bills = made_up(common.HOME, invoices)
    url = common.database("bench_imports")
    migrate.upgrade(url)
    engine = create_engine(url)
    plain = url.replace("+psycopg", "")
    try:
        before = highest()
        first = timed("customers", invoices // 10, lambda: import_customers(engine, people, FileOptions(), "bench"))
        done = timed("invoices", invoices, lambda: import_invoices(engine, bills, FileOptions(), "bench"))
        assert (first.recorded, done.recorded, done.refused_count) == (invoices // 10, invoices, 0)
        print(f"memory of this process at its highest: {before:.0f} MiB before, {highest():.0f} MiB after")
        again = timed("the same invoices again", invoices, lambda: import_invoices(engine, bills, FileOptions(), "b"))
        assert (again.recorded, again.repeated) == (0, invoices)
        for form in Format:
            what = What.JOURNAL if form is Format.BEANCOUNT else What.INVOICES
            timed(f"{what} exported as {form}", invoices, lambda what=what, form=form: exported(engine, what, form))
        floor(engine, plain, bills, invoices)
    finally:
        engine.dispose()
        common.drop("bench_imports")


def exported(engine, what, form):
    with reading(engine) as conn, (common.HOME / "exported").open("w") as file:
        file.writelines(written(conn, what, Asked("UTC"), form))


def floor(engine, url, bills, invoices):
    """What the rows cost the database alone."""
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE bare (customer text, number text, invoice_date date, due_date date,"
                          " currency text, total numeric)"))  # fmt: skip
        for table in ("invoices", "events", "journal"):
            conn.execute(text(f"CREATE TABLE copy_of_{table} (LIKE {table} INCLUDING ALL)"))
        conn.execute(text("ALTER TABLE copy_of_invoices ADD FOREIGN KEY (customer_id) REFERENCES customers"))
    columns = "customer, number, invoice_date, due_date, currency, total"
    timed("COPY of the file into a table without index", invoices, lambda: copied(url, bills, "bare", columns))
    for table in ("invoices", "events", "journal"):
        kept = common.HOME / f"{table}.csv"
        with psycopg.connect(url) as db, kept.open("wb") as file:
            with db.cursor().copy(f"COPY (SELECT * FROM {table} ORDER BY id DESC LIMIT {invoices}) TO STDOUT"
                                  " (FORMAT csv, HEADER)") as c:  # fmt: skip
                file.writelines(c)
            names = ", ".join(column.name for column in db.execute(f"SELECT * FROM {table} LIMIT 0").description)
        timed(f"COPY of the same rows into another table of {table}", invoices,
              lambda table=table, kept=kept, names=names: copied(url, kept, f"copy_of_{table}", names))  # fmt: skip
        kept.unlink()


if __name__ == "__main__":
    pathlib.Path(common.HOME).mkdir(parents=True, exist_ok=True)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
