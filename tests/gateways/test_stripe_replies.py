"""What Stripe's replies prove: its documented answers, and answers bent in every way known from the field."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from copy import deepcopy
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateways.contract import Capture, Inquiry, Operation, Refund, Sale, Void
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Failed,
    FailureClass,
    Found,
    Healthy,
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
from tests.gateways import builders
from tests.gateways.canned import Canned

INTENT = "pi_3EX"
SUCCEEDED: dict[str, Any] = {
    "id": INTENT,
    "object": "payment_intent",
    "amount": 11850,
    "amount_capturable": 0,
    "amount_received": 11850,
    "currency": "usd",
    "status": "succeeded",
    "customer": None,
    "payment_method": "pm_3EX",
    "latest_charge": {
        "id": "ch_3EX",
        "status": "succeeded",
        "amount_refunded": 0,
        "refunded": False,
        "disputed": False,
        "payment_method_details": {
            "card": {"authorization_code": "482917", "network_transaction_id": "976910110049114"},
        },
    },
    "last_payment_error": None,
    "metadata": {"merchant_reference": builders.ORDER},
}
APPROVED = Approved(
    INTENT,
    "succeeded",
    approval_code="482917",
    amount_minor=11850,
    currency="USD",
    reference=builders.ORDER,
    network_reference="976910110049114",
)
REFUND: dict[str, Any] = {
    "id": "re_3EX",
    "object": "refund",
    "amount": 11850,
    "currency": "usd",
    "payment_intent": INTENT,
    "status": "succeeded",
    "metadata": {"merchant_reference": str(builders.ANOTHER)},
}
REPLAYED = "Idempotent-Replayed: true\r\n"
SALE, VOID, REFUNDING = builders.sale(), builders.void(sale_transaction_id=INTENT), builders.refund()
CAPTURING = builders.capture(authorization_transaction_id=INTENT)


def intent(**changes: Any) -> dict[str, Any]:
    """The approved intent with other values; with None a value is null."""
    return {**deepcopy(SUCCEEDED), **changes}


def error(code: str = "", kind: str = "card_error", status: str = "", **more: Any) -> dict[str, Any]:
    """An error, with the intent that it is about where a status is given."""
    told = {"type": kind, "code": code, "message": "Your card was declined.", **more}
    if status:
        told["payment_intent"] = intent(status=status, latest_charge="ch_3EX")
    return {"error": {name: value for name, value in told.items() if value}}


def answer(
    reply: object, status: int = 200, asked: Sale | Void | Refund | Capture = SALE, *then: object, headers: str = ""
) -> Outcome:
    """What `reply` proves, as an answer to `asked`; `then` are the replies to further calls."""
    bodies = [one if isinstance(one, str) else json.dumps(one) for one in (reply, *then)]
    with Canned(*bodies, status=status, headers=headers) as server:
        gateway = builders.gateway("stripe", server.url)
        match asked:
            case Void():
                return gateway.void(asked).result
            case Refund():
                return gateway.refund(asked).result
            case Capture():
                return gateway.capture(asked).result
            case _:
                return gateway.sale(asked).result


def look(reply: object, asked: Inquiry | None = None, status: int = 200) -> Sighting:
    """What `reply` proves, as an answer to an inquiry by Stripe's own id."""
    with Canned(reply if isinstance(reply, str) else json.dumps(reply), status=status) as server:
        gateway = builders.gateway("stripe", server.url)
        return gateway.inquire(asked or builders.inquiry(transaction_id=INTENT)).result


# ---- approved


def test_approved() -> None:
    """R18: an approval carries what the reply repeats, for the caller to compare."""
    assert answer(SUCCEEDED) == APPROVED


def test_approved_with_the_charge_by_its_id() -> None:
    """B19: a charge that comes as its id alone takes nothing from the approval but its codes."""
    outcome = answer(intent(latest_charge="ch_3EX"))
    assert isinstance(outcome, Approved)
    assert (outcome.amount_minor, outcome.approval_code, outcome.network_reference) == (11850, "", "")


def test_kept_card() -> None:
    """C4: the token is customer and payment method; without a customer nothing is kept."""
    kept = answer(intent(customer="cus_3EX"))
    assert isinstance(kept, Approved)
    assert kept.card_token == "cus_3EX/pm_3EX"
    assert APPROVED.card_token is None


