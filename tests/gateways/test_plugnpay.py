"""Plug'n Pay against the sandbox: the shared story, and what only Plug'n Pay does."""

from __future__ import annotations

from gateways.contract import Gateway, Operation
from rules.outcomes import Approved, Found, RefundRefusal, Refused, Standing, Unknown
from sandbox.client import SandboxClient
from tests.gateways import builders
from tests.gateways.story import Story, process, sandbox

__all__ = ["process", "sandbox"]


class TestPlugnPay(Story):
    """The shared story."""

    name = "plugnpay"
    pending_review = Unknown

    def test_refund_of_an_unsettled_sale(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B43: a return before settlement is refused as too early, and the money stays."""
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        refused = gateway.refund(builders.refund()).result
        assert isinstance(refused, Refused)
        assert refused.refusal is RefundRefusal.NOT_YET
        assert sandbox.card(builders.NUMBER).net == 11850

    def test_void_undoes_the_refund(self, gateway: Gateway, sandbox: SandboxClient) -> None:
        """B75: here a void after a return undoes the return, which the trait says and an inquiry shows."""
        assert gateway.traits.void_undoes_latest
        assert isinstance(gateway.sale(builders.sale()).result, Approved)
        sandbox.settle()
        assert isinstance(gateway.refund(builders.refund()).result, Approved)
        assert isinstance(gateway.void(builders.void()).result, Approved)
        assert sandbox.card(builders.NUMBER).net == 11850
        sighting = gateway.inquire(builders.inquiry(Operation.REFUND)).result
        assert isinstance(sighting, Found)
        assert sighting.standing is Standing.LIMBO
