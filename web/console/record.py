"""A customer's record: what is owed, what was paid, what is left as credit, what happened; and each invoice's page."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from books import account, holds, views
from books.account import Show
from papers.schedules import held
from web.office import At, Id
from web.pages import page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)

INVOICES_SHOWN: Final = 200
PAYMENTS_SHOWN: Final = 50
PARTS_SHOWN: Final = 200

After = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


@router.get("/console/customers/{customer_id}")
def window(
    request: Request,
    at: At,
    user: Clerk,
    customer_id: Id,
    show: Show = Show.PENDING,
    after: After = None,
    before: After = None,
) -> Response:
    """The window; `show` says which invoices, `after` and `before` which of the many to go on from."""
    with at.reading() as (conn, now):
        customer = account.customer(conn, customer_id)
        # One more than is shown tells whether there are more.
        invoices = account.invoices(conn, customer_id, show, INVOICES_SHOWN + 1, after)
        payments = views.payments_of(conn, customer_id, PAYMENTS_SHOWN + 1, before)
        balances = account.balances(conn, customer_id, at.today(now))
        kept = account.credits_of(conn, customer_id)
        history = account.history(conn, customer_id)
        hold = holds.of_customer(conn, customer_id, now)
    return page(
        request,
        "console/record.html",
        customer=customer,
        hold=held(hold, at.zone) if hold else "",
        show=show,
        shows=tuple(Show),
        after=after,
        before=before,
        invoices=invoices[:INVOICES_SHOWN],
        more_invoices=len(invoices) > INVOICES_SHOWN,
        balances=balances,
        payments=payments[:PAYMENTS_SHOWN],
        more_payments=len(payments) > PAYMENTS_SHOWN,
        credits=kept,
        history=history,
    )


@router.get("/console/customers/{customer_id}/invoices/{invoice_id}")
def invoice_page(request: Request, at: At, user: Clerk, customer_id: Id, invoice_id: Id) -> Response:
    """An invoice and what paid it, what was undone struck through."""
    with at.reading() as (conn, _):
        customer = account.customer(conn, customer_id)
        invoice = account.invoice(conn, customer_id, invoice_id)
        parts = account.paid_by(conn, invoice_id, PARTS_SHOWN)
    return page(request, "console/invoice.html", customer=customer, invoice=invoice, parts=parts, most=PARTS_SHOWN)
