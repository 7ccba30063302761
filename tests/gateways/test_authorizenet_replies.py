"""What Authorize.Net's replies prove: its documented answers, and answers bent in every way known from the field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateways.contract import Capture, Gateway, Inquiry, Operation, Refund, Sale, Void
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
from rules.stored_cards import StoredCredential
from tests.gateways import builders
from tests.gateways.canned import Canned

MARK = b"\xef\xbb\xbf"
ID = "60000000001"
OK = {"resultCode": "Ok", "message": [{"code": "I00001", "text": "Successful."}]}
UNSUCCESSFUL = {"resultCode": "Error", "message": [{"code": "E00027", "text": "The transaction was unsuccessful."}]}
NONE_LISTED = {"messages": {"resultCode": "Ok", "message": [{"code": "I00004", "text": "No records found."}]}}
APPROVAL: dict[str, Any] = {
    "transactionResponse": {
        "responseCode": "1",
        "authCode": "ABC123",
        "avsResultCode": "Y",
        "cvvResultCode": "M",
        "cavvResultCode": "2",
        "transId": ID,
        "refTransID": "",
        "testRequest": "0",
        "accountNumber": "XXXX1111",
        "accountType": "Visa",
        "messages": [{"code": "1", "description": "This transaction has been approved."}],
        "networkTransId": "016153570198200",
    },
    "refId": builders.ORDER,
    "messages": OK,
}
APPROVED = Approved(
    ID,
    "1",
    "This transaction has been approved.",
    approval_code="ABC123",
    reference=builders.ORDER,
    network_reference="016153570198200",
)
DETAILS: dict[str, Any] = {
    "transaction": {
        "transId": ID,
        "submitTimeUTC": "2026-11-24T15:00:00.123Z",
        "transactionType": "authCaptureTransaction",
        "transactionStatus": "capturedPendingSettlement",
        "responseCode": 1,
        "responseReasonCode": 1,
        "responseReasonDescription": "Approval",
        "authCode": "ABC123",
        "order": {"invoiceNumber": builders.ORDER, "description": "INV-10042"},
        "authAmount": 118.5,
        "settleAmount": 118.5,
        "payment": {"creditCard": {"cardNumber": "XXXX1111", "expirationDate": "XXXX", "cardType": "Visa"}},
        "networkTransId": "016153570198200",
    },
    "messages": OK,
}
SEEN = replace(APPROVED, message="Approval", amount_minor=11850)
SALE = builders.sale()
VOID = builders.void(sale_transaction_id=ID)
REFUND = builders.refund(sale_transaction_id=ID)
CAPTURE = builders.capture(authorization_transaction_id=ID)
BY_ID = builders.inquiry(transaction_id=ID)


def approval(**changes: Any) -> dict[str, Any]:
    """The approval, its transactionResponse with other values."""
    reply = deepcopy(APPROVAL)
    reply["transactionResponse"].update(changes)
    return reply


def refusal(reason: str, verdict: str = "3", **more: Any) -> dict[str, Any]:
    """An answer that says no, or nothing, for a reason."""
    answer = {
        "responseCode": verdict,
        "transId": ID if verdict == "2" else "0",
        "errors": [{"errorCode": reason, "errorText": "Words."}],
    }
    return {"transactionResponse": answer | more, "refId": builders.ORDER, "messages": UNSUCCESSFUL}


def held(reason: str) -> dict[str, Any]:
    """An answer that is neither."""
    return approval(responseCode="4", messages=[{"code": reason, "description": "Words."}])


def error(code: str, text: str = "Words.") -> dict[str, Any]:
    """A reply without an answer to the transaction."""
    return {"messages": {"resultCode": "Error", "message": [{"code": code, "text": text}]}}


def details(status: str = "capturedPendingSettlement", **changes: Any) -> dict[str, Any]:
    """The details of the sale, with another status and other values; None takes one out."""
    reply = deepcopy(DETAILS)
    reply["transaction"].update(transactionStatus=status, **changes)
    reply["transaction"] = {name: value for name, value in reply["transaction"].items() if value is not None}
    return reply


def row(transaction_id: str = ID, reference: str = builders.ORDER, **changes: Any) -> dict[str, Any]:
    """A row of a list."""
    told = {
        "transId": transaction_id,
        "submitTimeUTC": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z",
        "transactionStatus": "capturedPendingSettlement",
        "invoiceNumber": reference,
        "accountNumber": "XXXX1111",
        "settleAmount": 118.5,
    }
    return told | changes


def listed(*rows: dict[str, Any]) -> dict[str, Any]:
    """A page of a list."""
    return {"transactions": list(rows), "totalNumInResultSet": len(rows), "messages": OK}


def batches(*ids: str) -> dict[str, Any]:
    """A list of settled batches."""
    return {"batchList": [{"batchId": one, "settlementState": "settledSuccessfully"} for one in ids], "messages": OK}


def bodies(replies: tuple[object, ...]) -> list[bytes]:
    """Replies as they come over the wire: behind a byte order mark."""
    return [MARK + (one if isinstance(one, str) else json.dumps(one)).encode() for one in replies]


def call(gateway: Gateway, asked: Sale | Void | Refund | Capture) -> Outcome:
    """What an operation comes to."""
    match asked:
        case Void():
            return gateway.void(asked).result
        case Refund():
            return gateway.refund(asked).result
        case Capture():
            return gateway.capture(asked).result
        case _:
            return gateway.sale(asked).result


def answer(reply: object, asked: Sale | Void | Refund | Capture = SALE, *then: object, status: int = 200) -> Outcome:
    """What `reply` proves, as an answer to `asked`; `then` are the replies to further requests."""
    with Canned(*bodies((reply, *then)), status=status) as server:
        return call(builders.gateway("authorizenet", server.url), asked)


def look(*replies: object, asked: Inquiry = BY_ID, status: int = 200) -> Sighting:
    """What `replies` prove, as the answers to an inquiry, by default one by the gateway's own id."""
    with Canned(*bodies(replies), status=status) as server:
        return builders.gateway("authorizenet", server.url).inquire(asked).result


# ---- approved


def test_approved() -> None:
    """R18: an approval carries what the reply repeats: our reference, no amount."""
    assert answer(APPROVAL) == APPROVED


