"""Files of many rows: copied and recorded as sets, whole or not at all, in CSV or JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from books import audit, bulk
from producer.files import FileOptions, FileReceipt, import_customers, import_invoices, import_payments
from rules.errors import RequestRefused
from tests.producer.office import Office

HEAD = "customer,number,invoice_date,due_date,currency,amount\n"


def invoices(office: Office, folder: Path, content: str, name: str = "invoices.csv", **options: Any) -> FileReceipt:
    """Hand in a file of invoices."""
    path = folder / name
    path.write_text(content)
    return import_invoices(office.engine, path, FileOptions(**options), "ann")


def told(receipt: FileReceipt) -> list[tuple[int, list[str]]]:
    """Lines with what is wrong with each."""
    return [(row, [f"{fault.field}: {fault.problem}" for fault in faults]) for row, faults in receipt.refused]


def test_a_file_of_several_steps(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B1: however many statements record a file, each invoice has its event and its entry, and the books hold."""
    monkeypatch.setattr(bulk, "STEP", 3)
    (tmp_path / "c.csv").write_text("number,name\n" + "".join(f"C-{n},Customer {n}\n" for n in range(5)))
    watched: list[tuple[str, int, int]] = []
    import_customers(office.engine, tmp_path / "c.csv", FileOptions(), "ann", lambda *told: watched.append(told))
    content = HEAD + "".join(f"C-{n % 5},I-{n},2026-01-{1 + n:02d},2026-02-01,USD,{n + 1}.50\n" for n in range(10))
    receipt = invoices(office, tmp_path, content)
    assert (receipt.recorded, receipt.repeated, receipt.refused_count) == (10, 0, 0)
    assert office.rows("SELECT count(*), count(DISTINCT invoice_id) FROM events WHERE what = 'invoice.created'") == [
        (10, 10)
    ]
    assert office.rows("""
        SELECT count(*) FROM invoices i JOIN journal j ON j.invoice_id = i.id AND j.post_date = i.invoice_date
        WHERE j.accounts = '{receivable,revenue}' AND j.amounts_minor = ARRAY[i.total_minor, -i.total_minor]
          AND j.kind = 'billed' AND j.currency = i.currency AND j.customer_id = i.customer_id""") == [(10,)]
    with office.engine.connect() as conn:
        assert audit.audit(conn) == []
    assert [(what, done, of) for what, done, of in watched if what == "recorded"] == [
        ("recorded", 3, 5), ("recorded", 5, 5)
    ]  # fmt: skip


def test_nothing_is_written_for_a_file_that_is_refused(office: Office, tmp_path: Path) -> None:
    """A row that differs from one before it, or whose customer is not known, refuses the file before it is recorded."""
    office.bill("C-1", {"OLD": 100})
    content = HEAD + (
        "C-1,A,2026-01-01,2026-02-01,USD,1.00\n"
        "C-9,B,2026-01-01,2026-02-01,USD,1.00\n"
        "C-1,A,2026-01-01,2026-02-01,USD,1.00\n"
        "C-1,A,2026-01-02,2026-02-01,USD,2.00\n"
        "C-1,OLD,2026-01-01,2026-01-31,USD,1.00\n"
        "C-1,OLD,2026-01-01,2026-01-31,USD,1.01\n"
    )
    before = office.rows("SELECT last_value FROM invoices_id_seq")
    receipt = invoices(office, tmp_path, content)
    assert (receipt.recorded, receipt.repeated, receipt.refused_count) == (0, 2, 3)
    assert told(receipt) == [
        (3, ["customer: no such customer"]),
        (5, ["invoice_date: invoice A was recorded with 2026-01-01", "total: invoice A was recorded with 1.00 USD"]),
        (7, ["total: invoice OLD was recorded with 1.00 USD"]),
    ]
    assert office.rows("SELECT last_value FROM invoices_id_seq") == before
    receipt = invoices(office, tmp_path, content, skip_bad=True)
    assert (receipt.recorded, receipt.repeated, receipt.refused_count) == (1, 2, 3)


