"""What PayPal's replies prove, what is sent to it, and what is kept: by the samples of its pages, and bent ones."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateways.contract import Capture, Gateway, Inquiry, Operation, Refund, Reply, Sale, Void
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Failed,
    FailureClass,
    Found,
    Held,
    NoAnswer,
    Outcome,
    RefundRefusal,
    Refused,
    Sighting,
    Standing,
    Unknown,
    Unwell,
    VoidRefusal,
)
from rules.stored_cards import FirstSale, StoredCredential
from tests.gateways import builders
from tests.gateways.canned import Canned, read_request
from tests.gateways.test_secrets import assert_nothing_seen

ORDER, CAPTURE, AUTHORIZATION, REFUND = (
    "7WH94211LK834082R",
    "3C679366HH908993F",
    "0AW2184448108334S",
    "1JU08902781691411",
)
TOKEN = "A21AAcanary-token_" + "x" * 52
TOKEN_REPLY = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 32400})
OPENED = {"id": ORDER, "status": "CREATED"}
RESERVED = f"authorization:{AUTHORIZATION}"

Body = Mapping[str, Any] | str


class PayPalServer(Canned):
    """Gives tokens, opens orders, and answers everything else with one reply; other replies may stand in for those."""

    def __init__(
        self,
        body: Body,
        status: int = 201,
        headers: str = "",
        order: tuple[int, Body] = (201, OPENED),
        token: tuple[int, Body] = (200, TOKEN_REPLY),
    ) -> None:
        super().__init__("", headers=headers)
        self.replies = {b"/v1/oauth2/token": token, b"/v2/checkout/orders": order}
        self.other: tuple[int, Body] = (status, body)

    def _serve(self, connection: socket.socket) -> None:
        try:
            while request := read_request(connection):
                self.requests.append(request)
                status, body = self.replies.get(request.split(b" ")[1], self.other)
                content = (body if isinstance(body, str) else json.dumps(body)).encode()
                head = f"HTTP/1.1 {status} Canned\r\n{self.headers}Content-Length: {len(content)}\r\n\r\n"
                connection.sendall(head.encode() + content)
        except OSError:
            return


def captured(**changes: Any) -> dict[str, Any]:
    """The answer to the usual sale, with the capture's fields changed."""
    capture = {
        "id": CAPTURE,
        "status": "COMPLETED",
        "amount": {"currency_code": "USD", "value": "118.50"},
        "final_capture": True,
        "invoice_id": str(builders.REFERENCE),
        "custom_id": str(builders.REFERENCE),
        "processor_response": {"avs_code": "Y", "cvv_code": "M", "response_code": "0000"},
        **changes,
    }
    unit = {"reference_id": "default", "payments": {"captures": [capture]}}
    return {"id": ORDER, "status": "COMPLETED", "purchase_units": [unit]}


def authorized(**changes: Any) -> dict[str, Any]:
    """The answer to the usual amount, authorized."""
    body = captured(id=AUTHORIZATION, **{"status": "CREATED", **changes})
    payments = body["purchase_units"][0]["payments"]
    payments["authorizations"] = payments.pop("captures")
    return body


def twice_captured() -> dict[str, Any]:
    """An order with two captures."""
    body = captured()
    captures = body["purchase_units"][0]["payments"]["captures"]
    captures.append({**captures[0], "id": REFUND})
    return body


def declined(code: str, advice: str = "") -> dict[str, Any]:
    """As captured, declined by the processor."""
    return captured(status="DECLINED", processor_response={"response_code": code, "payment_advice_code": advice})


def refused(*issues: str, name: str = "UNPROCESSABLE_ENTITY") -> dict[str, Any]:
    """An error's body."""
    details = [{"issue": issue, "description": "It was not done."} for issue in issues]
    return {"name": name, "message": "No.", "debug_id": "90957fca61718", "details": details}


def call(server: PayPalServer, asked: Sale | Void | Refund | Capture | None = None) -> Reply[Outcome]:
    """What the gateway makes of the server's reply to `asked` (the usual sale)."""
    gateway = builders.gateway("paypal", server.url)
    match asked:
        case Void():
            return gateway.void(asked)
        case Refund():
            return gateway.refund(asked)
        case Capture():
            return gateway.capture(asked)
        case _:
            return gateway.sale(asked or builders.sale())


def answer(body: Body, status: int = 201, asked: Sale | Void | Refund | Capture | None = None, **how: Any) -> Outcome:
    """What a reply proves."""
    with PayPalServer(body, status, **how) as server:
        return call(server, asked).result


def look(body: Body, status: int = 200, asked: Inquiry | None = None) -> Sighting:
    """What a reply proves as an answer to an inquiry for the usual sale."""
    with PayPalServer(body, status) as server:
        return builders.gateway("paypal", server.url).inquire(asked or builders.inquiry()).result


VOID = builders.void(sale_transaction_id=RESERVED)
TAKE = builders.capture(authorization_transaction_id=RESERVED)
RETURN = builders.refund(sale_transaction_id=CAPTURE)


# ---- approved


def test_approved() -> None:
    """R18: an approval carries what the capture repeats, for the caller to compare."""
    assert answer(captured()) == Approved(
        CAPTURE, "0000", amount_minor=11850, currency="USD", reference=str(builders.REFERENCE)
    )


