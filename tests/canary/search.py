"""Looks for card numbers and security codes in bytes, in whatever form they were written there."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

_BETWEEN_DIGITS: Final = re.compile(rb"(?<=\d)[ .+-](?=\d)")
_CODE_FIELDS: Final = rb"cvv2?|cvc2?|csc|cid|card.?cvv|card.?code|(?:security.?)?code"
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{6,}")
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{6,}")
_ESCAPED: Final = re.compile(rb"\\+u00([0-9A-Fa-f]{2})")


def found(data: bytes, secrets: Iterable[str]) -> list[str]:
    """In which form which secret stands there, each told by its last digits.

    A code of three or four digits is looked for where it is quoted or behind a field's name: alone it may be anything.
    """
    known = [secret.encode() for secret in secrets]
    numbers = [secret for secret in known if len(secret) > 4]
    coded = _behind_a_name([secret for secret in known if len(secret) <= 4])
    seen: list[str] = []
    for form, text in _readings(data):
        digits = _BETWEEN_DIGITS.sub(b"", text)
        shown = {number for number in numbers if number in digits} | {
            match["named"] or match["quoted"] for match in coded(text)
        }
        seen += [f"{secret[-4:].decode()}: {form}" for secret in known if secret in shown]
    return seen


def _behind_a_name(codes: Sequence[bytes]) -> Callable[[bytes], Iterator[re.Match[bytes]]]:
    if not codes:
        return lambda _: iter(())
    any_code = b"|".join(codes)
    named = rb"(?i:" + _CODE_FIELDS + rb")(?:\[\d\])?[^0-9A-Za-z]{1,8}(?P<named>" + any_code + rb")(?![\w.])"
    quoted = rb"[\"'](?P<quoted>" + any_code + rb")\\*[\"']"
    return re.compile(named + rb"|" + quoted).finditer


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
