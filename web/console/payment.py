"""A payment's own page: what it is, where it stands, what became of its money, and its history."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import views
from web.office import At, Id
from web.pages import page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)


@router.get("/console/payments/{payment_id}")
def window(request: Request, at: At, user: Clerk, payment_id: Id) -> Response:
    """The payment, struck through where it is void."""
    with at.reading() as (conn, _):
        story = views.story(conn, payment_id)
        customer_id = views.customer(conn, story.payment.customer)
    return page(request, "console/payment.html", story=story, payment=story.payment, customer_id=customer_id)
