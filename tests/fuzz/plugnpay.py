"""Plug'n Pay's replies."""

from __future__ import annotations

from urllib.parse import unquote_plus

from tests.fuzz.replies import check_replies

_IDS = {"sale": "2611240000010410101", "authorization": "2611240000010410101", "refund": "2611240000010410101"}


def check(data: bytes) -> None:
    """E3: an approval needs "success" or "pending"."""
    check_replies("plugnpay", data, _says_done, _IDS)


def _says_done(text: str) -> bool:
    decoded = unquote_plus(unquote_plus(text))
    return "success" in decoded or "pending" in decoded
