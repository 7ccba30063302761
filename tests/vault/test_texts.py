"""Short secrets under the vault's keys: bound to what they are for, and closed to everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from vault import Keyring, SealedText, unpacked


def test_sealed_and_opened() -> None:
    """A text opens again for its own purpose, and for no other; neither it nor the key shows in a repr."""
    keyring = Keyring.generate()
    sealed = keyring.seal_text("a secret", "two-factor secret of 1")
    assert keyring.open_text(sealed, "two-factor secret of 1") == "a secret"
    assert keyring.open_text(sealed, "two-factor secret of 2") is None
    assert b"a secret" not in sealed.sealed
    assert "sealed=" not in repr(sealed)


def test_never_a_data_key() -> None:
    """What wraps a card's data key does not open as a text, and the other way round."""
    keyring = Keyring.generate()
    key_id, wrapped = keyring.wrap("card_1", b"x" * 32)
    assert keyring.open_text(SealedText(key_id, wrapped), "card_1") is None
    assert keyring.open_text(SealedText(key_id, wrapped), "key:card_1") is None


def test_another_key_or_altered() -> None:
    """Another keyring, an unknown key, a flipped bit: None, without an exception that would hold on to a key."""
    keyring = Keyring.generate()
    sealed = keyring.seal_text("a secret", "p")
    flipped = bytes([sealed.sealed[0] ^ 1]) + sealed.sealed[1:]
    assert Keyring.generate().open_text(sealed, "p") is None
    assert keyring.open_text(SealedText("kek-other", sealed.sealed), "p") is None
    assert keyring.open_text(SealedText(sealed.key_id, flipped), "p") is None
    assert keyring.open_text(SealedText(sealed.key_id, b""), "p") is None


def test_after_a_rotation(tmp_path: Path) -> None:
    """What an earlier key sealed still opens; new ones are sealed by the current key."""
    path = tmp_path / "keys.json"
    first = Keyring.load_or_create(path)
    sealed = first.seal_text("a secret", "p")
    more = first.with_next()
    rotated = more.using(more.ids[-1])
    assert rotated.open_text(sealed, "p") == "a secret"
    assert rotated.seal_text("a secret", "p").key_id == rotated.current != sealed.key_id


def test_packed() -> None:
    """As one word it travels in a form or a cookie."""
    sealed = Keyring.generate().seal_text("a secret", "p")
    assert unpacked(sealed.packed()) == sealed
    assert set(sealed.packed()) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.")


@pytest.mark.parametrize("word", ["kek-1.!", "kek-1.abc", "kek-1.☃"])
def test_no_packed_word(word: str) -> None:
    """What is none is answered with so."""
    assert unpacked(word) is None
