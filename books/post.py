"""Posting (R1-R5): payments are applied to invoices, the rest becomes a credit, the books move; any number at once.

The caller holds the customers' locks (B3), so that payments of one customer end as they would one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import apart, claim
from books.history import Booking, Move, Subject, advance, book
from books.sweep import tend
from books.tally import Tally
from rules import ledger, states
from rules.allocation import Spread, spread


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of one payment's money, in minor units."""

    payment_id: int
    applied_minor: int
    credited_minor: int


_NAMED = text("""
    SELECT id, balance_minor FROM invoices WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'pending'""")
# R1: oldest first by invoice date, due date, number, id: the order of ix_invoices_pending_oldest_first.
_OLDEST_FIRST = text("""
    SELECT w.customer_id, w.currency, i.id, i.balance_minor
    FROM unnest(CAST(:customer_ids AS bigint[]), CAST(:currencies AS text[])) AS w(customer_id, currency)
    CROSS JOIN LATERAL (
        SELECT id, balance_minor FROM invoices
        WHERE customer_id = w.customer_id AND currency = w.currency AND state = 'pending'
        ORDER BY invoice_date, due_date, number, id LIMIT :most
    ) AS i""")
_FIRST_LOOK: Final = 200
_Owner = tuple[int, str]


class Owing:
    """What invoices can still take while a group of payments is applied to them, one payment after another."""

    def __init__(self, conn: Connection, payments: Sequence[Row[Any]], amounts_minor: dict[int, int]) -> None:
        self.balances: dict[int, int] = {}
        self._oldest_first: dict[_Owner, list[int]] = {}
        self._settled: dict[_Owner, int] = {}
        named = {invoice for payment in payments for invoice in payment.invoice_ids or ()}
        if named:
            self.balances |= {row.id: row.balance_minor for row in conn.execute(_NAMED, {"ids": list(named)})}
        needed: dict[_Owner, int] = {}
        for payment in payments:
            if payment.invoice_ids is None:
                owner = (payment.customer_id, payment.currency)
                needed[owner] = needed.get(owner, 0) + amounts_minor[payment.id]
        self._look(conn, needed, named)

    def _look(self, conn: Connection, needed: dict[_Owner, int], named: set[int]) -> None:
        """Read each owner's oldest pending invoices, as far as the sums reach."""
        most = _FIRST_LOOK
        while needed:
            found: dict[_Owner, list[int]] = {owner: [] for owner in needed}
            takes = dict.fromkeys(needed, 0)
            owners = {"customer_ids": [c for c, _ in needed], "currencies": [currency for _, currency in needed]}
            for customer_id, currency, invoice_id, balance in conn.execute(_OLDEST_FIRST, {**owners, "most": most}):
                owner = (customer_id, currency)
                found[owner].append(invoice_id)
                self.balances[invoice_id] = balance
                # A payment that names this invoice may empty it first: it cannot be counted on.
                takes[owner] += 0 if invoice_id in named else balance
            self._oldest_first |= found
            needed = {o: sum_ for o, sum_ in needed.items() if len(found[o]) == most and takes[o] < sum_}
            most *= 16

    def of(self, payment: Row[Any]) -> Iterator[tuple[int, int]]:
        """The invoices that this payment goes to, in order, each with what it can take now (R1, R2)."""
        if payment.invoice_ids is not None:
            caps = payment.caps_minor or [None] * len(payment.invoice_ids)
            for invoice_id, cap in zip(payment.invoice_ids, caps, strict=True):
                balance = self.balances.get(invoice_id, 0)
                yield invoice_id, balance if cap is None else min(cap, balance)
            return
        owner = (payment.customer_id, payment.currency)
        queue = self._oldest_first[owner]
        at = self._settled.get(owner, 0)
        while at < len(queue) and not self.balances[queue[at]]:
            at += 1
        self._settled[owner] = at
        for position in range(at, len(queue)):
            yield queue[position], self.balances[queue[position]]

    def apply(self, payment: Row[Any], amount_minor: int) -> Spread:
        """Apply a payment by the one allocation rule and remember what the invoices owe afterwards."""
        result = spread(amount_minor, self.of(payment))
        for invoice_id, part in result.applied:
            self.balances[invoice_id] -= part
        return result


_ALLOCATE = text("""
    INSERT INTO allocations (payment_id, invoice_id, amount_minor, created_at)
    SELECT v.payment_id, v.invoice_id, v.amount, :now
    FROM unnest(CAST(:payment_ids AS bigint[]), CAST(:invoice_ids AS bigint[]), CAST(:amounts AS bigint[]))
         AS v(payment_id, invoice_id, amount)""")
_SETTLE = text("""
    WITH v AS (
        SELECT * FROM unnest(CAST(:invoice_ids AS bigint[]), CAST(:amounts AS bigint[]), CAST(:payment_ids AS bigint[]))
                      AS v(invoice_id, amount, payment_id)
    ), i AS (
        UPDATE invoices SET balance_minor = balance_minor - v.amount,
                            state = CASE WHEN balance_minor = v.amount THEN 'paid' ELSE 'pending' END
        FROM v WHERE invoices.id = v.invoice_id
        RETURNING invoices.id, invoices.customer_id, invoices.state, v.payment_id
    )
    INSERT INTO events (at, what, customer_id, payment_id, invoice_id, from_state, to_state, by)
    SELECT :now, 'invoice.paid', customer_id, payment_id, id, 'pending', 'paid', :by FROM i WHERE state = 'paid'""")