def test_authorized() -> None:
    """An authorization is answered as a sale."""
    with Canned(*bodies((APPROVAL,))) as server:
        assert builders.gateway("authorizenet", server.url).authorize(SALE).result == APPROVED


def test_without_the_byte_order_mark() -> None:
    """B19: a reply without its mark is read as well."""
    with Canned(json.dumps(APPROVAL)) as server:
        assert builders.gateway("authorizenet", server.url).sale(SALE).result == APPROVED


@pytest.mark.parametrize("reference", ["2611240000010499999", "", None])
def test_approval_of_another_reference(reference: str | None) -> None:
    """R18: the reference is handed on as it was repeated, or as none."""
    outcome = answer(APPROVAL | {"refId": reference})
    assert isinstance(outcome, Approved)
    assert outcome.reference == (reference or None)


@pytest.mark.parametrize(("part", "amount_minor"), [("11.85", 1185), ("118.50", 11850)])
def test_prepaid_card(part: str, amount_minor: int) -> None:
    """R18: where the reply says how much a prepaid card gave, that is the amount."""
    outcome = answer(approval(prepaidCard={"requestedAmount": "118.50", "approvedAmount": part}))
    assert isinstance(outcome, Approved)
    assert outcome.amount_minor == amount_minor


def test_kept_card() -> None:
    """C4: the token is the customer's profile and the card's in it; without both there is none."""
    profile = {"messages": OK, "customerProfileId": "926000001", "customerPaymentProfileIdList": ["926000002"]}
    kept = answer(APPROVAL | {"profileResponse": profile})
    assert isinstance(kept, Approved)
    assert kept.card_token == "926000001/926000002"
    wrongs: tuple[dict[str, Any], ...] = (
        {"customerPaymentProfileIdList": []},
        {"customerProfileId": None},
        {"customerProfileId": "0"},
    )
    for wrong in wrongs:
        kept = answer(APPROVAL | {"profileResponse": profile | wrong})
        assert isinstance(kept, Approved)
        assert kept.card_token is None


@pytest.mark.parametrize(
    "changes",
    [
        {"transId": "0"},
        {"transId": ""},
        {"transId": None},
        {"transId": "A1"},
        {"responseCode": None},
        {"responseCode": "9"},
        {"messages": None},
        {"messages": []},
        {"messages": {"message": {"code": "1"}}},
        {"messages": [{"code": "7"}]},
        {"messages": [{"code": "310"}]},
        {"messages": [{"code": "311"}]},
        {"messages": [{"code": "1"}, {"code": "252"}]},
        {"errors": [{"errorCode": "2", "errorText": "Declined."}]},
        {"prepaidCard": {"approvedAmount": "much"}},
    ],
    ids=str,
)
def test_approval_that_is_cut(changes: dict[str, Any]) -> None:
    """E3: an approval without its id, its reason or a readable amount, or with another reason, proves nothing."""
    assert isinstance(answer(approval(**changes)), Unknown)


def test_approval_that_is_called_an_error() -> None:
    """E3: an approval whose reply calls itself an error proves nothing."""
    assert isinstance(answer(APPROVAL | {"messages": UNSUCCESSFUL}), Unknown)


def test_account_in_test_mode() -> None:
    """E3: an account in Test Mode approves and stores nothing, so that every other call would fail too."""
    outcome = answer(approval(transId="0", testRequest="1"))
    assert isinstance(outcome, Failed)
    assert (outcome.failure, outcome.code) == (FailureClass.GATEWAY_SETUP, "test_mode")


# ---- declined and failed: the code tables

DECLINES = {
    DeclineClass.SOFT_GENERIC: "2",
    DeclineClass.OTHER_WAY: "3 17 28",
    DeclineClass.HARD: "4 41 141 145 250 251 254",
    DeclineClass.NEW_DATA: "6 7 8 27 37 44 45 65 127 165 200 201 315 316 317",
    DeclineClass.SOFT_TECHNICAL: "224",
}


@pytest.mark.parametrize(("decline", "code"), [(c, code) for c, codes in DECLINES.items() for code in codes.split()])
@pytest.mark.parametrize("verdict", ["2", "3"])
def test_declined(decline: DeclineClass, code: str, verdict: str) -> None:
    """R16: each reason has its class, whether it comes as a decline or as an error."""
    assert answer(refusal(code, verdict)) == Declined(decline, code, "Words.", ID if verdict == "2" else "")


@pytest.mark.parametrize(
    ("reply", "proves"),
    [(refusal("2", "2"), Declined), (held("253"), Held), ({"refId": builders.ORDER}, Unknown), (APPROVAL, Approved)],
)
def test_the_envelope_decides_nothing(reply: dict[str, Any], proves: type[Outcome]) -> None:
    """B21: under an envelope that says Ok a decline is one, what is held is held, and no verdict is unknown."""
    assert isinstance(answer({**reply, "messages": OK}), proves)


def test_decline_that_nobody_knows() -> None:
    """R16: a clear decline of a new reason gets one try; an error of a new reason proves nothing."""
    assert answer(refusal("999", "2")) == Declined(DeclineClass.SOFT_UNLISTED, "999", "Words.", ID)
    assert answer(refusal("999", "3")) == Unknown("999", "Words.")


FAILURES = {
    FailureClass.REFUSED: "5 15 16 33 47 48 49 78 202 208 210 219 221 223 319 326",
    FailureClass.GATEWAY_SETUP: "13 35 66 170 171 172 173",
    FailureClass.BUSY: "261",
}


@pytest.mark.parametrize(("failure", "code"), [(c, code) for c, codes in FAILURES.items() for code in codes.split()])
def test_failed(failure: FailureClass, code: str) -> None:
    """E3: what the list of codes says was not done is failed."""
    assert answer(refusal(code)) == Failed(failure, code, "Words.")


INQUIRE_FIRST = "19 20 21 22 23 25 26 57 58 59 60 61 62 63 120 121 122 152 180 181 209 220 241"


@pytest.mark.parametrize("code", [*INQUIRE_FIRST.split(), "11", "318", "36", "50", "51", "54", "55", "310", "0", ""])
def test_unknown(code: str) -> None:
    """E3: what can leave a hold or a charge behind, and what nobody expects of a sale, is looked up."""
    assert isinstance(answer(refusal(code)), Unknown)


