"""The gateways' own tokens for kept cards (C4): opened right before a sale, sealed right after its approval."""

from __future__ import annotations

from books.charge import Begun
from books.gateway_cards import SealedToken, purpose
from books.inquire import Question
from gateways.contract import Reply
from gateways.window import Broke
from rules.errors import CardUnavailable
from rules.outcomes import Approved, Found, Outcome, Sighting
from vault import SealedText, Vault


def token_of(vault: Vault, sale: Begun) -> str | CardUnavailable:
    """The token by which a sale is made, or why it is not to be had; the number is never taken in its place (E4)."""
    sealed = sale.stored
    token = sealed and vault.open_text(
        SealedText(sealed.key_id, sealed.sealed), purpose(sale.gateway, sale.account, sale.card_fingerprint)
    )
    return token or CardUnavailable(
        f"The card that {sale.gateway} keeps for {sale.card_token} is gone or does not open.",
        "The number is taken at the next attempt, where it is still held; else ask the customer for the card again.",
    )


def given(vault: Vault, sale: Begun, reply: Reply[Outcome] | Broke) -> SealedToken | None:
    """What an approval gave to charge the card by later, where that was asked for."""
    if not sale.keep_card or isinstance(reply, Broke) or not isinstance(reply.result, Approved):
        return None
    return _sealed(vault, sale, reply.result)


def found(vault: Vault, question: Question, reply: Reply[Sighting] | Broke) -> SealedToken | None:
    """What an approval gave whose answer was lost."""
    if not question.keep_card or isinstance(reply, Broke):
        return None
    match reply.result:
        case Found(outcome=Approved() as approved):
            return _sealed(vault, question, approved)
        case _:
            return None


def _sealed(vault: Vault, sale: Begun | Question, approved: Approved) -> SealedToken | None:
    if not approved.card_token:
        return None
    sealed = vault.seal_text(approved.card_token, purpose(sale.gateway, sale.account, sale.card_fingerprint))
    return SealedToken(sealed.key_id, sealed.sealed)
