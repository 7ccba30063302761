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
    EventType("payment.scheduled", "payment.scheduled", "it was planned to be charged on a later day"),
    EventType("payment.moved", "payment.moved", "it was planned for another day"),
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
    EventType("card.expiring", "card.expiring", "a kept card expires soon, or this month: `data.card` says which"),
    EventType("schedule.created", "schedule.created", "a schedule was made"),
    EventType("schedule.ran", "schedule.ran", "one of its dates came and made a payment"),
    EventType(
        "schedule.skipped", "schedule.skipped", "a date was passed over: by a person, a hold, or as nothing was owed"
    ),
    EventType("schedule.missed", "schedule.missed", "a date was not run in time, and is not made up for"),
    EventType("schedule.paused", "schedule.paused", "no date is run until it is resumed"),
    EventType("schedule.resumed", "schedule.resumed", "its dates are run again"),
    EventType("schedule.ended", "schedule.ended", "it was stopped, or its last date has come"),
    EventType("customer.held", "customer.held", "nothing charges the customer by itself any more"),
    EventType("customer.released", "customer.released", "the hold was lifted"),
)
"""In the order of a payment's life."""

BY_NAME: Final = {one.name: one for one in TYPES}
BY_WHAT: Final = {one.what: one for one in TYPES}

ALARMS: Final = {
    "alarm.dispute_loss": "a dispute was lost",
    "alarm.gateway_rested": "a gateway failed so often that it is rested",
    "alarm.gateway_setup": "a gateway refuses our account",
    "alarm.held": "a gateway holds a sale for review",
    "alarm.notice_dispute": "a gateway told of a dispute",
    "alarm.notice_refund": "a gateway told of a refund that was not made here",
    "alarm.notice_refund_failed": "a gateway told that a refund failed",
    "alarm.notice_rejected": "a notice is not the gateway's",
    "alarm.notice_unmatched": "a notice fits nothing here",
    "alarm.outcome_set_aside": "an outcome that cannot be recorded was put aside",
    "alarm.payment_set_aside": "a payment that cannot be worked on was put aside",
    "alarm.quarantined": "the database was restored: nothing is sent (E7)",
    "alarm.reversal": "neither void nor refund returned the money",
    "alarm.schedule_paused": "a schedule was paused by itself",
    "alarm.schedule_set_aside": "a schedule that cannot be worked on was put aside",
    "alarm.surplus": "a card was charged beside its payment",
    "alarm.unknown_outcome": "nobody can tell any more whether a card was charged",
    "alarm.webhook_disabled": "an endpoint failed for so long that it is told nothing any more",
}
"""What a person must look at, by its name in the history; docs/operations.md says what to do."""
