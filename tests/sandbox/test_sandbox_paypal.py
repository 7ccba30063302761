"""PayPal as its pages describe it: tokens, orders and their one capture, request ids, triggers, refunds."""

import base64
import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox import client as steps
from sandbox.client import SandboxClient, start
from tests.sandbox.speak import OTHER_VISA, VISA

LOGIN = "Basic " + base64.b64encode(b"sandbox:sandbox-secret").decode()
HOUR, DAY = 3600, 24 * 3600
ORDER = {
    "intent": "CAPTURE",
    "purchase_units": [
        {
            "reference_id": "default",
            "description": "Invoice 10042",
            "custom_id": "dfy-901-sale-1",
            "invoice_id": "dfy-901-sale-1",
            "amount": {"currency_code": "USD", "value": "118.50"},
        }
    ],
}
CARD = {"name": "Jo Example", "number": VISA, "expiry": "2030-12", "security_code": "123"}
WHOLE = {"amount": {"value": "118.50", "currency_code": "USD"}}
Answer = tuple[int, dict[str, Any]]


def ask(url: str, method: str, path: str, content: object = None, **headers: str) -> Answer:
    """One request as it is: status and JSON body, empty where there is none."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=5)
    body = content if isinstance(content, str) else json.dumps(content)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/paypal{path}", body.encode() if method == "POST" else None, named)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else {}


def token(url: str) -> str:
    """A new token, with the word that goes before it."""
    form = "application/x-www-form-urlencoded"
    status, body = ask(
        url, "POST", "/v1/oauth2/token", "grant_type=client_credentials", Authorization=LOGIN, Content_Type=form
    )
    assert status == 200
    return f"Bearer {body['access_token']}"


def post(url: str, path: str, content: object, request_id: str = "", **headers: str) -> Answer:
    """A POST with a token, that prefers the whole representation."""
    sent = {
        "Authorization": headers.pop("Authorization", "") or token(url),
        "Content_Type": "application/json",
        "Prefer": "return=representation",
        **headers,
    }
    return ask(url, "POST", path, content, **sent, **({"PayPal_Request_Id": request_id} if request_id else {}))


def get(url: str, path: str) -> Answer:
    """A GET with a token."""
    return ask(url, "GET", path, Authorization=token(url))


def opened(url: str, request_id: str = "o1", **changes: Any) -> str:
    """The id of the documented order."""
    status, body = post(url, "/v2/checkout/orders", {**ORDER, **changes}, request_id)
    assert (status, body["status"]) == (201, "CREATED")
    return str(body["id"])


def charge(url: str, order: str, request_id: str = "c1", step: str = "capture", **card: str) -> Answer:
    """Capture or authorize an order from the documented card, with other values."""
    content = {"payment_source": {"card": {**CARD, **card}}}
    return post(url, f"/v2/checkout/orders/{order}/{step}", content, request_id)


def payment(body: dict[str, Any], kind: str = "captures") -> dict[str, Any]:
    """The one payment of an order."""
    (one,) = body["purchase_units"][0]["payments"][kind]
    assert isinstance(one, dict)
    return one


def sold(url: str) -> str:
    """The id of a capture."""
    status, body = charge(url, opened(url))
    assert status == 201
    return str(payment(body)["id"])


def issue(answer: Answer) -> tuple[int, str, str]:
    """Status, name and first issue of an error."""
    return answer[0], answer[1]["name"], answer[1].get("details", [{"issue": ""}])[0]["issue"]


# ---- tokens


def test_tokens(url: str, control: SandboxClient) -> None:
    """A token is given for id and secret, serves 9 hours, and without one nothing is done."""
    form = "application/x-www-form-urlencoded"
    for login in ("Basic " + base64.b64encode(b"sandbox:wrong").decode(), "Basic ???", ""):
        status, body = ask(url, "POST", "/v1/oauth2/token", "", Authorization=login, Content_Type=form)
        assert (status, body["error"]) == (401, "invalid_client")
    bearer = token(url)
    assert post(url, "/v2/checkout/orders", ORDER, Authorization=bearer)[0] == 201
    control.advance(9 * HOUR + 1)
    for late in (bearer, "Bearer made-up"):
        answer = post(url, "/v2/checkout/orders", ORDER, Authorization=late)
        assert issue(answer) == (401, "AUTHENTICATION_FAILURE", "")
    assert len(control.transactions()) == 1


# ---- orders


def test_the_documented_sale_gets_the_documented_fields(url: str, control: SandboxClient) -> None:
    """The sheet's two requests are answered with all that its sample answers say; the order moves nothing."""
    order = opened(url)
    assert control.card(VISA).charged == 0
    status, body = charge(url, order)
    assert (status, body["id"], body["status"]) == (201, order, "COMPLETED")
    assert body["payment_source"]["card"].items() >= {"last_digits": "1111", "brand": "VISA", "type": "CREDIT"}.items()
    capture = payment(body)
    expected = {
        "status": "COMPLETED",
        "amount": {"currency_code": "USD", "value": "118.50"},
        "final_capture": True,
        "invoice_id": "dfy-901-sale-1",
        "custom_id": "dfy-901-sale-1",
        "processor_response": {"avs_code": "Y", "cvv_code": "M", "response_code": "0000"},
    }
    assert capture.items() >= expected.items()
    booked = control.transaction(gateway="paypal", operation="sale")
    assert (booked.id, booked.reference, booked.request_id) == (capture["id"], "dfy-901-sale-1", "c1")
    assert (booked.amount, booked.currency, booked.last4) == (11850, "USD", "1111")


