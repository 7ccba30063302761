"""Refunds of a part of a posted card payment (R17): reserved when asked for, booked when the gateway approved.

Sending it and watching it are `books.reverse`, as for the refund of a voided payment; what one would move is foreseen
by `books.foresee.refund`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import post, void
from books.history import Booking, book, tell
from rules import ledger
from rules.errors import Fault, MoveRefused, RequestRefused
from rules.money import for_people
from rules.refunding import Application, Charge, Taken, take

_CHARGE = text("""
    SELECT p.charged_minor, p.refunded_minor, p.charged_back_minor,
           CAST(coalesce((SELECT sum(r.amount_minor) FROM reversals r
                          WHERE r.payment_id = p.id AND r.purpose = 'refund' AND r.id <> :but
                            AND r.state IN ('refund_due', 'refunding')), 0) AS bigint) AS refunding_minor,
           CAST(coalesce((SELECT sum(d.amount_minor) FROM disputes d
                          WHERE d.payment_id = p.id AND d.state <> 'won'), 0) AS bigint)
           - p.charged_back_minor AS disputed_minor
    FROM payments p WHERE p.id = :id""")


def charge(conn: Connection, payment_id: int, but: int = 0) -> Charge:
    """What became of a payment's charge so far; `but` is a refund that is not counted."""
    row = conn.execute(_CHARGE, {"id": payment_id, "but": but}).one()
    return Charge(**{**row._mapping, "charged_minor": row.charged_minor or 0})


_OPEN = text("""
    INSERT INTO reversals (payment_id, sale_id, amount_minor, currency, state, purpose, policy, reason, next_step,
                           due_at, started_at, started_by)
    VALUES (:payment_id, :sale_id, :amount, :currency, 'refund_due', 'refund', 'auto', :reason, 'refund', :now, :now,
            :by)
    RETURNING id""")


def ask(conn: Connection, payment_id: int, amount_minor: int | None, reason: str, now: datetime, by: str) -> int:
    """Reserve a refund of `amount_minor` (None: all that is refundable) of a posted card payment; its reversal's id.

    Invoices and credit move when the gateway approved it. Raises NotFound, MoveRefused where the payment was not
    charged or is not posted, RequestRefused where the amount is more than can be refunded.
    """
    payment, wanted = check(conn, payment_id, amount_minor)
    sale = void.sale_of(conn, payment_id)
    known = {"payment_id": payment_id, "sale_id": sale.id, "amount": wanted, "currency": payment.currency}
    reversal_id: int = conn.execute(_OPEN, {**known, "reason": reason, "now": now, "by": by}).scalar_one()
    why = f"{for_people(wanted, payment.currency)}: {reason}"
    tell(
        conn,
        "refund.asked",
        now,
        by,
        why,
        customer_id=payment.customer_id,
        payment_id=payment_id,
        details={"reversal_id": reversal_id, "amount_minor": wanted},
    )
    return reversal_id


def check(conn: Connection, payment_id: int, amount_minor: int | None) -> tuple[Row[Any], int]:
    """The payment, locked, and what of it would be refunded; refused as `ask` is."""
    payment = void.lock(conn, payment_id)
    check_state(payment)
    can = charge(conn, payment_id).refundable_minor
    wanted = can if amount_minor is None else amount_minor
    if not 0 < wanted <= can:
        raise RequestRefused([too_much(wanted, can, payment.currency)])
    return payment, wanted


def check_state(payment: Row[Any]) -> None:
    """Raises MoveRefused where no part of this payment can be refunded, whatever the amount."""
    if payment.gateway is None:
        raise MoveRefused("No card was charged for this payment.", "Void it; money is given back outside of Defray.")
    if payment.state != "posted":
        raise MoveRefused(f"The payment is {payment.state}.", "Only a posted payment is refunded.")


_AMOUNT = text("SELECT amount_minor FROM reversals WHERE id = :id")


def amount_of(conn: Connection, reversal_id: int) -> int:
    """What a refund returns, in minor units."""
    return int(conn.execute(_AMOUNT, {"id": reversal_id}).scalar_one())


_ASKED_BY = text("""
    SELECT CAST(coalesce(sum(amount_minor), 0) AS bigint) FROM reversals
    WHERE payment_id = :id AND purpose = 'refund' AND state NOT IN ('failed', 'kept') AND started_by = :by""")


def asked_by(conn: Connection, payment_id: int, by: str) -> int:
    """What somebody has refunded of a payment so far, minor units: a limit holds for all parts together."""
    return int(conn.execute(_ASKED_BY, {"id": payment_id, "by": by}).scalar_one())


