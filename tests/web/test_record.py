"""Issue 4, window 2: the record leads to everything about a customer; each invoice has its page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, TextClause, text

from books import account, credit, views
from books.account import Show
from tests.books.plans import analyze, fill_quickly, read_whole
from tests.web.conftest import BILLED, Books, Visitor
from tests.web.test_credits import give, invoice


@pytest.fixture
def customer(books: Books, engine: Engine) -> int:
    """A customer whose credit of 5.00 paid invoice A; B of 6.00 is paid by 1.00 and Pending."""
    customer = books.bill("C-1", {"A": 400, "B": 600}, name="Ann & Co")
    give(books, customer, 500)
    with engine.begin() as conn:
        now = books.one("SELECT now()")
        credit.apply_to_invoices(conn, customer, "USD", None, now.date(), now, "sue")
    return customer


def test_where_the_record_leads(clerk: Visitor, books: Books, customer: int) -> None:
    """A Pending invoice leads to its payment, a Paid one to its page; payment, credits, cards, statement have links."""
    here = f"/console/customers/{customer}"
    pending, every = clerk.get(here).text, clerk.get(f"{here}?show=all").text
    paid, owed = invoice(books, "A"), invoice(books, "B")
    assert f'href="{here}/invoices/{owed}/payment">B<' in pending
    assert f'href="{here}/invoices/{paid}">A<' in every
    for address in ("/payment", "/credits", "/cards", "/statement"):
        assert f'href="{here}{address}"' in pending
    payment = books.one("SELECT max(id) FROM payments")
    assert f'href="/console/payments/{payment}"' in pending


def test_history_is_about_everything(clerk: Visitor, books: Books, engine: Engine, customer: int) -> None:
    """Payments' events, with the credits', and how invoices and the customer came here; the latest first."""
    with engine.connect() as conn:
        told = [(one.what, one.invoice, one.by) for one in account.history(conn, customer)]
    assert told == [
        ("credit.applied", None, "sue"),
        ("invoice.paid", "A", "sue"),
        ("invoice.created", "B", ""),
        ("invoice.created", "A", ""),
        ("customer.created", None, ""),
    ]
    page = clerk.get(f"/console/customers/{customer}").text
    assert re.search(r">invoice A</a> paid, <a[^>]+>payment \d+</a> <small>by sue", page)
    assert "customer created" in page


def test_an_invoice(clerk: Visitor, books: Books, engine: Engine, customer: int) -> None:
    """What paid it, live and undone, from which credit of which payment; a Pending one can be paid from here."""
    here = f"/console/customers/{customer}/invoices"
    a, b = invoice(books, "A"), invoice(books, "B")
    paid, owed = clerk.get(f"{here}/{a}").text, clerk.get(f"{here}/{b}").text
    assert 'data-key="F8"' not in paid
    assert f'href="{here}/{b}/payment" data-key="F8"' in owed
    assert "4.00 USD" in paid
    assert "5.00 USD" in owed
    assert 'class="voided"' not in paid
    with engine.begin() as conn:
        now = books.one("SELECT now()")
        part = account.paid_by(conn, a)[0]
        assert (part.amount_minor, part.live_minor, part.credit_id) == (400, 400, books.one("SELECT id FROM credits"))
        credit.take_back(conn, part.allocation_id, "wrong", now.date(), now, "sue")
    undone = clerk.get(f"{here}/{a}").text
    assert 'class="voided"' in undone
    assert f'href="{here}/{a}/payment" data-key="F8"' in undone


def test_an_invoice_of_another_customer(clerk: Visitor, books: Books, customer: int) -> None:
    """An invoice is found under its own customer only."""
    other = books.bill("C-2", {"Z": 100})
    assert clerk.get(f"/console/customers/{customer}/invoices/{invoice(books, 'Z')}").status_code == 404
    assert clerk.get(f"/console/customers/{other}/invoices/{invoice(books, 'Z')}").status_code == 200


def test_more_than_a_page_of_invoices(clerk: Visitor, books: Books) -> None:
    """With more than 200 invoices the record says so, and the next page goes on exactly where the first ended."""
    customer = books.bill("C-9", {f"N-{number:03}": 100 for number in range(205)})
    seen: list[str] = []
    address, pages = f"/console/customers/{customer}", []
    while address:
        page = clerk.get(address).text
        part = page.partition('id="invoices"')[2].partition('id="payments"')[0]
        pages.append(re.findall(r"/payment\">(N-\d+)<", part))
        following = re.search(r'href="([^"]+)">Next invoices', part)
        address = f"/console/customers/{customer}{following[1].partition('#')[0]}" if following else ""
        address = address.replace("&amp;", "&")
        assert ("there are more" in part) == bool(following)
    seen = [number for page in pages for number in page]
    assert [len(page) for page in pages] == [200, 5]
    assert seen == sorted(seen)
    assert len(set(seen)) == 205


@pytest.mark.parametrize("show", [Show.PENDING, Show.ALL])
def test_pages_of_invoices(books: Books, engine: Engine, show: Show) -> None:
    """By two at a time the same invoices come in the same order as at once, also those of one day."""
    customer = books.bill("C-9", {f"N-{number}": 100 for number in range(7)})
    books.do("UPDATE invoices SET invoice_date = :day WHERE number < 'N-5'", day=BILLED + timedelta(days=1))
    with engine.connect() as conn:
        at_once = [one.id for one in account.invoices(conn, customer, show)]
        found: list[int] = []
        while part := account.invoices(conn, customer, show, 2, found[-1] if found else None):
            found += [one.id for one in part]
        assert found == at_once
        assert account.invoices(conn, customer, show, 2, 1) == []


def test_more_than_a_page_of_payments(clerk: Visitor, books: Books) -> None:
    """With more than 50 payments the record says so, and shows the others on the next page."""
    customer = books.bill("C-9")
    for _ in range(53):
        give(books, customer, 100)
    here = f"/console/customers/{customer}"
    first = clerk.get(here).text
    last = books.one("SELECT id FROM payments ORDER BY id DESC OFFSET 49 LIMIT 1")
    assert f'href="?show=pending&amp;before={last}#payments">Next payments' in first
    second = clerk.get(f"{here}?before={last}").text
    payments = second.partition('id="payments"')[2].partition('id="credits"')[0]
    assert len(re.findall(r'<td><a href="/console/payments/\d+">', payments)) == 3
    assert "Next payments" not in payments
    assert "Latest payments" in payments


def test_an_address_that_means_nothing(clerk: Visitor, books: Books, customer: int) -> None:
    """A page after no invoice of theirs is empty and says so; what is no number is not understood."""
    here = f"/console/customers/{customer}"
    assert "None further" in clerk.get(f"{here}?after=987654").text
    assert clerk.get(f"{here}?after=x").status_code == 422


@pytest.fixture
def many(session_engine: Engine) -> Iterator[Connection]:
    """50,000 payments of 5,000 customers, each with a credit, half of them used up; rolled back after the test."""
    with session_engine.connect() as conn:
        fill_quickly(conn)
        for statement in (
            "INSERT INTO customers (id, number, name, created_at) SELECT n, 'K-' || n, 'Somebody', now()"
            " FROM generate_series(1, 5000) AS n",
            "INSERT INTO payments (id, customer_id, caller, idempotency_key, content_digest, method, currency,"
            " total_minor, credited_minor, as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state,"
            " recorded_at, recorded_by) SELECT n, 1 + n % 5000, 'test', n, '', 'cash', 'USD', 100, 100, true, false,"
            " 'ask', 0, 'posted', now(), 'test' FROM generate_series(1, 50000) AS n",
            "INSERT INTO credits (id, customer_id, payment_id, currency, amount_minor, balance_minor, note, created_at)"
            " SELECT n, 1 + n % 5000, n, 'USD', 100, 100 * (n / 5000 % 2), '', now()"
            " FROM generate_series(1, 50000) AS n",
            "INSERT INTO invoices (id, customer_id, number, invoice_date, due_date, currency, total_minor,"
            " balance_minor, state, created_at) SELECT n, 1 + n % 5000, n, date '2026-01-01', date '2026-01-01', 'USD',"
            " 100, 100, 'pending', now() FROM generate_series(1, 50000) AS n",
            "INSERT INTO allocations (credit_id, invoice_id, amount_minor, created_at)"
            " SELECT n, n, 50, now() FROM generate_series(1, 50000) AS n",
            "INSERT INTO events (at, what, customer_id, payment_id, by)"
            " SELECT now(), 'payment.posted', 1 + n % 5000, n, 'test' FROM generate_series(1, 50000) AS n",
            "INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor,"
            " currency, state, send_until, started_at) SELECT n * 5, 'sale', 'payflow', 'a', n, 100, 'USD',"
            " 'approved', now(), now() FROM generate_series(1, 10000) AS n",
        ):
            conn.execute(text(statement))
        analyze(conn)
        yield conn
        conn.rollback()


def test_by_index(many: Connection) -> None:
    """Whatever the record, the credits and an invoice's page ask is answered by indexes: no table is read whole."""
    one: dict[str, object] = {"id": 77, "most": 50}
    some: dict[str, object] = {**one, "after": None}
    questions: list[tuple[TextClause, dict[str, object]]] = [
        (account._CREDITS, one),
        (account._HISTORY, one),
        (account._OF_INVOICE, one),
        (account._OF_CREDIT, {"ids": [77, 78], "most": 50}),
        (account._ONE_OF_CREDIT, {"id": 77, "customer_id": 77}),
        (credit._USABLE, {"customer_id": 77, "currency": "USD"}),
        (views._OF_CUSTOMER, {**one, "before": 40_000}),
        *((account._INVOICES[show], some) for show in Show),
    ]
    for question, asked in questions:
        assert read_whole(many, question, **asked) == set(), question.text
    assert len(account.credits_of(many, 77)) == 10
    assert len(account.history(many, 77)) == 21
