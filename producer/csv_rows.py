"""Rows of a CSV file as a stream: whatever spreadsheet wrote it, each row with its line, each fault said once."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from rules.cards import looks_like_card_number
from rules.errors import DefrayError, Fault, RequestRefused, shown
from rules.redaction import redact_text

LINE_MAX: Final = 1_000_000
"""Characters of one line; a longer one is no table."""

TELL_EVERY: Final = 1_000
"""Rows after which it is told how far a file was read."""

Read = Callable[[int], object]
"""Told how many bytes of the file were read."""

_NO_ROWS: Final = "This is no file of rows; export it anew."
_DELIMITERS: Final = ",;\t"
_CARD_DIGITS_MIN: Final = 13
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


class FileRow(NamedTuple):
    """One row: its number among the rows, the line it begins at, and its cells by field, or what is wrong with it.

    Both numbers count from 1, the line with the header. Empty cells are left out.
    """

    number: int
    line: int
    content: dict[str, str] | list[Fault]


@dataclass(frozen=True, slots=True)
class Table:
    """A file whose header was understood."""

    path: Path
    encoding: str
    delimiter: str
    columns: tuple[str, ...]  # as the header names them
    fields: tuple[str | None, ...]  # beside each column the field that it fills, None where nobody reads it

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns that nobody reads."""
        return tuple(column for column, field in zip(self.columns, self.fields, strict=True) if field is None)

    @property
    def keyed(self) -> bool:
        """Whether rows bring idempotency keys of their own (R15)."""
        return "idempotency_key" in self.fields

    def rows(self, read: Read | None = None) -> Iterator[FileRow]:
        """The rows below the header; blank lines are passed over. Raises DefrayError where the file is no table."""
        with opened(self.path, self.encoding) as file:
            reader = csv.reader(lines(file, self.path), delimiter=self.delimiter, strict=True)
            parsed = _parsed(reader, self.path)
            next(parsed, None)  # the header
            number = 0
            line = reader.line_num + 1
            for cells in parsed:
                if any(cell.strip() for cell in cells):
                    number += 1
                    yield FileRow(number, line, self._content(cells))
                    if read is not None and number % TELL_EVERY == 0:
                        read(file.buffer.tell())
                line = reader.line_num + 1

    def _content(self, cells: Sequence[str]) -> dict[str, str] | list[Fault]:
        if len(cells) != len(self.columns):
            problem = f"{len(cells)} cells where the header has {len(self.columns)} columns"
            return [Fault("row", "", problem, "Put cells that hold the separator into quotes")]
        faults = [
            Fault(column, "", "looks like a card number", "Take it out: files carry card tokens, never numbers (C1)")
            for column, cell in zip(self.columns, cells, strict=True)
            if len(cell) >= _CARD_DIGITS_MIN and looks_like_card_number(cell)
        ]
        if faults:
            return faults
        return {
            field: cell.strip()
            for field, cell in zip(self.fields, cells, strict=True)
            if field is not None and cell.strip()
        }


