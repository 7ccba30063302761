# ruff: noqa: E501 - a paragraph is as its page has it
"""Prints docs/errors.md, all that can go wrong and what to do: `python -m docs.errors > docs/errors.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from cli.output import NO_OUTCOME_YET, REFUSED, UNREACHABLE
from rules import errors
from web import problems

_PAGE: Final = """# Errors

Every error says what is wrong and how to mend it. The API tells it as problem details (RFC 9457), the command as a line on
standard error with an exit code, or with `--json` as an object with `error`, `hint` and `faults`.

## Exit codes of the command

| code | means |
| --- | --- |
| 0 | done; a payment was posted; nothing was found |
| {refused} | refused, declined, or something was found |
| 2 | the command was not understood |
| {unreachable} | database, broker or another part does not answer |
| {no_outcome} | still under way when the waiting ended |

## Errors and where they show

| error | means | API | exit code |
| --- | --- | --- | --- |
{classes}

## Problems of the API

`type` is a promise: a program may branch on it. `title` and `detail` are for people. No answer repeats what was sent.

{problems}
This page is made by `python -m docs.errors > docs/errors.md`.
"""


def document() -> str:
    """The whole page."""
    return _PAGE.format(
        refused=REFUSED,
        unreachable=UNREACHABLE,
        no_outcome=NO_OUTCOME_YET,
        classes="\n".join(_classes()),
        problems="\n".join(_problem(problem) for problem in problems.ALL),
    )


def _classes() -> Iterator[str]:
    for kind in _below(errors.DefrayError):
        means = (kind.__doc__ or "").partition("\n")[0].rstrip(".")
        made = kind(()) if kind is errors.RequestRefused else kind("...")
        if issubclass(kind, errors.SettingsError):
            shown, code = "at start", f"{REFUSED}, or {UNREACHABLE} where no servers are named"
        else:
            name = json.loads(bytes(problems.of_error(made).body))["type"].rpartition("/")[2]
            shown, code = f"[`{name}`](#{name})", str(UNREACHABLE if kind is errors.Unreachable else REFUSED)
        yield f"| `{kind.__name__}` | {means} | {shown} | {code} |"


def _below(kind: type[errors.DefrayError]) -> Iterator[type[errors.DefrayError]]:
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:
            yield one
            yield from _below(one)


def _problem(problem: problems.Problem) -> str:
    sample = {"type": problem.type, "title": problem.title, "status": problem.status}
    return (
        f"### {problem.name}\n\n**{problem.status}**: {problem.when}.\n\n**Do**: {problem.then}.\n\n"
        f"```json\n{json.dumps(sample)}\n```\n"
    )


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201 - printing is what it is for
