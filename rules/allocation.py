"""How one sum is applied to invoices (R1-R3): preview, posting and the use of a credit are all this function."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Owed(NamedTuple):
    """What an invoice can take: its balance due, or less where the request caps it (R2)."""

    invoice_id: int
    takes_minor: int


class Spread(NamedTuple):
    """What is applied to each invoice, in order, and what is left over for a credit (R3)."""

    applied: list[tuple[int, int]]
    left_over_minor: int


def spread(amount_minor: int, owed: Iterable[tuple[int, int]]) -> Spread:
    """Apply a sum to invoices in the order given: to each min(what is left, what it takes) (R2).

    `owed` yields (invoice id, minor units it takes) and is read only as far as the sum reaches.
    """
    applied: list[tuple[int, int]] = []
    left = amount_minor
    if left > 0:
        for invoice_id, takes in owed:
            part = takes if takes < left else left
            if part > 0:
                applied.append((invoice_id, part))
                left -= part
                if not left:
                    break
    return Spread(applied, left)
