"""The statement as PDF, and what its lines say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO

import pytest
from pypdf import PdfReader

from books.account import Customer
from books.aging import Aging
from books.statement import Line, Statement
from papers.statement import said_of, statement_file_name, statement_pdf
from rules.ledger import Kind

ANN = Customer(3, "C-1", "Ann Żółć", "ann@example.org", None, datetime(2026, 1, 1, tzinfo=UTC))
BILLED = Line(
    date(2026, 1, 5), Kind.BILLED, "A-1", date(2026, 2, 5), None, None, None, None, None, 600000, 0, 0, 600000
)
PAID = Line(date(2026, 2, 1), Kind.POSTED, None, None, 7, "check", "1007", None, None, -500000, 2500, 0, 100000)
STATEMENT = Statement(3, "USD", date(2026, 1, 1), date(2026, 3, 31), 0, 0, (BILLED, PAID), 100000, 2500)
OWED = Aging("USD", 0, 0, 100000, 0, 0)


def words(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


def test_a_statement_says_what_was_owed_and_why() -> None:
    """Before, each line, at the end, and by days past due; the same bytes for the same statement."""
    pdf = statement_pdf(STATEMENT, ANN, OWED, "Defray & Sons")
    seen = words(pdf)
    for said in (
        "Defray & Sons",
        "Statement 2026-01-01 to 2026-03-31",
        "Ann Żółć (C-1)",
        "Invoice A-1, due 2026-02-05",
        "6,000.00 USD",
        "Payment 7, Check 1007",
        "-5,000.00 USD",
        "Credit left",
        "25.00 USD",
        "1,000.00 USD",
        "31–60",
    ):
        assert said in seen
    assert pdf == statement_pdf(STATEMENT, ANN, OWED, "Defray & Sons")
    assert "31–60" not in words(statement_pdf(STATEMENT, ANN, None, ""))
    assert statement_file_name(STATEMENT) == "statement-3-USD-2026-01-01-2026-03-31.pdf"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind.CREDIT_APPLIED, "Credit from payment 7 applied to invoices"),
        (Kind.CREDIT_APPLICATION_REVERSED, "Credit from payment 7 taken back from invoices"),
        (Kind.VOIDED, "Payment 7 void"),
        (Kind.CHARGED_UNWANTED, "Payment 7: 12.50 USD charged to the card, goes back"),
        (Kind.REVERSED_AT_GATEWAY, "Payment 7: 12.50 USD returned to the card"),
        (Kind.REFUND_FAILED, "Payment 7: 12.50 USD could not be returned to the card"),
        (Kind.KEPT, "Payment 7 kept as a credit"),
        (Kind.REFUNDED, "Payment 7: 12.50 USD returned to the card"),
        (Kind.REFUND_FAILED_CREDITED, "Payment 7: 12.50 USD could not be returned to the card, and is a credit"),
        (Kind.DISPUTED, "Payment 7: 12.50 USD disputed with the card's bank"),
        (Kind.DISPUTE_WON, "Payment 7: dispute over 12.50 USD ended, the payment stands"),
        (Kind.DISPUTE_LOST, "Payment 7: 12.50 USD taken back by the card's bank"),
    ],
)
def test_each_kind_of_line_in_words(kind: Kind, said: str) -> None:
    """B1: every kind of entry that a customer meets has words."""
    assert said_of(replace(PAID, kind=kind, returned_minor=-1250), "USD") == said
