"""Telling a process of ours from a stranger that was given the same pid later."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

_PROC = Path("/proc")


def birth(pid: int) -> str | None:
    """Return a token of when the process began, or None where there is no such process.

    Two processes with one pid differ in it. A zombie counts as gone.
    """
    if _PROC.joinpath("self/stat").exists():
        try:
            after_name = _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        state, ticks_since_boot = after_name[0], after_name[19]
        boot = _PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()
        return None if state in "ZX" else f"{boot}/{ticks_since_boot}"
    return _ps(pid, "lstart")


def command_line(pid: int) -> str:
    """Return the command line of a process, its words separated by blanks; empty where it is gone."""
    if _PROC.joinpath("self/cmdline").exists():
        try:
            return _PROC.joinpath(str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    return _ps(pid, "command") or ""


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to the process group that `pid` leads; one that is gone is as good as signalled."""
    # A group of zombies only: Linux finds no process, macOS permits nothing.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def wait_until_gone(pid: int, born: str | None, seconds: float) -> bool:
    """Wait for the end of a process that need not be a child of ours; say whether it ended in time."""
    end = time.monotonic() + seconds
    while born is not None and birth(pid) == born:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _ps(pid: int, column: str) -> str | None:
    answer = subprocess.run(["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None
