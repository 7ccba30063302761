"""Notices that gateways send, or whoever says to be one."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime

from gateways.notices import AskThem, Notice, NotTheirs, Received, read

_AT = datetime(2026, 3, 1, tzinfo=UTC)
_SECRETS = {"webhook_secret": "whsec_1", "signature_key": "ab" * 64, "webhook_id": "WH-1"}
_PAYPAL = ("auth-algo", "cert-url", "transmission-id", "transmission-sig", "transmission-time")


def check(data: bytes) -> None:
    """Without the right signature nothing is believed; with it, whatever the body is, it is read or refused."""
    head, _, body = data.partition(b"\n")
    said = head.decode("latin-1")
    for name, header in (("stripe", "stripe-signature"), ("authorizenet", "x-anet-signature")):
        assert isinstance(read(name, Received({header: said}, body, _AT), _SECRETS), NotTheirs), "a forged notice"
    at = str(int(_AT.timestamp()))
    signed = hmac.new(b"whsec_1", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    _look(read("stripe", Received({"stripe-signature": f"t={at},v1={signed}"}, body, _AT), _SECRETS))
    signed = hmac.new(("ab" * 64).encode(), body, hashlib.sha512).hexdigest()
    _look(read("authorizenet", Received({"x-anet-signature": f"sha512={signed}"}, body, _AT), _SECRETS))
    asked = read("paypal", Received({f"paypal-{name}": said for name in _PAYPAL}, body, _AT), _SECRETS)
    if isinstance(asked, AskThem):
        question = json.loads(asked.question)
        assert question.keys() == {"webhook_id", "webhook_event", *(name.replace("-", "_") for name in _PAYPAL)}
        assert question["webhook_id"] == "WH-1", "the notice chose what PayPal is asked"
        _look(asked.notice)


def _look(found: object) -> None:
    if isinstance(found, Notice):
        texts = (found.event_id, found.event, found.case, *found.transaction_ids)
        assert all(text.isascii() and text.isprintable() and len(text) <= 120 for text in texts)
        assert all(10**18 <= reference < 36**12 for reference in found.references)
