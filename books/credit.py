"""Applying credits to invoices and taking that back (R14): by the same rule as payments, oldest credit first.

What would be applied (`preview`) and what is applied are one computation; only the locks differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from books import claim
from books.history import Booking, book, tell
from books.post import settle
from rules import ledger
from rules.allocation import spread
from rules.errors import MoveRefused, NotFound


@dataclass(frozen=True, slots=True)
class Applied:
    """A credit's part that paid an invoice, in minor units."""

    credit_id: int
    invoice_id: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Usable:
    """What credits have left and what invoices owe, in one currency, in minor units."""

    credit_minor: int
    due_minor: int


class OutOfDate(MoveRefused):
    """Credits or invoices are not as the one who asks has seen them."""


_CREDITS = text("""
    SELECT id, payment_id, balance_minor FROM credits
    WHERE customer_id = :customer_id AND currency = :currency AND balance_minor > 0
      AND (CAST(:credit_id AS bigint) IS NULL OR id = :credit_id)
    ORDER BY id""")
_OLDEST_FIRST = text("""
    SELECT id, balance_minor FROM invoices
    WHERE customer_id = :customer_id AND currency = :currency AND state = 'pending'
    ORDER BY invoice_date, due_date, number, id""")
_NAMED = text("""
    SELECT i.id, i.balance_minor
    FROM unnest(CAST(:invoice_ids AS bigint[])) WITH ORDINALITY AS n(id, position) JOIN invoices i ON i.id = n.id
    WHERE i.customer_id = :customer_id AND i.currency = :currency AND i.state = 'pending' ORDER BY n.position""")
_ALLOCATE = text("""
    INSERT INTO allocations (credit_id, invoice_id, amount_minor, created_at)
    SELECT v.credit_id, v.invoice_id, v.amount, :now
    FROM unnest(CAST(:credit_ids AS bigint[]), CAST(:invoice_ids AS bigint[]), CAST(:amounts AS bigint[]))
         AS v(credit_id, invoice_id, amount)""")
_USE = text("""
    UPDATE credits c SET balance_minor = balance_minor - v.amount
    FROM unnest(CAST(:credit_ids AS bigint[]), CAST(:amounts AS bigint[])) AS v(credit_id, amount)
    WHERE c.id = v.credit_id""")


_USABLE = text("""
    SELECT CAST(coalesce((SELECT sum(balance_minor) FROM credits WHERE customer_id = :customer_id
                          AND currency = :currency AND balance_minor > 0), 0) AS bigint) AS credit_minor,
           CAST(coalesce((SELECT sum(balance_minor) FROM invoices WHERE customer_id = :customer_id
                          AND currency = :currency AND state = 'pending'), 0) AS bigint) AS due_minor""")


def usable(conn: Connection, customer_id: int, currency: str) -> Usable:
    """What a customer's credits have left and what is owed in a currency."""
    row = conn.execute(_USABLE, {"customer_id": customer_id, "currency": currency}).one()
    return Usable(**row._mapping)


def preview(
    conn: Connection,
    customer_id: int,
    currency: str,
    invoice_ids: Sequence[int] | None = None,
    credit_id: int | None = None,
) -> list[Applied]:
    """What `apply_to_invoices` would apply now, without a lock: a payment may still come first (R9)."""
    return _spread(*_found(conn, customer_id, currency, invoice_ids, credit_id))


def apply_to_invoices(
    conn: Connection,
    customer_id: int,
    currency: str,
    invoice_ids: Sequence[int] | None,
    today: date,
    now: datetime,
    by: str,
    credit_id: int | None = None,
    as_seen: Usable | None = None,
) -> list[Applied]:
    """Apply a customer's credits (or the one named) to the invoices named, else to all Pending ones, oldest first.

    Only invoices of that customer and currency are touched. Returns what was applied; nothing where nothing fits.
    Raises OutOfDate, with nothing done, where credits and dues are not `as_seen`.
    """
    claim.customers(conn, [customer_id])
    if as_seen is not None and as_seen != usable(conn, customer_id, currency):
        raise OutOfDate("The credits or the invoices changed since they were shown.", "Look at them again.")
    open_credits, owed = _found(conn, customer_id, currency, invoice_ids, credit_id)
    applied = _spread(open_credits, owed)
    if applied:
        _record(conn, customer_id, currency, open_credits, applied, today, now, by)
    return applied


