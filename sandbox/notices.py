"""Notices: what gateways tell a merchant's server by themselves, in each one's documented form and with its signature.

Stripe (events, `Stripe-Signature`), PayPal (webhooks, `PAYPAL-TRANSMISSION-…`), Authorize.Net (`X-ANET-Signature`).
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from sandbox.books import State, Transaction
from sandbox.clock import moment

PATIENCE: Final = 10.0
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class NoNotice(ValueError):
    """What was asked for cannot be sent; the text says why."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One delivery: headers and body as they are sent."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def notice(one: Transaction, event: str, access: Mapping[str, str], now: float, event_id: str = "") -> Notice:
    """What the gateway tells of a transaction. An empty `event` is the one that fits; `now` is when it is signed."""
    form = _FORMS.get(one.gateway)
    if form is None:
        raise NoNotice(f"{one.gateway} sends no notices")
    return form(one, event, access, now, event_id)


def _stripe(one: Transaction, event: str, access: Mapping[str, str], now: float, event_id: str) -> Notice:
    event = event or _STRIPE_EVENTS.get(one.operation, {}).get(one.state, "payment_intent.succeeded")
    body = json.dumps(
        {
            "id": event_id or _id("evt"),
            "object": "event",
            "api_version": "2025-01-27.acacia",
            "created": int(one.booked_at),
            "data": {"object": _stripe_object(one, event)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": _id("req"), "idempotency_key": one.request_id or None},
            "type": event,
        },
        indent=2,
    ).encode()
    signed = f"{int(now)}.".encode() + body
    signature = hmac.new(access["webhook_secret"].encode(), signed, hashlib.sha256).hexdigest()
    old = hmac.new(b"whsec_of_yesterday", signed, hashlib.sha256).hexdigest()
    return Notice({"Stripe-Signature": f"t={int(now)},v1={old},v1={signature},v0={'0' * 64}"}, body)


_STRIPE_EVENTS: Final[dict[str, dict[str, str]]] = {
    "sale": {State.DECLINED: "payment_intent.payment_failed"},
    "authorization": {State.AUTHORIZED: "payment_intent.amount_capturable_updated"},
    "void": {State.DONE: "payment_intent.canceled"},
    "refund": {
        State.APPROVED: "refund.created",
        State.SETTLED: "refund.updated",
        State.REFUSED: "refund.failed",
    },
}


def _stripe_object(one: Transaction, event: str) -> dict[str, Any]:
    intent = one.original if one.operation in ("refund", "void") else one.id
    common = {"amount": one.amount, "currency": one.currency.lower(), "created": int(one.booked_at)}
    metadata = {"merchant_reference": one.reference} if one.reference else {}
    if event.startswith("charge.dispute."):
        status = "needs_response" if event.endswith("created") else "under_review"
        case = {"object": "dispute", "payment_intent": intent, "reason": "fraudulent", "status": status, "metadata": {}}
        return {"id": _made_of("du", one.id), **case, **common}
    if event.startswith("refund.") or event == "charge.refund.updated":
        status = "failed" if event == "refund.failed" or one.state == State.REFUSED else "succeeded"
        refund = {"object": "refund", "payment_intent": intent, "metadata": metadata, "status": status}
        return {"id": one.id if one.operation == "refund" else _made_of("re", one.id), **refund, **common}
    if event.startswith("charge."):
        return {
            "id": _made_of("ch", one.id),
            "object": "charge",
            "payment_intent": intent,
            "metadata": metadata if one.operation != "refund" else {},
            **common,
        }
    status = "succeeded" if one.standing else "requires_payment_method"
    return {"id": intent, "object": "payment_intent", "metadata": metadata, "status": status, **common}


def _authorizenet(one: Transaction, event: str, access: Mapping[str, str], now: float, event_id: str) -> Notice:
    kind = event or f"net.authorize.payment.{_AUTHORIZENET_EVENTS.get(one.operation, 'authcapture')}.created"
    payload = {
        "responseCode": 1 if one.state != State.DECLINED else 2,
        "merchantReferenceId": one.reference,
        "authCode": one.auth_code,
        "avsResponse": "Y",
        "authAmount": one.amount / 100,
        "entityName": "transaction",
        "id": one.original if one.operation == "void" else one.id,
    }
    body = json.dumps(
        {
            "notificationId": event_id or str(uuid.uuid4()),
            "eventType": kind,
            "eventDate": f"{moment(now):%Y-%m-%dT%H:%M:%S.%fZ}",
            "webhookId": "63d6fea2-aa13-4b1d-a204-f5fbc15942b7",
            "payload": payload,
        },
        separators=(",", ":"),
    ).encode()
    signature = hmac.new(access["signature_key"].encode(), body, hashlib.sha512).hexdigest().upper()
    return Notice({"X-ANET-Signature": f"sha512={signature}"}, body)


_AUTHORIZENET_EVENTS: Final = {
    "sale": "authcapture",
    "authorization": "authorization",
    "capture": "priorAuthCapture",
    "void": "void",
    "refund": "refund",
}


def _paypal(one: Transaction, event: str, access: Mapping[str, str], now: float, event_id: str) -> Notice:
    declined = one.state == State.DECLINED
    event = event or {
        "authorization": "PAYMENT.AUTHORIZATION.CREATED",
        "void": "PAYMENT.AUTHORIZATION.VOIDED",
        "refund": "PAYMENT.CAPTURE.REFUNDED",
    }.get(one.operation, "PAYMENT.CAPTURE.DECLINED" if declined else "PAYMENT.CAPTURE.COMPLETED")
    body = json.dumps(
        {
            "id": event_id or f"WH-{secrets.token_hex(8).upper()}-{secrets.token_hex(8).upper()}",
            "event_version": "1.0",
            "create_time": f"{moment(one.booked_at):%Y-%m-%dT%H:%M:%SZ}",
            "resource_type": "dispute" if "DISPUTE" in event else "refund" if "REFUND" in event else "capture",
            "resource_version": "2.0",
            "event_type": event,
            "resource": _paypal_resource(one, event),
        },
        separators=(",", ":"),
    ).encode()
    told = {
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
        "PAYPAL-CERT-URL": "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270",
        "PAYPAL-TRANSMISSION-ID": str(uuid.uuid4()),
        "PAYPAL-TRANSMISSION-TIME": f"{moment(now):%Y-%m-%dT%H:%M:%SZ}",
    }
    signed = paypal_signature(
        told["PAYPAL-TRANSMISSION-ID"], told["PAYPAL-TRANSMISSION-TIME"], access["webhook_id"], body
    )
    return Notice({**told, "PAYPAL-TRANSMISSION-SIG": signed}, body)


def _paypal_resource(one: Transaction, event: str) -> dict[str, Any]:
    amount = {"currency_code": one.currency, "value": f"{one.amount // 100}.{one.amount % 100:02d}"}
    if "DISPUTE" in event:
        taken = {"seller_transaction_id": one.id, "invoice_number": one.reference}
        return {"dispute_id": f"PP-R-{one.id[:8]}", "disputed_transactions": [taken], "dispute_amount": amount}
    resource: dict[str, Any] = {"id": one.id, "amount": amount, "invoice_id": one.reference, "custom_id": one.reference}
    if one.operation == "sale":
        resource["supplementary_data"] = {"related_ids": {"order_id": one.original}}
    return resource


def paypal_signature(transmission_id: str, transmission_time: str, webhook_id: str, body: bytes) -> str:
    """Over the string that PayPal documents, by a key of this process in place of PayPal's certificate."""
    signed = f"{transmission_id}|{transmission_time}|{webhook_id}|{zlib.crc32(body)}"
    return base64.b64encode(hmac.new(_PAYPAL_KEY, signed.encode(), hashlib.sha256).digest()).decode("ascii")


def paypal_verifies(question: str, webhook_id: str) -> bool:
    """What `verify-webhook-signature` answers: the event counts as it stands in the question, byte for byte."""
    _, found, event = question.partition('"webhook_event":')
    asked = json.loads(question)
    event = event.lstrip()
    if not found or asked.get("webhook_id") != webhook_id:
        return False
    _, end = json.JSONDecoder().raw_decode(event)
    told = (str(asked.get("transmission_id")), str(asked.get("transmission_time")), webhook_id)
    made = paypal_signature(*told, event[:end].encode())
    return hmac.compare_digest(made.encode(), str(asked.get("transmission_sig")).encode())


_PAYPAL_KEY: Final = secrets.token_bytes(32)

_Form = Callable[[Transaction, str, Mapping[str, str], float, str], Notice]
_FORMS: Final[Mapping[str, _Form]] = {"stripe": _stripe, "authorizenet": _authorizenet, "paypal": _paypal}


def _id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


def _made_of(kind: str, other: str) -> str:
    return f"{kind}_{other.rpartition('_')[2]}"


async def deliver(to: str, told: Notice) -> int:
    """POST it and give the status of the answer. Raises NoNotice where nobody on this machine is to be had there."""
    parts = urlsplit(to)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise NoNotice(f"to is an address such as http://127.0.0.1:8000/v1/notices/stripe, on loopback, not {to!r}")
    lines = [f"POST {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in told.headers.items()]
    lines += [f"Content-Length: {len(told.body)}", "Connection: close", "", ""]
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            writer.write("\r\n".join(lines).encode("latin-1") + told.body)
            answered = await reader.readline()
            writer.close()
    except (OSError, TimeoutError) as error:
        raise NoNotice(f"nobody took it at {to}: {error}") from None
    words = answered.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