@pytest.mark.parametrize(
    ("changes", "amount_minor", "currency", "reference"),
    [
        ({"amount_received": 1185}, 1185, "USD", builders.ORDER),
        ({"amount_received": 0}, 0, "USD", builders.ORDER),
        ({"currency": "cad"}, 11850, "CAD", builders.ORDER),
        ({"metadata": {"merchant_reference": "2611240000010499999"}}, 11850, "USD", "2611240000010499999"),
        ({"metadata": {}}, 11850, "USD", None),
    ],
)
def test_approval_of_something_else(
    changes: dict[str, Any], amount_minor: int, currency: str, reference: str | None
) -> None:
    """R18: another amount, currency or reference is handed on as the gateway repeated it."""
    outcome = answer(intent(**changes))
    assert isinstance(outcome, Approved)
    assert (outcome.amount_minor, outcome.currency, outcome.reference) == (amount_minor, currency, reference)
    assert not outcome.repeated


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"id": None},
        {"id": "ch_3EX"},
        {"id": 3},
        {"amount_received": None},
        {"amount_received": "11850"},
        {"amount_received": 118.5},
        {"amount_received": True},
        {"currency": None},
        {"status": None},
        {"status": "succeeded "},
        {"status": ["succeeded"]},
    ],
)
def test_approval_that_is_cut(changes: dict[str, Any]) -> None:
    """E3: an approval whose id, status, amount or currency cannot be read proves nothing."""
    assert isinstance(answer(intent(**changes)), Unknown)


@pytest.mark.parametrize("status", ["processing", "requires_confirmation", "requires_payment_method", "new_status"])
def test_not_over_yet(status: str) -> None:
    """E3: an intent that is still moving, or was never attempted, is looked up; so is a status that nobody knows."""
    assert answer(intent(status=status)) == Unknown(status, "no answer that proves anything yet", INTENT)
    sighting = look(intent(status=status))
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (Unknown, Standing.LIMBO)


def test_only_authorized() -> None:
    """B22: a sale that is answered as an authorization is neither yes nor no; nor is the reverse."""
    assert isinstance(answer(intent(status="requires_capture", amount_capturable=11850)), Held)
    with Canned(json.dumps(SUCCEEDED)) as server:
        assert isinstance(builders.gateway("stripe", server.url).authorize(SALE).result, Held)


# ---- given back


def test_replay_of_this_operation() -> None:
    """E4: a re-send is answered with the first reply and a header, and counts as that."""
    assert answer(SUCCEEDED, headers=REPLAYED) == APPROVED


def test_replay_of_another_operation() -> None:
    """B08: a stored answer that carries another reference is neither this operation's yes nor its no."""
    other = intent(metadata={"merchant_reference": "2611240000010499999"})
    declined = error("card_declined", status="requires_payment_method")
    declined["error"]["payment_intent"] = other
    for reply, status in ((other, 200), (declined, 402)):
        outcome = answer(reply, status, headers=REPLAYED)
        assert isinstance(outcome, Unknown)
        assert outcome.code == "duplicate_of_other"


def test_replay_without_a_reference() -> None:
    """B08: a stored answer that does not say whose it is says that it was given before."""
    outcome = answer(intent(metadata={}), headers=REPLAYED)
    assert isinstance(outcome, Approved)
    assert outcome.repeated


# ---- declined: the code table

DECLINES = {
    DeclineClass.SOFT_DATED: "insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded",
    DeclineClass.SOFT_GENERIC: "generic_decline do_not_honor no_action_taken try_again_later",
    DeclineClass.SOFT_TECHNICAL: "issuer_not_available processing_error reenter_transaction approve_with_id",
    DeclineClass.SOFT_UNLISTED: "card_declined a_code_of_next_year",
    DeclineClass.NEW_DATA: "expired_card invalid_account new_account_information_available incorrect_number"
    " invalid_number invalid_expiry_month invalid_expiry_year incorrect_cvc invalid_cvc incorrect_zip",
    DeclineClass.OTHER_WAY: "call_issuer card_not_supported currency_not_supported invalid_amount"
    " authentication_required incorrect_pin invalid_pin pin_try_exceeded offline_pin_required"
    " online_or_offline_pin_required",
    DeclineClass.HARD: "lost_card stolen_card pickup_card restricted_card fraudulent merchant_blacklist"
    " stop_payment_order service_not_allowed transaction_not_allowed not_permitted security_violation"
    " revocation_of_authorization revocation_of_all_authorizations do_not_try_again"
    " testmode_decline",
}


