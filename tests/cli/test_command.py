"""The command itself: quick help, exit codes that mean something, errors that say how to mend them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli import manual
from local.ports import free_port
from tests import servers
from tests.cli.conftest import Desk

PROJECT = Path(__file__).parents[2]


def command(*words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The real command, in a process of its own."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("DEFRAY_")}
    return subprocess.run(
        [sys.executable, "-m", "cli", *words],
        cwd=PROJECT,
        env={**environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_help_is_quick(tmp_path: Path) -> None:
    """`defray --help` loads nothing heavy, and tells the exit codes."""
    began = time.monotonic()
    said = command("--help", environment={"DEFRAY_HOME": str(tmp_path)})
    assert time.monotonic() - began < 5
    assert said.returncode == 0
    assert "3  database, broker or another part does not answer" in said.stdout
    version = command("--version", environment={"DEFRAY_HOME": str(tmp_path)})
    assert (version.returncode, version.stdout[:8]) == (0, "defray 0")
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, cli.main; print(*sys.modules)"], cwd=PROJECT, capture_output=True, text=True
    ).stdout.split()
    assert not {"sqlalchemy", "celery", "redis", "rich", "cryptography", "requests"} & set(loaded)


def test_a_command_that_is_not_understood(tmp_path: Path) -> None:
    """Exit code 2: a verb, an option or a value that there is not."""
    for words in (
        ["chrage"],
        ["status", "--btch", "1"],
        ["status", "one"],
        ["decide", "1", "perhaps", "--reason", "x"],
        ["explain", "9" * 30],
        ["status", "--batch", "1", "--rows", "-1"],
    ):
        said = command(*words, environment={"DEFRAY_HOME": str(tmp_path)})
        assert said.returncode == 2, said.stderr
        assert "Traceback" not in said.stderr


@pytest.mark.parametrize("verb", ["status", "audit", "migrate", "doctor"])
def test_servers_that_do_not_answer(tmp_path: Path, verb: str) -> None:
    """Exit code 3: the database is away; the message names the variable, and is no traceback."""
    port = free_port()
    servers = {
        "DEFRAY_HOME": str(tmp_path),
        "DEFRAY_DATABASE_URL": f"postgresql://me:secret-word@127.0.0.1:{port}/books",
        "DEFRAY_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "DEFRAY_KEY_FILE": str(tmp_path / "keys.json"),
    }
    said = command(verb, environment=servers)
    both = said.stdout + said.stderr
    assert said.returncode == 3, both
    assert "The database does not answer" in both
    assert "DEFRAY_DATABASE_URL" in both
    assert "Traceback" not in both
    assert "secret-word" not in both


def test_nothing_is_up(tmp_path: Path) -> None:
    """Exit code 3: no servers are named, and `defray up` does not run on this home."""
    said = command("status", environment={"DEFRAY_HOME": str(tmp_path)})
    assert said.returncode == 3
    assert "run `defray up`" in said.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    """Exit code 1: the variable, its value and what is expected are named."""
    said = command("status", environment={"DEFRAY_HOME": str(tmp_path), "DEFRAY_LANES": "many"})
    assert said.returncode == 1
    assert "DEFRAY_LANES is 'many'; expected: a whole number from 1 to 64." in said.stderr


def test_a_database_without_tables(tmp_path: Path, redis_url: str, shared_servers: servers.Servers) -> None:
    """A database that was never migrated is told from one that is away, and `defray migrate` mends it."""
    with servers.empty_database(shared_servers, f"defray_bare_{shared_servers.slot}") as url:
        given = {"DEFRAY_HOME": str(tmp_path), "DEFRAY_DATABASE_URL": url, "DEFRAY_REDIS_URL": redis_url}
        given["DEFRAY_KEY_FILE"] = str(tmp_path / "keys.json")
        said = command("status", environment=given)
        assert said.returncode == 1
        assert "Run `defray migrate`." in said.stderr
        assert command("migrate", environment=given).returncode == 0
        assert command("audit", environment=given).stdout == "The books hold: 20 invariants, nothing found.\n"


def test_errors_in_json(desk: Desk) -> None:
    """With --json an error is JSON, too, on standard error, and standard output stays empty."""
    said = desk.run("status", 7, "--json")
    assert (said.exit_code, said.stdout) == (1, "")
    assert '"error": "There is no payment 7."' in said.stderr


def test_settings_are_shown(desk: Desk) -> None:
    """`defray settings` prints the documented table; with --json one entry a setting."""
    assert desk.run("settings").output == (PROJECT / "docs" / "settings.md").read_text()
    entries = desk.ask("settings")
    assert {"variable": "DEFRAY_LANES"}.items() <= next(e for e in entries if e["variable"] == "DEFRAY_LANES").items()


def test_the_manual_is_up_to_date() -> None:
    """docs/cli.md says what the command says: `python -m cli.manual > docs/cli.md` makes it."""
    assert (PROJECT / "docs" / "cli.md").read_text() == manual.manual()


def test_the_sandbox_starts_alone(tmp_path: Path) -> None:
    """`defray sandbox` hands its options on."""
    said = command("sandbox", "--help", environment={"DEFRAY_HOME": str(tmp_path)})
    assert said.returncode == 0
    assert "--any-amount" in said.stdout


def test_doctor_finds_an_open_key_file(desk: Desk) -> None:
    """C1: a key file that others can read is found, with the command that closes it."""
    key_file = Path(desk.environment["DEFRAY_KEY_FILE"])
    key_file.chmod(0o644)
    said = desk.run("doctor")
    assert said.exit_code == 1
    assert f"chmod 600 {key_file}" in said.stdout


def test_what_runs_on_the_home_is_found(desk: Desk, tmp_path: Path) -> None:
    """A second terminal needs no variables: what `defray up` keeps running is found by DEFRAY_HOME."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "running.json").write_text(json.dumps(desk.environment))
    said = command("status", "--json", environment={"DEFRAY_HOME": str(home)})
    assert said.returncode == 0, said.stderr
    elsewhere = {"DEFRAY_HOME": str(home), "DEFRAY_DATABASE_URL": "postgresql://me@127.0.0.1:1/other"}
    assert command("status", environment=elsewhere).returncode == 3
