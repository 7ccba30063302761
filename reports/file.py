"""A report as a file: what it is encoded in, its digest, its rows as a stream of bounded memory."""

from __future__ import annotations

import codecs
import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Final, TextIO

from reports.form import Form, Lines, Row, plainly
from rules.errors import DefrayError, Fault, RequestRefused, shown

HEAD_MAX: Final = 40
"""Lines above the header: titles, the account, the dates."""
LINE_MAX: Final = 1_000_000
"""Characters of one line; a longer one is no table."""

_BLOCK: Final = 1 << 20
_PACKED: Final = {b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "packed by gzip", b"%PDF": "a PDF"}
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_DELIMITERS: Final = ",\t;"


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A file that was looked over."""

    path: Path
    encoding: str
    digest: str  # SHA-256 of its bytes, in hex

    def lines(self, form: Form, zone: tzinfo) -> Lines:
        """Its lines, as they are read. Raises RequestRefused with the line's number, DefrayError."""
        # What Windows-1252 has no letter for stands in names, never in what is read here.
        with self.path.open(encoding=self.encoding, errors="replace", newline="") as file:
            if form.unpack is None or not file.read(len(form.unpack.begins)).startswith(form.unpack.begins):
                file.seek(0)
                yield from _lines(file, form, zone)
                return
            file.seek(0)
            for number, record in enumerate(form.unpack.records(_blocks(file)), start=1):
                row = Row(number, list(record.values()), _places(list(record)))
                if (line := form.read(row, zone)) is not None:
                    yield line


def look_over(path: Path) -> ReportFile:
    """Read a file once through: its digest, and whether it is UTF-8 or Windows-1252. Raises DefrayError."""
    digest, decoder, is_utf8 = hashlib.sha256(), codecs.getincrementaldecoder("utf-8-sig")(), True
    with path.open("rb") as file:
        first = file.read(_BLOCK)
        _check_beginning(path, first)
        block = first
        while block:
            digest.update(block)
            if is_utf8:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    is_utf8 = False
            block = file.read(_BLOCK)
    if is_utf8:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            is_utf8 = False
    return ReportFile(path, "utf-8-sig" if is_utf8 else "cp1252", digest.hexdigest())


def _check_beginning(path: Path, first: bytes) -> None:
    for mark, what in _PACKED.items():
        if first.startswith(mark):
            raise DefrayError(f"{path.name} is {what}, not a table.", "Unpack it, and give the CSV file in it.")
    if first.startswith(_UTF16):
        raise DefrayError(f"{path.name} is encoded in UTF-16.", "Save it as CSV in UTF-8.")
    if not first.strip():
        raise DefrayError(f"{path.name} is empty.", "Export the report again.")


def _blocks(file: TextIO) -> Iterator[str]:
    return iter(lambda: file.read(_BLOCK), "")


def _lines(file: TextIO, form: Form, zone: tzinfo) -> Lines:
    rows, header = _below_header(file, form)
    places = _places(header)
    for number, cells in rows:
        if not any(cell and not cell.isspace() for cell in cells):
            continue
        if cells[0] == header[0] and _names_all({plainly(cell) for cell in cells}, form):
            places = _places(cells)  # the header once more, at a new page or section
            continue
        if (line := form.read(Row(number, cells, places), zone)) is not None:
            yield line


def _below_header(file: TextIO, form: Form) -> tuple[Iterator[tuple[int, list[str]]], list[str]]:
    """The rows below the header, and its cells; above it may be titles."""
    seen = 0
    best: list[str] = []
    for raw in iter(lambda: file.readline(LINE_MAX), ""):
        seen += 1
        for delimiter in _DELIMITERS:
            try:
                cells = next(csv.reader([raw], delimiter=delimiter), [])
            except csv.Error:
                continue
            names = {plainly(cell) for cell in cells}
            if _names_all(names, form):
                return _rows(file, delimiter, seen), cells
            if len(cells) > len(best):
                best = cells
        if seen >= HEAD_MAX:
            break
    raise RequestRefused([_no_header(form, best)])


def _names_all(names: set[str], form: Form) -> bool:
    return all(any(plainly(name) in names for name in column) for column in form.needed)


def _no_header(form: Form, best: list[str]) -> Fault:
    names = {plainly(cell) for cell in best}
    missing = [column[0] for column in form.needed if not any(plainly(name) in names for name in column)]
    problem = f"no header of {form.title} was found in the first {HEAD_MAX} lines: missing {', '.join(missing)}"
    return Fault("header", shown(", ".join(best)[:80]), problem, "docs/reconcile.md says which report it is")


def _places(cells: list[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, cell in enumerate(cells):
        places.setdefault(plainly(cell), place)
    return places


def _rows(file: TextIO, delimiter: str, seen: int) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of the line that each begins at. Raises RequestRefused where quotes do not close."""

    def bounded() -> Iterator[str]:
        for raw in iter(lambda: file.readline(LINE_MAX), ""):
            if len(raw) >= LINE_MAX:
                raise DefrayError(f"A line has more than {LINE_MAX:,} characters.", "This is no report.")
            yield raw

    reader = csv.reader(bounded(), delimiter=delimiter, strict=True)
    while True:
        begins_at = seen + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as reason:
            problem = f"the quotes are broken, or it was cut short ({reason})"
            raise RequestRefused([Fault(f"line {begins_at}", "", problem, "Export the report again")]) from None
        yield begins_at, cells
