"""Refunding a part of a card payment, and losing a dispute (R17): how much may go back, and where it is taken from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from rules.allocation import spread


@dataclass(frozen=True, slots=True)
class Charge:
    """What became of a charge so far, in minor units.

    `refunding_minor` is on its way; `disputed_minor` the bank may take back, or took when the payment held it no more.
    """

    charged_minor: int
    refunded_minor: int = 0
    charged_back_minor: int = 0
    refunding_minor: int = 0
    disputed_minor: int = 0

    @property
    def refundable_minor(self) -> int:
        """All that can still be refunded: whatever may already be on its way back is kept off."""
        under_way = self.refunding_minor + self.disputed_minor
        return max(0, self.charged_minor - self.refunded_minor - self.charged_back_minor - under_way)


class Application(NamedTuple):
    """A live application of the payment, or of its credit, to an invoice."""

    allocation_id: int
    invoice_id: int
    credit_id: int | None
    live_minor: int


class Taken(NamedTuple):
    """Where an amount is taken from: unused credit (credit id, minor units), applications (each with its part)."""

    credits: tuple[tuple[int, int], ...]
    applications: tuple[tuple[Application, int], ...]

    @property
    def reopened_minor(self) -> int:
        """What invoices owe again."""
        return sum(part for _, part in self.applications)

    @property
    def through_credit_minor(self) -> int:
        """How much of that had been paid by the payment's credit."""
        return sum(part for one, part in self.applications if one.credit_id is not None)

    @property
    def unused_credit_minor(self) -> int:
        """How much is taken of credit that nobody used."""
        return sum(part for _, part in self.credits)

    @property
    def amount_minor(self) -> int:
        """All of it; less than was to be taken where the payment holds no more."""
        return self.reopened_minor + self.unused_credit_minor


def left_after(
    taken: Taken, unused: Iterable[tuple[int, int]], applications: Iterable[Application]
) -> tuple[list[tuple[int, int]], list[Application]]:
    """What is left to take from once `taken` is gone."""
    of_credits = dict(taken.credits)
    parts = {one.allocation_id: part for one, part in taken.applications}
    return (
        [(credit, left - of_credits.get(credit, 0)) for credit, left in unused],
        [one._replace(live_minor=one.live_minor - parts.get(one.allocation_id, 0)) for one in applications],
    )


def take(amount_minor: int, unused: Iterable[tuple[int, int]], applications: Iterable[Application]) -> Taken:
    """Take `amount_minor` from the payment's own unused credit first, then from its applications in the order given.

    Give `unused` as (credit id, what is left of it), `applications` newest first (R17).
    """
    from_credits = spread(amount_minor, unused)
    by_id = {one.allocation_id: one for one in applications}
    rest = spread(from_credits.left_over_minor, ((one.allocation_id, one.live_minor) for one in by_id.values()))
    return Taken(tuple(from_credits.applied), tuple((by_id[place], part) for place, part in rest.applied))
