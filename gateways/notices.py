"""Notices that gateways send by themselves: who sent one, and what it is about. Never what is true (D1).

`read` verifies one by its gateway's own signature; pure, but where the gateway has to be asked whether it signed it.

Sources: docs.stripe.com/webhooks ("Verify webhook signatures manually", event types);
developer.authorize.net/api/reference/features/webhooks.html; developer.paypal.com/api/rest/webhooks (verification,
event names) and .../api/webhooks/v1 (verify-webhook-signature).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol, runtime_checkable

from gateways.wire import at, inside

TOLERANCE: Final = timedelta(minutes=5)
"""How far the moment that a signature names may be from the one at which the notice came."""


class About(StrEnum):
    """What a notice is about, as far as it matters which question follows."""

    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"
    OTHER = "other"  # nothing that we would ask about


@dataclass(frozen=True, slots=True)
class Notice:
    """What a verified notice says of itself. `event_id` is the gateway's; `case` names a dispute.

    `failed`: that a refund came to nothing, which may be weeks after it was final.
    """

    event_id: str
    event: str
    about: About
    references: tuple[int, ...] = ()
    transaction_ids: tuple[str, ...] = ()
    case: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A notice as it came: headers by their small names, and the very bytes of its body."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime


@dataclass(frozen=True, slots=True)
class NotTheirs:
    """Nothing proves that the gateway sent it; never acted on."""

    why: str


@dataclass(frozen=True, slots=True)
class AskThem:
    """What to send to the gateway, which then says whether the notice is its own."""

    question: bytes = field(repr=False)
    notice: Notice


@runtime_checkable
class ConfirmsNotices(Protocol):
    """A gateway that has to be asked about its notices."""

    def confirm_notice(self, question: bytes, send_by: float) -> bool | None:
        """Whether it sent the notice; None where that was not answered."""
        ...


Read = Notice | NotTheirs | AskThem


def read(gateway: str, received: Received, secrets: Mapping[str, str]) -> Read:
    """Who sent it and what it is about. `secrets`: the gateway's optional settings."""
    reader = READERS.get(gateway)
    return reader(received, secrets) if reader else NotTheirs(f"{gateway} sends no notices")


# ---- Stripe


def stripe(received: Received, secrets: Mapping[str, str]) -> Read:
    """`Stripe-Signature: t=…,v1=…`: HMAC-SHA256 of `t.body` under the endpoint's secret; several while it is rolled."""
    parts = [part.partition("=")[::2] for part in received.headers.get("stripe-signature", "").split(",")]
    moments = [value.strip() for name, value in parts if name.strip() == "t"]
    signatures = [value.strip() for name, value in parts if name.strip() == "v1"]
    if len(moments) != 1 or not re.fullmatch(r"[0-9]{1,12}", moments[0]) or not signatures:
        return NotTheirs("no signature")
    signed = f"{moments[0]}.".encode() + received.body
    made = hmac.new(secrets["webhook_secret"].encode(), signed, hashlib.sha256).hexdigest()
    if not _among(made, signatures):
        return NotTheirs("the signature is not Stripe's under our secret")
    if abs(received.received_at.timestamp() - int(moments[0])) > TOLERANCE.total_seconds():
        return NotTheirs("it was signed at another time than it came")
    said = _object(received.body)
    if said is None:
        return NotTheirs("no JSON object")
    event, thing = at(said, "type"), inside(said, "data.object")
    kind = at(thing, "object")
    about, names = _STRIPE.get(kind, (About.OTHER, ()))
    if event == "charge.refunded":
        about = About.REFUND
    return Notice(
        event_id=_word(at(said, "id")),
        event=_word(event),
        about=about,
        references=_references(at(thing, "metadata.merchant_reference")),
        transaction_ids=_words(at(thing, name) for name in names),
        case=_word(at(thing, "id")) if about is About.DISPUTE else "",
        failed=kind == "refund" and at(thing, "status") in ("failed", "canceled"),
    )


_STRIPE: Final = {
    "payment_intent": (About.CHARGE, ("id",)),
    "charge": (About.CHARGE, ("payment_intent",)),
    "refund": (About.REFUND, ("id", "payment_intent")),
    "dispute": (About.DISPUTE, ("payment_intent",)),
}
"""By the object's kind: what it is about, and where the ids stand that we know, the nearest first."""


# ---- Authorize.Net