@pytest.mark.parametrize(("decline", "code"), [(c, code) for c, codes in DECLINES.items() for code in codes.split()])
def test_declined(decline: DeclineClass, code: str) -> None:
    """R16: each decline has its class and its raw code, whether it comes as decline_code or as code."""
    expected = Declined(decline, code, "Your card was declined.", INTENT)
    assert answer(error("card_declined", decline_code=code, status="requires_payment_method"), 402) == expected
    assert answer(error(code, status="requires_payment_method"), 402) == expected
    told = error(code)["error"]
    assert answer(intent(status="requires_payment_method", last_payment_error=told)) == expected
    assert look(intent(status="requires_payment_method", last_payment_error=told)) == Found(expected, Standing.NOTHING)


@pytest.mark.parametrize(
    ("code", "advice", "decline"),
    [
        ("generic_decline", "do_not_try_again", DeclineClass.HARD),
        ("generic_decline", "confirm_card_data", DeclineClass.NEW_DATA),
        ("generic_decline", "try_again_later", DeclineClass.SOFT_GENERIC),
        ("insufficient_funds", "try_again_later", DeclineClass.SOFT_DATED),
        ("card_not_supported", "try_again_later", DeclineClass.SOFT_GENERIC),
        ("not_permitted", "try_again_later", DeclineClass.HARD),
        ("lost_card", "try_again_later", DeclineClass.HARD),
        ("lost_card", "confirm_card_data", DeclineClass.HARD),
        ("generic_decline", "advice_of_next_year", DeclineClass.SOFT_GENERIC),
    ],
)
def test_stripes_advice(code: str, advice: str, decline: DeclineClass) -> None:
    """R16: Stripe's advice goes before its code, but what may never be retried stays so: the stricter counts."""
    outcome = answer(error("card_declined", decline_code=code, advice_code=advice), 402)
    assert isinstance(outcome, Declined)
    assert outcome.decline is decline


@pytest.mark.parametrize(
    ("code", "network", "decline", "kept"),
    [
        ("generic_decline", "51", DeclineClass.SOFT_DATED, "51"),
        ("generic_decline", "41", DeclineClass.HARD, "41"),
        ("generic_decline", "10486", DeclineClass.SOFT_GENERIC, "generic_decline"),
        ("lost_card", "51", DeclineClass.HARD, "51"),
        ("expired_card", "05", DeclineClass.NEW_DATA, "05"),
    ],
)
def test_issuer_code(code: str, network: str, decline: DeclineClass, kept: str) -> None:
    """R16: the issuer's own code refines the class and softens nothing; the network's advice is handed on."""
    told = error("card_declined", decline_code=code, network_decline_code=network, network_advice_code="02")
    outcome = answer(told, 402)
    assert outcome == Declined(decline, kept, "Your card was declined.", "", "02")


def test_issuer_code_of_our_setup() -> None:
    """R16: "invalid merchant" is no fault of the card."""
    outcome = answer(error("card_declined", decline_code="generic_decline", network_decline_code="03"), 402)
    assert outcome == Failed(FailureClass.GATEWAY_SETUP, "03", "Your card was declined.")


def test_the_payer_is_asked() -> None:
    """R16: an error without a code is that of error_on_requires_action: a decline that no retry changes."""
    outcome = answer(error(status="requires_payment_method"), 402)
    assert outcome == Declined(DeclineClass.OTHER_WAY, "requires_action", "Your card was declined.", INTENT)


def test_duplicate_at_the_issuer() -> None:
    """B10: a duplicate is a decline only when an inquiry says so too."""
    told = error("card_declined", decline_code="duplicate_transaction", status="requires_payment_method")
    assert isinstance(answer(told, 402), Unknown)
    sighting = look(intent(status="requires_payment_method", last_payment_error=told["error"]))
    assert isinstance(sighting, Found)
    assert isinstance(sighting.outcome, Declined)
    assert sighting.outcome.decline is DeclineClass.SOFT_UNLISTED


@pytest.mark.parametrize("status", ["succeeded", "processing", "requires_capture"])
@pytest.mark.parametrize(("http_status", "kind"), [(402, "card_error"), (400, "invalid_request_error")])
def test_decline_that_contradicts_itself(status: str, http_status: int, kind: str) -> None:
    """E3: an error about an intent whose money moves is no proof that nothing was charged."""
    outcome = answer(error("card_declined", kind, status), http_status)
    assert isinstance(outcome, Unknown)
    assert outcome.transaction_id == INTENT


# ---- waits for the payer


