"""The dispute window: a payer's bank takes a charge back; what losing it would do is seen beforehand (R17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import dispute, foresee, views
from books.people import User
from rules.cards import looks_like_card_number
from rules.errors import Fault, MoveRefused, NotFound, RequestRefused
from rules.money import parse_decimal
from rules.requests import check_words
from web.console.payment import LeadsBack, address_of, reason_of
from web.office import At, Id, Office
from web.pages import go, page
from web.rights import Fields, Supervisor

router = APIRouter(include_in_schema=False, route_class=LeadsBack)

CASE_MAX: Final = 100
"""Characters of a case's name at the bank."""


@router.get("/console/payments/{payment_id}/dispute")
def window(request: Request, at: At, user: Supervisor, payment_id: Id) -> Response:
    """The payment's open disputes, each with what losing it would do, and the form for a new one."""
    return _shown(request, at, user, payment_id, {})


@router.post("/console/payments/{payment_id}/dispute")
def open_case(request: Request, at: At, user: Supervisor, payment_id: Id, fields: Fields) -> Response:
    """Record a dispute; a case that is known already is not recorded again."""
    reason, case = reason_of(fields), _case(fields)
    with at.reading() as (conn, _):
        currency = views.payment(conn, payment_id).currency
    said = fields.get("amount", "").strip()
    amount = parse_decimal(said, currency) if said else None
    faults = [one for one in (case, amount, reason) if isinstance(one, Fault)]
    if isinstance(reason, Fault) or isinstance(case, Fault) or isinstance(amount, Fault):
        return _shown(request, at, user, payment_id, fields, faults)
    try:
        with at.transaction() as (conn, now):
            new = dispute.open_case(conn, payment_id, case, amount, reason, at.today(now), now, user.name)
    except RequestRefused as error:
        return _shown(request, at, user, payment_id, fields, error.faults)
    words = f"Case {case} is recorded: nothing of it is refunded until it is decided."
    return go(address_of(payment_id), words if new else f"Case {case} was known already: nothing changed.")


@router.post("/console/payments/{payment_id}/disputes/{dispute_id}")
def end(request: Request, at: At, user: Supervisor, payment_id: Id, dispute_id: Id, fields: Fields) -> Response:
    """Say how a dispute ended."""
    field, how = f"reason-{dispute_id}", fields.get("end", "")
    reason = reason_of({"reason": fields.get(field, "")})
    faults = [replace(reason, field=field)] if isinstance(reason, Fault) else []
    if how not in ("won", "lost"):
        faults.append(Fault(f"end-{dispute_id}", "", "missing", "Choose how it ended"))
    if isinstance(reason, Fault) or faults:
        return _shown(request, at, user, payment_id, fields, faults)
    with at.transaction() as (conn, now):
        found = {one.dispute_id: one.reference for one in views.disputes(conn, payment_id)}
        if dispute_id not in found:
            raise NotFound("There is no such dispute of this payment.", "Look at the payment.")
        decide = dispute.win if how == "won" else dispute.lose
        ended = decide(conn, payment_id, found[dispute_id], reason, at.today(now), now, user.name)
    words = "What it had paid is owed again." if ended.taken_minor else ""
    return go(address_of(payment_id), f"The dispute is {how}. {words}".strip())


def _case(fields: Mapping[str, str]) -> str | Fault:
    said = fields.get("case", "")
    if len(said) > CASE_MAX:
        return Fault("case", f"{len(said):,} characters", "too long", f"Give at most {CASE_MAX} characters")
    return check_words("case", said)


def _shown(
    request: Request,
    at: Office,
    user: User,
    payment_id: int,
    form: Mapping[str, str],
    faults: Sequence[Fault] = (),
) -> Response:
    with at.reading() as (conn, _):
        payment = views.payment(conn, payment_id)
        if payment.charged_minor is None:
            raise MoveRefused("No card was charged for this payment.", "Only a charge can be disputed.")
        every = views.disputes(conn, payment_id)
        opened = [one for one in every if one.state == "open"]
        lost = {one.dispute_id: foresee.lost(conn, payment_id, one.amount_minor) for one in opened}
    can = payment.charged_minor - sum(one.amount_minor for one in every if one.state != "won")
    return page(
        request,
        "console/dispute.html",
        422 if faults else 200,
        payment=payment,
        opened=opened,
        lost=lost,
        can_minor=can,
        form={name: "" if looks_like_card_number(value) else value for name, value in form.items()},
        faults=faults,
    )
