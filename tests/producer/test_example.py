"""The example of an upstream app is a program that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.producer.office import Office

PROJECT = Path(__file__).parents[2]


def run(database_url: str, redis_url: str, key_file: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run the example as its reader would."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "DEFRAY_DATABASE_URL": database_url,
        "DEFRAY_REDIS_URL": redis_url,
        "DEFRAY_KEY_FILE": str(key_file),
    }
    command = [sys.executable, str(PROJECT / "examples" / "upstream_app.py"), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert not ended.stderr
    return ended.returncode, ended.stdout.splitlines()


def test_an_upstream_app(office: Office, database_url: str, redis_url: str, tmp_path: Path) -> None:
    """R9, R15: it previews and pays, hands in a batch, and run again it repeats itself without harm."""
    office.bill("C-1", {"7": 5000, "8": 7000})
    where = (database_url, redis_url, tmp_path / "keys.json")
    status, told = run(*where, "C-1", "60.00", "8", "7")
    assert status == 0
    assert told[:2] == ["would apply 60.00 USD to invoice 8", "would leave a credit of 0.00 USD"]
    assert told[2].endswith("was recorded")
    assert told[3].endswith("1000 recorded, 0 before, 0 refused")
    status, told = run(*where, "C-1", "60.00", "8", "7")
    assert status == 0
    assert told[2].endswith("had been recorded before")
    assert told[3].endswith("0 recorded, 1000 before, 0 refused")
    assert office.count("payments") == 1_001
    status, told = run(*where, "C-404", "60.00")
    assert (status, told) == (
        1,
        ["customer (C-404): no such customer. Compare the number, or record the customer first"],
    )