def test_cancelled_before_it_counts_as_declined() -> None:
    """E5: an intent in requires_action could still charge; it is a decline once its cancel is answered."""
    waiting = intent(status="requires_action", amount_received=0)
    assert answer(waiting, 200, SALE, intent(status="canceled")) == Declined(
        DeclineClass.OTHER_WAY, "requires_action", "the payer must authenticate", INTENT
    )


@pytest.mark.parametrize("then", [intent(status="succeeded"), intent(status="requires_action"), "<html>", {}])
def test_cancel_that_proves_nothing(then: object) -> None:
    """E5: any other answer to the cancel leaves the sale unknown, with its id for the inquiry."""
    outcome = answer(intent(status="requires_action"), 200, SALE, then)
    assert isinstance(outcome, Unknown)
    assert outcome.transaction_id == INTENT


def test_waiting_without_an_id() -> None:
    """E3: what cannot be cancelled for want of its id is unknown, and no second call is made."""
    with Canned(json.dumps(intent(status="requires_action", id="../refunds"))) as server:
        outcome = builders.gateway("stripe", server.url).sale(SALE).result
        assert isinstance(outcome, Unknown)
        assert len(server.requests) == 1


# ---- refused, busy, unknown: by status and type


@pytest.mark.parametrize(
    ("status", "kind", "code", "failure"),
    [
        (400, "invalid_request_error", "amount_too_small", FailureClass.REFUSED),
        (400, "invalid_request_error", "parameter_unknown", FailureClass.REFUSED),
        (400, "invalid_request_error", "", FailureClass.REFUSED),
        (404, "invalid_request_error", "resource_missing", FailureClass.REFUSED),
        (401, "invalid_request_error", "", FailureClass.GATEWAY_SETUP),
        (401, "authentication_error", "api_key_expired", FailureClass.GATEWAY_SETUP),
        (403, "invalid_request_error", "more_permissions_required", FailureClass.GATEWAY_SETUP),
        (429, "invalid_request_error", "rate_limit", FailureClass.BUSY),
        (429, "invalid_request_error", "lock_timeout", FailureClass.BUSY),
    ],
)
def test_failed(status: int, kind: str, code: str, failure: FailureClass) -> None:
    """E3: an answer that nothing ran, by whose fault it did not; whatever was asked for."""
    for asked in (SALE, VOID, REFUNDING, CAPTURING):
        outcome = answer(error(code, kind), status, asked)
        assert outcome == Failed(failure, code or kind, "Your card was declined.")


def test_busy_for_how_long() -> None:
    """E3: a limiter that says how long to wait is heard."""
    outcome = answer(error("rate_limit", "invalid_request_error"), 429, headers="Retry-After: 3\r\n")
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == timedelta(seconds=3)


def test_numbers_not_allowed() -> None:
    """E3: an account that may not send card numbers would fail every time: that is its setup."""
    message = "Sending credit card numbers directly to the Stripe API is generally unsafe."
    outcome = answer(error("", "invalid_request_error", message=message), 400)
    assert isinstance(outcome, Failed)
    assert outcome.failure is FailureClass.GATEWAY_SETUP


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "idempotency_error", ""),
        (400, "card_error", "card_declined"),
        (400, "", ""),
        (402, "invalid_request_error", "card_declined"),
        (402, "", ""),
        (409, "idempotency_error", "idempotency_key_in_use"),
        (409, "invalid_request_error", ""),
        (424, "api_error", ""),
        (500, "api_error", ""),
        (502, "api_error", ""),
        (503, "api_error", ""),
        (200, "card_error", "card_declined"),
        (418, "invalid_request_error", "teapot"),
    ],
)
def test_unknown(status: int, kind: str, code: str) -> None:
    """E3: what may stand for a charge, or is in no table, is looked up (a key's other parameters: the first may be)."""
    for asked in (SALE, VOID, REFUNDING, CAPTURING):
        assert isinstance(answer(error(code, kind), status, asked), Unknown)


MAINTENANCE = "<html>Scheduled maintenance... approved vendors</html>"


@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(
    "reply",
    [
        MAINTENANCE,
        "",
        "null",
        "[]",
        '"succeeded"',
        "{}",
        '{"error": "card_error"}',
        json.dumps(SUCCEEDED)[:-1],
        json.dumps(SUCCEEDED)[:-1] + ', "status": "canceled"}',
        json.dumps(SUCCEEDED)[:-1] + ', "amount_received": 1}',
        "\x00\x01\x02",
    ],
)
def test_unreadable(reply: str, status: int) -> None:
    """B17, B19: a page, a cut reply, a deciding field given twice prove nothing, whatever the status."""
    for asked in (SALE, VOID, REFUNDING, CAPTURING):
        assert isinstance(answer(reply, status, asked), Unknown)
    assert isinstance(look(reply, status=status), NoAnswer)


