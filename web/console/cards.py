"""A customer's kept cards: which they are, who kept them, and their removal (C2)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import account, kept_cards
from rules.card_expiry import notice
from rules.cards import expires_before
from web.office import At, Id
from web.pages import go, page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)


@router.get("/console/customers/{customer_id}/cards")
def window(request: Request, at: At, user: Clerk, customer_id: Id) -> Response:
    """The cards, the latest first."""
    with at.reading() as (conn, now):
        customer = account.customer(conn, customer_id)
        cards = kept_cards.of_customer(conn, customer_id)
    today = at.today(now)
    days = at.settings.card_expiry_days
    expired = {one.id for one in cards if expires_before(one.exp_month, one.exp_year, today)}
    soon = {one.id for one in cards if notice(one.exp_month, one.exp_year, today, days)}
    return page(request, "console/cards.html", customer=customer, cards=cards, expired=expired, soon=soon)


@router.post("/console/customers/{customer_id}/cards/{card_id}/remove")
def remove(at: At, user: Clerk, customer_id: Id, card_id: Id) -> Response:
    """Keep a card no longer; its number goes now, or with the payment under way that still needs it."""
    with at.transaction() as (conn, now):
        dropped = kept_cards.remove(conn, customer_id, card_id, now, user.name)
        at.vault.drop_keys(conn, dropped)
    more = "" if dropped else " Its number is kept until the payment under way with it has ended."
    return go(f"/console/customers/{customer_id}/cards", f"The card is removed.{more}")