def test_repeated_approval() -> None:
    """E4: a known request id is answered with 200 and the latest status; a sale that was refunded since was one."""
    for status in ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"):
        assert isinstance(answer(captured(status=status), 200), Approved)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"id": "3c679366/../x"},
        {"amount": {"currency_code": "USD", "value": "lots"}},
        {"amount": {"currency_code": "XXX", "value": "118.50"}},
        {"amount": {"value": "118.50"}},
        {"amount": {"currency_code": "USD", "value": ["118.50"]}},
        {"amount": "118.50"},
        {"status": "completed"},
        {"status": None},
        {"status": "SOMETHING_NEW"},
    ],
    ids=str,
)
def test_approval_that_is_cut(changes: dict[str, Any]) -> None:
    """E3, B19: an approval whose id, amount or status cannot be read proves nothing, and leaves the order's id."""
    outcome = answer(captured(**changes))
    assert isinstance(outcome, Unknown)
    assert outcome.transaction_id in (f"order:{ORDER}", CAPTURE)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": ORDER, "status": "COMPLETED"},
        {"id": ORDER, "status": "CREATED", "purchase_units": [{}]},
        {"id": ORDER, "status": "COMPLETED", "purchase_units": [{"payments": {"captures": []}}]},
        {"id": ORDER, "status": "COMPLETED", "purchase_units": [{"payments": {"captures": ["x"]}}]},
        {**captured(), "purchase_units": [{"payments": {"captures": [{"id": CAPTURE}, {"id": REFUND}]}}]},
        "<html>COMPLETED</html>",
        "[]",
        "",
        json.dumps(captured())[:-7],
        json.dumps(captured()).replace('"status": "COMPLETED",', '"status": "COMPLETED", "status": "DECLINED",', 1),
    ],
    ids=str,
)
def test_success_without_a_capture(body: Body) -> None:
    """E3, B17: the order's own status decides nothing; none, two, half or contradicting captures prove nothing."""
    outcome = answer(body)
    assert isinstance(outcome, Unknown)
    assert outcome.transaction_id == f"order:{ORDER}"


def test_answer_about_another_order() -> None:
    """B08: another order's capture pays nothing here."""
    outcome = answer({**captured(), "id": "5O190127TN364715T"})
    assert outcome == Unknown("duplicate_of_other", "the answer is about another order", f"order:{ORDER}")


@pytest.mark.parametrize(
    "unit",
    [
        {"amount": {"currency_code": "USD", "value": "75.00"}},
        {"amount": {"currency_code": "CAD", "value": "118.50"}},
        {"custom_id": "2611240000010499999"},
    ],
    ids=str,
)
def test_order_of_something_else(unit: dict[str, Any]) -> None:
    """E2, B08: an order under our request id that is not what was asked is not captured."""
    with PayPalServer(captured(), order=(200, {**OPENED, "purchase_units": [unit]})) as server:
        outcome = call(server).result
        assert isinstance(outcome, Unknown)
        assert (outcome.code, outcome.transaction_id) == ("duplicate_of_other", f"order:{ORDER}")
        assert not [request for request in server.requests if b"/capture" in request]
        sighting = builders.gateway("paypal", server.url).inquire(builders.inquiry()).result
    assert isinstance(sighting, Found)
    assert sighting.standing is Standing.LIMBO


def test_vault_and_network() -> None:
    """C4: the vault's id and the network's reference are kept."""
    body = captured(network_transaction_reference={"id": "016153570198200", "network": "VISA"})
    body["payment_source"] = {"card": {"attributes": {"vault": {"id": "8kk845", "status": "VAULTED"}}}}
    outcome = answer(body)
    assert isinstance(outcome, Approved)
    assert (outcome.card_token, outcome.network_reference) == ("8kk845", "016153570198200")


# ---- declined: the processor's codes

DECLINES = {
    DeclineClass.SOFT_TECHNICAL: "0960 5920 8000 8110 8220 PPNT PPER",
    DeclineClass.SOFT_DATED: "5120 5710 PPAX PPEL PPNL",
    DeclineClass.SOFT_GENERIC: "0500 10BR 9100",
    DeclineClass.SOFT_UNLISTED: "5100 8100",
    DeclineClass.NEW_DATA: "00N7 0390 1330 1335 1380 1382 5110 5170 5190 5400 5950 6300 PCVV PPAD PPAV PPC2 PPEF PPEX",
    DeclineClass.OTHER_WAY: "0100 5130 5135 5500 5650 5700 5910 5930 7700 7710 9530 PPCT",
    DeclineClass.HARD: "0580 0R00 1352 1360 1384 1393 5140 5150 5160 5180 5210 5900 7800 9500 9510 9520 9540"
    " PP06 PPAB PPFR PPRN",
}


@pytest.mark.parametrize(("decline", "code"), [(c, code) for c, codes in DECLINES.items() for code in codes.split()])
def test_declined(decline: DeclineClass, code: str) -> None:
    """R16: each code of the processor has its class; the code and the network's advice are kept raw."""
    assert answer(declined(code, "02")) == Declined(decline, code, "declined by the processor", CAPTURE, "02")


SETUP = "0890 1300 1310 1312 1317 1320 1340 1350 1370 8010 8020 8030 PPMD PPRR PPUA PPTT PPUC PPCE PPFV PPII"


@pytest.mark.parametrize("code", SETUP.split())
def test_declined_for_our_setup(code: str) -> None:
    """R16: a code about the merchant's account is no fault of the card."""
    assert answer(declined(code)) == Failed(FailureClass.GATEWAY_SETUP, code, "declined by the processor")


@pytest.mark.parametrize("code", "0000 0800 1000 5200 9600 PPIF ZZZZ".split())
def test_code_that_is_no_verdict(code: str) -> None:
    """E3: a code that may stand for a charge, or that no table knows, is looked up."""
    assert answer(declined(code)) == Unknown(code, "declined, with a code that is no verdict", CAPTURE)


def test_declined_without_a_code() -> None:
    """R16: a decline without a code gets one more try."""
    assert answer(declined("")) == Declined(
        DeclineClass.SOFT_UNLISTED, "DECLINED", "declined by the processor", CAPTURE
    )


