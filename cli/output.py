"""What all verbs share: words for people or JSON for programs, exit codes, who asks."""

from __future__ import annotations

import dataclasses
import getpass
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, Final, TypeVar

import click

from rules.errors import DefrayError, Fault, RequestRefused

REFUSED: Final = 1
"""Exit code: it was refused, did not go well, or the audit found something."""
UNREACHABLE: Final = 3
"""Exit code: database, broker or another part does not answer."""
NO_OUTCOME_YET: Final = 4
"""Exit code: still under way when the waiting ended."""

_JSON: Final = "defray.json"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def with_json(command: _Command) -> _Command:
    """Add `--json` to a verb; `tell` and errors follow it."""

    def remember(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        ctx.meta[_JSON] = wanted

    option = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Answer in JSON: keys that stay, amounts in minor units, times in UTC.",
    )
    return option(command)


def with_name(command: _Command) -> _Command:
    """Add `--by` to a verb: every act has who, when, why."""
    return click.option(
        "--by",
        metavar="NAME",
        default=_own_name,
        callback=_in_words,
        help="Who does this. [default: your name on this system]",
    )(command)


def with_reason(command: _Command) -> _Command:
    """Add `--reason` to a verb."""
    return click.option("--reason", required=True, callback=_in_words, help="Why; kept for good.")(command)


def _in_words(_ctx: click.Context, parameter: click.Parameter, said: str) -> str:
    """What a person says of an act, as it may be kept for good: never blank, and no card number (C1)."""
    from rules.requests import check_words

    checked = check_words(parameter.name or "", said)
    if isinstance(checked, Fault):
        raise RequestRefused([checked])
    return checked


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


def wants_json() -> bool:
    """Whether the verb that runs was asked for JSON."""
    return bool(click.get_current_context().meta.get(_JSON))


class Id(click.ParamType[int]):
    """The number of a payment, a batch, a credit: one that the tables can hold."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or a word on what is expected."""
        text = str(value)
        if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**63):
            self.fail(f"{value!r} is not a number such as 1042.", param, ctx)
        return int(text)


ID: Final = Id()


def counted(number: int, one: str) -> str:
    """A number and what is counted: "1 invoice", "1,200 invoices"."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def tell(data: Any, words: str | Iterable[str]) -> None:
    """The answer: `data` with --json, else `words`."""
    if wants_json():
        click.echo(json.dumps(plain(data), indent=2, ensure_ascii=False))
    else:
        click.echo(words if isinstance(words, str) else "\n".join(words))


def note(words: str) -> None:
    """A word beside the answer, on standard error."""
    click.echo(words, err=True)


def complain(error: DefrayError) -> None:
    """An error, with all its faults, on standard error; JSON with --json."""
    faults = error.faults if isinstance(error, RequestRefused) else ()
    if wants_json():
        said = {"error": error.message, "hint": error.hint, "faults": [plain(fault) for fault in faults]}
        note(json.dumps(said, ensure_ascii=False))
    elif faults:
        note("Refused:\n" + "\n".join(f"  {fault}" for fault in faults))
    else:
        note(f"{error.message} {error.hint}".strip())


def plain(value: Any) -> Any:
    """What JSON can hold: dataclasses by their fields, times as ISO 8601 in UTC."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    return value


def table(head: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[int] = ()) -> list[str]:
    """Columns side by side, as wide as needed; the columns whose places are in `right` end together."""
    cells = [tuple(head), *(tuple("" if cell is None else str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    ends = set(right)
    return [
        "  ".join(
            cell.rjust(width) if place in ends else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
