"""The sandbox tells servers of what it booked, in each gateway's documented form."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.client import SandboxClient, SandboxError, SandboxProcess
from tests.gateways import builders


@dataclass
class Ear:
    """A server that hears notices: (path, headers, body) of each."""

    address: str = ""
    heard: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def ear() -> Iterator[Ear]:
    """A server on loopback."""
    ear = Ear()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ear.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ear.address = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield ear
    server.shutdown()
    server.server_close()
    thread.join(10)


def charged(process: SandboxProcess, gateway: str) -> None:
    """118.50 USD, charged at the gateway under the usual reference."""
    process.client.change(any_amount=True)
    builders.gateway(gateway, process.url(gateway)).sale(builders.sale())


def test_stripe(running_sandbox: SandboxProcess, control: SandboxClient, ear: Ear) -> None:
    """An event with its object, and two signatures of which the second is under the secret."""
    charged(running_sandbox, "stripe")
    sent = control.notice(ear.address, "stripe", reference=builders.ORDER)
    [(path, headers, body)] = ear.heard
    assert (sent.statuses, path, body.decode()) == ((200,), "/hook", sent.body)
    event = json.loads(body)
    assert event["type"] == "payment_intent.succeeded"
    assert event["data"]["object"]["metadata"] == {"merchant_reference": builders.ORDER}
    moment, *signatures = headers["stripe-signature"].split(",")
    signed = moment.removeprefix("t=").encode() + b"." + body
    assert f"v1={hmac.new(b'whsec_sandbox', signed, hashlib.sha256).hexdigest()}" in signatures


def test_authorizenet(running_sandbox: SandboxProcess, control: SandboxClient, ear: Ear) -> None:
    """A notice with the transaction's id and our reference, signed in capital letters."""
    charged(running_sandbox, "authorizenet")
    control.notice(ear.address, "authorizenet", reference=builders.ORDER)
    [(_, headers, body)] = ear.heard
    booked = control.transaction(gateway="authorizenet", operation="sale")
    payload = json.loads(body)["payload"]
    assert (payload["id"], payload["merchantReferenceId"], payload["authAmount"]) == (booked.id, builders.ORDER, 118.5)
    made = hmac.new(b"5A" * 64, body, hashlib.sha512).hexdigest().upper()
    assert headers["x-anet-signature"] == f"sha512={made}"


@pytest.mark.parametrize("event", ["charge.dispute.created", "refund.failed", "charge.refunded"])
def test_other_events(running_sandbox: SandboxProcess, control: SandboxClient, ear: Ear, event: str) -> None:
    """An event that is named is told of the same charge, with the object that belongs to it."""
    charged(running_sandbox, "stripe")
    control.notice(ear.address, "stripe", reference=builders.ORDER, event=event, event_id="evt_7")
    said = json.loads(ear.heard[0][2])
    booked = control.transaction(gateway="stripe", operation="sale")
    assert (said["id"], said["type"]) == ("evt_7", event)
    assert said["data"]["object"]["object"] == {"charge.dispute.created": "dispute", "refund.failed": "refund"}.get(
        event, "charge"
    )
    assert said["data"]["object"]["payment_intent"] == booked.id


def test_often_at_once(running_sandbox: SandboxProcess, control: SandboxClient, ear: Ear) -> None:
    """The very same notice several times at once, as gateways repeat theirs."""
    charged(running_sandbox, "stripe")
    assert control.notice(ear.address, "stripe", reference=builders.ORDER, times=5).statuses == (200,) * 5
    assert len({body for _, _, body in ear.heard}) == 1


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"gateway": "payflow"}, "payflow sends no notices"),
        ({"reference": "1"}, "give the gateway and the id or reference of a booked transaction"),
        ({"times": 0}, "times is a whole number from 1 to 100"),
        ({"to": "http://192.0.2.1/"}, "on loopback, not 'http://192.0.2.1/'"),
        ({"to": "https://127.0.0.1/"}, "on loopback"),
        ({"to": "None"}, "on loopback"),
    ],
)
def test_what_is_not_sent(
    running_sandbox: SandboxProcess, control: SandboxClient, ear: Ear, changes: dict[str, str | float], refusal: str
) -> None:
    """What cannot be told, or would leave this machine, is refused in words."""
    for gateway in ("stripe", "payflow"):
        charged(running_sandbox, gateway)
    about: dict[str, str | float] = {"gateway": "stripe", "reference": builders.ORDER, "to": ear.address, **changes}
    if about["gateway"] == "payflow":
        about = {**about, "id": control.transaction(gateway="payflow", operation="sale").id}
        del about["reference"]
    with pytest.raises(SandboxError, match=refusal):
        control.ask("POST", "notices", about)
    assert ear.heard == []


def test_nobody_there(running_sandbox: SandboxProcess, control: SandboxClient) -> None:
    """Where nobody listens, it says so."""
    charged(running_sandbox, "stripe")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(SandboxError, match="nobody took it"):
        control.notice(f"http://127.0.0.1:{port}/", "stripe", reference=builders.ORDER)
