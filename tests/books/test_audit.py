"""The audit (B2): silent on books in which everything has happened, and loud on each single thing that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url, text

from books import audit, credit
from sandbox.client import reset
from tests import servers
from tests.books.plans import fill_quickly
from tests.flows.house import AMEX, House, card

NO_FUNDS, STOLEN = "4000000000009995", "4000000000009979"

BREAKS = {
    "entries_balance": """
        ALTER TABLE journal DROP CONSTRAINT ck_journal_balances;
        INSERT INTO journal (at, post_date, kind, customer_id, currency, accounts, amounts_minor)
        SELECT now(), current_date, 'billed', id, 'USD', '{revenue,revenue}', '{500,-499}' FROM customers LIMIT 1""",
    "entries_belong": """
        INSERT INTO journal (at, post_date, kind, customer_id, payment_id, currency, accounts, amounts_minor)
        SELECT now(), current_date, 'posted', customer_id, id, 'EUR', '{receivable,receivable}', '{1,-1}'
        FROM payments WHERE state = 'posted' LIMIT 1""",
    "invoice_balances": """
        UPDATE allocations SET invoice_id = (SELECT id FROM invoices WHERE number = 'D')
        WHERE invoice_id = (SELECT id FROM invoices WHERE number = 'A')""",
    "invoice_states": """
        ALTER TABLE invoices DROP CONSTRAINT ck_invoices_paid_at_zero;
        UPDATE invoices SET state = 'pending' WHERE number = 'A'""",
    "allocations_stay_at_home": """
        UPDATE allocations a SET invoice_id = other.id FROM invoices mine, invoices other
        WHERE a.invoice_id = mine.id AND (mine.number, other.number) IN (('A', 'X'), ('X', 'A'))""",
    "posted_adds_up": """
        ALTER TABLE payments DROP CONSTRAINT ck_payments_posted_adds_up;
        UPDATE payments SET total_minor = total_minor + 1 WHERE total_minor = 12000""",
    "posted_applied": """
        UPDATE allocations a SET payment_id = other.id FROM payments mine, payments other
        WHERE a.payment_id = mine.id AND (mine.total_minor, other.total_minor) IN ((12000, 1000), (1000, 12000))""",
    "credited": """
        UPDATE credits c SET payment_id = other.id FROM payments mine, payments other
        WHERE c.payment_id = mine.id AND (mine.total_minor, other.total_minor) IN ((12000, 1000), (1000, 12000))""",
    "credit_balances": """
        UPDATE allocations a SET credit_id = other.id FROM credits other
        WHERE a.credit_id IS NOT NULL AND other.amount_minor = 300""",
    "no_credit_below_zero": """
        ALTER TABLE credits DROP CONSTRAINT ck_credits_balance_within_amount;
        UPDATE allocations SET amount_minor = amount_minor + 501 WHERE credit_id IS NOT NULL;
        UPDATE credits SET balance_minor = balance_minor - 501 WHERE amount_minor = 2000;
        UPDATE invoices SET total_minor = total_minor + 501 WHERE number = 'C';
        INSERT INTO journal (at, post_date, kind, customer_id, currency, accounts, amounts_minor)
        SELECT now(), current_date, 'credit_applied', customer_id, 'USD', '{customer_credit,revenue}', '{501,-501}'
        FROM credits WHERE amount_minor = 2000""",
    "only_posted_payments_pay": """
        ALTER TABLE invoices DROP CONSTRAINT ck_invoices_balance_within_total;
        UPDATE allocations SET reversed_minor = 0 WHERE reversed_minor > 0 AND payment_id = :voided;
        UPDATE invoices i SET total_minor = total_minor + a.amount_minor FROM allocations a
        WHERE a.invoice_id = i.id AND a.payment_id = :voided""",
    "one_live_sale": """
        DROP INDEX uq_gateway_transactions_one_live_sale;
        INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency,
                                          state, next_step, due_at, send_until, started_at)
        SELECT payment_id, 'sale', gateway, account, reference + 1, amount_minor, currency, 'unknown', 'inquire',
               now(), now(), now() FROM gateway_transactions WHERE operation = 'sale' AND state = 'approved' LIMIT 1""",
    "charges_are_proven": """
        DROP INDEX uq_gateway_transactions_one_live_sale;
        UPDATE gateway_transactions t SET payment_id = other.id FROM payments mine, payments other
        WHERE t.payment_id = mine.id AND mine.state = 'posted' AND mine.gateway = 'payflow'
          AND (mine.total_minor, other.total_minor) IN ((2500, 2600), (2600, 2500))""",
    "payments_go_on": """
        ALTER TABLE payments DROP CONSTRAINT ck_payments_unfinished_has_step;
        UPDATE payments SET next_step = NULL, due_at = NULL WHERE state = 'retrying'""",
    "outcomes_are_awaited": """
        UPDATE gateway_transactions SET next_step = NULL, due_at = NULL WHERE state = 'unknown'""",
    "reversals_go_on": """
        UPDATE reversals SET next_step = NULL, due_at = NULL WHERE state = 'voiding'""",
    "receivable_agrees": """
        INSERT INTO journal (at, post_date, kind, customer_id, currency, accounts, amounts_minor)
        SELECT now(), current_date, 'billed', id, 'USD', '{receivable,revenue}', '{7,-7}' FROM customers LIMIT 1""",
    "credit_agrees": """
        INSERT INTO journal (at, post_date, kind, customer_id, currency, accounts, amounts_minor)
        SELECT now(), current_date, 'kept', id, 'USD', '{revenue,customer_credit}', '{7,-7}' FROM customers LIMIT 1""",
    "refunds_payable_agree": """
        INSERT INTO journal (at, post_date, kind, customer_id, currency, accounts, amounts_minor)
        SELECT now(), current_date, 'voided', id, 'USD', '{revenue,refunds_payable}', '{7,-7}'
        FROM customers LIMIT 1""",
    "money_agrees": """
        INSERT INTO journal (at, post_date, kind, customer_id, currency, accounts, amounts_minor)
        SELECT now(), current_date, 'posted', id, 'USD', '{clearing:payflow,revenue}', '{7,-7}'
        FROM customers LIMIT 1""",
}
"""For each invariant what breaks it, and it alone, past the checks of the database where those would refuse it."""


def live_through_everything(house: House) -> dict[str, int]:
    """Checks, credits, charges, a decline, a lost answer, voids, refunds made, awaited and kept; ids by name."""
    house.bill("C-1", {"A": 6000, "B": 4000})
    house.pay(12_000)
    house.work()
    house.bill("C-1", {"C": 1500})
    with house.context.transaction() as (conn, now):
        owner = house.row("SELECT id FROM customers WHERE number = 'C-1'").id
        credit.apply_to_invoices(conn, owner, "USD", None, house.context.terms.today(now), now, "ann")
    house.bill("C-1", {"D": 700})
    house.pay(1000)
    house.bill("C-2", {"X": 6000, "Y": 2500, "Z": 2600})
    for amount, invoice in ((6000, "X"), (2500, "Y"), (2600, "Z")):
        house.pay(amount, card(), "C-2", invoices=[invoice])
    house.bill("C-3", {f"V{number}": 1100 + number for number in range(8)})
    paid = {
        name: house.pay(1100 + number, card(AMEX, "1234") if number % 2 else card(), "C-3", invoices=[f"V{number}"])
        for number, name in enumerate(("voided", "refunded", "asked", "kept", "voiding"))
    }
    house.work()
    house.void(paid["voided"])
    house.work()
    house.sandbox.client.settle()
    house.void(paid["refunded"])
    house.void(paid["asked"], policy="ask")
    house.void(paid["kept"], policy="ask")
    house.work()
    house.keep(paid["kept"])
    house.void(paid["voiding"])
    paid["retrying"] = house.pay(1105, card(NO_FUNDS), "C-3", invoices=["V5"])
    paid["declined"] = house.pay(1106, card(STOLEN), "C-3", invoices=["V6"])
    house.charge()
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    paid["unknown"] = house.pay(1107, card(), "C-3", invoices=["V7"])
    house.charge()
    return paid


@contextmanager
def superuser(database_url: str, shared: servers.Servers) -> Iterator[Connection]:
    """The database as one who may do anything, in a transaction that is rolled back."""
    database = make_url(database_url).database
    url = make_url(shared.admin_url).set(drivername="postgresql+psycopg", database=database)
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as conn:
        yield conn
        conn.rollback()


def test_the_audit_finds_each_break_and_nothing_else(
    house: House, database_url: str, shared_servers: servers.Servers
) -> None:
    """B2: whatever has happened, the books hold; each change behind their back is found, and it alone."""
    paid = live_through_everything(house)
    states = {name: house.state(payment) for name, payment in paid.items()}
    assert states == {
        "voided": "voided",
        "refunded": "voided",
        "asked": "voided",
        "kept": "voided",
        "voiding": "voided",
        "retrying": "retrying",
        "declined": "declined",
        "unknown": "charging",
    }
    assert set(BREAKS) == {invariant.__name__ for invariant in audit.INVARIANTS}
    found: dict[str, list[str]] = {}
    with superuser(database_url, shared_servers) as conn:
        assert audit.audit(conn) == []
        for name, statements in BREAKS.items():
            before = conn.begin_nested()
            for statement in statements.split(";"):
                done = conn.execute(text(statement), {"voided": paid["voided"]} if ":voided" in statement else {})
                assert done.rowcount != 0, f"{name}: {statement} changed nothing"
            findings = audit.audit(conn)
            found[name] = [finding.invariant for finding in findings]
            assert all(finding.sentence.endswith(".") and finding.hint and finding.count for finding in findings)
            before.rollback()
    assert found == {name: [name] for name in BREAKS}


def test_a_finding_names_the_rows_and_says_what_is_expected(
    house: House, database_url: str, shared_servers: servers.Servers
) -> None:
    """B2: a finding says which row, what it has and what it should have, as amounts that people read."""
    house.bill("C-1", {"A": 6000})
    invoice = house.row("SELECT id FROM invoices").id
    with superuser(database_url, shared_servers) as conn:
        conn.execute(text("UPDATE invoices SET balance_minor = 5999"))
        [balance, receivable] = audit.audit(conn)
    assert (balance.table, balance.count, balance.rows) == ("invoices", 1, (invoice,))
    assert f"invoice {invoice} (no. A) has 59.99 USD where 60.00 USD is expected" in balance.sentence
    assert receivable.invariant == "receivable_agrees"


def test_many_broken_rows_are_one_finding(house: House, database_url: str, shared_servers: servers.Servers) -> None:
    """B2: however many rows break an invariant, it is told once, with their number and the first of them."""
    house.bill("C-1", {f"{number}": 100 for number in range(50)})
    with superuser(database_url, shared_servers) as conn:
        conn.execute(text("ALTER TABLE invoices DROP CONSTRAINT ck_invoices_paid_at_zero"))
        conn.execute(text("UPDATE invoices SET state = 'paid'"))
        [finding] = audit.audit(conn)
    assert (finding.invariant, finding.count, len(finding.rows)) == ("invoice_states", 50, audit.ROWS_MAX)
    assert "and 47 more" in finding.sentence


FILL = """
    INSERT INTO customers (number, name, created_at) SELECT 'L' || n, 'L', now() FROM generate_series(1, 200) n;
    INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor, balance_minor, state,
                          created_at)
    SELECT c.id, 'I' || n, current_date, current_date, 'USD', 500, 0, 'paid', now()
    FROM customers c CROSS JOIN generate_series(1, 100) n;
    INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,
                          as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state,
                          applied_minor, recorded_at, recorded_by)
    SELECT customer_id, 'fill', customer_id || number, '', 'check', 'USD', 500, false, false, 'ask', 500,
           'posted', 500, now(), 'fill' FROM invoices;
    INSERT INTO allocations (payment_id, invoice_id, amount_minor, created_at)
    SELECT p.id, i.id, 500, now() FROM payments p JOIN invoices i ON i.customer_id || i.number = p.idempotency_key;
    INSERT INTO journal (at, post_date, kind, customer_id, invoice_id, currency, accounts, amounts_minor)
    SELECT now(), current_date, 'billed', customer_id, id, 'USD', '{receivable,revenue}', '{500,-500}' FROM invoices;
    INSERT INTO journal (at, post_date, kind, customer_id, payment_id, currency, accounts, amounts_minor)
    SELECT now(), current_date, 'posted', customer_id, id, 'USD', '{cash:check,receivable}', '{500,-500}' FROM payments;
    ANALYZE customers, invoices, payments, allocations, journal
"""


def test_the_audit_asks_in_sets(engine: Engine) -> None:
    """B2: 20,000 payments are audited in sets: a question that compared pairs would take minutes, and is stopped."""
    with engine.connect() as conn:
        fill_quickly(conn)
        for statement in FILL.split(";"):
            conn.execute(text(statement))
        conn.execute(text("SET LOCAL statement_timeout = '45s'"))
        assert audit.audit(conn) == []
        conn.rollback()
