"""The refund window: all or a part of a posted charge goes back; what moves then is seen beforehand (R17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import foresee, proposals, refund, views
from books.foresee import ForeseenRefund
from books.people import User
from rules.cards import looks_like_card_number
from rules.errors import Fault, RequestRefused
from rules.money import parse_decimal, to_decimal
from web.console.payment import LeadsBack, address_of, may_return, reason_of
from web.office import At, Id, Office
from web.pages import go, page
from web.rights import Fields, Supervisor

router = APIRouter(include_in_schema=False, route_class=LeadsBack)


@router.get("/console/payments/{payment_id}/refund-part")
def window(request: Request, at: At, user: Supervisor, payment_id: Id) -> Response:
    """What refunding all that is refundable would do, and the form; where it is proposed, the payment shows that."""
    with at.reading() as (conn, _):
        seen = foresee.refund(conn, payment_id)
        proposed = proposals.open_of(conn, payment_id)
    if proposed:
        return go(address_of(payment_id))
    return _shown(request, at, user, seen, {"amount": to_decimal(seen.amount_minor, seen.currency)})


@router.post("/console/payments/{payment_id}/refund-part")
def save(request: Request, at: At, user: Supervisor, payment_id: Id, fields: Fields) -> Response:
    """Refund the amount, or ask for it where it is above the user's limit; or only show what it would do."""
    if fields.get("do") == "preview":
        with at.reading() as (conn, _):
            seen, faults = _asked(conn, payment_id, fields)
        return _shown(request, at, user, seen, fields, faults)
    reason = reason_of(fields)
    alone = False
    with at.transaction() as (conn, now):
        proposals.none_open(conn, payment_id)
        faults = not_as_shown(fields, conn, payment_id)
        seen, wrong = _asked(conn, payment_id, fields)
        faults += wrong
        if not faults and isinstance(reason, str):
            if alone := may_return(conn, user, payment_id, seen.amount_minor):
                refund.ask(conn, payment_id, seen.amount_minor, reason, now, user.name)
            else:
                proposals.propose_part(conn, payment_id, seen.amount_minor, reason, now, user.name)
    if isinstance(reason, Fault):
        faults += (reason,)
    if faults:
        return _shown(request, at, user, seen, fields, faults)
    if not alone:
        return go(address_of(payment_id), "Nothing is refunded yet: a second person must approve it.")
    return after(at, payment_id)


def after(at: Office, payment_id: int) -> Response:
    """Where to go once a refund is due and that is committed."""
    at.wake.reversals("refund", payment_id)
    return go(f"{address_of(payment_id)}/progress")


def foreseen(conn: Connection, payment_id: int, amount_minor: int) -> tuple[ForeseenRefund, tuple[Fault, ...]]:
    """What refunding the amount would do; where it is too much, what all of it would do, and what is wrong."""
    try:
        return foresee.refund(conn, payment_id, amount_minor), ()
    except RequestRefused as error:
        return foresee.refund(conn, payment_id), tuple(error.faults)


def not_as_shown(fields: Mapping[str, str], conn: Connection, payment_id: int) -> tuple[Fault, ...]:
    """Whether something moved since the form was shown, as by this form sent twice; nothing is done then."""
    if fields.get("foreseen") == foresee.refund(conn, payment_id).mark:
        return ()
    problem = "changed since you looked: a refund, a dispute or the invoices and credit that this payment paid"
    return (Fault("foreseen", "", problem, "Read again what will happen, then decide"),)


def _asked(conn: Connection, payment_id: int, fields: Mapping[str, str]) -> tuple[ForeseenRefund, tuple[Fault, ...]]:
    whole = foresee.refund(conn, payment_id)
    amount = parse_decimal(fields.get("amount", "").strip(), whole.currency)
    return (whole, (amount,)) if isinstance(amount, Fault) else foreseen(conn, payment_id, amount)


def _shown(
    request: Request,
    at: Office,
    user: User,
    seen: ForeseenRefund,
    form: Mapping[str, str],
    faults: Sequence[Fault] = (),
) -> Response:
    with at.reading() as (conn, _):
        payment = views.payment(conn, seen.payment_id)
        alone = may_return(conn, user, seen.payment_id, seen.amount_minor)
    part = "hx-request" in request.headers
    said = {name: "" if looks_like_card_number(value) else value for name, value in form.items()}
    return page(
        request,
        "console/refund_preview.html" if part else "console/refund_part.html",
        422 if faults and not part else 200,
        payment=payment,
        seen=seen,
        form=said,
        alone=alone,
        faults=faults,
    )