@pytest.mark.parametrize("code", ["5200", "ZZZZ"])
def test_unlisted_code_after_a_look(code: str) -> None:
    """R16: what the look-up says to be declined too is a decline, for a reason that no table knows."""
    sighting = look(declined(code))
    assert sighting == Found(
        Declined(DeclineClass.SOFT_UNLISTED, code, "declined by the processor", CAPTURE), Standing.NOTHING
    )


@pytest.mark.parametrize("code", ["0000", "0800", "PPIF"])
def test_code_that_never_is_a_verdict(code: str) -> None:
    """E3: behind some codes a charge may stand even where a look-up repeats the decline: a person must look."""
    sighting = look(declined(code))
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (Unknown, Standing.LIMBO)


@pytest.mark.parametrize("status", ["COMPLETED", "DECLINED"])
def test_approved_and_not_captured(status: str) -> None:
    """B22: response code 7600 is for a person, whatever the status says."""
    outcome = answer(captured(status=status, processor_response={"response_code": "7600"}))
    assert isinstance(outcome, Held)


@pytest.mark.parametrize(
    ("reason", "kind"), [("PENDING_REVIEW", Held), ("ECHECK", Unknown), ("OTHER", Unknown), ("", Unknown)]
)
def test_pending(reason: str, kind: type[Outcome]) -> None:
    """B22, B79: a pending capture is neither yes nor no, and found so by its own id."""
    body = captured(status="PENDING", status_details={"reason": reason})
    outcome = answer(body)
    assert type(outcome) is kind
    assert isinstance(outcome, Held | Unknown)
    assert outcome.transaction_id == CAPTURE
    sighting = look(body)
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (kind, Standing.LIMBO)


# ---- errors

ISSUES: dict[DeclineClass | FailureClass, str] = {
    DeclineClass.SOFT_UNLISTED: "INSTRUMENT_DECLINED",
    DeclineClass.HARD: """PAYMENT_SOURCE_DECLINED_BY_PROCESSOR COMPLIANCE_VIOLATION PAYEE_BLOCKED_TRANSACTION
    TRANSACTION_BLOCKED_BY_PAYEE PAYER_ACCOUNT_LOCKED_OR_CLOSED PAYER_ACCOUNT_RESTRICTED""",
    DeclineClass.SOFT_GENERIC: """TRANSACTION_REFUSED PAYER_CANNOT_PAY TRANSACTION_LIMIT_EXCEEDED
    TRANSACTION_RECEIVING_LIMIT_EXCEEDED""",
    DeclineClass.NEW_DATA: """CARD_EXPIRED INVALID_EXPIRY_DATE REFERENCED_CARD_EXPIRED
    INVALID_SECURITY_CODE_LENGTH PAYMENT_SOURCE_CANNOT_BE_USED PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED
    BILLING_ADDRESS_INVALID""",
    DeclineClass.OTHER_WAY: """CARD_BRAND_NOT_SUPPORTED DOMESTIC_TRANSACTION_REQUIRED PAYER_ACTION_REQUIRED
    MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED REDIRECT_PAYER_FOR_ALTERNATE_FUNDING""",
    FailureClass.REFUSED: """ORDER_NOT_APPROVED ORDER_EXPIRED CARD_NUMBER_REQUIRED CARD_EXPIRY_REQUIRED
    TOKEN_EXPIRED TOKEN_ID_NOT_FOUND
    INVALID_CURRENCY_CODE DECIMAL_PRECISION DECIMALS_NOT_SUPPORTED CANNOT_BE_ZERO_OR_NEGATIVE AMOUNT_MISMATCH
    MAX_VALUE_EXCEEDED MERCHANT_INITIATED_WITH_SECURITY_CODE""",
    FailureClass.GATEWAY_SETUP: """PAYEE_ACCOUNT_RESTRICTED PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING
    AUTH_CAPTURE_NOT_ENABLED
    NOT_ENABLED_FOR_CARD_PROCESSING""",
}


@pytest.mark.parametrize(("what", "issue"), [(w, issue) for w, issues in ISSUES.items() for issue in issues.split()])
def test_issue(what: DeclineClass | FailureClass, issue: str) -> None:
    """R16, E3: an issue that is listed proves a decline, or that nothing was done."""
    outcome = answer(refused(issue), 422)
    if isinstance(what, DeclineClass):
        assert outcome == Declined(what, issue, "It was not done.", f"order:{ORDER}")
    else:
        assert outcome == Failed(what, issue, "It was not done.")


@pytest.mark.parametrize(
    "issue",
    """ORDER_ALREADY_CAPTURED ORDER_COMPLETION_IN_PROGRESS ORDER_COMPLETED_OR_VOIDED DUPLICATE_INVOICE_ID
    DUPLICATE_TRANSACTION SOMETHING_NEW REFUND_NOT_ALLOWED""".split(),
)
def test_issue_that_says_to_look(issue: str) -> None:
    """E3, B10: an issue behind which an earlier charge may stand, or that no table knows, is looked up by the order."""
    assert answer(refused(issue), 422) == Unknown(issue, "It was not done.", f"order:{ORDER}")


def test_worst_of_several_issues() -> None:
    """E3: of several issues the one that proves least counts, then the hardest decline."""
    assert isinstance(answer(refused("CARD_EXPIRED", "SOMETHING_NEW", "DECIMAL_PRECISION"), 422), Unknown)
    worst = answer(refused("DECIMAL_PRECISION", "CARD_EXPIRED", "COMPLIANCE_VIOLATION", "PAYER_CANNOT_PAY"), 422)
    assert isinstance(worst, Declined)
    assert (worst.decline, worst.code) == (DeclineClass.HARD, "COMPLIANCE_VIOLATION")


