"""What becomes of a payment or a batch, while one looks: live with JavaScript, by a page that reloads without."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import follow, views
from books.follow import Standing
from web.office import At, Id
from web.pages import page
from web.progress import end_words, last_seen, of_batch, of_payment, step_words, stream
from web.rights import Clerk

router = APIRouter(include_in_schema=False)


@router.get("/console/payments/{payment_id}/progress")
def payment(request: Request, at: At, user: Clerk, payment_id: Id) -> Response:
    """The progress window; asked for `text/event-stream`, its news."""
    with at.reading() as (conn, _):
        standing, events = follow.payment(conn, payment_id)
    address = partial(_go_on, payment_id)
    if _wants_stream(request):
        return stream(request, of_payment(at, payment_id, address), last_seen(request))
    return page(
        request,
        "console/progress.html",
        payment_id=payment_id,
        steps=[said for one in events if (said := step_words(one))],
        seen=events[-1].id if events else 0,
        over=standing.over,
        outcome=end_words(standing),
        address=address(standing),
    )


@router.get("/console/batches/{batch_id}/progress")
def batch(request: Request, at: At, user: Clerk, batch_id: Id) -> Response:
    """The same for a batch: its counts."""
    with at.reading() as (conn, _):
        status = views.batch(conn, batch_id, most=0)
    if _wants_stream(request):
        return stream(request, of_batch(at, batch_id))
    return page(request, "console/batch_progress.html", batch=status)


def _go_on(payment_id: int, standing: Standing) -> str:
    """To the payment where somebody decides or its money goes back, else to the customer's record."""
    if standing.state == "review" or standing.reversal_state is not None:
        return f"/console/payments/{payment_id}"
    return f"/console/customers/{standing.customer_id}"


def _wants_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")
