"""PayPal's replies."""

from __future__ import annotations

from tests.fuzz.replies import check_replies, values

_IDS = {"sale": "8MC585209K746392H", "authorization": "authorization:0AW2184448108334S", "refund": "1JU08902781691411"}
_DONE = {"COMPLETED", "CREATED", "CAPTURED", "PARTIALLY_CAPTURED", "VOIDED", "PENDING", "REFUNDED"}
_DONE |= {"PARTIALLY_REFUNDED", "PREVIOUSLY_VOIDED"}


def check(data: bytes) -> None:
    """E3: an approval needs one of the words that mean it."""
    check_replies("paypal", data, lambda text: bool(values(text) & _DONE), _IDS)