def authorizenet(received: Received, secrets: Mapping[str, str]) -> Read:
    """`X-ANET-Signature: sha512=…`: HMAC-SHA512 of the body under the signature key.

    The documents leave open whether the key is meant as its text or as the bytes that its digits stand for, and both
    are reported from the field. Both need the key, so both are taken. No time is signed: it may come late.
    """
    scheme, _, signature = received.headers.get("x-anet-signature", "").strip().partition("=")
    if scheme.lower() != "sha512" or not signature:
        return NotTheirs("no signature")
    key = secrets["signature_key"]
    keys = [key.encode(), *([bytes.fromhex(key)] if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", key) else [])]
    made = [hmac.new(one, received.body, hashlib.sha512).hexdigest() for one in keys]
    if not any(_among(one, [signature.lower()]) for one in made):
        return NotTheirs("the signature is not Authorize.Net's under our key")
    said = _object(received.body)
    if said is None:
        return NotTheirs("no JSON object")
    event = at(said, "eventType")
    payment = event.startswith("net.authorize.payment.") and at(said, "payload.entityName") == "transaction"
    refund = payment and event.split(".")[3] == "refund"
    return Notice(
        event_id=_word(at(said, "notificationId")),
        event=_word(event),
        about=(About.REFUND if refund else About.CHARGE) if payment else About.OTHER,
        references=_references(at(said, "payload.merchantReferenceId")) if payment else (),
        transaction_ids=_words([at(said, "payload.id")]) if payment else (),
    )


# ---- PayPal

_PAYPAL: Final = (
    ("CUSTOMER.DISPUTE.", About.DISPUTE),
    ("RISK.DISPUTE.", About.DISPUTE),
    ("PAYMENT.CAPTURE.REFUNDED", About.REFUND),
    ("PAYMENT.CAPTURE.REVERSED", About.REFUND),
    ("PAYMENT.REFUND.", About.REFUND),
    ("PAYMENT.CAPTURE.", About.CHARGE),
    ("PAYMENT.AUTHORIZATION.", About.CHARGE),
    ("CHECKOUT.ORDER.", About.CHARGE),
)
"""Beginnings of event names; the first that fits counts."""

_QUESTION: Final = {
    "auth_algo": "paypal-auth-algo",
    "cert_url": "paypal-cert-url",
    "transmission_id": "paypal-transmission-id",
    "transmission_sig": "paypal-transmission-sig",
    "transmission_time": "paypal-transmission-time",
}


def paypal(received: Received, secrets: Mapping[str, str]) -> Read:
    """PayPal signs with a certificate that is fetched from PayPal; so PayPal is asked, at its API's address and not at
    the one that the notice names. The body goes back byte for byte, as a changed one would not be known again.
    """
    if not all(received.headers.get(name) for name in _QUESTION.values()):
        return NotTheirs("no signature")
    said = _object(received.body)
    if said is None:
        return NotTheirs("no JSON object")
    asked = {name: received.headers[header] for name, header in _QUESTION.items()}
    opening = json.dumps({**asked, "webhook_id": secrets["webhook_id"]}).encode("ascii")
    question = opening[:-1] + b', "webhook_event": ' + received.body + b"}"
    event, thing = at(said, "event_type"), inside(said, "resource")
    about = next((about for beginning, about in _PAYPAL if event.startswith(beginning)), About.OTHER)
    refs: list[str] = []
    ids: list[str] = []
    match about:
        case About.DISPUTE:
            refs = [at(thing, "disputed_transactions.0.invoice_number")]
            ids = [at(thing, "disputed_transactions.0.seller_transaction_id")]
        case About.CHARGE | About.REFUND:
            unit = "purchase_units.0." if event.startswith("CHECKOUT.ORDER.") else ""
            refs = [at(thing, f"{unit}invoice_id"), at(thing, f"{unit}custom_id")]
            order = at(thing, "id") if unit else at(thing, "supplementary_data.related_ids.order_id")
            ids = ["" if unit else at(thing, "id"), f"order:{order}" if order else ""]
            if event.startswith("PAYMENT.AUTHORIZATION."):
                ids[0] = f"authorization:{ids[0]}"
    case = at(thing, "dispute_id") or at(thing, "id")
    return AskThem(
        question,
        Notice(
            event_id=_word(at(said, "id")),
            event=_word(event),
            about=about,
            references=_references(*refs),
            transaction_ids=_words(ids),
            case=_word(case) if about is About.DISPUTE else "",
            failed=event == "PAYMENT.REFUND.FAILED",
        ),
    )


READERS: Final[Mapping[str, Callable[[Received, Mapping[str, str]], Read]]] = {
    "stripe": stripe,
    "authorizenet": authorizenet,
    "paypal": paypal,
}
"""By gateway. Payflow Pro and Plug'n Pay send no signed notices."""


# ---- reading


def _among(made: str, signatures: Sequence[str]) -> bool:
    return any(hmac.compare_digest(made.encode(), one.encode()) for one in signatures)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(body.decode("utf-8"), parse_float=str)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _word(text: str) -> str:
    """An id or a name as gateways form them; empty where it is anything else."""
    return text if re.fullmatch(r"[A-Za-z0-9_.:-]{1,100}", text) else ""


def _words(texts: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(_word, texts))))


def _references(*texts: str) -> tuple[int, ...]:
    """Those that can be ours (E2)."""
    found = [int(text) for text in texts if re.fullmatch(r"[0-9]{19}", text)]
    return tuple(dict.fromkeys(one for one in found if 10**18 <= one < 36**12))
