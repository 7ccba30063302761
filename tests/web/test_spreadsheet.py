"""Issue 8, attack: a name that somebody chose does not reckon in the spreadsheet of whoever opens an export."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.spreadsheet import as_text

PROJECT = Path(__file__).parents[2]
EXPORTS = {"web/console/aging.py", "web/console/deposits.py"}
OF_OUR_OWN_WORDS = {"producer/sample.py", "sandbox/reports.py"}
"""Files of made-up data: nobody's names are in them."""


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        *((f"{sign}1", f"'{sign}1") for sign in ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")),
        ("  =1", "'  =1"),
        ("\t=1", "'\t'=1"),
        ("Ann;=1", "Ann;'=1"),
        ("Ann; @x", "Ann;' @x"),
        ("Ann\r\n-1", "Ann\r\n'-1"),
        ("", ""),
        ("Ann-Lee + Co = 1; B", "Ann-Lee + Co = 1; B"),
        ("1-2", "1-2"),
        (";;", ";;"),
    ],
)
def test_formulas_are_text(cell: str, kept: str) -> None:
    """What a spreadsheet would reckon, at the begin or behind a sign that parts cells elsewhere, gets a mark."""
    assert as_text(cell) == kept


def test_every_export_marks_formulas() -> None:
    """Who writes a CSV file with names that others chose marks them; a new writer of such files is looked at here."""
    sources = {
        file.relative_to(PROJECT).as_posix(): file.read_text()
        for folder in ("books", "cli", "gateways", "mailer", "papers", "producer", "reports", "sandbox", "tasks", "web")
        for file in (PROJECT / folder).rglob("*.py")
    }
    writers = {name for name, words in sources.items() if "csv.writer" in words or "csv.DictWriter" in words}
    assert writers == EXPORTS | OF_OUR_OWN_WORDS
    assert all("as_text" in sources[name] for name in EXPORTS)
