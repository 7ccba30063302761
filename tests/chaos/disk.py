"""A small disk for the database, so that it can be filled: a tmpfs in a mount namespace that ends with the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from local.postgres import Postgres

SIZE: Final = "2g"
_OWN: Final = "CHAOS_OWN_MOUNTS"
_BALLAST: Final = "ballast"
_PIECE: Final = bytes(1 << 20)


def own_mounts(argv: list[str]) -> None:
    """Run this program again where its mounts are its own; where that cannot be, go on without."""
    if os.environ.get(_OWN) or os.geteuid() != 0 or not shutil.which("unshare"):
        return
    may = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    if may:
        os.environ[_OWN] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, "-m", "tests.chaos", *argv])


def mount(postgres: Postgres) -> str:
    """Give the database a disk of its own; what hinders it, if anything does."""
    if not os.environ.get(_OWN):
        return "its disk is not filled: no file system can be mounted here (that needs root and `unshare --mount`)"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", str(folder(postgres))],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"its disk is not filled: {made.stderr.strip()}" if made.returncode else ""


def unmount(postgres: Postgres) -> None:
    """Take it away, where there is one."""
    if os.path.ismount(folder(postgres)):
        subprocess.run(["umount", str(folder(postgres))], check=True)


def fill(postgres: Postgres) -> int:
    """Leave no room; returns how many MiB were free."""
    filled = 0
    with (folder(postgres) / _BALLAST).open("wb", buffering=0) as ballast:
        try:
            while ballast.write(_PIECE) == len(_PIECE):
                filled += 1
        except OSError:
            return filled
    return filled


def empty(postgres: Postgres) -> None:
    """Make room again."""
    (folder(postgres) / _BALLAST).unlink(missing_ok=True)


def folder(postgres: Postgres) -> Path:
    """Where the database's data and write-ahead log are."""
    return postgres._folder
