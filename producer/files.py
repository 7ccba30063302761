"""Files of customers, invoices and payments: whole or with their good rows only, and harmless when they come again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from books import clock
from books.bill import CustomersImport, Kept, NewCustomer, NewInvoice, record_invoices
from producer import csv_rows
from producer.csv_rows import CsvRow, Table
from producer.payments import Producer, Row
from producer.receipts import RefusedRow, RefusedRows
from rules.errors import DefrayError, Fault, shown
from rules.money import check_currency
from rules.requests import NAME_MAX, check_amount, parse_day, required_text
from rules.texts import check_text

DateOrder = Literal["ymd", "mdy", "dmy"]

GROUP: Final = 1_000
TEXT_MAX: Final = 200
"""Characters of a customer's name, address or telephone number."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What a file does not say of itself."""

    mapped: Mapping[str, str] = field(default_factory=dict)  # field to column
    dates: DateOrder = "ymd"  # the order in dates that are not ISO 8601, such as 1/31/2026
    currency: str | None = None  # where no column gives it
    encoding: str = "utf-8"
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class FileReceipt:
    """What became of a file's rows; refused ones by their lines.

    Without skip_bad one refused row means that none was taken. `repeated` rows were known before; nobody read
    `ignored_columns`.
    """

    recorded: int
    repeated: int
    refused_count: int
    refused: tuple[RefusedRow, ...]
    ignored_columns: tuple[str, ...]
    batch_id: int | None = None


CUSTOMER_COLUMNS: Final = {
    "number": ("customer", "customer_id", "customer_number", "customer_no", "id"),
    "name": ("customer_name", "company"),
    "email": ("e-mail", "email_address"),
    "phone": ("telephone", "phone_number"),
}
INVOICE_COLUMNS: Final = {
    "customer": ("customer_id", "customer_number", "customer_no"),
    "number": ("invoice", "invoice_number", "invoice_no", "invoice_id"),
    "invoice_date": ("date", "issued", "billed"),
    "due_date": ("due",),
    "currency": (),
    "amount": ("total", "invoice_amount", "invoice_total"),
    "amount_minor": ("total_minor",),
}
PAYMENT_COLUMNS: Final = {
    "idempotency_key": ("key", "payment_id"),
    "customer": ("customer_id", "customer_number", "customer_no"),
    "method": ("type", "payment_method", "payment_type"),
    "number": ("check_number", "check_no", "cheque_number"),
    "currency": (),
    "amount": ("total", "payment_amount", "total_amount"),
    "amount_minor": ("total_minor",),
    "invoices": ("invoice", "invoice_number", "invoice_numbers", "invoice_no"),
    "post_date": ("date", "payment_date", "paid_on"),
    "notes": ("note", "memo"),
    "as_credit": (),
    "allow_overlap": (),
    "when_owed_less": (),
    "card_token": ("token",),
    "recurring": (),
}

_PARTS = re.compile(r"([0-9]{1,4})[/.-]([0-9]{1,2})[/.-]([0-9]{1,4})")
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_Given = TypeVar("_Given", NewCustomer, NewInvoice)
_Given_contra = TypeVar("_Given_contra", NewCustomer, NewInvoice, contravariant=True)


def import_customers(engine: Engine, path: Path, options: FileOptions, by: str) -> FileReceipt:
    """Make the customers of a file known; of one that is known already, take over what the file says anew.

    Raises DefrayError where the file is no table, RequestRefused where columns are missing.
    """
    table = csv_rows.open_table(path, CUSTOMER_COLUMNS, ["number"], options.mapped, options.encoding)
    return _import(engine, table, _customer, CustomersImport, options, by)


def import_invoices(engine: Engine, path: Path, options: FileOptions, by: str) -> FileReceipt:
    """Issue the invoices of a file to customers that are known. Raises as `import_customers`."""
    currency = _default_currency(options)
    required = ["customer", "number", "invoice_date", "due_date", "amount|amount_minor"]
    required += [] if currency else ["currency"]
    table = csv_rows.open_table(path, INVOICE_COLUMNS, required, options.mapped, options.encoding)
    return _import(
        engine,
        table,
        lambda cells: _invoice({"currency": currency, **cells}, options.dates),
        _Invoices,
        options,
        by,
    )


