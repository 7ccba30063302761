"""What apps are told of: the public events, by the rows of history that they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class EventType:
    """A public event: its name, the row of history that it is, when it comes; `reason`: it says why, in words."""

    name: str
    what: str
    when: str
    reason: bool = False


# A reason is told only where a gateway or a rule gave it: what the office writes never leaves it (R6).
TYPES: Final = (
    EventType("payment.created", "payment.requested", "a payment was recorded"),
    EventType("payment.posted", "payment.posted", "it was approved, if charged, and applied to invoices (R8)"),
    EventType("payment.declined", "payment.declined", "it was declined for good; nothing was applied", reason=True),
    EventType("payment.retry_scheduled", "payment.retrying", "it was declined and is tried again (R16)", reason=True),
    EventType("payment.review", "payment.review", "a person must decide about it"),
    EventType("payment.cancelled", "payment.cancelled", "it was cancelled before it was charged (R13)"),
    EventType("payment.voided", "payment.voided", "it was voided; its invoices are owed again (R10)"),
    EventType("charge.voided", "reversal.voided", "the gateway voided the charge of a voided payment (R11)"),
    EventType("refund.completed", "reversal.refunded", "a refund arrived, as the gateway says (R17)"),
    EventType("refund.failed", "reversal.failed", "neither void nor refund returned the money; a person decides"),
    EventType("invoice.created", "invoice.created", "an invoice was issued"),
    EventType("invoice.paid", "invoice.paid", "its balance due is 0 (R4)"),
    EventType("invoice.reopened", "invoice.reopened", "it is owed again after a void or a refund"),
    EventType("credit.created", "credit.created", "a payment exceeded what was owed (R3)"),
    EventType("credit.taken_back", "credit.taken_back", "the payment that a credit came from was voided"),
    EventType("batch.completed", "batch.completed", "no payment of the batch is under way any more"),
)
"""In the order of a payment's life."""

BY_NAME: Final = {one.name: one for one in TYPES}
BY_WHAT: Final = {one.what: one for one in TYPES}
