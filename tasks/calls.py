"""From the books' words to the gateways' and back: pure translations, so that neither knows the other."""

from __future__ import annotations

from books import inquire, reverse
from books.charge import Begun
from books.gateway_cards import SealedToken
from books.outcome import Heard
from gateways.contract import Inquiry, Operation, Refund, Reply, Sale, Void
from gateways.window import Broke
from rules.cards import Card
from rules.errors import CardUnavailable
from rules.outcomes import Evidence, Failed, FailureClass, NoAnswer, Outcome, Sighting, Unknown


def sale(begun: Begun, card: Card | str, send_by: float) -> Sale:
    """The call of a sale that was begun, with the card or the gateway's own token for it (C4)."""
    return Sale(
        reference=begun.reference,
        amount_minor=begun.amount_minor,
        currency=begun.currency,
        send_by=send_by,
        card=None if isinstance(card, str) else card,
        stored_card=card if isinstance(card, str) else None,
        invoice_number=begun.invoice_number,
        keep_card=begun.keep_card,
        credential=begun.credential,
    )


def void(send: reverse.Send, send_by: float) -> Void:
    """The call of a void."""
    return Void(
        reference=send.reference,
        amount_minor=send.amount_minor,
        currency=send.currency,
        send_by=send_by,
        sale_reference=send.sale_reference,
        sale_transaction_id=send.sale_transaction_id,
    )


def refund(send: reverse.Send, send_by: float) -> Refund:
    """The call of a refund."""
    return Refund(
        reference=send.reference,
        amount_minor=send.amount_minor,
        currency=send.currency,
        send_by=send_by,
        sale_reference=send.sale_reference,
        sale_transaction_id=send.sale_transaction_id,
        sale_amount_minor=send.sale_amount_minor,
        card_last_four=send.card_last_four,
    )


def sale_inquiry(question: inquire.Question, send_by: float) -> Inquiry:
    """The call that looks a sale up."""
    return Inquiry(
        operation=Operation.SALE,
        reference=question.reference,
        amount_minor=question.amount_minor,
        currency=question.currency,
        started_at=question.started_at,
        send_by=send_by,
        transaction_id=question.gateway_transaction_id,
    )


def reversal_inquiry(question: reverse.Question, send_by: float) -> Inquiry:
    """The call that asks where a sale's money stands, or what became of its refund."""
    return Inquiry(
        operation=Operation(question.operation),
        reference=question.reference,
        amount_minor=question.amount_minor,
        currency=question.currency,
        started_at=question.started_at,
        send_by=send_by,
        transaction_id=question.gateway_transaction_id,
        sale_reference=question.sale_reference,
        sale_transaction_id=question.sale_transaction_id,
    )


def heard(
    transaction_id: int, lease_token: int, reply: Reply[Outcome] | Broke, sealed_token: SealedToken | None = None
) -> Heard:
    """What a call proved; one that broke by our own fault proves nothing."""
    match reply:
        case Broke(where):
            return Heard(transaction_id, lease_token, Unknown("broke", where), Evidence(None, {"broke": where}))
        case Reply(result, evidence):
            return Heard(transaction_id, lease_token, result, evidence, sealed_token)


def sighted(reply: Reply[Sighting] | Broke) -> tuple[Sighting, Evidence]:
    """What an inquiry proved."""
    match reply:
        case Broke(where):
            return NoAnswer("broke", where), Evidence(None, {"broke": where})
        case Reply(result, evidence):
            return result, evidence


def without_card(begun: Begun, reason: CardUnavailable) -> Heard:
    """A sale whose card the vault cannot give was certainly not sent."""
    outcome = Failed(FailureClass.REFUSED, "card_unavailable", reason.message)
    return Heard(begun.transaction_id, begun.lease_token, outcome, Evidence(None, {"vault": reason.message}))
