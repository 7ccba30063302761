"""CSV and JSON lines: one row a line, the columns by name, money as decimal text."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import Connection

from books import export
from books.export import Asked, What
from rules.money import to_decimal
from rules.spreadsheet import as_text

_MINOR: Final = "_minor"


class _Line:
    """What csv writes to: keeps the line."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        """As a file does."""
        self.text = text


def csv_lines(conn: Connection, what: What, asked: Asked) -> Iterator[str]:
    """RFC 4180, with a header; what a spreadsheet would take for a formula is made text."""
    line = _Line()
    writer = csv.writer(line)
    writer.writerow(name.removesuffix(_MINOR) for name in export.columns(conn, what, asked))
    yield line.text
    for row in export.rows(conn, what, asked):
        writer.writerow(_cell(row, name, value) for name, value in row._mapping.items())
        yield line.text


def json_lines(conn: Connection, what: What, asked: Asked) -> Iterator[str]:
    """One object a row; money as decimal text and, beside it, in minor units."""
    for row in export.rows(conn, what, asked):
        said: dict[str, Any] = {}
        for name, value in row._mapping.items():
            if name.endswith(_MINOR):
                said[name.removesuffix(_MINOR)] = None if value is None else to_decimal(value, row.currency)
            said[name] = value if value is None or isinstance(value, int | list) else _plain(value)
        yield json.dumps(said, ensure_ascii=False) + "\n"


def _cell(row: Any, name: str, value: object) -> str:
    if value is None:
        return ""
    if name.endswith(_MINOR) and isinstance(value, int):
        return to_decimal(value, row.currency)
    return as_text(";".join(value) if isinstance(value, list) else _plain(value))


def _plain(value: object) -> str:
    """Days as ISO 8601, moments in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)
