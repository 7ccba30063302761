"""A crash writes no memory to a disk."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.plant import PROJECT

_PATTERN = Path("/proc/sys/kernel/core_pattern")


def left_by(aborting: str, folder: Path) -> list[str]:
    """The files that a process leaves which is allowed to dump its memory, and aborts."""
    folder.mkdir()
    may = "import resource, os; resource.setrlimit(resource.RLIMIT_CORE, (1_000_000, 1_000_000))"
    argv = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n{may}\n{aborting}\nos.abort()"]
    ended = subprocess.run(argv, cwd=folder)
    assert ended.returncode == -signal.SIGABRT
    return [one.name for one in folder.iterdir()]


@pytest.mark.skipif(
    not _PATTERN.exists() or _PATTERN.read_text()[0] in "|/" or resource.getrlimit(resource.RLIMIT_CORE)[1] == 0,
    reason="this host writes no core dumps beside the process",
)
def test_a_process_that_aborts_leaves_no_core(tmp_path: Path) -> None:
    """C1: what crashes with cards in memory leaves nothing of it; without the ban it would."""
    assert left_by("", tmp_path / "allowed")
    assert left_by("from worker import core_dumps; core_dumps.forbid()", tmp_path / "forbidden") == []