def _found(
    conn: Connection, customer_id: int, currency: str, invoice_ids: Sequence[int] | None, credit_id: int | None
) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]]]:
    who = {"customer_id": customer_id, "currency": currency}
    open_credits = conn.execute(_CREDITS, {**who, "credit_id": credit_id}).all()
    owed = conn.execute(
        _OLDEST_FIRST if invoice_ids is None else _NAMED,
        who if invoice_ids is None else {**who, "invoice_ids": list(invoice_ids)},
    ).all()
    return open_credits, owed


def _spread(open_credits: Sequence[Row[Any]], owed: Sequence[Row[Any]]) -> list[Applied]:
    balances = {row.id: row.balance_minor for row in owed}
    applied: list[Applied] = []
    for credit in open_credits:
        for invoice_id, part in spread(credit.balance_minor, ((row.id, balances[row.id]) for row in owed)).applied:
            balances[invoice_id] -= part
            applied.append(Applied(credit.id, invoice_id, part))
    return applied


def _record(
    conn: Connection,
    customer_id: int,
    currency: str,
    open_credits: Sequence[Row[Any]],
    applied: Sequence[Applied],
    today: date,
    now: datetime,
    by: str,
) -> None:
    source = {credit.id: credit.payment_id for credit in open_credits}
    used: dict[int, int] = {}
    for one in applied:
        used[one.credit_id] = used.get(one.credit_id, 0) + one.amount_minor
    conn.execute(
        _ALLOCATE,
        {
            "credit_ids": [one.credit_id for one in applied],
            "invoice_ids": [one.invoice_id for one in applied],
            "amounts": [one.amount_minor for one in applied],
            "now": now,
        },
    )
    conn.execute(_USE, {"credit_ids": list(used), "amounts": list(used.values())})
    settle(conn, [(one.invoice_id, one.amount_minor, source[one.credit_id]) for one in applied], now, by)
    bookings = [
        Booking(ledger.Kind.CREDIT_APPLIED, ledger.credit_applied(amount), customer_id, currency, source[credit_id])
        for credit_id, amount in used.items()
    ]
    book(conn, bookings, now, [today] * len(bookings))
    for credit_id, amount in used.items():
        details = {"credit_id": credit_id, "amount_minor": amount}
        tell(conn, "credit.applied", now, by, customer_id=customer_id, payment_id=source[credit_id], details=details)


_APPLICATION = text("""
    SELECT a.id, a.invoice_id, a.credit_id, a.amount_minor - a.reversed_minor AS live, c.customer_id, c.currency,
           c.payment_id
    FROM allocations a JOIN credits c ON c.id = a.credit_id WHERE a.id = :id""")
_REVERSE = text("UPDATE allocations SET reversed_minor = amount_minor, reversed_at = :now WHERE id = :id")
_GIVE_BACK = text("UPDATE credits SET balance_minor = balance_minor + :live WHERE id = :id")
_REOPEN = text("UPDATE invoices SET balance_minor = balance_minor + :live, state = 'pending' WHERE id = :id")


def take_back(
    conn: Connection,
    allocation_id: int,
    reason: str,
    today: date,
    now: datetime,
    by: str,
    customer_id: int | None = None,
) -> Applied:
    """Undo one application of a credit: the invoice owes again, the credit has it back.

    Raises NotFound, also where it is not of the `customer_id` that is given, or MoveRefused where it was undone before.
    """
    found = conn.execute(_APPLICATION, {"id": allocation_id}).one_or_none()
    if found is None or customer_id not in (None, found.customer_id):
        raise NotFound(
            f"There is no application {allocation_id} of a credit.",
            "`defray explain PAYMENT` lists those of a payment's credits.",
        )
    claim.customers(conn, [found.customer_id])
    application = conn.execute(_APPLICATION, {"id": allocation_id}).one()
    if not application.live:
        raise MoveRefused("That application of a credit was undone before.", "Nothing is left to undo.")
    conn.execute(_REVERSE, {"id": allocation_id, "now": now})
    conn.execute(_GIVE_BACK, {"id": application.credit_id, "live": application.live})
    conn.execute(_REOPEN, {"id": application.invoice_id, "live": application.live})
    entry = ledger.credit_application_reversed(application.live)
    booking = Booking(
        ledger.Kind.CREDIT_APPLICATION_REVERSED,
        entry,
        application.customer_id,
        application.currency,
        application.payment_id,
    )
    book(conn, [booking], now, [today])
    tell(
        conn,
        "invoice.reopened",
        now,
        by,
        reason,
        customer_id=application.customer_id,
        payment_id=application.payment_id,
        invoice_id=application.invoice_id,
    )
    return Applied(application.credit_id, application.invoice_id, application.live)
