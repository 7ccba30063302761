"""The vault's long-lived keys: key-encryption keys by id, one of them current, and the key of the fingerprints (C1).

They live in a file of the user's configuration, mode 0600, never beside the data. Lose it, and every stored card must
be asked for again: keep a copy where the database's backups are not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from rules.errors import CardUnavailable, VaultClosed
from vault.sealing import KEY_BYTES, seal, unseal
from vault.texts import SealedText

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Keyring:
    """Wraps and unwraps data keys, and makes fingerprints; shows no key."""

    def __init__(self, keys: Mapping[str, bytes], current: str, fingerprint_key: bytes) -> None:
        self._keys = dict(keys)
        self._fingerprint_key = fingerprint_key
        self.current = current

    def __repr__(self) -> str:
        return f"Keyring(current={self.current!r}, ids={sorted(self._keys)!r})"

    @classmethod
    def generate(cls) -> Keyring:
        """A keyring of new keys."""
        key_id = _new_id()
        return cls({key_id: secrets.token_bytes(KEY_BYTES)}, key_id, secrets.token_bytes(KEY_BYTES))

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """The keyring of a file. Raises VaultClosed where it is missing, unreadable, open to others or wrong."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read()
        except FileNotFoundError:
            raise VaultClosed(
                f"The vault's key file {path} does not exist.",
                "Put the copy of it back; only where no card is stored yet may a new one be made.",
            ) from None
        except OSError as reason:
            raise VaultClosed(
                f"The vault's key file {path} cannot be read: {reason.strerror}.",
                "Name a readable file in DEFRAY_KEY_FILE, owned by the user that runs Defray.",
            ) from None
        if mode & _OTHERS:
            raise VaultClosed(
                f"The vault's key file {path} is open to other users (mode {stat.S_IMODE(mode):04o}).",
                f"Close it: chmod 600 {path}",
            )
        return cls._parse(content, path)

    @classmethod
    def load_or_create(cls, path: Path) -> Keyring:
        """The keyring of a file, which is made on first use; of two processes at once both get the same one."""
        if not path.exists():
            cls.generate().save(path, replace=False)
        return cls.load(path)

    @property
    def ids(self) -> list[str]:
        """The ids of all keys, in the order in which they were made."""
        return list(self._keys)

    @property
    def next(self) -> str | None:
        """The key that was made last, where it is not in use yet."""
        last = self.ids[-1]
        return None if last == self.current else last

    def with_next(self) -> Keyring:
        """The same with one more key that seals nothing yet, unless it has one."""
        if self.next is not None:
            return self
        keys = {**self._keys, _new_id(): secrets.token_bytes(KEY_BYTES)}
        return Keyring(keys, self.current, self._fingerprint_key)

    def using(self, key_id: str) -> Keyring:
        """The same, sealing with another of its keys from now on."""
        return Keyring(self._keys, key_id, self._fingerprint_key)

    def without(self, key_ids: Iterable[str]) -> Keyring:
        """The same without keys that are not current."""
        gone = set(key_ids)
        kept = {key_id: key for key_id, key in self._keys.items() if key_id not in gone}
        return Keyring(kept, self.current, self._fingerprint_key)

    def followed_by(self, later: Keyring) -> Keyring | None:
        """What the file holds later, with the keys that it held before; None where that is another keyring."""
        same = all(later._keys.get(key_id, key) == key for key_id, key in self._keys.items())
        if not same or later._fingerprint_key != self._fingerprint_key:
            return None
        return Keyring({**self._keys, **later._keys}, later.current, self._fingerprint_key)

    def proof(self, key_id: str) -> tuple[bytes, bytes] | None:
        """What shows that this is the key of that id, and the one of the fingerprints; None where there is none."""
        key = self._keys.get(key_id)
        return None if key is None else (_proof(key, key_id), _proof(self._fingerprint_key, "fingerprint"))

    def keys(self) -> Keyring:
        """Itself: a keyring in memory does not change."""
        return self

    def having(self, _key_ids: Iterable[str]) -> Keyring:
        """Itself, whatever it has."""
        return self

    def wrap(self, token: str, data_key: bytes) -> tuple[str, bytes]:
        """The current key's id, and the data key wrapped with it for that card."""
        return self.current, seal(self._keys[self.current], data_key, f"key:{token}")

    def unwrap(self, token: str, key_id: str, wrapped: bytes) -> bytes:
        """The data key of a card. Raises CardUnavailable where its key is not in the file, or is another one."""
        if (key := self._keys.get(key_id)) is None:
            raise CardUnavailable(
                f"The card {token} was sealed with the key {key_id}, which is not in the vault's key file.",
                "Put back the key file that has it, or ask the customer for the card again.",
            )
        if (data_key := unseal(key, wrapped, f"key:{token}")) is None:
            raise CardUnavailable(
                f"The card {token} does not open with the key {key_id}: it is another key, or the row was altered.",
                "Put back the key file that belongs to this database, or ask the customer for the card again.",
            )
        return data_key

    def seal_text(self, text: str, purpose: str) -> SealedText:
        """A short secret under the current key; it opens for the same purpose only."""
        return SealedText(self.current, seal(self._keys[self.current], text.encode(), f"text:{purpose}"))

    def open_text(self, sealed: SealedText, purpose: str) -> str | None:
        """What was sealed; None where the key is not in the file, or it was altered or sealed for something else."""
        key = self._keys.get(sealed.key_id)
        plain = unseal(key, sealed.sealed, f"text:{purpose}") if key else None
        return None if plain is None else plain.decode()

    def fingerprint(self, number: str) -> str:
        """What tells whether two cards are the same without telling the number: HMAC-SHA256 in hex."""
        return hmac.new(self._fingerprint_key, number.encode(), hashlib.sha256).hexdigest()

    @classmethod
    def _parse(cls, content: bytes, path: Path) -> Keyring:
        try:
            data: dict[str, Any] = json.loads(content)
            keys = {str(key_id): _decoded(key) for key_id, key in data["keys"].items()}
            keyring = cls(keys, str(data["current"]), _decoded(data["fingerprint"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            keyring = None
        if keyring is None or keyring.current not in keyring._keys:
            raise VaultClosed(
                f"The vault's key file {path} is not one: it needs `keys`, `current` and `fingerprint`,"
                f" every key {KEY_BYTES} bytes in base 64.",
                "Put the copy of it back.",
            )
        return keyring

    def save(self, path: Path, *, replace: bool = True) -> None:
        """Write it to a file, which is there whole or as it was. Raises VaultClosed where it cannot be written."""
        content = json.dumps(
            {
                "current": self.current,
                "keys": {key_id: _encoded(key) for key_id, key in self._keys.items()},
                "fingerprint": _encoded(self._fingerprint_key),
            },
            indent=2,
        )
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes it 0600; the file appears under its name whole or not at all.
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(content + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                if replace:
                    Path(name).replace(path)
                else:
                    _link_unless_there(Path(name), path)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as reason:
            raise VaultClosed(
                f"The vault's key file {path} cannot be written: {reason.strerror}.",
                "Name another place in DEFRAY_KEY_FILE.",
            ) from None


def _link_unless_there(made: Path, path: Path) -> None:
    try:
        os.link(made, path)
    except FileExistsError:
        return  # another process was first: its keys count


def _proof(key: bytes, purpose: str) -> bytes:
    return hmac.new(key, f"proof:{purpose}".encode(), hashlib.sha256).digest()


def _new_id() -> str:
    return f"kek-{secrets.token_hex(4)}"


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _decoded(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not base 64") from None
    if len(key) != KEY_BYTES:
        raise ValueError("a key of another length")
    return key