def import_payments(producer: Producer, path: Path, options: FileOptions, *, caller: str, by: str) -> FileReceipt:
    """Record the payments of a file as one batch. Raises as `import_customers`.

    R15: a row without a key of its own gets one from the file's digest and its number, so that the same file again
    changes nothing; of rows without keys that are alike only the first is taken.
    """
    currency = _default_currency(options)
    required = ["customer", "method", "amount|amount_minor", *([] if currency else ["currency"])]
    table = csv_rows.open_table(path, PAYMENT_COLUMNS, required, options.mapped, options.encoding)
    content = csv_rows.digest(path)
    keyed = "idempotency_key" in table.fields
    rows = (Row(row.line, _asked(row, currency, options.dates, None if keyed else content)) for row in table.rows())
    receipt = producer.submit_rows(
        rows,
        label=path.name,
        caller=caller,
        idempotency_key=f"file:{content}",
        by=by,
        skip_bad=options.skip_bad,
        refuse_alike=not keyed,
    )
    return FileReceipt(
        receipt.recorded,
        receipt.repeated,
        receipt.refused_count,
        receipt.refused,
        table.ignored,
        receipt.batch_id,
    )


def parse_date(field_name: str, text: object, order: DateOrder) -> date | Fault:
    """A day: ISO 8601 always, any other writing only where its order was named."""
    if not isinstance(text, str) or re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return parse_day(field_name, text)
    if not (match := _PARTS.fullmatch(text)):
        return Fault(field_name, shown(text), "not a day", "Give it as year-month-day, such as 2026-03-31")
    if order == "ymd" and len(match[1]) < 4:
        return Fault(field_name, shown(text), "can be read in two ways", "Say which: --dates mdy or --dates dmy")
    parts = dict(zip(order, match.groups(), strict=True))
    if len(parts["y"]) != 4:
        return Fault(
            field_name, shown(text), "has no year of four digits", f"Give the dates as {order} with full years"
        )
    try:
        return date(int(parts["y"]), int(parts["m"]), int(parts["d"]))
    except ValueError:
        return Fault(
            field_name,
            shown(text),
            f"no such day, read as {order}",
            "Compare the day, or name another order by --dates",
        )


def _default_currency(options: FileOptions) -> str | None:
    if options.currency is None:
        return None
    currency = check_currency(options.currency)
    if isinstance(currency, Fault):
        raise DefrayError(str(currency))
    return currency


class _Books(Protocol[_Given_contra]):
    """Where the rows of a file go, group by group, within one transaction."""

    def group(self, given: Sequence[_Given_contra], now: datetime, by: str) -> Sequence[Kept | list[Fault]]:
        """Record a group; what was kept or what is wrong, row by row."""
        ...

    def end(self, now: datetime, by: str) -> None:
        """After the last group."""
        ...


