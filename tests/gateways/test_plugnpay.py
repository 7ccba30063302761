"""Plug'n Pay against the sandbox: the shared story, and what only Plug'n Pay does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rules.outcomes import RefundRefusal, Unknown
from tests.gateways.story import Changes, Story, process, sandbox

__all__ = ["process", "sandbox"]


class TestPlugnPay(Story):
    """The shared story."""

    name = "plugnpay"
    wrong_credentials: ClassVar[Mapping[str, str]] = {"publisher_password": "wrong"}
    unknown_id = "2611240000010499999"
    other_amount: ClassVar[Changes] = {"amountcharged": "11.85"}
    other_currency: ClassVar[Changes | None] = {"currency": "cad"}
    other_reference: ClassVar[Changes | None] = {"orderID": "2611240000010499999"}
    without = ("FinalStatus",)
    pending_review = Unknown
    refund_of_unsettled = RefundRefusal.NOT_YET