def test_looking_at_it(url: str) -> None:
    """The order and its capture can be read; what nobody made is 404."""
    order = opened(url)
    assert get(url, f"/v2/checkout/orders/{order}")[1]["status"] == "CREATED"
    capture = payment(charge(url, order)[1])
    seen = get(url, f"/v2/checkout/orders/{order}")[1]
    assert (seen["status"], payment(seen)) == ("COMPLETED", capture)
    alone = get(url, f"/v2/payments/captures/{capture['id']}")[1]
    assert alone["supplementary_data"]["related_ids"]["order_id"] == order
    for path in (
        "/v2/checkout/orders/NOSUCH",
        "/v2/payments/captures/NOSUCH",
        f"/v2/payments/refunds/{capture['id']}",
        f"/v2/payments/captures/{order}",
    ):
        assert issue(get(url, path)) == (404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
    assert get(url, "/v2/nowhere")[0] == 404


def test_short_answers(url: str) -> None:
    """Who does not prefer the representation gets id, status and links."""
    status, body = post(url, "/v2/checkout/orders", ORDER, "o1", Prefer="return=minimal")
    assert status == 201
    assert set(body) == {"id", "status", "links"}


def test_one_capture_an_order(url: str, control: SandboxClient) -> None:
    """Another request id charges no order twice, were the first one approved or declined."""
    for number, name in ((VISA, "approved"), ("4000000000000002", "declined")):
        order = opened(url, f"o-{name}")
        assert charge(url, order, f"c-{name}", number=number)[0] == 201
        assert issue(charge(url, order, f"again-{name}"))[2] == "ORDER_ALREADY_CAPTURED"
    assert control.card(VISA).charged == 1


def test_an_unpaid_order_dies(url: str, control: SandboxClient) -> None:
    """After three hours it can be neither captured nor read."""
    order = opened(url)
    control.advance(3 * HOUR + 1)
    assert issue(charge(url, order))[2] == "ORDER_EXPIRED"
    assert get(url, f"/v2/checkout/orders/{order}")[0] == 404


@pytest.mark.parametrize(
    ("currency", "value", "expected"),
    [
        ("XXX", "1.00", "INVALID_CURRENCY_CODE"),
        ("USD", "1.005", "DECIMAL_PRECISION"),
        ("USD", "0.00", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ("USD", "-1.00", ""),
        ("USD", "1,00", ""),
        ("JPY", "1185.00", "DECIMALS_NOT_SUPPORTED"),
        ("HUF", "1185.50", "DECIMALS_NOT_SUPPORTED"),
        ("TWD", "1185.0", "DECIMALS_NOT_SUPPORTED"),
    ],
)
def test_amounts_that_are_refused(url: str, currency: str, value: str, expected: str) -> None:
    """Amounts are texts of two decimals, or none where the currency has none here."""
    unit = {"amount": {"currency_code": currency, "value": value}}
    answer = post(url, "/v2/checkout/orders", {"intent": "CAPTURE", "purchase_units": [unit]})
    assert issue(answer)[2] == expected
    assert answer[0] == (422 if expected else 400)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"number": ""}, "CARD_NUMBER_REQUIRED"),
        ({"number": "4111111111111112"}, "PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED"),
        ({"expiry": "2020-01"}, "CARD_EXPIRED"),
        ({"expiry": "12/30"}, ""),
        ({"security_code": "12"}, "INVALID_SECURITY_CODE_LENGTH"),
        ({"vault_id": "nosuch"}, "TOKEN_ID_NOT_FOUND"),
    ],
)
def test_cards_that_are_refused(url: str, control: SandboxClient, card: dict[str, str], expected: str) -> None:
    """Card data that no issuer is asked about leaves the order as it was."""
    order = opened(url)
    assert issue(charge(url, order, **card))[2] == expected
    assert control.transactions(operation="sale") == []
    assert charge(url, order)[0] == 201


