"""A customer's record: what is owed, what was paid, what is left as credit, and what happened."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import account, views
from books.account import Show
from web.office import At, Id
from web.pages import page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)


@router.get("/console/customers/{customer_id}")
def window(request: Request, at: At, user: Clerk, customer_id: Id, show: Show = Show.PENDING) -> Response:
    """The window; `show` says which invoices."""
    with at.reading() as (conn, now):
        customer = account.customer(conn, customer_id)
        return page(
            request,
            "console/record.html",
            customer=customer,
            show=show,
            shows=tuple(Show),
            invoices=account.invoices(conn, customer_id, show),
            balances=account.balances(conn, customer_id, at.today(now)),
            payments=views.payments_of(conn, customer_id),
            credits=account.credits_of(conn, customer_id),
            history=account.history(conn, customer_id),
        )