@pytest.mark.parametrize("code", ["193", "252", "253", "295"])
def test_held(code: str) -> None:
    """B22: held for review, or only a part approved: neither yes nor no, whatever the verdict beside it."""
    assert answer(held(code)) == Held(ID, code, "Words.")
    assert isinstance(answer(refusal(code, "3")), Unknown)
    assert isinstance(answer(approval(messages=[{"code": code, "description": "Words."}])), Unknown)


@pytest.mark.parametrize("code", ["1", "2", "999"])
def test_held_for_what(code: str) -> None:
    """B22: held for a reason that nobody knows, or without an id, is looked up."""
    assert isinstance(answer(held(code)), Unknown)
    without = held("252")
    without["transactionResponse"]["transId"] = "0"
    assert isinstance(answer(without), Unknown)


def test_reasons_that_differ() -> None:
    """E3: two errors with two reasons prove neither."""
    errors = [{"errorCode": "2", "errorText": "a"}, {"errorCode": "11", "errorText": "b"}]
    assert isinstance(answer(refusal("2", "2", errors=errors)), Unknown)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("E00003", FailureClass.REFUSED),
        ("E00040", FailureClass.REFUSED),
        *((f"E000{number:02}", FailureClass.GATEWAY_SETUP) for number in range(5, 12)),
    ],
)
def test_refused_request(code: str, failure: FailureClass) -> None:
    """E3: a request that was refused before it was processed is failed; for every operation."""
    for asked in (SALE, VOID, REFUND, CAPTURE):
        assert answer(error(code), asked) == Failed(failure, code, "Words.")
    hollow = error(code) | {"transactionResponse": {"SupplementalDataQualificationIndicator": 0}}
    assert answer(hollow) == Failed(failure, code, "Words.")


@pytest.mark.parametrize("code", ["E00001", "E00027", "E00053", "E00104", "E00013", "I00001", ""])
def test_error_that_proves_nothing(code: str) -> None:
    """E3: an error of the system, one about a transaction that is not told of, and any other is looked up."""
    assert isinstance(answer(error(code)), Unknown)
    assert isinstance(answer({"messages": {"resultCode": "Ok", "message": [{"code": code}]}}), Unknown)


def test_answer_beside_an_error() -> None:
    """E3: where there is an answer to the transaction, it decides, not the code beside it."""
    assert isinstance(answer(approval() | error("E00007")), Unknown)
    assert isinstance(answer(held("252") | error("E00007")), Held)


@pytest.mark.parametrize("status", [201, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("reply", [APPROVAL, refusal("2", "2"), error("E00007")], ids=["yes", "no", "refused"])
def test_status(reply: object, status: int) -> None:
    """E3: everything documented comes with status 200; what comes with another proves nothing."""
    outcome = answer(reply, status=status)
    assert isinstance(outcome, Unknown)
    assert outcome.code == f"http_{status}"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "<html>Scheduled maintenance</html>",
        "[]",
        "null",
        '"approved"',
        "{}",
        '{"transactionResponse": []}',
        '{"transactionResponse": {}}',
        json.dumps(APPROVAL)[:-5],
        json.dumps(APPROVAL) + "{}",
        json.dumps(APPROVAL).replace('"responseCode": "1"', '"responseCode": "1", "responseCode": "2"'),
        json.dumps({"createTransactionResponse": APPROVAL}),
    ],
)
def test_unreadable(reply: str) -> None:
    """B17, B19: a page, a cut or empty reply, another form, a field given twice: unknown."""
    assert isinstance(answer(reply), Unknown)


# ---- duplicates (E4, B08)

DUPLICATE = refusal("11", transId=ID, authCode="ABC123")


def test_duplicate_of_this_operation() -> None:
    """E4: reason 11 and details that carry our reference and card are the answer to the first send."""
    assert answer(DUPLICATE, SALE, DETAILS) == SEEN
    declined = details("declined", responseCode=2, responseReasonCode=2)
    assert answer(refusal("11", transId=ID), SALE, declined) == Declined(DeclineClass.SOFT_GENERIC, "2", "Approval", ID)
    assert isinstance(answer(DUPLICATE, SALE, details("FDSPendingReview")), Held)


@pytest.mark.parametrize("number", [0, 1])
def test_duplicate_that_names_no_original(number: int) -> None:
    """E4: without the original's id nothing is asked, and the lists decide later."""
    reply = (refusal("11"), refusal("11", authCode="ABC123"))[number]
    with Canned(*bodies((reply, DETAILS))) as server:
        assert builders.gateway("authorizenet", server.url).sale(SALE).result == Unknown("11", "Words.")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"order": {"invoiceNumber": "2611240000010499999"}},
        {"payment": {"creditCard": {"cardNumber": "XXXX0015"}}},
    ],
    ids=str,
)
def test_duplicate_of_another_operation(changes: dict[str, Any]) -> None:
    """B08: an original of another reference or card is neither this operation's yes nor its no."""
    outcome = answer(DUPLICATE, SALE, details(**changes))
    assert isinstance(outcome, Unknown)
    assert (outcome.code, outcome.transaction_id) == ("duplicate_of_other", ID)


@pytest.mark.parametrize(
    "original",
    [
        details(order=None),
        details("voided"),
        details("chargeback"),
        details("couldNotVoid"),
        details("a_new_one"),
        details(transId="60000000002"),
        details(authAmount=None, settleAmount=None),
        error("E00040"),
        error("E00011"),
        "<html>",
    ],
    ids=str,
)
def test_duplicate_whose_original_is_not_proven(original: object) -> None:
    """B08: until the details prove the first send's outcome, and that it stands, it is unknown."""
    outcome = answer(DUPLICATE, SALE, original)
    assert isinstance(outcome, Unknown)
    assert (outcome.code, outcome.transaction_id) == ("11", ID)


def test_duplicate_of_another_amount() -> None:
    """R18: an original of another amount says so."""
    outcome = answer(DUPLICATE, SALE, details(authAmount=11.85, settleAmount=11.85))
    assert isinstance(outcome, Approved)
    assert outcome.amount_minor == 1185


def test_refund_sent_again() -> None:
    """E4, B47: a refund that is refused as a duplicate is the first one, if its details say so."""
    original = details("refundPendingSettlement", order={"invoiceNumber": str(builders.ANOTHER)})
    outcome = answer(DUPLICATE, REFUND, original)
    assert isinstance(outcome, Approved)
    assert (outcome.amount_minor, outcome.final) == (11850, False)
    assert isinstance(answer(DUPLICATE, REFUND, DETAILS), Unknown)


