"""Authorize.Net against the sandbox: the shared story, and what only Authorize.Net does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from gateways.contract import Gateway, Operation
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Failed,
    Found,
    Held,
    NoAnswer,
    Outcome,
    RefundRefusal,
    Refused,
    Standing,
    Unknown,
    VoidRefusal,
)
from sandbox import client as sandbox_client
from sandbox.client import SandboxClient
from tests.gateways import builders
from tests.gateways.story import FUNDS, LOST, REVIEW, SILENT, Changes, Story, process, sandbox

__all__ = ["process", "sandbox"]

ANSWER = "transactionResponse"
SOON, LATER = 0.5, 600
"""Seconds until nothing may be sent any more, and milliseconds after which the sandbox answers."""


class TestAuthorizeNet(Story):
    """The shared story."""

    name = "authorizenet"
    wrong_credentials: ClassVar[Mapping[str, str]] = {"transaction_key": "wrong"}
    unknown_id = "60999999999"
    other_amount: ClassVar[Changes] = {f"{ANSWER}.prepaidCard.approvedAmount": "11.85"}
    other_reference: ClassVar[Changes | None] = {"refId": "2611240000010499999"}
    without = (ANSWER, f"{ANSWER}.responseCode", f"{ANSWER}.transId", f"{ANSWER}.messages", "messages")
    pending_review: ClassVar[type[Outcome] | None] = Held
    soft_decline: ClassVar[tuple[str, DeclineClass, str]] = (FUNDS, DeclineClass.SOFT_GENERIC, "2")
    hard_decline: ClassVar[tuple[str, DeclineClass, str]] = (LOST, DeclineClass.HARD, "4")
    refund_of_unsettled: ClassVar[RefundRefusal | None] = RefundRefusal.NOT_YET

    def test_sent_twice(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: the same bytes again are refused as a duplicate, and the original is looked up: no second charge."""
        first, second = (gateway.sale(builders.sale()).result for _ in range(2))
        assert isinstance(first, Approved)
        assert isinstance(second, Approved)
        # An answer repeats no amount, the original's details do.
        assert (first.amount_minor, second.amount_minor) == (None, 11850)
        assert replace(second, amount_minor=None, message=first.message) == first
        assert sandbox.card(builders.NUMBER).charged == 1
        sent = sandbox.requests(operation="sale")
        assert [request.body for request in sent] == [sent[0].body] * 2
        assert sent[0].headers == sent[1].headers

    def test_reference_taken(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E2: no key holds a reference: another amount under it charges again, and the inquiry shows that it did."""
        self._sold(gateway)
        assert isinstance(gateway.sale(builders.sale(amount_minor=7500)).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 2
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Unknown)
        assert sighting.standing is Standing.LIMBO

    def test_original_is_not_asked_for_too_late(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E1: a duplicate's original is not asked for past send_by, so the sale is unknown."""
        self._sold(gateway)
        sandbox.scenario(after=[sandbox_client.delay(LATER)], operation="sale")
        outcome = gateway.sale(builders.sale(send_by=time.monotonic() + SOON)).result
        assert isinstance(outcome, Unknown)
        assert outcome.code == "11"
        assert sandbox.requests(operation="inquiry") == []

    def test_too_late_between_two_lists(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E1: each of an inquiry's requests is sent before send_by, or not at all."""
        self._sold(gateway)
        sandbox.scenario(after=[sandbox_client.delay(LATER)], operation="inquiry")
        sighting = gateway.inquire(builders.inquiry(send_by=time.monotonic() + SOON)).result
        assert sighting == NoAnswer("send_by", "the time to send it by had passed")
        assert len(sandbox.requests(operation="inquiry")) == 1

    def test_duplicate_after_the_window(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: past eight hours the same bytes charge again, so nothing is sent again so late."""
        self._sold(gateway)
        sandbox.advance(gateway.traits.replay_window.total_seconds())
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 1
        sandbox.advance(3601)
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 2

    def test_declined_original(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """E4: a declined sale sent again is the same decline, not a second question to the issuer."""
        card = replace(builders.CARD, number=FUNDS)
        first, second = (gateway.sale(builders.sale(card=card)).result for _ in range(2))
        assert isinstance(first, Declined)
        assert isinstance(second, Declined)
        assert (second.code, second.transaction_id) == (first.code, first.transaction_id)
        assert sandbox.card(FUNDS).declined == 1

    def test_silent_issuer_found(self, gateway: Gateway) -> None:
        """E3, R16: what the gateway took as a communication error moved nothing and may be tried later."""
        card = replace(builders.CARD, number=SILENT)
        assert isinstance(gateway.sale(builders.sale(card=card)).result, Unknown)
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Declined)
        assert (sighting.outcome.decline, sighting.standing) == (DeclineClass.SOFT_TECHNICAL, Standing.NOTHING)

    def test_review_decided(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B22: what a person at the gateway decided about a held sale is found."""
        for reference, decision, kind in (
            (builders.REFERENCE, "accept", Approved),
            (builders.ANOTHER, "reject", Declined),
        ):
            card = replace(builders.CARD, number=REVIEW)
            assert isinstance(gateway.sale(builders.sale(reference=reference, card=card)).result, Held)
            sighting = gateway.inquire(builders.inquiry(reference=reference)).result
            assert isinstance(sighting, Found)
            assert isinstance(sighting.outcome, Held)
            sandbox.review(decision, reference=str(reference))
            sighting = gateway.inquire(builders.inquiry(reference=reference)).result
            assert isinstance(sighting, Found)
            assert isinstance(sighting.outcome, kind)

    def test_void_while_it_settles(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R11: while a sale settles neither void nor refund is made, and its standing says to wait."""
        sold = self._sold(gateway)
        sandbox.settle(stop_at="settling")
        void = gateway.void(builders.void(sale_transaction_id=sold)).result
        assert isinstance(void, Refused)
        assert (void.refusal, void.code) == (VoidRefusal.CANNOT_VOID, "327")
        refund = gateway.refund(builders.refund(sale_transaction_id=sold)).result
        assert isinstance(refund, Refused)
        assert (refund.refusal, refund.code) == (RefundRefusal.NOT_YET, "50")
        assert self._standing(gateway, sold) is Standing.SETTLING

    def test_refund_too_late(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: a refund after 120 days, or to another card, is refused for good."""
        sold = self._sold(gateway)
        sandbox.settle()
        wrong = gateway.refund(builders.refund(sale_transaction_id=sold, card_last_four="0015")).result
        assert isinstance(wrong, Refused)
        assert (wrong.refusal, wrong.code) == (RefundRefusal.REFUSED, "54")
        sandbox.advance(timedelta(days=121).total_seconds())
        late = gateway.refund(builders.refund(sale_transaction_id=sold)).result
        assert isinstance(late, Refused)
        assert (late.refusal, late.code) == (RefundRefusal.REFUSED, "54")
        assert sandbox.card(builders.NUMBER).net == 11850

    def test_refund_voided(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: a void of the refund itself undoes it, which is for a person."""
        sold = self._sold(gateway)
        sandbox.settle()
        refunded = gateway.refund(builders.refund(sale_transaction_id=sold)).result
        assert isinstance(refunded, Approved)
        assert isinstance(gateway.void(builders.void(sale_transaction_id=refunded.transaction_id)).result, Approved)
        sighting = gateway.inquire(builders.inquiry(Operation.REFUND)).result
        assert isinstance(sighting, Found)
        assert (type(sighting.outcome), sighting.standing) == (Unknown, Standing.LIMBO)
        assert sandbox.card(builders.NUMBER).net == 11850

    def test_part_of_an_authorization(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """A capture of less is found with what it took, refunded up to that, and voided by the one id of both."""
        authorized = gateway.authorize(builders.sale()).result
        assert isinstance(authorized, Approved)
        part = builders.capture(amount_minor=5000, authorization_transaction_id=authorized.transaction_id)
        taken = gateway.capture(part).result
        assert isinstance(taken, Approved)
        assert taken.transaction_id == authorized.transaction_id
        again = gateway.capture(replace(part, reference=builders.ANOTHER + 1)).result
        assert isinstance(again, Approved)
        assert again.repeated
        asked = builders.inquiry(Operation.CAPTURE, sale_transaction_id=authorized.transaction_id)
        sighting = gateway.inquire(asked).result
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.outcome.amount_minor == 5000
        sandbox.settle()
        much = builders.refund(reference=builders.ANOTHER + 2, sale_transaction_id=authorized.transaction_id)
        assert isinstance(gateway.refund(much).result, Refused)
        whole = replace(much, reference=builders.ANOTHER + 3, amount_minor=5000)
        assert isinstance(gateway.refund(whole).result, Approved)
        assert sandbox.card(builders.NUMBER).net == 0

    def test_kept_card(self, gateway: Gateway) -> None:
        """C4: the token of a kept card comes with the approval, and again with a repeat or an inquiry."""
        first, again = (gateway.sale(builders.sale(keep_card=True)).result for _ in range(2))
        sighting = gateway.inquire(builders.inquiry()).result
        assert isinstance(first, Approved)
        assert isinstance(again, Approved)
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert first.card_token
        assert again.card_token == first.card_token == sighting.outcome.card_token

    def test_stored_card_of_nobody(self, gateway: Gateway) -> None:
        """C4: a token that the gateway does not know charges nothing."""
        stored = builders.sale(card=None, stored_card="926000001/926000002")
        assert isinstance(gateway.sale(stored).result, Failed)

    def test_only_what_was_settled_since_is_listed(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B13: batches are listed from an hour before the operation began, and for 30 days."""
        self._sold(gateway)
        sandbox.settle()
        asked = builders.inquiry()
        assert isinstance(gateway.inquire(asked).result, Found)
        later = replace(asked, started_at=asked.started_at + timedelta(hours=2))
        assert isinstance(gateway.inquire(later).result, Absent)
        long_ago = replace(asked, started_at=asked.started_at - timedelta(days=40))
        assert isinstance(gateway.inquire(long_ago).result, Absent)
