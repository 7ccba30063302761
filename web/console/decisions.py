"""What people decide about one payment: proposals, the question of the refund, cancelling, open and held charges."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import decide as deciding
from books import foresee, inquire, proposals, reverse, views
from books import void as voiding
from books.people import User
from rules.errors import Fault, MoveRefused, NotFound
from rules.people import Role
from web.console import refund_part, void
from web.console.payment import CAN_BE_CANCELLED, LeadsBack, address_of, may_return, reason_of, shown
from web.office import At, Id, Office
from web.pages import go, page
from web.rights import Clerk, Fields, Forbidden, Supervisor

router = APIRouter(include_in_schema=False, route_class=LeadsBack)

VERDICTS: Final = ("approved", "declined", "not_made")
"""What may have become of a charge whose outcome could not be found out."""


# ---- shall the amount be returned to the card? (R12) ----------------------------------------------------------------


@router.post("/console/payments/{payment_id}/refund")
def refund(at: At, user: Supervisor, payment_id: Id) -> Response:
    """Yes, or another try of a refund that failed; above the user's limit it asks a second person."""
    with at.transaction() as (conn, now):
        proposals.none_open(conn, payment_id)
        reversal = reverse.waiting(conn, payment_id)
        alone = may_return(conn, user, payment_id, reversal.amount_minor)
        if alone:
            reverse.approve(conn, payment_id, at.today(now), now, user.name)
        else:
            proposals.propose_refund(conn, payment_id, f"{reversal.reason}", now, user.name)
    if not alone:
        return go(address_of(payment_id), "Nothing is returned yet: a second person must approve it.")
    return refund_part.after(at, payment_id)


@router.post("/console/payments/{payment_id}/keep")
def keep(request: Request, at: At, user: Supervisor, payment_id: Id, fields: Fields) -> Response:
    """No: the amount becomes the customer's credit, or pays again what the payment had paid."""
    reason = reason_of(fields)
    if isinstance(reason, Fault):
        return shown(request, at, user, payment_id, fields, [reason])
    again = fields.get("keep") == "again"
    with at.transaction() as (conn, now):
        proposals.none_open(conn, payment_id)
        reverse.keep(conn, payment_id, reason, again, at.today(now), now, user.name)
    words = "The amount is kept: it pays the invoices again." if again else "The amount is kept as a credit."
    return go(address_of(payment_id), words)


# ---- a second person ------------------------------------------------------------------------------------------------


@router.post("/console/payments/{payment_id}/proposals/{proposal_id}/approve")
def approve(request: Request, at: At, user: Supervisor, payment_id: Id, proposal_id: Id, fields: Fields) -> Response:
    """Do what somebody else asked for, if it does what was shown."""
    done: proposals.Approved | None = None
    faults: tuple[Fault, ...] = ()
    with at.transaction() as (conn, now):
        proposal = _proposed(conn, payment_id, proposal_id)
        if proposal.kind == proposals.VOID:
            faults = void.not_as_shown(fields, foresee.void(conn, payment_id))
        elif proposal.kind == proposals.PART:
            _, faults = refund_part.foreseen(conn, payment_id, proposal.amount_minor)
            faults = faults or refund_part.not_as_shown(fields, conn, payment_id)
        if not faults:
            done = proposals.approve(conn, proposal_id, at.today(now), now, user.name)
    if done is None:
        return shown(request, at, user, payment_id, fields, faults)
    return void.after(at, done.voided) if done.voided else refund_part.after(at, payment_id)


@router.post("/console/payments/{payment_id}/proposals/{proposal_id}/refuse")
def refuse(request: Request, at: At, user: Supervisor, payment_id: Id, proposal_id: Id, fields: Fields) -> Response:
    """Say no to what somebody else asked for, and why."""
    reason = reason_of(fields)
    if isinstance(reason, Fault):
        return shown(request, at, user, payment_id, fields, [reason])
    with at.transaction() as (conn, now):
        _proposed(conn, payment_id, proposal_id)
        proposal = proposals.refuse(conn, proposal_id, reason, now, user.name)
    return go(address_of(payment_id), f"The {proposal.deed} is refused. {proposal.asked_by} sees it here.")


@router.post("/console/payments/{payment_id}/proposals/{proposal_id}/withdraw")
def withdraw(at: At, user: Supervisor, payment_id: Id, proposal_id: Id) -> Response:
    """Take back what one asked for."""
    with at.transaction() as (conn, now):
        _proposed(conn, payment_id, proposal_id)
        proposal = proposals.withdraw(conn, proposal_id, now, user.name)
    return go(address_of(payment_id), f"You no longer ask for the {proposal.deed}.")