# ---- capture, void, refund


def test_capture() -> None:
    """R18: a capture repeats the authorization's reference, which is not its own; another one is handed on."""
    taken = answer(SUCCEEDED, 200, CAPTURING)
    assert isinstance(taken, Approved)
    assert (taken.amount_minor, taken.reference) == (11850, None)
    other = answer(intent(metadata={"merchant_reference": "2611240000010499999"}), 200, CAPTURING)
    assert isinstance(other, Approved)
    assert other.reference == "2611240000010499999"


@pytest.mark.parametrize(
    ("status", "kind"),
    [("succeeded", Unknown), ("processing", Unknown), ("canceled", Failed), ("requires_capture", Failed)],
)
def test_capture_refused(status: str, kind: type[Outcome]) -> None:
    """E4: a refused capture of an intent that was captured before may be ours; of another, nothing was taken."""
    told = error("payment_intent_unexpected_state", "invalid_request_error", status)
    assert isinstance(answer(told, 400, CAPTURING), kind)


def test_void() -> None:
    """R11: an authorization that was cancelled."""
    outcome = answer(intent(status="canceled", amount_received=0), 200, VOID)
    assert isinstance(outcome, Approved)
    assert (outcome.transaction_id, outcome.amount_minor) == (INTENT, 11850)
    assert isinstance(answer(intent(status="requires_capture"), 200, VOID), Unknown)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("succeeded", Refused),
        ("canceled", Approved),
        ("processing", Unknown),
        ("requires_capture", Unknown),
        ("", Unknown),
    ],
)
def test_void_refused(status: str, kind: type[Outcome]) -> None:
    """R11: why it was refused is read from the intent's state, not from the message."""
    outcome = answer(error("payment_intent_unexpected_state", "invalid_request_error", status), 400, VOID)
    assert isinstance(outcome, kind)
    if isinstance(outcome, Refused):
        assert outcome.refusal is VoidRefusal.CANNOT_VOID


@pytest.mark.parametrize(("status", "final"), [("succeeded", True), ("pending", False)])
def test_refund(status: str, final: bool) -> None:
    """R17: a refund that was made is final, a pending one accepted; both repeat what was asked."""
    assert answer({**REFUND, "status": status}, 200, REFUNDING) == Approved(
        "re_3EX", status, amount_minor=11850, currency="USD", reference=str(builders.ANOTHER), final=final
    )


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_refund_that_failed(status: str) -> None:
    """R17: a failed refund counts for nothing, and says why."""
    outcome = answer({**REFUND, "status": status, "failure_reason": "lost_or_stolen_card"}, 200, REFUNDING)
    assert outcome == Refused(RefundRefusal.REFUSED, "lost_or_stolen_card", f"the refund is {status}", "re_3EX")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": "ch_3"},
        {"status": "requires_action"},
        {"status": None},
        {"amount": "x"},
        {"currency": None},
    ],
)
def test_refund_that_proves_nothing(changes: Mapping[str, Any]) -> None:
    """E3: a refund without its id, amount, currency or a status that is known is looked up."""
    assert isinstance(answer({**REFUND, **changes}, 200, REFUNDING), Unknown)


@pytest.mark.parametrize(
    ("code", "param", "refusal"),
    [
        ("charge_already_refunded", "", RefundRefusal.ALREADY),
        ("charge_disputed", "", RefundRefusal.REFUSED),
        ("", "amount", RefundRefusal.REFUSED),
    ],
)
def test_refund_refused(code: str, param: str, refusal: RefundRefusal) -> None:
    """R17, B47: returned before is to be verified; disputed, or more than is left, will not be made."""
    outcome = answer(error(code, "invalid_request_error", param=param), 400, REFUNDING)
    assert isinstance(outcome, Refused)
    assert outcome.refusal is refusal


