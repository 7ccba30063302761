"""The per-payment job in ORM form (what most people write) and in SQL form, and the set-based form for a chunk."""

import datetime
import decimal
import functools
import threading
import typing
import uuid

import sqlalchemy as sa
from common import SA_URL, form, parse
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    type_annotation_map: typing.ClassVar = {
        decimal.Decimal: sa.Numeric(12, 2),
        datetime.datetime: sa.DateTime(timezone=True),
    }


class Invoice(Base):
    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    customer_id: Mapped[int]
    total: Mapped[decimal.Decimal]
    paid: Mapped[decimal.Decimal]
    state: Mapped[str]
    due_on: Mapped[datetime.date]


class Payment(Base):
    __tablename__ = "payments"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    batch_id: Mapped[int]
    invoice_id: Mapped[int] = mapped_column(sa.ForeignKey("invoices.id"))
    amount: Mapped[decimal.Decimal]
    currency: Mapped[str]
    card_token: Mapped[str]
    state: Mapped[str]
    settled_at: Mapped[datetime.datetime | None]


class Attempt(Base):
    __tablename__ = "attempts"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    payment_id: Mapped[int] = mapped_column(sa.ForeignKey("payments.id"))
    key: Mapped[uuid.UUID]
    finished_at: Mapped[datetime.datetime | None]
    outcome: Mapped[str | None]
    gateway_ref: Mapped[str | None]
    reply: Mapped[str | None]


class Allocation(Base):
    __tablename__ = "allocations"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    payment_id: Mapped[int] = mapped_column(sa.ForeignKey("payments.id"))
    invoice_id: Mapped[int] = mapped_column(sa.ForeignKey("invoices.id"))
    amount: Mapped[decimal.Decimal]


class LedgerEntry(Base):
    __tablename__ = "ledger_entries"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    payment_id: Mapped[int] = mapped_column(sa.ForeignKey("payments.id"))
    account: Mapped[str]
    amount: Mapped[decimal.Decimal]


making = threading.Lock()  # a pool each for threads that begin at once would take all connections of the server


def engine(pool_size=8, **options):
    with making:
        return make_engine(pool_size, **options)


@functools.cache
def make_engine(pool_size, **options):
    return sa.create_engine(SA_URL, pool_size=pool_size, max_overflow=0, pool_timeout=60, **options)


def autocommit(pool_size):
    """One statement is one durable transaction: no BEGIN and COMMIT round trips."""
    return engine(pool_size, isolation_level="AUTOCOMMIT", pool_reset_on_return=None).connect()


def utcnow():
    return datetime.datetime.now(datetime.UTC)


# ---- one payment, ORM: two commits ---------------------------------------------------------------------------------


def start_orm(session, payment_id):
    payment = session.get(Payment, payment_id, with_for_update=True)
    if payment.state != "recorded":
        return None
    payment.state = "attempting"
    attempt = Attempt(payment_id=payment.id, key=uuid.uuid4())
    session.add(attempt)
    session.flush()
    started = attempt.id, form(payment.id, payment.amount, payment.currency, payment.card_token, attempt.key)
    session.commit()
    return started


def finish_orm(session, payment_id, attempt_id, reply):
    outcome, ref = parse(reply)
    payment = session.get(Payment, payment_id)
    attempt = session.get(Attempt, attempt_id)
    invoice = session.get(Invoice, payment.invoice_id, with_for_update=True)
    attempt.finished_at, attempt.outcome, attempt.gateway_ref, attempt.reply = utcnow(), outcome, ref, reply
    payment.state, payment.settled_at = "paid", utcnow()
    invoice.paid += payment.amount
    invoice.state = "paid" if invoice.paid >= invoice.total else "open"
    session.add(Allocation(payment_id=payment.id, invoice_id=invoice.id, amount=payment.amount))
    session.add(LedgerEntry(payment_id=payment.id, account="cash", amount=payment.amount))
    session.add(LedgerEntry(payment_id=payment.id, account="receivable", amount=-payment.amount))
    session.commit()


def charge_orm(payment_id, post, pool_size=8):
    with Session(engine(pool_size)) as session:
        started = start_orm(session, payment_id)
    if started:
        attempt_id, data = started
        reply = post(data)
        with Session(engine(pool_size)) as session:
            finish_orm(session, payment_id, attempt_id, reply)


# ---- any number of payments, one statement and one commit a step ----------------------------------------------------

START = """
WITH p AS (UPDATE payments SET state = 'attempting' WHERE id = ANY(%(ids)s) AND state = 'recorded'
           RETURNING id, amount, currency, card_token),
     a AS (INSERT INTO attempts (payment_id, key) SELECT id, gen_random_uuid() FROM p RETURNING id, payment_id, key)
SELECT a.id, p.id, p.amount, p.currency, p.card_token, a.key FROM p JOIN a ON a.payment_id = p.id
"""
FINISH = """
WITH r AS (SELECT * FROM unnest(%(attempts)s::bigint[], %(payments)s::bigint[], %(outcomes)s::text[], %(refs)s::text[],
                                %(replies)s::text[]) AS r(attempt_id, payment_id, outcome, ref, reply)),
     a AS (UPDATE attempts SET finished_at = clock_timestamp(), outcome = r.outcome, gateway_ref = r.ref,
                  reply = r.reply FROM r WHERE attempts.id = r.attempt_id),
     p AS (UPDATE payments SET state = 'paid', settled_at = clock_timestamp() FROM r
           WHERE payments.id = r.payment_id AND state = 'attempting' RETURNING payments.id, invoice_id, amount),
     i AS (UPDATE invoices SET paid = paid + s.amount,
                  state = CASE WHEN paid + s.amount >= total THEN 'paid' ELSE state END
           FROM (SELECT invoice_id, sum(amount) AS amount FROM p GROUP BY 1) s WHERE invoices.id = s.invoice_id),
     l AS (INSERT INTO ledger_entries (payment_id, account, amount)
           SELECT p.id, v.account, v.sign * p.amount FROM p, (VALUES ('cash', 1), ('receivable', -1)) v(account, sign))
INSERT INTO allocations (payment_id, invoice_id, amount) SELECT id, invoice_id, amount FROM p
"""


def start_set(ids, pool_size=8):
    with autocommit(pool_size) as db:
        return db.exec_driver_sql(START, {"ids": ids}).all()


def finish_set(rows, replies, pool_size=8):
    parsed = [parse(reply) for reply in replies]
    with autocommit(pool_size) as db:
        db.exec_driver_sql(
            FINISH,
            {
                "attempts": [row[0] for row in rows],
                "payments": [row[1] for row in rows],
                "outcomes": [outcome for outcome, _ in parsed],
                "refs": [ref for _, ref in parsed],
                "replies": replies,
            },
        )


def charge_sql(payment_id, post, pool_size=8):
    rows = start_set([payment_id], pool_size)
    if rows:
        finish_set(rows, [post(form(*rows[0][1:]))], pool_size)
