"""Voiding in the books (R10, R13): what a payment paid is owed again, its credit is taken back, a reversal is opened.

Getting the money back to the card is `books.reverse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, text

from books import claim
from books.history import Booking, Move, Subject, advance, book, tell
from rules import ledger, states
from rules.errors import MoveRefused, NotFound


@dataclass(frozen=True, slots=True)
class Voided:
    """What a void did: invoices (id, minor units that are owed again), credit taken back, the reversal that follows.

    `next_step` is that reversal's: void or refund; None where a person is asked first.
    """

    payment_id: int
    reopened: tuple[tuple[int, int], ...]
    taken_back_minor: int
    reversal_id: int | None
    next_step: Literal["void", "refund"] | None = None


_OWNER = text("SELECT customer_id FROM payments WHERE id = :id")
_PAYMENT = text("SELECT * FROM payments WHERE id = :id FOR NO KEY UPDATE")
_SALE = text("""
    SELECT * FROM gateway_transactions WHERE payment_id = :id AND operation = 'sale' AND state = 'approved'""")
_OPEN_SALE = text("""
    SELECT EXISTS (SELECT 1 FROM gateway_transactions WHERE payment_id = :id AND operation = 'sale'
                   AND state IN ('started', 'unknown', 'review'))""")


def lock(conn: Connection, payment_id: int) -> Row[Any]:
    """The payment, its customer locked first (B3). Raises NotFound."""
    owner = conn.execute(_OWNER, {"id": payment_id}).scalar_one_or_none()
    if owner is None:
        raise NotFound(f"There is no payment {payment_id}.", "`defray status` lists payments.")
    claim.customers(conn, [owner])
    return conn.execute(_PAYMENT, {"id": payment_id}).one()


def sale_of(conn: Connection, payment_id: int) -> Row[Any]:
    """The approved sale of a charged payment."""
    return conn.execute(_SALE, {"id": payment_id}).one()


def still_charged_minor(payment: Row[Any]) -> int:
    """What of the charge went back neither by a refund nor by a dispute that was lost; minor units."""
    return int(payment.charged_minor - payment.refunded_minor - payment.charged_back_minor)


_UNDER_WAY = text("""
    SELECT EXISTS (SELECT 1 FROM reversals WHERE payment_id = :id AND purpose = 'refund'
                   AND state IN ('refund_due', 'refunding')) AS refund,
           EXISTS (SELECT 1 FROM disputes WHERE payment_id = :id AND state = 'open') AS dispute""")


def check_none_under_way(conn: Connection, payment_id: int) -> None:
    """While a refund of a part, or a dispute, is not decided, a void might return it twice. Raises MoveRefused."""
    under_way = conn.execute(_UNDER_WAY, {"id": payment_id}).one()
    if under_way.refund:
        raise MoveRefused("A refund of a part of this payment is under way.", "Void it when that has ended.")
    if under_way.dispute:
        raise MoveRefused("The payer's bank disputes this charge.", "Void it when the dispute has been decided.")


# An allocation's live part goes back to its invoice, which is Pending again (R10); one statement for 10,000 invoices.
_REVERSE_ALLOCATIONS = text("""
    WITH a AS (
        UPDATE allocations SET reversed_minor = amount_minor, reversed_at = :now
        FROM (SELECT id, amount_minor - reversed_minor AS live FROM allocations
              WHERE payment_id = :payment_id OR credit_id = ANY(CAST(:credit_ids AS bigint[]))
              ORDER BY id DESC) AS l
        WHERE allocations.id = l.id AND l.live > 0
        RETURNING allocations.invoice_id, allocations.credit_id, l.live
    ), i AS (
        UPDATE invoices SET balance_minor = balance_minor + s.live, state = 'pending'
        FROM (SELECT invoice_id, sum(live) AS live FROM a GROUP BY 1) AS s
        WHERE invoices.id = s.invoice_id
        RETURNING invoices.id, invoices.customer_id
    ), e AS (
        INSERT INTO events (at, what, customer_id, payment_id, invoice_id, to_state, why, by)
        SELECT :now, 'invoice.reopened', customer_id, :payment_id, id, 'pending', :why, :by FROM i
    )
    SELECT invoice_id, credit_id, live FROM a""")
_CREDITS = text("SELECT * FROM credits WHERE payment_id = :id ORDER BY id FOR NO KEY UPDATE")
_TAKE_BACK = text("""
    UPDATE credits SET balance_minor = 0, taken_back_minor = amount_minor WHERE id = ANY(CAST(:ids AS bigint[]))""")


def void(conn: Connection, payment_id: int, reason: str, policy: str, today: date, now: datetime, by: str) -> Voided:
    """Void a posted payment. `policy` (auto or ask) says what follows if the gateway refuses to void the charge (R12).

    Raises NotFound, or MoveRefused where the payment is not posted.
    """
    payment = lock(conn, payment_id)
    states.after(states.Payment(payment.state), "void")
    if payment.gateway is not None:
        check_none_under_way(conn, payment_id)
        sale = sale_of(conn, payment_id)
    credits_made = conn.execute(_CREDITS, {"id": payment_id}).all()
    credit_ids = [credit.id for credit in credits_made]
    why = f"payment {payment_id} was voided: {reason}"
    parts = conn.execute(
        _REVERSE_ALLOCATIONS,
        {"payment_id": payment_id, "credit_ids": credit_ids, "now": now, "why": why, "by": by},
    ).all()
    own = [(part.invoice_id, part.live) for part in parts if part.credit_id is None]
    through_credit = sum(part.live for part in parts if part.credit_id is not None)
    taken_back = sum(credit.amount_minor - credit.taken_back_minor for credit in credits_made)
    if credit_ids:
        conn.execute(_TAKE_BACK, {"ids": credit_ids})
        tell(conn, "credit.taken_back", now, by, why, customer_id=payment.customer_id, payment_id=payment_id)
    account = ledger.REFUNDS_PAYABLE if payment.gateway else ledger.cash(payment.method)
    reopened_minor = sum(live for _, live in own)
    _book(
        conn,
        payment,
        [
            (ledger.Kind.CREDIT_APPLICATION_REVERSED, ledger.credit_application_reversed(through_credit)),
            (ledger.Kind.VOIDED, ledger.voided(account, reopened_minor, taken_back)),
        ],
        today,
        now,
    )
    advance(
        conn,
        Subject.PAYMENTS,
        [Move(payment_id, states.Payment(payment.state), "void", reason)],
        now,
        by,
        {
            "voided_at": [now],
            "voided_by": [by],
            "void_reason": [reason],
            "reason": [reason],
            "applied_minor": [0],
            "credited_minor": [0],
        },
    )
    reversal_id, step = None, None
    if payment.gateway is not None and (amount := still_charged_minor(payment)):
        reversal_id, step = _open_reversal(conn, payment, sale, amount, policy, reason, now, by)
    reopened = [(part.invoice_id, part.live) for part in parts]
    return Voided(payment_id, tuple(reopened), taken_back, reversal_id, step)


def _book(
    conn: Connection, payment: Row[Any], entries: Sequence[tuple[ledger.Kind, ledger.Entry]], today: date, now: datetime
) -> None:
    bookings = [Booking(kind, entry, payment.customer_id, payment.currency, payment.id) for kind, entry in entries]
    book(conn, bookings, now, [today] * len(bookings))


_OPEN = text("""
    INSERT INTO reversals (payment_id, sale_id, amount_minor, currency, state, policy, reason, next_step, due_at,
                           started_at, started_by)
    VALUES (:payment_id, :sale_id, :amount, :currency, :state, :policy, :reason, :step, :due_at, :now, :by)
    RETURNING id""")
_REFUND_BEGUN = text("""
    SELECT EXISTS (SELECT 1 FROM gateway_transactions
                   WHERE payment_id = :payment_id AND sale_id = :id AND operation = 'refund')""")


def refund_begun(conn: Connection, payment_id: int, sale_id: int) -> bool:
    """Whether a refund of this sale was ever sent: then no void is sent any more (R11)."""
    return bool(conn.execute(_REFUND_BEGUN, {"payment_id": payment_id, "id": sale_id}).scalar_one())


_Step = Literal["void", "refund"] | None
_VOID_FIRST: Final[tuple[states.Reversal, _Step]] = (states.Reversal.VOIDING, "void")
_REFUND_FIRST: Final[dict[str, tuple[states.Reversal, _Step]]] = {
    "auto": (states.Reversal.REFUND_DUE, "refund"),
    "ask": (states.Reversal.REFUND_AWAITING_APPROVAL, None),
}


def _open_reversal(
    conn: Connection, payment: Row[Any], sale: Row[Any], amount: int, policy: str, reason: str, now: datetime, by: str
) -> tuple[int, _Step]:
    """R11: first a void at the gateway; after any refund was begun only another refund may follow."""
    state, step = _VOID_FIRST
    if refund_begun(conn, payment.id, sale.id):
        state, step = _REFUND_FIRST[policy]
    reversal_id: int = conn.execute(
        _OPEN,
        {
            "payment_id": payment.id,
            "sale_id": sale.id,
            "amount": amount,
            "currency": payment.currency,
            "policy": policy,
            "reason": reason,
            "state": state.value,
            "step": step,
            "due_at": now if step else None,
            "now": now,
            "by": by,
        },
    ).scalar_one()
    tell(conn, f"reversal.{state}", now, by, reason, payment_id=payment.id, gateway_transaction_id=sale.id)
    return reversal_id, step


def owe_back(
    conn: Connection, payment: Row[Any], sale: Row[Any], why: str, today: date, now: datetime, by: str
) -> None:
    """An approved charge that is not wanted any more goes back to the card at once; none of it was posted (R13)."""
    entry = ledger.charged_unwanted(sale.gateway, sale.amount_minor)
    _book(conn, payment, [(ledger.Kind.CHARGED_UNWANTED, entry)], today, now)
    _open_reversal(conn, payment, sale, sale.amount_minor, "auto", why, now, by)


_WISH = text("UPDATE payments SET cancel_wish_by = :by WHERE id = :id")


def cancel(conn: Connection, payment_id: int, reason: str, now: datetime, by: str) -> bool:
    """R13: cancel a payment that was not charged yet; True if it is cancelled now.

    For one that is being charged it is a wish: no further attempt is made, and an approval is reversed at once. Raises
    NotFound, or MoveRefused where the payment has ended.
    """
    payment = lock(conn, payment_id)
    state = states.Payment(payment.state)
    if conn.execute(_OPEN_SALE, {"id": payment_id}).scalar_one():
        conn.execute(_WISH, {"id": payment_id, "by": by})
        tell(conn, "payment.cancel_wished", now, by, reason, customer_id=payment.customer_id, payment_id=payment_id)
        return False
    if state is states.Payment.POSTED:
        raise MoveRefused("The payment is posted already.", "Void it instead.")
    advance(conn, Subject.PAYMENTS, [Move(payment_id, state, "cancel", reason)], now, by, {"reason": [reason]})
    return True