def test_void_or_capture_as_a_duplicate() -> None:
    """B08: a void or capture has no reference of its own there, so a duplicate of it is looked up later."""
    for asked in (VOID, CAPTURE):
        with Canned(*bodies((DUPLICATE, DETAILS))) as server:
            outcome = call(builders.gateway("authorizenet", server.url), asked)
            assert len(server.requests) == 1
        assert isinstance(outcome, Refused | Unknown)
        assert outcome.code == "11"


# ---- void, capture, refund


def test_void() -> None:
    """R11: a void is done, also if it was done before."""
    done = answer(APPROVAL | {"refId": str(builders.ANOTHER)}, VOID)
    assert isinstance(done, Approved)
    assert done.reference == str(builders.ANOTHER)
    again = answer(approval(messages=[{"code": "310", "description": "Voided."}]), VOID)
    assert isinstance(again, Approved)
    assert isinstance(answer(approval(messages=[{"code": "311", "description": "Captured."}]), VOID), Unknown)


@pytest.mark.parametrize("code", ["16", "15", "308", "310", "311", "327", "2", "999", "33"])
def test_void_refused(code: str) -> None:
    """R11: whatever reason a void is refused for, the sale's standing tells why."""
    assert answer(refusal(code), VOID) == Refused(VoidRefusal.CANNOT_VOID, code, "Words.")


@pytest.mark.parametrize("code", [*INQUIRE_FIRST.split(), "11", "318", "252", ""])
def test_void_that_proves_nothing(code: str) -> None:
    """B24: a void without an answer of the processor may be done."""
    assert isinstance(answer(refusal(code), VOID), Unknown)
    assert isinstance(answer(held("252"), VOID), Unknown)


def test_void_with_wrong_login() -> None:
    """E3: refused credentials are no refusal of the void."""
    assert isinstance(answer(refusal("13"), VOID), Failed)


def test_capture() -> None:
    """A capture is done; "captured before" does not say whose capture that was."""
    done = answer(APPROVAL, CAPTURE)
    assert isinstance(done, Approved)
    assert not done.repeated
    again = answer(approval(messages=[{"code": "311", "description": "Captured."}]), CAPTURE)
    assert isinstance(again, Approved)
    assert again.repeated


@pytest.mark.parametrize(
    ("code", "kind"),
    [("47", Failed), ("48", Failed), ("16", Failed), ("2", Declined), ("19", Unknown), ("999", Unknown)],
)
def test_capture_refused(code: str, kind: type[Outcome]) -> None:
    """E3: a capture of too much or of nothing took nothing."""
    assert isinstance(answer(refusal(code), CAPTURE), kind)


def test_refund() -> None:
    """R17: a refund is accepted, with an id of its own, and not final before it has settled."""
    accepted = answer(APPROVAL, REFUND)
    assert isinstance(accepted, Approved)
    assert (accepted.transaction_id, accepted.final, accepted.card_token) == (ID, False, None)


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("50", RefundRefusal.NOT_YET),
        ("51", RefundRefusal.ALREADY),
        ("55", RefundRefusal.ALREADY),
        ("6", RefundRefusal.REFUSED),
        ("8", RefundRefusal.REFUSED),
    ],
)
def test_refund_refused(code: str, refused: RefundRefusal) -> None:
    """R17: a refund that is not made, by its reason."""
    assert answer(refusal(code), REFUND) == Refused(refused, code, "Words.")


@pytest.mark.parametrize(
    ("sale", "refused"),
    [
        (details(), RefundRefusal.NOT_YET),
        (details("pendingSettlement"), RefundRefusal.NOT_YET),
        (details("voided"), RefundRefusal.ALREADY),
        (details("settledSuccessfully"), RefundRefusal.REFUSED),
        (details("chargeback"), RefundRefusal.REFUSED),
        (details("declined"), RefundRefusal.REFUSED),
        ("<html>", RefundRefusal.NOT_YET),
        (error("E00040"), RefundRefusal.NOT_YET),
    ],
    ids=str,
)
def test_refund_that_does_not_meet_the_criteria(sale: object, refused: RefundRefusal) -> None:
    """R17, B43: reason 54 is "not yet" while the sale settles, and never again once it has."""
    assert answer(refusal("54"), REFUND, sale) == Refused(refused, "54", "Words.")


@pytest.mark.parametrize("code", [*INQUIRE_FIRST.split(), "36", "999", ""])
def test_refund_that_proves_nothing(code: str) -> None:
    """B47: a refund without an answer of the processor may be made."""
    assert isinstance(answer(refusal(code), REFUND), Unknown)


def test_refund_failed() -> None:
    """E3: a refund of a transaction that is not found, or without its amount, was not made; nor by a wrong login."""
    for code in ("5", "16", "13"):
        assert isinstance(answer(refusal(code), REFUND), Failed)


def test_without_what_is_needed() -> None:
    """E3: without the gateway's id, or the card's last digits for a refund, nothing is sent."""
    with Canned("nothing") as server:
        gateway = builders.gateway("authorizenet", server.url)
        for asked, code in (
            (replace(VOID, sale_transaction_id=""), "no_id"),
            (replace(CAPTURE, authorization_transaction_id=""), "no_id"),
            (replace(REFUND, sale_transaction_id=""), "no_id"),
            (replace(REFUND, card_last_four=""), "card_last_four"),
        ):
            outcome = call(gateway, asked)
            assert isinstance(outcome, Failed)
            assert (outcome.failure, outcome.code) == (FailureClass.REFUSED, code)
        for operation in (Operation.VOID, Operation.CAPTURE):
            without = builders.inquiry(operation, sale_transaction_id="")
            assert isinstance(gateway.inquire(without).result, NoAnswer)
        assert server.requests == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"card": replace(builders.CARD, number="4" * 19)}, "card_number"),
        ({"card": replace(builders.CARD, number="4" * 12)}, "card_number"),
        ({"card": None, "stored_card": "pm_3EX"}, "stored_card"),
        ({"card": None, "stored_card": "12"}, "stored_card"),
        ({"card": None, "stored_card": "12/"}, "stored_card"),
        ({"card": None, "stored_card": None}, "stored_card"),
        ({"currency": "JPY"}, "currency"),
        ({"currency": "KWD"}, "currency"),
    ],
    ids=str,
)
def test_refused_unsent(changes: dict[str, Any], code: str) -> None:
    """B27, B28: what cannot be written is refused, and nothing is sent."""
    with Canned("nothing") as server:
        outcome = builders.gateway("authorizenet", server.url).sale(builders.sale(**changes)).result
        assert isinstance(outcome, Failed)
        assert (outcome.failure, outcome.code) == (FailureClass.REFUSED, code)
        assert server.requests == []


