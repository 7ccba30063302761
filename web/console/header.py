"""The top of a page that is open already: what is new, and what was seen."""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import follow_ups
from books.people import User
from web import header
from web.office import At, Id
from web.pages import go, page
from web.rights import Clerk, Fields, Watching

router = APIRouter(include_in_schema=False)

_OURS: Final = re.compile(r"/console/[A-Za-z0-9/_-]*")


@router.get("/console/header")
def look(request: Request, user: Watching, known: str = "") -> Response:
    """What is new since the page had the mark `known`; nothing where nothing is, or the session has ended."""
    if user is None:
        return Response(status_code=204)
    found = header.of(request, user)
    return Response(status_code=204) if found.mark == known else _part(request, user, found)


@router.post("/console/told/{payment_id}/seen")
def seen(request: Request, at: At, user: Clerk, payment_id: Id, fields: Fields) -> Response:
    """Be told of this payment no more."""
    with at.transaction() as (conn, _):
        follow_ups.seen(conn, payment_id, user.name)
    if request.headers.get("HX-Request"):
        return _part(request, user, header.of(request, user))
    here = fields.get("here", "")
    return go(here if _OURS.fullmatch(here) else "/console/find")


def _part(request: Request, user: User, found: header.Header) -> Response:
    return page(request, "told.html", header=found, user=user, part=True)
