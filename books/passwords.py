"""Passwords: kept as argon2id hashes only (RFC 9106, its second recommended parameters), never as they were given."""

from __future__ import annotations

import secrets
from functools import cache
from threading import BoundedSemaphore
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

_HASHER: Final = PasswordHasher()
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
_AT_ONCE: Final = BoundedSemaphore(4)  # each takes 64 MiB


def drawn() -> str:
    """A new password that can be read out: four groups of four, 79 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def hashed(password: str) -> str:
    """The hash of a password, with its salt and parameters."""
    return _HASHER.hash(password)


def verifies(password: str, password_hash: str | None) -> bool:
    """Whether it is the password; without a hash (no such user) no, in the same time."""
    try:
        with _AT_ONCE:
            return _HASHER.verify(password_hash or _nobodys(), password) and password_hash is not None
    except (VerifyMismatchError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return _HASHER.hash("a password that nobody has")