_CREDIT = text("""
    WITH c AS (
        INSERT INTO credits (customer_id, payment_id, currency, amount_minor, balance_minor, note, created_at)
        SELECT v.customer_id, v.payment_id, v.currency, v.amount, v.amount, v.note, :now
        FROM unnest(CAST(:customer_ids AS bigint[]), CAST(:payment_ids AS bigint[]), CAST(:currencies AS text[]),
                    CAST(:amounts AS bigint[]), CAST(:notes AS text[]))
             AS v(customer_id, payment_id, currency, amount, note)
        RETURNING customer_id, payment_id, note
    )
    INSERT INTO events (at, what, customer_id, payment_id, why, by)
    SELECT :now, 'credit.created', customer_id, payment_id, note, :by FROM c""")


def settle(conn: Connection, parts: Sequence[tuple[int, int, int | None]], now: datetime, by: str) -> None:
    """Take (invoice id, minor units, payment id) off balances due; an invoice at 0 is Paid at once (R4)."""
    taken: dict[int, tuple[int, int | None]] = {}
    for invoice_id, amount, payment_id in parts:
        before = taken.get(invoice_id)
        taken[invoice_id] = (amount + (before[0] if before else 0), payment_id)
    if taken:
        conn.execute(
            _SETTLE,
            {
                "invoice_ids": list(taken),
                "amounts": [amount for amount, _ in taken.values()],
                "payment_ids": [payment_id for _, payment_id in taken.values()],
                "now": now,
                "by": by,
            },
        )


def create_credits(conn: Connection, owed: Sequence[tuple[Row[Any], int, str]], now: datetime, by: str) -> None:
    """Owe customers what (payment row, minor units, note) says (R3)."""
    if owed:
        conn.execute(
            _CREDIT,
            {
                "customer_ids": [payment.customer_id for payment, _, _ in owed],
                "payment_ids": [payment.id for payment, _, _ in owed],
                "currencies": [payment.currency for payment, _, _ in owed],
                "amounts": [amount for _, amount, _ in owed],
                "notes": [note for _, _, note in owed],
                "now": now,
                "by": by,
            },
        )


def origin(payment: Row[Any], post_date: date) -> str:
    """The note that says where a credit came from (R3)."""
    number = f" no. {payment.number}" if payment.number else ""
    return f"From payment {payment.id} of {post_date.isoformat()} by {payment.method.replace('_', ' ')}{number}"


def post(
    conn: Connection, payments: Sequence[Row[Any]], amounts_minor: dict[int, int], now: datetime, today: date, by: str
) -> list[Posted]:
    """Post payments (rows of the table, customers locked) with these sums, in the order given.

    `today` is the business day of `now`: the post date of a charged payment that has none (R5).
    """
    owing = Owing(conn, payments, amounts_minor)
    spreads = [owing.apply(payment, amounts_minor[payment.id]) for payment in payments]
    post_dates = [payment.post_date or today for payment in payments]
    parts = [
        (invoice_id, amount, payment.id)
        for payment, result in zip(payments, spreads, strict=True)
        for invoice_id, amount in result.applied
    ]
    if parts:
        conn.execute(
            _ALLOCATE,
            {
                "payment_ids": [payment_id for _, _, payment_id in parts],
                "invoice_ids": [invoice_id for invoice_id, _, _ in parts],
                "amounts": [amount for _, amount, _ in parts],
                "now": now,
            },
        )
    settle(conn, parts, now, by)
    left_over = [
        (payment, result.left_over_minor, origin(payment, day))
        for payment, result, day in zip(payments, spreads, post_dates, strict=True)
        if result.left_over_minor
    ]
    create_credits(conn, left_over, now, by)
    posted = [
        Posted(payment.id, amounts_minor[payment.id] - result.left_over_minor, result.left_over_minor)
        for payment, result in zip(payments, spreads, strict=True)
    ]
    advance(
        conn,
        Subject.PAYMENTS,
        [Move(payment.id, states.Payment(payment.state), "post") for payment in payments],
        now,
        by,
        {
            "post_date": post_dates,
            "posted_at": [now] * len(payments),
            "reason": [""] * len(payments),
            "charged_minor": [amounts_minor[payment.id] if payment.gateway else None for payment in payments],
            "applied_minor": [one.applied_minor for one in posted],
            "credited_minor": [one.credited_minor for one in posted],
        },
    )
    bookings = [
        Booking(
            ledger.Kind.POSTED,
            ledger.posted(ledger.money_account(payment.method, payment.gateway), one.applied_minor, one.credited_minor),
            payment.customer_id,
            payment.currency,
            payment.id,
        )
        for payment, one in zip(payments, posted, strict=True)
    ]
    book(conn, bookings, now, post_dates)
    return posted


def post_due(conn: Connection, scope: claim.Scope, most: int, today: date, now: datetime, by: str) -> Tally:
    """Claim due payments that need no gateway, and post them.

    One that the database refuses is put off by a quarter of an hour with an alarm; its neighbours are posted.
    """
    claimed = claim.payments(conn, "post", scope, most, now)
    tally = Tally()
    if not claimed:
        return tally
    if isinstance(scope, claim.Batch):
        tend(conn, scope.batch_id, now)

    def write(group: Sequence[Row[Any]]) -> None:
        post(conn, group, {payment.id: payment.total_minor for payment in group}, now, today, by)

    def set_aside(payment: Row[Any], error: str) -> None:
        claim.put_off(conn, payment, f"the payment could not be posted ({error}): a person must look", now, by)
        tally.set_aside += 1

    apart.each(conn, claimed, write, set_aside)
    tally.posted = len(claimed) - tally.set_aside
    return tally