# ---- inquiries by the gateway's id

STANDINGS = {
    Standing.UNSETTLED: "capturedPendingSettlement",
    Standing.SETTLING: "pendingSettlement updatingSettlement pendingFinalSettlement",
    Standing.SETTLED: "settledSuccessfully",
    Standing.VOIDED: "voided",
    Standing.LIMBO: "chargeback chargebackReversal",
}
STATUSES = [(standing, status) for standing, statuses in STANDINGS.items() for status in statuses.split()]
REVIEWED = "FDSPendingReview FDSAuthorizedPendingReview underReview approvedReview authorizedPendingRelease"
ASTRAY = "settlementError couldNotVoid returnedItem refundPendingSettlement refundSettledSuccessfully a_new_one"


@pytest.mark.parametrize(("standing", "status"), STATUSES)
def test_standing_of_a_sale(standing: Standing, status: str) -> None:
    """R11: an approved sale, and where its money stands, by its status."""
    assert look(details(status)) == Found(SEEN, standing)


def test_amounts_of_a_sale() -> None:
    """R18: of two amounts the one that differs is told; of a voided sale what was authorized; none is guessed."""
    for changes, amount_minor in (
        ({"settleAmount": 11.85}, 1185),
        ({"authAmount": 11.85}, 1185),
        ({"settleAmount": "118.50", "authAmount": None}, 11850),
        ({"settleAmount": 118, "authAmount": 118}, 11800),
    ):
        sighting = look(details(**changes))
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.outcome.amount_minor == amount_minor
    assert look(details("voided", settleAmount=0)) == Found(SEEN, Standing.VOIDED)
    wrongs: tuple[dict[str, Any], ...] = ({"settleAmount": "many"}, {"authAmount": None}, {"authAmount": True})
    for wrong in wrongs:
        sighting = look(details(**({"settleAmount": None} | wrong)))
        assert isinstance(sighting, Found)
        assert (type(sighting.outcome), sighting.standing) == (Unknown, Standing.LIMBO)


@pytest.mark.parametrize("status", REVIEWED.split())
def test_sale_under_review(status: str) -> None:
    """B22: what waits for a person at the gateway is held."""
    assert look(details(status)) == Found(Held(ID, status, "Approval"), Standing.LIMBO)


@pytest.mark.parametrize("status", [*ASTRAY.split(), ""])
def test_sale_astray(status: str) -> None:
    """E3: a status that proves nothing, and a new one, are for a person."""
    sighting = look(details(status))
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (Unknown, Standing.LIMBO)


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        ("declined", 2, Declined(DeclineClass.SOFT_GENERIC, "2", "Approval", ID)),
        ("declined", 4, Declined(DeclineClass.HARD, "4", "Approval", ID)),
        ("declined", 999, Declined(DeclineClass.SOFT_UNLISTED, "999", "Approval", ID)),
        ("failedReview", 254, Declined(DeclineClass.HARD, "254", "Approval", ID)),
        ("failedReview", None, Declined(DeclineClass.HARD, "failedReview", "Approval", ID)),
        ("expired", 1, Failed(FailureClass.REFUSED, "expired", "it expired before it was captured")),
        ("communicationError", 19, Declined(DeclineClass.SOFT_TECHNICAL, "19", "Approval", ID)),
        ("generalError", 120, Declined(DeclineClass.SOFT_TECHNICAL, "120", "Approval", ID)),
        ("generalError", 33, Failed(FailureClass.REFUSED, "33", "Approval")),
        ("generalError", 6, Declined(DeclineClass.NEW_DATA, "6", "Approval", ID)),
        ("generalError", 999, Failed(FailureClass.BUSY, "999", "Approval")),
        ("communicationError", None, Failed(FailureClass.BUSY, "communicationError", "Approval")),
    ],
)
def test_sale_that_moved_nothing(status: str, reason: int | None, outcome: Outcome) -> None:
    """E3, R16: what the gateway took as declined or as an error moved nothing; the reason gives the class."""
    assert look(details(status, responseReasonCode=reason)) == Found(outcome, Standing.NOTHING)


@pytest.mark.parametrize("reason", [11, 318, 36])
def test_refused_duplicate_of_its_own(reason: int) -> None:
    """B08: the record of a refused duplicate says nothing of its original."""
    sighting = look(details("generalError", responseReasonCode=reason))
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (Unknown, Standing.LIMBO)


def test_authorization() -> None:
    """An authorization stands until it is captured; a sale that is only authorized is neither yes nor no."""
    asked = builders.inquiry(Operation.AUTHORIZATION, transaction_id=ID)
    only = details("authorizedPendingCapture", settleAmount=0)
    assert look(only, asked=asked) == Found(SEEN, Standing.UNSETTLED)
    assert look(details("settledSuccessfully", settleAmount=50.0), asked=asked) == Found(SEEN, Standing.SETTLED)
    sighting = look(only)
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (Held, Standing.LIMBO)


