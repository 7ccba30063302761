"""Stripe as its pages describe it: documented requests, idempotency keys, test cards, refunds, lists."""

import base64
import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from sandbox import client as steps
from sandbox.client import SandboxClient, start
from tests.sandbox.speak import VISA

KEY = "sandbox-secret"
NUMBER = "payment_method_data[card][number]"
CARD = {
    "payment_method_data[type]": "card",
    NUMBER: VISA,
    "payment_method_data[card][exp_month]": "12",
    "payment_method_data[card][exp_year]": "2030",
    "payment_method_data[card][cvc]": "123",
}
SALE = {
    "amount": "12550",
    "currency": "usd",
    "confirm": "true",
    "error_on_requires_action": "true",
    "payment_method_types[]": "card",
    "metadata[merchant_reference]": "dfy-p1041-sale-1",
}
Answer = tuple[int, dict[str, Any], dict[str, str]]


def ask(
    url: str, method: str, path: str, values: dict[str, str] | None = None, key: str = "", auth: str = ""
) -> Answer:
    """One request: status, JSON body, headers (names in lower case)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=5)
    headers = {"Authorization": auth or f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    if key:
        headers["Idempotency-Key"] = key
    sent = urlencode(values or {})
    target = f"/stripe{path}" + (f"?{sent}" if method == "GET" and sent else "")
    connection.request(method, target, sent.encode() if method == "POST" else None, headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body, {name.lower(): value for name, value in answer.getheaders()}


def post(url: str, path: str, values: dict[str, str] | None = None, key: str = "") -> Answer:
    """A POST under an idempotency key."""
    return ask(url, "POST", path, values, key)


def sale(url: str, key: str = "k1", **changes: str) -> Answer:
    """The documented sale, with other values."""
    return post(url, "/payment_intents", {**SALE, **CARD, **changes}, key)


def test_the_documented_sale_gets_the_documented_fields(url: str, control: SandboxClient) -> None:
    """The sheet's sample request, by payment method, is answered with all that its sample answer says."""
    status, body, headers = post(url, "/payment_intents", {**SALE, "payment_method": "pm_card_visa"}, "k1")
    assert status == 200
    assert body["id"].startswith("pi_")
    assert body["latest_charge"].startswith("ch_")
    expected = {
        "object": "payment_intent",
        "amount": 12550,
        "amount_received": 12550,
        "currency": "usd",
        "status": "succeeded",
        "last_payment_error": None,
        "metadata": {"merchant_reference": "dfy-p1041-sale-1"},
    }
    assert body.items() >= expected.items()
    assert headers["request-id"]
    assert "idempotent-replayed" not in headers
    booked = control.transaction(gateway="stripe")
    assert (booked.reference, booked.request_id, booked.amount) == ("dfy-p1041-sale-1", "k1", 12550)


def test_both_ways_to_give_the_key(url: str) -> None:
    """Bearer, or Basic with the key as user name; anything else is 401, whatever is asked."""
    basic = "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()
    assert ask(url, "GET", "/payment_intents", auth=basic)[0] == 200
    for auth in ("Bearer wrong", "Basic ???", "nothing"):
        for method, path in (("GET", "/payment_intents"), ("POST", "/payment_intents"), ("GET", "/nowhere")):
            status, body, _ = ask(url, method, path, auth=auth)
            assert (status, body["error"]["type"]) == (401, "invalid_request_error")


def test_versioned_paths(url: str) -> None:
    """With and without /v1; an address that nobody serves is 404."""
    assert ask(url, "GET", "/v1/payment_intents")[0] == 200
    assert ask(url, "GET", "/v1/nowhere")[0] == 404
    assert ask(url, "DELETE", "/payment_intents")[0] == 404


# ---- idempotency keys


def test_a_repeated_key_gives_the_first_answer(url: str, control: SandboxClient) -> None:
    """The stored status and body, with Idempotent-Replayed, and one charge."""
    first, again = sale(url), sale(url)
    assert again[:2] == first[:2]
    assert again[2]["idempotent-replayed"] == "true"
    assert control.card(VISA).charged == 1


