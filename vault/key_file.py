"""The key file as a running process sees it: made once, checked against the database, taken anew where it changed.

A process that runs takes a new key at its next seal, without a restart. Where the file is lost, damaged or another one,
a process that runs goes on with the keys that it has, and one that starts says what to do and touches nothing.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine

from rules.errors import VaultClosed
from vault import known
from vault.keyring import Keyring
from vault.known import Known

_PUT_BACK: Final = (
    "Put back the copy of the key file that belongs to this database; payments wait until then."
    " Only where every copy is lost: see docs/security.md."
)

_log = logging.getLogger(__name__)


class KeyFile:
    """The keyring of a file and the database that it guards; safe to use from several threads."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._keyring: Keyring | None = None

    def __repr__(self) -> str:
        return f"KeyFile({str(self.path)!r})"

    def keys(self) -> Keyring:
        """The keys as the file holds them now. Raises VaultClosed where there were none before and it is not right."""
        stamp = _stamp(self.path)
        keyring = self._keyring
        if keyring is not None and stamp == self._seen:
            return keyring
        with self._lock:
            if self._keyring is None:
                self._keyring = self._first()
                self._seen = _stamp(self.path)
            elif stamp != self._seen:
                self._seen = stamp
                self._keyring = self._later(self._keyring)
            return self._keyring

    def having(self, key_ids: Iterable[str]) -> Keyring:
        """The same, with these keys, too. Raises VaultClosed where one is not there that the database needs."""
        keyring = self.keys()
        if missing := [key_id for key_id in set(key_ids) if key_id not in keyring.ids]:
            with self._engine.connect() as conn:
                needed = {one.key_id for one in known.needed(conn)}
            if lacking := needed.intersection(missing):
                raise _lacks(self.path, lacking)
        return keyring

    @contextmanager
    def to_change(self) -> Iterator[Keyring]:
        """The keys as the file holds them, for a change that the block saves; no other process does meanwhile."""
        known_here = self.keys()
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            keyring = Keyring.load(self.path)
            if known_here.followed_by(keyring) is None:
                raise _another(self.path)
            yield keyring
        finally:
            os.close(folder)

    def _first(self) -> Keyring:
        with self._engine.begin() as conn:
            known.lock(conn)
            needed = known.needed(conn)
            # Where the database knows no key, nothing was ever sealed: only then a file may be made.
            keyring = _fitting(self.path, needed) if needed else Keyring.load_or_create(self.path)
            known.show(conn, keyring, {keyring.current, *(one.key_id for one in needed)})
        return keyring

    def _later(self, before: Keyring) -> Keyring:
        try:
            keyring = before.followed_by(Keyring.load(self.path))
        except VaultClosed as reason:
            _log.error("%s The keys read before are used until this process ends.", reason)
            return before
        if keyring is None:
            _log.error("%s is another key file now; the keys read before are used until this process ends.", self.path)
            return before
        return keyring


def is_needed(conn: Connection) -> bool:
    """Whether something is sealed here, so that no new key file may be made."""
    return bool(known.needed(conn))


def check(path: Path, conn: Connection) -> Keyring:
    """The keys of a file that is there. Raises VaultClosed where it is not right for this database; makes nothing."""
    return _fitting(path, known.needed(conn))


def readable(path: Path) -> Keyring | None:
    """The keys of a file, whichever database they guard; None where there are none to be read."""
    try:
        return Keyring.load(path)
    except VaultClosed:
        return None


def _fitting(path: Path, needed: Sequence[Known]) -> Keyring:
    keyring = Keyring.load(path)
    if lacking := [one.key_id for one in needed if one.key_id not in keyring.ids]:
        raise _lacks(path, lacking)
    if not all(known.fits(one, keyring) for one in needed):
        raise _another(path)
    return keyring


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode


def _lacks(path: Path, key_ids: Iterable[str]) -> VaultClosed:
    return VaultClosed(
        f"The vault's key file {path} lacks {', '.join(sorted(key_ids))}, by which this database is sealed.", _PUT_BACK
    )


def _another(path: Path) -> VaultClosed:
    return VaultClosed(
        f"The vault's key file {path} is damaged, or another one than this database was sealed by.", _PUT_BACK
    )
