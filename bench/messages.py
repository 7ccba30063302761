"""What building and reading a gateway's messages costs: `messages.py [SALES]`, without a network between.

The replies are real ones, of the sandbox: each gateway makes a sale, a decline and an inquiry there once, which are
then played back to it, so that what is timed is all that its adapter does beside HTTP.
"""

import contextlib
import datetime
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from gateways.contract import Inquiry, Operation, Sale
from gateways.registry import build
from rules.cards import Card
from sandbox import client

CONFIGS = {
    "payflow": {"user": "sandbox", "vendor": "sandbox", "partner": "PayPal", "password": "sandbox-secret"},
    "plugnpay": {"publisher_name": "pnpdemo", "publisher_password": "sandbox-secret"},
    "stripe": {"secret_key": "sandbox-secret", "account": "acct_sandbox"},
    "paypal": {"client_id": "sandbox", "client_secret": "sandbox-secret", "account": "paypal-sandbox"},
    "authorizenet": {"login_id": "sandbox", "transaction_key": "sandbox-secret"},
}
REFERENCE = 2611240000010410101
GOOD, NO_FUNDS = "4111111111111111", "4000000000009995"
ROUNDS = 7


def sale(number, reference):
    card = Card(
        number, 12, 2039, "123", "Ada Lovelace", "12 St James's Square", "London", "", "SW1Y4JH", "GB"
    )  # fmt: skip
    return Sale(reference, 11850, "USD", time.monotonic() + 3600, card=card, invoice_number="INV-10042",
                keep_card=True)  # fmt: skip


class _Built(Exception):
    """The first message was about to be sent."""


class Player:
    """Takes the place of an HTTP client: notes what the real one is told, act by act, then says the same in turn."""

    def __init__(self, real):
        self.real, self.acts, self.turn, self.told = real, {}, 0, []

    def perform(self, act, times=0):
        """Make the calls of one act for real, or so often from notes; what it comes to, or its CPU time."""
        self.turn = 0
        if not times:
            self.told = self.acts[act] = []
            return act()
        self.told = self.acts[act]
        return micros(act, times)

    def post(self, body, send_by, headers=None):
        return self.send("POST", "", body, send_by, headers)

    def send(self, method, path, body, send_by, headers=None):
        if self.real:
            self.told.append(self.real.send(method, path, body, send_by, headers))
            return self.told[-1]
        self.turn += 1
        return self.told[(self.turn - 1) % len(self.told)]

    def stop(self, *_):
        raise _Built


def micros(act, times):
    """Microseconds of CPU that a call takes, the median of some rounds."""
    took = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(times):
            act()
        took.append((time.process_time() - begun) / times * 1e6)
    return statistics.median(took)


def measure(name, url, times):
    gateway = build(name, {"url": url, **CONFIGS[name]}, 1, 5.0, 5.0)
    player = gateway._http = Player(gateway._http)
    for part in vars(gateway).values():
        if hasattr(part, "_http"):  # whatever else calls over the same client
            part._http = player
    good, bad = sale(GOOD, REFERENCE), sale(NO_FUNDS, REFERENCE + 1)
    now = datetime.datetime.now(datetime.UTC)
    asked = Inquiry(Operation.SALE, REFERENCE, 11850, "USD", now, time.monotonic() + 3600)
    acts = {
        "sale": lambda: gateway.sale(good),
        "declined": lambda: gateway.sale(bad),
        "inquiry": lambda: gateway.inquire(asked),
    }
    if hasattr(gateway, "_tokens"):
        gateway.health(asked.send_by)  # a token is fetched once in some hours
    outcomes = {what: type(player.perform(act).result).__name__ for what, act in acts.items()}
    assert outcomes == {"sale": "Approved", "declined": "Declined", "inquiry": "Found"}, (name, outcomes)
    player.real = None
    took = {what: player.perform(act, times) for what, act in acts.items()}
    exchanges = {what: len(player.acts[act]) for what, act in acts.items()}
    player.send = player.post = player.stop

    def first():
        with contextlib.suppress(_Built):
            gateway.sale(good)

    return {
        "exchanges": exchanges["sale"], "inquiry_exchanges": exchanges["inquiry"], "build_us": micros(first, times),
        **{f"{what}_us": us for what, us in took.items()},
    }  # fmt: skip


def main(times):
    with client.start(any_amount=True) as sandbox:
        for name in CONFIGS:
            row = measure(name, sandbox.url(name), times)
            row = {"bench": "messages", "gateway": name, **{k: round(v) for k, v in row.items()}}
            row["load"] = round(os.getloadavg()[0], 1)
            line = json.dumps(row)
            print(line, flush=True)
            if out := os.environ.get("BENCH_OUT"):
                with open(out, "a") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