def test_another_operation() -> None:
    """B13: details of another reference are another operation's; an approval says whose, for the caller to compare."""
    other = {"invoiceNumber": "2611240000010499999"}
    approved = look(details(order=other))
    assert isinstance(approved, Found)
    assert isinstance(approved.outcome, Approved)
    assert approved.outcome.reference == other["invoiceNumber"]
    declined = look(details("declined", order=other))
    assert isinstance(declined, Found)
    assert isinstance(declined.outcome, Unknown)
    for operation in (Operation.VOID, Operation.CAPTURE):
        asked = builders.inquiry(operation, sale_transaction_id=ID)
        sighting = look(
            details("voided" if operation is Operation.VOID else "settledSuccessfully", order=other), asked=asked
        )
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Unknown)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("voided", Found),
        *((status, Absent) for _, status in STATUSES if status != "voided"),
        *((status, Absent) for status in "authorizedPendingCapture declined expired underReview".split()),
        *((status, NoAnswer) for status in ("couldNotVoid", "settlementError", "a_new_one", "")),
    ],
)
def test_inquiry_about_a_void(status: str, kind: type[Sighting]) -> None:
    """E4: a void was made where its transaction is voided, not made where it stands; else it cannot be told."""
    asked = builders.inquiry(Operation.VOID, sale_transaction_id=ID)
    sighting = look(details(status), asked=asked)
    assert isinstance(sighting, kind)
    if isinstance(sighting, Found):
        assert isinstance(sighting.outcome, Approved)
        assert (sighting.outcome.reference, sighting.standing) == (None, Standing.VOIDED)
        assert look(details(status), asked=replace(asked, sale_reference=None)) == sighting


@pytest.mark.parametrize(
    ("status", "kind", "standing"),
    [
        ("capturedPendingSettlement", Approved, Standing.UNSETTLED),
        ("settledSuccessfully", Approved, Standing.SETTLED),
        ("voided", Unknown, Standing.VOIDED),
        ("expired", Failed, Standing.NOTHING),
        ("couldNotVoid", Unknown, Standing.LIMBO),
    ],
)
def test_inquiry_about_a_capture(status: str, kind: type[Outcome], standing: Standing) -> None:
    """E4: a capture is found in its authorization, with the amount that was taken."""
    asked = builders.inquiry(Operation.CAPTURE, sale_transaction_id=ID)
    sighting = look(details(status, settleAmount=50.0), asked=asked)
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (kind, standing)
    if isinstance(sighting.outcome, Approved):
        assert (sighting.outcome.amount_minor, sighting.outcome.reference) == (5000, None)
    assert isinstance(look(details("authorizedPendingCapture"), asked=asked), Absent)


@pytest.mark.parametrize(
    ("status", "kind", "standing"),
    [
        ("refundPendingSettlement", Approved, Standing.REFUNDED),
        ("refundSettledSuccessfully", Approved, Standing.REFUNDED),
        ("declined", Refused, Standing.SETTLED),
        ("generalError", Refused, Standing.SETTLED),
        ("communicationError", Refused, Standing.SETTLED),
        ("voided", Unknown, Standing.LIMBO),
        ("settledSuccessfully", Unknown, Standing.LIMBO),
        ("returnedItem", Unknown, Standing.LIMBO),
        ("underReview", Unknown, Standing.LIMBO),
    ],
)
def test_inquiry_about_a_refund(status: str, kind: type[Outcome], standing: Standing) -> None:
    """R17: a refund is final once it has settled; what undid it, or nobody knows, is for a person."""
    own = {"invoiceNumber": str(builders.ANOTHER)}
    asked = builders.inquiry(Operation.REFUND, transaction_id=ID)
    profile = {"customerProfileId": "926000001", "customerPaymentProfileId": "926000002"}
    sighting = look(details(status, order=own, authAmount=None, settleAmount=50.0, profile=profile), asked=asked)
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (kind, standing)
    if isinstance(sighting.outcome, Approved):
        assert sighting.outcome.final is (status == "refundSettledSuccessfully")
        assert sighting.outcome.card_token is None
        assert (sighting.refunded_minor, sighting.outcome.reference) == (5000, str(builders.ANOTHER))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error("E00040"), Absent),
        (error("E00011"), NoAnswer),
        (error("E00053"), NoAnswer),
        ({"messages": OK}, NoAnswer),
        (details(transId="60000000002"), NoAnswer),
        ("<html>", NoAnswer),
    ],
    ids=str,
)
def test_look_up_that_says_nothing(reply: object, kind: type[Sighting]) -> None:
    """E4: only an id that the gateway does not know is absent."""
    assert isinstance(look(reply), kind)
    assert isinstance(look(reply, status=500), NoAnswer)


@pytest.mark.parametrize("reason", [11, 318, 36])
def test_refused_duplicate_of_a_refund(reason: int) -> None:
    """B08, B47: the record of a refund that was refused as a duplicate says nothing of the first one."""
    asked = builders.inquiry(Operation.REFUND, transaction_id=ID)
    own = {"invoiceNumber": str(builders.ANOTHER)}
    sighting = look(details("generalError", order=own, responseReasonCode=reason), asked=asked)
    assert isinstance(sighting, Found)
    assert (type(sighting.outcome), sighting.standing) == (Unknown, Standing.LIMBO)


def test_kept_card_found() -> None:
    """C4: the token of a lost answer is found again."""
    sighting = look(details(profile={"customerProfileId": 926000001, "customerPaymentProfileId": 926000002}))
    assert isinstance(sighting, Found)
    assert isinstance(sighting.outcome, Approved)
    assert sighting.outcome.card_token == "926000001/926000002"


# ---- inquiries by our reference, in the lists

BY_REFERENCE = builders.inquiry()
OTHER = row("60000000002", "2611240000010499999")


def test_found_unsettled() -> None:
    """B13: the one row with our reference leads to the details."""
    assert look(listed(OTHER, row()), NONE_LISTED, DETAILS, asked=BY_REFERENCE) == Found(SEEN, Standing.UNSETTLED)


def test_found_settled() -> None:
    """B13: what is not unsettled is looked for in every settled batch of the time."""
    replies = (NONE_LISTED, batches("1", "2"), listed(OTHER), listed(row()), details("settledSuccessfully"))
    assert look(*replies, asked=BY_REFERENCE) == Found(SEEN, Standing.SETTLED)


def test_found_in_both_lists() -> None:
    """B13: what settles between two looks is one transaction, not two."""
    replies = (listed(row()), batches("1"), listed(row()), details("settledSuccessfully"))
    assert look(*replies, asked=BY_REFERENCE) == Found(SEEN, Standing.SETTLED)


def test_not_listed() -> None:
    """E4: absent is what is in none of the lists."""
    replies = (listed(OTHER), batches("1"), listed(OTHER, OTHER))
    assert look(*replies, asked=BY_REFERENCE) == Absent("not_listed", "not among the 3 of that time")
    assert isinstance(look(NONE_LISTED, NONE_LISTED, asked=BY_REFERENCE), Absent)


