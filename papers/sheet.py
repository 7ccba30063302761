"""A PDF as it is drawn from top to bottom: words, facts, tables whose head comes again on every page.

The same words make the same bytes. The margins leave everything on A4 and on Letter alike. Two faces of DejaVu Sans are
embedded, as far as they are used; a character that they lack is shown as a box.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

_FONTS: Final = Path(__file__).parent / "fonts"
_REGULAR, _BOLD = "DejaVuSans", "DejaVuSans-Bold"
for _face in (_REGULAR, _BOLD):  # once, before any thread draws
    pdfmetrics.registerFont(TTFont(_face, _FONTS / f"{_face}.ttf"))
_SIZE, _LEADING = 9.5, 13.0
_WIDTH, _HEIGHT = 595.28, 841.89  # A4, in points
_LEFT, _TOP, _BOTTOM = 54.0, 54.0, 110.0  # Letter is 50 points shorter, and wider
INNER: Final = _WIDTH - 2 * _LEFT
"""Points between the margins: what the widths of a table's columns add up to."""
_EMBEDDING = threading.Lock()  # a face is read by seeking in it, and all papers share it
_MISSING: Final = "\u25a1"
_GAP: Final = 6.0
_LABEL: Final = 110.0


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, its width in points, and whether it holds sums (to the right)."""

    heading: str
    width: float
    sums: bool = False


class Sheet:
    """One paper. `title` and `author` are what a reader's window shows, `stamp` is written across every page."""

    def __init__(self, title: str, author: str, stamp: str = "") -> None:
        self._title = title
        self._stamp = stamp
        self._file = BytesIO()
        self._canvas: Any = Canvas(
            self._file,
            (_WIDTH, _HEIGHT),
            invariant=1,
            pageCompression=1,
            lang="en",
            initialFontName=_REGULAR,
            initialFontSize=_SIZE,
        )
        self._canvas.setTitle(title)
        self._canvas.setAuthor(author)
        self._canvas.setCreator("Defray")
        self._canvas.setViewerPreference("DisplayDocTitle", "true")
        self._page = 0
        self._y = 0.0
        self._face = ("", 0.0)
        self._begin_page()

    def heading(self, words: str, size: float = 16.0) -> None:
        """A heading."""
        for line in _wrapped(words, _BOLD, size, INNER):
            self._room(size + 6)
            self._y -= size + 2
            self._say(_LEFT, line, _BOLD, size)
        self._y -= 6

    def paragraph(self, words: str, bold: bool = False) -> None:
        """Words over the whole width."""
        face = _BOLD if bold else _REGULAR
        for line in _wrapped(words, face, _SIZE, INNER):
            self._room(_LEADING)
            self._y -= _LEADING
            self._say(_LEFT, line, face, _SIZE)
        self._y -= 4

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """What belongs to which word, a line each."""
        for label, value in facts:
            lines = _wrapped(value, _REGULAR, _SIZE, INNER - _LABEL)
            for place, line in enumerate(lines):
                self._room(_LEADING)
                self._y -= _LEADING
                if not place:
                    self._say(_LEFT, label, _BOLD, _SIZE)
                self._say(_LEFT + _LABEL, line, _REGULAR, _SIZE)
        self._y -= 8

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        """Rows under their headings, which come again on every page."""
        self._room(4 * _LEADING)
        self._head(columns)
        for row in rows:
            cells = [
                _wrapped(words, _REGULAR, _SIZE, column.width - _GAP)
                for column, words in zip(columns, row, strict=True)
            ]
            height = max(len(lines) for lines in cells) * _LEADING
            if self._y - height < _BOTTOM:
                self._turn()
                self._head(columns)
            for place in range(max(len(lines) for lines in cells)):
                self._y -= _LEADING
                self._line(columns, [lines[place] if place < len(lines) else "" for lines in cells], _REGULAR)
        self._y -= 10

    def bytes(self) -> bytes:
        """The finished file."""
        self._end_page()
        with _EMBEDDING:
            self._canvas.save()
        return self._file.getvalue()

    def _head(self, columns: Sequence[Column]) -> None:
        self._y -= _LEADING
        self._line(columns, [column.heading for column in columns], _BOLD)
        self._y -= 3
        self._canvas.line(_LEFT, self._y, _LEFT + INNER, self._y)

    def _line(self, columns: Sequence[Column], cells: Sequence[str], face: str) -> None:
        x = _LEFT
        for column, words in zip(columns, cells, strict=True):
            if words and column.sums:
                right = x + column.width - _GAP
                self._say(right - pdfmetrics.stringWidth(_drawable(words, face), face, _SIZE), words, face, _SIZE)
            elif words:
                self._say(x, words, face, _SIZE)
            x += column.width

    def _say(self, x: float, words: str, face: str, size: float) -> None:
        if (face, size) != self._face:
            self._canvas.setFont(face, size)
            self._face = (face, size)
        self._canvas.drawString(x, self._y, _drawable(words, face))

    def _room(self, height: float) -> None:
        if self._y - height < _BOTTOM:
            self._turn()

    def _turn(self) -> None:
        self._end_page()
        self._canvas.showPage()
        self._begin_page()

    def _begin_page(self) -> None:
        self._page += 1
        self._y = _HEIGHT - _TOP
        self._face = ("", 0.0)
        self._canvas.setLineWidth(0.5)
        if self._stamp:
            self._canvas.saveState()
            self._canvas.setFillGray(0.88)
            self._canvas.setFont(_BOLD, 120)
            self._canvas.translate(_WIDTH / 2, _HEIGHT / 2)
            self._canvas.rotate(45)
            self._canvas.drawCentredString(0, -40, self._stamp)
            self._canvas.restoreState()

    def _end_page(self) -> None:
        self._y = _BOTTOM - 2 * _LEADING
        self._say(_LEFT, f"{self._title}, page {self._page}", _REGULAR, 8)


@cache
def _glyphs(face: str) -> frozenset[int]:
    return frozenset(pdfmetrics.getFont(face).face.charToGlyph)


def _drawable(words: str, face: str) -> str:
    """The same words with a box for whatever the face cannot draw; what is never drawn by itself is left out."""
    if words.isascii() and words.isprintable():
        return words
    known = _glyphs(face)
    return "".join(
        character if ord(character) in known else _MISSING
        for character in unicodedata.normalize("NFC", words)
        if unicodedata.category(character) not in ("Cc", "Cf", "Cs") and not "\ufe00" <= character <= "\ufe0f"
    )


def _wrapped(words: str, face: str, size: float, width: float) -> list[str]:
    """Lines that fit; between words where it can be, within one that is longer than a line."""
    if pdfmetrics.stringWidth(_drawable(words, face), face, size) <= width:
        return [words]
    return list(_lines(words, face, size, width))


def _lines(words: str, face: str, size: float, width: float) -> Iterator[str]:
    line = ""
    for word in words.split():
        longer = f"{line} {word}" if line else word
        if pdfmetrics.stringWidth(_drawable(longer, face), face, size) <= width:
            line = longer
            continue
        if line:
            yield line
        line = ""
        for character in word:
            if line and pdfmetrics.stringWidth(_drawable(line + character, face), face, size) > width:
                yield line
                line = ""
            line += character
    yield line
