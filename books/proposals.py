"""What somebody may not do alone, since it is above their limit: it is proposed, and a second person decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import refund, reverse
from books import void as voiding
from books.history import tell
from rules import states
from rules.errors import MoveRefused, NotFound, shown
from rules.money import for_people

VOID: Final = "void"
REFUND: Final = "refund"
PART: Final = "refund_part"
"""What is proposed: to void a posted payment, to return a voided one's charge to the card by a refund, or to refund a
posted one, all of it or a part (R17)."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An open one. Of a void, `policy` says what follows if the gateway refuses to void the charge (R12)."""

    id: int
    payment_id: int
    kind: str
    amount_minor: int
    currency: str
    policy: str
    reason: str
    asked_at: datetime
    asked_by: str

    @property
    def deed(self) -> str:
        """What it is, in a word: a void or a refund."""
        return "refund" if self.kind == PART else self.kind


@dataclass(frozen=True, slots=True)
class Approved:
    """What an approval did: the payment is void, with a reversal where it was charged; or its refund is due."""

    proposal: Proposal
    voided: voiding.Voided | None


_COLUMNS: Final = "id, payment_id, kind, amount_minor, currency, policy, reason, asked_at, asked_by"
_PROPOSE = text("""
    INSERT INTO proposals (kind, payment_id, amount_minor, currency, policy, reason, asked_at, asked_by)
    VALUES (:kind, :payment_id, :amount_minor, :currency, :policy, :reason, :now, :by)
    ON CONFLICT DO NOTHING RETURNING id""")
_OPEN_OF = text(f"SELECT {_COLUMNS} FROM proposals WHERE payment_id = :id AND decision IS NULL")
_WAITING = text(f"SELECT {_COLUMNS} FROM proposals WHERE decision IS NULL ORDER BY id LIMIT :most")
_PAYMENT_OF = text("SELECT payment_id FROM proposals WHERE id = :id")
_LOCKED = text(f"SELECT {_COLUMNS}, decision, decided_by FROM proposals WHERE id = :id FOR NO KEY UPDATE")
_DECIDE = text("UPDATE proposals SET decision = :decision, decided_at = :now, decided_by = :by WHERE id = :id")


def propose_void(conn: Connection, payment_id: int, policy: str, reason: str, now: datetime, by: str) -> int:
    """Ask a second person to void a posted payment; the proposal's id.

    Raises NotFound, or MoveRefused where the payment is not posted or something is proposed for it already.
    """
    payment = voiding.lock(conn, payment_id)
    states.after(states.Payment(payment.state), "void")
    amount = payment.total_minor if payment.charged_minor is None else payment.charged_minor
    return _propose(conn, VOID, payment, amount, policy, reason, now, by)


def propose_refund(conn: Connection, payment_id: int, reason: str, now: datetime, by: str) -> int:
    """Ask a second person to return a voided payment's charge to the card by a refund; the proposal's id.

    Raises NotFound, or MoveRefused where no refund waits for an answer or something is proposed for it already.
    """
    reversal = reverse.waiting(conn, payment_id)
    payment = voiding.lock(conn, payment_id)
    return _propose(conn, REFUND, payment, reversal.amount_minor, "ask", reason, now, by)


def propose_part(conn: Connection, payment_id: int, amount_minor: int, reason: str, now: datetime, by: str) -> int:
    """Ask a second person to refund an amount of a posted card payment; the proposal's id. It reserves nothing.

    Raises NotFound, MoveRefused and RequestRefused as `books.refund.ask` does, or MoveRefused where something is
    proposed already.
    """
    payment, amount = refund.check(conn, payment_id, amount_minor)
    return _propose(conn, PART, payment, amount, "auto", reason, now, by)


def _propose(
    conn: Connection, kind: str, payment: Row[Any], amount: int, policy: str, reason: str, now: datetime, by: str
) -> int:
    asked = {"kind": kind, "payment_id": payment.id, "amount_minor": amount, "currency": payment.currency}
    told = {"policy": policy, "reason": reason, "now": now, "by": by}
    proposal_id: int | None = conn.execute(_PROPOSE, {**asked, **told}).scalar_one_or_none()
    if proposal_id is None:
        _refuse_open(conn, payment.id)
        raise RuntimeError(f"payment {payment.id} took no proposal though none is open")
    deed = "refund" if kind == PART else kind
    why = f"{deed} of {for_people(amount, payment.currency)}, above the limit of {by}: {reason}"
    tell(conn, "proposal.asked", now, by, why, customer_id=payment.customer_id, payment_id=payment.id)
    return proposal_id


