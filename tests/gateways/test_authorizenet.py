"""Authorize.Net against the sandbox: the shared story, and what only Authorize.Net does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from gateways.contract import Gateway
from rules.outcomes import Approved, DeclineClass, Found, Held, Outcome, RefundRefusal, Standing, Unknown
from sandbox.client import SandboxClient
from tests.gateways import builders
from tests.gateways.story import FUNDS, LOST, Changes, Story, process, sandbox

__all__ = ["process", "sandbox"]

ANSWER = "transactionResponse"


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