def test_a_decline_is_stored_too(url: str, control: SandboxClient) -> None:
    """So each attempt needs a key of its own."""
    lost = "4000000000009987"
    first, again = (sale(url, **{NUMBER: lost}) for _ in range(2))
    assert (first[0], again[0]) == (402, 402)
    assert again[1] == first[1]
    assert control.card(lost).declined == 1


@pytest.mark.parametrize("changes", [{"amount": "12551"}, {NUMBER: "4242424242424242"}, {"confirm": "false"}])
def test_a_key_with_other_parameters(url: str, control: SandboxClient, changes: dict[str, str]) -> None:
    """400 idempotency_error: nothing is done, and the first answer is still there."""
    first = sale(url)
    status, body, _ = sale(url, **changes)
    assert (status, body["error"]["type"]) == (400, "idempotency_error")
    assert sale(url)[1] == first[1]
    assert control.card(VISA).charged == 1


def test_a_key_at_another_endpoint(url: str) -> None:
    """A key is of one endpoint."""
    made = sale(url)[1]["id"]
    status, body, _ = post(url, "/refunds", {"payment_intent": made}, "k1")
    assert (status, body["error"]["type"]) == (400, "idempotency_error")


def test_what_was_not_executed_is_not_stored(url: str, control: SandboxClient) -> None:
    """A wrong parameter, 401, 409 and 429 leave the key free."""
    assert sale(url, amount="12.50")[0] == 400
    for code, expected in (("idempotency_key_in_use", 409), ("lock_timeout", 429), ("api_error", 500)):
        control.scenario(before=[steps.answer(code)], gateway="stripe")
        status, body, _ = sale(url)
        assert (status, body["error"]["code"]) == (expected, code)
    assert control.transactions() == []
    assert sale(url)[0] == 200


def test_keys_outlive_a_restart(tmp_path: Path) -> None:
    """With a state file a killed sandbox still knows what it answered under a key, and which card is kept."""
    state = tmp_path / "sandbox.db"
    with start(state=state) as first:
        answered = sale(first.base_url, customer="cus_1", setup_future_usage="off_session")
        first.kill()
    with start(state=state) as second:
        assert sale(second.base_url, customer="cus_1", setup_future_usage="off_session")[:2] == answered[:2]
        kept = {**SALE, "customer": "cus_1", "payment_method": answered[1]["payment_method"]}
        assert post(second.base_url, "/payment_intents", kept, "k2")[0] == 200
        assert second.client.card(VISA).charged == 2


# ---- test cards


