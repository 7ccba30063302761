"""A payment's receipt: what the one who paid may see, on a page that prints well."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from books.receipt import receipt
from web.office import At, Id
from web.pages import page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)


@router.get("/console/payments/{payment_id}/receipt")
def window(request: Request, at: At, user: Clerk, payment_id: Id) -> Response:
    """The receipt."""
    with at.reading() as (conn, _):
        return page(request, "console/receipt.html", receipt=receipt(conn, payment_id))
