"""`defray import`: files become customers, invoices and payments, or say line by line why not."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import click
import pytest

from cli import files as imports
from producer import csv_rows
from producer.files import FileOptions, import_customers
from producer.json_rows import JsonLines
from tests.cli.conftest import Desk

CUSTOMERS = "number,name\nC-1,Ann\nC-2,Bob\n"
INVOICES = (
    "customer,number,invoice date,due date,amount\nC-1,A,2026-01-05,2026-02-04,60.00\nC-2,B,2026-01-06,2026-02-05,50\n"
)
PAYMENTS = "customer,method,amount,invoices\nC-1,check,60.00,A\nC-2,cash,50.00,B\n"


def written(folder: Path, name: str, content: str) -> Path:
    """A file with this content."""
    path = folder / name
    path.write_text(content)
    return path


def test_from_files_to_posted_payments(desk: Desk, tmp_path: Path) -> None:
    """R15: three files in, posted payments out; a file imported twice changes nothing."""
    files = {
        "customers": written(tmp_path, "customers.csv", CUSTOMERS),
        "invoices": written(tmp_path, "invoices.csv", INVOICES),
        "payments": written(tmp_path, "payments.csv", PAYMENTS),
    }
    first = {kind: desk.ask("import", kind, path, "--currency", "USD") for kind, path in files.items()}
    again = {kind: desk.ask("import", kind, path, "--currency", "USD") for kind, path in files.items()}
    assert {kind: (one["recorded"], one["repeated"]) for kind, one in first.items()} == dict.fromkeys(files, (2, 0))
    assert {kind: (one["recorded"], one["repeated"]) for kind, one in again.items()} == dict.fromkeys(files, (0, 2))
    batch = first["payments"]["batch_id"]
    assert again["payments"]["batch_id"] == batch
    desk.house.post(batch)
    status = desk.ask("status", "--batch", batch)
    assert (status["by_state"], status["ended"]) == ({"posted": 2}, True)
    assert "2 of 2 finished" in desk.run("status", "--batch", batch).stdout
    assert desk.ask("audit")["passed"]


def test_bad_rows_are_told_by_line(desk: Desk, tmp_path: Path) -> None:
    """A bad row is reported with its line and reason; all is refused, or with --skip-bad the good rows are taken."""
    desk.run("import", "customers", written(tmp_path, "customers.csv", CUSTOMERS))
    file = written(tmp_path, "invoices.csv", INVOICES + "C-9,C,2026-01-05,2026-02-04,1.001\n")
    none = desk.run("import", "invoices", file, "--currency", "USD")
    assert none.exit_code == 1
    assert "Nothing was recorded" in none.stdout
    assert "line 4: amount (1.001): more decimal places than the currency has." in none.stdout
    some = desk.ask("import", "invoices", file, "--currency", "USD", "--skip-bad", code=1)
    assert (some["recorded"], some["refused_count"]) == (2, 1)
    assert some["refused"][0]["row"] == 4
    known = desk.run("import", "invoices", file, "--currency", "USD", "--skip-bad")
    assert "0 invoices recorded, 2 known before, 1 refused." in known.stdout


def test_nothing_in_a_cell_is_a_command(desk: Desk, tmp_path: Path) -> None:
    """What COPY would take for an end, for nothing or for an escape is text as any other, whatever ends the lines."""
    names = ["\\.", "\\N", "\\", "a\\tb\\n", "\\x00", "it's $1 %s {}", "a b\\", "Ё" * 200]
    for end in ("\r", "\r\n"):
        path = tmp_path / "customers.csv"
        cells = [f'C{place},"{name}"' for place, name in enumerate(names)]
        path.write_bytes(b"\xef\xbb\xbf" + end.join(["number,name", *cells]).encode())
        desk.ask("import", "customers", path)
        assert [row.name for row in desk.house.rows("SELECT name FROM customers ORDER BY number")] == names
        names.reverse()


def test_columns_are_mapped_and_dates_read(desk: Desk, tmp_path: Path) -> None:
    """Columns of another name are mapped, and dates are read in the order that is named; else both are errors."""
    desk.run("import", "customers", written(tmp_path, "customers.csv", CUSTOMERS))
    file = written(tmp_path, "invoices.csv", "who;no;on;until;sum\nC-1;A;1/31/2026;2/28/2026;60.00\n")
    maps = [
        f"--map={field}={column}"
        for field, column in {
            "customer": "who",
            "number": "no",
            "invoice_date": "on",
            "due_date": "until",
            "amount": "sum",
        }.items()
    ]
    unmapped = desk.run("import", "invoices", file, "--currency", "USD")
    assert (unmapped.exit_code, "Name the column: --map customer=COLUMN" in unmapped.stderr) == (1, True)
    assert "--dates mdy" in desk.run("import", "invoices", file, "--currency", "USD", *maps).stdout
    assert desk.ask("import", "invoices", file, "--currency", "USD", *maps, "--dates", "mdy")["recorded"] == 1
    assert desk.run("import", "invoices", file, "--map", "customer").exit_code == 2


def test_a_card_number_in_a_file(desk: Desk, tmp_path: Path) -> None:
    """C1: a card number in any column is refused, and not repeated."""
    file = written(tmp_path, "payments.csv", "customer,method,amount,notes\nC-1,check,1.00,4111 1111 1111 1111\n")
    said = desk.run("import", "payments", file, "--currency", "USD")
    assert said.exit_code == 1
    assert "looks like a card number" in said.stdout
    assert "4111 1111 1111 1111" not in said.output


class Terminal(io.StringIO):
    """Where somebody looks."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_however_deep_a_line_is(tmp_path: Path) -> None:
    """What is nested too deeply to be read, or to be looked through for a card's number, is a bad row, no crash."""
    lines = ['{"number": "C-1", "other": ' + "[" * deep + "]" * deep + "}\n" for deep in range(600, 1100)]
    file = JsonLines(written(tmp_path, "customers.jsonl", "".join(lines)), {"number": ()}, {})
    contents = [row.content for row in file.rows()]
    assert len(contents) == len(lines)
    assert contents[0] == {"number": "C-1"}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (b"\xff\x1b[2J\n.csv", "\ufffd\ufffd[2J\ufffd.csv"),
        (b"4111111111111111.csv", "************1111.csv"),
        ("Zahlungen März 20260302.csv".encode(), "Zahlungen März 20260302.csv"),
    ],
)
def test_a_batch_is_called_as_its_file(name: bytes, label: str) -> None:
    """C3: a file's name becomes its batch's, without what no database, terminal or log may have of it."""
    assert csv_rows.label(Path("folder") / os.fsdecode(name)) == label


def test_a_bar_on_a_terminal(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a file shows how far it is, by bytes, then by rows; elsewhere nothing is shown."""
    path = written(tmp_path, "customers.csv", CUSTOMERS)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with click.Context(imports.customers), imports._watched(path) as watch:
        assert watch is not None
        import_customers(desk.house.engine, path, FileOptions(), "ann", watch)
    for shown in ("customers.csv: read", "customers.csv: recorded", "100%"):
        assert shown in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with click.Context(imports.customers), imports._watched(path) as watch:
        assert watch is None
