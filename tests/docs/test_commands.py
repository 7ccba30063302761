"""Issue 9, item 9: what the pages tell somebody to type exists, is understood, and is run by a test."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from textwrap import dedent
from typing import Final

import click
import pytest

from cli.main import defray
from settings import table

PROJECT: Final = Path(__file__).parents[2]
PAGES: Final = (
    PROJECT / "README.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
    *(PROJECT / name for name in ("sandbox/README.md", "bench/README.md", "web/README.md")),
    *sorted((PROJECT / "deploy").glob("*/README.md")),
)
HISTORY: Final = {"docs/decisions"}
"""Folders of pages that tell of their day, and may name what is gone."""

RUN_BY: Final = {
    ("README.md", "make run"): "tests/local/test_setup.py::test_make_run_once",
    ("README.md", "make test"): "tests/local/test_setup.py::test_make_test_is_every_check",
    ("docs/tutorial.md", "make run"): "tests/local/test_everything.py",
    ("docs/tutorial.md", "printf"): "tests/docs/test_tutorial.py::test_the_tutorial",
    ("docs/tutorial.md", "echo"): "tests/docs/test_tutorial.py::test_the_tutorial",
    ("docs/tutorial.md", ".venv/bin/defray"): "tests/docs/test_tutorial.py::test_the_tutorial",
    ("docs/import-export.md", "defray"): "tests/docs/test_import_export.py::test_every_line_of_the_page",
    ("docs/reconcile.md", "defray"): "tests/docs/test_sessions.py::test_reconcile",
    ("docs/restore.md", "defray"): "tests/docs/test_sessions.py::test_restore",
    ("docs/retention.md", "defray"): "tests/docs/test_sessions.py::test_retention",
    ("docs/retention.md", "zcat"): "tests/docs/test_sessions.py::test_retention",
    ("docs/schedules.md", "defray"): "tests/cli/test_schedules.py::test_every_command_of_the_page",
    ("docs/security.md", "defray"): "tests/docs/test_sessions.py::test_security",
    ("docs/api.md", "export"): "tests/api/test_docs.py::test_quick_start",
    ("docs/api.md", "CARD=$(curl"): "tests/api/test_docs.py::test_quick_start",
    ("docs/api.md", "curl -sN"): "tests/api/test_progress.py",
    ("docs/api.md", "curl"): "tests/api/test_docs.py::test_quick_start",
    ("docs/package.md", "/opt/defray/bin/defray --version"): "tests/package/test_wheel.py::test_the_command",
}
"""Which test runs what begins like this on a page, itself or the same thing."""

NOT_RUN: Final = {
    ("docs/package.md", "make bounds"): "takes minutes, and asks the package index",
    ("docs/package.md", "python3 -m pip wheel"): "asks the package index for setuptools; test_wheel.py builds without",
    ("docs/package.md", "python3 -m venv"): "writes to /opt; test_wheel.py makes one elsewhere",
    ("docs/package.md", "/opt/defray/bin/pip install"): "asks the package index; test_wheel.py installs without",
}
"""What no test runs, each with the reason."""

SHELLS: Final = {"", "console", "sh", "bash", "shell"}
PROGRAMS: Final = re.compile(
    r"(?:\S*/)?(?:make|defray|curl|python3?|pip|pipx|uv|docker|kubectl|helm|systemctl|journalctl|celery|psql|pg_\w+|createdb|"
    r"redis-cli|valkey-cli|git|export|printf|echo|cat|cp|mv|rm|mkdir|install|sudo|apt-get|dnf)(?: |$)|\w+=\$\("
)
"""How a line of a block begins that somebody types; in a block of the console, `$ ` says so."""

SUFFIX: Final = re.compile(r"\.(py|md|yml|yaml|toml|json|txt|csv|html|css|js|sql|service)$")

MADE: Final = (".defray/", ".venv/", "secrets/", "site/", "dist/", "bench/out", "build/", ".config/", "~/", ".venv-")
"""Where files are that the repository does not hold, since running makes them."""

MISTYPED: Final = {"DEFRAY_LANE"}
"""Settings that a page names as an example of a slip."""

KEPT_ELSEWHERE: Final = {
    "gateways/tinpay.py": "the made-up gateway of docs/adding-a-gateway.md",
    "sandbox/tinpay.py": "the same",
    "tests/gateways/test_tinpay.py": "the same",
    "docs/gateways/tinpay.md": "the same",
    "tinpay.py": "the same",
}
"""Files that a page has its reader make."""


@dataclass(frozen=True)
class Typed:
    """One command of a page."""

    page: str
    line: str

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"

    def listed_in(self, places: dict[tuple[str, str], str]) -> str | None:
        """What a table says of it; the longest beginning counts."""
        found = [key for key in places if key[0] == self.page and self.line.startswith(key[1])]
        return places[max(found, key=lambda key: len(key[1]))] if found else None


def name_of(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Each fenced block's language and text."""
    for found in re.finditer(r"^( *)(`{3,})(\w*)\n(.*?)^\1\2$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield found[3], dedent(found[4])


def typed(page: Path) -> Iterator[Typed]:
    """Every command that a page has in its blocks, with lines joined that go on."""
    for language, text in blocks(page):
        if language not in SHELLS:
            continue
        lines = re.sub(r" *\\\n *", " ", text).splitlines()
        shown = [line for line in lines if line.startswith("$ ")]
        for line in shown or lines:
            if shown or PROGRAMS.match(line):
                yield Typed(name_of(page), re.sub(r"\s+#\s.*", "", line.removeprefix("$ ")).strip())


def spans(page: Path) -> Iterator[str]:
    """Every text in backticks outside of blocks."""
    prose = re.sub(r"^( *)(`{3,}).*?^\1\2$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for found in re.finditer(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", prose, re.DOTALL):
        yield " ".join(found[2].split())


EVERY: Final = [command for page in PAGES for command in typed(page)]


def words_of(line: str) -> list[str]:
    """The words behind `defray`, wherever it stands in a line, up to where the shell takes over."""
    words = shlex.split(line)
    at = next(place for place, word in enumerate(words) if word.rpartition("/")[2] == "defray")
    return list(takewhile(lambda word: word not in {">", ">>", "<", "|", "&&", ";"}, words[at + 1 :]))


def verb_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and what is left of them. Raises LookupError for an unknown one."""
    command: click.Command = defray
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        if name not in command.commands:
            raise LookupError(f"`defray` has no verb {name!r}")
        command = command.commands[name]
    return command, words


def options_of(command: click.Command) -> set[str]:
    declared = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return declared | {"--help", "-h"}


def test_there_are_commands() -> None:
    """The pages are read: an empty list would pass everything below."""
    assert len(EVERY) > 25
    assert {"README.md", "docs/tutorial.md", "docs/api.md"} <= {command.page for command in EVERY}


@pytest.mark.parametrize("command", EVERY, ids=str)
def test_every_command_is_run(command: Typed) -> None:
    """Each command of a block is run by a named test, or has a reason why not."""
    assert command.listed_in(RUN_BY) or command.listed_in(NOT_RUN), (
        f"{command}\nNo test runs this. Let one run it, and name it in RUN_BY of tests/docs/test_commands.py; or say in"
        " NOT_RUN why none does."
    )


def test_the_tables_are_up_to_date() -> None:
    """Each row of the tables is of a command that is there, and each test that is named exists."""
    for table_ in (RUN_BY, NOT_RUN):
        for page, begins in table_:
            assert any(one.page == page and one.line.startswith(begins) for one in EVERY), (page, begins)
    for place in RUN_BY.values():
        file, _, test = place.partition("::")
        assert f"def {test}" in (PROJECT / file).read_text() if test else (PROJECT / file).is_file(), place


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_named_exists(page: Path) -> None:
    """Each verb and option of `defray`, each target of make, each setting and each file that a page names is there."""
    wrong = [*wrong_verbs(page), *wrong_targets(page), *wrong_settings(page)]
    if name_of(page.parent) not in HISTORY:
        wrong += wrong_files(page)
    assert wrong == []


def wrong_verbs(page: Path) -> Iterator[str]:
    for span in spans(page):
        if not re.match(r"(\.venv/bin/)?defray [a-z-]", span) or "|" in span:
            continue
        try:
            verb, rest = verb_of(words_of(span.replace("'", "").replace('"', "")))
        except LookupError as error:
            yield f"{span}: {error}"
            continue
        for option in (word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)):
            if option not in options_of(verb) and verb.name != "sandbox":
                yield f"{span}: no option {option}"


def wrong_targets(page: Path) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = [*spans(page), *(text for _, text in blocks(page))]
    for text in named:
        for target in re.findall(r"(?:^|\n)make ([a-z][a-z-]*)", text):
            if target not in targets:
                yield f"make {target}: no such target"


def wrong_settings(page: Path) -> Iterator[str]:
    known = {str(row["variable"]) for row in table()}
    known |= {f"{name}_FILE" for name in known}
    for name in set(re.findall(r"\bDEFRAY_[A-Z][A-Z_]*[A-Z]\b", page.read_text())):
        if name in known | MISTYPED or name.startswith(("DEFRAY_TEST_", "DEFRAY_TINPAY_", "DEFRAY_RECEIVABLES")):
            continue
        if not any(one.startswith(f"{name}_") for one in known):  # of `DEFRAY_SOMETHING_*`
            yield f"{name}: no such setting"


def wrong_files(page: Path) -> Iterator[str]:
    for span in spans(page):
        name = span.rstrip("/")
        if not re.fullmatch(r"[\w*.-]+(?:/[\w*.-]+)+/?|[\w-]+\.(?:py|md|yml|toml)", span):
            continue
        if span.startswith(MADE) or name in KEPT_ELSEWHERE or not (SUFFIX.search(span) or is_folder(span)):
            continue
        if not (any(list(place.glob(name)) for place in (PROJECT, page.parent)) or name in names()):
            yield f"{span}: no such file"


def is_folder(span: str) -> bool:
    """Whether it begins with a folder of ours; what does not is a media type, say."""
    return (PROJECT / span.partition("/")[0]).is_dir()


@cache
def names() -> set[str]:
    """The names of all files: a page may name one alone where it is clear which is meant."""
    folders = (path for path in PROJECT.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {path.name for folder in folders for path in folder.rglob("*.*")} | {path.name for path in PROJECT.iterdir()}