@pytest.mark.parametrize(("minor", "counts"), [(100, (0, 1, 0)), (200, (0, 0, 1))])
def test_somebody_was_quicker(office: Office, tmp_path: Path, minor: int, counts: tuple[int, int, int]) -> None:
    """R15: an invoice that another records between the look and the writing is known, or refused where it differs."""
    office.bill("C-1", {"OLD": 100})
    raced: list[str] = []

    def race(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO invoices (" in statement and "invoices_first" in statement and not raced:
            raced.append(statement)
            office.bill("C-1", {"A": minor})

    event.listen(office.engine, "before_cursor_execute", race)
    try:
        receipt = invoices(office, tmp_path, HEAD + "C-1,A,2026-01-01,2026-01-31,USD,1.00\n")
    finally:
        event.remove(office.engine, "before_cursor_execute", race)
    assert raced
    assert (receipt.recorded, receipt.repeated, receipt.refused_count) == counts
    assert office.rows("SELECT total_minor FROM invoices WHERE number = 'A'") == [(minor,)]


def test_json_lines(office: Office, tmp_path: Path) -> None:
    """Customers, invoices and payments come from JSON lines, too, by the file's name or by what is said of it."""
    (tmp_path / "c.jsonl").write_text('{"number": "C-1", "name": "Zoë \\ud83d\\ude42", "size": {"shoe": 41}}\n\n')
    people = import_customers(office.engine, tmp_path / "c.jsonl", FileOptions(), "ann")
    assert (people.recorded, people.ignored_columns) == (1, ("size",))
    receipt = invoices(
        office,
        tmp_path,
        '{"who": "C-1", "number": "0007", "invoice_date": "2026-01-01", "due": "2026-01-31", "total_minor": 5594}\n'
        '{"who": "C-1", "number": "8", "invoice_date": "2026-01-01", "due": "2026-01-31", "amount": "35.7"}\n',
        "invoices.txt",
        format="jsonl",
        currency="USD",
        mapped={"customer": "who"},
    )
    assert (receipt.recorded, receipt.refused_count) == (2, 0)
    path = tmp_path / "p.ndjson"
    path.write_text(
        '{"key": "k-1", "customer": "C-1", "method": "cash", "amount": "60.00", "invoices": ["8", "0007"],'
        ' "currency": "USD", "as_credit": true}\n'
    )
    paid = import_payments(office.producer, path, FileOptions(), caller="file", by="ann")
    assert (paid.recorded, paid.refused_count) == (1, 0)
    assert office.rows("SELECT name, idempotency_key, total_minor, as_credit, cardinality(invoice_ids)"
                       " FROM payments p JOIN customers c ON c.id = p.customer_id") == [
        ("Zoë 🙂", "k-1", 6000, True, 2)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"number": "A"', "row: no JSON: Expecting ',' delimiter at place 15"),
        ('["C-1"]', "row: no JSON object"),
        ("[" * 100_000, "row: cannot be read"),
        ('{"amount": NaN}', "row: cannot be read"),
        ('{"amount": "1.00", "amount": "2.00"}', "row: cannot be read"),
        ('{"amount": "1.00", "total": "2.00"}', "amount: given once more"),
        ('{"amount": 1.5}', "amount: a number with a point"),
        ('{"amount": 12}', "amount: a number"),
        ('{"number": ["A"]}', "number: no text"),
        ('{"number": "4111 1111 1111 1111"}', "number: looks like a card number"),
        ('{"else": {"deep": 4111111111111111}}', "else: looks like a card number"),
    ],
)
def test_lines_that_are_no_rows(office: Office, tmp_path: Path, line: str, problem: str) -> None:
    """B26, C1: what is no object of plain texts is refused by its line; no float becomes money, no card comes in."""
    receipt = invoices(office, tmp_path, line + "\n", "invoices.jsonl")
    [(row, faults)] = told(receipt)
    assert row == 1
    assert any(fault.startswith(problem) for fault in faults), faults
    assert "4111" not in str(receipt)


def test_json_fields_are_mapped_by_known_names(office: Office, tmp_path: Path) -> None:
    """What is mapped must be a field."""
    with pytest.raises(RequestRefused, match="no such field"):
        invoices(office, tmp_path, "{}\n", "invoices.jsonl", mapped={"colour": "red"})
