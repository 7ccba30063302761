"""The people of the office: what each role may do, up to which amount, and what a name or a password must be like."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from rules.errors import Fault, shown

PASSWORD_MIN: Final = 10
PASSWORD_MAX: Final = 200
"""Characters of a password: NIST SP 800-63B asks for length and for nothing else."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class Role(StrEnum):
    """What somebody may do; each role may do all that the ones before it may."""

    CLERK = "clerk"  # take payments, see
    SUPERVISOR = "supervisor"  # void, refund, approve
    ADMIN = "admin"  # people, keys, gateways

    def may(self, needed: Role) -> bool:
        """Whether this role has the rights of that one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


def check_name(name: str) -> str | Fault:
    """A user's name in small letters, or what is wrong with it."""
    tidy = name.strip().lower()
    if _NAME.fullmatch(tidy):
        return tidy
    return Fault("name", shown(name), "not a user name", "Give 1 to 64 letters, digits and . _ - @, no blanks")


def check_password(password: str, name: str) -> Fault | None:
    """What is wrong with a new password; it is never repeated."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        problem = f"{len(password):,} characters long"
        return Fault("password", "", problem, f"Give {PASSWORD_MIN} to {PASSWORD_MAX} characters")
    if password.lower() == name or len(set(password)) < 4:
        return Fault("password", "", "easily guessed", "Take several words that nobody would put together")
    return None


def within(amount_minor: int, limit_minor: int | None) -> bool:
    """Whether somebody may do this alone; above the limit a second person approves. None: no limit."""
    return limit_minor is None or amount_minor <= limit_minor
