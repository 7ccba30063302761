"""Issue 6: lists by cursor: stable, complete, by index however large the tables are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, text

from books import lists
from tests.api.conftest import App, fields_of, problem
from tests.books.plans import analyze, fill_quickly, nodes, read_whole
from tests.flows.house import House


def walk(app: App, path: str) -> list[list[Any]]:
    """The pages of a list, as their rows' ids, followed by `next` to the end."""
    pages: list[list[Any]] = []
    address: str | None = path
    while address:
        said = app.get(address).json()
        pages.append([one["id"] for one in said["data"]])
        address = said["next"]
    return pages


def test_pages(shop: App, house: House) -> None:
    """By `next` each row comes once, in the order of ids, and filters stay; the last page has no next."""
    shop.bill("C-1", {f"A-{n}": 100 for n in range(1, 6)})
    shop.bill("C-2", {"B-1": 100})
    for customer in ("C-1", "C-2", "C-1"):
        shop.made("/v1/payments", **shop.check(10, customer))
    assert [len(page) for page in walk(shop, "/v1/invoices?limit=4")] == [4, 2]
    assert [len(page) for page in walk(shop, "/v1/invoices?customer=C-1&limit=2&state=pending")] == [2, 2, 1]
    assert [len(page) for page in walk(shop, "/v1/invoices?customer=C-1&limit=5")] == [5]
    for path in ("/v1/customers?limit=1", "/v1/payments?limit=2", "/v1/payments?customer=C-1&limit=1"):
        seen = [one for page in walk(shop, path) for one in page]
        assert seen == sorted(set(seen))
    assert len(walk(shop, "/v1/payments?customer=C-1&limit=1")) == 2
    house.work()
    assert walk(shop, "/v1/payments?customer=C-1&state=declined") == [[]]
    assert [len(page) for page in walk(shop, "/v1/payments?customer=C-1&state=posted")] == [2]


def test_filters(shop: App) -> None:
    """By number, by customer and number; leading zeros count; what is unknown is said."""
    shop.bill("C-1", {"0042": 100, "42": 100})
    shop.bill("C-2", {"42": 100})
    assert len(shop.get("/v1/invoices", number="42").json()["data"]) == 2
    assert len(shop.get("/v1/invoices", number="42", customer="C-1").json()["data"]) == 1
    assert len(shop.get("/v1/invoices", number="0042").json()["data"]) == 1
    assert problem(shop.get("/v1/invoices", customer="C-9")) == (404, "not-found")
    assert problem(shop.get("/v1/customers/C-9")) == (404, "not-found")
    assert problem(shop.get("/v1/payments/99")) == (404, "not-found")
    for nothing in ("nothing", "payments/x", "payments/99999999999999999999"):
        assert problem(shop.get(f"/v1/{nothing}")) == (404, "not-found")
    assert problem(shop.get("/v1/payments/9999999999999999999")) == (422, "request-refused")
    assert problem(shop.client.delete("/v1/customers")) == (405, "method-not-allowed")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("payments?limit=0", ["limit"]),
        ("payments?limit=201", ["limit"]),
        ("payments?limit=x&after=-1", ["after", "limit"]),
        ("payments?after=99999999999999999999", ["after"]),
        ("payments?custmer=C-1", ["custmer"]),
        ("payments?limit=1&limit=2", ["query"]),
        ("payments?state=posted", ["state"]),
        ("payments?state=paid&customer=C-1", ["state"]),
        ("payments?batch=x", ["batch"]),
        ("payments?batch=1&customer=C-1", ["batch"]),
        ("invoices?state=paid", ["state"]),
        ("payments?method=check&recorded_from=2026-01-01T00:00:00Z", ["method", "recorded_from"]),
        ("payments?method=chek&customer=C-1", ["method"]),
        ("payments?recorded_to=2026-01-01&customer=C-1", ["recorded_to"]),
        ("payments?idempotency_key=k&customer=C-1", ["idempotency_key"]),
        ("payments?fields=id,amont", ["fields"]),
        ("invoices?due_date_to=2026-02-30&customer=C-1", ["due_date_to"]),
        ("invoices?invoice_date_from=2026-02-01", ["invoice_date_from"]),
        ("credits", ["customer"]),
    ],
)
def test_wrong_question(shop: App, query: str, fields: list[str]) -> None:
    """A filter that nobody reads, or cannot, is refused: it must not be passed over."""
    refused = shop.get(f"/v1/{query}")
    assert problem(refused) == (422, "request-refused")
    assert [one["field"] for one in refused.json()["faults"]] == fields
    assert fields_of(refused) == fields


# ---- plans ----------------------------------------------------------------------------------------------------------