@pytest.mark.parametrize(
    ("status", "name", "failure"),
    [
        (400, "INVALID_REQUEST", FailureClass.REFUSED),
        (401, "AUTHENTICATION_FAILURE", FailureClass.GATEWAY_SETUP),
        (403, "NOT_AUTHORIZED", FailureClass.GATEWAY_SETUP),
        (404, "RESOURCE_NOT_FOUND", FailureClass.REFUSED),
        (415, "UNSUPPORTED_MEDIA_TYPE", FailureClass.REFUSED),
        (429, "RATE_LIMIT_REACHED", FailureClass.BUSY),
    ],
)
def test_status_that_proves(status: int, name: str, failure: FailureClass) -> None:
    """E3: a status that proves that nothing was done, of a charge, a capture, a void and a refund."""
    for asked in (None, TAKE, VOID, RETURN):
        assert answer(refused(name=name), status, asked) == Failed(failure, name, "No.")


def test_busy_with_a_time() -> None:
    """E3: how long to wait is read where it is told."""
    outcome = answer(refused(name="RATE_LIMIT_REACHED"), 429, headers="Retry-After: 30\r\n")
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, captured()),
        (204, ""),
        (206, captured()),
        (307, captured()),
        (400, {}),
        (400, refused(name="DUPLICATE_REQUEST_ID")),
        (400, refused("DUPLICATE_INVOICE_ID", name="INVALID_REQUEST")),
        (401, "<html>"),
        (401, {}),
        (402, captured()),
        (403, "<html>Access denied</html>"),
        (404, "<html>Not found</html>"),
        (404, captured()),
        (405, refused(name="METHOD_NOT_SUPPORTED")),
        (408, refused(name="INVALID_REQUEST")),
        (409, refused("PREVIOUS_REQUEST_IN_PROGRESS", name="RESOURCE_CONFLICT")),
        (409, refused("INSTRUMENT_DECLINED", name="RESOURCE_CONFLICT")),
        (422, refused(name="UNPROCESSABLE_ENTITY")),
        (422, refused("INSTRUMENT_DECLINED", name="SOMETHING_ELSE")),
        (422, {"name": "UNPROCESSABLE_ENTITY", "details": "INSTRUMENT_DECLINED"}),
        (429, "<html>Too many requests</html>"),
        (429, {}),
        (500, refused("INSTRUMENT_DECLINED", name="INTERNAL_SERVER_ERROR")),
        (500, refused(name="INVALID_REQUEST")),
        (502, ""),
        (503, refused(name="SERVICE_UNAVAILABLE")),
        (504, captured()),
    ],
    ids=str,
)
def test_reply_that_proves_nothing(status: int, body: Body) -> None:
    """E3, B19: any other status, name or page proves nothing, whatever its body says."""
    outcome = answer(body, status)
    assert isinstance(outcome, Unknown)
    assert outcome.transaction_id == f"order:{ORDER}"
    for asked in (TAKE, RETURN):
        assert isinstance(answer(body, status, asked), Unknown)
    assert isinstance(look(body, status), NoAnswer)


# ---- orders and tokens


@pytest.mark.parametrize(
    ("order", "failure"),
    [
        ((500, refused(name="INTERNAL_SERVER_ERROR")), FailureClass.BUSY),
        ((202, OPENED), FailureClass.BUSY),
        ((201, {"status": "CREATED"}), FailureClass.BUSY),
        ((201, {"id": "../x"}), FailureClass.BUSY),
        ((200, "<html>"), FailureClass.BUSY),
        ((409, refused("PREVIOUS_REQUEST_IN_PROGRESS", name="RESOURCE_CONFLICT")), FailureClass.BUSY),
        ((422, refused("SOMETHING_NEW")), FailureClass.BUSY),
        ((422, refused("PAYEE_BLOCKED_TRANSACTION")), FailureClass.REFUSED),
        ((422, refused("INVALID_CURRENCY_CODE")), FailureClass.REFUSED),
        ((403, refused("PERMISSION_DENIED", name="NOT_AUTHORIZED")), FailureClass.GATEWAY_SETUP),
    ],
    ids=str,
)
def test_no_order(order: tuple[int, Body], failure: FailureClass) -> None:
    """E3: without an order no card is sent, so nothing was charged; an inquiry says nothing."""
    with PayPalServer(captured(), order=order) as server:
        outcome = call(server).result
        assert isinstance(outcome, Failed)
        assert outcome.failure is failure
        assert not [request for request in server.requests if builders.NUMBER.encode() in request]
        assert isinstance(builders.gateway("paypal", server.url).inquire(builders.inquiry()).result, NoAnswer)


@pytest.mark.parametrize("issue", ["DUPLICATE_INVOICE_ID", "DUPLICATE_TRANSACTION"])
def test_order_that_was_paid_before(issue: str) -> None:
    """B10: an order that is refused as a duplicate of ours may have been paid: never "not done"."""
    assert isinstance(answer(captured(), order=(422, refused(issue))), Unknown)


@pytest.mark.parametrize(
    ("token", "failure"),
    [
        ((401, {"error": "invalid_client", "error_description": "Client Authentication failed"}), "setup"),
        ((400, {"error": "unauthorized_client"}), "setup"),
        ((401, {"error": "something_new"}), "busy"),
        ((429, {"name": "RATE_LIMIT_REACHED"}), "busy"),
        ((500, {"error": "invalid_client"}), "busy"),
        ((503, "<html>"), "busy"),
        ((200, {}), "busy"),
        ((200, {"access_token": "two\nlines", "expires_in": 900}), "busy"),
        ((307, TOKEN_REPLY), "busy"),
    ],
    ids=str,
)
def test_no_token(token: tuple[int, Body], failure: str) -> None:
    """E3: without a token nothing is sent, which proves that nothing was done; set-up only where PayPal says so."""
    with PayPalServer(captured(), token=token) as server:
        for asked in (None, TAKE, VOID, RETURN):
            outcome = call(server, asked).result
            assert isinstance(outcome, Failed)
            assert outcome.failure is (FailureClass.GATEWAY_SETUP if failure == "setup" else FailureClass.BUSY)
        gateway = builders.gateway("paypal", server.url)
        assert isinstance(gateway.inquire(builders.inquiry()).result, NoAnswer)
        health = gateway.health(builders.soon()).result
        assert isinstance(health, Unwell)
        assert health.setup is (failure == "setup")
        assert {request.split(b" ")[1] for request in server.requests} == {b"/v1/oauth2/token"}