def too_much(wanted: int, can: int, currency: str) -> Fault:
    if not can:
        problem = "nothing of this charge can be refunded now"
        return Fault("amount", for_people(wanted, currency), problem, "Look at its refunds and disputes")
    problem = f"not between 0 and the {for_people(can, currency)} that can be refunded"
    return Fault("amount", for_people(wanted, currency), problem, "Give a smaller amount")


# ---- what an approved refund, or a lost dispute, moves --------------------------------------------------------------

REFUNDED: Final = "refunded_minor"
CHARGED_BACK: Final = "charged_back_minor"
"""The payment's columns of what went back."""

_PAYMENT = text("SELECT * FROM payments WHERE id = :id FOR NO KEY UPDATE")
_UNUSED: Final = "SELECT id, balance_minor FROM credits WHERE payment_id = :id AND balance_minor > 0 ORDER BY id DESC"
_READ_UNUSED = text(_UNUSED)
_LOCK_UNUSED = text(f"{_UNUSED} FOR NO KEY UPDATE")
# An array of the credits, and no subquery, since OR finds both by their indexes then.
_NEWEST_FIRST = text("""
    SELECT id, invoice_id, credit_id, amount_minor - reversed_minor AS live FROM allocations
    WHERE (payment_id = :id OR credit_id = ANY(ARRAY(SELECT id FROM credits WHERE payment_id = :id)))
      AND amount_minor > reversed_minor ORDER BY id DESC""")
_TAKE_CREDIT = text("""
    UPDATE credits SET balance_minor = balance_minor - v.unused, taken_back_minor = taken_back_minor + v.unused + v.used
    FROM unnest(CAST(:ids AS bigint[]), CAST(:unused AS bigint[]), CAST(:used AS bigint[])) AS v(id, unused, used)
    WHERE credits.id = v.id""")
# Of an application that stays in part, the part that goes becomes a row of its own: each is reversed on one day only.
_REVERSE = text("""
    WITH v AS (
        SELECT v.id, v.part, v.part < l.amount_minor - l.reversed_minor AS splits
        FROM unnest(CAST(:ids AS bigint[]), CAST(:parts AS bigint[])) AS v(id, part) JOIN allocations l ON l.id = v.id
    ), a AS (
        UPDATE allocations SET amount_minor = amount_minor - CASE WHEN v.splits THEN v.part ELSE 0 END,
                               reversed_minor = reversed_minor + CASE WHEN v.splits THEN 0 ELSE v.part END,
                               reversed_at = CASE WHEN v.splits THEN reversed_at ELSE :now END
        FROM v WHERE allocations.id = v.id
        RETURNING allocations.payment_id, allocations.credit_id, allocations.invoice_id, allocations.created_at,
                  v.part, v.splits
    ), gone AS (
        INSERT INTO allocations (payment_id, credit_id, invoice_id, amount_minor, reversed_minor, created_at,
                                 reversed_at)
        SELECT payment_id, credit_id, invoice_id, part, part, created_at, :now FROM a WHERE splits
    ), i AS (
        UPDATE invoices SET balance_minor = balance_minor + s.part, state = 'pending'
        FROM (SELECT invoice_id, sum(part) AS part FROM a GROUP BY 1) AS s WHERE invoices.id = s.invoice_id
        RETURNING invoices.id, invoices.customer_id
    )
    INSERT INTO events (at, what, customer_id, payment_id, invoice_id, to_state, why, by)
    SELECT :now, 'invoice.reopened', customer_id, :payment_id, id, 'pending', :why, :by FROM i""")
_MOVED = {
    column: text(f"""
        UPDATE payments SET {column} = {column} + :amount, applied_minor = applied_minor - :applied,
                            credited_minor = credited_minor - CASE state WHEN 'posted' THEN :credited ELSE 0 END
        WHERE id = :id""")
    for column in (REFUNDED, CHARGED_BACK)
}


def take_out(
    conn: Connection, payment_id: int, amount_minor: int, column: str, why: str, now: datetime, by: str
) -> tuple[Row[Any], Taken]:
    """Take an amount out of a payment: unused credit first, then the newest applications; customers locked.

    Less is taken where the payment holds less: a voided one holds the credit that was kept of it (R12).
    The caller books it. Returns the payment as it was, and what was taken.
    """
    payment = conn.execute(_PAYMENT, {"id": payment_id}).one()
    taken = take(amount_minor, *holds(conn, payment_id, lock=True))
    _take_credit(conn, taken)
    if taken.applications:
        parts = {
            "ids": [one.allocation_id for one, _ in taken.applications],
            "parts": [p for _, p in taken.applications],
        }
        conn.execute(_REVERSE, {**parts, "payment_id": payment_id, "why": why, "now": now, "by": by})
    credited = taken.unused_credit_minor + taken.through_credit_minor
    applied = taken.amount_minor - credited
    conn.execute(
        _MOVED[column], {"id": payment_id, "amount": taken.amount_minor, "applied": applied, "credited": credited}
    )
    return payment, taken


