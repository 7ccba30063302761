"""History for `growth.py`: a thousand payments that really happened, copied by INSERT ... SELECT into the past.

The pattern is charged, declined, cancelled, voided, refunded and posted by Defray itself against its sandbox. A copy
has ids, numbers, references and tokens of its own, and lies so many days back; all else of each row stays as it was.
Foreign keys are not checked while copying: the audit proves that all belongs together.
"""

import datetime
import shutil
import time

import common
import defray
import psycopg
import sqlalchemy as sa

from books import audit, claim, credit, void
from books.bill import NewInvoice, record_invoices
from models.engine import engine_for
from rules.cards import Card
from sandbox import client
from settings import load
from tasks import charge, confirm, context, post, refund, watch
from tasks import void as void_task
from worker.wake import Wake

PATTERN = 1_000
"""Payments of the pattern: one in twenty a check; of a hundred cards three are declined, two voided, one refunded."""
STRIDE = 20_000
"""Ids of one copy; more than any table of the pattern has rows."""
SPAN_DAYS = 730
BYTES_A_PAYMENT = 5_000
"""In all tables, with indexes; the write-ahead log and the batches take some GiB beside it."""
OWN_WORDS = {"number", "idempotency_key", "token", "card_token", "fingerprint", "card_fingerprint", "transaction_id"}
GOOD, NO_FUNDS, STOLEN = "4111111111111111", "4000000000009995", "4000000000009979"
CREDENTIALS = {"USER": "sandbox", "VENDOR": "sandbox", "PASSWORD": "sandbox-secret"}
LIVE = "SELECT id FROM payments WHERE state = 'posted' AND gateway IS NOT NULL ORDER BY id LIMIT %s OFFSET %s"


def check_disk(payments):
    """Exit where the history would fill the disk."""
    needed, free = payments * BYTES_A_PAYMENT + 8 * 2**30, shutil.disk_usage(common.HOME).free
    if needed > free:
        raise SystemExit(f"{payments:,} payments need {needed / 2**30:.0f} GiB, and {free / 2**30:.0f} are free.")


