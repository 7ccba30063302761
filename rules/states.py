"""Every state and every move; anything else raises `MoveRefused`. The drawing in the docs is made from this.

A move's name says what happened, its target what follows; `books/history.py` is the only writer of a state column.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from rules.errors import MoveRefused


class Payment(StrEnum):
    """States of a payment."""

    REQUESTED = "requested"
    CHARGING = "charging"
    RETRYING = "retrying"
    REVIEW = "review"  # a person must look
    POSTED = "posted"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    VOIDED = "voided"


class Transaction(StrEnum):
    """States of a gateway transaction."""

    STARTED = "started"  # committed before the call (E1)
    UNKNOWN = "unknown"  # maybe done: to be looked up (E4)
    REVIEW = "review"  # held at the gateway, or an approval that does not fit (R18)
    APPROVED = "approved"
    DECLINED = "declined"
    FAILED = "failed"  # certainly not done
    SURPLUS = "surplus"  # approved after it had been recorded as declined or failed: to be reversed


class Reversal(StrEnum):
    """States of a reversal."""

    VOIDING = "voiding"
    VOIDED = "voided"
    REFUND_DUE = "refund_due"
    REFUND_AWAITING_APPROVAL = "refund_awaiting_approval"
    REFUNDING = "refunding"
    REFUND_ACCEPTED = "refund_accepted"
    REFUNDED = "refunded"
    FAILED = "failed"
    KEPT = "kept"


class Dispute(StrEnum):
    """States of a dispute."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


Moves = dict[tuple[StrEnum, str], StrEnum]

PAYMENT_MOVES: Final[Moves] = {
    (Payment.REQUESTED, "post"): Payment.POSTED,
    (Payment.REQUESTED, "charge"): Payment.CHARGING,
    (Payment.REQUESTED, "ask"): Payment.REVIEW,
    (Payment.REQUESTED, "decline"): Payment.DECLINED,
    (Payment.REQUESTED, "cancel"): Payment.CANCELLED,
    (Payment.CHARGING, "post"): Payment.POSTED,
    (Payment.CHARGING, "decline"): Payment.DECLINED,
    (Payment.CHARGING, "retry"): Payment.RETRYING,
    (Payment.CHARGING, "ask"): Payment.REVIEW,
    (Payment.CHARGING, "cancel"): Payment.CANCELLED,
    (Payment.RETRYING, "charge"): Payment.CHARGING,
    (Payment.RETRYING, "ask"): Payment.REVIEW,
    (Payment.RETRYING, "decline"): Payment.DECLINED,
    (Payment.RETRYING, "cancel"): Payment.CANCELLED,
    (Payment.REVIEW, "post"): Payment.POSTED,
    (Payment.REVIEW, "decline"): Payment.DECLINED,
    (Payment.REVIEW, "retry"): Payment.RETRYING,
    (Payment.REVIEW, "cancel"): Payment.CANCELLED,
    (Payment.POSTED, "void"): Payment.VOIDED,
}

TRANSACTION_MOVES: Final[Moves] = {
    (Transaction.STARTED, "approve"): Transaction.APPROVED,
    (Transaction.STARTED, "decline"): Transaction.DECLINED,
    (Transaction.STARTED, "fail"): Transaction.FAILED,
    (Transaction.STARTED, "hold"): Transaction.REVIEW,
    (Transaction.STARTED, "lose"): Transaction.UNKNOWN,
    (Transaction.UNKNOWN, "approve"): Transaction.APPROVED,
    (Transaction.UNKNOWN, "decline"): Transaction.DECLINED,
    (Transaction.UNKNOWN, "fail"): Transaction.FAILED,
    (Transaction.UNKNOWN, "hold"): Transaction.REVIEW,
    (Transaction.REVIEW, "approve"): Transaction.APPROVED,
    (Transaction.REVIEW, "decline"): Transaction.DECLINED,
    (Transaction.REVIEW, "fail"): Transaction.FAILED,
    (Transaction.DECLINED, "approve"): Transaction.SURPLUS,
    (Transaction.FAILED, "approve"): Transaction.SURPLUS,
}

REVERSAL_MOVES: Final[Moves] = {
    (Reversal.VOIDING, "void"): Reversal.VOIDED,
    (Reversal.VOIDING, "owe_refund"): Reversal.REFUND_DUE,
    (Reversal.VOIDING, "ask"): Reversal.REFUND_AWAITING_APPROVAL,
    (Reversal.VOIDING, "fail"): Reversal.FAILED,
    (Reversal.REFUND_AWAITING_APPROVAL, "owe_refund"): Reversal.REFUND_DUE,
    (Reversal.REFUND_AWAITING_APPROVAL, "keep"): Reversal.KEPT,
    (Reversal.REFUND_DUE, "send"): Reversal.REFUNDING,
    (Reversal.REFUND_DUE, "fail"): Reversal.FAILED,
    (Reversal.REFUNDING, "accept"): Reversal.REFUND_ACCEPTED,
    (Reversal.REFUNDING, "refund"): Reversal.REFUNDED,
    (Reversal.REFUNDING, "owe_refund"): Reversal.REFUND_DUE,
    (Reversal.REFUNDING, "fail"): Reversal.FAILED,
    (Reversal.REFUND_ACCEPTED, "refund"): Reversal.REFUNDED,
    (Reversal.REFUND_ACCEPTED, "fail"): Reversal.FAILED,
    (Reversal.REFUNDED, "fail"): Reversal.FAILED,
    (Reversal.FAILED, "owe_refund"): Reversal.REFUND_DUE,
    (Reversal.FAILED, "keep"): Reversal.KEPT,
}

DISPUTE_MOVES: Final[Moves] = {
    (Dispute.OPEN, "win"): Dispute.WON,
    (Dispute.OPEN, "lose"): Dispute.LOST,
}

UNDER_WAY: Final = (Payment.REQUESTED, Payment.CHARGING, Payment.RETRYING, Payment.REVIEW)
"""A payment in one of these may still bring money in (R8a)."""

LIVE_SALE: Final = (Transaction.STARTED, Transaction.UNKNOWN, Transaction.REVIEW, Transaction.APPROVED)
"""A sale in one of these bars another one of the same payment (E5)."""

_TABLES: Final = {
    Payment: PAYMENT_MOVES,
    Transaction: TRANSACTION_MOVES,
    Reversal: REVERSAL_MOVES,
    Dispute: DISPUTE_MOVES,
}


def after(state: StrEnum, move: str) -> StrEnum:
    """The state that `move` leads to from `state`; raises MoveRefused where the table has no such move."""
    moves = _TABLES[type(state)]
    if target := moves.get((state, move)):
        return target
    possible = sorted(name.replace("_", " ") for (source, name) in moves if source is state)
    raise MoveRefused(
        f"To {move.replace('_', ' ')} is not possible: the {type(state).__name__.lower()} is {state}.",
        f"What is possible: {', '.join(possible)}." if possible else "It has ended.",
    )
