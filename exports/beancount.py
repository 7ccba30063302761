"""The journal in Beancount's text format: its accounts opened, one transaction an entry.

https://beancount.github.io/docs/beancount_language_syntax.html: an account's parts begin with a capital letter or a
digit and go on with letters, digits and dashes; a text stands in double quotes. Beancount itself refuses an entry that
does not balance, and a currency in an account that was not opened for it: each account has one currency, its last part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection

from books import export
from books.export import Asked, What
from rules import ledger
from rules.money import to_decimal

_NAMES: Final = {
    ledger.RECEIVABLE: "Assets:Receivable",
    ledger.REVENUE: "Income:Revenue",
    ledger.CUSTOMER_CREDIT: "Liabilities:CustomerCredit",
    ledger.REFUNDS_PAYABLE: "Liabilities:RefundsPayable",
    ledger.DISPUTE_LOSSES: "Expenses:DisputeLosses",
}
_FAMILIES: Final = {"cash": "Assets:Cash", "clearing": "Assets:Clearing", "disputed": "Assets:Disputed"}


def lines(conn: Connection, what: What, asked: Asked) -> Iterator[str]:
    """The ledger."""
    accounts = export.accounts(conn, asked)
    for currency in sorted({currency for _, currency, _ in accounts}):
        yield f'option "operating_currency" "{currency}"\n'
    for name, currency, day in accounts:
        yield f"{day} open {account(name, currency)} {currency}\n"
    for _, entry in groupby(export.rows(conn, what, asked), attrgetter("entry")):
        yield _transaction(list(entry))


def account(name: str, currency: str) -> str:
    """What an account of the journal is called: cash:money_order in USD is Assets:Cash:MoneyOrder:USD."""
    family, _, member = name.partition(":")
    if member:
        return f"{_FAMILIES[family]}:{''.join(map(_capital, re.split(r'[^A-Za-z0-9]+', member)))}:{currency}"
    return f"{_NAMES[name]}:{currency}"


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _transaction(entry: list[Any]) -> str:
    first = entry[0]
    about = first.kind.replace("_", " ")
    link = f" ^payment-{first.payment}" if first.payment else ""
    said = [f"\n{first.day} * {_quoted(first.customer_name)} {_quoted(about)}{link}\n"]
    told = {"entry": first.entry, "customer": first.customer, "invoice": first.invoice, "payment": first.payment}
    said += [f"  {key}: {_quoted(str(value))}\n" for key, value in told.items() if value is not None]
    said += [
        f"  {account(line.account, line.currency)}  {to_decimal(line.amount_minor, line.currency)} {line.currency}\n"
        for line in entry
    ]
    return "".join(said)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