def test_without_the_sales_id() -> None:
    """E3: without Stripe's id of the sale nothing is sent, and an inquiry says nothing."""
    with Canned("nothing") as server:
        gateway = builders.gateway("stripe", server.url)
        for outcome in (
            gateway.void(builders.void(sale_transaction_id="")).result,
            gateway.refund(builders.refund(sale_transaction_id="")).result,
            gateway.capture(builders.capture(authorization_transaction_id="")).result,
        ):
            assert outcome == Failed(FailureClass.REFUSED, "no_id", "Stripe's id of the sale is not known")
        for operation in (Operation.VOID, Operation.REFUND, Operation.CAPTURE):
            asked = builders.inquiry(operation, sale_transaction_id="")
            assert isinstance(gateway.inquire(asked).result, NoAnswer)
        assert server.requests == []


def test_an_id_cannot_lead_elsewhere() -> None:
    """B16: an id with slashes stays one part of the address."""
    with Canned("nothing") as server:
        builders.gateway("stripe", server.url).void(builders.void(sale_transaction_id="../refunds?x=1"))
        assert server.sent().startswith("POST /payment_intents/..%2Frefunds%3Fx%3D1/cancel HTTP/1.1")


# ---- what inquiries see


@pytest.mark.parametrize(
    ("charge", "standing", "returned"),
    [
        ({}, Standing.SETTLED, None),
        ({"amount_refunded": 5000}, Standing.SETTLED, 5000),
        ({"amount_refunded": 11850, "refunded": True}, Standing.REFUNDED, 11850),
        ({"disputed": True}, Standing.LIMBO, None),
    ],
)
def test_standing_of_a_sale(charge: dict[str, Any], standing: Standing, returned: int | None) -> None:
    """R11: a sale is settled at once; its charge tells what was returned, and whether it is disputed."""
    found = intent(latest_charge={**SUCCEEDED["latest_charge"], **charge})
    assert look(found) == Found(APPROVED, standing, returned)


def test_standing_of_an_authorization() -> None:
    """R11: an authorization can be voided until it is captured; the one released stands as voided."""
    asked = builders.inquiry(Operation.AUTHORIZATION, transaction_id=INTENT)
    reserved = look(intent(status="requires_capture", amount_capturable=11850, amount_received=0), asked)
    assert isinstance(reserved, Found)
    assert (type(reserved.outcome), reserved.standing) == (Approved, Standing.UNSETTLED)
    released = look(intent(status="canceled", amount_received=0), asked)
    assert isinstance(released, Found)
    assert (type(released.outcome), released.standing) == (Approved, Standing.VOIDED)
    partly = look(intent(amount_received=5000), asked)
    assert isinstance(partly, Found)
    assert isinstance(partly.outcome, Approved)
    assert partly.outcome.amount_minor == 11850


def test_cancelled_sale() -> None:
    """E4: a cancelled intent never charges: declined where its last error says so, else certainly not done."""
    told = error("card_declined", decline_code="insufficient_funds")["error"]
    declined = look(intent(status="canceled", latest_charge=None, last_payment_error=told))
    assert isinstance(declined, Found)
    assert (type(declined.outcome), declined.standing) == (Declined, Standing.NOTHING)
    never = look(intent(status="canceled", latest_charge=None))
    assert isinstance(never, Found)
    assert (type(never.outcome), never.standing) == (Failed, Standing.NOTHING)
    untold = look(intent(status="canceled", latest_charge="ch_3EX"))
    assert isinstance(untold, Found)
    assert (type(untold.outcome), untold.standing) == (Unknown, Standing.LIMBO)


def test_inquiry_finds_another_operation() -> None:
    """R18: an approval found under the id hands its reference on; anything else of another operation is unknown."""
    other = {"merchant_reference": "2611240000010499999"}
    approved = look(intent(metadata=other))
    assert isinstance(approved, Found)
    assert isinstance(approved.outcome, Approved)
    assert approved.outcome.reference == "2611240000010499999"
    declined = look(intent(metadata=other, status="requires_payment_method", last_payment_error=error("x")["error"]))
    assert isinstance(declined, Found)
    assert isinstance(declined.outcome, Unknown)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("canceled", Found),
        ("succeeded", Absent),
        ("requires_capture", Absent),
        ("processing", NoAnswer),
        (None, NoAnswer),
    ],
)
def test_inquiry_about_a_void(status: str | None, kind: type[Sighting]) -> None:
    """E4: whether the void was made shows in the intent's state."""
    asked = builders.inquiry(Operation.VOID, sale_transaction_id=INTENT)
    assert isinstance(look(intent(status=status), asked), kind)


