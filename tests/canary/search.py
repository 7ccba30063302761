"""Looks for card numbers and security codes in bytes, in whatever form they were written there."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

_BETWEEN_DIGITS: Final = rb"[ .+-]?"
_CODE_FIELDS: Final = rb"cvv2?|cvc2?|csc|cid|card.?cvv|card.?code|(?:security.?)?code"
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{6,}")
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{6,}")
_ESCAPED: Final = re.compile(rb"\\+u00([0-9A-Fa-f]{2})")


def found(data: bytes, secrets: Iterable[str]) -> list[str]:
    """In which form which secret stands there, each told by its last digits.

    A code of three or four digits is looked for where it is quoted or behind a field's name: alone it may be anything.
    """
    looked_for = [(secret[-4:], re.compile(_shape(secret))) for secret in secrets]
    return [f"{last}: {form}" for form, text in _readings(data) for last, shape in looked_for if shape.search(text)]


def _shape(secret: str) -> bytes:
    digits = secret.encode()
    if len(digits) > 4:
        return _BETWEEN_DIGITS.join(digits[place : place + 1] for place in range(len(digits)))
    named = rb"(?i:" + _CODE_FIELDS + rb")(?:\[\d\])?[^0-9A-Za-z]{1,8}" + digits + rb"(?![\w.])"
    return named + rb"|\"" + digits + rb"\\*\"|'" + digits + rb"\\*'"


def _readings(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "plain", data
    if b"\0" in data:
        yield "utf-16", data.replace(b"\0", b"")
    if b"%" in data:
        yield "url-encoded", unquote_to_bytes(data)
    if b"\\u00" in data:
        yield "JSON-escaped", _ESCAPED.sub(lambda escape: bytes.fromhex(escape[1].decode()), data)
    yield "hex", b" ".join(_from_hex(run[0]) for run in _HEX.finditer(data))
    yield "base64", b" ".join(_from_base64(run[0]) for run in _BASE64.finditer(data))


def _from_hex(run: bytes) -> bytes:
    """Both readings of a run, which may begin with half a byte that is not its own."""
    return b" ".join(binascii.unhexlify(run[start : start + (len(run) - start) // 2 * 2]) for start in (0, 1))


def _from_base64(run: bytes) -> bytes:
    """All four readings of a run, which may begin with characters that are not its own."""
    usual = run.replace(b"-", b"+").replace(b"_", b"/")
    return b" ".join(base64.b64decode(usual[start : start + (len(usual) - start) // 4 * 4]) for start in range(4))
