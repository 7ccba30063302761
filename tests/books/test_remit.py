"""What the books know of the words and amounts in a bank's file."""

from __future__ import annotations

from sqlalchemy import Connection, text

from books import remit
from rules.remittance import Owed
from tests.books.plans import analyze, read_whole

CUSTOMERS = text("""
    INSERT INTO customers (number, name, created_at)
    SELECT 'C-' || n, 'Customer ' || n, now() FROM generate_series(1, :customers) AS n""")
INVOICES = text("""
    INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor, balance_minor, state,
                          created_at)
    SELECT c.id, 'I-' || c.id || '-' || n, '2026-01-01', '2026-01-31', 'USD', 100 * n, 100 * (2 - n),
           CASE n WHEN 1 THEN 'pending' ELSE 'paid' END, now()
    FROM customers c, generate_series(1, 2) AS n""")


def fill(conn: Connection, customers: int) -> None:
    """So many customers with an open invoice and a paid one each, until the test rolls it back."""
    conn.execute(CUSTOMERS, {"customers": customers})
    conn.execute(INVOICES)


def test_numbers_are_found_by_index(connection: Connection) -> None:
    """However many invoices there are, the words of a file, and what their customers owe, are found by index."""
    fill(connection, 2_000)
    analyze(connection)
    asked: dict[str, object] = {"words": ["C-7", "MINE", "LOST"], "customers": [7], "amounts": [100]}
    check = {"customers": ["C-7"], "numbers": ["1003"], "currencies": ["USD"], "amounts": [100]}
    assert read_whole(connection, remit._CHECKS, **check) <= {"payments"}  # of which there are none here
    for question in (remit._INVOICES, remit._CUSTOMERS, remit._OWING):
        assert read_whole(connection, question, **{name: asked[name] for name in question._bindparams}) == set()


def test_what_is_known(connection: Connection) -> None:
    """Invoices by number, open or paid; customers by number; an amount only where one open invoice alone has it."""
    fill(connection, 9)
    connection.execute(
        text("""
            UPDATE invoices i SET number = 'MINE', total_minor = 777, balance_minor = 777
            FROM customers c WHERE c.id = i.customer_id AND c.number = 'C-9' AND i.state = 'pending'""")
    )
    paid = connection.execute(text("SELECT number FROM invoices WHERE state = 'paid' LIMIT 1")).scalar_one()
    known = remit.known(connection, {"MINE", "C-7", paid, "LOST"}, {("USD", 777), ("USD", 100), ("EUR", 777)})
    assert known.invoices.keys() == {"MINE", paid}
    assert [owed.balance_minor for owed in known.invoices[paid]] == [0]
    assert known.customers == {"C-7"}
    assert known.alone == {("USD", 777): Owed("C-9", "MINE", "USD", 777)}
    assert known.owing == {("C-7", "USD", 100)}
