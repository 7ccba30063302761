"""Issue 9, item 9: the tutorial is true: what it has its reader type is typed here, and says what it says there."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Desk, desk
from tests.docs.test_commands import PROJECT, blocks
from tests.flows.conftest import house, sandbox, sandbox_process

__all__ = ["desk", "house", "sandbox", "sandbox_process"]

PAYMENT = re.compile(r"(?<=Payment )\d+")


def test_the_tutorial(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of docs/tutorial.md, in order, on a system at work: every line that the page shows is said."""
    monkeypatch.chdir(tmp_path)
    ids: dict[str, str] = {}  # a payment's number on the page, and here
    session = "".join(text for language, text in blocks(PROJECT / "docs/tutorial.md") if language == "console")
    steps = re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert len(steps) > 10
    with desk.at_work():
        for command, shown in steps:
            given, _, words = command.rpartition(" | ")
            if not words.startswith(".venv/bin/defray "):
                subprocess.run(["sh", "-ec", command], check=True)
                continue
            typed = [ids.get(word, word) for word in shlex.split(words)[1:]]
            said = desk.run(*typed, given=shlex.split(given)[1] if given else "")
            assert said.exit_code == 0, said.output
            for line in shown.splitlines():
                here = PAYMENT.search(said.output)
                if (there := PAYMENT.search(line)) and here:
                    ids.setdefault(there[0], here[0])
                expected = PAYMENT.sub(lambda found: ids[found[0]], line)
                assert expected in said.output, f"{command}\n{said.output}"
    assert len(ids) == 2
