"""Issue 4: a customer's statement over a period."""

from __future__ import annotations

from io import BytesIO

import pytest
from pypdf import PdfReader

from tests.web.conftest import Books, Visitor


def test_the_statement_of_a_period(clerk: Visitor, books: Books) -> None:
    """What was owed before, the lines, what is owed at the end and how old it is; the same as PDF."""
    customer = books.bill("C-1", {"A-1": 1250, "A-2": 2000}, name="Ann & Co")
    address = f"/console/customers/{customer}/statement"
    seen = clerk.get(f"{address}?from=2026-01-06&to=2026-02-10")
    assert seen.status_code == 200
    for said in ("Ann &amp; Co", "12.50 USD", "Invoice A-2, due 2026-01-05", "32.50 USD", "31–60"):
        assert said in seen.text
    assert "Invoice A-1" not in seen.text
    pdf = clerk.get(f"{address}.pdf?from=2026-01-06&to=2026-02-10")
    assert pdf.headers["content-type"] == "application/pdf"
    name = f"statement-{customer}-USD-2026-01-06-2026-02-10.pdf"
    assert pdf.headers["content-disposition"] == f'inline; filename="{name}"'
    words = "".join(page.extract_text() for page in PdfReader(BytesIO(pdf.content)).pages)
    assert "Invoice A-2, due 2026-01-05" in words
    assert "32.50 USD" in words


def test_without_days_it_is_the_current_quarter(clerk: Visitor, books: Books) -> None:
    """From the first day of the quarter up to today, by the business's clock; the record leads to it."""
    customer = books.bill("C-1", {"A-1": 1250})
    first, today = books.one("SELECT CAST(date_trunc('quarter', now()) AS date)"), books.one("SELECT CURRENT_DATE")
    seen = clerk.get(f"/console/customers/{customer}/statement").text
    assert f'value="{first}"' in seen
    assert f'value="{today}"' in seen
    assert f"/console/customers/{customer}/statement" in clerk.get(f"/console/customers/{customer}").text


@pytest.mark.parametrize(
    "asked",
    ["from=1.1.2026", "to=0001-01-01", "from=9999-12-31", "from=2026-02-02&to=2026-02-01", "currency=XYZ"],
)
def test_what_cannot_be_shown(clerk: Visitor, books: Books, asked: str) -> None:
    """It says what is wrong beside the field; the PDF is refused likewise."""
    customer = books.bill("C-1", {"A-1": 1250})
    seen = clerk.get(f"/console/customers/{customer}/statement?{asked}")
    assert seen.status_code == 422
    assert "This cannot be shown" in seen.text
    assert clerk.get(f"/console/customers/{customer}/statement.pdf?{asked}").status_code == 422


def test_a_customer_without_a_history(clerk: Visitor, books: Books) -> None:
    """Nothing was billed and nothing paid: the page says so; who does not exist is not found."""
    customer = books.bill("C-1")
    assert "Nothing was billed" in clerk.get(f"/console/customers/{customer}/statement").text
    assert clerk.get(f"/console/customers/{customer}/statement.pdf").status_code == 422
    assert clerk.get("/console/customers/987654/statement").status_code == 404


def test_each_currency_by_itself(clerk: Visitor, books: Books) -> None:
    """R14: the currency is chosen, and no sum of another is among it."""
    customer = books.bill("C-1", {"A-1": 1250})
    books.do(
        "INSERT INTO invoices (customer_id, number, invoice_date, due_date, currency, total_minor, balance_minor,"
        " state, created_at) VALUES (:id, 'E-1', '2026-01-07', '2026-01-07', 'EUR', 700, 700, 'pending', now())",
        id=customer,
    )
    address = f"/console/customers/{customer}/statement?from=2026-01-01&to=2026-02-10"
    assert "<option selected>EUR</option>" in clerk.get(address).text
    dollars = clerk.get(f"{address}&currency=USD").text
    assert "12.50 USD" in dollars
    assert "7.00 EUR" not in dollars
