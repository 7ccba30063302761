"""The people of the office: what each role may do, up to which amount, and what a name or a password must be like."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from rules.cards import looks_like_card_number
from rules.errors import Fault, shown
from rules.money import parse_decimal, to_decimal

PASSWORD_MIN: Final = 10
PASSWORD_MAX: Final = 200
"""Characters of a password: NIST SP 800-63B asks for length and for nothing else."""

_TWO_PLACES: Final = "USD"  # a limit holds in any currency: this one stands for all that have cents
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

    @property
    def with_article(self) -> str:
        """One who has it, as in a sentence."""
        return f"an {self}" if self is Role.ADMIN else f"a {self}"


def check_name(name: str) -> str | Fault:
    """A user's name in small letters, or what is wrong with it."""
    tidy = name.strip().lower()
    if looks_like_card_number(tidy):  # it would stand in every record of what its user does (C1)
        return Fault("name", "", "looks like a card number", "Give another name")
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


def check_limit(text: str, field: str) -> int | Fault | None:
    """A limit in minor units from a text such as "100.00", for currencies with two places; None: no limit (blank)."""
    tidy = text.strip()
    if not tidy:
        return None
    if tidy.strip("0") in ("", "."):
        return 0
    return parse_decimal(tidy, _TWO_PLACES, field)


def limit_in_words(limit_minor: int | None) -> str:
    """A limit as `check_limit` reads it; "" for none."""
    return "" if limit_minor is None else to_decimal(limit_minor, _TWO_PLACES)
