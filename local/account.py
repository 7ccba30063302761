"""The system account that servers run under when we are root, and the folders that it can reach.

PostgreSQL refuses to run as root. Opening a private folder to another account would be the wrong mend, so
binaries and data go where any account may pass: below /var/lib/defray.
"""

import contextlib
import hashlib
import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

ROOT_FOLDER = Path("/var/lib/defray")
_CANDIDATES = ("postgres", "daemon", "nobody")


class PopenAs(TypedDict, total=False):
    """The arguments by which `subprocess` starts a process under an account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """An account without privileges."""

    name: str
    uid: int
    gid: int


def service_account() -> Account | None:
    """Return the account to run servers under, or None where our own will do (we are not root).

    Raises LookupError where we are root and none of the usual accounts exists.
    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise LookupError(
        f"running as root, and none of the accounts {', '.join(_CANDIDATES)} exists: "
        "make one (`useradd --system postgres`) or run as a normal user"
    )


def popen_as(account: Account | None) -> PopenAs:
    """Return the arguments that make `subprocess` use the account."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def data_folder(home: Path, name: str, account: Account | None) -> Path:
    """Return the folder for the data of one server of this home; made where missing.

    For an account of its own it lies below /var/lib/defray, under a name drawn from the home's path and a
    random mark kept in the home: neither a copied home nor one made anew at the same path finds another's data.
    """
    if account is None:
        folder = home / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
    mark = remembered(home / f"{name}.mark", lambda: secrets.token_hex(8))
    digest = hashlib.sha256(f"{home}\n{mark}".encode()).hexdigest()[:16]
    folder = ROOT_FOLDER / f"{name}-{digest}"
    _public_folder(folder)
    remembered(folder / "belongs-to", lambda: str(home))
    return folder


def reachable_copy(name: str, *sources: Path) -> Path:
    """Return a folder with copies of these folders that every account can read and run; made once a name."""
    target = ROOT_FOLDER / name
    if target.exists():
        return target
    _public_folder(ROOT_FOLDER)
    with tempfile.TemporaryDirectory(dir=ROOT_FOLDER, prefix=f".{name}-") as scratch:
        made = Path(scratch) / name
        for source in sources:
            shutil.copytree(source, made / source.name, symlinks=True)
        for path in (made, *made.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            made.rename(target)
        except OSError:
            # Another start was quicker; its copy is as good.
            if not target.exists():
                raise
    return target


def remembered(path: Path, draw: Callable[[], str]) -> str:
    """Return what the file says; where it is missing, draw a text and keep it there (0600).

    Of several processes that draw at once, one wins, and all return its text.
    """
    try:
        return path.read_text()
    except FileNotFoundError:
        scratch = _scratch(path, draw())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(scratch)
        scratch.unlink()
        return path.read_text()


def keep(path: Path, text: str) -> None:
    """Write a private file (0600) whole or not at all."""
    _scratch(path, text).rename(path)


def _scratch(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # made 0600
    with os.fdopen(handle, "w") as file:
        file.write(text)
    return Path(scratch)


def _public_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in (ROOT_FOLDER, folder):
        part.chmod(0o755)  # whatever the umask said