def test_stored_credentials_fit_together(url: str) -> None:
    """FIRST goes with CUSTOMER, a previous reference and no security code with MERCHANT."""
    order = opened(url)
    for credential, status in (
        ({"payment_initiator": "MERCHANT", "payment_type": "RECURRING", "usage": "SUBSEQUENT"}, 422),
        ({"payment_initiator": "CUSTOMER", "usage": "FIRST"}, 400),
        ({"payment_initiator": "CUSTOMER", "payment_type": "RECURRING", "usage": "THIRD"}, 400),
        ({"payment_initiator": "CUSTOMER", "payment_type": "OFTEN"}, 400),
        (
            {
                "payment_initiator": "CUSTOMER",
                "payment_type": "RECURRING",
                "previous_network_transaction_reference": {"id": "016153570198200"},
            },
            400,
        ),
    ):
        content = {"payment_source": {"card": {**CARD, "stored_credential": credential}}}
        assert post(url, f"/v2/checkout/orders/{order}/capture", content)[0] == status


# ---- request ids


def test_a_repeated_id_gives_the_latest_status(url: str, control: SandboxClient) -> None:
    """200 in place of 201, nothing is run, and what happened since is told; another address is refused."""
    order = opened(url)
    first = payment(charge(url, order)[1])
    status, body = charge(url, order)
    assert (status, payment(body)) == (200, first)
    post(url, f"/v2/payments/captures/{first['id']}/refund", WHOLE, "r1")
    assert payment(charge(url, order)[1])["status"] == "REFUNDED"
    status, body = post(url, "/v2/checkout/orders", ORDER, "o1")
    assert (status, body["id"], body["status"]) == (200, order, "COMPLETED")
    assert issue(post(url, "/v2/checkout/orders", ORDER, "c1"))[:2] == (400, "DUPLICATE_REQUEST_ID")
    assert control.card(VISA).charged == 1


def test_ids_are_kept_for_hours_or_days(url: str, control: SandboxClient) -> None:
    """Six hours for orders; 45 days for refunds, of which a repeat is 201 again."""
    capture = sold(url)
    path = f"/v2/payments/captures/{capture}/refund"
    part = {"amount": {"value": "18.50", "currency_code": "USD"}}
    status, first = post(url, path, part, "r1")
    assert status == 201
    order = opened(url, "o2")
    control.advance(6 * HOUR - 60)
    assert post(url, "/v2/checkout/orders", ORDER, "o2")[1]["id"] == order
    control.advance(120)
    assert post(url, "/v2/checkout/orders", ORDER, "o2")[1]["id"] != order
    control.advance(44 * DAY)
    assert post(url, path, part, "r1") == (201, first)
    control.advance(2 * DAY)
    assert post(url, path, part, "r1")[1]["id"] != first["id"]
    assert control.card(VISA).net == 11850 - 2 * 1850


