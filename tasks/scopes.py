"""From a message's arguments to what is claimed."""

from __future__ import annotations

from books import claim


def of(batch: int | None, payment: int | None) -> claim.Scope:
    """A batch, one payment, or the payments that came alone."""
    if batch is not None:
        return claim.Batch(batch)
    if payment is not None:
        return claim.Single(payment)
    return claim.Singles()
