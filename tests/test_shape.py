"""The project as a whole: what no test of a part can see."""

from __future__ import annotations

import ast
import importlib.util
import re
import socket
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

PROJECT = Path(__file__).parents[1]
NO_PARTS: Final = {"bench", "build", "docs", "examples", "tests"}
"""Folders that are no part of the program."""

RULES: Final = (
    *(f"R{number}" for number in range(1, 19)),
    "R8a",
    *(
        f"{letter}{number}"
        for letter, last in {"E": 7, "B": 3, "C": 4, "D": 4}.items()
        for number in range(1, last + 1)
    ),
)
"""Every numbered rule of the design."""

NOT_YET_TOLD: Final[dict[str, str]] = {}
"""Rules without a test, each with the reason."""

CASES: Final = {f"B{number:02}" for number in range(1, 80)}
"""Cases seen elsewhere; two digits tell them from the books' rules B1 to B3."""

HANDED_ON: Final = {"Connection", "Engine", "OperationalError", "SQLAlchemyError"}
"""What those may name of SQLAlchemy who write no SQL."""

FLOATS_ALLOWED: Final = {
    "rules/redaction.py": "looks for card numbers in floats, too",
    "rules/retry.py": "spreads a wait by a share of it",
}
"""Files near money that may name a float, each with the reason."""


def parts() -> list[Path]:
    """The top-level folders of the program."""
    return sorted(path.parent for path in PROJECT.glob("*/__init__.py") if path.parent.name not in NO_PARTS)


def settings_of(tool: str) -> Any:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"][tool]


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            yield path.relative_to(PROJECT).as_posix(), ast.parse(path.read_text())


def docstrings_of_tests() -> Iterator[tuple[str, str]]:
    """Each test's place and docstring."""
    for place, tree in sources("tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{place}:{node.lineno}", ast.get_docstring(node) or ""


def cited(docstring: str) -> set[str]:
    return set(re.findall(r"\b[REBCD]\d{1,3}a?\b", docstring))


def test_every_part_has_its_place() -> None:
    """Every top-level folder stands in the one-way contract: a new one must be given its place there."""
    one_way = next(contract for contract in settings_of("importlinter")["contracts"] if contract["type"] == "layers")
    placed = {name.strip() for layer in one_way["layers"] for name in layer.split("|")}
    assert placed == {path.name for path in parts()}
    assert set(settings_of("importlinter")["root_packages"]) == placed


def test_every_part_is_packaged() -> None:
    """What is installed is what is in the folders: packages are named one by one, and none is forgotten."""
    packaged = settings_of("setuptools")
    folders = {
        path.parent.relative_to(PROJECT).as_posix().replace("/", ".")
        for part in parts()
        for path in part.rglob("__init__.py")
    }
    assert set(packaged["packages"]) == folders
    assert set(packaged["py-modules"]) == {path.stem for path in PROJECT.glob("*.py")} - {"bootstrap"}


def test_every_page_is_packaged() -> None:
    """What is installed holds the templates and static files of the console, and none is forgotten."""
    patterns = settings_of("setuptools")["package-data"]["web"]
    needed = [path for folder in ("static", "templates") for path in (PROJECT / "web" / folder).rglob("*")]
    packaged = {path for pattern in patterns for path in (PROJECT / "web").glob(pattern)}
    assert {path for path in needed if path.is_file()} == {path for path in packaged if path.is_file()}


def test_every_picture_is_there() -> None:
    """Every picture that a page of the docs shows is there, and every one of the console is shown by its page."""
    pages = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]
    shown = {page: re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text()) for page in pages}
    assert [name for page, names in shown.items() for name in names if not (page.parent / name).is_file()] == []
    of_console = {f"img/{path.name}" for path in (PROJECT / "docs/img").glob("console-*.png")}
    assert of_console == set(shown[PROJECT / "docs/console.md"])


def test_common_words_are_ours() -> None:
    """Folders have common words for names: importing one gives ours, not another project's."""
    for part in parts():
        spec = importlib.util.find_spec(part.name)
        assert spec is not None
        assert spec.origin == str(part / "__init__.py")
    assert not {path.name for path in parts()} & set(sys.stdlib_module_names)


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt", "requirements-attack.txt"])
def test_locks_name_no_place(lock: str) -> None:
    """A lock names packages and hashes, no index and no path: it works wherever packages come from."""
    text = (PROJECT / lock).read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert not re.search(r"^(-e|-f|--index|--extra-index|--find-links|/|\.)", text, re.MULTILINE)


def test_every_test_says_what_it_shows() -> None:
    """Each test has a docstring that is a sentence."""
    silent = [place for place, docstring in docstrings_of_tests() if not docstring.rstrip().endswith((".", "?", "!"))]
    assert silent == []


def test_every_rule_is_told() -> None:
    """Each numbered rule of the design is cited by a test, or has a reason why not."""
    told = {number for _, docstring in docstrings_of_tests() for number in cited(docstring)}
    assert set(RULES) - told - set(NOT_YET_TOLD) == set(), "these rules have no test that cites them"
    assert told & set(NOT_YET_TOLD) == set(), "these rules are told by now: take them off the list"


def test_no_unknown_rule_is_told() -> None:
    """No test cites a number that does not exist."""
    known = CASES | set(RULES)
    unknown = {place: cited(docstring) - known for place, docstring in docstrings_of_tests()}
    assert {place: numbers for place, numbers in unknown.items() if numbers} == {}


def test_no_float_near_money() -> None:
    """B26: rules, books and tables reckon in whole minor units: no float, and no division that makes one."""
    found = [
        f"{place}:{node.lineno}"
        for place, tree in sources("rules", "books", "models")
        if place not in FLOATS_ALLOWED
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div))
    ]
    assert found == []


def test_sql_is_written_where_tables_are() -> None:
    """SQL is written in models, books and vault; others open transactions and hand them on, and need no more."""
    found = {
        f"{place}:{node.lineno}": {alias.name for alias in node.names} - HANDED_ON
        for place, tree in sources("cli", "producer", "tasks", "web", "worker")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
    }
    assert {place: names for place, names in found.items() if names} == {}


def test_tests_reach_loopback_only() -> None:
    """The guard around the tests holds: no name is resolved, no other machine is reached."""
    with pytest.raises(socket.gaierror, match="tests resolve no names"):
        socket.create_connection(("payflow.example", 443))
    with socket.socket() as outgoing, pytest.raises(AssertionError, match="tests reach loopback only"):
        outgoing.connect(("192.0.2.1", 443))


def test_the_page_of_rules_leads_to_what_it_names() -> None:
    """docs/rules.md: every file it names exists, and every test file it names cites the rule of its row."""
    rows = [line for line in (PROJECT / "docs/rules.md").read_text().splitlines() if line.startswith("| **")]
    assert len(rows) > 30
    for row in rows:
        numbers = re.findall(r"\*\*([A-Z]\d+a?)\*\*", row)
        for name in re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", row):
            path = PROJECT / name
            assert path.exists(), f"{numbers[0]} names {name}, which does not exist"
            if name.startswith("tests/"):
                cited = path.read_text()
                assert any(re.search(rf"\b{number}\b", cited) for number in numbers), (
                    f"{name} does not tell {numbers[0]}"
                )
