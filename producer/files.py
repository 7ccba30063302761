"""Files of customers, invoices and payments: whole or with their good rows only, and harmless when they come again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Generic, Literal, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from books import clock
from books.bill import NewCustomer, NewInvoice
from books.bulk import CustomersImport, InvoicesImport, Judged
from producer import csv_rows
from producer.csv_rows import FileRow, Read
from producer.json_rows import JsonLines
from producer.payments import Producer, Row
from producer.receipts import SHOWN_MAX, RefusedRow, RefusedRows
from rules.errors import DefrayError, Fault, shown
from rules.money import EXPONENTS, check_currency, parse_decimal
from rules.requests import NAME_MAX, check_amount, parse_day, required_text
from rules.texts import check_text

DateOrder = Literal["ymd", "mdy", "dmy"]

Format = Literal["csv", "jsonl"]
Watch = Callable[[str, int, int], object]
"""Told what is done ("read", in bytes; "recorded", in rows), how much of it, and of how much."""

SUFFIXES: Final[dict[str, Format]] = {".jsonl": "jsonl", ".ndjson": "jsonl"}
"""What a file is by the end of its name; anything else is CSV."""

DAYS_KEPT: Final = 4_096
"""Days of a file that are not read anew when they come again."""

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
    format: Format | None = None  # None: by the file's name


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


class Rows(Protocol):
    """A file whose rows can be read: CSV or JSON lines."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """What nobody reads."""

    @property
    def keyed(self) -> bool:
        """Whether rows bring idempotency keys of their own (R15)."""

    def rows(self, read: Read | None = None) -> Iterator[FileRow]:
        """The rows as a stream."""


def import_customers(
    engine: Engine, path: Path, options: FileOptions, by: str, watch: Watch | None = None
) -> FileReceipt:
    """Make the customers of a file known; of one that is known already, take over what the file says anew.

    Raises DefrayError where the file cannot be read, RequestRefused where columns are missing.
    """
    given = _open(path, CUSTOMER_COLUMNS, ["number"], options)
    return _import(engine, _File(path, given, _customer, watch or _unwatched), CustomersImport, options, by)


def import_invoices(
    engine: Engine, path: Path, options: FileOptions, by: str, watch: Watch | None = None
) -> FileReceipt:
    """Issue the invoices of a file to customers that are known. Raises as `import_customers`."""
    currency = _default_currency(options)
    required = ["customer", "number", "invoice_date", "due_date", "amount|amount_minor"]
    required += [] if currency else ["currency"]
    given = _open(path, INVOICE_COLUMNS, required, options)
    days = lru_cache(DAYS_KEPT)(partial(_required_date, dates=options.dates))
    file = _File(path, given, lambda cells: _invoice({"currency": currency, **cells}, days), watch or _unwatched)
    return _import(engine, file, InvoicesImport, options, by)


def import_payments(
    producer: Producer, path: Path, options: FileOptions, *, caller: str, by: str, watch: Watch | None = None
) -> FileReceipt:
    """Record the payments of a file as one batch. Raises as `import_customers`.

    R15: a row without a key of its own gets one from the file's digest and its number, so that the same file again
    changes nothing; of rows without keys that are alike only the first is taken.
    """
    currency = _default_currency(options)
    required = ["customer", "method", "amount|amount_minor", *([] if currency else ["currency"])]
    given = _open(path, PAYMENT_COLUMNS, required, options)
    content = csv_rows.digest(path)
    keyed = given.keyed
    size = path.stat().st_size
    read = partial((watch or _unwatched), "read")
    rows = (
        Row(row.line, _asked(row, currency, options.dates, None if keyed else content))
        for row in given.rows(lambda done: read(done, size))
    )
    receipt = producer.submit_rows(
        rows,
        label=csv_rows.label(path),
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
        given.ignored,
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


def _unwatched(_what: str, _done: int, _of: int) -> None:
    """Nobody wants to know."""


def _open(path: Path, aliases: Mapping[str, Sequence[str]], required: Sequence[str], options: FileOptions) -> Rows:
    if (options.format or SUFFIXES.get(path.suffix.lower(), "csv")) == "jsonl":
        return JsonLines(path, aliases, options.mapped, options.encoding)
    return csv_rows.open_table(path, aliases, required, options.mapped, options.encoding)


@dataclass(frozen=True, slots=True)
class _File(Generic[_Given]):
    """A file, how its rows are read, and who watches."""

    path: Path
    rows: Rows
    read: Callable[[dict[str, str]], _Given | list[Fault]]
    watch: Watch


class _Import(Protocol[_Given_contra]):
    """Where the rows of a file go, as in `books.bulk`: copied, judged as a whole, recorded."""

    def __init__(self, conn: Connection, now: datetime, by: str) -> None:
        """Within a transaction of its own."""

    def copying(self) -> AbstractContextManager[Callable[[int, _Given_contra], object]]:
        """Take rows, each with its line."""

    def judge(self, most: int) -> Judged:
        """What would become of the rows."""

    def record(self, judged: Judged, most: int, done: Callable[[int, int], object]) -> Judged:
        """Record them: what became of the rows."""


def _import(
    engine: Engine,
    file: _File[_Given],
    books: Callable[[Connection, datetime, str], _Import[_Given]],
    options: FileOptions,
    by: str,
) -> FileReceipt:
    """Record a file in one transaction: all of it, or nothing where a row is refused."""
    refused = RefusedRows()
    size = file.path.stat().st_size
    copied = 0
    with engine.connect() as conn, conn.begin() as transaction:
        given = books(conn, clock.now(conn), by)
        with given.copying() as take:
            for row in file.rows.rows(lambda done: file.watch("read", done, size)):
                read = file.read(row.content) if isinstance(row.content, dict) else row.content
                if isinstance(read, list):
                    refused.add(row.line, read)
                else:
                    take(row.line, read)
                    copied += 1
        file.watch("read", size, size)
        judged = given.judge(SHOWN_MAX)
        if options.skip_bad or not refused.count + judged.refused:
            judged = given.record(judged, SHOWN_MAX, partial(file.watch, "recorded"))
        taken = options.skip_bad or not refused.count + judged.refused
        if not taken:
            transaction.rollback()
    refused.add_all(judged.refused, judged.first)
    return FileReceipt(
        recorded=judged.fresh if taken else 0,
        repeated=copied - judged.refused - judged.fresh,
        refused_count=refused.count,
        refused=refused.in_order(),
        ignored_columns=file.rows.ignored,
    )


def _customer(cells: dict[str, str]) -> NewCustomer | list[Fault]:
    number = required_text("number", cells.get("number"), NAME_MAX)
    texts = {name: check_text(name, cells[name], TEXT_MAX) for name in ("name", "email", "phone") if name in cells}
    faults = [checked for checked in (number, *texts.values()) if isinstance(checked, Fault)]
    if faults or isinstance(number, Fault):
        return faults
    return NewCustomer(number, **{name: text for name, text in texts.items() if isinstance(text, str)})


def _invoice(
    cells: Mapping[str, str | None], day: Callable[[str, str | None], date | Fault]
) -> NewInvoice | list[Fault]:
    customer = required_text("customer", cells.get("customer"), NAME_MAX)
    number = required_text("number", cells.get("number"), NAME_MAX)
    invoice_date = day("invoice_date", cells.get("invoice_date"))
    due_date = day("due_date", cells.get("due_date"))
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
    return check_amount({**cells, **_minor(cells, currency)}, currency)


def _minor(cells: Mapping[str, str | None], currency: str | None) -> dict[str, object]:
    """A file knows only texts: one of digits alone is a whole number of minor units.

    It may stand beside the same amount as decimal text, as in an export.
    """
    minor = cells.get("amount_minor")
    if not minor or not re.fullmatch(r"[0-9]{1,15}", minor):
        return {}
    if currency in EXPONENTS and parse_decimal(cells.get("amount"), currency) == int(minor):
        return {"amount_minor": int(minor), "amount": None}
    return {"amount_minor": int(minor)}


def _asked(
    row: FileRow, currency: str | None, dates: DateOrder, content: str | None
) -> dict[str, object] | list[Fault]:
    """The request that a row makes; where the file has no column for keys, `content` and its number make one."""
    if isinstance(row.content, list):
        return row.content
    cells = row.content
    asked: dict[str, object] = {"currency": currency, **cells, **_minor(cells, cells.get("currency", currency))}
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
