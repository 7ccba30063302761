"""Payflow against the sandbox: the shared story, and what only Payflow does."""

from __future__ import annotations

from dataclasses import replace

from gateways.contract import Gateway
from rules.outcomes import Approved, Held
from sandbox.client import SandboxClient
from tests.gateways import builders
from tests.gateways.story import Story, process, sandbox

__all__ = ["process", "sandbox"]


class TestPayflow(Story):
    """The shared story."""

    name = "payflow"
    pending_review = Held

    def test_stored_card(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """C4: the id of an earlier sale charges its card again, without the number."""
        first = gateway.sale(builders.sale()).result
        assert isinstance(first, Approved)
        again = builders.sale(reference=builders.ANOTHER, card=None, stored_card=first.card_token)
        assert isinstance(gateway.sale(again).result, Approved)
        assert sandbox.card(builders.NUMBER).charged == 2
        assert "ACCT" not in sandbox.requests(operation="sale")[-1].body

    def test_two_refunds_of_one_sale(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """R17: two parts of a sale are returned one after the other."""
        sold = gateway.sale(builders.sale()).result
        assert isinstance(sold, Approved)
        sandbox.settle()
        asked = builders.refund(amount_minor=5000, sale_transaction_id=sold.transaction_id)
        for part in (asked, replace(asked, reference=builders.ANOTHER + 1, amount_minor=6850)):
            outcome = gateway.refund(part).result
            assert isinstance(outcome, Approved)
            assert outcome.amount_minor == part.amount_minor
        assert sandbox.card(builders.NUMBER).net == 0
