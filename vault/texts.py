"""Short secrets that are no cards, sealed under the same keys and bound to what they are for."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SealedText:
    """A sealed text and the id of the key that opens it."""

    key_id: str
    sealed: bytes = field(repr=False)

    def packed(self) -> str:
        """As one word, for a form or a cookie."""
        return f"{self.key_id}.{base64.urlsafe_b64encode(self.sealed).decode()}"


def unpacked(word: str) -> SealedText | None:
    """What `packed` made a word of; None where this is none."""
    key_id, _, sealed = word.partition(".")
    try:
        return SealedText(key_id, base64.b64decode(sealed.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeEncodeError):
        return None
