"""The gateways there are: what each needs to be configured. Adding one means its file, and its entry here.

Imports no gateway: settings and command line read this without loading an HTTP client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """A gateway that can be configured. `keys` says what each value of its configuration is; `url` is one of them.

    Its module is `gateways.<name>`, which calls its class GATEWAY. Where `optional` is set too (all of it is secret),
    notices are taken from it, with these headers of theirs; the class does not get it.
    """

    title: str
    live_url: str
    keys: Mapping[str, str]
    secrets: frozenset[str]
    defaults: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    notice_headers: tuple[str, ...] = ()


_URL: Final = {"url": "the address that takes transactions"}

KINDS: Final[dict[str, Kind]] = {
    "payflow": Kind(
        "Payflow Pro",
        "https://payflowpro.paypal.com/",
        {
            **_URL,
            "user": "the user that may send transactions",
            "vendor": "the merchant login",
            "partner": "the reseller",
            "password": "the user's password",
        },
        frozenset({"password"}),
        {"partner": "PayPal"},
    ),
    "plugnpay": Kind(
        "Plug'n Pay",
        "https://pay1.plugnpay.com/payment/pnpremote.cgi",
        {**_URL, "publisher_name": "the account", "publisher_password": "the password for remote clients"},
        frozenset({"publisher_password"}),
    ),
    "stripe": Kind(
        "Stripe",
        "https://api.stripe.com/v1",
        {
            **_URL,
            "secret_key": "the secret or restricted API key (sk_… or rk_…); it tells test from live",
            "account": "the account's id (acct_…)",
        },
        frozenset({"secret_key"}),
        optional={"webhook_secret": "the signing secret of the webhook endpoint (whsec_…), to take notices"},
        notice_headers=("stripe-signature",),
    ),
    "paypal": Kind(
        "PayPal",
        "https://api-m.paypal.com",
        {
            **_URL,
            "client_id": "the REST app's client id",
            "client_secret": "the REST app's secret",
            "account": "the merchant account's id or a name for it",
        },
        frozenset({"client_secret"}),
        optional={"webhook_id": "the id of the webhook, to take notices"},
        notice_headers=(
            "paypal-auth-algo",
            "paypal-cert-url",
            "paypal-transmission-id",
            "paypal-transmission-sig",
            "paypal-transmission-time",
        ),
    ),
    "authorizenet": Kind(
        "Authorize.Net",
        "https://api.authorize.net/xml/v1/request.api",
        {**_URL, "login_id": "the API login id", "transaction_key": "the transaction key"},
        frozenset({"transaction_key"}),
        optional={"signature_key": "the signature key (128 hexadecimal digits), to take notices"},
        notice_headers=("x-anet-signature",),
    ),
}
"""Every gateway by its name."""
