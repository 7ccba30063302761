"""Stripe's replies."""

from __future__ import annotations

from tests.fuzz.replies import check_replies, values

_IDS = {"sale": "pi_1", "authorization": "pi_1", "refund": "re_1"}
_DONE = {"succeeded", "requires_capture", "canceled", "pending"}


def check(data: bytes) -> None:
    """E3: an approval needs one of the words that mean it."""
    check_replies("stripe", data, lambda text: bool(values(text) & _DONE), _IDS)