def test_two_of_one_reference() -> None:
    """B13: two that may have moved money are for a person, wherever they are listed."""
    for replies in (
        (listed(row(), row("60000000002")), NONE_LISTED),
        (listed(row()), batches("1"), listed(row("60000000002", transactionStatus="settledSuccessfully"))),
    ):
        sighting = look(*replies, asked=BY_REFERENCE)
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Unknown)
        assert (sighting.outcome.code, sighting.standing) == ("found_twice", Standing.LIMBO)
        assert "60000000002" in sighting.outcome.message


@pytest.mark.parametrize("status", ["declined", "generalError", "communicationError"])
def test_the_one_that_may_have_moved_money(status: str) -> None:
    """B13: beside one that moved nothing, a refused repeat say, the other is the one; of none that moved, any."""
    refused = row("60000000002", transactionStatus=status)
    for rows in ((refused, row()), (row(), refused)):
        assert look(listed(*rows), NONE_LISTED, DETAILS, asked=BY_REFERENCE) == Found(SEEN, Standing.UNSETTLED)
    again = row(transactionStatus=status)
    sighting = look(listed(again, refused), NONE_LISTED, details("declined", responseReasonCode=2), asked=BY_REFERENCE)
    assert isinstance(sighting, Found)
    assert sighting.standing is Standing.NOTHING


@pytest.mark.parametrize(
    "replies",
    [
        ("<html>",),
        (error("E00011"),),
        ({"messages": OK},),
        ({"transactions": {"transaction": []}, "messages": OK},),
        ({"transactions": []},),
        (listed(), "<html>"),
        (listed(), error("E00003")),
        (listed(), {"messages": OK}),
        (listed(), {"batchList": [{}], "messages": OK}),
        (listed(), batches(*map(str, range(101))), listed()),
        (listed(), batches("1"), "<html>"),
        (listed(row(transId=None)), NONE_LISTED, details(transId=None)),
        (listed(row()), NONE_LISTED, "<html>"),
        (listed(row()), NONE_LISTED, error("E00040")),
    ],
    ids=range(14),
)
def test_list_that_is_none(replies: tuple[object, ...]) -> None:
    """E4: lists that cannot be read whole, or contradict the details, say nothing."""
    assert isinstance(look(*replies, asked=BY_REFERENCE), NoAnswer)


def test_list_with_pages() -> None:
    """B13: whole pages are read on until a shorter one, or one that is older than the operation."""
    page = listed(*(row(str(number), "2611240000010499999") for number in range(60000001000, 60000001500)))
    found = look(page, listed(row()), NONE_LISTED, DETAILS, asked=BY_REFERENCE)
    assert found == Found(SEEN, Standing.UNSETTLED)
    old = deepcopy(page)
    old["transactions"][-1]["submitTimeUTC"] = f"{datetime.now(UTC) - timedelta(hours=2):%Y-%m-%dT%H:%M:%S}.1Z"
    assert isinstance(look(old, NONE_LISTED, asked=BY_REFERENCE), Absent)
    for row_of, moment in ((-1, "some time"), (0, "2026-01-01T00:00:00Z")):
        unsorted = deepcopy(old)
        unsorted["transactions"][row_of]["submitTimeUTC"] = moment
        assert isinstance(look(unsorted, listed(row()), NONE_LISTED, DETAILS, asked=BY_REFERENCE), Found)


def test_list_without_end() -> None:
    """E4: after so many pages an inquiry gives up for now."""
    page = listed(*(row(str(number), "2611240000010499999") for number in range(60000001000, 60000001500)))
    with Canned(*bodies((page,))) as server:
        sighting = builders.gateway("authorizenet", server.url).inquire(BY_REFERENCE).result
        assert isinstance(sighting, NoAnswer)
        assert (sighting.code, len(server.requests)) == ("too_many", 50)


def test_span_of_batches() -> None:
    """B13: batches are asked for from an hour before the operation began to now, and for 30 days at most."""
    for age, days in ((timedelta(hours=3), 0), (timedelta(days=90), 30)):
        begun = datetime.now(UTC) - age
        with Canned(*bodies((NONE_LISTED,))) as server:
            builders.gateway("authorizenet", server.url).inquire(builders.inquiry(started_at=begun))
            sent = json.loads(server.body())["getSettledBatchListRequest"]
        first, last = (datetime.fromisoformat(sent[f"{name}SettlementDate"]) for name in ("first", "last"))
        assert first == (begun - timedelta(hours=1)).replace(microsecond=0)
        assert (last - first).days == days
        assert list(sent) == ["merchantAuthentication", "firstSettlementDate", "lastSettlementDate"]


# ---- health


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (listed(row()), Healthy()),
        (NONE_LISTED, Healthy()),
        (error("E00007"), Unwell("E00007", "Words.", setup=True)),
        (error("E00011"), Unwell("E00011", "Words.", setup=True)),
        (error("E00053"), Unwell("E00053", "Words.")),
        ({}, Unwell("incomplete", "")),
        ({"messages": OK}, Unwell("incomplete", "the reply gives no transactions")),
    ],
    ids=range(7),
)
def test_health(reply: object, expected: object) -> None:
    """Health: our credentials and rights do for what inquiries need, do not, or nothing is known."""
    with Canned(*bodies((reply,))) as server:
        assert builders.gateway("authorizenet", server.url).health(builders.soon()).result == expected


# ---- what is sent


STORED = {"card": None, "stored_card": "926000001/926000002"}
GOLDEN = Path(__file__).parent / "golden"
OWN_CALLS: dict[str, Callable[[Gateway], object]] = {
    "sale_of_a_kept_card": lambda gateway: gateway.sale(
        builders.sale(keep_card=True, credential=builders.FIRST_OF_SERIES)
    ),
    "sale_by_stored_card": lambda gateway: gateway.sale(builders.sale(credential=builders.OF_SERIES, **STORED)),
    "inquiry_by_id": lambda gateway: gateway.inquire(BY_ID),
    "health": lambda gateway: gateway.health(builders.soon()),
}


@pytest.mark.parametrize("name", OWN_CALLS)
def test_golden(name: str) -> None:
    """E4, C4: kept and stored cards, look-ups by the gateway's id, health: the bytes of the golden files."""
    with Canned("nothing") as server:
        OWN_CALLS[name](builders.gateway("authorizenet", server.url))
        sent = server.sent().replace("\r\n", "\n") + "\n"
    assert sent == (GOLDEN / f"authorizenet_{name}.txt").read_text()


