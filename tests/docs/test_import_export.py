"""Issue 9, item 5: what docs/import-export.md has its reader type is typed here, and says what it says there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from beancount import loader

from tests.cli.conftest import Desk, desk
from tests.docs.test_commands import PROJECT, blocks
from tests.flows.conftest import house, sandbox, sandbox_process

__all__ = ["desk", "house", "sandbox", "sandbox_process"]

PAGE = PROJECT / "docs/import-export.md"
LEAVES_SOMETHING = "import remittances"


def test_every_line_of_the_page(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's files and commands, in order: every line that it shows is said."""
    monkeypatch.chdir(tmp_path)
    files = [text for language, text in blocks(PAGE) if language in {"csv", "bai"}]
    for name, content in zip(("customers.csv", "invoices.csv", "lockbox.bai"), files, strict=True):
        Path(name).write_text(content)
    session = "".join(text for language, text in blocks(PAGE) if language == "console")
    steps = re.findall(r"^\$ defray (.+)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert len(steps) == session.count("$ ")
    for command, shown in steps:
        said = desk.run(*shlex.split(command))
        assert said.exit_code == (1 if command.startswith(LEAVES_SOMETHING) else 0), said.output
        assert said.stdout.startswith(shown.partition("\n")[0])
        for line in shown.splitlines():
            assert line in said.stdout.splitlines(), f"{command}\n{said.stdout}"
    desk.house.post(desk.house.row("SELECT max(id) AS id FROM batches").id)
    assert desk.house.invoices("C-1") == {"A-1": ("paid", 0), "A-2": ("paid", 0)}
    _, errors, _ = loader.load_file(str(tmp_path / "journal.beancount"))
    assert errors == []
