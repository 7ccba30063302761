"""Whose a notice is and what it is about: each gateway's own signature, and its documented forms (D1)."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateways.catalog import KINDS
from gateways.notices import READERS, About, AskThem, Notice, NotTheirs, Received, read

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
REFERENCE = 2611240000010410101
SECRET = {"webhook_secret": "whsec_1"}
KEY = {"signature_key": "0F" * 64}
WEBHOOK = {"webhook_id": "5GP028458E2496506"}


def stripe(
    thing: dict[str, Any], event: str = "payment_intent.succeeded", at: datetime = NOW, **header: str
) -> Notice | NotTheirs | AskThem:
    """What is read of an event of Stripe's that was signed at `at` and comes now."""
    body = json.dumps({"id": "evt_1", "type": event, "data": {"object": thing}}).encode()
    moment = int(at.timestamp())
    made = hmac.new(b"whsec_1", f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    said = header.get("signature", f"t={moment},v1={made}").format(t=moment, v1=made)
    return read("stripe", Received({"stripe-signature": said}, body, NOW), SECRET)


def authorizenet(body: bytes, key: bytes = b"0F" * 64, form: str = "sha512={}") -> Notice | NotTheirs | AskThem:
    """What is read of a notice of Authorize.Net's."""
    signature = hmac.new(key, body, hashlib.sha512).hexdigest()
    return read("authorizenet", Received({"x-anet-signature": form.format(signature)}, body, NOW), KEY)


def paypal(body: dict[str, Any] | bytes, **changes: str) -> Notice | NotTheirs | AskThem:
    """What is read of a notice of PayPal's."""
    headers = {
        "paypal-auth-algo": "SHA256withRSA",
        "paypal-cert-url": "https://api.paypal.com/v1/notifications/certs/CERT-1",
        "paypal-transmission-id": "8c1d3f2e-1b7a-11ee-8d6a-0bf8f1a2f0c1",
        "paypal-transmission-sig": 'c2ln"',
        "paypal-transmission-time": "2026-11-25T12:00:00Z",
    }
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read("paypal", Received({**headers, **changes}, raw, NOW), WEBHOOK)


def of(read: object) -> Notice:
    """The notice that was read, by PayPal's or the others' way."""
    notice = read.notice if isinstance(read, AskThem) else read
    assert isinstance(notice, Notice)
    return notice


INTENT = {"id": "pi_1", "object": "payment_intent", "metadata": {"merchant_reference": str(REFERENCE)}}


def test_a_signed_event_of_stripe() -> None:
    """D1: by t and v1 over `t.body`; it names our reference, and Stripe's id."""
    assert stripe(INTENT) == Notice("evt_1", "payment_intent.succeeded", About.CHARGE, (REFERENCE,), ("pi_1",))


@pytest.mark.parametrize(
    "signature",
    ["t={t},v1={v1},v1=00", "t={t},v1=00,v1={v1}", "v0=ff,t={t}, v1={v1}"],
    ids=["first", "second", "others beside it"],
)
def test_one_of_several_signatures(signature: str) -> None:
    """D1: while a secret is rolled Stripe signs with both; one that fits is enough."""
    assert isinstance(stripe(INTENT, signature=signature), Notice)


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        ("", "no signature"),
        ("t={t}", "no signature"),
        ("v1={v1}", "no signature"),
        ("t={t},t={t},v1={v1}", "no signature"),
        ("t=x,v1={v1}", "no signature"),
        ("t={t},v0={v1}", "no signature"),
        ("t={t},v1=", "not Stripe's"),
        ("t={t},v1=é", "not Stripe's"),
        ("t=1{t},v1={v1}", "not Stripe's"),
        ("t={t},v1={v1}0", "not Stripe's"),
    ],
)
def test_not_signed_by_stripe(signature: str, why: str) -> None:
    """D1: without a whole signature under our secret it is not theirs, whatever it says."""
    found = stripe(INTENT, signature=signature)
    assert isinstance(found, NotTheirs)
    assert why in found.why


@pytest.mark.parametrize(("minutes", "theirs"), [(0, True), (4, True), (-4, True), (6, False), (-6, False)])
def test_when_stripe_signed(minutes: int, theirs: bool) -> None:
    """D1: what was signed more than five minutes before it came, or after, is somebody's repetition."""
    assert isinstance(stripe(INTENT, at=NOW - timedelta(minutes=minutes)), Notice) is theirs


