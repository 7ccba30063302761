"""What waits for a person: everybody sees it, a supervisor acts on the payment's own page."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import card_notices, waiting
from books.waiting import Kind
from rules.card_expiry import expire_soon
from rules.people import Role
from web.office import At
from web.pages import page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)

MOST: Final = 100
"""Payments shown of each kind, and cards; what is left out comes when these were dealt with."""

WORDS: Final = {
    Kind.UNKNOWN: (
        "Was the card charged?",
        "The gateway was asked again and again and has not said. Look at the gateway's own pages, then say on the"
        " payment's page whether it was charged. Do not charge it again before.",
    ),
    Kind.HELD: (
        "Held by the gateway",
        "Accept or refuse it on the gateway's own pages: what is decided there is learnt from it. Or say on the"
        " payment's page what became of the charge.",
    ),
    Kind.PROPOSED: ("Above somebody's limit", "Approve it or refuse it; not who asked for it."),
    Kind.REFUND: (
        "Shall the amount go back to the card?",
        "The gateway could not void the charge any more. Return the amount by a refund, or keep it.",
    ),
    Kind.FAILED: ("The amount did not get back to the card", "Try the refund again, or keep the amount."),
    Kind.DISPUTE: (
        "Disputed by the payer’s bank",
        "Answer the bank in time. Say on the payment’s page how the dispute ended; nothing of it is refunded before.",
    ),
    Kind.OWED_LESS: (
        "Less is owed than was to be charged",
        "Charge what is owed, charge all of it, or do not charge.",
    ),
    Kind.PART_FAILED: (
        "A refund failed",
        "It could not be made. If it is still wanted, ask for it again on the payment’s page.",
    ),
    Kind.MAIL: ("A receipt could not be sent", "Compare the address, and send it again."),
}
"""What a kind is called, and what can be done about it."""


@router.get("/console/waiting")
def window(request: Request, at: At, user: Clerk) -> Response:
    """All of it, by what is to be done, the oldest first; and the kept cards that expire soon."""
    with at.reading() as (conn, now):
        groups = waiting.waiting(conn, now, MOST)
        months = expire_soon(at.today(now), at.settings.card_expiry_days)
        cards = card_notices.expiring(conn, *months, MOST + 1)
    return page(
        request,
        "console/waiting.html",
        groups=groups,
        words=WORDS,
        acts=user.role.may(Role.SUPERVISOR),
        cards=cards[:MOST],
        more_cards=len(cards) > MOST,
    )
