"""What every gateway's replies are fuzzed with: the real gateway, given replies in place of a network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from gateways.contract import Gateway, Operation, Reply
from gateways.exchange import Answered, Exchange, decoded
from rules.charging import fits
from rules.outcomes import Approved, Found
from tests.gateways.builders import NUMBER, REFERENCE, capture, gateway, inquiry, refund, sale, void

STATUSES: Final = (200, 201, 204, 400, 401, 402, 403, 404, 409, 422, 429, 500)
BETWEEN: Final = b"\x1e"
"""Between two replies of one call."""

_GLUED: Final = re.compile(rb"[0-9]" + NUMBER.encode() + b"|" + NUMBER.encode() + rb"[0-9]")
"""A number among other digits cannot be told from them."""

Says = Callable[[str], bool]
"""Whether a reply, read by the oracle, says that something was done."""


@dataclass
class Replies:
    """Stands where a gateway has its HTTP client; gives one reply after the other, the last one for ever."""

    given: list[Answered]
    token: str = ""
    used: list[Answered] = field(default_factory=list)

    def send(
        self, method: str, path: str, body: bytes, send_by: float, headers: Mapping[str, str] | None = None
    ) -> Exchange:
        """The next reply."""
        if self.token and path == "/v1/oauth2/token":
            return Answered(200, {}, self.token)
        self.used.append(self.given.pop(0) if len(self.given) > 1 else self.given[0])
        return self.used[-1]

    def post(self, body: bytes, send_by: float, headers: Mapping[str, str] | None = None) -> Exchange:
        """The same."""
        return self.send("POST", "", body, send_by, headers)


def replies_of(data: bytes) -> list[Answered]:
    """Replies of an input: each is a byte that chooses its status, and its body."""
    parts = data.split(BETWEEN)
    return [Answered(STATUSES[part[0] % len(STATUSES)] if part else 200, {}, decoded(part[1:])) for part in parts]


def check_replies(name: str, data: bytes, says_done: Says, ids: Mapping[str, str]) -> None:
    """One call of a gateway, chosen by the first byte, answered by the rest.

    `ids`: what the sale was called there. Nothing but a reply that says so is an approval (E3); no outcome and no
    evidence holds the card that was sent (C3); and all of it can be stored.
    """
    if not data or _GLUED.search(data):
        return
    at_gateway = _gateway(name)
    replies = Replies(replies_of(data[1:]), '{"access_token": "t", "expires_in": 9999}' if name == "paypal" else "")
    for holder in (at_gateway, getattr(at_gateway, "_tokens", None)):
        if holder is not None:
            vars(holder)["_http"] = replies
    calls = _calls(at_gateway, ids)
    reply = calls[data[0] % len(calls)]()
    outcome = reply.result.outcome if isinstance(reply.result, Found) else reply.result
    if isinstance(outcome, Approved):
        assert outcome.transaction_id, "approved, and without an id"
        assert any(says_done(one.text) for one in replies.used) or replies.used[-1].status == 204, "approved by nothing"
        outcome = fits(outcome, 11850, "USD", REFERENCE)
    _stays_inside(f"{outcome!r} {reply.result!r}", reply)


@lru_cache
def _gateway(name: str) -> Gateway:
    return gateway(name, "http://127.0.0.1:1")


def _calls(at: Gateway, ids: Mapping[str, str]) -> list[Callable[[], Reply[Any]]]:
    sold = {"sale_transaction_id": ids["sale"]}
    return [
        lambda: at.sale(sale()),
        lambda: at.authorize(sale(keep_card=True)),
        lambda: at.capture(capture(authorization_transaction_id=ids["authorization"])),
        lambda: at.void(void(sale_transaction_id=ids["authorization"])),
        lambda: at.refund(refund(**sold)),
        *(lambda of=of: at.inquire(inquiry(of, **sold)) for of in Operation),
        lambda: at.inquire(inquiry(transaction_id=ids["sale"])),
        lambda: at.inquire(inquiry(Operation.REFUND, transaction_id=ids["refund"], **sold)),
        lambda: at.health(sale().send_by),
    ]


def _stays_inside(told: str, reply: Reply[Any]) -> None:
    evidence = reply.evidence.said
    whole = f"{told} {evidence!r}"
    assert NUMBER not in whole, "the card's number is told"
    kept = json.dumps(evidence)
    assert "\\u0000" not in kept, "no text of the database holds this"
    assert not re.search(r"\\ud[89a-f]", kept), "no text of the database holds this"


def values(text: str) -> set[str]:
    """Every text and number that stands anywhere in a JSON reply."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        match value:
            case dict():
                for inner in value.values():
                    walk(inner)
            case list():
                for inner in value:
                    walk(inner)
            case _:
                found.add(str(value).strip(" "))

    try:
        walk(json.loads(text.removeprefix("\ufeff"), parse_float=str))
    except (ValueError, RecursionError):
        return set()
    return found
