"""Every error that a caller of Defray may meet.

DefrayError                what went wrong, and a hint how to mend it
├── RequestRefused         a request breaks rules: all its faults at once   (shown by the edge that took it)
├── NotFound               no such payment, invoice, customer, batch ...    (shown by the edge)
│   └── Archived           it was moved out of the database                 (shown by the edge)
├── KeyReused              R15: an idempotency key with other content       (shown by the edge)
├── MoveRefused            a state does not allow what was asked            (shown by the edge)
├── Unreachable            the database or the broker does not answer      (shown by the edge: try again later)
├── CardUnavailable        the vault cannot open a card (key lost, dropped) (task: the payment waits for a person)
└── SettingsError          a setting is wrong; names it, its value and what is expected (shown at start)
    └── VaultClosed        the vault's key file is lost, damaged or another one (payments wait until it is back)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_NOT_SHOWN: Final = "(a long number, not shown)"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: the field, its value as it may be shown, and how to put it right."""

    field: str
    value: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        """One line for people."""
        value = self.value if self.value == _NOT_SHOWN else f"({self.value})"
        return f"{self.field}{f' {value}' if self.value else ''}: {self.problem}. {self.remedy}"


class DefrayError(Exception):
    """Base of all errors that say how to mend them."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


class RequestRefused(DefrayError):
    """A request was refused whole; `faults` holds all that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


class NotFound(DefrayError):
    """What was named does not exist."""


class Archived(NotFound):
    """What was named was moved out of the database, into an archive (docs/retention.md)."""


class KeyReused(DefrayError):
    """R15: the idempotency key was used before with other content."""


class MoveRefused(DefrayError):
    """The present state does not allow the move that was asked for."""


class Unreachable(DefrayError):
    """The database or the broker does not answer."""


class CardUnavailable(DefrayError):
    """The vault cannot give the card: its key was dropped, or the key-encryption key is missing or wrong."""


class SettingsError(DefrayError):
    """A setting is missing or wrong."""


class VaultClosed(SettingsError):
    """The vault's key file is lost, damaged or another one: nothing is sealed, opened or dropped until it is back."""


def shown(value: object, limit: int = 40) -> str:
    """A value as an error message may show it: printable, short, and with no run of digits that could be a card."""
    text = "".join(c if c.isprintable() else "�" for c in str(value))
    if sum(c.isdigit() for c in text) >= 12:
        return _NOT_SHOWN
    return text if len(text) <= limit else text[: limit - 1] + "…"
