"""Payflow against the sandbox: the shared story, and what only Payflow does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rules.outcomes import Held
from tests.gateways.story import Changes, Story, process, sandbox

__all__ = ["process", "sandbox"]


class TestPayflow(Story):
    """The shared story."""

    name = "payflow"
    wrong_credentials: ClassVar[Mapping[str, str]] = {"password": "wrong"}
    unknown_id = "A00000000001"
    other_amount: ClassVar[Changes] = {"AMT": "11.85"}
    other_currency: ClassVar[Changes | None] = {"CURRENCY": "CAD"}
    other_reference: ClassVar[Changes | None] = {"CUSTREF": "ZZZZZZZZZZZZ"}
    without = ("RESULT", "PNREF")
    pending_review = Held
    sees_both = False  # an inquiry by CUSTREF gives the latest alone
