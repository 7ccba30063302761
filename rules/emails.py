"""E-mail addresses: what a mail may be sent to. One line and one address, so that no header can be slipped in."""

from __future__ import annotations

import re
from typing import Final

from rules.errors import Fault, shown

ADDRESS_MAX: Final = 254
"""Characters of an address (RFC 5321)."""

_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]"
    r"(?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])"
)


def check_email(field: str, address: object) -> str | Fault:
    """The address without outer blanks, or what is wrong with it."""
    if not isinstance(address, str) or not address.strip():
        return Fault(field, "", "missing", "Give an e-mail address")
    address = address.strip(" ")
    if len(address) > ADDRESS_MAX:
        return Fault(field, f"{len(address):,} characters", "too long", f"Give at most {ADDRESS_MAX} characters")
    if not _ADDRESS.fullmatch(address):
        remedy = "Give one address of letters, digits and signs, such as ann@example.org"
        return Fault(field, shown(address), "not an e-mail address", remedy)
    return address
