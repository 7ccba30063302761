"""Keys of upstream apps: what they may be called, what they may do, what their secrets look like."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from rules.cards import looks_like_card_number
from rules.errors import Fault
from rules.requests import NAME_MAX, required_text

SECRET_BEGINS: Final = "dfk_live_"  # noqa: S105 - how each begins, so that a leaked one is recognised
PREFIX_LENGTH: Final = len(SECRET_BEGINS) + 6
"""Characters of a secret that are kept and shown, so that keys can be told apart."""

KEY_MAX: Final = 190
"""Characters of an Idempotency-Key: each row of a batch gets a key made from it and its number."""


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    PAY = "pay"
    VOID = "void"
    REFUND = "refund"
    ADMIN = "admin"

    @property
    def allows(self) -> str:
        """In words."""
        return _ALLOWS[self]


_ALLOWS: Final = {
    Scope.READ: "look at everything",
    Scope.PAY: "record customers, invoices and payments, keep cards, make schedules, apply credits",
    Scope.VOID: "void and cancel payments, void invoices, stop schedules, hold customers, take back what credits paid",
    Scope.REFUND: "refund payments",
    Scope.ADMIN: "all of it",
}


def may(scopes: Iterable[str], any_of: Iterable[Scope]) -> bool:
    """Whether a key with these scopes may do what any of the others allows."""
    return not {Scope.ADMIN, *any_of}.isdisjoint(map(Scope, scopes))


def check_key_name(name: object) -> str | Fault:
    """The name of a key, or what is wrong with it."""
    checked = required_text("name", name, NAME_MAX)
    if isinstance(checked, str) and looks_like_card_number(checked):
        return Fault("name", "", "looks like a card number", "Choose another name")
    return checked


def check_idempotency_key(key: str | None) -> str | Fault:
    """The Idempotency-Key of a write, or what is wrong with it (R15)."""
    field = "Idempotency-Key"
    if not key:
        remedy = "Send the header Idempotency-Key: a text drawn once for each write, such as a UUID"
        return Fault(field, "", "missing", remedy)
    checked = required_text(field, key, KEY_MAX)
    if isinstance(checked, str) and looks_like_card_number(checked):
        return Fault(field, "", "looks like a card number", "Draw another key, such as a UUID")
    return checked