def pattern(name):
    """A database in which `PATTERN` payments came to their ends; its address as DSN."""
    house = defray.House(name, "credit_card", PATTERN, 10, "0", 100, "payflow")
    with client.start(any_amount=True) as sandbox:
        house.environment.update(
            {"DEFRAY_PAYFLOW_URL": sandbox.url("payflow")}
            | {f"DEFRAY_PAYFLOW_{name}": value for name, value in CREDENTIALS.items()}
        )
        settings = load(house.environment)
        work = context.build(settings, house.engine, Wake(common.REDIS + "/0"))
        checks = PATTERN // 20
        cards = [
            Card(number_of(i), 12, 2039, name="Ada Lovelace", postal_code="SW1Y4JH") for i in range(checks, PATTERN)
        ]
        tokens = [sealed.token for sealed in house.producer.keep_cards(cards)]
        house.method = "check"
        post.work(work, claim.Batch(house.record(0, checks, [])))
        house.method = "credit_card"
        charge.work(work, claim.Batch(house.record(checks, PATTERN - checks, tokens)), PATTERN)
        with psycopg.connect(house.dsn, autocommit=True) as db:
            unlucky = [row[0] for row in db.execute("SELECT id FROM payments WHERE state = 'retrying'")]
            voided, refunded = (
                [row[0] for row in db.execute(LIVE, (PATTERN // 100 * share, offset))]
                for share, offset in ((2, 0), (1, PATTERN // 2))
            )
        for payment_id in unlucky:
            with work.transaction() as (conn, now):
                void.cancel(conn, payment_id, "paid otherwise", now, "bench")
        take_back(work, voided)
        sandbox.client.settle()
        take_back(work, refunded)
        overpay(house, work)
        with house.engine.begin() as conn:
            conn.execute(sa.text("UPDATE clock SET ahead = '10 days'"))
        sandbox.client.advance(10 * 86_400)
        watch.work(work, None, PATTERN)
        with house.engine.begin() as conn:
            conn.execute(sa.text("UPDATE clock SET ahead = '0'"))
            left = conn.execute(
                sa.text("SELECT count(*) FROM payments WHERE posted_at IS NULL AND next_step IS NOT NULL")
            )
            assert left.scalar_one() == 0, "some payments of the pattern did not come to their end"
    house.close()
    return house.url


def number_of(i):
    return {3: STOLEN, 4: STOLEN, 5: NO_FUNDS}.get(i % 100, GOOD)


def take_back(work, payments):
    for payment_id in payments:
        with work.transaction() as (conn, now):
            void.void(conn, payment_id, "wrong customer", "auto", work.terms.today(now), now, "bench")
    for task in (void_task, confirm, refund):
        task.work(work, None, PATTERN)


def overpay(house, work):
    """Ten customers pay a round sum: what they still owe, and a credit of which one pays another bill."""
    for i in range(10):
        asked = {"idempotency_key": f"more-{i}", "method": "check", "currency": "USD", "customer": f"C{10 + i}",
                 "amount_minor": 50_000, "as_credit": True}  # fmt: skip
        house.producer.pay(asked, None, caller="bench", by="bench")
    post.work(work, claim.Singles())
    day = datetime.date(2026, 1, 1)
    with work.transaction() as (conn, now):
        record_invoices(conn, [NewInvoice("C10", "LATER", day, day, "USD", 100)], now, "bench")
        customer_id = conn.execute(sa.text("SELECT id FROM customers WHERE number = 'C10'")).scalar_one()
        credit.apply_to_invoices(conn, customer_id, "USD", None, work.terms.today(now), now, "bench")


def plain(column):
    return f'p."{column.name}"'


def moved(column):
    """What a column of a row of the pattern is in its copy number k."""
    name = plain(column)
    if column.name == "id" or (column.name.endswith("_id") and isinstance(column.type, sa.BigInteger)):
        return f"{name} + %(k)s * {STRIDE}"
    if column.name == "invoice_ids":
        return f"CASE WHEN {name} IS NOT NULL THEN ARRAY[{name}[1] + %(k)s * {STRIDE}] END"
    if column.name == "reference":
        return f"{name} + %(k)s * 7919000000"
    if column.name in OWN_WORDS:
        return f"{name} || '-' || %(k)s"
    if isinstance(column.type, sa.DateTime):
        return f"{name} - make_interval(days => %(days)s)"
    return f"{name} - %(days)s" if isinstance(column.type, sa.Date) else name


def copies(db, tables):
    """The statement by which each table that the pattern has rows in is copied, if its rows can be told apart."""
    for table in tables:
        if (
            all(moved(column) == plain(column) for column in table.primary_key)
            or not db.execute(f"SELECT EXISTS (SELECT FROM {table.name})").fetchone()[0]
        ):
            continue
        db.execute(f"CREATE TABLE pattern.{table.name} AS TABLE {table.name}")
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        order = " ORDER BY p.id" if "id" in table.columns else ""
        yield (
            table.name,
            f"INSERT INTO {table.name} ({columns}) SELECT {', '.join(map(moved, table.columns))}"
            f" FROM pattern.{table.name} AS p{order}",
        )


def build(name, payments):
    """A database with so many payments of history, analyzed; it has this name once all are there. Seconds of it."""
    began = time.monotonic()
    under_way = f"{name}_under_way"
    url = pattern(under_way)
    engine, metadata = engine_for(url, "bench"), sa.MetaData()
    metadata.reflect(engine)
    engine.dispose()
    dsn = f"{common.SUPERUSER.replace('+psycopg', '').rpartition('/')[0]}/{under_way}"
    with psycopg.connect(dsn) as db:
        db.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        db.execute("UPDATE customers SET number = 'H' || number, name = 'Ada ' || number")
        db.execute("UPDATE payments SET caller = 'history'; UPDATE batches SET caller = 'history', state = 'done'")
        db.execute("CREATE SCHEMA pattern")
        statements = dict(copies(db, metadata.tables.values()))
        made = payments // PATTERN - 1
        for k in range(1, made + 1):
            for statement in statements.values():
                db.execute(statement, {"k": k, "days": (made - k) * SPAN_DAYS // max(made, 1)})
            if not k % 20:
                db.commit()
        for table in statements:
            if "id" in metadata.tables[table].columns:
                db.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
        db.execute("DROP SCHEMA pattern CASCADE")
        db.commit()
        db.autocommit = True
        db.execute("VACUUM ANALYZE")
    common.drop(name)
    common.as_superuser(f"ALTER DATABASE {under_way} RENAME TO {name}")
    return time.monotonic() - began


def prove(url):
    """Exit where the books of the history are not in order; seconds that the audit took."""
    began = time.monotonic()
    engine = engine_for(url, "bench")
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
        findings = audit.audit(conn)
    engine.dispose()
    if findings:
        raise SystemExit(f"the history is not consistent: {findings}")
    return time.monotonic() - began