def test_books_survive_a_kill(tmp_path: Path) -> None:
    """A killed sandbox still knows the request ids that it answered."""
    state = tmp_path / "books.db"
    with start(state=state) as process:
        order = opened(process.base_url)
        capture = payment(charge(process.base_url, order)[1])
        process.kill()
    with start(state=state) as process:
        status, body = charge(process.base_url, order)
        assert (status, payment(body)["id"]) == (200, capture["id"])
        assert process.client.card(VISA).charged == 1


# ---- triggers


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("CCREJECT-REFUSED", "0500"),
        ("CCREJECT-SF", "9500"),
        ("CCREJECT-EC", "5400"),
        ("CCREJECT-IRC", "5180"),
        ("CCREJECT-IF", "5120"),
        ("CCREJECT-LS", "9520"),
        ("CCREJECT-IA", "1330"),
        ("CCREJECT-BANK_ERROR", "5100"),
        ("CCREJECT-CVV_F", "00N7"),
    ],
)
def test_names_that_decline(url: str, control: SandboxClient, name: str, code: str) -> None:
    """PayPal's own triggers: success, order COMPLETED, capture DECLINED, AVS G, CVV P; case counts, Visa only."""
    status, body = charge(url, opened(url), number=OTHER_VISA, name=name)
    assert (status, body["status"], payment(body)["status"]) == (201, "COMPLETED", "DECLINED")
    assert payment(body)["processor_response"] == {"avs_code": "G", "cvv_code": "P", "response_code": code}
    assert control.card(OTHER_VISA).charged == 0
    assert payment(charge(url, opened(url, "o2"), "c2", name=name.lower())[1])["status"] == "COMPLETED"
    mastercard = charge(url, opened(url, "o3"), "c3", number="5555555555554444", name=name)[1]
    assert payment(mastercard)["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000000002", "0500"),
        ("4000000000009995", "5120"),
        ("4000000000006975", "PPEL"),
        ("4000000000009979", "9520"),
        ("4000000000000069", "5400"),
        ("4000000000000127", "00N7"),
        ("4000000000000051", "1330"),
        ("4000000000000101", "0100"),
        ("4000000000000911", "5920"),
        ("4000000000000119", "0800"),
        ("4100000000000019", "9500"),
    ],
)
def test_cards_that_decline(url: str, control: SandboxClient, number: str, code: str) -> None:
    """The sandbox's own cards, in the processor's codes."""
    capture = payment(charge(url, opened(url), number=number)[1])
    assert (capture["status"], capture["processor_response"]["response_code"]) == ("DECLINED", code)
    assert control.card(number).charged == 0


def test_review_and_decisions(url: str, control: SandboxClient) -> None:
    """A held capture pends until a person decides."""
    for number, (decision, status) in enumerate((("accept", "COMPLETED"), ("reject", "DECLINED"))):
        body = charge(url, opened(url, f"o{number}"), f"c{number}", number="4000000000009235")[1]
        capture = payment(body)
        assert (capture["status"], capture["status_details"]) == ("PENDING", {"reason": "PENDING_REVIEW"})
        refused = post(url, f"/v2/payments/captures/{capture['id']}/refund", WHOLE)
        assert issue(refused)[2] == "PENDING_CAPTURE"
        assert control.review(decision, id=capture["id"]) == 1
        assert get(url, f"/v2/payments/captures/{capture['id']}")[1]["status"] == status


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INSTRUMENT_DECLINED", 422),
        ("DUPLICATE_INVOICE_ID", 422),
        ("INTERNAL_SERVER_ERROR", 500),
        ("PREVIOUS_REQUEST_IN_PROGRESS", 409),
        ("PERMISSION_DENIED", 403),
    ],
)
def test_mock_responses(url: str, control: SandboxClient, code: str, status: int) -> None:
    """PayPal's own header for negative tests: the error is answered, and nothing is done."""
    order, mock = opened(url), json.dumps({"mock_application_codes": code})
    path = f"/v2/checkout/orders/{order}"
    content = {"payment_source": {"card": CARD}}
    answered = post(url, f"{path}/capture", content, "c1", PayPal_Mock_Response=mock)
    assert answered[0] == status
    assert code in issue(answered)
    assert ask(url, "GET", path, Authorization=token(url), PayPal_Mock_Response=mock)[0] == status
    assert control.card(VISA).charged == 0
    assert charge(url, order)[0] == 201


