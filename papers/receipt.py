"""A payment's receipt as PDF, and in the words of an e-mail. It knows no notes: `books.receipt` reads none (R6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from books.receipt import Receipt
from books.statement import Line
from papers.sheet import INNER, Column, Sheet
from rules.money import for_people

Paid = Receipt | Line
"""What tells how it was paid."""

_VOID: Final = "VOID: this payment no longer counts. What it paid is owed again."


def receipt_pdf(receipt: Receipt, business: str) -> bytes:
    """The receipt as a PDF, the same bytes for the same receipt; `business`: who was paid, may be empty."""
    sheet = Sheet(title(receipt), business, stamp="VOID" if receipt.state == "voided" else "")
    if business:
        sheet.heading(business, 11)
    sheet.heading(title(receipt))
    if receipt.state == "voided":
        sheet.paragraph(_VOID, bold=True)
    sheet.facts(_facts(receipt))
    if receipt.lines:
        columns = (
            Column("Invoice", INNER - 320),
            Column("Date", 75),
            Column("Amount applied", 110, sums=True),
            Column("Still due", 85, sums=True),
            Column("State", 50),
        )
        sheet.table(
            columns,
            (
                (
                    line.invoice,
                    line.invoice_date.isoformat(),
                    for_people(line.applied_minor, receipt.currency),
                    for_people(line.balance_minor, receipt.currency),
                    line.state.capitalize(),
                )
                for line in receipt.lines
            ),
        )
    for words in _credit(receipt):
        sheet.paragraph(words)
    return sheet.bytes()


def receipt_words(receipt: Receipt, business: str) -> str:
    """The receipt for a mail that shows no attachments; its invoices are in the PDF."""
    lines = [title(receipt), ""]
    if receipt.state == "voided":
        lines += [_VOID, ""]
    lines += [f"{label}: {value}" for label, value in _facts(receipt)]
    lines += _credit(receipt)
    lines += ["", "The receipt with its invoices is attached."]
    return "\n".join([*lines, "", business] if business else lines) + "\n"


def title(receipt: Receipt) -> str:
    """What the paper is called."""
    return f"Receipt {receipt.payment_id}"


def file_name(receipt: Receipt) -> str:
    """What its file is called."""
    return f"receipt-{receipt.payment_id}.pdf"


def paid_by(paid: Paid) -> str:
    """How it was paid: the type, the number of a check, the last four digits of a card."""
    method = paid.method or ""
    kind = "PayPal" if method == "paypal" else method.replace("_", " ").capitalize()
    number = f" {paid.number}" if paid.number else ""
    card = f", {(paid.card_brand or '').capitalize()} ending in {paid.card_last_four}"
    return f"{kind}{number}{card if paid.card_last_four else ''}"


def _facts(receipt: Receipt) -> Iterator[tuple[str, str]]:
    yield "Received from", f"{receipt.customer_name} ({receipt.customer})"
    yield "Amount", for_people(receipt.paid_minor, receipt.currency)
    yield "Post date", receipt.post_date.isoformat()
    yield "By", paid_by(receipt)
    if receipt.refunded_minor:
        yield "Returned", for_people(receipt.refunded_minor, receipt.currency)
    if receipt.charged_back_minor:
        yield "Taken back by bank", for_people(receipt.charged_back_minor, receipt.currency)


def _credit(receipt: Receipt) -> Iterator[str]:
    if receipt.credits and receipt.state != "voided":
        yield f"Credit: {for_people(receipt.credited_minor, receipt.currency)}"
        yield from receipt.credits