@pytest.mark.parametrize(
    ("thing", "event", "about", "references", "ids"),
    [
        ({**INTENT, "object": "charge", "id": "ch_1", "payment_intent": "pi_1"}, "charge.succeeded", "charge",
         (REFERENCE,), ("pi_1",)),
        ({"object": "charge", "id": "ch_1", "payment_intent": "pi_1"}, "charge.refunded", "refund", (), ("pi_1",)),
        ({"object": "refund", "id": "re_1", "payment_intent": "pi_1", "status": "failed"}, "refund.failed", "refund",
         (), ("re_1", "pi_1")),
        ({"object": "dispute", "id": "du_1", "payment_intent": "pi_1"}, "charge.dispute.created", "dispute", (),
         ("pi_1",)),
        ({"object": "customer", "id": "cus_1"}, "customer.created", "other", (), ()),
        ({"object": "payment_intent", "id": {"a": 1}, "metadata": {"merchant_reference": "4111111111111111"}},
         "payment_intent.succeeded", "charge", (), ()),
    ],
)  # fmt: skip
def test_what_stripe_tells_of(
    thing: dict[str, Any], event: str, about: str, references: tuple[int, ...], ids: tuple[str, ...]
) -> None:
    """D1: kind of object, our reference where it is one, and the ids that we know, the nearest first."""
    notice = of(stripe(thing, event))
    assert (notice.about, notice.references, notice.transaction_ids) == (about, references, ids)
    assert notice.case == ("du_1" if about == "dispute" else "")
    assert notice.failed is (event == "refund.failed")


ANET = json.dumps(
    {
        "notificationId": "d0e8e7fe-c3e7-4add-a480-27bc5ce28a18",
        "eventType": "net.authorize.payment.authcapture.created",
        "eventDate": "2026-11-25T12:00:00.0080095Z",
        "webhookId": "63d6fea2-aa13-4b1d-a204-f5fbc15942b7",
        "payload": {
            "responseCode": 1,
            "merchantReferenceId": str(REFERENCE),
            "authAmount": 118.50,
            "entityName": "transaction",
            "id": "60020981676",
        },
    }
).encode()


@pytest.mark.parametrize("key", [b"0F" * 64, bytes.fromhex("0F" * 64)], ids=["its text", "its bytes"])
@pytest.mark.parametrize("form", ["sha512={}", "SHA512={}"])
def test_a_signed_notice_of_authorizenet(key: bytes, form: str) -> None:
    """D1: HMAC-SHA512 under the signature key, as text or as the bytes that it stands for; hex of either case."""
    event = "net.authorize.payment.authcapture.created"
    expected = Notice("d0e8e7fe-c3e7-4add-a480-27bc5ce28a18", event, About.CHARGE, (REFERENCE,), ("60020981676",))
    assert authorizenet(ANET, key, form) == expected
    upper = "sha512=" + hmac.new(key, ANET, hashlib.sha512).hexdigest().upper()
    assert read("authorizenet", Received({"x-anet-signature": upper}, ANET, NOW), KEY) == expected


@pytest.mark.parametrize("form", ["", "{}", "sha512=", "sha256={}", "sha512={}00"])
def test_not_signed_by_authorizenet(form: str) -> None:
    """D1: without its scheme, under another key, or of another body it is not theirs."""
    assert isinstance(authorizenet(ANET, form=form), NotTheirs)
    assert isinstance(authorizenet(ANET, key=b"another"), NotTheirs)
    right = "sha512=" + hmac.new(b"0F" * 64, ANET, hashlib.sha512).hexdigest()
    assert isinstance(read("authorizenet", Received({"x-anet-signature": right}, ANET + b" ", NOW), KEY), NotTheirs)


@pytest.mark.parametrize(
    ("event", "entity", "about"),
    [
        ("net.authorize.payment.refund.created", "transaction", "refund"),
        ("net.authorize.payment.void.created", "transaction", "charge"),
        ("net.authorize.payment.fraud.held", "transaction", "charge"),
        ("net.authorize.payment", "transaction", "other"),
        ("net.authorize.customer.created", "customerProfile", "other"),
        ("net.authorize.payment.authcapture.created", "subscription", "other"),
    ],
)
def test_what_authorizenet_tells_of(event: str, entity: str, about: str) -> None:
    """D1: payments' events about a transaction are about a charge or a refund; others are nothing to us."""
    body = {"notificationId": "n-1", "eventType": event, "payload": {"entityName": entity, "id": "60020981676"}}
    assert of(authorizenet(json.dumps(body).encode())).about == about


CAPTURE = {
    "id": "WH-1",
    "event_type": "PAYMENT.CAPTURE.COMPLETED",
    "resource": {
        "id": "42311647XV020574X",
        "custom_id": str(REFERENCE),
        "invoice_id": str(REFERENCE),
        "amount": {"value": "118.50"},
        "supplementary_data": {"related_ids": {"order_id": "8U481631H66031715"}},
    },
}


