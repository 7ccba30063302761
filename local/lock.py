"""One owner at a time: a lock that the kernel takes back when its owner dies, however it dies."""

import fcntl
import os
from pathlib import Path

from local.errors import LocalError


class AlreadyInUse(LocalError):
    """Another process owns what the lock guards."""


class OwnerLock:
    """A lock file that names its owner's pid."""

    def __init__(self, path: Path, guarded: str) -> None:
        """`guarded` names, in the error, what the lock guards."""
        self._path = path
        self._guarded = guarded
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise AlreadyInUse with the pid of the process that has it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 32).decode().strip() or "another process"
            os.close(handle)
            raise AlreadyInUse(
                f"{self._guarded} is in use by process {owner}: stop that one first (Ctrl-C, or kill {owner})"
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle

    def release(self) -> None:
        """Give the lock back; giving back what is not held is fine."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
