"""A customer's statement as PDF, and the words of its lines. It knows no notes: `books.statement` reads none (R6)."""

from __future__ import annotations

from collections.abc import Iterator

from books.account import Customer
from books.aging import Aging
from books.statement import Line, Statement
from papers.receipt import paid_by
from papers.sheet import INNER, Column, Sheet
from rules.ledger import Kind
from rules.money import for_people


def statement_pdf(statement: Statement, customer: Customer, aging: Aging | None, business: str) -> bytes:
    """The statement as a PDF, the same bytes for the same statement; `aging`: as of its last day, if owed."""
    currency = statement.currency
    sheet = Sheet(f"Statement of {customer.number}, {currency}, {statement.first} to {statement.last}", business)
    if business:
        sheet.heading(business, 11)
    sheet.heading(f"Statement {statement.first} to {statement.last}")
    sheet.facts(
        [
            ("Customer", f"{customer.name} ({customer.number})"),
            ("Owed before", for_people(statement.opening_minor, currency)),
            ("Owed at the end", for_people(statement.closing_minor, currency)),
            ("Credit left", for_people(statement.closing_credit_minor, currency)),
        ]
    )
    columns = (
        Column("Date", 68),
        Column("What", INNER - 68 - 3 * 88),
        Column("Owed", 88, sums=True),
        Column("Credit", 88, sums=True),
        Column("Balance", 88, sums=True),
    )
    sheet.table(columns, _rows(statement))
    if aging is not None:
        sheet.paragraph(f"Owed on {statement.last} by days past the due date", bold=True)
        width = INNER / 5
        sums = (aging.current_minor, aging.to_30_minor, aging.to_60_minor, aging.to_90_minor, aging.over_90_minor)
        heads = ("Current", "1–30 days", "31–60", "61–90", "Over 90")
        sheet.table(
            [Column(head, width, sums=True) for head in heads], [[for_people(minor, currency) for minor in sums]]
        )
    return sheet.bytes()


def statement_file_name(statement: Statement) -> str:
    """What its file is called."""
    period = f"{statement.first}-{statement.last}"
    return f"statement-{statement.customer_id}-{statement.currency}-{period}.pdf"


def said_of(line: Line, currency: str) -> str:
    """What happened, as one says it to a customer."""
    payment = f"Payment {line.payment_id}"
    returned = for_people(abs(line.returned_minor), currency)
    match line.kind:
        case Kind.BILLED:
            return f"Invoice {line.invoice}, due {line.due_date}"
        case Kind.BILLING_VOIDED:
            return f"Invoice {line.invoice} void"
        case Kind.POSTED:
            return f"{payment}, {paid_by(line)}"
        case Kind.CREDIT_APPLIED:
            return f"Credit from payment {line.payment_id} applied to invoices"
        case Kind.CREDIT_APPLICATION_REVERSED:
            return f"Credit from payment {line.payment_id} taken back from invoices"
        case Kind.VOIDED:
            return f"{payment} void"
        case Kind.CHARGED_UNWANTED:
            return f"{payment}: {returned} charged to the card, goes back"
        case Kind.REVERSED_AT_GATEWAY:
            return f"{payment}: {returned} returned to the card"
        case Kind.REFUND_FAILED:
            return f"{payment}: {returned} could not be returned to the card"
        case Kind.KEPT:
            return f"{payment} kept as a credit"
        case Kind.REFUNDED:
            return f"{payment}: {returned} returned to the card"
        case Kind.REFUND_FAILED_CREDITED:
            return f"{payment}: {returned} could not be returned to the card, and is a credit"
        case Kind.DISPUTED:
            return f"{payment}: {returned} disputed with the card's bank"
        case Kind.DISPUTE_WON:
            return f"{payment}: dispute over {returned} ended, the payment stands"
        case Kind.DISPUTE_LOST:
            return f"{payment}: {returned} taken back by the card's bank"


def _rows(statement: Statement) -> Iterator[tuple[str, ...]]:
    currency = statement.currency

    def moved(minor: int) -> str:
        return for_people(minor, currency) if minor else ""

    yield (
        statement.first.isoformat(),
        "Before",
        "",
        moved(statement.opening_credit_minor),
        for_people(statement.opening_minor, currency),
    )
    for line in statement.lines:
        yield (
            line.day.isoformat(),
            said_of(line, currency),
            moved(line.owed_minor),
            moved(line.credit_minor),
            for_people(line.balance_minor, currency),
        )
    yield (
        statement.last.isoformat(),
        "At the end",
        "",
        moved(statement.closing_credit_minor),
        for_people(statement.closing_minor, currency),
    )
