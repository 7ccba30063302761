"""`defray import`: customers, invoices and payments from files of CSV or JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.output import REFUSED, counted, tell, wants_json, with_json, with_name
from rules.errors import shown

if TYPE_CHECKING:
    from producer.files import FileOptions, FileReceipt, Watch
    from producer.remittances import RemittanceReceipt
    from rules.remittance import Left

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group("import")
def import_() -> None:
    """Take customers, invoices, payments or remittances from a file; a file imported twice changes nothing."""


def _file_options(command: _Command) -> _Command:
    options = (
        click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False)),
        click.option(
            "--map", "maps", multiple=True, metavar="FIELD=COLUMN", help="Which column fills a field; may be repeated."
        ),
        click.option(
            "--dates",
            type=click.Choice(["ymd", "mdy", "dmy"]),
            default="ymd",
            show_default=True,
            help="The order in dates that are not ISO 8601.",
        ),
        click.option("--currency", metavar="CODE", help="Where no column says it, such as USD."),
        click.option("--encoding", default="utf-8", show_default=True),
        click.option(
            "--format",
            type=click.Choice(["csv", "jsonl"]),
            help="CSV or one JSON object a line. [default: by the name: .jsonl and .ndjson are JSON lines]",
        ),
        click.option("--skip-bad", is_flag=True, help="Take the good rows where some are bad, instead of none."),
    )
    for option in reversed(options):
        command = option(command)
    return with_name(with_json(command))


def _options(
    maps: tuple[str, ...], dates: Any, currency: str | None, encoding: str, skip_bad: bool, **given: Any
) -> FileOptions:
    from producer.files import FileOptions

    mapped = {}
    for pair in maps:
        field, equals, column = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not FIELD=COLUMN.", param_hint="--map")
        mapped[field.strip()] = column.strip()
    return FileOptions(
        mapped=mapped, dates=dates, currency=currency, encoding=encoding, skip_bad=skip_bad, format=given["format"]
    )


@contextmanager
def _watched(file: Path) -> Iterator[Watch | None]:
    """A bar on a terminal, first of bytes that are read, then of rows that are recorded; quiet elsewhere."""
    if wants_json() or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars = {}

        def watch(what: str, done: int, of: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(f"{file.name}: {what}")
            progress.update(bars[what], total=of, completed=done)

        yield watch


@import_.command()
@_file_options
def customers(file: Path, by: str, **given: Any) -> None:
    """Make customers known: number, name, email, phone."""
    from cli.reach import office
    from producer.files import import_customers

    with office() as at, _watched(file) as watch:
        receipt = import_customers(at.engine, file, _options(**given), by, watch)
    _tell(receipt, "customer", given["skip_bad"])


@import_.command()
@_file_options
def invoices(file: Path, by: str, **given: Any) -> None:
    """Issue invoices: customer, number, invoice date, due date, currency, amount."""
    from cli.reach import office
    from producer.files import import_invoices

    with office() as at, _watched(file) as watch:
        receipt = import_invoices(at.engine, file, _options(**given), by, watch)
    _tell(receipt, "invoice", given["skip_bad"])


@import_.command()
@_file_options
def payments(file: Path, by: str, **given: Any) -> None:
    """Record payments as one batch: customer, method, currency, amount, invoices; cards by token only."""
    from cli.reach import CALLER, office
    from producer.files import import_payments

    with office() as at, _watched(file) as watch:
        receipt = import_payments(at.producer(), file, _options(**given), caller=CALLER, by=by, watch=watch)
    _tell(receipt, "payment", given["skip_bad"])


@import_.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--preview", is_flag=True, help="Say what would become payments, and record nothing.")
@click.option(
    "--by-amount/--no-by-amount",
    default=True,
    show_default=True,
    help="Let the amount alone decide where one open invoice and one item without a number have it.",
)
@with_name
@with_json
def remittances(file: Path, by: str, preview: bool, by_amount: bool) -> None:
    """Make payments of what a bank's file (BAI2, camt.054, camt.053) says came in, where it is sure whose they are.

    Everything else is listed for a person, and the exit code is 1. A file, or an item, that comes again changes
    nothing.
    """
    from cli.reach import CALLER, office
    from producer.remittances import import_remittances

    with office() as at:
        receipt = import_remittances(
            at.engine, at.producer(), file, caller=CALLER, by=by, by_amount=by_amount, preview=preview
        )
    tell(receipt, _remittance_lines(receipt, preview))
    if receipt.left:
        click.get_current_context().exit(REFUSED)


def _remittance_lines(receipt: RemittanceReceipt, preview: bool) -> Iterator[str]:
    from cli.output import table
    from rules.money import for_people

    done = f"{counted(len(receipt.taken), 'payment')} would be" if preview else counted(receipt.recorded, "payment")
    yield f"{done} recorded, {receipt.repeated:,} known before, {len(receipt.left):,} left to a person."
    if receipt.taken:
        rows = [
            (
                one.place,
                for_people(one.amount_minor, one.currency),
                one.customer,
                ", ".join(one.invoices) or "oldest",
                one.why,
            )
            for one in receipt.taken
        ]
        yield from table(("item", "amount", "customer", "invoices", "because it"), rows, right=(0, 1))
    for one in receipt.left:
        check = f", check {shown(one.number)}" if one.number else ""
        of = f" of {shown(one.payer)}" if one.payer else ""
        said = f" ({shown(one.text, 60)})" if one.text else ""
        yield f"  item {one.place}{of}, {one.day}, {_sum(one)}{check}{said}: {one.why}."
    for why, count in receipt.passed_over.items():
        yield f"Passed over: {why}: {count:,}"
    if receipt.batch_id is not None:
        yield f"Batch {receipt.batch_id}: `defray status --batch {receipt.batch_id}` shows its progress."


def _sum(one: Left) -> str:
    from rules.money import EXPONENTS, for_people

    if one.currency in EXPONENTS:
        return for_people(one.amount_minor, one.currency)
    return f"{one.amount_minor:,} {shown(one.currency)}"


def _tell(receipt: FileReceipt, what: str, skip_bad: bool) -> None:
    words = [
        f"{counted(receipt.recorded, what)} recorded, {receipt.repeated:,} known before,"
        f" {receipt.refused_count:,} refused."
    ]
    if receipt.refused_count and not skip_bad:
        words = [
            f"Nothing was recorded. Refused: {counted(receipt.refused_count, 'row')}; --skip-bad takes the others."
        ]
    words += [f"  line {row.row}: {fault}" for row in receipt.refused for fault in row.faults]
    if receipt.refused_count > len(receipt.refused):
        words.append(f"  and {receipt.refused_count - len(receipt.refused):,} more")
    if receipt.ignored_columns:
        words.append(f"Columns that nobody reads: {', '.join(receipt.ignored_columns)}")
    if receipt.batch_id is not None:
        words.append(f"Batch {receipt.batch_id}: `defray status --batch {receipt.batch_id}` shows its progress.")
    tell(receipt, words)
    if receipt.refused_count:
        click.get_current_context().exit(REFUSED)


VERBS = (import_,)
