"""What voiding a payment would do (R10, R11), seen before it is done: the same rows as `books.void.void`, only read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from rules import states
from rules.errors import NotFound, shown

SHOWN: Final = 200
"""Invoices that a look-ahead names; the rest is counted."""


@dataclass(frozen=True, slots=True)
class OwedAgain:
    """An invoice that owes again: what the payment itself had paid of it, and what its credit had; minor units."""

    invoice_id: int
    number: str
    own_minor: int
    through_credit_minor: int
    was_paid: bool  # it returns from Paid to Pending

    @property
    def minor(self) -> int:
        """What it owes again in all."""
        return self.own_minor + self.through_credit_minor


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A credit that is taken back, and how much of it had been applied to which invoices; minor units."""

    credit_id: int
    amount_minor: int
    applied_minor: int
    applied: tuple[tuple[str, int], ...]  # number and minor units, of the invoices that are named


@dataclass(frozen=True, slots=True)
class BackToCard:
    """What goes back to the card: first by a void at the gateway, else by a refund (R11)."""

    amount_minor: int
    gateway: str
    brand: str
    last_four: str


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a void would do now. Sums in minor units of `currency`; `invoices` are the first SHOWN of `invoice_count`.

    `amount_minor` is what the payment took in, which a limit is compared with; `mark` differs whenever anything of
    this differs, the invoices that are only counted included.
    """

    payment_id: int
    currency: str
    amount_minor: int
    invoices: tuple[OwedAgain, ...]
    invoice_count: int
    paid_count: int  # invoices that return from Paid to Pending
    owed_again_minor: int
    credits: tuple[TakenBack, ...]
    taken_back_minor: int
    to_card: BackToCard | None
    mark: str


_PAYMENT = text("""
    SELECT id, state, currency, gateway, card_brand, card_last_four, refunded_minor, charged_minor,
           coalesce(charged_minor, total_minor) AS amount_minor
    FROM payments WHERE id = :id""")
_CREDITS = text("""
    SELECT id, amount_minor - taken_back_minor AS minor FROM credits WHERE payment_id = :id ORDER BY id""")
_LIVE: Final = """
    WITH live AS (
        SELECT invoice_id, credit_id, CAST(sum(amount_minor - reversed_minor) AS bigint) AS minor FROM allocations
        WHERE (payment_id = :id OR credit_id = ANY(CAST(:credit_ids AS bigint[]))) AND amount_minor > reversed_minor
        GROUP BY 1, 2
    )"""
_INVOICES = text(f"""
    {_LIVE}
    SELECT i.id, i.number, i.state,
           CAST(coalesce(sum(l.minor) FILTER (WHERE l.credit_id IS NULL), 0) AS bigint) AS own_minor,
           CAST(coalesce(sum(l.minor) FILTER (WHERE l.credit_id IS NOT NULL), 0) AS bigint) AS through_credit_minor
    FROM live l JOIN invoices i ON i.id = l.invoice_id
    GROUP BY i.id ORDER BY i.invoice_date, i.due_date, i.number, i.id LIMIT :most""")
_APPLIED = text(f"""
    {_LIVE}
    SELECT l.credit_id, i.number, l.minor FROM live l JOIN invoices i ON i.id = l.invoice_id
    WHERE l.credit_id IS NOT NULL ORDER BY l.credit_id, i.invoice_date, i.due_date, i.number, i.id LIMIT :most""")
_CREDIT_SUMS = text(f"""
    {_LIVE}
    SELECT credit_id, CAST(sum(minor) AS bigint) AS minor FROM live WHERE credit_id IS NOT NULL GROUP BY 1""")
_IN_ALL = text(f"""
    {_LIVE}
    SELECT count(DISTINCT i.id) AS invoices, count(DISTINCT i.id) FILTER (WHERE i.state = 'paid') AS paid,
           CAST(coalesce(sum(l.minor), 0) AS bigint) AS minor,
           md5(string_agg(concat_ws(' ', i.id, l.credit_id, l.minor, i.state), ',' ORDER BY i.id, l.credit_id)) AS each
    FROM live l JOIN invoices i ON i.id = l.invoice_id""")


def void(conn: Connection, payment_id: int) -> Foreseen:
    """What `books.void.void` would do with this payment now; nothing is changed.

    Raises NotFound, or MoveRefused where the payment is not posted.
    """
    payment = conn.execute(_PAYMENT, {"id": payment_id}).one_or_none()
    if payment is None:
        raise NotFound(f"There is no payment {shown(payment_id)}.", "Look at the customer's record.")
    states.after(states.Payment(payment.state), "void")
    made = conn.execute(_CREDITS, {"id": payment_id}).all()
    live = {"id": payment_id, "credit_ids": [credit.id for credit in made], "most": SHOWN}
    in_all = conn.execute(_IN_ALL, live).one()
    credits_ = _credits(conn, made, live)
    to_card = _to_card(payment)
    taken_back = sum(credit.minor for credit in made)
    each = repr((in_all.each, [(credit.id, credit.minor) for credit in made], to_card))
    digest = hashlib.sha256(each.encode()).hexdigest()[:24]
    return Foreseen(
        payment_id=payment_id,
        currency=payment.currency,
        amount_minor=payment.amount_minor,
        invoices=tuple(
            OwedAgain(row.id, row.number, row.own_minor, row.through_credit_minor, row.state == "paid")
            for row in conn.execute(_INVOICES, live)
        ),
        invoice_count=in_all.invoices,
        paid_count=in_all.paid,
        owed_again_minor=in_all.minor,
        credits=credits_,
        taken_back_minor=taken_back,
        to_card=to_card,
        mark=f"{in_all.invoices}.{in_all.minor}.{taken_back}.{to_card.amount_minor if to_card else 0}.{digest}",
    )


def _credits(conn: Connection, made: Sequence[Row[Any]], live: dict[str, Any]) -> tuple[TakenBack, ...]:
    if not made:
        return ()
    sums = {row.credit_id: row.minor for row in conn.execute(_CREDIT_SUMS, live)}
    named: dict[int, list[tuple[str, int]]] = {credit.id: [] for credit in made}
    for row in conn.execute(_APPLIED, live):
        named[row.credit_id].append((row.number, row.minor))
    return tuple(TakenBack(credit.id, credit.minor, sums.get(credit.id, 0), tuple(named[credit.id])) for credit in made)


def _to_card(payment: Row[Any]) -> BackToCard | None:
    if payment.gateway is None:
        return None
    amount = payment.charged_minor - payment.refunded_minor
    return BackToCard(amount, payment.gateway, payment.card_brand or "", payment.card_last_four or "")


def changes(before: str, now: Foreseen) -> tuple[str, ...]:
    """Which of the sums differ from those of an earlier `mark`; () where the marks are the same."""
    if before == now.mark:
        return ()
    old, new = before.split("."), now.mark.split(".")
    names = ("invoices", "owed_again", "taken_back", "to_card")
    if len(old) != len(new):
        return names
    return tuple(name for name, was, is_ in zip(names, old, new, strict=False) if was != is_) or ("which",)
