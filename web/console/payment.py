"""A payment's own page: what it is, what became of its money, and what of it waits for whom to decide.

Its other windows (void, cancel, the decisions) share how a reason is checked and how a refused move leads back here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from books import foresee, people, plans, proposals, views
from books import refund as refunding
from books.foresee import Foreseen, ForeseenRefund
from books.people import User
from books.proposals import Proposal
from books.views import Attempt, ReversalStatus, Story
from rules.cards import looks_like_card_number
from rules.declines import Told, told
from rules.errors import Fault, MoveRefused, RequestRefused
from rules.outcomes import DeclineClass
from rules.people import Role, within
from rules.requests import check_words, parse_day
from web.flower import tasks_of_payment
from web.office import At, Id, Office
from web.pages import go, page
from web.rights import Clerk, Fields

router = APIRouter(include_in_schema=False)

REASON_MAX: Final = 200
"""Characters in which somebody says why."""

CAN_BE_CANCELLED: Final = ("requested", "charging", "retrying")
"""States of a payment that whoever takes payments may cancel (R13); of one in review a supervisor decides."""


def address_of(payment_id: int) -> str:
    """The address of a payment's page."""
    return f"/console/payments/{payment_id}"


def reason_of(fields: Mapping[str, str]) -> str | Fault:
    """Why somebody decides so: one line that is kept for good, never blank and without a card number (C1)."""
    said = fields.get("reason", "")
    if len(said) > REASON_MAX:
        return Fault("reason", f"{len(said):,} characters", "too long", f"Give at most {REASON_MAX} characters")
    return check_words("reason", said)


class LeadsBack(APIRoute):
    """Handlers of one payment: where its state refuses a move, the answer says why and leads back to its page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the framework's, with that one error answered."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except MoveRefused as refused:
                address = address_of(int(request.path_params["payment_id"]))
                # In a thread, as every page: its header asks the database.
                return await run_in_threadpool(
                    page, request, "console/move_refused.html", 409, refused=refused, address=address
                )

        return answer


@dataclass(frozen=True, slots=True)
class ToDecide:
    """What of a payment waits for a person; at most one of the questions is asked at a time."""

    proposal: Proposal | None  # a second person approves it
    foreseen: Foreseen | None  # what approving would do, where it is a void that can still be made
    refund: ForeseenRefund | None  # the same of a refund of a posted payment
    reversal: ReversalStatus | None  # shall the amount be returned to the card? (R12)
    alone: bool  # whether this user may say yes to that without a second person
    unsure: Attempt | None  # a charge whose outcome a person may know
    owed_less: bool  # in review since less is owed than was asked for (R8)
    deciders: tuple[str, ...]  # who may


@router.post("/console/payments/{payment_id}/move")
def move(request: Request, at: At, user: Clerk, payment_id: Id, fields: Fields) -> Response:
    """Plan a payment that waits for its day for another one."""
    run_on = parse_day("run_on", fields.get("run_on", ""))
    if isinstance(run_on, Fault):
        return shown(request, at, user, payment_id, fields, [run_on])
    try:
        with at.transaction() as (conn, now):
            plans.move(conn, payment_id, run_on, at.zone, now, user.name)
    except RequestRefused as error:
        return shown(request, at, user, payment_id, fields, error.faults)
    return go(address_of(payment_id), f"It is planned for {run_on.isoformat()}.")


@router.get("/console/payments/{payment_id}")
def window(request: Request, at: At, user: Clerk, payment_id: Id) -> Response:
    """The payment, struck through where it is void."""
    return shown(request, at, user, payment_id)


def shown(
    request: Request,
    at: Office,
    user: User,
    payment_id: int,
    form: Mapping[str, str] | None = None,
    faults: Sequence[Fault] = (),
) -> Response:
    """The payment's page; with `faults` it is an answer to a form of it that could not be taken."""
    with at.reading() as (conn, _):
        story = views.story(conn, payment_id)
        customer_id = views.customer(conn, story.payment.customer)
        to_decide = _to_decide(conn, story, user)
        charged = story.payment.charged_minor is not None
        charge = refunding.charge(conn, payment_id) if charged else None
    supervises = user.role.may(Role.SUPERVISOR)
    flower = at.settings.web_flower_url if supervises else ""
    said = {name: "" if looks_like_card_number(value) else value for name, value in (form or {}).items()}
    return page(
        request,
        "console/payment.html",
        422 if faults else 200,
        story=story,
        payment=story.payment,
        customer_id=customer_id,
        decide=to_decide,
        charge=charge,
        decline=_decline(story),
        supervises=supervises,
        tasks=tasks_of_payment(flower, payment_id, story.payment.batch_id),
        cancellable=story.payment.state in CAN_BE_CANCELLED and not story.payment.cancel_wish_by,
        form=said,
        faults=faults,
    )


def _decline(story: Story) -> Told | None:
    """What the bank's no means, where it is why the payment stands as it does."""
    sales = [one for one in story.attempts if one.operation == "sale"]
    if story.payment.state not in ("declined", "retrying") or not sales or sales[-1].decline_class is None:
        return None
    return told(sales[-1].gateway, sales[-1].code, DeclineClass(sales[-1].decline_class))


def _to_decide(conn: Connection, story: Story, user: User) -> ToDecide:
    payment = story.payment
    proposal = proposals.open_of(conn, payment.payment_id)
    voids = [one for one in story.reversals if one.purpose == "void"]
    waiting = [one for one in voids if one.state in ("refund_awaiting_approval", "failed")]
    reversal = waiting[-1] if waiting and proposal is None else None
    sales = [one for one in story.attempts if one.operation == "sale"]
    open_sales = [one for one in sales if one.state in ("unknown", "review")]
    unsure = open_sales[-1] if open_sales and proposal is None and reversal is None else None
    live = any(one.state in ("started", "unknown", "review", "approved") for one in sales)
    owed_less = payment.state == "review" and not live
    asked = proposal or reversal or unsure or owed_less
    return ToDecide(
        proposal=proposal,
        foreseen=_possible(foresee.void, conn, proposal, proposals.VOID),
        refund=_possible(foresee.refund, conn, proposal, proposals.PART),
        reversal=reversal,
        alone=reversal is not None and may_return(conn, user, payment.payment_id, reversal.amount_minor),
        unsure=unsure,
        owed_less=owed_less,
        deciders=_deciders(conn, proposal) if asked else (),
    )


Seen = TypeVar("Seen")


def _possible(look: Callable[..., Seen], conn: Connection, proposal: Proposal | None, kind: str) -> Seen | None:
    """What approving a proposal of a kind would do; None for another kind, or where that can't be done any more."""
    if proposal is None or proposal.kind != kind:
        return None
    amount = (proposal.amount_minor,) if kind == proposals.PART else ()
    try:
        return look(conn, proposal.payment_id, *amount)
    except (MoveRefused, RequestRefused):
        return None


def may_return(conn: Connection, user: User, payment_id: int, amount_minor: int) -> bool:
    """Whether the user may return this to the card alone: the limit holds for all they refund of one payment."""
    return within(refunding.asked_by(conn, payment_id, user.name) + amount_minor, user.refund_limit_minor)


def _deciders(conn: Connection, proposal: Proposal | None) -> tuple[str, ...]:
    """Who may decide: supervisors and admins, but nobody on what they asked for."""
    asker = proposal.asked_by if proposal else None
    return tuple(
        one.name for one in people.everybody(conn) if one.active and one.role.may(Role.SUPERVISOR) and one.name != asker
    )
