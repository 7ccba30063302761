"""What a message is signed by."""

from __future__ import annotations

import secrets
from base64 import b64encode


def draw() -> str:
    """A new secret of 256 random bits, as Standard Webhooks writes it."""
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
