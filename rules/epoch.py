"""E7: whether a database is the one that was here before, by what it says of itself and what was seen outside it.

A restore brings payments back to what they were, while the gateways remember what was charged since.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the books had come: the newest gateway transaction and the newest event, by their ids."""

    sent: int
    events: int

    def is_behind(self, other: Mark) -> bool:
        """Whether something is missing here that the other had."""
        return self.sent < other.sent or self.events < other.events

    def or_later(self, other: Mark) -> Mark:
        """The furthest of both."""
        return Mark(max(self.sent, other.sent), max(self.events, other.events))


ENDED: Final = Mark(2**53 - 1, 2**53 - 1)  # the greatest that a score in Redis tells exactly
"""Of a life that a release has ended: no database that still has it is the one that goes on."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which data a server has: PostgreSQL's own identifier of the cluster, and the timeline of its log."""

    system_identifier: str
    timeline: int


class AfterFailover(StrEnum):
    """What to do where only the timeline is another and the witness proves that nothing that was sent is missing."""

    ASK = "ask"
    GO_ON = "go_on"


class Finding(StrEnum):
    """What a comparison found."""

    SAME = "same"
    MOVED_ON = "moved_on"
    DIFFERS = "differs"


def judge(
    known: Place, here: Place, mark: Mark, seen: Mark | None, after_failover: AfterFailover
) -> tuple[Finding, str]:
    """What was found, and why in words; `known` stands in the tables, `seen` is what a witness outside them tells."""
    if here.system_identifier != known.system_identifier:
        return Finding.DIFFERS, "the tables were restored into another database server (its system identifier differs)"
    if seen == ENDED:
        return Finding.DIFFERS, "a quarantine was ended since under another life: this is a copy from before it"
    if seen is not None and mark.is_behind(seen):
        return Finding.DIFFERS, (
            f"the database is behind what was seen outside it: gateway transaction {seen.sent} and event {seen.events}"
            f" were there, and the newest here are {mark.sent} and {mark.events}"
        )
    if here.timeline != known.timeline:
        moved = f"the timeline of the database is {here.timeline} and was {known.timeline}"
        if seen is None:
            return Finding.DIFFERS, f"{moved}: a recovery to a point in time, or a fail-over"
        why = f"{moved}; nothing that was sent or seen is missing: a fail-over, or a recovery to the very end"
        return (Finding.MOVED_ON if after_failover is AfterFailover.GO_ON else Finding.DIFFERS), why
    if seen is None and mark.sent:
        return Finding.DIFFERS, "nothing outside the database tells how far it had come: neither the file nor Redis"
    return Finding.SAME, ""
