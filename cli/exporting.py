"""`defray export`: files for other programs."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

import click

from cli.output import tell, with_json
from rules.errors import DefrayError, Fault, RequestRefused

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command("export")
@click.argument("what", type=click.Choice(["customers", "invoices", "payments", "credits", "deposits", "journal"]))
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl", "quickbooks", "beancount"]),
    default="csv",
    show_default=True,
    help="quickbooks: IIF of customers, invoices, payments or the journal; beancount: the journal.",
)
@click.option("--from", "first", type=_DAY, metavar="DAY", help="The first day, such as 2026-01-01.")
@click.option("--to", "last", type=_DAY, metavar="DAY", help="The last day.")
@click.option("--currency", metavar="CODE", help="This currency alone.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; it appears when it is whole. [default: standard output]",
)
@with_json
def export(
    what: str, form: str, first: datetime | None, last: datetime | None, currency: str | None, output: Path | None
) -> None:
    """Write customers, invoices, payments, credits, deposits or the journal for other programs, all of one moment.

    Days are invoice dates, post dates, or the days on which customers and credits were recorded.
    """
    from books.export import Asked, What, reading
    from cli.reach import office
    from exports import ENCODINGS, Format, written
    from rules.money import check_currency

    if currency is not None and isinstance(fault := check_currency(currency), Fault):
        raise RequestRefused([fault])
    encoding = ENCODINGS.get(Format(form), "utf-8")
    with office() as at, reading(at.engine) as conn:
        begins, ends = (day.date() if day else None for day in (first, last))
        asked = Asked(at.settings.business_time_zone.key, begins, ends, currency)
        lines = (line.encode(encoding, "replace") for line in written(conn, What(what), asked, Format(form)))
        if output is None:
            sys.stdout.flush()
            sys.stdout.buffer.writelines(lines)
            return
        with _appearing(output) as file:
            file.writelines(lines)
    size = output.stat().st_size
    tell({"file": str(output), "bytes": size}, f"{output}: {size:,} bytes.")


@contextmanager
def _appearing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name when it is whole; its owner alone may read it."""
    special = path.exists() and not path.is_file()  # such as /dev/null, which must not become a file
    if special or not os.access(path.parent, os.W_OK):
        raise DefrayError(f"The file {path} cannot be written.", "Name another, in a folder of yours.")
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:40]}.", delete=False) as file:
        try:
            yield file
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)


VERBS = (export,)