def holds(conn: Connection, payment_id: int, lock: bool = False) -> tuple[list[tuple[int, int]], list[Application]]:
    """What `rules.refunding.take` takes from: the payment's unused credit, its applications, the newest first."""
    credits_ = conn.execute(_LOCK_UNUSED if lock else _READ_UNUSED, {"id": payment_id})
    unused = [(row.id, row.balance_minor) for row in credits_]
    return unused, [Application(*row) for row in conn.execute(_NEWEST_FIRST, {"id": payment_id})]


def _take_credit(conn: Connection, taken: Taken) -> None:
    unused = dict(taken.credits)
    used: dict[int, int] = {}
    for one, part in taken.applications:
        if one.credit_id is not None:
            used[one.credit_id] = used.get(one.credit_id, 0) + part
    ids = sorted(unused.keys() | used.keys())
    if ids:
        sums = {"unused": [unused.get(i, 0) for i in ids], "used": [used.get(i, 0) for i in ids]}
        conn.execute(_TAKE_CREDIT, {"ids": ids, **sums})


def entries(account: str, taken: Taken, lost_minor: int = 0) -> list[tuple[ledger.Kind, ledger.Entry]]:
    """The entries of what was taken out: through a credit that had paid invoices, that credit's use is undone first."""
    through = taken.through_credit_minor
    credit = taken.unused_credit_minor + through
    kind = ledger.Kind.REFUNDED if account.startswith("clearing:") else ledger.Kind.DISPUTE_LOST
    made = [(kind, ledger.taken_back(account, taken.reopened_minor - through, credit, lost_minor))]
    if through:
        undone = ledger.credit_application_reversed(through)
        made.insert(0, (ledger.Kind.CREDIT_APPLICATION_REVERSED, undone))
    return made


def book_entries(
    conn: Connection, payment: Row[Any], made: Sequence[tuple[ledger.Kind, ledger.Entry]], today: date, now: datetime
) -> None:
    """Write a payment's entries of one day."""
    bookings = [Booking(kind, entry, payment.customer_id, payment.currency, payment.id) for kind, entry in made]
    book(conn, bookings, now, [today] * len(bookings))


def approved(conn: Connection, reversal: Row[Any], today: date, now: datetime, by: str) -> None:
    """The gateway approved a refund: it is taken out of the payment and booked."""
    amount = reversal.amount_minor
    why = f"{for_people(amount, reversal.currency)} of payment {reversal.payment_id} refunded: {reversal.reason}"
    payment, taken = take_out(conn, reversal.payment_id, amount, REFUNDED, why, now, by)
    book_entries(conn, payment, entries(ledger.clearing(reversal.gateway), taken), today, now)
    about = {"amount_minor": amount, "reversal_id": reversal.id}
    tell(conn, "payment.refunded", now, by, why, customer_id=payment.customer_id, payment_id=payment.id, details=about)


_BACK = text("""
    UPDATE payments SET refunded_minor = refunded_minor - :amount, charged_back_minor = charged_back_minor + :unlost,
                        credited_minor = credited_minor + CASE state WHEN 'posted' THEN :credit ELSE 0 END
    WHERE id = :id""")
_LOST = text("""
    SELECT CAST(coalesce(sum(amount_minor), 0) AS bigint) FROM disputes WHERE payment_id = :id AND state = 'lost'""")


def failed_after_all(conn: Connection, reversal: Row[Any], today: date, now: datetime, by: str) -> bool:
    """A refund failed that had been approved (R17): the money is here again, and the customer has it as a credit.

    Where a dispute took the same money back, the payer has it by the bank: that part ends the loss, and is no credit.
    True where the payment was voided meanwhile: then the credit stands for itself, as one that was kept (R12).
    """
    payment = conn.execute(_PAYMENT, {"id": reversal.payment_id}).one()
    loss = conn.execute(_LOST, {"id": payment.id}).scalar_one() - payment.charged_back_minor
    unlost = min(loss, reversal.amount_minor)
    credit = reversal.amount_minor - unlost
    back = {"id": payment.id, "amount": reversal.amount_minor, "unlost": unlost, "credit": credit}
    conn.execute(_BACK, back)
    entry = ledger.refund_failed_credited(reversal.gateway, reversal.amount_minor, unlost)
    book_entries(conn, payment, [(ledger.Kind.REFUND_FAILED_CREDITED, entry)], today, now)
    if credit:
        note = f"{post.origin(payment, payment.post_date or today)}: its refund failed at the gateway"
        post.create_credits(conn, [(payment, credit, note)], now, by)
    return bool(payment.state == "voided")
