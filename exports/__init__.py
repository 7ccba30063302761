"""Files for other programs, written row by row from what `books.export` reads. Docs: docs/import-export.md.

One file a format: CSV and JSON lines for everything, IIF for QuickBooks, Beancount for the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from books.export import Asked, What
from exports import beancount, iif, tables
from rules.errors import Fault, RequestRefused


class Format(StrEnum):
    """What a file is written in."""

    CSV = "csv"
    JSONL = "jsonl"
    QUICKBOOKS = "quickbooks"
    BEANCOUNT = "beancount"


ENCODINGS: Final = {Format.QUICKBOOKS: "cp1252"}
"""What is not UTF-8."""

_WRITTEN: Final = {
    Format.CSV: dict.fromkeys(What, tables.csv_lines),
    Format.JSONL: dict.fromkeys(What, tables.json_lines),
    Format.QUICKBOOKS: dict.fromkeys((What.CUSTOMERS, What.INVOICES, What.PAYMENTS, What.JOURNAL), iif.lines),
    Format.BEANCOUNT: {What.JOURNAL: beancount.lines},
}


def written(conn: Connection, what: What, asked: Asked, form: Format) -> Iterator[str]:
    """The file, a line or more at a time. Raises RequestRefused where the format cannot hold what was asked for."""
    by_what = _WRITTEN[form]
    if what not in by_what:
        problem = f"knows no {what}"
        raise RequestRefused([Fault("format", form, problem, f"Choose csv or jsonl, or export {', '.join(by_what)}")])
    return by_what[what](conn, what, asked)
