"""Stripe against the sandbox: the shared story, and what only Stripe does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar
from urllib.parse import parse_qs

import pytest

from gateways.contract import Gateway, Operation
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Failed,
    FailureClass,
    Found,
    Outcome,
    RefundRefusal,
    Refused,
    Standing,
    Unknown,
    VoidRefusal,
)
from sandbox import client as sandbox_client
from sandbox.client import SandboxClient
from sandbox.scenarios import Step
from tests.gateways import builders
from tests.gateways.story import FUNDS, SILENT, Changes, Story, process, sandbox

__all__ = ["process", "sandbox"]

ASKS_THE_PAYER = "4000002760003184"
REFUND_FAILS_LATER = "4000000000005126"
REFUND_PENDS = "4000000000007726"
LIMITED = '{"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."}}'


class TestStripe(Story):
    """The shared story."""

    name = "stripe"
    wrong_credentials: ClassVar[Mapping[str, str]] = {"secret_key": "wrong"}
    unknown_id = "pi_3nobodyknows"
    other_amount: ClassVar[Changes] = {"amount_received": "1185"}
    other_currency: ClassVar[Changes | None] = {"currency": "cad"}
    other_reference: ClassVar[Changes | None] = {"metadata.merchant_reference": "2611240000010499999"}
    without = ("id", "status", "amount_received", "currency")
    pending_review: ClassVar[type[Outcome] | None] = None
    busy: ClassVar[Step] = sandbox_client.page(429, LIMITED, "application/json", {"Retry-After": "7"})
    busy_proves = True
    refund_is_final = True

    def test_issuer_silent(self, gateway: Gateway) -> None:
        """R16: the card that others leave unanswered has a processing error here, a decline by Stripe's table."""
        card = replace(builders.CARD, number=SILENT)
        declined = gateway.sale(builders.sale(card=card)).result
        assert isinstance(declined, Declined)
        assert (declined.decline, declined.code) == (DeclineClass.SOFT_TECHNICAL, "processing_error")

    def test_still_processing(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E3: an intent that is still processing is neither yes nor no, by its answer and by inquiry."""
        sandbox.scenario(before=[sandbox_client.answer("processing")], operation="sale")
        assert isinstance(gateway.sale(builders.sale()).result, Unknown)
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Unknown)
        assert sighting.standing is Standing.LIMBO

    def test_void_of_a_sale(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: a sale is final at once, so its void is refused by its state, and its refund follows at once."""
        sold = self._sold(gateway)
        refused = gateway.void(builders.void(sale_transaction_id=sold)).result
        assert isinstance(refused, Refused)
        assert refused.refusal is VoidRefusal.CANNOT_VOID
        asked = builders.refund(reference=builders.ANOTHER + 1, sale_transaction_id=sold)
        assert isinstance(gateway.refund(asked).result, Approved)
        sighting = gateway.inquire(builders.inquiry(transaction_id=sold)).result
        assert isinstance(sighting, Found)
        assert (sighting.standing, sighting.refunded_minor) == (Standing.REFUNDED, 11850)
        assert sandbox.card(builders.NUMBER).net == 0

    def test_partly_refunded_sale_can_be_refunded_further(self, gateway: Gateway) -> None:
        """R17: after a part was returned the sale stands as settled, with what was returned."""
        sold = self._sold(gateway)
        gateway.refund(builders.refund(amount_minor=5000, sale_transaction_id=sold))
        sighting = gateway.inquire(builders.inquiry(transaction_id=sold)).result
        assert isinstance(sighting, Found)
        assert (sighting.standing, sighting.refunded_minor) == (Standing.SETTLED, 5000)

    def test_the_payer_would_have_to_authenticate(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R16: a card that asks its holder is a decline another way, with and without the holder there."""
        card = replace(builders.CARD, number=ASKS_THE_PAYER)
        for reference, told, code in (
            (builders.REFERENCE, None, "requires_action"),
            (builders.ANOTHER, builders.UNATTENDED, "authentication_required"),
        ):
            outcome = gateway.sale(builders.sale(reference=reference, card=card, credential=told)).result
            assert isinstance(outcome, Declined)
            assert (outcome.decline, outcome.code) == (DeclineClass.OTHER_WAY, code)
        assert sandbox.card(ASKS_THE_PAYER).charged == 0

    def test_an_intent_that_waits_is_cancelled(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E5: an intent that waits for the payer can charge later, so it is cancelled before it counts as a decline."""
        sandbox.scenario(before=[sandbox_client.answer("requires_action")], operation="sale")
        first = gateway.sale(builders.sale()).result
        assert isinstance(first, Declined)
        assert first.decline is DeclineClass.OTHER_WAY
        again = gateway.sale(builders.sale()).result
        assert again == first
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert (type(sighting.outcome), sighting.standing) == (Failed, Standing.NOTHING)
        assert sandbox.card(builders.NUMBER).charged == 0

    def test_an_intent_that_could_not_be_cancelled(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E5: while the cancel is not known to be made, the sale is unknown, whatever else was sent."""
        sandbox.scenario(before=[sandbox_client.answer("requires_action")], operation="sale")
        sandbox.scenario(before=[sandbox_client.reset()], operation="void")
        outcome = gateway.sale(builders.sale()).result
        assert isinstance(outcome, Unknown)
        assert outcome.transaction_id.startswith("pi_")
        assert isinstance(gateway.sale(builders.sale()).result, Declined)

    def test_kept_card(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """C4: the card is kept under a customer that is made once, however often the sale is sent."""
        first, again = (gateway.sale(builders.sale(keep_card=True)).result for _ in range(2))
        assert isinstance(first, Approved)
        assert first == again
        assert first.card_token
        assert first.card_token.startswith("cus_")
        assert "/pm_" in first.card_token
        assert first.network_reference
        assert len(sandbox.transactions(operation="other")) == 1
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.outcome.card_token == first.card_token

    @pytest.mark.parametrize(
        ("step", "failure"),
        [
            (sandbox_client.reset(), FailureClass.BUSY),
            (sandbox_client.page(502), FailureClass.BUSY),
            (sandbox_client.page(429, LIMITED, "application/json"), FailureClass.BUSY),
            (sandbox_client.answer("more_permissions_required"), FailureClass.GATEWAY_SETUP),
        ],
        ids=str,
    )
    def test_no_customer_no_sale(
        self, gateway: Gateway, sandbox: SandboxClient, step: Step, failure: FailureClass
    ) -> None:
        """C4, E3: where the customer can't be made, the sale is not sent, which proves that nothing was charged."""
        sandbox.scenario(before=[step], operation="other")
        outcome = gateway.sale(builders.sale(keep_card=True)).result
        assert isinstance(outcome, Failed)
        assert outcome.failure is failure
        assert sandbox.requests(operation="sale") == []

    def test_stored_card_in_a_series(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """C4: a later charge says that nobody is there, and carries customer and payment method alone."""
        first = gateway.sale(builders.sale(keep_card=True)).result
        assert isinstance(first, Approved)
        told = {"card": None, "stored_card": first.card_token, "credential": builders.UNATTENDED}
        stored = builders.sale(reference=builders.ANOTHER, **told)
        assert isinstance(gateway.sale(stored).result, Approved)
        sent = parse_qs(sandbox.requests(operation="sale")[-1].body)
        assert f"{sent['customer'][0]}/{sent['payment_method'][0]}" == first.card_token
        assert sent["off_session"] == ["true"]
        assert not [name for name in sent if "payment_method_data" in name]

    def test_test_payment_methods(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """Stripe's own payment methods for tests work here, without a customer."""
        approved = gateway.sale(builders.sale(card=None, stored_card="pm_card_visa")).result
        assert isinstance(approved, Approved)
        declined = gateway.sale(
            builders.sale(
                reference=builders.ANOTHER, card=None, stored_card="pm_card_visa_chargeDeclinedInsufficientFunds"
            )
        ).result
        assert isinstance(declined, Declined)
        assert declined.decline is DeclineClass.SOFT_DATED
        assert sandbox.card(FUNDS).declined == 1

    def test_refund_that_pends(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: a pending refund is accepted, and final once it has succeeded."""
        card = replace(builders.CARD, number=REFUND_PENDS)
        sold = gateway.sale(builders.sale(card=card)).result
        assert isinstance(sold, Approved)
        accepted = gateway.refund(builders.refund(sale_transaction_id=sold.transaction_id)).result
        assert isinstance(accepted, Approved)
        assert not accepted.final
        sandbox.settle()
        asked = builders.inquiry(Operation.REFUND, transaction_id=accepted.transaction_id)
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.outcome.final

    def test_refund_that_fails_later(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: a refund that was made and failed weeks later is seen as refused, and the money is ours again."""
        card = replace(builders.CARD, number=REFUND_FAILS_LATER)
        sold = gateway.sale(builders.sale(card=card)).result
        assert isinstance(sold, Approved)
        assert isinstance(gateway.refund(builders.refund(sale_transaction_id=sold.transaction_id)).result, Approved)
        sandbox.settle()
        asked = builders.inquiry(Operation.REFUND, sale_transaction_id=sold.transaction_id)
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Refused)
        assert sighting.outcome.refusal is RefundRefusal.REFUSED
        assert sandbox.card(REFUND_FAILS_LATER).net == 11850

    def test_refund_that_never_arrived(self, gateway: Gateway) -> None:
        """E4: a refund that is not in the list of its sale's refunds is absent."""
        sold = self._sold(gateway)
        asked = builders.inquiry(Operation.REFUND, sale_transaction_id=sold)
        assert isinstance(gateway.inquire(asked).result, Absent)

    def test_part_of_an_authorization(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """A capture of less releases the rest, and the amount that was taken is the one that is told and refunded."""
        authorized = gateway.authorize(builders.sale()).result
        assert isinstance(authorized, Approved)
        taken = gateway.capture(
            builders.capture(amount_minor=5000, authorization_transaction_id=authorized.transaction_id)
        ).result
        assert isinstance(taken, Approved)
        assert taken.amount_minor == 5000
        asked = builders.inquiry(Operation.CAPTURE, sale_transaction_id=authorized.transaction_id)
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.outcome.amount_minor == 5000
        much = builders.refund(reference=builders.ANOTHER + 1, sale_transaction_id=authorized.transaction_id)
        assert isinstance(gateway.refund(much).result, Refused)
        whole = replace(much, reference=builders.ANOTHER + 2, amount_minor=5000)
        assert isinstance(gateway.refund(whole).result, Approved)
        assert sandbox.card(builders.NUMBER).net == 0

    def test_found_beyond_the_first_page(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B13: a sale behind more than a hundred later ones is found, and a miss is one after all pages."""
        sold = self._sold(gateway)
        last = gateway.sale(builders.sale(reference=builders.ANOTHER, amount_minor=100)).result
        assert isinstance(last, Approved)
        copy = last.transaction_id
        for _ in range(101):
            copy = sandbox.twin(self.name, copy).id
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.outcome.transaction_id == sold
        assert isinstance(gateway.inquire(builders.inquiry(reference=builders.ANOTHER + 9)).result, Absent)

    def test_only_what_was_made_since_is_listed(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B13: the list begins where the operation began, with ten minutes for clocks that differ."""
        self._sold(gateway)
        later = builders.inquiry()
        assert isinstance(gateway.inquire(later).result, Found)
        sandbox.advance(24 * 3600)
        self_made = replace(later, started_at=later.started_at + timedelta(minutes=11))
        assert isinstance(gateway.inquire(self_made).result, Absent)