def open_of(conn: Connection, payment_id: int) -> Proposal | None:
    """What is proposed for a payment and not decided yet."""
    row = conn.execute(_OPEN_OF, {"id": payment_id}).one_or_none()
    return Proposal(**row._mapping) if row else None


def waiting(conn: Connection, most: int) -> list[Proposal]:
    """What waits for a second person, the oldest first."""
    return [Proposal(**row._mapping) for row in conn.execute(_WAITING, {"most": most})]


def none_open(conn: Connection, payment_id: int) -> None:
    """Lock the payment and raise MoveRefused where something is proposed for it: that is decided first.

    Raises NotFound, too.
    """
    voiding.lock(conn, payment_id)
    _refuse_open(conn, payment_id)


def _refuse_open(conn: Connection, payment_id: int) -> None:
    if found := open_of(conn, payment_id):
        raise MoveRefused(
            f"{found.asked_by} asked for a {found.deed} of payment {payment_id} already.",
            "A second person approves or refuses that first.",
        )


def approve(conn: Connection, proposal_id: int, today: date, now: datetime, by: str) -> Approved:
    """Approve a proposal and do it, in this very transaction; never by who asked for it.

    Raises NotFound, or MoveRefused where it was decided before, by who asked, or where the payment has moved on;
    RequestRefused where less than was asked for can be refunded by now.
    """
    proposal = _undecided(conn, proposal_id)
    if proposal.asked_by == by:
        raise MoveRefused("You asked for this yourself.", "A second person approves it; you can withdraw it.")
    _decide(conn, proposal, "approved", f"{proposal.deed}, asked for by {proposal.asked_by}", now, by)
    if proposal.kind == REFUND:
        reverse.approve(conn, proposal.payment_id, today, now, by)
        return Approved(proposal, None)
    if proposal.kind == PART:
        refund.ask(conn, proposal.payment_id, proposal.amount_minor, proposal.reason, now, by)
        return Approved(proposal, None)
    done = voiding.void(conn, proposal.payment_id, proposal.reason, proposal.policy, today, now, by)
    return Approved(proposal, done)


def refuse(conn: Connection, proposal_id: int, reason: str, now: datetime, by: str) -> Proposal:
    """Say no to a proposal. Raises NotFound, or MoveRefused where it was decided before or `by` asked for it."""
    proposal = _undecided(conn, proposal_id)
    if proposal.asked_by == by:
        raise MoveRefused("You asked for this yourself.", "Withdraw it instead.")
    _decide(conn, proposal, "refused", f"{proposal.deed}, asked for by {proposal.asked_by}: {reason}", now, by)
    return proposal


def withdraw(conn: Connection, proposal_id: int, now: datetime, by: str) -> Proposal:
    """Take one's own proposal back. Raises NotFound, or MoveRefused where it was decided or somebody else asked."""
    proposal = _undecided(conn, proposal_id)
    if proposal.asked_by != by:
        raise MoveRefused(f"{proposal.asked_by} asked for this.", "Who asked can withdraw it; you can refuse it.")
    _decide(conn, proposal, "withdrawn", proposal.deed, now, by)
    return proposal


def _undecided(conn: Connection, proposal_id: int) -> Proposal:
    """The proposal, its payment locked first (B3)."""
    payment_id = conn.execute(_PAYMENT_OF, {"id": proposal_id}).scalar_one_or_none()
    if payment_id is None:
        raise NotFound(f"There is no proposal {shown(proposal_id)}.", "Look at the payment.")
    voiding.lock(conn, payment_id)
    row = conn.execute(_LOCKED, {"id": proposal_id}).one()
    if row.decision is not None:
        raise MoveRefused(f"That was decided already: {row.decision} by {row.decided_by}.", "Look at the payment.")
    return Proposal(*row[:-2])


def _decide(conn: Connection, proposal: Proposal, decision: str, why: str, now: datetime, by: str) -> None:
    conn.execute(_DECIDE, {"id": proposal.id, "decision": decision, "now": now, "by": by})
    tell(conn, f"proposal.{decision}", now, by, why, payment_id=proposal.payment_id)
