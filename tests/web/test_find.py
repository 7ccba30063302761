"""Issue 4, windows 1 and 2: find a customer by whatever is known of it, and open its record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from books import account, find
from tests.books.plans import analyze
from tests.web.conftest import BILLED, Books, Visitor


@pytest.fixture
def muller(books: Books) -> int:
    """A customer with everything by which one may be found."""
    muller = books.bill(
        "C-77", {"0001": 1250, "0002": 900}, name="Zoë Müller", email="Zoe@example.org", phone="+1 (212) 555-0199"
    )
    books.bill("C-78", {"B-5": 1000}, name="Ann Other", email="ann@example.org", phone="12")
    books.do(
        "INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, number, currency,"
        " total_minor, as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state,"
        " recorded_at, recorded_by, card_token, card_brand, card_last_four)"
        " SELECT :id, 'test', method, '', method, number, 'USD', 100, false, false, 'ask', 100, 'declined',"
        " now(), 'test', token, brand, digits FROM (VALUES ('check', '98765', NULL, NULL, NULL),"
        " ('credit_card', NULL, 'card_1', 'visa', '4242')) AS v(method, number, token, brand, digits)",
        id=muller,
    )
    return muller


@pytest.mark.parametrize(
    ("asked", "because"),
    [
        ("Zoë", ""),
        ("zoe mu", ""),
        ("MÜLLER", ""),
        ("muller zoe", ""),
        ("C-77", ""),
        ("c-77", ""),
        ("zoe@EX", "Zoe@example.org"),
        ("212-555", ""),
        ("0012125550199", ""),
        ("0001", "invoice 0001"),
        ("9876", "check 98765"),
        ("4242", "card ending in 4242"),
    ],
)
def test_found_by_whatever_is_known(engine: Engine, muller: int, asked: str, because: str) -> None:
    """Name, number, e-mail, telephone, invoice, check, last four digits: each finds the customer."""
    with engine.connect() as conn:
        found = find.customers(conn, asked)
    assert [(one.customer_id, one.because) for one in found] == [(muller, because)]


@pytest.mark.parametrize("asked", ["", "   ", "%", "_", "zz", "\0", "'; --", "\\", "Müllerin"])
def test_nobody(engine: Engine, muller: int, asked: str) -> None:
    """What nobody has finds nobody, and no sign has a meaning of its own."""
    with engine.connect() as conn:
        assert find.customers(conn, asked) == []


def test_answer_is_bounded(engine: Engine, books: Books) -> None:
    """However many there are, twenty are shown, the exact one first."""
    for number in range(30):
        books.bill(f"K-{number:02}", name="Same Name")
    with engine.connect() as conn:
        assert len(find.customers(conn, "same")) == find.MOST
        assert len(find.customers(conn, "name")) == find.MOST
        assert find.customers(conn, "K-07")[0].number == "K-07"


@pytest.fixture
def many(session_engine: Engine) -> Iterator[Connection]:
    """50,000 customers with an invoice each, in a transaction that is rolled back."""
    with session_engine.connect() as conn:
        conn.execute(
            text("""
            INSERT INTO customers (number, name, email, phone, created_at)
            SELECT 'N' || n, initcap(left(md5('a' || n), 5) || ' ' || left(md5('b' || n), 8)),
                   md5(n::text) || '@example.org', '212555' || n, now()
            FROM generate_series(1, 50000) AS n""")
        )
        conn.execute(text("ANALYZE customers"))  # else the foreign key may be checked by reading all of them each time
        conn.execute(
            text("""
            INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor, balance_minor,
                                  state, created_at)
            SELECT id, 'I' || id, '2026-01-01', '2026-01-31', 'USD', 1, 1, 'pending', now() FROM customers""")
        )
        analyze(conn)
        yield conn
        conn.rollback()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def test_by_index(many: Connection) -> None:
    """Among 50,000 customers every question is answered by indexes: nothing reads a whole table."""
    known = {
        "asked": "n777",
        "last": "\U0010ffff",
        "most": find.MOST,
        "looked_at": 200,
        "part0": "%c0ff%",
        "part1": "%a%",
    }
    for question in (find._BY_BEGINNING, find._BY_BEGINNING_OR_CARD, find._BY_PARTS[1], find._BY_PARTS[2]):
        [plan] = many.execute(text(f"EXPLAIN (FORMAT JSON) {question.text}"), known).scalar_one()
        for node in nodes(plan["Plan"]):
            whole = node["Node Type"] == "Seq Scan" and node["Relation Name"] in ("customers", "invoices")
            walked = "Index Name" in node and "Index Cond" not in node
            assert not whole, json.dumps(node, indent=1)
            assert not walked, json.dumps(node, indent=1)
    assert find.customers(many, "N777")[0].number == "N777"


def test_window(clerk: Visitor, muller: int, books: Books) -> None:
    """Results are links to the records; one single customer is opened at once, which works without JavaScript."""
    books.bill("C-79", name="Zoltan")
    several = clerk.get("/console/find?q=zo")
    assert several.text.count('<a href="/console/customers/') == 2
    assert clerk.get("/console/find?q=zoe").headers["location"] == f"/console/customers/{muller}"
    part = clerk.get("/console/find/results?q=zoe")
    assert "<html" not in part.text
    assert f"/console/customers/{muller}" in part.text
    assert "Nobody was found" in clerk.get("/console/find?q=qqq").text


def test_a_card_number_is_no_question(clerk: Visitor) -> None:
    """C1: who types a whole card number is told not to, and it is not shown again."""
    page = clerk.get("/console/find?q=4111 1111 1111 1111")
    assert "last four digits" in page.text
    assert "1111 1111" not in page.text


def test_record(clerk: Visitor, muller: int, books: Books) -> None:
    """The record: what is owed by age, invoices, payments, and the way to pay."""
    page = clerk.get(f"/console/customers/{muller}")
    assert page.status_code == 200
    for words in ("Zoë Müller", "C-77", "21.50 USD", "0001", "0002", "ending in 4242", "Check 98765"):
        assert words in page.text
    assert f'href="/console/customers/{muller}/payment" data-key="F8"' in page.text
    assert ">0001<" in page.text
    assert ">0001<" not in clerk.get(f"/console/customers/{muller}?show=paid").text
    assert clerk.get("/console/customers/1?show=no").status_code == 422
    assert clerk.get("/console/customers/1").status_code == 404


@pytest.mark.parametrize(
    ("late", "column"), [(-5, 1), (0, 1), (1, 2), (30, 2), (31, 3), (60, 3), (61, 4), (90, 4), (91, 5)]
)
def test_aging(engine: Engine, books: Books, late: int, column: int) -> None:
    """An invoice is current through its due date, then 1 to 30, 31 to 60, 61 to 90, over 90 days past it."""
    customer = books.bill("C-1", {"A": 700})
    with engine.connect() as conn:
        [balance] = account.balances(conn, customer, BILLED + timedelta(days=late))
    ages = (
        balance.due_minor,
        balance.current_minor,
        balance.to_30_minor,
        balance.to_60_minor,
        balance.to_90_minor,
        balance.over_90_minor,
    )
    assert [place for place, minor in enumerate(ages) if minor] == [0, column]
    assert balance.credit_minor == 0


def test_what_customers_say_is_text(clerk: Visitor, books: Books) -> None:
    """A name is shown as it is, whatever signs it has."""
    customer = books.bill("C-1", name="<script>alert(1)</script>")
    for path in (f"/console/customers/{customer}", "/console/find/results?q=script"):
        page = clerk.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
