"""What becomes of a payment or a batch, while one looks: live with JavaScript, by a page that reloads without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import follow, follow_ups, views
from books.follow import Standing
from books.people import User
from rules.people import Role
from web.flower import tasks_of_payment
from web.office import At, Id, Office
from web.pages import go, page
from web.progress import last_seen, leads, of_batch, of_payment, step_words, stream, words
from web.rights import Clerk, watching

router = APIRouter(include_in_schema=False)


@router.get("/console/payments/{payment_id}/progress")
def payment(request: Request, at: At, user: Clerk, payment_id: Id) -> Response:
    """The progress window; asked for `text/event-stream`, its news.

    Who looks at an open payment is told of its end later, unless they see it here.
    """
    if _wants_stream(request):
        with at.reading() as (conn, _):
            follow.payment(conn, payment_id)
        address = partial(_go_on, payment_id)
        seen = partial(_seen, at, payment_id, user.name)
        return stream(request, of_payment(at, payment_id, address), _may(request, at), last_seen(request), seen)
    with at.transaction() as (conn, now):
        standing, events = follow.payment(conn, payment_id)
        if standing.over and not standing.outcome_unknown:
            follow_ups.seen(conn, payment_id, user.name)
        else:
            follow_ups.follow(conn, payment_id, user.name, now)
    return page(
        request,
        "console/progress.html",
        payment_id=payment_id,
        steps=[said for one in events if (said := step_words(one))],
        seen=events[-1].id if events else 0,
        over=standing.over,
        leads=leads(standing),
        outcome=words(standing, now, at.settings.business_time_zone),
        address=_go_on(payment_id, standing),
        tasks=_tasks(at, user, payment_id, standing),
    )


@router.get("/console/batches/{batch_id}/progress")
def batch(request: Request, at: At, user: Clerk, batch_id: Id) -> Response:
    """The news of a batch; asked for a page, the batch's own. Raises NotFound."""
    if not _wants_stream(request):
        return go(f"/console/batches/{batch_id}")
    with at.reading() as (conn, _):
        views.batch(conn, batch_id, most=0)
    return stream(request, of_batch(at, batch_id), _may(request, at))


def _go_on(payment_id: int, standing: Standing) -> str:
    """To the payment where somebody decides or its money goes back, to a posted one's receipt, else to the record."""
    if standing.state == "review" or standing.reversal_state is not None:
        return f"/console/payments/{payment_id}"
    if standing.state == "posted":
        return f"/console/payments/{payment_id}/receipt"
    return f"/console/customers/{standing.customer_id}"


def _seen(at: Office, payment_id: int, user: str) -> None:
    with at.transaction() as (conn, _):
        follow_ups.seen(conn, payment_id, user)


def _tasks(at: Office, user: User, payment_id: int, standing: Standing) -> str:
    """What works on it, in Flower, for who supervises."""
    flower = at.settings.web_flower_url if user.role.may(Role.SUPERVISOR) else ""
    return tasks_of_payment(flower, payment_id, standing.batch_id)


def _may(request: Request, at: Office) -> Callable[[], bool]:
    """Whether the session that began to look has not ended meanwhile; a stream by itself keeps none alive."""
    return lambda: watching(request, at) is not None


def _wants_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")
