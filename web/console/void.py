"""The void window: what voiding would do, seen beforehand; above the limit it asks a second person (R10-R12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import foresee, proposals, refund, views
from books import void as voiding
from books.foresee import Foreseen
from books.people import User
from rules.cards import looks_like_card_number
from rules.errors import Fault
from rules.people import within
from web.console.payment import LeadsBack, address_of, reason_of
from web.office import At, Id, Office
from web.pages import go, page
from web.rights import Fields, Supervisor

router = APIRouter(include_in_schema=False, route_class=LeadsBack)

_CHANGED: Final = {
    "invoices": "other invoices are owed again",
    "owed_again": "another sum is owed again",
    "taken_back": "another credit is taken back",
    "to_card": "another amount goes back to the card",
    "which": "some of the invoices are others, or stand otherwise",
}


@router.get("/console/payments/{payment_id}/void")
def window(request: Request, at: At, user: Supervisor, payment_id: Id) -> Response:
    """What voiding would do, and the form that does it; where it is proposed already, the payment shows that."""
    with at.reading() as (conn, _):
        seen = foresee.void(conn, payment_id)
        proposed = proposals.open_of(conn, payment_id)
    return go(address_of(payment_id)) if proposed else _shown(request, at, user, seen, {})


@router.post("/console/payments/{payment_id}/void")
def save(request: Request, at: At, user: Supervisor, payment_id: Id, fields: Fields) -> Response:
    """Void the payment if that does what was shown, or ask for it where the amount is above the user's limit."""
    policy = "auto" if fields.get("policy") == "auto" else "ask"
    reason = reason_of(fields)
    done: voiding.Voided | None = None
    with at.transaction() as (conn, now):
        proposals.none_open(conn, payment_id)
        seen = foresee.void(conn, payment_id)
        faults = not_as_shown(fields, seen)
        if not faults and isinstance(reason, str):
            if _alone(user, seen, policy, refund.asked_by(conn, payment_id, user.name)):
                done = voiding.void(conn, payment_id, reason, policy, at.today(now), now, user.name)
            else:
                proposals.propose_void(conn, payment_id, policy, reason, now, user.name)
    if isinstance(reason, Fault):
        faults = (reason, *faults)
    if faults:
        return _shown(request, at, user, seen, fields, faults)
    if done is None:
        return go(address_of(payment_id), "Nothing is voided yet: a second person must approve it.")
    return after(at, done)


def after(at: Office, done: voiding.Voided) -> Response:
    """Where to go once a payment is void and that is committed: to its progress where a charge goes back."""
    if done.next_step is not None:
        at.wake.reversals(done.next_step, done.payment_id)
        return go(f"{address_of(done.payment_id)}/progress")
    return go(address_of(done.payment_id), f"Payment {done.payment_id} is void.")


def not_as_shown(fields: Mapping[str, str], seen: Foreseen) -> tuple[Fault, ...]:
    """What somebody else's work changed since the form was shown; nothing is done then."""
    changed = foresee.changes(fields.get("foreseen", ""), seen)
    if not changed:
        return ()
    what = ", ".join(_CHANGED[name] for name in changed)
    return (Fault("foreseen", "", f"changed since you looked: {what}", "Read again what will happen, then decide"),)


def _alone(user: User, seen: Foreseen, policy: str, refunded_minor: int) -> bool:
    """Whether the user may do it alone: the void, and the refund where it would be made without asking.

    `refunded_minor`: what the user refunded of this payment before; the limit holds for all of it together.
    """
    refunds = refunded_minor + seen.to_card.amount_minor if seen.to_card and policy == "auto" else 0
    return within(seen.amount_minor, user.void_limit_minor) and within(refunds, user.refund_limit_minor)


def _shown(
    request: Request, at: Office, user: User, seen: Foreseen, form: Mapping[str, str], faults: Sequence[Fault] = ()
) -> Response:
    with at.reading() as (conn, _):
        payment = views.payment(conn, seen.payment_id)
        refunded = refund.asked_by(conn, seen.payment_id, user.name)
    reason = form.get("reason", "")
    return page(
        request,
        "console/void.html",
        422 if faults else 200,
        payment=payment,
        seen=seen,
        reason="" if looks_like_card_number(reason) else reason,
        policy=form.get("policy", "ask"),
        may_void=_alone(user, seen, "ask", refunded),
        may_refund=_alone(user, seen, "auto", refunded),
        faults=faults,
    )
