"""Authenticated encryption for the vault: AES-256-GCM, every message bound to what it is for and to its card's token.

A message that was moved to another row, or altered, does not open. Layout: 12 bytes nonce, ciphertext, 16 bytes tag.
"""

from __future__ import annotations

import json
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rules.cards import Card

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12

# The order of a card's fields inside its sealed text; the security code is sealed apart, under a key of the hour.
_FIELDS: Final = ("number", "exp_month", "exp_year", "name", "street", "city", "state", "postal_code", "country")


def seal(key: bytes, plain: bytes, purpose: str) -> bytes:
    """The sealed bytes, which open with the same key and purpose only."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, purpose.encode())


def unseal(key: bytes, sealed: bytes, purpose: str) -> bytes | None:
    """What was sealed; None where the key is another one, or the sealed bytes were altered or moved.

    No exception leaves here: its traceback would hold on to the key.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError):
        return None


def card_to_bytes(card: Card) -> bytes:
    """A card without its security code."""
    return json.dumps([getattr(card, field) for field in _FIELDS], ensure_ascii=False).encode()


def card_from_bytes(plain: bytes, security_code: str | None) -> Card:
    """The card again, with its security code where that could still be opened."""
    return Card(**dict(zip(_FIELDS, json.loads(plain), strict=True)), security_code=security_code)