FILL = """
    INSERT INTO customers (id, number, name, created_at)
        SELECT n, 'C-' || n, 'x', now() FROM generate_series(1, 20000) n;
    INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor, balance_minor, state,
                          created_at)
        SELECT CASE WHEN n % 10 = 0 THEN 7 ELSE n % 20000 + 1 END, 'A-' || n, '2026-01-05', '2026-02-05', 'USD', 100,
               CASE WHEN n % 3 = 0 THEN 0 ELSE 100 END, CASE WHEN n % 3 = 0 THEN 'paid' ELSE 'pending' END, now()
        FROM generate_series(1, 60000) n;
    INSERT INTO batches (id, caller, idempotency_key, label, state, created_at, created_by)
        VALUES (1, 'a', 'k', 'x', 'open', now(), 'a');
    INSERT INTO payments (customer_id, batch_id, caller, idempotency_key, content_digest, method, currency, total_minor,
                          as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at,
                          recorded_by, applied_minor)
        SELECT CASE WHEN n % 10 = 0 THEN 7 ELSE n % 20000 + 1 END, CASE WHEN n % 3 > 0 THEN 1 END, 'a', n::text, '',
               'check', 'USD', 100, false, false, 'ask', 100, 'posted', now(), 'a', 100
        FROM generate_series(1, 60000) n;
    INSERT INTO credits (customer_id, payment_id, currency, amount_minor, balance_minor, note, created_at)
        SELECT n % 20000 + 1, (SELECT min(id) FROM payments), 'USD', 100, n % 2 * 100, 'x', now()
        FROM generate_series(1, 40000) n;
"""


@pytest.fixture
def full(connection: Connection) -> Connection:
    """Large tables, one customer with a tenth of everything, one batch with most payments."""
    fill_quickly(connection)
    connection.execute(text(FILL))
    analyze(connection)
    return connection


PAGE = {"after": 1_000, "most": 51}
OF_ALL = {**PAGE, **asdict(lists.EVERY)}
QUESTIONS: dict[str, tuple[TextClause, dict[str, Any]]] = {
    "customer": (lists.BY_NUMBER, {"number": "C-7"}),
    "customers": (lists.CUSTOMERS, {**PAGE, "last": 2**63 - 1}),
    "invoice": (lists.INVOICE, {"id": 7}),
    "invoices": (lists.INVOICES, PAGE),
    "of a large customer": (lists.OF_CUSTOMER, {**PAGE, **lists.NO_DAYS, "customer_id": 7, "state": None}),
    "in a state": (lists.OF_CUSTOMER, {**PAGE, **lists.NO_DAYS, "customer_id": 7, "state": "pending"}),
    "of a small customer": (lists.OF_CUSTOMER, {**PAGE, **lists.NO_DAYS, "customer_id": 8, "state": None}),
    "by number": (lists.OF_NUMBER, {**PAGE, "number": "A-7"}),
    "by both": (lists.OF_BOTH, {**PAGE, **lists.NO_DAYS, "customer_id": 7, "number": "A-10", "state": None}),
    "payment": (lists.PAYMENT, {"id": 7}),
    "payments": (lists.PAYMENTS, PAGE),
    "payments of a large customer": (lists.PAYMENTS_OF_CUSTOMER, {**OF_ALL, "customer_id": 7}),
    "payments of a small customer": (lists.PAYMENTS_OF_CUSTOMER, {**OF_ALL, "customer_id": 8}),
    "payments of a batch": (lists.PAYMENTS_OF_BATCH, {**OF_ALL, "batch_id": 1, "states": ["posted", "declined"]}),
    "of a key": (lists.OF_KEY, {**PAGE, "caller": "a", "key": "1007"}),
    "credits": (lists.CREDITS, {**PAGE, "customer_id": 8}),
    "of a credit": (lists.APPLICATIONS, {**PAGE, "credit_id": 8}),
    "batches": (lists.BATCHES, {**PAGE, "caller": None}),
}


LARGE = {"customers", "invoices", "payments", "credits"}
"""The tables that are filled; one page of an empty one may well be read whole."""
PASSES_OVER = {
    "of a key",
    "of a credit",
    "in a state",
    "by both",
    "of a small customer",
    "payments of a small customer",
}
"""Within one customer's, credit's or key's: those in another state, or the few that there are."""


def test_plans(full: Connection) -> None:
    """No list reads a whole table, passes over what it does not show, or sorts more than some pages."""
    for name, (question, asked) in QUESTIONS.items():
        assert read_whole(full, question, **asked) & LARGE == set(), name
        for node in nodes(full, question, **asked):
            if node["Node Type"] == "Sort":
                assert max(part["Plan Rows"] for part in node["Plans"]) <= 1_000, name
            elsewhere = node.get("Relation Name", "payments") not in LARGE
            assert name in PASSES_OVER or elsewhere or "Filter" not in node, name
