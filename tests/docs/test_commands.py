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
    ("sandbox/README.md", "python -m sandbox"): "tests/docs/test_sessions.py::test_sandbox",
    ("sandbox/README.md", "curl"): "tests/docs/test_sessions.py::test_sandbox",
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

SPOKEN_RUN_BY: Final = {
    "make run": "tests/local/test_everything.py::test_up_until_ctrl_c",
    "make run ONCE=1": "tests/cli/test_main_job.py",
    "make test": "tests/local/test_setup.py::test_make_test_is_every_check",
    "make docs": "tests/docs/test_site.py::test_make_docs_is_strict",
    "make secrets": "tests/local/test_compose.py::test_secrets_used_are_defined_and_drawn",
    "make clean": "tests/local/test_up.py",
    "make simulate": "tests/simulation/test_simulation.py::test_every_rule_holds_whatever_happens",
    "make simulate-bugs": "tests/simulation/test_simulation.py::test_a_deliberate_bug_is_found",
    "make race": "tests/concurrency/test_serial.py::test_at_once_is_as_one_by_one",
    "make chaos": "tests/chaos/test_chaos.py::test_short_seeds",
    "make fuzz": "tests/fuzz/test_corpus.py::test_what_was_found_before",
    "python -m cli.manual": "tests/cli/test_command.py::test_the_manual_is_up_to_date",
    "python -m docs.api": "tests/api/test_docs.py::test_the_page_is_up_to_date",
    "python -m docs.errors": "tests/docs/test_site.py::test_the_page_of_errors_is_up_to_date",
    "python -m docs.events": "tests/webhooks/test_api.py",
    "python -m docs.gateways": "tests/gateways/test_registry.py::test_table_of_all",
    "python -m docs.states": "tests/rules/test_states.py::test_the_drawing_in_the_docs_is_made_from_the_table",
    "python -m settings": "tests/test_settings.py::test_documentation_is_up_to_date",
    "python -m sandbox": "tests/sandbox/test_sandbox_books.py",
    "python -m web": "tests/web/test_process.py::test_ends_while_somebody_follows",
    "python -m worker.flower": "tests/faults/test_compose_processes.py::test_commands_of_the_compose_file",
    "celery -A worker.app": "tests/faults/test_compose_processes.py::test_commands_of_the_compose_file",
}
"""Which test runs what prose tells somebody to type on any page, or the same for a shorter time; `defray` apart."""

SPOKEN_NOT_RUN: Final = {
    "make prove": "takes an hour; it is three others, each of which has a test",
    "make soak": "takes an hour; test_chaos.py has the same load and faults for seconds",
    "make bench": "measures, for minutes, and asks the package index for the peers",
    "make bounds": "takes minutes, and asks the package index",
    "make lock": "asks the package index; test_setup.py holds the locks to pyproject.toml",
    "make audit-packages": "asks PyPI",
    ".venv-bench/bin/python": "measures, and needs the peers that `make bench` installs",
    "python bench/": "measures",
    "python -m docs.console_shots": "takes pictures for the pages, which nothing compares",
    "python -m tests.released": "writes the record of a release; test_released.py reads it",
    ".venv/bin/python -m http.server": "is Python's own",
    "celery -A worker.app inspect ping": "is Celery's own; the health checks of the compose file ask the same",
    "git grep": "is git's own",
    "docker compose": "needs Docker; test_compose_processes.py starts the same commands as plain processes",
    "kubectl": "needs a cluster; test_kubernetes.py checks the manifests by their schema",
    "systemctl": "needs systemd as the first process; test_systemd.py checks the units",
    "pip install": "asks the package index; test_wheel.py installs without",
    "pipx install": "asks the package index",
    "uv tool install": "asks the package index",
    "python3 -m venv /opt/defray": "asks the package index; test_wheel.py makes one elsewhere",
}
"""What no test runs of that, each with the reason."""

OPTIONS_NOT_TYPED: Final = {
    (
        "up",
        "--bare",
    ): "starts everything for seconds, as test_everything.py does with the sample job, which this leaves out",
}
"""Options of `defray` that no test types, each with the reason."""

