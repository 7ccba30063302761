"""B61: whatever happens in a gateway's call, card number, code and password are nowhere to be seen after it."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from gateways.catalog import KINDS
from gateways.contract import Gateway
from gateways.window import Window
from rules.cards import Card
from tests.gateways import builders
from tests.gateways.canned import Canned, read_request

PASSWORDS = {config[key] for name, config in builders.CONFIGS.items() for key in config if key in KINDS[name].secrets}
SECRETS = re.compile(
    r"4111[ -]?1111[ -]?1111[ -]?1111|(?<![\w.])123(?![\w.])|Ada|Main St|Anytown|1230|12/30|"
    + "|".join(map(re.escape, PASSWORDS))
)
NAMES = pytest.mark.parametrize("name", KINDS)


def assert_nothing_seen(*texts: object) -> None:
    """None of the texts shows a secret."""
    for text in map(str, texts):
        assert not SECRETS.search(text), text


def test_the_search_finds() -> None:
    """The search of these tests would find each secret."""
    for secret in (
        "ACCT[16]=4111111111111111",
        "4111 1111 1111 1111",
        "CVV2[3]=123&",
        "PWD=sandbox-secret",
        "Ada Example",
    ):
        with pytest.raises(AssertionError):
            assert_nothing_seen(secret)


class Echo:
    """A server that answers with what it was sent, in every field and text that a gateway could echo it in."""

    def __init__(self, reply: Callable[[str], str]) -> None:
        self.reply = reply
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                body = self.reply(read_request(connection).decode().partition("\r\n\r\n")[2]).encode()
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )


def _payflow_echo(sent: str) -> str:
    message = f"Field format error: {re.sub('BILLTO[^&]*|EXPDATE[^&]*', '', sent)}"
    return f"RESULT=7&PNREF={builders.PNREF}&RESPMSG[{len(message)}]={message}&{sent}"


def _plugnpay_echo(sent: str) -> str:
    message = quote(re.sub("card-(name|address1|city|exp)=[^&]*", "", sent))
    return f"FinalStatus=problem&resp-code=P58&MErrMsg={message}&{sent}"


def _json_echo(sent: str) -> str:
    """The request within every text that an answer in JSON is known to carry."""
    said = re.sub("Ada|Main St|Anytown|1230|12/30|12.{1,40}2030|2030.{1,40}12", "", sent)
    return json.dumps(
        {
            "message": said,
            "error": {"type": "invalid_request_error", "message": said},
            "details": [{"description": said, "value": said}],
            "messages": {"resultCode": "Error", "message": [{"code": "E00003", "text": said}]},
        }
    )


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that any library logs."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


@NAMES
def test_reply_that_echoes_the_request(name: str, everything_logged: pytest.LogCaptureFixture) -> None:
    """B61, B18: a reply that repeats the whole request, tags and all, leaves no secret in result, evidence or log."""
    server = Echo({"payflow": _payflow_echo, "plugnpay": _plugnpay_echo}.get(name, _json_echo))
    reply = builders.gateway(name, server.url).sale(builders.sale())
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    if name in ("payflow", "plugnpay"):
        assert "Field format error" in repr(reply) or "publisher-name" in repr(reply)
    assert_nothing_seen(repr(reply), reply.evidence.said, everything_logged.text)


@NAMES
@pytest.mark.parametrize(
    "body",
    ["", "<html>4111111111111111 123</html>", "ACCT=4111111111111111&CVV2=123", "RESULT=0&PNREF=1&RESPMSG=CVV2=123"],
)
@pytest.mark.parametrize("status", [200, 500])
def test_reply_that_is_none(name: str, body: str, status: int, everything_logged: pytest.LogCaptureFixture) -> None:
    """B61: no reply, however odd, leaves a secret in result, evidence or log."""
    with Canned(body, status=status) as server:
        gateway = builders.gateway(name, server.url)
        replies = (
            gateway.sale(builders.sale()),
            gateway.authorize(builders.sale()),
            gateway.capture(builders.capture()),
            gateway.void(builders.void()),
            gateway.refund(builders.refund()),
            gateway.inquire(builders.inquiry()),
            gateway.health(builders.soon()),
        )
    assert_nothing_seen(repr(replies), everything_logged.text)


@NAMES
def test_nobody_listens(name: str, everything_logged: pytest.LogCaptureFixture) -> None:
    """B61: an error of the network shows the host at most."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    gateway = builders.gateway(name, url)
    assert_nothing_seen(repr(gateway.sale(builders.sale())), everything_logged.text)


BROKEN: tuple[dict[str, object], ...] = (
    {"exp_month": None},
    {"exp_year": "thirty"},
    {"name": None},
    {"street": 5},
    {"country": 5},
)


def _sale_of(gateway: Gateway, card: Card) -> Callable[[], object]:
    return lambda: gateway.sale(builders.sale(card=card))


@NAMES
@pytest.mark.parametrize("change", BROKEN, ids=str)
def test_bug_of_ours(name: str, change: dict[str, object]) -> None:
    """B61: an exception forced in the adapter shows no secret: not in its text, traceback, or the window's value."""
    with Canned("nothing") as server, Window[int, object](1) as window:
        gateway = builders.gateway(name, server.url)
        call = _sale_of(gateway, replace(builders.CARD, **change))  # type: ignore[arg-type]
        try:
            assert_nothing_seen(repr(call()))
        except (TypeError, ValueError, AttributeError) as raised:
            assert_nothing_seen("".join(traceback.format_exception(raised)), repr(raised))
            assert server.requests == []
        window.submit(1, call)
        assert_nothing_seen(repr(window.collect(1, 5)))


@NAMES
def test_reprs(name: str) -> None:
    """B61: neither an operation nor a gateway nor a card shows what it carries."""
    gateway = builders.gateway(name, "https://gateway.invalid/")
    assert_nothing_seen(repr(builders.sale()), repr(builders.CARD), repr(gateway), vars(gateway)["_http"])
