"""The key file: made closed on first use, refused with a clear error where it is lost, open or wrong (C1)."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from rules.errors import CardUnavailable, SettingsError
from vault import Keyring

TOKEN = "card_AAAAAAAAAAAAAAAAAAAAAA"
DATA_KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place in a folder that is not there yet."""
    return tmp_path / "config" / "defray" / "keys.json"


def test_made_on_first_use_for_its_owner_only(path: Path) -> None:
    """C1: the file is made with mode 0600 in a folder with 0700, and found again."""
    made = Keyring.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.json"]
    key_id, wrapped = made.wrap(TOKEN, DATA_KEY)
    assert Keyring.load_or_create(path).unwrap(TOKEN, key_id, wrapped) == DATA_KEY


def test_first_use_by_many_at_once_makes_one_key(path: Path) -> None:
    """C1: processes that start together end with the same keys."""
    start = threading.Barrier(8)
    current: list[str] = []

    def first_use() -> None:
        start.wait(timeout=10)
        current.append(Keyring.load_or_create(path).current)

    threads = [threading.Thread(target=first_use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(current) == 8
    assert len(set(current)) == 1


def test_lost_file(path: Path) -> None:
    """C1: a lost key file is named, and no new one is made in its place."""
    with pytest.raises(SettingsError, match=r"keys\.json does not exist"):
        Keyring.load(path)
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_file_open_to_others(path: Path, mode: int) -> None:
    """C1: a key file that other users can read or write is refused, with the command that closes it."""
    Keyring.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=r"chmod 600 .*keys\.json"):
        Keyring.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"keys": {}, "current": "a", "fingerprint": ""}',
        json.dumps({"keys": {"a": "AAAA"}, "current": "a", "fingerprint": "A" * 43 + "="}).encode(),
        json.dumps({"keys": {"a": "A" * 43 + "="}, "current": "b", "fingerprint": "A" * 43 + "="}).encode(),
        json.dumps({"keys": {"a": 5}, "current": "a", "fingerprint": "A" * 43 + "="}).encode(),
        json.dumps({"keys": {"a": "é" * 44}, "current": "a", "fingerprint": "A" * 43 + "="}).encode(),
    ],
)
def test_wrong_file(path: Path, content: bytes) -> None:
    """C1: a file that is no key file is refused with what it should hold."""
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="is not one: it needs"):
        Keyring.load(path)


def test_unreadable_and_unwritable(path: Path) -> None:
    """C1: a folder in the place of the file, and a file in the place of the folder, are named."""
    path.mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"cannot be read: Is a directory"):
        Keyring.load(path)
    (path.parent / "file").touch()
    with pytest.raises(SettingsError, match=r"cannot be (read|written)"):
        Keyring.load_or_create(path.parent / "file" / "keys.json")


def test_rotation_keeps_the_old_keys(path: Path) -> None:
    """C1: after a rotation new data keys are wrapped with the new key, old ones still open, fingerprints stay."""
    old = Keyring.load_or_create(path)
    old_id, old_wrapped = old.wrap(TOKEN, DATA_KEY)
    more = old.with_next()
    assert (more.current, more.next) == (old_id, more.ids[-1])
    new = more.using(more.ids[-1])
    new.save(path)
    reloaded = Keyring.load(path)
    assert new.current == reloaded.current != old_id
    assert reloaded.unwrap(TOKEN, old_id, old_wrapped) == DATA_KEY
    assert reloaded.wrap(TOKEN, DATA_KEY)[0] == new.current
    assert reloaded.fingerprint("4111111111111111") == old.fingerprint("4111111111111111")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(CardUnavailable, match="not in the vault's key file"):
        old.unwrap(TOKEN, *new.wrap(TOKEN, DATA_KEY))


def test_wrapped_key_belongs_to_its_card() -> None:
    """C1: a wrapped key that was moved to another card, altered, or is of another file does not open."""
    keyring = Keyring.generate()
    key_id, wrapped = keyring.wrap(TOKEN, DATA_KEY)
    altered = bytes([*wrapped[:-1], wrapped[-1] ^ 1])
    stranger = Keyring({key_id: os.urandom(32)}, key_id, os.urandom(32))
    for keys, token, sealed in (
        (keyring, "card_other", wrapped),
        (keyring, TOKEN, altered),
        (keyring, TOKEN, b""),
        (stranger, TOKEN, wrapped),
    ):
        with pytest.raises(CardUnavailable, match="does not open"):
            keys.unwrap(token, key_id, sealed)


def test_keyring_shows_no_key() -> None:
    """C1: repr tells ids only."""
    key = bytes(range(32))
    shown = repr(Keyring({"a": key}, "a", key)) + str(Keyring({"a": key}, "a", key))
    assert shown == "Keyring(current='a', ids=['a'])" * 2


def test_fingerprints_are_keyed() -> None:
    """C1: equal numbers have equal fingerprints under one key, others under another key; none shows the number."""
    one, two = Keyring.generate(), Keyring.generate()
    assert one.fingerprint("4111111111111111") == one.fingerprint("4111111111111111")
    assert one.fingerprint("4111111111111111") != one.fingerprint("5555555555554444")
    assert one.fingerprint("4111111111111111") != two.fingerprint("4111111111111111")
    assert len(one.fingerprint("4111111111111111")) == 64
