"""Which address a name leads to, and that it is one of the open Internet (no request forgery from within)."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from rules.errors import Fault
from rules.webhooks import check_url, is_public


class NotAllowed(OSError):
    """The name leads to a private, loopback, link-local or otherwise not public address."""


def addresses(host: str, port: int, allow_private: bool) -> list[str]:
    """All addresses of a name. Raises NotAllowed if one of them is not public, OSError where there is none."""
    written = _written(host)
    if written is None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        resolved = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    else:
        resolved = [written]
    if not allow_private and not all(map(is_public, resolved)):
        raise NotAllowed(f"{host} leads to an address that is not public")
    return resolved


def _written(host: str) -> str | None:
    """The address that a host is, in whatever way it is written (2130706433 and 0x7f.1 are 127.0.0.1)."""
    with suppress(ValueError):
        return str(ip_address(host.strip("[]")))
    with suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(host))
    return None


def check(url: object, allow_private: bool) -> str | Fault:
    """An address that may be registered: https to the open Internet, unless private ones are allowed."""
    checked = check_url(url)
    if isinstance(checked, Fault):
        return checked
    parts = urlsplit(checked)
    if parts.scheme != "https" and not allow_private:
        return Fault("url", "", "no https address", "Give an address such as https://shop.example/hooks")
    try:
        addresses(parts.hostname or "", parts.port or 443, allow_private)
    except NotAllowed:
        return Fault("url", "", "leads to no public address", "Give an address that is reached over the Internet")
    except (OSError, UnicodeError):
        return Fault("url", "", "its name leads nowhere", "Give an address whose name is known")
    return checked
