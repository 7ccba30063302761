"""A payment's receipt: what the one who paid may see, on a page that prints well, as PDF and by e-mail."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import account, mail
from books.receipt import receipt
from papers.receipt import file_name, receipt_pdf
from rules.cards import looks_like_card_number
from rules.emails import check_email
from rules.errors import Fault
from web.office import At, Id, Office
from web.pages import form_key, go, page
from web.rights import Clerk, Fields

router = APIRouter(include_in_schema=False)

PDF: Final = "application/pdf"
_KEY: Final = re.compile(r"form-[a-z]{20}")


@router.get("/console/payments/{payment_id}/receipt")
def window(request: Request, at: At, user: Clerk, payment_id: Id) -> Response:
    """The receipt, and what became of the mails that bring it."""
    return _shown(request, at, payment_id)


@router.get("/console/payments/{payment_id}/receipt.pdf")
def paper(at: At, user: Clerk, payment_id: Id) -> Response:
    """The receipt to keep or to print."""
    with at.reading() as (conn, _):
        paid = receipt(conn, payment_id)
    pdf = receipt_pdf(paid, at.settings.business_name)
    return Response(pdf, media_type=PDF, headers={"Content-Disposition": f'inline; filename="{file_name(paid)}"'})


@router.post("/console/payments/{payment_id}/receipt/mail")
def send(request: Request, at: At, user: Clerk, payment_id: Id, fields: Fields) -> Response:
    """Let it be sent; the worker sends it, and tries again where it must."""
    said = fields.get("address", "")
    address = check_email("address", said)
    if at.settings.smtp_url is None:
        address = Fault("address", "", "no mail server is set", "Print the receipt instead")
    if isinstance(address, Fault):
        return _shown(request, at, payment_id, "" if looks_like_card_number(said) else said, (address,))
    key = fields.get("form_key", "")
    domain = at.settings.mail_from.rpartition("@")[2].strip("> ")
    message_id = f"<{key if _KEY.fullmatch(key) else form_key()}@{domain}>"
    with at.transaction() as (conn, now):
        mail_id = mail.ask(conn, payment_id, address, message_id, now, user.name)
    if mail_id is not None:
        at.wake.mails(mail_id)
    return go(f"/console/payments/{payment_id}/receipt", f"The receipt is being sent to {address}.")


def _shown(
    request: Request, at: Office, payment_id: int, address: str | None = None, faults: Sequence[Fault] = ()
) -> Response:
    with at.reading() as (conn, _):
        paid = receipt(conn, payment_id)
        customer = account.customer(conn, paid.customer_id)
        mails = mail.mails_of(conn, payment_id)
    return page(
        request,
        "console/receipt.html",
        422 if faults else 200,
        receipt=paid,
        mails=mails,
        can_mail=at.settings.smtp_url is not None,
        address=customer.email or "" if address is None else address,
        form_key=form_key(),
        faults=faults,
    )
