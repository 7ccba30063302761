"""Authorize.Net's replies."""

from __future__ import annotations

from gateways.authorizenet import _REFUNDS, _STANDINGS
from tests.fuzz.replies import check_replies, values

_IDS = {"sale": "60000000001", "authorization": "60000000001", "refund": "60000000002"}
_DONE = set(_STANDINGS) | set(_REFUNDS)


def check(data: bytes) -> None:
    """E3: an approval needs "Ok" with the reason 1 (310 and 311: it was done before), or a status that means it."""
    check_replies("authorizenet", data, _says_done, _IDS)


def _says_done(text: str) -> bool:
    said = values(text)
    return ("Ok" in said and bool(said & {"1", "310", "311"})) or bool(said & _DONE)