@pytest.mark.parametrize(("expires_in", "tokens"), [(32400, 1), (61, 1), (60, 4), (0, 4), ("32400", 4), (None, 4)])
def test_token_is_kept(expires_in: object, tokens: int) -> None:
    """A token serves until a minute before its end; one whose end cannot be read serves one call."""
    reply = {"access_token": TOKEN, "expires_in": expires_in}
    with PayPalServer(captured(), token=(200, reply)) as server:
        gateway = builders.gateway("paypal", server.url)
        for _ in range(2):
            assert isinstance(gateway.sale(builders.sale()).result, Approved)
        assert sum(b"/v1/oauth2/token" in request for request in server.requests) == tokens


# ---- authorization, capture, void, refund


def test_authorized() -> None:
    """An authorization's id says what it is; a denied one is a decline, another status nothing."""
    with PayPalServer(authorized()) as server:
        outcome = builders.gateway("paypal", server.url).authorize(builders.sale()).result
    assert isinstance(outcome, Approved)
    assert (outcome.transaction_id, outcome.amount_minor) == (RESERVED, 11850)
    denied = authorized(status="DENIED", processor_response={"response_code": "5120"})
    for body, kind in ((denied, Declined), (authorized(status="CAPTURED"), Unknown), (captured(), Unknown)):
        with PayPalServer(body) as server:
            assert type(builders.gateway("paypal", server.url).authorize(builders.sale()).result) is kind


def test_captured_authorization() -> None:
    """R18: a capture repeats its own reference, as invoice id; an inherited custom id is not taken for it."""
    capture = captured(invoice_id=str(builders.ANOTHER))["purchase_units"][0]["payments"]["captures"][0]
    outcome = answer(capture, asked=TAKE)
    assert isinstance(outcome, Approved)
    assert (outcome.transaction_id, outcome.reference) == (CAPTURE, str(builders.ANOTHER))
    del capture["invoice_id"]
    inherited = answer(capture, asked=TAKE)
    assert isinstance(inherited, Approved)
    assert inherited.reference is None
    for issue in ("AUTHORIZATION_VOIDED", "AUTHORIZATION_EXPIRED", "MAX_CAPTURE_AMOUNT_EXCEEDED"):
        assert isinstance(answer(refused(issue), 422, TAKE), Failed)
    assert isinstance(answer(refused("AUTHORIZATION_ALREADY_CAPTURED"), 422, TAKE), Unknown)


def test_void() -> None:
    """R11: a void with and without a body, one that was made before, and the two that cannot be."""
    body = {"id": AUTHORIZATION, "status": "VOIDED", "amount": {"currency_code": "USD", "value": "118.50"}}
    assert answer(body, 200, VOID) == Approved(RESERVED, "VOIDED", amount_minor=11850, currency="USD")
    assert answer("", 204, VOID) == Approved(RESERVED, "VOIDED")
    assert isinstance(answer(refused("PREVIOUSLY_VOIDED"), 422, VOID), Approved)
    for issue in ("PREVIOUSLY_CAPTURED", "CANNOT_BE_VOIDED"):
        outcome = answer(refused(issue), 422, VOID)
        assert isinstance(outcome, Refused)
        assert (outcome.refusal, outcome.code) == (VoidRefusal.CANNOT_VOID, issue)
    for status, odd in ((200, {**body, "status": "CREATED"}), (200, {**body, "id": "OTHER"}), (422, refused("NEW"))):
        assert isinstance(answer(odd, status, VOID), Unknown)


def refunded(**changes: Any) -> dict[str, Any]:
    """The answer to the usual refund."""
    amount = {"currency_code": "USD", "value": "118.50"}
    return {"id": REFUND, "status": "COMPLETED", "amount": amount, "invoice_id": str(builders.ANOTHER), **changes}


def test_refund() -> None:
    """R17: completed is final, pending accepted, failed refused; anything else says nothing."""
    done = answer(refunded(), asked=RETURN)
    assert done == Approved(
        REFUND, "COMPLETED", amount_minor=11850, currency="USD", reference=str(builders.ANOTHER), final=True
    )
    pending = answer(refunded(status="PENDING"), asked=RETURN)
    assert isinstance(pending, Approved)
    assert not pending.final
    for status in ("FAILED", "CANCELLED"):
        outcome = answer(refunded(status=status), asked=RETURN)
        assert isinstance(outcome, Refused)
        assert outcome.refusal is RefundRefusal.REFUSED
    unclear: tuple[dict[str, Any], ...] = ({"status": "NEW"}, {"id": ""}, {"amount": {}})
    for changes in unclear:
        assert isinstance(answer(refunded(**changes), asked=RETURN), Unknown)


REFUSALS = {
    RefundRefusal.ALREADY: "CAPTURE_FULLY_REFUNDED",
    RefundRefusal.NOT_YET: "PENDING_CAPTURE REFUND_FAILED_INSUFFICIENT_FUNDS",
    RefundRefusal.REFUSED: """REFUND_AMOUNT_EXCEEDED REFUND_TIME_LIMIT_EXCEEDED REFUND_NOT_ALLOWED REFUND_IS_RESTRICTED
    REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK TRANSACTION_DISPUTED PARTIAL_REFUND_NOT_ALLOWED
    MAX_NUMBER_OF_REFUNDS_EXCEEDED PAYER_ACCOUNT_LOCKED_OR_CLOSED""",
}


