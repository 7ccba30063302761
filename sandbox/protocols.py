"""The gateways that the sandbox stands in for. Adding one means its file, and its line here."""

from typing import Final

from sandbox.authorizenet import AuthorizeNet
from sandbox.contract import Gateway
from sandbox.payflow import Payflow
from sandbox.paypal import PayPal
from sandbox.plugnpay import PlugnPay
from sandbox.stripe import Stripe

PROTOCOLS: Final[tuple[type[Gateway], ...]] = (Payflow, PlugnPay, Stripe, PayPal, AuthorizeNet)
"""Their classes (contract.Gateway), in the order in which they are listed."""