@pytest.mark.parametrize(
    ("status", "outcome", "standing"),
    [
        ("succeeded", Approved, Standing.REFUNDED),
        ("pending", Approved, Standing.REFUNDED),
        ("failed", Refused, Standing.SETTLED),
        ("requires_action", Unknown, Standing.LIMBO),
    ],
)
def test_inquiry_about_a_refund(status: str, outcome: type[Outcome], standing: Standing) -> None:
    """R17: a refund is seen by its id, and among the refunds of its sale by our reference."""
    refund = {**REFUND, "status": status}
    by_id = look(refund, builders.inquiry(Operation.REFUND, transaction_id="re_3EX"))
    page = {"data": [{**REFUND, "id": "re_3OTHER", "metadata": {}}, refund], "has_more": False}
    listed = look(page, builders.inquiry(Operation.REFUND, sale_transaction_id=INTENT))
    for sighting in (by_id, listed):
        assert isinstance(sighting, Found)
        assert (type(sighting.outcome), sighting.standing) == (outcome, standing)


def test_unknown_id() -> None:
    """E4: only an object that Stripe does not know is absent; every other error says nothing."""
    missing = error("resource_missing", "invalid_request_error")
    assert isinstance(look(missing, status=404), Absent)
    for status in (400, 401, 403, 429, 500):
        assert isinstance(look(missing, status=status), NoAnswer)


def _pages(*pages: object, **how: Any) -> tuple[Sighting, list[str]]:
    """What an inquiry by our reference alone sees in these replies, and the addresses that it asked."""
    with Canned(*(one if isinstance(one, str) else json.dumps(one) for one in pages), **how) as server:
        sighting = builders.gateway("stripe", server.url).inquire(builders.inquiry()).result
        return sighting, [request.decode().split(" ")[1] for request in server.requests]


def _other(number: int) -> dict[str, Any]:
    return {"id": f"pi_{number}", "metadata": {"merchant_reference": "2611240000010499999"}}


def test_list_with_pages() -> None:
    """B13: further pages begin after the last of the one before; what is found is looked at by its id."""
    found, asked = _pages(
        {"data": [_other(1), _other(2)], "has_more": True},
        {"data": [SUCCEEDED, _other(3)], "has_more": False},
        SUCCEEDED,
    )
    assert found == Found(APPROVED, Standing.SETTLED)
    assert "starting_after" not in asked[0]
    assert asked[1].endswith("&starting_after=pi_2")
    assert asked[2] == f"/payment_intents/{INTENT}?expand%5B%5D=latest_charge"


def test_absent_after_all_pages() -> None:
    """E4: absent means that every page was read."""
    absent, asked = _pages({"data": [_other(1)], "has_more": True}, {"data": [_other(2)], "has_more": False})
    assert isinstance(absent, Absent)
    assert len(asked) == 2


def test_two_of_one_reference() -> None:
    """B13: two intents under one reference are for a person, even where the second is pages away."""
    found, _ = _pages(
        {"data": [SUCCEEDED], "has_more": True}, {"data": [{**SUCCEEDED, "id": "pi_3OTHER"}], "has_more": False}
    )
    assert isinstance(found, Found)
    assert (type(found.outcome), found.standing) == (Unknown, Standing.LIMBO)


@pytest.mark.parametrize(
    "page",
    [
        {"data": [], "has_more": None},
        {"data": None, "has_more": False},
        {"has_more": False},
        {"data": []},
        {"data": [], "has_more": True},
        {"data": [{"metadata": {}}], "has_more": True},
        MAINTENANCE,
        error("rate_limit", "invalid_request_error"),
    ],
)
def test_list_that_is_none(page: object) -> None:
    """E4: a page that cannot be read, or that ends nowhere, is no absence; not even as the second one."""
    assert isinstance(_pages(page)[0], NoAnswer)
    assert isinstance(_pages({"data": [_other(1)], "has_more": True}, page)[0], NoAnswer)


def test_list_without_end() -> None:
    """E4: after fifty pages that never end the search gives up, and says so."""
    sighting, asked = _pages({"data": [_other(1)], "has_more": True})
    assert isinstance(sighting, NoAnswer)
    assert sighting.code == "too_many"
    assert len(asked) == 50


# ---- health


