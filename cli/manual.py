"""docs/cli.md: every verb with its options, from the command itself. `python -m cli.manual > docs/cli.md` makes it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import click

from cli.main import defray

_HEAD = """# The command `defray`

{about}

`--json` makes every verb answer in JSON: stable keys, amounts in minor units (cents) beside their currency, times in
UTC. An error then is `{{"error", "hint", "faults"}}` on standard error. Without it, times are those of the business
(`DEFRAY_BUSINESS_TIME_ZONE`).

Cards are typed at the prompt of `defray pay`, or come through a pipe; no argument and no file takes a card number.
"""


def manual() -> str:
    """The page."""
    head = _HEAD.format(
        about="\n".join(map(_line, inspect.cleandoc(defray.help or "").replace("\b\n", "").splitlines()))
    )
    parts = [head, *_pages(defray, "defray"), "This page is made by `python -m cli.manual > docs/cli.md`.\n"]
    return "\n".join(parts)


def _line(line: str) -> str:
    """A line of the command's help as Markdown: what is indented is a list."""
    return f"- {' '.join(line.split())}" if line.startswith("  ") else line.replace("codes:", "codes:\n")


def _pages(group: click.Group, path: str) -> Iterator[str]:
    for name in sorted(group.commands):
        command = group.commands[name]
        if isinstance(command, click.Group):
            yield from _pages(command, f"{path} {name}")
        else:
            yield _page(command, f"{path} {name}")


def _page(command: click.Command, path: str) -> str:
    ctx = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(ctx)])
    about = inspect.cleandoc(command.help or "")
    lines = [f"## `{path}`", "", about, "", f"`{usage}`", ""]
    records = [option.get_help_record(ctx) for option in command.params]
    options = [record for record in records if record and record[1]]
    if options:
        lines += ["| option | |", "| --- | --- |"]
        lines += [
            f"| `{left.replace('|', chr(92) + '|')}` | {right.replace('|', chr(92) + '|')} |" for left, right in options
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(manual())