@pytest.mark.parametrize(("why", "issue"), [(w, issue) for w, issues in REFUSALS.items() for issue in issues.split()])
def test_refund_refused(why: RefundRefusal, issue: str) -> None:
    """R17, B45, B47: why a refund is not made, and whether it may be later."""
    assert answer(refused(issue), 422, RETURN) == Refused(why, issue, "It was not done.")


@pytest.mark.parametrize("issue", ["DUPLICATE_INVOICE_ID", "INSTRUMENT_DECLINED", "SOMETHING_NEW"])
def test_refund_to_be_looked_up(issue: str) -> None:
    """B47: a refund behind which an earlier one may stand is looked up."""
    assert isinstance(answer(refused(issue), 422, RETURN), Unknown)


NOTHING_SENT: list[Callable[[Gateway], Reply[Outcome] | Reply[Sighting]]] = [
    lambda gateway: gateway.void(builders.void(sale_transaction_id="order:../x")),
    lambda gateway: gateway.void(builders.void(sale_transaction_id="")),
    lambda gateway: gateway.refund(builders.refund(sale_transaction_id=RESERVED)),
    lambda gateway: gateway.refund(builders.refund(sale_transaction_id="../orders/x")),
    lambda gateway: gateway.capture(builders.capture(authorization_transaction_id=CAPTURE)),
    lambda gateway: gateway.capture(builders.capture(authorization_transaction_id="authorization:../x")),
    lambda gateway: gateway.inquire(builders.inquiry(Operation.REFUND, sale_transaction_id=RESERVED)),
    lambda gateway: gateway.inquire(builders.inquiry(Operation.VOID, sale_transaction_id="")),
    lambda gateway: gateway.inquire(builders.inquiry(Operation.CAPTURE, sale_transaction_id=CAPTURE)),
]


@pytest.mark.parametrize("ask", NOTHING_SENT)
def test_wrong_kind_of_id(ask: Callable[[Gateway], Reply[Outcome] | Reply[Sighting]]) -> None:
    """An id of another kind, or none, is never sent: order, authorization and capture ids are not confused."""
    with PayPalServer(captured()) as server:
        result = ask(builders.gateway("paypal", server.url)).result
        assert isinstance(result, Failed | NoAnswer)
        assert result.code == "no_id"
        assert server.requests == []


@pytest.mark.parametrize(
    ("body", "status", "failure", "code"),
    [
        (refused(name="INTERNAL_SERVER_ERROR"), 500, FailureClass.BUSY, "INTERNAL_SERVER_ERROR"),
        ("<html>", 200, FailureClass.BUSY, "http_200"),
        ({**captured(), "id": "5O190127TN364715T"}, 200, FailureClass.BUSY, "http_200"),
        ({"id": ORDER, "status": "CREATED"}, 200, FailureClass.REFUSED, "no_id"),
        (authorized(), 200, FailureClass.REFUSED, "no_id"),
        (twice_captured(), 200, FailureClass.REFUSED, "no_id"),
    ],
    ids=str,
)
def test_refund_by_an_order_that_tells_nothing(body: Body, status: int, failure: FailureClass, code: str) -> None:
    """E3: where the order does not tell its one capture, no refund is sent, which proves that none was made."""
    with PayPalServer(body, status) as server:
        outcome = call(server, builders.refund(sale_transaction_id=f"order:{ORDER}")).result
        assert isinstance(outcome, Failed)
        assert (outcome.failure, outcome.code) == (failure, code)
        assert not [request for request in server.requests if b"/refund" in request]


# ---- inquiry


@pytest.mark.parametrize(
    ("status", "standing", "returned"),
    [
        ("COMPLETED", Standing.SETTLED, None),
        ("PARTIALLY_REFUNDED", Standing.SETTLED, None),
        ("REFUNDED", Standing.REFUNDED, 11850),
    ],
)
def test_found(status: str, standing: Standing, returned: int | None) -> None:
    """B13, R11: the capture of our order, and where its money stands; the same by the capture's own id."""
    body = captured(status=status)
    by_order = look(body)
    capture = body["purchase_units"][0]["payments"]["captures"][0]
    by_id = look(capture, asked=builders.inquiry(transaction_id=CAPTURE))
    for sighting in (by_order, by_id):
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.outcome.transaction_id == CAPTURE
        assert (sighting.standing, sighting.refunded_minor) == (standing, returned)


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ({"status": "CREATED"}, Absent),
        ({"status": "APPROVED"}, Absent),
        ({"status": "SAVED"}, Absent),
        ({"status": "VOIDED"}, Found),
        ({"status": "PAYER_ACTION_REQUIRED"}, Found),
        ({"status": "COMPLETED"}, NoAnswer),
        ({"status": "NEW"}, NoAnswer),
        ({}, NoAnswer),
        ({"status": "CREATED", "id": "5O190127TN364715T"}, NoAnswer),
    ],
    ids=str,
)
def test_order_without_a_capture(order: dict[str, str], kind: type[Sighting]) -> None:
    """E4: an order without a capture is absent, dead, or no answer; by its status, and only of the order asked for."""
    assert type(look({"id": ORDER, **order})) is kind


def test_found_two() -> None:
    """B13: two captures of one order are nobody's guess."""
    sighting = look(twice_captured())
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (Unknown, Standing.LIMBO)


def test_found_another() -> None:
    """B76: what is found under another reference says so, and is no decline of this one."""
    approved = look(captured(invoice_id="2611240000010499999"))
    assert isinstance(approved, Found)
    assert isinstance(approved.outcome, Approved)
    assert approved.outcome.reference == "2611240000010499999"
    other = declined("5120")
    other["purchase_units"][0]["payments"]["captures"][0]["invoice_id"] = "2611240000010499999"
    assert look(other) == Found(Unknown("other_reference", "found another operation", CAPTURE), Standing.LIMBO)