def test_forced_verdicts(url: str, control: SandboxClient) -> None:
    """A scenario makes a payment declined by a code, failed, or waiting for its payer; or answers an error."""
    for number, (code, status) in enumerate((("5930", "DECLINED"), ("FAILED", "FAILED"), ("PENDING", "PENDING"))):
        control.scenario(before=[steps.answer(code)], operation="sale", reference="dfy-901-sale-1")
        assert payment(charge(url, opened(url, f"o{number}"), f"c{number}")[1])["status"] == status
    order = opened(url, "o9")
    control.scenario(before=[steps.answer("PAYER_ACTION_REQUIRED")], operation="sale", amount="118.50")
    assert charge(url, order, "c9")[1]["status"] == "PAYER_ACTION_REQUIRED"
    assert control.card(VISA).charged == 0


def test_edits_and_foreign_answers(url: str, control: SandboxClient) -> None:
    """An answer can be changed by paths, or be another capture's; the books keep the truth."""
    path = "purchase_units.0.payments.captures.0"
    control.scenario(after=[steps.edit({f"{path}.amount.value": "1.00", f"{path}.id": None})], operation="sale")
    edited = payment(charge(url, opened(url))[1])
    assert edited["amount"]["value"] == "1.00"
    assert "id" not in edited
    first = control.transaction(operation="sale")
    assert first.amount == 11850
    control.scenario(before=[steps.foreign(first.id)], operation="sale")
    assert payment(charge(url, opened(url, "o2"), "c2")[1])["id"] == first.id
    assert control.card(VISA).charged == 1


# ---- the vault


def test_a_kept_card_is_charged_again(url: str, control: SandboxClient) -> None:
    """ON_SUCCESS gives the vault's id, which stands for the card in a later order."""
    content: dict[str, Any] = {"card": {**CARD, "attributes": {"vault": {"store_in_vault": "ON_SUCCESS"}}}}
    body = post(url, f"/v2/checkout/orders/{opened(url)}/capture", {"payment_source": content}, "c1")[1]
    vault = body["payment_source"]["card"]["attributes"]["vault"]
    assert vault["status"] == "VAULTED"
    again = {"payment_source": {"card": {"vault_id": vault["id"]}}}
    status, body = post(url, f"/v2/checkout/orders/{opened(url, 'o2')}/capture", again, "c2")
    assert (status, body["payment_source"]["card"]["last_digits"]) == (201, "1111")
    assert control.card(VISA).charged == 2


# ---- authorizations


def test_authorize_capture_void(url: str, control: SandboxClient) -> None:
    """An authorization moves nothing, is captured in parts up to its sum, and voided only before."""
    order = opened(url, intent="AUTHORIZE")
    assert issue(charge(url, order))[2] == "ACTION_DOES_NOT_MATCH_INTENT"
    one = payment(charge(url, order, "a1", "authorize")[1], "authorizations")
    assert one["status"] == "CREATED"
    assert control.card(VISA).charged == 0
    path = f"/v2/payments/authorizations/{one['id']}"
    much = {"amount": {"value": "118.51", "currency_code": "USD"}}
    assert issue(post(url, f"{path}/capture", much))[2] == "MAX_CAPTURE_AMOUNT_EXCEEDED"
    part = {"amount": {"value": "18.50", "currency_code": "USD"}, "invoice_id": "dfy-901-capture-1"}
    status, taken = post(url, f"{path}/capture", part, "t1")
    assert (status, taken["status"], taken["invoice_id"]) == (201, "COMPLETED", "dfy-901-capture-1")
    assert post(url, f"{path}/capture", part, "t1") == (201, taken)
    rest = {"amount": {"value": "90.00", "currency_code": "USD"}, "final_capture": True}
    assert post(url, f"{path}/capture", rest, "t2")[0] == 201
    assert issue(post(url, f"{path}/capture", part, "t3"))[2] == "AUTHORIZATION_ALREADY_CAPTURED"
    assert issue(post(url, f"{path}/void", {}))[2] == "PREVIOUSLY_CAPTURED"
    assert control.card(VISA).net == 10850
    assert len(get(url, f"/v2/checkout/orders/{order}")[1]["purchase_units"][0]["payments"]["captures"]) == 2