@pytest.mark.parametrize(
    ("number", "method", "code", "decline_code"),
    [
        ("4000000000000002", "pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("4000000000009995", "pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("4000000000009987", "pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("4000000000009979", "pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("4000000000000069", "pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("4000000000000127", "pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("4000000000000119", "pm_card_chargeDeclinedProcessingError", "processing_error", None),
        (
            "4000000000006975",
            "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
            "card_declined",
            "card_velocity_exceeded",
        ),
        ("4000000000000341", "pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
def test_documented_cards(
    url: str, control: SandboxClient, number: str, method: str, code: str, decline_code: str | None
) -> None:
    """Number and payment method give the same decline: 402, a card_error, an intent that could be tried again."""
    for values, key in (({**SALE, **CARD, NUMBER: number}, "k1"), ({**SALE, "payment_method": method}, "k2")):
        status, body, _ = post(url, "/payment_intents", values, key)
        error = body["error"]
        assert (status, error["type"], error["code"]) == (402, "card_error", code)
        assert error.get("decline_code") == decline_code
        intent = error["payment_intent"]
        assert intent["status"] == "requires_payment_method"
        assert intent["last_payment_error"]["code"] == code
        assert ask(url, "GET", f"/payment_intents/{intent['id']}")[1] == intent
    card = control.card(number)
    assert (card.declined, card.charged) == (2, 0)


@pytest.mark.parametrize(
    ("values", "status", "code"),
    [
        ({"error_on_requires_action": "false"}, 200, None),
        ({}, 402, None),
        ({"off_session": "true"}, 402, "authentication_required"),
    ],
)
def test_a_card_that_asks_its_holder(
    url: str, control: SandboxClient, values: dict[str, str], status: int, code: str | None
) -> None:
    """Waits for the payer, or is an error where the request says so; a waiting one can be cancelled."""
    number = "4000002760003184"
    got, body, _ = sale(url, **{NUMBER: number, **values})
    assert got == status
    if status == 200:
        assert body["status"] == "requires_action"
        assert post(url, f"/payment_intents/{body['id']}/cancel", key="k2")[1]["status"] == "canceled"
    else:
        assert body["error"].get("code") == code
    assert control.card(number).charged == 0


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({NUMBER: "4111111111111112"}, 402, "incorrect_number"),
        ({"payment_method_data[card][exp_month]": "13"}, 402, "invalid_expiry_month"),
        ({"payment_method_data[card][exp_year]": "2020"}, 402, "invalid_expiry_year"),
        ({"amount": "49"}, 400, "amount_too_small"),
        ({"amount": "100000000"}, 400, "amount_too_large"),
        ({"amount": "-1"}, 400, "parameter_invalid_integer"),
        ({"currency": "USD"}, 400, "parameter_invalid"),
        ({"currency": "kwd", "amount": "5124"}, 400, "parameter_invalid"),
        ({"payment_method_types[]": ""}, 400, "parameter_missing"),
        ({"payment_method_data[type]": ""}, 400, "parameter_missing"),
        ({"confirm": "", "off_session": "true"}, 400, "parameter_invalid"),
        ({"payment_method": "pm_nobody"}, 400, "resource_missing"),
        ({"customer": "nobody"}, 400, "resource_missing"),
    ],
)
def test_wrong_requests(url: str, control: SandboxClient, changes: dict[str, str], status: int, code: str) -> None:
    """Each is refused with its code, and nothing is booked."""
    got, body, _ = sale(url, **changes)
    assert (got, body["error"]["code"]) == (status, code)
    assert control.transactions() == []


def test_any_amount(url: str, control: SandboxClient) -> None:
    """The setting lifts the smallest amount, and only that."""
    control.change(any_amount=True)
    assert sale(url, amount="1")[0] == 200
    assert sale(url, "k2", amount="0")[1]["error"]["code"] == "amount_too_small"


def test_a_stored_card_needs_its_customer(url: str, control: SandboxClient) -> None:
    """A payment method works for the customer that it was kept under, and for no other."""
    customer = post(url, "/customers", key="k0")[1]["id"]
    kept = sale(url, customer=customer, setup_future_usage="off_session")[1]["payment_method"]
    once = sale(url, "k2")[1]["payment_method"]
    again = {**SALE, "payment_method": kept, "off_session": "true"}
    assert post(url, "/payment_intents", {**again, "customer": customer}, "k3")[0] == 200
    assert post(url, "/payment_intents", again, "k4")[0] == 400
    assert post(url, "/payment_intents", {**again, "customer": "cus_other"}, "k5")[0] == 400
    assert post(url, "/payment_intents", {**SALE, "payment_method": once, "customer": customer}, "k6")[0] == 400
    assert control.card(VISA).charged == 3


# ---- cancel, capture, refund


def test_a_sale_cannot_be_cancelled(url: str, control: SandboxClient) -> None:
    """400 payment_intent_unexpected_state, with the intent and its state."""
    made = sale(url)[1]["id"]
    status, body, _ = post(url, f"/payment_intents/{made}/cancel", key="k2")
    error = body["error"]
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
    assert error["payment_intent"]["status"] == "succeeded"
    assert control.card(VISA).standing == 1


def test_an_authorization_is_cancelled_once(url: str, control: SandboxClient) -> None:
    """The hold is released; a second cancel, and a capture, are refused by its state."""
    made = sale(url, capture_method="manual")[1]
    assert (made["status"], made["amount_capturable"], made["amount_received"]) == ("requires_capture", 12550, 0)
    assert post(url, f"/payment_intents/{made['id']}/cancel", key="k2")[1]["status"] == "canceled"
    for verb, key in (("cancel", "k3"), ("capture", "k4")):
        status, body, _ = post(url, f"/payment_intents/{made['id']}/{verb}", key=key)
        assert (status, body["error"]["payment_intent"]["status"]) == (400, "canceled")
    assert control.card(VISA).charged == 0


def test_a_part_is_captured(url: str, control: SandboxClient) -> None:
    """What was captured is what was received and what can be refunded; more than the hold is refused."""
    made = sale(url, capture_method="manual")[1]["id"]
    path = f"/payment_intents/{made}/capture"
    assert post(url, path, {"amount_to_capture": "12551"}, "k2")[1]["error"]["code"] == "amount_too_large"
    taken = post(url, path, {"amount_to_capture": "5000"}, "k3")[1]
    assert (taken["status"], taken["amount"], taken["amount_received"]) == ("succeeded", 12550, 5000)
    assert ask(url, "GET", f"/payment_intents/{made}")[1]["amount_received"] == 5000
    assert post(url, "/refunds", {"payment_intent": made, "amount": "5001"}, "k4")[0] == 400
    assert post(url, "/refunds", {"payment_intent": made}, "k5")[1]["amount"] == 5000
    assert control.card(VISA).net == 0


def test_refunds_up_to_the_charge(url: str, control: SandboxClient) -> None:
    """Parts, then the rest by default; beyond that charge_already_refunded. The charge tells the sum."""
    made = sale(url)[1]["id"]
    part = post(url, "/refunds", {"payment_intent": made, "amount": "5000", "metadata[merchant_reference]": "r1"}, "k2")
    assert (part[1]["status"], part[1]["metadata"]) == ("succeeded", {"merchant_reference": "r1"})
    much = post(url, "/refunds", {"payment_intent": made, "amount": "7551"}, "k3")[1]["error"]
    assert (much["type"], much["param"]) == ("invalid_request_error", "amount")
    assert post(url, "/refunds", {"payment_intent": made}, "k4")[1]["amount"] == 7550
    assert post(url, "/refunds", {"payment_intent": made}, "k5")[1]["error"]["code"] == "charge_already_refunded"
    whole = ask(url, "GET", f"/payment_intents/{made}", {"expand[]": "latest_charge"})[1]["latest_charge"]
    assert (whole["amount_refunded"], whole["refunded"]) == (12550, True)
    listed = ask(url, "GET", "/refunds", {"payment_intent": made})[1]
    assert [one["amount"] for one in listed["data"]] == [7550, 5000]
    assert control.card(VISA).net == 0


def test_a_declined_intent_cannot_be_refunded(url: str) -> None:
    """There is no charge to refund; nor is there of an intent that nobody made."""
    declined = sale(url, **{NUMBER: "4000000000000002"})[1]["error"]["payment_intent"]["id"]
    assert post(url, "/refunds", {"payment_intent": declined}, "k2")[0] == 400
    status, body, _ = post(url, "/refunds", {"payment_intent": "pi_nobody"}, "k3")
    assert (status, body["error"]["code"]) == (404, "resource_missing")


@pytest.mark.parametrize(
    ("number", "at_once", "later", "net"),
    [("4000000000005126", "succeeded", "failed", 12550), ("4000000000007726", "pending", "succeeded", 0)],
)
def test_refunds_that_change_later(
    url: str, control: SandboxClient, number: str, at_once: str, later: str, net: int
) -> None:
    """One fails after it had succeeded, which gives the money back; one pends, until settlement has run."""
    made = sale(url, **{NUMBER: number})[1]["id"]
    refund = post(url, "/refunds", {"payment_intent": made}, "k2")[1]
    assert refund["status"] == at_once
    assert ask(url, "GET", f"/refunds/{refund['id']}")[1]["status"] == at_once
    control.settle()
    for _ in range(2):
        assert ask(url, "GET", f"/refunds/{refund['id']}")[1]["status"] == later
    assert control.card(number).net == net


# ---- lists


def test_lists_have_pages_newest_first(url: str) -> None:
    """limit, starting_after and has_more lead through all, whatever was charged or declined."""
    made = [sale(url, f"k{number}")[1]["id"] for number in range(3)]
    made.append(sale(url, "k9", **{NUMBER: "4000000000000002"})[1]["error"]["payment_intent"]["id"])
    first = ask(url, "GET", "/payment_intents", {"limit": "3"})[1]
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (made[:0:-1], True)
    rest = ask(url, "GET", "/payment_intents", {"limit": "3", "starting_after": made[1]})[1]
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (made[:1], False)
    assert ask(url, "GET", "/payment_intents", {"limit": "101"})[0] == 400
    assert ask(url, "GET", "/payment_intents", {"starting_after": "pi_nobody"})[0] == 400


def test_lists_by_time(url: str, control: SandboxClient) -> None:
    """created[gte] and created[lte] by the sandbox's clock, both ends included."""
    early = sale(url)[1]
    control.advance(3600)
    late = sale(url, "k2")[1]
    for name, moment, expected in (
        ("gte", late["created"], [late["id"]]),
        ("gte", early["created"], [late["id"], early["id"]]),
        ("lte", early["created"], [early["id"]]),
        ("lte", early["created"] - 1, []),
    ):
        listed = ask(url, "GET", "/payment_intents", {f"created[{name}]": str(moment)})[1]["data"]
        assert [one["id"] for one in listed] == expected


# ---- for tests and developers


def test_scenarios(url: str, control: SandboxClient) -> None:
    """A chosen decline, a state, an edited answer, another's answer: the books have what was done."""
    control.scenario(before=[steps.answer("do_not_honor", "No.")], gateway="stripe")
    error = sale(url)[1]["error"]
    assert (error["decline_code"], error["message"]) == ("do_not_honor", "No.")
    control.scenario(before=[steps.answer("processing")], operation="sale")
    assert sale(url, "k2")[1]["status"] == "processing"
    control.scenario(
        after=[steps.edit({"amount_received": "1", "metadata.merchant_reference": "x", "currency": None})], card=VISA
    )
    edited = sale(url, "k3")[1]
    assert (edited["amount_received"], edited["metadata"]) == (1, {"merchant_reference": "x"})
    assert "currency" not in edited
    booked = control.transactions(operation="sale", state="settled")[0]
    control.scenario(before=[steps.foreign(booked.id)], operation="sale")
    _, other, headers = sale(url, "k4")
    assert (other["id"], headers["idempotent-replayed"]) == (booked.id, "true")
    control.scenario(before=[steps.answer("charge_disputed")], operation="refund")
    assert post(url, "/refunds", {"payment_intent": booked.id}, "k5")[1]["error"]["code"] == "charge_disputed"
    assert control.card(VISA).net == 12550


def test_cards_that_decline_first(url: str, control: SandboxClient) -> None:
    """The number says how often, as at the other gateways."""
    number = "4000050000010002"
    number = next(number[:-1] + str(digit) for digit in range(10) if _luhn(number[:-1] + str(digit)))
    assert sale(url, **{NUMBER: number})[1]["error"]["decline_code"] == "insufficient_funds"
    assert sale(url, "k2", **{NUMBER: number})[0] == 200
    assert control.card(number).charged == 1


def _luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def test_secrets_are_masked_wherever_they_are_shown(url: str, control: SandboxClient) -> None:
    """Number, security code and key are in no log of requests, nor in the books."""
    sale(url)
    [seen] = control.requests(gateway="stripe")
    assert "************1111" in seen.body
    assert "cvc%5D=***" in seen.body
    assert seen.headers["authorization"] == "***"
    shown = f"{seen} {control.transactions()}"
    assert VISA not in shown
    assert KEY not in shown


def test_a_card_is_not_kept_with_nobody_there(url: str, control: SandboxClient) -> None:
    """off_session and setup_future_usage exclude each other; what was told of a stored card stands in the books."""
    status, body, _ = sale(url, customer="cus_1", setup_future_usage="off_session", off_session="true")
    assert (status, body["error"]["type"], body["error"]["param"]) == (400, "invalid_request_error", "off_session")
    assert control.card(VISA).charged == 0
    assert sale(url, "k2", off_session="perhaps")[0] == 400
    assert sale(url, "k3", customer="cus_1", setup_future_usage="off_session")[0] == 200
    assert sale(url, "k4", off_session="recurring")[0] == 200
    assert [one.credential for one in control.transactions(operation="sale") if one.state == "settled"] == [
        "customer first",
        "merchant subsequent recurring",
    ]
