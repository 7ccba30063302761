"""How a group of charges went."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Tally:
    """How many payments took which turn, and the cards whose security code or number is not needed any more (C2)."""

    posted: int = 0
    declined: int = 0
    retrying: int = 0
    review: int = 0
    cancelled: int = 0
    unknown: int = 0
    postponed: int = 0
    rerouted: int = 0
    by_number: int = 0
    set_aside: int = 0
    reversals: int = 0
    answered_cards: list[str] = field(default_factory=list)
    spent_cards: list[str] = field(default_factory=list)

    def count(self, move: str) -> None:
        """Count one payment's move, by its name in `rules.states`."""
        match move:
            case "decline":
                self.declined += 1
            case "retry":
                self.retrying += 1
            case "ask":
                self.review += 1
            case "cancel":
                self.cancelled += 1

    def add(self, other: Tally) -> None:
        """Count another tally in."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