def test_void(url: str) -> None:
    """204 without a body, or the authorization where it is preferred; a second one is refused."""
    for number, (prefer, status) in enumerate((("return=minimal", 204), ("return=representation", 200))):
        order = opened(url, f"o{number}", intent="AUTHORIZE")
        one = payment(charge(url, order, f"a{number}", "authorize")[1], "authorizations")
        path = f"/v2/payments/authorizations/{one['id']}"
        answered, body = post(url, f"{path}/void", {}, f"v{number}", Prefer=prefer)
        assert answered == status
        assert body.get("status") == ("VOIDED" if body else None)
        assert issue(post(url, f"{path}/void", {}))[2] == "PREVIOUSLY_VOIDED"
        assert issue(post(url, f"{path}/capture", {}))[2] == "AUTHORIZATION_VOIDED"


# ---- refunds


def test_refunds(url: str, control: SandboxClient) -> None:
    """In parts up to the capture; the rest without an amount; then nothing is left."""
    capture = sold(url)
    path = f"/v2/payments/captures/{capture}"
    part = {"amount": {"value": "18.50", "currency_code": "USD"}, "invoice_id": "dfy-901-refund-1"}
    status, first = post(url, f"{path}/refund", part, "r1")
    assert (status, first["status"], first["invoice_id"]) == (201, "COMPLETED", "dfy-901-refund-1")
    assert get(url, path)[1]["status"] == "PARTIALLY_REFUNDED"
    assert issue(post(url, f"{path}/refund", WHOLE))[2] == "REFUND_AMOUNT_EXCEEDED"
    euro = {"amount": {"value": "1.00", "currency_code": "EUR"}}
    assert issue(post(url, f"{path}/refund", euro))[2] == "REFUND_CAPTURE_CURRENCY_MISMATCH"
    assert post(url, f"{path}/refund", {}, "r2")[1]["amount"]["value"] == "100.00"
    assert get(url, path)[1]["status"] == "REFUNDED"
    assert issue(post(url, f"{path}/refund", part))[2] == "CAPTURE_FULLY_REFUNDED"
    assert get(url, f"/v2/payments/refunds/{first['id']}")[1] == first
    assert control.card(VISA).net == 0
    charges = control.charges()["paypal"]["USD"]
    assert (charges["approved"], charges["refunds"], charges["net"]) == (1, 2, 0)


def test_refund_that_pends(control: SandboxClient) -> None:
    """A sandbox may be started so that refunds pend until they settle."""
    del control
    with start(returns_pending=True) as process:
        capture = sold(process.base_url)
        body = post(process.base_url, f"/v2/payments/captures/{capture}/refund", WHOLE, "r1")[1]
        assert body["status"] == "PENDING"
        process.client.settle()
        assert get(process.base_url, f"/v2/payments/refunds/{body['id']}")[1]["status"] == "COMPLETED"


def test_refund_too_late(url: str, control: SandboxClient) -> None:
    """After 180 days nothing is refunded any more."""
    capture = sold(url)
    control.advance(181 * DAY)
    refused = post(url, f"/v2/payments/captures/{capture}/refund", WHOLE)
    assert issue(refused)[2] == "REFUND_TIME_LIMIT_EXCEEDED"


# ---- what is told


def test_secrets_are_not_told(url: str, control: SandboxClient) -> None:
    """The request log shows neither number nor security code nor token; nor do the books."""
    sold(url)
    seen = control.requests()
    assert [request.operation for request in seen] == ["other", "other", "other", "sale"]
    told = repr(seen) + repr(control.transactions())
    for secret in (VISA, '"123"', "A21AA", LOGIN.removeprefix("Basic ")):
        assert secret not in told
    assert "************1111" in seen[-1].body


@pytest.mark.parametrize("content", ["not json", "[]"])
def test_malformed_requests(url: str, content: str) -> None:
    """What is no JSON object is refused; so is another kind of content."""
    assert issue(post(url, "/v2/checkout/orders", content))[:2] == (400, "INVALID_REQUEST")
    assert post(url, "/v2/checkout/orders", ORDER, Content_Type="text/plain")[0] == 415
