"""The shared story once more, told by the calls of a window, which go over libcurl."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from gateways.contract import Gateway
from gateways.window import Broke, Window
from rules.outcomes import Approved
from sandbox.client import SandboxClient, SandboxProcess
from tests.gateways import builders, test_payflow, test_stripe
from tests.gateways.canned import Canned
from tests.gateways.story import HURRIED, process, sandbox

__all__ = ["process", "sandbox"]

VERBS = ("sale", "authorize", "capture", "void", "refund", "inquire", "health")


class InWindow:
    """A gateway whose every call is one of a window."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __getattr__(self, name: str) -> Any:
        what = getattr(self._gateway, name)
        return partial(in_window, what) if name in VERBS else what


def in_window(verb: Callable[..., Any], *asked: object) -> Any:
    """Make the call in a window of its own."""
    with Window[None, Any](1) as window:
        window.submit(None, lambda: verb(*asked))
    [(_, reply)] = window.collect(1, 0)
    assert not isinstance(reply, Broke), reply
    return reply


class _InWindows:
    name: str

    def _url(self, process: SandboxProcess) -> str:
        return process.url(self.name)

    @pytest.fixture
    def gateway(self, process: SandboxProcess, sandbox: SandboxClient) -> Gateway:
        """The gateway, connected to the sandbox."""
        return cast(Gateway, InWindow(builders.gateway(self.name, self._url(process))))

    @pytest.fixture
    def hurried(self, process: SandboxProcess, sandbox: SandboxClient) -> Gateway:
        """The same gateway, out of patience at once."""
        return cast(Gateway, InWindow(builders.gateway(self.name, self._url(process), read_timeout=HURRIED)))


class TestPayflowInWindows(_InWindows, test_payflow.TestPayflow):
    """Payflow: one request a sale."""


class TestStripeInWindows(_InWindows, test_stripe.TestStripe):
    """Stripe: two requests a sale, and requests without a body."""


@pytest.mark.parametrize("name", builders.CONFIGS)
def test_same_request_over_both(name: str) -> None:
    """E4: a call sends the same over either transport, the order of its headers apart."""
    with Canned("nothing") as server:
        gateway = builders.gateway(name, server.url)
        gateway.sale(builders.sale())
        InWindow(gateway).sale(builders.sale())
        half = len(server.requests) // 2
        alone, among_many = (list(map(_taken_apart, some)) for some in (server.requests[:half], server.requests[half:]))
    assert alone == among_many
    assert alone


def test_calls_that_need_the_same_token(process: SandboxProcess, sandbox: SandboxClient) -> None:
    """PayPal: calls of one window wait for the one that fetches the token, and hold up nobody meanwhile."""
    gateway = builders.gateway("paypal", process.url("paypal"))
    references = range(builders.REFERENCE, builders.REFERENCE + 4)
    with Window[int, Any](4) as window:
        for reference in references:
            window.submit(reference, partial(gateway.sale, builders.sale(reference=reference)))
    replies = [reply for _, reply in window.collect(4, 0)]
    assert all(not isinstance(reply, Broke) and isinstance(reply.result, Approved) for reply in replies), replies
    assert sandbox.card(builders.NUMBER).charged == 4


def _taken_apart(request: bytes) -> tuple[bytes, set[bytes], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    return line, set(headers), body
