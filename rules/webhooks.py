"""Webhooks: which addresses they may go to, when a delivery is tried again, when an endpoint is given up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from rules.emails import check_email
from rules.errors import Fault
from rules.events import BY_NAME

URL_MAX: Final = 2_000
SAID_MAX: Final = 300
"""Characters of an answer that are kept."""

GIVE_UP: Final = timedelta(days=3)
"""How long a delivery is tried, and an endpoint that takes nothing is kept."""
_SECONDS: Final = (5, 60, 300, 1_800, 7_200, 18_000, 36_000)
_LATER: Final = 43_200
_SPREAD: Final = 5

ENDPOINT_GIVE_UP: Final = GIVE_UP - timedelta(hours=1)
"""How long an endpoint may fail: a little less, so that it is disabled before the first of its deliveries is lost."""

RESTED: Final = 5
"""Failures in a row after which an endpoint is rested, and then tried by one delivery at a time."""
_RESTS: Final = (60, 300, 1_800)

OLD_SECRET: Final = timedelta(hours=24)
"""How long the secret before a rotation signs beside the new one."""


def again_at(tries: int, began: datetime, now: datetime, chance: timedelta) -> datetime | None:
    """When a delivery that failed for the `tries`th time is tried again; None after three days.

    `chance` (a draw below a second) spreads a wait by a fifth to both sides.
    """
    wait = _SECONDS[tries - 1] if tries <= len(_SECONDS) else _LATER
    if now - began >= GIVE_UP:
        return None
    due_at = now + timedelta(seconds=wait) + (2 * chance - timedelta(seconds=1)) * wait // _SPREAD
    return min(due_at, began + GIVE_UP)


def rests_until(failures: int, now: datetime) -> datetime | None:
    """Until when an endpoint that failed so often in a row is left alone; None: it is not."""
    if failures < RESTED:
        return None
    return now + timedelta(seconds=_RESTS[min(failures - RESTED, len(_RESTS) - 1)])


def check_url(url: object) -> str | Fault:
    """An https address without user, password or fragment (what it leads to is checked when it is resolved)."""
    if not isinstance(url, str) or not 0 < len(url) <= URL_MAX or not url.isascii() or not url.isprintable():
        return Fault("url", "", "no address", f"Give an https:// address of at most {URL_MAX:,} characters")
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or " " in url or parts.scheme not in ("https", "http"):
        return Fault("url", "", "no https address", "Give an address such as https://shop.example/hooks")
    if parts.username is not None or parts.password is not None or parts.fragment:
        return Fault("url", "", "has a user, a password or a fragment", "Leave them out")
    if not _AUTHORITY.fullmatch(parts.netloc):
        return Fault("url", "", "no https address", "Give an address such as https://shop.example/hooks")
    return url


# What all that read an address understand alike: a name or an address in digits, and a port.
_AUTHORITY: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def check_types(types: object) -> tuple[str, ...] | Fault:
    """The events that an endpoint is told of; none named: all."""
    if types is None:
        return ()
    if (
        not isinstance(types, Sequence)
        or isinstance(types, str)
        or any(not isinstance(one, str) or one not in BY_NAME for one in types)
    ):
        return Fault("types", "", "not all are event types", "Take some of docs/events.md, or leave it out for all")
    return tuple(dict.fromkeys(types))


_NAT64: Final = ip_network("64:ff9b::/96")
_NAT64_LOCAL: Final = ip_network("64:ff9b:1::/48")


def is_public(address: str) -> bool:
    """Whether this is an address of the open Internet; one that carries another (IPv4 in IPv6) counts as that one."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
    if isinstance(found, IPv6Address) and (found in _NAT64_LOCAL or found.is_site_local):
        return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def check_contact(address: object) -> str | Fault:
    """The e-mail address that is told when an endpoint is disabled; empty: none."""
    if address in (None, ""):
        return ""
    return check_email("contact", address)
