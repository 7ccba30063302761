"""Disputes: a payer has the bank take a charge back (R17). Opened by a person or by a gateway's word, then won or lost.

While one is open the gateway holds its amount, and no refund takes what may be lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from books import refund, void
from books.history import tell
from rules import ledger
from rules.errors import Fault, MoveRefused, NotFound, RequestRefused, shown
from rules.money import for_people
from rules.states import Dispute, after


@dataclass(frozen=True, slots=True)
class Ended:
    """How a dispute ended: what was taken out of the payment, and what had been given back before; minor units."""

    payment_id: int
    state: str
    taken_minor: int
    lost_minor: int


_OPEN = text("""
    INSERT INTO disputes (payment_id, reference, amount_minor, currency, state, reason, opened_at, opened_by)
    VALUES (:payment_id, :reference, :amount, :currency, 'open', :reason, :now, :by)
    ON CONFLICT (payment_id, reference) DO NOTHING RETURNING id""")
_CASE = text("""
    SELECT * FROM disputes WHERE payment_id = :payment_id AND reference = :reference FOR NO KEY UPDATE""")
_TOGETHER = text("SELECT coalesce(sum(amount_minor), 0) FROM disputes WHERE payment_id = :id AND state <> 'won'")
# Locked: a refund that is begun at this moment is waited for, and counts.
_REFUNDS = text("""
    SELECT state FROM reversals
    WHERE payment_id = :id AND purpose = 'refund' AND state IN ('refund_due', 'refunding')
    ORDER BY id FOR NO KEY UPDATE""")
_END = text("""
    UPDATE disputes SET state = :state, ended_at = :now, ended_by = :by, ended_why = :why WHERE id = :id""")


def open_case(
    conn: Connection,
    payment_id: int,
    reference: str,
    amount_minor: int | None,
    reason: str,
    today: date,
    now: datetime,
    by: str,
) -> bool:
    """Record that `amount_minor` (None: all) of a charge is disputed under the bank's case `reference`.

    False where that case is known already. Raises NotFound, MoveRefused where no card was charged, RequestRefused
    where it is more than was charged.
    """
    payment = _charged(conn, payment_id)
    sale = void.sale_of(conn, payment_id)
    held = conn.execute(_TOGETHER, {"id": payment_id}).scalar_one()
    can = payment.charged_minor - held
    wanted = can if amount_minor is None else amount_minor
    case = {"payment_id": payment_id, "reference": reference}
    if conn.execute(_CASE, case).one_or_none() is not None:
        return False
    if not 0 < wanted <= can:
        problem = f"not between 0 and the {for_people(can, payment.currency)} that was charged and is not disputed yet"
        value = for_people(wanted, payment.currency)
        raise RequestRefused([Fault("amount", value, problem, "Compare it with the bank's notice")])
    values = {**case, "amount": wanted, "currency": payment.currency, "reason": reason, "now": now, "by": by}
    conn.execute(_OPEN, values)
    entry = ledger.disputed(sale.gateway, wanted)
    refund.book_entries(conn, payment, [(ledger.Kind.DISPUTED, entry)], today, now)
    _tell(conn, payment, Dispute.OPEN, f"{for_people(wanted, payment.currency)}, case {reference}: {reason}", now, by)
    return True


def win(conn: Connection, payment_id: int, reference: str, reason: str, today: date, now: datetime, by: str) -> Ended:
    """The bank decided for us: the gateway gives the amount back. Raises NotFound, or MoveRefused if it has ended."""
    payment, case = _open(conn, payment_id, reference, "win")
    sale = void.sale_of(conn, payment_id)
    entry = ledger.dispute_won(sale.gateway, case.amount_minor)
    refund.book_entries(conn, payment, [(ledger.Kind.DISPUTE_WON, entry)], today, now)
    return _end(conn, payment, case, Dispute.WON, 0, reason, now, by)


def lose(conn: Connection, payment_id: int, reference: str, reason: str, today: date, now: datetime, by: str) -> Ended:
    """The bank decided for the payer: invoices are owed again, credit is gone, as after a refund (R17).

    What the payment does not hold any more, since it was refunded or voided before, is a loss of the business, with an
    alarm. Raises NotFound, or MoveRefused where the dispute has ended, or while a refund was sent and is not answered:
    an approval would find nothing left to be taken from.
    """
    payment, case = _open(conn, payment_id, reference, "lose")
    if "refunding" in conn.execute(_REFUNDS, {"id": payment_id}).scalars():
        raise MoveRefused("A refund of this payment is on its way.", "Record this once the gateway has answered it.")
    sale = void.sale_of(conn, payment_id)
    why = f"a dispute over {for_people(case.amount_minor, case.currency)} was lost, case {reference}: {reason}"
    _, taken = refund.take_out(conn, payment_id, case.amount_minor, refund.CHARGED_BACK, why, now, by)
    lost = case.amount_minor - taken.amount_minor
    made = refund.entries(ledger.disputed_at(sale.gateway), taken, lost)
    refund.book_entries(conn, payment, made, today, now)
    if lost:
        gone = f"{for_people(lost, case.currency)} of it had been given back before: compare with the card's statement"
        tell(conn, "alarm.dispute_loss", now, by, gone, customer_id=payment.customer_id, payment_id=payment_id)
    return _end(conn, payment, case, Dispute.LOST, lost, reason, now, by)


def _charged(conn: Connection, payment_id: int) -> Row[Any]:
    payment = void.lock(conn, payment_id)
    if payment.charged_minor is None:
        raise MoveRefused("No card was charged for this payment.", "Only a charge can be disputed.")
    return payment


def _open(conn: Connection, payment_id: int, reference: str, move: str) -> tuple[Row[Any], Row[Any]]:
    payment = _charged(conn, payment_id)
    case = conn.execute(_CASE, {"payment_id": payment_id, "reference": reference}).one_or_none()
    if case is None:
        raise NotFound(f"Payment {payment_id} has no dispute {shown(reference)}.", "Compare the case's number.")
    after(Dispute(case.state), move)
    return payment, case


def _end(
    conn: Connection, payment: Row[Any], case: Row[Any], state: Dispute, lost: int, reason: str, now: datetime, by: str
) -> Ended:
    conn.execute(_END, {"id": case.id, "state": state.value, "now": now, "by": by, "why": reason})
    amount = for_people(case.amount_minor, case.currency)
    _tell(conn, payment, state, f"{amount}, case {case.reference}: {reason}", now, by)
    taken = case.amount_minor - lost if state is Dispute.LOST else 0
    return Ended(payment.id, state.value, taken, lost)


def _tell(conn: Connection, payment: Row[Any], state: Dispute, why: str, now: datetime, by: str) -> None:
    tell(conn, f"dispute.{state}", now, by, why, customer_id=payment.customer_id, payment_id=payment.id)