def _proposed(conn: Connection, payment_id: int, proposal_id: int) -> proposals.Proposal:
    """The payment's open proposal, the payment locked; refused where it is not the one that was shown."""
    voiding.lock(conn, payment_id)
    found = proposals.open_of(conn, payment_id)
    if found is None or found.id != proposal_id:
        raise MoveRefused(
            "That was decided already, or is no longer asked for.", "The payment tells what became of it."
        )
    return found


# ---- before the charge (R13, R8) ------------------------------------------------------------------------------------


@router.get("/console/payments/{payment_id}/cancel")
def cancel_window(request: Request, at: At, user: Clerk, payment_id: Id) -> Response:
    """What cancelling would do, and the form that does it."""
    return _cancelling(request, at, user, payment_id)


@router.post("/console/payments/{payment_id}/cancel")
def cancel(request: Request, at: At, user: Clerk, payment_id: Id, fields: Fields) -> Response:
    """Cancel it; while it is being charged that is a wish."""
    reason = reason_of(fields)
    if isinstance(reason, Fault):
        return _cancelling(request, at, user, payment_id, (reason,))
    with at.transaction() as (conn, now):
        _may_cancel(user, voiding.lock(conn, payment_id).state)
        cancelled = voiding.cancel(conn, payment_id, reason, now, user.name)
        if cancelled:
            _forget_card(at, conn, payment_id)
    if cancelled:
        return go(address_of(payment_id), f"Payment {payment_id} is cancelled.")
    words = "It is being charged right now: no further attempt is made, and an approval goes back to the card at once."
    return go(f"{address_of(payment_id)}/progress", words)


def _cancelling(request: Request, at: Office, user: User, payment_id: int, faults: tuple[Fault, ...] = ()) -> Response:
    with at.reading() as (conn, _):
        payment = views.payment(conn, payment_id)
    _may_cancel(user, payment.state)
    if payment.state not in (*CAN_BE_CANCELLED, "review"):
        raise MoveRefused(f"Payment {payment_id} is {payment.state}: it can't be cancelled any more.")
    return page(request, "console/cancel.html", 422 if faults else 200, payment=payment, faults=faults)


def _may_cancel(user: User, state: str) -> None:
    if state == "review" and not user.role.may(Role.SUPERVISOR):
        raise Forbidden("What becomes of a payment in review, a supervisor decides.")


def _forget_card(at: Office, conn: Connection, payment_id: int) -> None:
    """C2: no more attempt is to come, so the number is not needed any more."""
    if token := views.card_of_its_own(conn, payment_id):
        at.vault.drop_keys(conn, [token])


@router.post("/console/payments/{payment_id}/decide")
def decide(request: Request, at: At, user: Supervisor, payment_id: Id, fields: Fields) -> Response:
    """R8: less is owed than was asked for: charge what is owed, charge all, or do not charge."""
    choice, reason = fields.get("choice", ""), reason_of(fields)
    faults = [reason] if isinstance(reason, Fault) else []
    if choice not in deciding.CHOICES:
        faults.append(Fault("choice", "", "missing", "Choose what becomes of the payment"))
    if isinstance(reason, Fault) or faults:
        return shown(request, at, user, payment_id, fields, faults)
    with at.transaction() as (conn, now):
        deciding.decide(conn, payment_id, choice, reason, now, user.name)
        if choice == deciding.CANCEL:
            _forget_card(at, conn, payment_id)
    if choice == deciding.CANCEL:
        return go(address_of(payment_id), f"Payment {payment_id} is cancelled.")
    at.wake.payment(payment_id, "charge")
    return go(f"{address_of(payment_id)}/progress")


@router.post("/console/payments/{payment_id}/resolve")
def resolve(request: Request, at: At, user: Supervisor, payment_id: Id, fields: Fields) -> Response:
    """E4: say what became of a charge whose outcome could not be found out, or which the gateway holds."""
    verdict, reason = fields.get("verdict", ""), reason_of(fields)
    faults = [reason] if isinstance(reason, Fault) else []
    if verdict not in VERDICTS:
        faults.append(Fault("verdict", "", "missing", "Choose what the gateway says"))
    if isinstance(reason, Fault) or faults:
        return shown(request, at, user, payment_id, fields, faults)
    with at.transaction() as (conn, now):
        try:
            tally = inquire.resolve(conn, payment_id, verdict, reason, at.terms(), now, user.name)
        except NotFound as gone:
            views.payment(conn, payment_id)
            raise MoveRefused("What became of the charge is known by now.", "Nothing was changed.") from gone
        at.vault.drop_security_codes(conn, tally.answered_cards)
        at.vault.drop_keys(conn, tally.spent_cards)
        status = views.payment(conn, payment_id)
    if status.next_step == "charge":
        at.wake.payment(payment_id, "charge")
    if tally.reversals:
        at.wake.reversals("void", payment_id)
    return go(address_of(payment_id), "What you said is recorded.")