SHELLS: Final = {"", "console", "sh", "bash", "shell"}
PROGRAMS: Final = re.compile(
    r"(?:\S*/)?(?:make|defray|curl|python3?|pip|pipx|uv|docker|kubectl|helm|systemctl|journalctl|celery|psql|pg_\w+|createdb|"
    r"redis-cli|valkey-cli|git|export|printf|echo|cat|cp|mv|rm|mkdir|install|sudo|apt-get|dnf)(?: |$)|\w+=\$\("
)
"""How a line of a block begins that somebody types; in a block of the console, `$ ` says so."""

TYPED: Final = re.compile(
    r"""(?:\b(?:run|ask|command)\((?:\w+,\s*)?|[=(\[]\s?[(\[]|"cli",\s*|defray,\s*\[)"([a-z-]+)"(?:,\s*"([a-z-]+)")?"""
)
"""How a test types a verb of `defray`: a command of one or two words."""

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


def listed(line: str, places: dict[str, str]) -> str | None:
    """What a table says of a command of prose; the longest beginning counts."""
    found = [begins for begins in places if line.startswith(begins)]
    return places[max(found, key=len)] if found else None


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


SPOKEN: Final = sorted(
    {
        span
        for page in PAGES
        for span in spans(page)
        if PROGRAMS.match(span) and " " in span and not re.match(r"(?:\S*/)?defray ", span)
    }
)
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


def test_every_command_of_prose_is_run() -> None:
    """What a sentence tells somebody to type is run by a named test, too, or has a reason why not."""
    assert [line for line in SPOKEN if not (listed(line, SPOKEN_RUN_BY) or listed(line, SPOKEN_NOT_RUN))] == []


def test_every_verb_is_typed() -> None:
    """Each verb of `defray` is typed by a test: no page can name one that none runs."""
    typed_there = set(TYPED.findall(sources()))
    pages = [words_of(one.line) for one in EVERY if one.listed_in(RUN_BY) and "defray " in one.line]
    typed_there |= {(words[0], words[1] if len(words) > 1 else "") for words in pages}
    known = typed_there | {(first, "") for first, _ in typed_there}
    assert [verb for verb in verbs(defray) if (*verb, "")[:2] not in known] == []


def test_every_option_is_typed() -> None:
    """Each option of docs/cli.md is typed by a test, in one of its names."""
    typed_there = set(re.findall(r"""["' ](--?[a-z][a-z-]*)(?=["' =])""", sources()))
    typed_there |= {word for one in EVERY if one.listed_in(RUN_BY) for word in one.line.split()}
    never = [
        (" ".join(verb), option.opts[0])
        for verb in verbs(defray)
        for option in verb_of(list(verb))[0].params
        if isinstance(option, click.Option) and not typed_there & {*option.opts, *option.secondary_opts}
    ]
    assert sorted(never) == sorted(OPTIONS_NOT_TYPED)


@cache
def sources() -> str:
    """All tests but this file, which names what none types."""
    return "\n".join(path.read_text() for path in (PROJECT / "tests").rglob("*.py") if path != Path(__file__))


def verbs(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    """Each verb that does something, in its words; a name that stands for an argument is none."""
    for name, command in group.commands.items():
        words = (*before, name) if name.islower() else before
        if isinstance(command, click.Group):
            yield from verbs(command, *words)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield words


def test_the_tables_are_up_to_date() -> None:
    """Each row of the tables is of a command that is there, and each test that is named exists."""
    for table_ in (RUN_BY, NOT_RUN):
        for page, begins in table_:
            assert any(one.page == page and one.line.startswith(begins) for one in EVERY), (page, begins)
    for begins in (*SPOKEN_RUN_BY, *SPOKEN_NOT_RUN):
        assert any(line.startswith(begins) for line in SPOKEN), begins
    assert not {*SPOKEN_RUN_BY} & {*SPOKEN_NOT_RUN}
    for place in (*RUN_BY.values(), *SPOKEN_RUN_BY.values()):
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
