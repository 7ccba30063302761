"""Addresses that apps want to be told at."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from urllib3.util import parse_url

from rules.errors import Fault
from rules.webhooks import is_public
from webhooks.address import check as check_address

_INSIDE = "10.0.0.7"


def _resolved(host: Any, port: Any, *_args: Any, **_more: Any) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (_INSIDE, port))]


def check(data: bytes) -> None:
    """Where every name leads inside, no address is taken but one that is written in digits and public."""
    text = data.decode("utf-8", "surrogateescape")
    with patch("webhooks.address.socket.getaddrinfo", _resolved):
        found = check_address(text, False)
    if isinstance(found, Fault):
        return
    parts = urlsplit(found)
    host = parts.hostname or ""
    assert parts.scheme == "https"
    assert (parse_url(found).host or "").strip("[]").lower() == host.strip("[]"), "the client would call another host"
    address = _meant(host)
    assert address.is_global, "an address inside is taken"
    assert is_public(str(address))


def _meant(host: str) -> Any:
    try:
        return ip_address(host)
    except ValueError:
        return ip_address(socket.inet_aton(host))
