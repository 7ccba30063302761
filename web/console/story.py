"""A payment's whole story: the words of `defray explain`, on a page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import views
from papers.story import standing, story_sections
from web.office import At, Id
from web.pages import page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)


@router.get("/console/payments/{payment_id}/story")
def window(request: Request, at: At, user: Clerk, payment_id: Id) -> Response:
    """Where it stands, then all that happened in its order."""
    zone = at.settings.business_time_zone
    with at.reading() as (conn, _):
        story = views.story(conn, payment_id)
        customer_id = views.customer(conn, story.payment.customer)
    return page(
        request,
        "console/story.html",
        payment=story.payment,
        customer_id=customer_id,
        standing=tuple(standing(story.payment, zone)),
        sections=tuple(story_sections(story, zone)),
    )
