"""Gateways, cards and operations as the tests of gateways need them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateways.contract import Capture, Gateway, Inquiry, Operation, Refund, Sale, Void
from gateways.registry import build
from rules.cards import Card
from rules.stored_cards import Agreement, FirstSale, Party, StoredCredential, Usage

NUMBER = "4111111111111111"
CODE = "123"
REFERENCE = 2611240000010410101
ANOTHER = 2611240000010410102
ORDER = str(REFERENCE)
PNREF = "A10A7C3E51D2"

CARD = Card(
    NUMBER,
    12,
    2030,
    CODE,
    name="Ada Example",
    street="123 Main St.",
    city="Anytown",
    state="NY",
    postal_code="12345-6789",
    country="US",
)

# What is told of a stored card (C4): who begins the sale, whether it stores the card, what was agreed.
FIRST = StoredCredential(Party.CUSTOMER, Usage.FIRST, Agreement.UNSCHEDULED)
FIRST_OF_SERIES = StoredCredential(Party.CUSTOMER, Usage.FIRST, Agreement.RECURRING)
AGAIN = StoredCredential(Party.CUSTOMER, Usage.SUBSEQUENT, Agreement.UNSCHEDULED)
AGAIN_FOR_SERIES = StoredCredential(Party.CUSTOMER, Usage.SUBSEQUENT, Agreement.RECURRING)
NETWORK_REFERENCE = "016153570198200"
_FIRST_SALE = FirstSale(NETWORK_REFERENCE, 6150)
UNATTENDED = StoredCredential(Party.MERCHANT, Usage.SUBSEQUENT, Agreement.UNSCHEDULED, _FIRST_SALE)
OF_SERIES = StoredCredential(Party.MERCHANT, Usage.SUBSEQUENT, Agreement.RECURRING, _FIRST_SALE)
UNKNOWN_TO_NETWORK = replace(UNATTENDED, first=None)

# One entry a gateway: the sandbox's credentials for it.
CONFIGS: dict[str, dict[str, str]] = {
    "payflow": {"user": "sandbox", "vendor": "sandbox", "partner": "PayPal", "password": "sandbox-secret"},
    "plugnpay": {"publisher_name": "pnpdemo", "publisher_password": "sandbox-secret"},
    "stripe": {"secret_key": "sandbox-secret", "account": "acct_sandbox"},
    "paypal": {"client_id": "sandbox", "client_secret": "sandbox-secret", "account": "paypal-sandbox"},
    "authorizenet": {"login_id": "sandbox", "transaction_key": "sandbox-secret"},
}


def soon() -> float:
    """A moment on the monotonic clock by which any test's call was sent, even one made when its module was read."""
    return time.monotonic() + 86_400


def gateway(
    name: str,
    url: str,
    read_timeout: float = 10.0,
    config: Mapping[str, str] | None = None,
    connect_timeout: float = 2.0,
) -> Gateway:
    """The gateway `name` at `url`, with the sandbox's credentials where `config` gives no others."""
    return build(name, {"url": url, **CONFIGS[name], **(config or {})}, 4, connect_timeout, read_timeout)


def sale(**changes: Any) -> Sale:
    """118.50 USD on CARD for one invoice."""
    asked = Sale(REFERENCE, 11850, "USD", soon(), card=CARD, invoice_number="INV-10042")
    return replace(asked, **changes)


def void(**changes: Any) -> Void:
    """The void of that sale."""
    return replace(Void(ANOTHER, 11850, "USD", soon(), REFERENCE, PNREF), **changes)


def capture(**changes: Any) -> Capture:
    """The capture of all of that amount, authorized."""
    return replace(Capture(ANOTHER, 11850, "USD", soon(), REFERENCE, PNREF), **changes)


def refund(**changes: Any) -> Refund:
    """The refund of all of that sale."""
    return replace(Refund(ANOTHER, 11850, "USD", soon(), REFERENCE, PNREF, 11850, NUMBER[-4:]), **changes)


def inquiry(operation: Operation = Operation.SALE, **changes: Any) -> Inquiry:
    """An inquiry for that sale or authorization, or for the void, refund or capture of it."""
    reference = REFERENCE if operation in (Operation.SALE, Operation.AUTHORIZATION) else ANOTHER
    asked = Inquiry(
        operation,
        reference,
        11850,
        "USD",
        datetime.now(UTC),
        soon(),
        sale_reference=REFERENCE,
        sale_transaction_id=PNREF,
    )
    return replace(asked, **changes)
