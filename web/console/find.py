"""Find a customer: one box, results as one types, arrow keys and Enter."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import find
from rules.cards import looks_like_card_number
from web.office import At, Office
from web.pages import go, page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)

_NO_CARDS = "That looks like a card number: the last four digits find its customer, and no more should be typed here."


@router.get("/console/find")
def window(request: Request, at: At, user: Clerk, q: str = "") -> Response:
    """The window; with an answer where something was asked. One single customer is opened at once."""
    found, refusal = _found(at, q)
    if len(found) == 1:
        return go(f"/console/customers/{found[0].customer_id}")
    return page(request, "console/find.html", asked="" if refusal else q, found=found, refusal=refusal, most=find.MOST)


@router.get("/console/find/results")
def results(request: Request, at: At, user: Clerk, q: str = "") -> Response:
    """The answer alone, for htmx."""
    found, refusal = _found(at, q)
    return page(
        request, "console/find_results.html", asked="" if refusal else q, found=found, refusal=refusal, most=find.MOST
    )


def _found(at: Office, asked: str) -> tuple[list[find.Found], str]:
    if looks_like_card_number(asked):
        return [], _NO_CARDS
    with at.reading() as (conn, _):
        return find.customers(conn, asked), ""