class _Invoices:
    """Invoices need nothing after the last group."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def group(self, given: Sequence[NewInvoice], now: datetime, by: str) -> Sequence[Kept | list[Fault]]:
        return record_invoices(self._conn, given, now, by)

    def end(self, now: datetime, by: str) -> None:
        pass


def _import(
    engine: Engine,
    table: Table,
    read: Callable[[dict[str, str]], _Given | list[Fault]],
    books: Callable[[Connection], _Books[_Given]],
    options: FileOptions,
    by: str,
) -> FileReceipt:
    """Record rows in one transaction, a group at a time."""
    refused = RefusedRows()
    recorded = repeated = 0
    with engine.connect() as conn, conn.begin() as transaction:
        now = clock.now(conn)
        kept_in = books(conn)
        for group in _groups(table.rows()):
            lines: list[int] = []
            good: list[_Given] = []
            for row in group:
                given = read(row.content) if isinstance(row.content, dict) else row.content
                if isinstance(given, list):
                    refused.add(row.line, given)
                else:
                    lines.append(row.line)
                    good.append(given)
            for line, kept in zip(lines, kept_in.group(good, now, by), strict=True):
                if not isinstance(kept, Kept):
                    refused.add(line, kept)
                elif kept.new:
                    recorded += 1
                else:
                    repeated += 1
        kept_in.end(now, by)
        if refused.count and not options.skip_bad:
            transaction.rollback()
            recorded = 0
    return FileReceipt(recorded, repeated, refused.count, refused.in_order(), table.ignored)


def _groups(rows: Iterable[CsvRow]) -> Iterator[list[CsvRow]]:
    group: list[CsvRow] = []
    for row in rows:
        group.append(row)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


def _customer(cells: dict[str, str]) -> NewCustomer | list[Fault]:
    number = required_text("number", cells.get("number"), NAME_MAX)
    texts = {name: check_text(name, cells[name], TEXT_MAX) for name in ("name", "email", "phone") if name in cells}
    faults = [checked for checked in (number, *texts.values()) if isinstance(checked, Fault)]
    if faults or isinstance(number, Fault):
        return faults
    return NewCustomer(number, **{name: text for name, text in texts.items() if isinstance(text, str)})


def _invoice(cells: Mapping[str, str | None], dates: DateOrder) -> NewInvoice | list[Fault]:
    customer = required_text("customer", cells.get("customer"), NAME_MAX)
    number = required_text("number", cells.get("number"), NAME_MAX)
    invoice_date = _required_date("invoice_date", cells.get("invoice_date"), dates)
    due_date = _required_date("due_date", cells.get("due_date"), dates)
    currency = check_currency(cells.get("currency"))
    total = 0 if isinstance(currency, Fault) else _amount(cells, currency)
    if (
        isinstance(customer, str)
        and isinstance(number, str)
        and isinstance(invoice_date, date)
        and isinstance(due_date, date)
        and isinstance(currency, str)
        and isinstance(total, int)
    ):
        return NewInvoice(customer, number, invoice_date, due_date, currency, total)
    checked = (customer, number, invoice_date, due_date, currency, total)
    return [one for one in checked if isinstance(one, Fault)]


def _required_date(field_name: str, text: str | None, dates: DateOrder) -> date | Fault:
    if text is None:
        return Fault(field_name, "", "missing", "Give the day")
    return parse_date(field_name, text, dates)


def _amount(cells: Mapping[str, str | None], currency: str) -> int | Fault:
    return check_amount({**cells, **_minor(cells)}, currency)


def _minor(cells: Mapping[str, str | None]) -> dict[str, object]:
    """A file knows only texts: one of digits alone is a whole number of minor units."""
    minor = cells.get("amount_minor")
    return {"amount_minor": int(minor)} if minor and re.fullmatch(r"[0-9]{1,15}", minor) else {}


def _asked(row: CsvRow, currency: str | None, dates: DateOrder, content: str | None) -> dict[str, object] | list[Fault]:
    """The request that a row makes; where the file has no column for keys, `content` and its number make one."""
    if isinstance(row.content, list):
        return row.content
    cells = row.content
    asked: dict[str, object] = {"currency": currency, **cells, **_minor(cells)}
    if content is not None:
        asked["idempotency_key"] = f"{content}:{row.number}"
    if "method" in cells:
        asked["method"] = cells["method"].lower().replace(" ", "_")
    if "invoices" in cells:
        asked["invoices"] = [number.strip() for number in re.split(r"[;|]", cells["invoices"])]
    faults: list[Fault] = []
    if "post_date" in cells:
        day = parse_date("post_date", cells["post_date"], dates)
        if isinstance(day, Fault):
            faults.append(day)
        asked["post_date"] = day
    for name in ("as_credit", "allow_overlap", "recurring"):
        if name in cells:
            asked[name] = _FLAGS.get(cells[name].lower())
            if asked[name] is None:
                faults.append(Fault(name, shown(cells[name]), "neither true nor false", "Give true or false"))
    return faults or asked
