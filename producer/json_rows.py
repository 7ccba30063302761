"""Rows of a file of JSON lines as a stream: one object a line, its texts as the cells of a CSV file would be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from producer.csv_rows import TELL_EVERY, FileRow, Read, chosen_columns, fields_by_name, lines, opened, plain
from rules.cards import looks_like_card_number
from rules.errors import Fault, RequestRefused, shown

IGNORED_MAX: Final = 100
"""Names of fields that nobody reads, as far as they are remembered."""

_IN_LISTS: Final = ";|"


class _Whole(str):
    """The digits of a whole number."""


class _Fraction(str):
    """A number with a point or an exponent, which may have lost a cent on its way (B26)."""


class _Unreadable(ValueError):
    """What JSON or we do not know: a constant such as NaN, a field that is given twice."""


class JsonLines:
    """A file of JSON lines. `ignored` grows while its rows are read."""

    def __init__(
        self, path: Path, aliases: Mapping[str, Sequence[str]], mapped: Mapping[str, str], encoding: str = "utf-8"
    ) -> None:
        """The same names as for `csv_rows.open_table`. Raises RequestRefused, DefrayError."""
        self._path, self._encoding = path, encoding
        self._by_name = fields_by_name(aliases)
        self._chosen, faults = chosen_columns(self._by_name, mapped)
        if faults:
            raise RequestRefused(faults)
        self._by_column = {column: field for field, column in self._chosen.items()}
        self._ignored: dict[str, None] = {}
        self._first: dict[str, str] | list[Fault] = next((row.content for row in self.rows()), [])

    @property
    def ignored(self) -> tuple[str, ...]:
        """Fields that nobody reads, of the rows that were read."""
        return tuple(self._ignored)

    @property
    def keyed(self) -> bool:
        """Whether rows bring idempotency keys of their own (R15), as the first row does or does not."""
        return "idempotency_key" in self._first

    def rows(self, read: Read | None = None) -> Iterator[FileRow]:
        """The rows; blank lines are passed over. Raises DefrayError where the file is no text."""
        number = 0
        with opened(self._path, self._encoding) as file:
            for line, said in enumerate(lines(file, self._path), start=1):
                if not said.strip():
                    continue
                number += 1
                yield FileRow(number, line, self._content(said))
                if read is not None and number % TELL_EVERY == 0:
                    read(file.buffer.tell())

    def _content(self, said: str) -> dict[str, str] | list[Fault]:
        try:
            return self._cells(_DECODER.decode(said.strip()))
        except json.JSONDecodeError as reason:
            return [Fault("row", "", f"no JSON: {reason.msg} at place {reason.pos + 1}", "Write one object a line")]
        except (_Unreadable, RecursionError) as reason:
            return [Fault("row", "", f"cannot be read: {shown(reason)}", "Write one object of plain texts a line")]

    def _cells(self, given: object) -> dict[str, str] | list[Fault]:
        if not isinstance(given, dict):
            return [Fault("row", "", "no JSON object", 'Write one object a line, such as {"number": "C-1"}')]
        cells: dict[str, str] = {}
        faults: list[Fault] = []
        for name, value in given.items():
            if looks_like_card_number(name) or looks_like_card_number(_as_text(value)):
                remedy = "Take it out: files carry card tokens, never numbers (C1)"
                faults.append(Fault(shown(name), "", "looks like a card number", remedy))
                continue
            field = self._field(name)
            if field is None:
                if len(self._ignored) < IGNORED_MAX:
                    self._ignored[shown(name)] = None
                continue
            cell = _cell(field, value)
            if isinstance(cell, Fault):
                faults.append(cell)
            elif field in cells:
                faults.append(Fault(field, shown(name), "given once more", f"Choose one: --map {field}=NAME"))
            elif cell:
                cells[field] = cell
        return faults or cells

    def _field(self, name: str) -> str | None:
        field = self._by_column.get(name) or self._by_name.get(plain(name))
        return None if field in self._chosen and self._chosen[field] != name else field


def _cell(field: str, value: object) -> str | Fault:
    """A value as the cell of a CSV file has it; empty where nothing is said."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, _Whole) and not field.endswith("_minor"):
        return Fault(field, shown(value), "a number", "Give it as a text in quotes; whole numbers are minor units")
    if isinstance(value, _Fraction):
        return Fault(field, shown(value), "a number with a point", 'Give it as a text in quotes, such as "12.50"')
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and field == "invoices":
        if all(type(one) is str and one and not set(one) & set(_IN_LISTS) for one in value):
            return ";".join(value)
        return Fault(field, "", "no list of invoices", "Give their numbers as texts, without ; and |")
    return Fault(field, "", "no text", "Give it as a text in quotes")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    given = dict(pairs)
    if len(given) < len(pairs):
        raise _Unreadable("a field is given twice")
    return given


def _refuse(constant: str) -> object:
    raise _Unreadable(f"{constant} is no number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_Whole, parse_float=_Fraction, parse_constant=_refuse
)