@pytest.mark.parametrize(
    ("status", "standing"),
    [("CREATED", "unsettled"), ("CAPTURED", "settling"), ("PARTIALLY_CAPTURED", "settling"), ("VOIDED", "voided")],
)
def test_found_authorization(status: str, standing: str) -> None:
    """R11: where an authorization stands, in its order and by its own id."""
    body = authorized(status=status)
    bare = body["purchase_units"][0]["payments"]["authorizations"][0]
    by_id = builders.inquiry(Operation.AUTHORIZATION, transaction_id=RESERVED)
    for sighting in (look(body, asked=builders.inquiry(Operation.AUTHORIZATION)), look(bare, asked=by_id)):
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert (sighting.outcome.transaction_id, sighting.standing) == (RESERVED, Standing(standing))


@pytest.mark.parametrize(
    ("status", "kind"), [("COMPLETED", Absent), ("REFUNDED", NoAnswer), ("PARTIALLY_REFUNDED", NoAnswer)]
)
def test_refund_of_a_capture_without_its_order(status: str, kind: type[Sighting]) -> None:
    """E4: a capture that names no order tells of refunds by its status alone: none, or not whose."""
    asked = builders.inquiry(Operation.REFUND, sale_transaction_id=CAPTURE)
    assert type(look({"id": CAPTURE, "status": status}, asked=asked)) is kind


def test_not_found_is_for_a_person() -> None:
    """E4: what PayPal does not know any more is no answer: it may be the wrong account."""
    for asked in (builders.inquiry(transaction_id=f"order:{ORDER}"), builders.inquiry(transaction_id=CAPTURE)):
        assert look(refused(name="RESOURCE_NOT_FOUND"), 404, asked) == NoAnswer("RESOURCE_NOT_FOUND", "No.")


# ---- what is sent


def sent_by(ask: Callable[[Gateway], object]) -> list[str]:
    """The requests of one call, without what the HTTP client adds by itself."""
    with PayPalServer(captured()) as server:
        ask(builders.gateway("paypal", server.url))
    texts = [request.decode("ascii").replace("\r\n", "\n") for request in server.requests]
    return [re.sub(r"(Host|Accept-Encoding|User-Agent|Content-Length): [^\n]*\n", "", text) for text in texts]


LOGIN = "POST /v1/oauth2/token HTTP/1.1\nContent-Type: application/x-www-form-urlencoded\nAuthorization: Basic \
c2FuZGJveDpzYW5kYm94LXNlY3JldA==\n\ngrant_type=client_credentials"


def posted(path: str, key: str, body: str) -> str:
    """A POST with a token, as it is sent."""
    return (
        f"POST {path} HTTP/1.1\nContent-Type: application/json\nPayPal-Request-Id: {key}\n"
        f"Prefer: return=representation\nAuthorization: Bearer {TOKEN}\n\n{body}"
    )


OPEN = posted(
    "/v2/checkout/orders",
    "2611240000010410101-o",
    '{"intent":"CAPTURE","purchase_units":[{"reference_id":"default","custom_id":"2611240000010410101",'
    '"invoice_id":"2611240000010410101","amount":{"currency_code":"USD","value":"118.50"}}]}',
)
CARD = (
    '{"payment_source":{"card":{"number":"4111111111111111","expiry":"2030-12","security_code":"123",'
    '"name":"Ada Example","billing_address":{"address_line_1":"123 Main St.","admin_area_2":"Anytown",'
    '"admin_area_1":"NY","postal_code":"12345-6789","country_code":"US"}}}}'
)


def test_bytes_of_a_sale() -> None:
    """E4: token, order, capture; each with its own request id, all derived from the reference."""
    assert sent_by(lambda gateway: gateway.sale(builders.sale())) == [
        LOGIN,
        OPEN,
        posted(f"/v2/checkout/orders/{ORDER}/capture", "2611240000010410101-c", CARD),
    ]


def test_bytes_of_an_authorization() -> None:
    """An authorization is an order of another intent, and another step."""
    assert sent_by(lambda gateway: gateway.authorize(builders.sale())) == [
        LOGIN,
        OPEN.replace("CAPTURE", "AUTHORIZE"),
        posted(f"/v2/checkout/orders/{ORDER}/authorize", "2611240000010410101-a", CARD),
    ]


def test_bytes_of_an_inquiry() -> None:
    """B13: an inquiry opens the order with the very bytes of the sale, then reads it."""
    login, opened, read = sent_by(lambda gateway: gateway.inquire(builders.inquiry()))
    assert (login, opened) == (LOGIN, OPEN)
    assert read.startswith(f"GET /v2/checkout/orders/{ORDER} HTTP/1.1\n")
    assert "PayPal-Request-Id" not in read


def test_bytes_of_what_follows() -> None:
    """R17: a refund always says its amount; captures, voids and refunds carry their own references."""
    part = replace(RETURN, amount_minor=5000)
    assert sent_by(lambda gateway: gateway.refund(part))[1] == posted(
        f"/v2/payments/captures/{CAPTURE}/refund",
        "2611240000010410102-r",
        '{"amount":{"currency_code":"USD","value":"50.00"},"invoice_id":"2611240000010410102",'
        '"custom_id":"2611240000010410102"}',
    )
    assert sent_by(lambda gateway: gateway.capture(TAKE))[1] == posted(
        f"/v2/payments/authorizations/{AUTHORIZATION}/capture",
        "2611240000010410102-c",
        '{"amount":{"currency_code":"USD","value":"118.50"},"invoice_id":"2611240000010410102","final_capture":true}',
    )
    assert sent_by(lambda gateway: gateway.void(VOID))[1] == posted(
        f"/v2/payments/authorizations/{AUTHORIZATION}/void", "2611240000010410102-v", "{}"
    )