def test_golden_lists() -> None:
    """B13: the lists of an inquiry, one after the other; the dates of the batches apart."""
    with Canned(*bodies((NONE_LISTED, batches("7"), NONE_LISTED))) as server:
        builders.gateway("authorizenet", server.url).inquire(BY_REFERENCE)
        sent = "\n".join(request.decode("ascii").partition("\r\n\r\n")[2] for request in server.requests) + "\n"
    dated = re.sub(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "(date)", sent)
    assert dated == (GOLDEN / "authorizenet_lists.txt").read_text()


def sent_with(**changes: Any) -> dict[str, Any]:
    """The transactionRequest of a sale."""
    with Canned("nothing") as server:
        builders.gateway("authorizenet", server.url).sale(builders.sale(**changes))
        sent: dict[str, Any] = json.loads(server.body())["createTransactionRequest"]["transactionRequest"]
    return sent


def settings_of(sent: dict[str, Any]) -> dict[str, str]:
    """The settings of a transactionRequest."""
    return {one["settingName"]: one["settingValue"] for one in sent["transactionSettings"]["setting"]}


@pytest.mark.parametrize(
    ("credential", "more", "options", "recurring", "network"),
    [
        (None, {}, "", False, False),
        (builders.FIRST, {"keep_card": True}, "isFirstSubsequentAuth", False, False),
        (builders.FIRST_OF_SERIES, {"keep_card": True}, "isFirstRecurringPayment", False, False),
        (builders.AGAIN, {}, "isStoredCredentials", False, False),
        (builders.AGAIN, STORED, "isStoredCredentials", False, False),
        (builders.AGAIN_FOR_SERIES, STORED, "isFirstRecurringPayment isStoredCredentials", False, False),
        (builders.UNKNOWN_TO_NETWORK, {"keep_card": True}, "isSubsequentAuth", False, False),
        (builders.UNATTENDED, {}, "isSubsequentAuth", False, True),
        (builders.OF_SERIES, STORED, "isSubsequentAuth", True, True),
    ],
)
def test_indicators(
    credential: StoredCredential | None, more: dict[str, Any], options: str, recurring: bool, network: bool
) -> None:
    """C4: what the networks want to know of a kept card is told; with nobody there, no code is sent."""
    sent = sent_with(credential=credential, **more)
    assert sent.get("processingOptions", {}) == dict.fromkeys(options.split(), True)
    assert settings_of(sent).get("recurringBilling") == ("true" if recurring else None)
    expected = (
        {"originalNetworkTransId": builders.NETWORK_REFERENCE, "originalAuthAmount": "61.50"} if network else None
    )
    assert sent.get("subsequentAuthInformation") == expected
    if "payment" in sent:
        attended = credential is None or not credential.unattended
        assert ("cardCode" in sent["payment"]["creditCard"]) is attended


def test_every_sale_has_the_longest_window() -> None:
    """E4: the duplicate window is part of what is compared, so it is always the same; a part is never approved."""
    for told in ({}, STORED, {"credential": builders.UNATTENDED}, {"keep_card": True}):
        settings = settings_of(sent_with(**told))
        assert (settings["duplicateWindow"], settings["allowPartialAuth"]) == ("28800", "false")


def test_hostile_texts() -> None:
    """B16: whatever is in the texts, it stays in its member, in printable ASCII and as long as it may be."""
    card = replace(builders.CARD, name='Zoë "Zo" Ångström \u0416', street='"}, "amount": "1.00' * 9, city="a&b<c>\r\n")
    sent = sent_with(card=card, invoice_number='x", "y' * 99)
    assert sent["amount"] == "118.50"
    assert (sent["billTo"]["firstName"], sent["billTo"]["lastName"]) == ("Zoe Zo", "Angstrom")
    assert sent["billTo"]["city"] == "a&b<c>"
    assert (len(sent["billTo"]["address"]), len(sent["order"]["description"])) == (60, 254)


# ---- evidence and secrets


def test_evidence() -> None:
    """C3: evidence is kept by allow-list, with our reference whole."""
    with Canned(*bodies((approval(surprise="4111111111111111", accountNumber="4111111111111111"),))) as server:
        seen = builders.gateway("authorizenet", server.url).sale(SALE).evidence
    assert seen.http_status == 200
    assert seen.said["refId"] == builders.ORDER
    assert seen.said["transactionResponse.transId"] == ID
    assert "transactionResponse.surprise" not in seen.said
    assert builders.NUMBER not in repr(seen)


def test_evidence_of_several_requests() -> None:
    """C3: what the details said stands beside what the answer said."""
    with Canned(*bodies((DUPLICATE, DETAILS))) as server:
        seen = builders.gateway("authorizenet", server.url).sale(SALE).evidence
    assert seen.said["transactionResponse.errors.0.errorCode"] == "11"
    assert seen.said["original.transaction.order.invoiceNumber"] == builders.ORDER
    with Canned(*bodies((listed(row()), NONE_LISTED, DETAILS))) as server:
        seen = builders.gateway("authorizenet", server.url).inquire(BY_REFERENCE).evidence
    assert (seen.said["listed"], seen.said["matching"]) == ("1", "1")
    assert seen.said["transaction.transId"] == ID


@pytest.mark.parametrize("name", ["cardCode", "cardNumber", "transactionKey"])
def test_error_that_repeats_what_was_sent(name: str) -> None:
    """B61: the schema's complaints repeat a value that was sent; it is in no message and no evidence."""
    value = {"cardCode": builders.CODE, "cardNumber": builders.NUMBER, "transactionKey": "sandbox-secret"}[name]
    text = (
        f"The 'AnetApi/xml/v1/schema/AnetApiSchema.xsd:{name}' element is invalid - The value '{value}' is invalid"
        " according to its datatype 'String' - The actual length is greater than the MaxLength value."
    )
    with Canned(*bodies((error("E00003", text),))) as server:
        reply = builders.gateway("authorizenet", server.url).sale(SALE)
    assert isinstance(reply.result, Failed)
    assert f":{name}" in reply.result.message
    assert value not in repr(reply)
