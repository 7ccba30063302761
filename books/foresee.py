"""What voiding or refunding a payment would do (R10, R11, R17), seen before it is done: the same rows, only read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import refund as refunding
from books import void as voiding
from rules import states
from rules.errors import NotFound, RequestRefused, shown
from rules.refunding import Charge, Taken, left_after, take

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
    """What goes back to the card: first by a void at the gateway, else by a refund (R11).

    `by_refund`: at once by a refund, since one was begun before and no void is sent after that.
    """

    amount_minor: int
    gateway: str
    brand: str
    last_four: str
    by_refund: bool = False


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
    SELECT id, state, currency, gateway, card_brand, card_last_four, refunded_minor, charged_back_minor, charged_minor,
           coalesce(charged_minor, total_minor) AS amount_minor
    FROM payments WHERE id = :id""")
_CREDITS = text("""
    SELECT id, amount_minor - taken_back_minor AS minor FROM credits
    WHERE payment_id = :id AND amount_minor > taken_back_minor ORDER BY id""")
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

    Raises NotFound, or MoveRefused where the payment is not posted, or a refund or dispute of it is not decided.
    """
    payment = _payment(conn, payment_id)
    states.after(states.Payment(payment.state), "void")
    if payment.gateway is not None:
        voiding.check_none_under_way(conn, payment_id)
    made = conn.execute(_CREDITS, {"id": payment_id}).all()
    live = {"id": payment_id, "credit_ids": [credit.id for credit in made], "most": SHOWN}
    in_all = conn.execute(_IN_ALL, live).one()
    credits_ = _credits(conn, made, live)
    to_card = _rest_to_card(conn, payment)
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


def _payment(conn: Connection, payment_id: int) -> Row[Any]:
    payment = conn.execute(_PAYMENT, {"id": payment_id}).one_or_none()
    if payment is None:
        raise NotFound(f"There is no payment {shown(payment_id)}.", "Look at the customer's record.")
    return payment


def _rest_to_card(conn: Connection, payment: Row[Any]) -> BackToCard | None:
    if payment.gateway is None or not (rest := voiding.still_charged_minor(payment)):
        return None
    begun = voiding.refund_begun(conn, payment.id, voiding.sale_of(conn, payment.id).id)
    return _to_card(payment, rest, begun)


def _to_card(payment: Row[Any], amount_minor: int, by_refund: bool) -> BackToCard:
    return BackToCard(amount_minor, payment.gateway, payment.card_brand or "", payment.card_last_four or "", by_refund)


def changes(before: str, now: Foreseen) -> tuple[str, ...]:
    """Which of the sums differ from those of an earlier `mark`; () where the marks are the same."""
    if before == now.mark:
        return ()
    old, new = before.split("."), now.mark.split(".")
    names = ("invoices", "owed_again", "taken_back", "to_card")
    if len(old) != len(new):
        return names
    return tuple(name for name, was, is_ in zip(names, old, new, strict=False) if was != is_) or ("which",)


# ---- a refund of a part, a dispute that is lost (R17) ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moves:
    """What leaves a posted payment: unused credit first, then the newest applications; minor units.

    `invoices` are the first SHOWN of `invoice_count`, the newest first; `missing_minor` is held by the payment no more.
    """

    amount_minor: int
    credit_minor: int
    invoices: tuple[OwedAgain, ...]
    invoice_count: int
    owed_again_minor: int
    missing_minor: int


@dataclass(frozen=True, slots=True)
class ForeseenRefund:
    """What a refund would do when the gateway approves it; `mark` differs once anything else may move than now."""

    payment_id: int
    currency: str
    amount_minor: int
    charge: Charge
    moves: Moves
    to_card: BackToCard
    mark: str


_STATES = text("SELECT id, number, state FROM invoices WHERE id = ANY(CAST(:ids AS bigint[]))")
_LATEST = text("SELECT coalesce(max(id), 0) FROM reversals WHERE payment_id = :id")


def refund(conn: Connection, payment_id: int, amount_minor: int | None = None) -> ForeseenRefund:
    """What a refund of `amount_minor` (None: all that is refundable, which may be 0) would move when it is approved.

    Refunds under way are approved before it. Raises NotFound, MoveRefused, RequestRefused as `books.refund.ask` does.
    """
    payment = _payment(conn, payment_id)
    refunding.check_state(payment)
    charge = refunding.charge(conn, payment_id)
    wanted = charge.refundable_minor if amount_minor is None else amount_minor
    if amount_minor is not None and not 0 < wanted <= charge.refundable_minor:
        raise RequestRefused([refunding.too_much(wanted, charge.refundable_minor, payment.currency)])
    unused, newest = refunding.holds(conn, payment_id)
    before = take(charge.refunding_minor, unused, newest)
    taken = take(wanted, *left_after(before, unused, newest))
    latest = conn.execute(_LATEST, {"id": payment_id}).scalar_one()
    digest = hashlib.sha256(repr((charge, unused, newest)).encode()).hexdigest()[:24]
    return ForeseenRefund(
        payment_id=payment_id,
        currency=payment.currency,
        amount_minor=wanted,
        charge=charge,
        moves=_moves(conn, taken, wanted),
        to_card=_to_card(payment, wanted, True),
        mark=f"{latest}.{digest}",
    )


def lost(conn: Connection, payment_id: int, amount_minor: int) -> Moves:
    """What losing a dispute over `amount_minor` would move now."""
    return _moves(conn, take(amount_minor, *refunding.holds(conn, payment_id)), amount_minor)


def _moves(conn: Connection, taken: Taken, wanted_minor: int) -> Moves:
    own: dict[int, int] = {}
    through: dict[int, int] = {}
    for one, part in taken.applications:
        of = own if one.credit_id is None else through
        of[one.invoice_id] = of.get(one.invoice_id, 0) + part
    ids = list(dict.fromkeys(one.invoice_id for one, _ in taken.applications))
    named = {row.id: row for row in conn.execute(_STATES, {"ids": ids[:SHOWN]})}
    return Moves(
        amount_minor=wanted_minor,
        credit_minor=taken.unused_credit_minor,
        invoices=tuple(
            OwedAgain(id_, named[id_].number, own.get(id_, 0), through.get(id_, 0), named[id_].state == "paid")
            for id_ in ids[:SHOWN]
        ),
        invoice_count=len(ids),
        owed_again_minor=taken.reopened_minor,
        missing_minor=wanted_minor - taken.amount_minor,
    )
