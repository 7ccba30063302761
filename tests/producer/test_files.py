"""Files of customers, invoices and payments, as spreadsheets and other programs write them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from books import claim, clock
from books.bill import NewCustomer
from books.bulk import CustomersImport
from producer.files import FileOptions, FileReceipt, import_customers, import_invoices, import_payments, parse_date
from rules.errors import DefrayError, Fault, RequestRefused
from tests.producer.office import GOOD_CARD, Office

CUSTOMERS = "number,name,email\nC-1,R & D = Sons,rd@example.com\nC-2,Zoë 🙂,\n"
INVOICES = (
    "customer,number,invoice_date,due_date,amount\n"
    "C-1,0007,2026-01-01,2026-01-31,55.94\n"
    "C-1,8,2026-01-02,2026-02-01,35.7\n"
)
PAYMENTS = "customer,method,check number,amount,invoice\nC-1,Check,1001,55.94,0007\nC-1,Money Order,,20.00,\n"


@pytest.fixture
def given(office: Office, tmp_path: Path) -> Given:
    """Files for the office."""
    return Given(office, tmp_path / "given.csv")


class Given:
    """Writes a file and hands it in."""

    def __init__(self, office: Office, path: Path) -> None:
        self.office = office
        self.path = path

    def _write(self, content: str | bytes) -> Path:
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self.path

    def customers(self, content: str | bytes, **options: Any) -> FileReceipt:
        """Import customers."""
        return import_customers(self.office.engine, self._write(content), FileOptions(**options), "ann")

    def invoices(self, content: str | bytes, **options: Any) -> FileReceipt:
        """Import invoices."""
        options.setdefault("currency", "USD")
        return import_invoices(self.office.engine, self._write(content), FileOptions(**options), "ann")

    def payments(self, content: str | bytes, **options: Any) -> FileReceipt:
        """Import payments."""
        options.setdefault("currency", "USD")
        path = self._write(content)
        return import_payments(self.office.producer, path, FileOptions(**options), caller="file", by="ann")

    def all(self) -> None:
        """Two customers and two invoices."""
        self.customers(CUSTOMERS)
        self.invoices(INVOICES)


def told(receipt: FileReceipt) -> list[tuple[int, str]]:
    """Line and field of each fault."""
    return [(row, fault.field) for row, faults in receipt.refused for fault in faults]


def test_the_three_kinds(given: Given) -> None:
    """Customers, invoices and payments come in; leading zeros stay, 35.7 is 35.70, texts are kept whole (B16)."""
    assert given.customers(CUSTOMERS).recorded == 2
    assert given.invoices(INVOICES).recorded == 2
    receipt = given.payments(PAYMENTS)
    assert (receipt.recorded, receipt.refused_count) == (2, 0)
    rows = given.office.rows
    assert rows("SELECT number, name, email FROM customers ORDER BY id") == [
        ("C-1", "R & D = Sons", "rd@example.com"),
        ("C-2", "Zoë 🙂", None),
    ]
    assert rows("SELECT number, invoice_date, total_minor, balance_minor, state FROM invoices ORDER BY id") == [
        ("0007", date(2026, 1, 1), 5594, 5594, "pending"),
        ("8", date(2026, 1, 2), 3570, 3570, "pending"),
    ]
    assert rows("SELECT method, number, total_minor, cardinality(invoice_ids) FROM payments ORDER BY id") == [
        ("check", "1001", 5594, 1),
        ("money_order", None, 2000, None),
    ]
    assert given.office.bell.rung == [("batch", receipt.batch_id, "post")]


def test_each_invoice_is_booked(given: Given) -> None:
    """B1: billing an invoice makes one balanced entry and one event."""
    given.all()
    assert given.office.rows("SELECT kind, accounts, amounts_minor, post_date FROM journal ORDER BY id") == [
        ("billed", ["receivable", "revenue"], [5594, -5594], date(2026, 1, 1)),
        ("billed", ["receivable", "revenue"], [3570, -3570], date(2026, 1, 2)),
    ]
    assert given.office.rows("SELECT what, count(*) FROM events GROUP BY what ORDER BY what") == [
        ("customer.created", 2),
        ("invoice.created", 2),
    ]


def test_imported_twice_changes_nothing(given: Given) -> None:
    """R15: a file that comes again changes nothing, whatever its rows were."""
    given.all()
    given.payments(PAYMENTS)
    tables = ("customers", "invoices", "payments", "journal", "events", "batches")
    before = [given.office.count(table) for table in tables]
    assert given.customers(CUSTOMERS).repeated == 2
    assert given.invoices(INVOICES).repeated == 2
    assert given.payments(PAYMENTS).repeated == 2
    assert [given.office.count(table) for table in tables] == before


def test_a_customer_that_changed(given: Given) -> None:
    """What a file says anew of a customer is taken over; what it does not say stays."""
    given.all()
    receipt = given.customers("number,name\nC-1,New Name\nC-2,\n")
    assert (receipt.recorded, receipt.repeated) == (0, 2)
    assert given.office.rows("SELECT name, email FROM customers ORDER BY id") == [
        ("New Name", "rd@example.com"),
        ("Zoë 🙂", None),
    ]
    assert given.office.rows("SELECT count(*) FROM events WHERE what = 'customer.changed'") == [(1,)]


def test_an_invoice_with_other_content(given: Given) -> None:
    """An invoice that comes again with other content is an error, in one file or in two."""
    given.all()
    receipt = given.invoices(INVOICES.replace("35.7", "35.71").replace("2026-01-31", "2026-02-01"))
    assert told(receipt) == [(2, "due_date"), (3, "total")]
    assert "35.70 USD" in str(receipt.refused[1].faults[0])
    twice = (
        INVOICES
        + "C-2,9,2026-01-01,2026-01-31,1.00\nC-2,9,2026-01-01,2026-01-31,2.00\nC-2,9,2026-01-01,2026-01-31,1.00\n"
    )
    assert told(given.invoices(twice)) == [(5, "total")]
    assert given.office.count("invoices") == 2


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + PAYMENTS.replace("customer,", '"customer",'),
        PAYMENTS.replace("\n", "\r\n"),
        PAYMENTS.replace(",", ";"),
        PAYMENTS.replace(",", "\t"),
        PAYMENTS.replace("C-1,Check", '"C-1","Check"').replace("customer,", '"Customer",'),
        PAYMENTS.replace("\nC-1,M", "\n\n \nC-1,M") + "\n\n",
    ],
    ids=["BOM", "CRLF", "semicolons", "tabs", "quotes", "blank lines"],
)
def test_how_spreadsheets_write(given: Given, content: str) -> None:
    """A BOM, CRLF, semicolons, tabs, quotes and blank lines are no faults."""
    given.all()
    receipt = given.payments(content)
    assert (receipt.recorded, receipt.refused_count, receipt.ignored_columns) == (2, 0, ())


def test_quotes_and_lines(given: Given) -> None:
    """A quoted cell may hold the separator, quotes and line breaks; lines are still told rightly."""
    given.all()
    content = 'customer,method,amount,notes\nC-1,cash,1.00,"said ""thanks"",\nthen left"\nC-1,cash,x,\n'
    receipt = given.payments(content)
    assert told(receipt) == [(4, "amount")]
    assert given.payments(content, skip_bad=True).recorded == 1
    assert given.office.rows("SELECT notes FROM payments") == [('said "thanks",\nthen left',)]


def test_bad_rows(given: Given) -> None:
    """Each bad row is told by its line and field; the whole file is refused, or its good rows are taken."""
    given.all()
    content = (
        "customer,method,number,amount,invoice,post date\n"
        "C-1,check,1,10.00,0007,2026-01-31\n"
        "C-404,check,2,10.00,,\n"
        "C-1,cash,3,-1.00,,\n"
        "C-1,check,4,10.00,404;0007,\n"
        "C-1,check,5,10.00,,1/2/2026\n"
        "C-1,check,6\n"
        "C-1,check,7,10.00,8|0007,\n"
    )
    refused = given.payments(content)
    expected = [(3, "customer"), (4, "number"), (4, "amount"), (5, "invoices"), (6, "post_date"), (7, "row")]
    assert told(refused) == expected
    assert (refused.batch_id, given.office.count("payments")) == (None, 0)
    taken = given.payments(content, skip_bad=True)
    assert (taken.recorded, taken.refused_count) == (2, 5)
    assert given.payments(content, skip_bad=True).repeated == 2


def test_rows_that_are_alike(given: Given) -> None:
    """R15: of rows without keys that ask for the very same only the first is taken; with keys both are meant."""
    given.all()
    twice = PAYMENTS + PAYMENTS.splitlines()[1] + "\n"
    receipt = given.payments(twice)
    assert told(receipt) == [(4, "row")]
    assert given.payments(twice, skip_bad=True).recorded == 2
    again = given.payments(twice, skip_bad=True)
    assert (again.recorded, again.repeated, told(again)) == (0, 2, [(4, "row")])
    keyed = "key,customer,method,amount\na,C-1,cash,1.00\nb,C-1,cash,1.00\na,C-1,cash,1.00\n"
    receipt = given.payments(keyed)
    assert (receipt.recorded, receipt.repeated, receipt.refused_count) == (2, 1, 0)


def test_a_card_number_in_any_column(given: Given) -> None:
    """C1: a card number is refused in whatever column it stands, and not repeated; cards come by token."""
    given.all()
    [card] = given.office.producer.keep_cards([GOOD_CARD])
    head = "customer,method,amount,card token,something\n"
    receipt = given.payments(f"{head}C-1,credit card,1.00,{card.token},4111 1111 1111 1111\n")
    assert told(receipt) == [(2, "something")]
    assert "1111" not in str(receipt.refused)
    receipt = given.payments(f"{head}C-1,credit card,1.00,4111111111111111,\n")
    assert told(receipt) == [(2, "card token")]
    receipt = given.payments(f"{head}C-1,credit card,1.00,{card.token},\n")
    assert (receipt.recorded, receipt.ignored_columns) == (1, ("something",))


def test_missing_columns(given: Given) -> None:
    """A missing column is told with the columns that there are; it can be mapped, also behind a BOM."""
    given.all()
    with pytest.raises(RequestRefused) as refused:
        given.payments("who,method,sum\nC-1,cash,1.00\n", currency=None)
    assert [fault.field for fault in refused.value.faults] == ["customer", "amount|amount_minor", "currency"]
    assert "--map customer=COLUMN; there is who, method, sum" in str(refused.value)
    mapped = {"customer": "who", "amount": "sum"}
    assert given.payments("\ufeffwho,method,sum\nC-1,cash,1.00\n", mapped=mapped).recorded == 1
    with pytest.raises(RequestRefused, match=r"map \(nobody\): no such column"):
        given.payments("who,method,sum\nC-1,cash,1.00\n", mapped={"customer": "nobody"})
    with pytest.raises(RequestRefused, match="a second column"):
        given.payments("customer,Customer ID,method,amount\nC-1,C-2,cash,1.00\n")
    mapped = {"customer": "Customer ID"}
    assert given.payments("customer,Customer ID,method,amount\nC-1,C-2,cash,1.00\n", mapped=mapped).refused_count == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"customer,method,amount\nC-1,cash,1\x00.00\n", "Line 2 of .* holds a NUL byte"),
        ("customer,method,amount\nC-1,cash,1.00,Zoë\n".encode("cp1252"), "is not UTF-8"),
        ("customer,method,amount\n".encode("utf-16"), "is UTF-16"),
        (b'customer,method,amount\nC-1,"cash,1.00\n', "quote that is not closed"),
        (b"customer,method,amount\n" + b"x" * 1_000_001, "has 1,000,000 characters or more"),
    ],
    ids=["empty", "NUL", "cp1252", "UTF-16", "open quote", "one long line"],
)
def test_what_is_no_table(given: Given, content: bytes, message: str) -> None:
    """What is no CSV file is one clear error, and nothing is recorded."""
    given.all()
    with pytest.raises(DefrayError, match=message) as refused:
        given.payments(content)
    assert refused.value.hint
    assert (given.office.count("payments"), given.office.count("batches")) == (0, 0)


def test_another_encoding(given: Given) -> None:
    """A file in another encoding is read where it is named."""
    given.customers("number,name\nC-1,Zoë\n".encode("cp1252"), encoding="cp1252")
    assert given.office.rows("SELECT name FROM customers") == [("Zoë",)]
    with pytest.raises(DefrayError, match="There is no encoding"):
        given.customers("number\nC-1\n", encoding="klingon")


def test_a_cell_of_ten_thousand_characters(given: Given) -> None:
    """A text that is too long is a fault of its row."""
    given.all()
    receipt = given.payments(f"customer,method,amount,notes\nC-1,cash,1.00,{'x' * 10_000}\n")
    assert told(receipt) == [(2, "notes")]


def test_a_file_that_is_not_there(office: Office, tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(DefrayError, match=r"none\.csv cannot be read"):
        import_customers(office.engine, tmp_path / "none.csv", FileOptions(), "ann")


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("2026-01-02", "ymd", date(2026, 1, 2)),
        ("2026-01-02", "dmy", date(2026, 1, 2)),
        ("2026/1/2", "ymd", date(2026, 1, 2)),
        ("1/2/2026", "mdy", date(2026, 1, 2)),
        ("1/2/2026", "dmy", date(2026, 2, 1)),
        ("31.1.2026", "dmy", date(2026, 1, 31)),
        ("1/2/2026", "ymd", None),
        ("1/2/26", "mdy", None),
        ("13/1/2026", "mdy", None),
        ("soon", "mdy", None),
        ("2026-02-30", "ymd", None),
    ],
)
def test_dates(text: str, order: Any, expected: date | None) -> None:
    """ISO 8601 always; a date that can be read in two ways only where its order was named."""
    found = parse_date("due_date", text, order)
    assert isinstance(found, Fault) if expected is None else found == expected


def test_an_import_of_customers_holds_nobody_up(office: Office) -> None:
    """B3: what a file changes is taken over at its end, in one order; while it is read, lanes lock whom they need."""
    office.bill("C-1", {"A": 100})
    office.bill("C-2", {"B": 100})
    with office.engine.begin() as conn:
        taking = CustomersImport(conn, clock.now(conn), "test")
        with taking.copying() as take:
            for line, (number, name) in enumerate([("C-2", "Second"), ("C-1", "First"), ("C-2", "Last word")]):
                take(line, NewCustomer(number, name))
        with office.engine.begin() as lane:
            lane.execute(text("SET LOCAL lock_timeout = '2s'"))
            claim.customers(lane, lane.execute(text("SELECT id FROM customers")).scalars().all())
        taking.record(taking.judge(1), 1, lambda _done, _of: None)
    assert office.rows("SELECT number, name FROM customers ORDER BY number") == [("C-1", "First"), ("C-2", "Last word")]