def test_paypal_is_asked() -> None:
    """D1: the question to PayPal has the headers, our webhook's id, and the event byte for byte as it came."""
    raw = json.dumps(CAPTURE, indent=3).encode().replace(b"118.50", b"118.50\\u0020")
    found = paypal(raw)
    assert isinstance(found, AskThem)
    assert b'"webhook_event": ' + raw + b"}" in found.question
    asked = json.loads(found.question)
    assert asked.pop("webhook_event") == json.loads(raw)
    assert asked == {
        "auth_algo": "SHA256withRSA",
        "cert_url": "https://api.paypal.com/v1/notifications/certs/CERT-1",
        "transmission_id": "8c1d3f2e-1b7a-11ee-8d6a-0bf8f1a2f0c1",
        "transmission_sig": 'c2ln"',
        "transmission_time": "2026-11-25T12:00:00Z",
        "webhook_id": "5GP028458E2496506",
    }


def test_paypal_is_not_asked_for_nothing() -> None:
    """D1: what lacks a header, or is no object, is not PayPal's; nobody is asked."""
    assert isinstance(paypal(CAPTURE, **{"paypal-transmission-sig": ""}), NotTheirs)
    for body in (b"", b"[]", b"\xff", b'{"id": 1}}', b"{" * 100_000):
        assert isinstance(paypal(body), NotTheirs)


@pytest.mark.parametrize(
    ("event", "resource", "about", "ids", "case"),
    [
        ("PAYMENT.CAPTURE.COMPLETED", CAPTURE["resource"], "charge",
         ("42311647XV020574X", "order:8U481631H66031715"), ""),
        ("PAYMENT.CAPTURE.REFUNDED", {"id": "1JU08902781691411"}, "refund", ("1JU08902781691411",), ""),
        ("PAYMENT.REFUND.FAILED", {"id": "1JU08902781691411"}, "refund", ("1JU08902781691411",), ""),
        ("PAYMENT.AUTHORIZATION.VOIDED", {"id": "0AB"}, "charge", ("authorization:0AB",), ""),
        ("CHECKOUT.ORDER.APPROVED", {"id": "8U4"}, "charge", ("order:8U4",), ""),
        ("CUSTOMER.DISPUTE.CREATED",
         {"dispute_id": "PP-D-1", "disputed_transactions": [{"seller_transaction_id": "423"}]}, "dispute", ("423",),
         "PP-D-1"),
        ("BILLING.PLAN.CREATED", {"id": "P-1"}, "other", (), ""),
        ("PAYMENT.CAPTURE.COMPLETED", "no object", "charge", (), ""),
    ],
)  # fmt: skip
def test_what_paypal_tells_of(event: str, resource: Any, about: str, ids: tuple[str, ...], case: str) -> None:
    """D1: events of captures, authorizations, orders, refunds and disputes, with the ids as our books have them."""
    notice = of(paypal({"id": "WH-1", "event_type": event, "resource": resource}))
    assert (notice.about, notice.transaction_ids, notice.case) == (about, ids, case)
    assert notice.failed is (event == "PAYMENT.REFUND.FAILED")


@pytest.mark.parametrize("gateway", READERS)
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"\xff\xfe", b"{}}", b"9" * 5000, b"[" * 60_000])
def test_what_is_no_object(gateway: str, body: bytes) -> None:
    """B19: a body that is no JSON object is refused, also where the signature fits."""
    moment = int(NOW.timestamp())
    headers = {
        "stripe-signature": f"t={moment},v1="
        + hmac.new(b"whsec_1", f"{moment}.".encode() + body, hashlib.sha256).hexdigest(),
        "x-anet-signature": "sha512=" + hmac.new(b"0F" * 64, body, hashlib.sha512).hexdigest(),
        **dict.fromkeys(KINDS["paypal"].notice_headers, "x"),
    }
    found = read(gateway, Received(headers, body, NOW), {**SECRET, **KEY, **WEBHOOK})
    assert found == NotTheirs("no JSON object")


def test_what_no_gateway_sent() -> None:
    """D1: a gateway without notices has none; a notice shows neither headers nor body of itself."""
    received = Received({"stripe-signature": "v1=secret"}, b"4111111111111111", NOW)
    assert isinstance(read("payflow", received, {}), NotTheirs)
    assert "secret" not in repr(received)
    assert "4111" not in repr(received)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_configured(name: str) -> None:
    """D1: each gateway with a reader says in the catalog which headers and secrets it needs, and no other does."""
    kind = KINDS[name]
    assert bool(kind.optional) == bool(kind.notice_headers) == (name in READERS)
    assert not kind.optional.keys() & kind.keys.keys()
    assert all(header == header.lower() for header in kind.notice_headers)
