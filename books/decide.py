"""What a person decides on a payment that was not charged because less is owed than it was asked for (R8)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from books import void
from books.history import Move, Subject, advance
from rules import states
from rules.charging import WhenOwedLess
from rules.errors import MoveRefused

CANCEL: Final = "cancel"
CHOICES: Final = (WhenOwedLess.CHARGE_REDUCED.value, WhenOwedLess.CHARGE_ALL.value, CANCEL)
"""Charge what is owed still, charge all that was asked for, or do not charge."""

_LIVE_SALE = text("""
    SELECT EXISTS (SELECT 1 FROM gateway_transactions WHERE payment_id = :id AND operation = 'sale'
                   AND state IN ('started', 'unknown', 'review', 'approved'))""")
_POLICY = text("UPDATE payments SET when_owed_less = :policy WHERE id = :id")


def decide(conn: Connection, payment_id: int, choice: str, reason: str, now: datetime, by: str) -> None:
    """Let a payment in review go on to be charged, due now, or cancel it.

    Raises NotFound, or MoveRefused where it is not in review or a charge of it is still open.
    """
    payment = void.lock(conn, payment_id)
    state = states.Payment(payment.state)
    if state is not states.Payment.REVIEW:
        raise MoveRefused(
            f"Payment {payment_id} is {state}: nothing is to be decided.", "`defray status` lists what is in review."
        )
    if conn.execute(_LIVE_SALE, {"id": payment_id}).scalar_one():
        raise MoveRefused(
            f"A charge of payment {payment_id} is held at its gateway.",
            "Decide there, or say with `defray resolve` what became of it.",
        )
    if choice == CANCEL:
        advance(conn, Subject.PAYMENTS, [Move(payment_id, state, "cancel", reason)], now, by, {"reason": [reason]})
        return
    if choice not in CHOICES:
        raise MoveRefused(f"{choice!r} is no decision.", f"Say one of {', '.join(CHOICES)}.")
    conn.execute(_POLICY, {"id": payment_id, "policy": choice})
    advance(
        conn,
        Subject.PAYMENTS,
        [Move(payment_id, state, "retry", f"{by} decided: {choice.replace('_', ' ')}; {reason}")],
        now,
        by,
        {"next_step": ["charge"], "due_at": [now], "reason": [reason]},
    )
