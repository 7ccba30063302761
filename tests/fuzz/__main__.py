"""`python -m tests.fuzz [NAME ...] --minutes 10`: fuzz each parser for so long (`make fuzz`)."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import atheris

from tests.fuzz.parsers import NAMES, corpus_of

_CODE = ["gateways", "reports", "rules", "producer", "webhooks", "web", "urllib", "csv", "tests.fuzz"]
_LENGTH_MAX = 1 << 13
"""Bytes of an input; what takes longer than ten seconds for so little takes more than linear time."""


def main() -> int:
    """Fuzz what is named, else everything, each in a process of its own; the first find ends it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="NAME")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--grown", type=Path, help="a folder that keeps the inputs which were found")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        _fuzz(asked.one, int(asked.minutes * 60), asked.grown)
    with tempfile.TemporaryDirectory() as otherwise:
        grown = asked.grown or Path(otherwise)
        for name in asked.names or NAMES:
            command = [sys.executable, "-m", "tests.fuzz", "--one", name, "--minutes", str(asked.minutes)]
            if subprocess.run([*command, "--grown", grown], check=False).returncode:
                return 1
    return 0


def _fuzz(name: str, seconds: int, grown: Path) -> None:
    """Never comes back: libFuzzer ends the process, with 77 after a find."""
    (grown / name).mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=_CODE):
        check = import_module(f"tests.fuzz.{name}").check
        check(b"\0")  # what is imported at first use counts, too
    arguments = [
        *(f"-max_total_time={seconds}", f"-max_len={_LENGTH_MAX}", "-timeout=10", "-rss_limit_mb=2048"),
        *("-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={grown}/{name}-"),
    ]
    atheris.Setup([sys.argv[0], *arguments, str(grown / name), str(corpus_of(name))], check)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