def digest(path: Path) -> str:
    """What tells a file from every other (R15), in hexadecimal. Raises DefrayError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as reason:
        raise DefrayError(f"The file {path} cannot be read: {reason.strerror}.", "Name a readable file.") from None


def label(path: Path) -> str:
    """What the batch of a file is called: its name, as it may be kept and shown anywhere (C3)."""
    return redact_text("".join(character if character.isprintable() else "\ufffd" for character in path.name))


def open_table(
    path: Path,
    aliases: Mapping[str, Sequence[str]],
    required: Sequence[str],
    mapped: Mapping[str, str],
    encoding: str = "utf-8",
) -> Table:
    """Read the header and find out which column fills which field.

    `aliases`: the names that each field's column may have, compared without regard to case, blanks and signs;
    `mapped`: field (or a name of it) to column, where the user says so; `required`: fields without which no row makes
    sense, alternatives joined by "|". Raises DefrayError where the file cannot be read, RequestRefused where columns
    are missing or two would fill one field.
    """
    with opened(path, encoding) as file:
        first = next(lines(file, path), "")
        delimiter = max(_DELIMITERS, key=_outside_quotes(first).count)
        columns = tuple(cell.strip() for cell in next(_parsed(csv.reader([first], delimiter=delimiter), path), []))
    if not any(columns):
        raise DefrayError(f"The file {path} is empty.", "Its first line names the columns.")
    if any(looks_like_card_number(column) for column in columns):
        raise DefrayError(f"The file {path} has what looks like a card number in its first line.", "Take it out.")
    fields = _assign(columns, aliases, mapped)
    faults = [
        Fault(
            name,
            "",
            "no column gives it",
            f"Name the column: --map {name.split('|')[0]}=COLUMN; there is {_listed(columns)}",
        )
        for name in required
        if not set(name.split("|")) & set(fields)
    ]
    if faults:
        raise RequestRefused(faults)
    return Table(path, encoding, delimiter, columns, fields)


def _assign(
    columns: Sequence[str], aliases: Mapping[str, Sequence[str]], mapped: Mapping[str, str]
) -> tuple[str | None, ...]:
    by_name = fields_by_name(aliases)
    chosen, faults = chosen_columns(by_name, mapped)
    for column in chosen.values():
        if column not in columns:
            faults.append(Fault("map", shown(column), "no such column", f"There is {_listed(columns)}"))
    by_column = {column: field for field, column in chosen.items()}
    fields: list[str | None] = []
    for column in columns:
        field = by_column.get(column) or by_name.get(plain(column))
        if field in chosen and chosen[field] != column:
            field = None  # the user said which column it is
        if field is not None and field in fields:
            faults.append(Fault(field, shown(column), "a second column for it", f"Choose one: --map {field}=COLUMN"))
        fields.append(field)
    if faults:
        raise RequestRefused(faults)
    return tuple(fields)


def fields_by_name(aliases: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Fields by all the names that their columns may have, each name as `plain` has it."""
    return {plain(alias): field for field, names in aliases.items() for alias in (field, *names)}


def chosen_columns(by_name: Mapping[str, str], mapped: Mapping[str, str]) -> tuple[dict[str, str], list[Fault]]:
    """The column that the user chose for each field, and what is no field."""
    chosen: dict[str, str] = {}
    faults: list[Fault] = []
    for name, column in mapped.items():
        field = by_name.get(plain(name))
        if field is None:
            remedy = f"Map one of {', '.join(dict.fromkeys(by_name.values()))}"
            faults.append(Fault("map", shown(name), "no such field", remedy))
        else:
            chosen[field] = column
    return chosen, faults


def plain(name: str) -> str:
    """A column's name without regard to case, blanks and signs."""
    return re.sub(r"[\W_]", "", name.casefold())


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(shown(column) for column in columns)


def _outside_quotes(line: str) -> str:
    return re.sub(r'"(?:[^"]|"")*"', "", line)


def opened(path: Path, encoding: str) -> TextIO:
    """The file, to be read as text. Raises DefrayError where it cannot be read."""
    try:
        with path.open("rb") as file:
            if encoding == "utf-8" and file.read(2) in _UTF16:
                raise DefrayError(f"The file {path} is UTF-16.", "Save it as UTF-8, or say --encoding utf-16.")
        return path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="")
    except LookupError:
        raise DefrayError(f"There is no encoding {shown(encoding)}.", "Name one such as utf-8 or cp1252.") from None
    except OSError as reason:
        raise DefrayError(f"The file {path} cannot be read: {reason.strerror}.", "Name a readable file.") from None


def lines(file: TextIO, path: Path) -> Iterator[str]:
    """The file's lines, each checked for what no text of rows has; csv alone would choke on it or pass it on."""
    number = 0
    try:
        while line := file.readline(LINE_MAX):
            number += 1
            if "\0" in line:
                raise DefrayError(
                    f"Line {number} of {path} holds a NUL byte.", "This is no file of rows; export it anew."
                )
            if len(line) == LINE_MAX:
                raise DefrayError(
                    f"Line {number} of {path} has {LINE_MAX:,} characters or more.",
                    _NO_ROWS,
                )
            yield line
    except UnicodeError:
        raise DefrayError(
            f"{path} is not {file.encoding.removesuffix('-sig').upper()} somewhere below line {number + 1}."
            if number
            else f"{path} is not {file.encoding.removesuffix('-sig').upper()}.",
            "Save it as UTF-8, or name its encoding, such as --encoding cp1252.",
        ) from None


def _parsed(reader: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as reason:
        raise DefrayError(f"{path} is no readable CSV: {reason}.", "Look for a quote that is not closed.") from None
