"""IIF, the text format that QuickBooks Desktop imports: tabs between columns, debits above and credits below zero.

Keywords and columns are those of Intuit's own reference, "IIF: reference for transactions"
(support.quickbooks.intuit.com, iif_reference_transactions.html) and "IIF headers" (HOW12778): a TRNS line for the first
account of a transaction, SPL lines for the others, ENDTRNS after the last. It knows one currency, no escapes, Windows'
letters, and names of 41 characters in which a colon parts a customer from a job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from books import export
from books.export import Asked, What
from rules import ledger
from rules.errors import DefrayError, Fault, RequestRefused, shown
from rules.money import to_decimal

NAME_MAX: Final = 41
"""Characters of a customer's name in QuickBooks."""

_HEAD: Final = ("TRNSTYPE", "DATE", "ACCNT", "NAME", "AMOUNT", "DOCNUM", "MEMO", "DUEDATE")
_CUSTOMER: Final = ("NAME", "COMPANYNAME", "EMAIL", "PHONE1")
_ACCOUNTS: Final = {
    ledger.RECEIVABLE: "Accounts Receivable",
    ledger.REVENUE: "Sales",
    ledger.CUSTOMER_CREDIT: "Customer Credits",
    ledger.REFUNDS_PAYABLE: "Refunds Payable",
    ledger.DISPUTE_LOSSES: "Dispute Losses",
}
_UNDEPOSITED: Final = "Undeposited Funds"
_OWED: Final = ("pending", "paid")


class _Split(NamedTuple):
    """A line of a transaction."""

    account: str
    amount: str


def lines(conn: Connection, what: What, asked: Asked) -> Iterator[str]:
    """The file. Raises RequestRefused for two currencies, DefrayError for a number that it cannot hold."""
    if what is not What.CUSTOMERS and len(found := export.currencies(conn, what, asked)) > 1:
        remedy = "QuickBooks takes one a file: name it by --currency"
        raise RequestRefused([Fault("currency", ", ".join(found), "more than one", remedy)])
    return _customers(conn, asked) if what is What.CUSTOMERS else _transactions(conn, what, asked)


def account(name: str) -> str:
    """What an account of the journal is called: clearing:payflow is Clearing payflow."""
    family, _, member = name.partition(":")
    if family == "cash":
        return _UNDEPOSITED
    return f"{family.capitalize()} {member}" if member else _ACCOUNTS[name]


def _customers(conn: Connection, asked: Asked) -> Iterator[str]:
    yield _line("!CUST", *_CUSTOMER)
    for row in export.rows(conn, What.CUSTOMERS, asked):
        yield _line("CUST", _name(row.number), row.name, row.email or "", row.phone or "")


def _transactions(conn: Connection, what: What, asked: Asked) -> Iterator[str]:
    yield _line("!TRNS", *_HEAD)
    yield _line("!SPL", *_HEAD)
    yield _line("!ENDTRNS")
    if what is What.JOURNAL:
        for _, entry in groupby(export.rows(conn, what, asked), attrgetter("entry")):
            yield _entry(list(entry))
        return
    one = _BY_ROW[what]
    for row in export.rows(conn, what, asked):
        yield one(row)


def _entry(entry: list[Any]) -> str:
    first = entry[0]
    about = f"{first.kind.replace('_', ' ')} {first.invoice or ''}".strip()
    splits = [_Split(account(line.account), to_decimal(line.amount_minor, line.currency)) for line in entry]
    return _transaction("GENERAL JOURNAL", first.day, first.customer, splits, str(first.entry), about)


def _invoice(row: Any) -> str:
    if row.state not in _OWED:
        return ""
    splits = _two("Accounts Receivable", "Sales", row.amount_minor, row.currency)
    return _transaction("INVOICE", row.invoice_date, row.customer, splits, row.number, "", row.due_date)


def _payment(row: Any) -> str:
    """What came in and did not go back; only what is posted came in."""
    kept = row.applied_minor + row.credited_minor
    if row.state != "posted" or not kept:
        return ""
    splits = _two(_UNDEPOSITED, "Accounts Receivable", kept, row.currency)
    about = f"payment {row.payment} by {row.method.replace('_', ' ')}"
    return _transaction("PAYMENT", row.post_date, row.customer, splits, row.number or "", about)


_BY_ROW: Final[dict[What, Callable[[Any], str]]] = {What.INVOICES: _invoice, What.PAYMENTS: _payment}


def _two(debit: str, credit: str, amount_minor: int, currency: str) -> list[_Split]:
    return [_Split(debit, to_decimal(amount_minor, currency)), _Split(credit, to_decimal(-amount_minor, currency))]


def _transaction(
    kind: str, day: date, customer: str, splits: list[_Split], number: str, about: str, due: date | None = None
) -> str:
    name = _name(customer)
    said = [
        _line(keyword, kind, _day(day), split.account, name, split.amount, number, about, _day(due) if due else "")
        for keyword, split in zip(("TRNS", *["SPL"] * (len(splits) - 1)), splits, strict=True)
    ]
    return "".join([*said, _line("ENDTRNS")])


def _day(day: date) -> str:
    return f"{day.month:02d}/{day.day:02d}/{day.year:04d}"


def _name(number: str) -> str:
    """A customer by number, which is unique where a name need not be."""
    if len(number) > NAME_MAX:
        raise DefrayError(
            f"The customer's number {shown(number)} has {len(number)} characters.",
            f"QuickBooks takes {NAME_MAX}; export csv instead.",
        )
    try:
        number.encode("cp1252")
    except UnicodeEncodeError:
        raise DefrayError(
            f"The customer's number {shown(number)} has letters that QuickBooks does not know.", "Export csv instead."
        ) from None
    return number.replace(":", "-")


def _line(*cells: str) -> str:
    return "\t".join(cell.replace("\t", " ").replace('"', "'") for cell in cells) + "\r\n"