STORED = {"card": None, "stored_card": "8kk845"}


@pytest.mark.parametrize(
    ("told", "more", "credential"),
    [
        (None, {}, None),
        (builders.FIRST, {"keep_card": True}, ("CUSTOMER", "UNSCHEDULED", "FIRST")),
        (builders.FIRST_OF_SERIES, {"keep_card": True}, ("CUSTOMER", "RECURRING", "FIRST")),
        (builders.AGAIN, {}, ("CUSTOMER", "UNSCHEDULED", "SUBSEQUENT")),
        (builders.UNATTENDED, {}, ("MERCHANT", "UNSCHEDULED", "SUBSEQUENT")),
        (builders.OF_SERIES, {}, ("MERCHANT", "RECURRING", "SUBSEQUENT")),
        (builders.AGAIN, STORED, ("CUSTOMER", "UNSCHEDULED", "SUBSEQUENT")),
        (builders.AGAIN_FOR_SERIES, STORED, ("CUSTOMER", "RECURRING", "SUBSEQUENT")),
        (builders.UNATTENDED, STORED, ("MERCHANT", "UNSCHEDULED", "SUBSEQUENT")),
    ],
)
def test_kept_card(
    told: StoredCredential | None, more: dict[str, Any], credential: tuple[str, str, str] | None
) -> None:
    """C4: what the networks want to know of a kept card; FIRST goes with CUSTOMER only, and MERCHANT with no code."""
    sale = builders.sale(credential=told, **more)
    body = sent_by(lambda gateway: gateway.sale(sale))[2].partition("\n\n")[2]
    card = json.loads(body)["payment_source"]["card"]
    said = card.get("stored_credential", {})
    names = ("payment_initiator", "payment_type", "usage")
    assert (tuple(said[name] for name in names) if said else None) == credential
    assert ("security_code" in card) is (sale.card is not None and not sale.unattended)
    assert ("previous_network_transaction_reference" in said) is (sale.card is not None and sale.unattended)
    assert card.get("attributes") == ({"vault": {"store_in_vault": "ON_SUCCESS"}} if sale.keep_card else None)
    assert card.get("vault_id") == sale.stored_card


def test_reference_of_other_networks_is_not_sent() -> None:
    """C4: Mastercard's reference wants a date that we do not have: better none than a wrong request."""
    card = replace(builders.CARD, number="5555555555554444")
    told = replace(builders.UNATTENDED, first=FirstSale("MCC123456", None))
    sale = builders.sale(card=card, credential=told)
    assert "previous_network" not in sent_by(lambda gateway: gateway.sale(sale))[2]


@pytest.mark.parametrize(
    ("amount_minor", "currency", "value"),
    [(1, "USD", "0.01"), (100000, "EUR", "1000.00"), (1185, "JPY", "1185"), (100, "HUF", "1"), (123400, "TWD", "1234")],
)
def test_amounts(amount_minor: int, currency: str, value: str) -> None:
    """B26, B27: an amount is a text with two decimals, or none where PayPal takes none."""
    sale = builders.sale(amount_minor=amount_minor, currency=currency)
    order = json.loads(sent_by(lambda gateway: gateway.sale(sale))[1].partition("\n\n")[2])
    assert order["purchase_units"][0]["amount"] == {"currency_code": currency, "value": value}


# ---- what is kept


def test_evidence() -> None:
    """C3: statuses, codes, amounts and ids are kept; card, names and texts are not."""
    body = captured()
    body["payment_source"] = {"card": {"last_digits": "1111", "name": "Ada Example"}}
    with PayPalServer(body) as server:
        said = call(server).evidence.said
    assert said["purchase_units.0.payments.captures.0.processor_response.response_code"] == "0000"
    assert said["purchase_units.0.payments.captures.0.amount.value"] == "118.50"
    assert said["purchase_units.0.payments.captures.0.id"] == CAPTURE
    assert said["id"] == ORDER
    assert not [name for name in said if "payment_source" in name]
    with PayPalServer(refused("INSTRUMENT_DECLINED"), 422) as server:
        said = call(server).evidence.said
    assert (said["details.0.issue"], said["debug_id"]) == ("INSTRUMENT_DECLINED", "90957fca61718")


def echoed(request: str) -> dict[str, Any]:
    """An error that repeats a request in every text."""
    text = f"{TOKEN} Basic c2FuZGJveDpzYW5kYm94LXNlY3JldA== {request}"
    detail = {"issue": "INSTRUMENT_DECLINED", "description": request, "value": text, "field": text}
    return {"name": "UNPROCESSABLE_ENTITY", "message": request, "details": [detail], "links": [{"href": text}]}


@pytest.mark.parametrize("status", [200, 201, 401, 422, 500])
def test_canaries(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """B61: number, code, secret and token are in no result, evidence, log or repr, whatever a reply repeats."""
    with caplog.at_level(logging.DEBUG):
        replies: list[object] = []
        for body in (echoed(CARD), {**captured(), **echoed(CARD)}, {"access_token": TOKEN, "error": TOKEN}):
            with PayPalServer(body, status) as server:
                gateway = builders.gateway("paypal", server.url)
                replies += [gateway.sale(builders.sale()), gateway.refund(RETURN), gateway.inquire(builders.inquiry())]
                replies += [gateway.void(VOID), gateway.capture(TAKE), gateway, vars(gateway)]
            with PayPalServer(captured(), token=(status, body)) as server:
                gateway = builders.gateway("paypal", server.url)
                replies += [gateway.sale(builders.sale()), gateway.health(builders.soon())]
    assert_nothing_seen(repr(replies), caplog.text)
    for canary in (TOKEN, "c2FuZGJveDpzYW5kYm94LXNlY3JldA"):
        assert canary not in repr(replies) + caplog.text