@pytest.mark.parametrize(
    ("reply", "status", "expected"),
    [
        ({"data": [], "has_more": False}, 200, Healthy()),
        (
            error("", "invalid_request_error"),
            401,
            Unwell("invalid_request_error", "Your card was declined.", setup=True),
        ),
        (error("rate_limit", "invalid_request_error"), 429, Unwell("rate_limit", "Your card was declined.")),
        (MAINTENANCE, 200, Unwell("http_200", "no reply of this gateway")),
        (MAINTENANCE, 403, Unwell("http_403", "no reply of this gateway")),
        ({}, 200, Unwell("http_200")),
    ],
)
def test_health(reply: object, status: int, expected: object) -> None:
    """A list is health; refused credentials are our setup; everything else is the gateway's trouble."""
    with Canned(reply if isinstance(reply, str) else json.dumps(reply), status=status) as server:
        assert builders.gateway("stripe", server.url).health(builders.soon()).result == expected


# ---- amounts


@pytest.mark.parametrize(
    ("amount_minor", "currency", "sent"),
    [
        (500, "JPY", "500"),
        (5120, "KWD", "5120"),
        (1, "USD", "1"),
        (99_999_999, "USD", "99999999"),
        (1250, "HUF", "1250"),
    ],
)
def test_amounts(amount_minor: int, currency: str, sent: str) -> None:
    """B27, B28: minor units go as they are, in zero-, two- and three-decimal currencies alike."""
    with Canned("nothing") as server:
        builders.gateway("stripe", server.url).sale(builders.sale(amount_minor=amount_minor, currency=currency))
        assert server.body().startswith(f"amount={sent}&currency={currency.lower()}&")


@pytest.mark.parametrize(
    ("amount_minor", "currency", "code"),
    [
        (5124, "KWD", "amount"),
        (100_000_000, "USD", "amount"),
        (0, "USD", "amount"),
        (500, "UGX", "currency"),
        (500, "ISK", "currency"),
        (500, "MGA", "currency"),
        (5000, "IQD", "currency"),
    ],
)
def test_refused_unsent(amount_minor: int, currency: str, code: str) -> None:
    """B27, B28, B30: what Stripe counts otherwise than ISO 4217, or cannot write, is refused, and nothing is sent."""
    with Canned("nothing") as server:
        gateway = builders.gateway("stripe", server.url)
        outcome = gateway.sale(builders.sale(amount_minor=amount_minor, currency=currency)).result
        assert isinstance(outcome, Failed)
        assert (outcome.failure, outcome.code) == (FailureClass.REFUSED, code)
        assert server.requests == []


@pytest.mark.parametrize(
    "token", ["", "A10A7C3E51D2", "cus_1/", "/pm_1", "pm_1/cus_1", "cus_1/pm_1&amount=1", "cus_1/pm_1\n"]
)
def test_stored_card_of_another_gateway(token: str) -> None:
    """C4: a token that is none of Stripe's is refused, and nothing is sent."""
    with Canned("nothing") as server:
        outcome = builders.gateway("stripe", server.url).sale(builders.sale(card=None, stored_card=token)).result
        assert isinstance(outcome, Failed)
        assert (outcome.failure, outcome.code) == (FailureClass.REFUSED, "stored_card")
        assert server.requests == []


# ---- what is kept and shown


def test_evidence() -> None:
    """C3: evidence holds what decides, and no name, token or message of the reply."""
    with Canned(json.dumps({**intent(customer="cus_3EX"), "receipt_email": "ada@example.com"})) as server:
        said = builders.gateway("stripe", server.url).sale(SALE).evidence.said
    assert said["status"] == "succeeded"
    assert said["metadata.merchant_reference"] == builders.ORDER
    assert not {"customer", "payment_method", "receipt_email"} & said.keys()


def test_message_that_repeats_the_request(caplog: pytest.LogCaptureFixture) -> None:
    """B61: a message that repeats what was sent is cut before the first value."""
    caplog.set_level(logging.DEBUG)
    for sent in (
        "Invalid value: payment_method_data%5Bcard%5D%5Bcvc%5D=123&key=sandbox-secret",
        "Invalid value: payment_method_data[card][cvc]=123 and 4111111111111111",
        "Declined: 4111 1111 1111 1111",
    ):
        for status, kind in ((400, "invalid_request_error"), (402, "card_error"), (401, "invalid_request_error")):
            with Canned(json.dumps(error("x", kind, message=sent)), status=status) as server:
                reply = builders.gateway("stripe", server.url).sale(SALE)
                port = f":{urlsplit(server.url).port}"  # which may have the code's digits in it
            assert isinstance(reply.result, Failed | Declined)
            for secret in ("123", "sandbox-secret", "4111111111111111", "4111 1111"):
                assert secret not in repr(reply).replace(port, "")
                assert secret not in caplog.text.replace(port, "")
