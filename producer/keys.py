"""Idempotency keys for those who bring none of their own (R15)."""

from __future__ import annotations

import secrets
from string import ascii_lowercase


def drawn(begins: str) -> str:
    """A new key, such as `form-` with twenty letters.

    Letters alone: among digits one key in a thousand looks like a card number, and is refused as one.
    """
    return f"{begins}-{''.join(secrets.choice(ascii_lowercase) for _ in range(20))}"
