"""Authorize.Net as its sheet describes it: order of members, duplicates, triggers, void, refund, lists, profiles."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from sandbox.client import SandboxClient, edit, foreign
from sandbox.client import answer as verdict
from tests.sandbox.speak import VISA, Line

PATH = "/authorizenet/xml/v1/request.api"
LOGIN = {"name": "sandbox", "transactionKey": "sandbox-secret"}
MARK = b"\xef\xbb\xbf"
REFERENCE = "2611240000010410101"
ANOTHER = "2611240000010410102"
WINDOW = [
    {"settingName": "allowPartialAuth", "settingValue": "false"},
    {"settingName": "duplicateWindow", "settingValue": "28800"},
]


def ask(url: str, kind: str, login: Mapping[str, str] = LOGIN, **members: Any) -> dict[str, Any]:
    """Send one request on a connection of its own and return the answer, which is behind a byte order mark."""
    return send(url, {kind: {"merchantAuthentication": login, **members}})


def send(url: str, request: object) -> dict[str, Any]:
    """Send any body."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    with Line(url) as line:
        line.send(PATH, body, {"Content-Type": "application/json"})
        answer = line.read()
    assert answer.status == 200
    assert answer.body.startswith(MARK)
    told: dict[str, Any] = json.loads(answer.body.decode("utf-8-sig"))
    return told


def transact(url: str, reference: str = REFERENCE, **members: Any) -> dict[str, Any]:
    """A createTransactionRequest."""
    return ask(url, "createTransactionRequest", refId=reference, transactionRequest=members)


def request(reference: str = REFERENCE, **changes: Any) -> dict[str, Any]:
    """The members of the sheet's sale; None takes one out."""
    members: dict[str, Any] = {
        "transactionType": "authCaptureTransaction",
        "amount": "125.50",
        "payment": {"creditCard": {"cardNumber": VISA, "expirationDate": "2029-12", "cardCode": "900"}},
        "profile": None,
        "order": {"invoiceNumber": reference, "description": "INV-1041"},
        "customer": {"id": "c77"},
        "billTo": {
            "firstName": "Ada",
            "lastName": "Example",
            "address": "1 Test St",
            "city": "Anytown",
            "state": "NY",
            "zip": "10001",
            "country": "US",
        },
        "transactionSettings": {"setting": WINDOW},
    }
    return {name: value for name, value in (members | changes).items() if value is not None}


def sale(url: str, reference: str = REFERENCE, **changes: Any) -> dict[str, Any]:
    """The sheet's sale."""
    return transact(url, reference, **request(reference, **changes))


def by_card(number: str, code: str = "900", expiry: str = "2029-12") -> dict[str, Any]:
    """Another card."""
    return {"creditCard": {"cardNumber": number, "expirationDate": expiry, "cardCode": code}}


def void(url: str, transaction_id: str) -> dict[str, Any]:
    """The void of a transaction."""
    return transact(url, ANOTHER, transactionType="voidTransaction", refTransId=transaction_id)


def refund(
    url: str, transaction_id: str, amount: str = "125.50", last_four: str = "1111", reference: str = ANOTHER
) -> dict[str, Any]:
    """The refund of a transaction."""
    return transact(
        url,
        reference,
        transactionType="refundTransaction",
        amount=amount,
        payment={"creditCard": {"cardNumber": last_four, "expirationDate": "XXXX"}},
        refTransId=transaction_id,
        order={"invoiceNumber": reference},
        transactionSettings={"setting": WINDOW},
    )


def said(answer: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict and its reason."""
    told = answer["transactionResponse"]
    [row] = told.get("errors") or told["messages"]
    return told["responseCode"], row.get("errorCode") or row["code"]


def code(answer: Mapping[str, Any]) -> str:
    """The code of the whole reply."""
    return str(answer["messages"]["message"][0]["code"])


def details(url: str, transaction_id: str) -> dict[str, Any]:
    """A transaction's details."""
    told: dict[str, Any] = ask(url, "getTransactionDetailsRequest", transId=transaction_id)["transaction"]
    return told


def unsettled(url: str, limit: int = 1000, offset: int = 1, status: str = "any") -> dict[str, Any]:
    """A page of the list of unsettled transactions."""
    sorting = {"orderBy": "submitTimeUTC", "orderDescending": True}
    paging = {"limit": limit, "offset": offset}
    return ask(url, "getUnsettledTransactionListRequest", status=status, sorting=sorting, paging=paging)


def of(answer: Mapping[str, Any]) -> str:
    """The transaction's id."""
    return str(answer["transactionResponse"]["transId"])


# ---- the sale, and the form of a request


def test_the_documented_sale_gets_the_documented_answer(url: str, control: SandboxClient) -> None:
    """The sheet's sample request is answered with all that its sample answer says."""
    answer = sale(url)
    told = answer["transactionResponse"]
    expected = {
        "responseCode": "1",
        "avsResultCode": "Y",
        "cvvResultCode": "M",
        "refTransID": "",
        "accountNumber": "XXXX1111",
        "accountType": "Visa",
        "messages": [{"code": "1", "description": "This transaction has been approved."}],
    }
    assert {name: told[name] for name in expected} == expected
    assert told["transId"].isdigit()
    assert answer["refId"] == REFERENCE
    assert answer["messages"] == {"resultCode": "Ok", "message": [{"code": "I00001", "text": "Successful."}]}
    assert control.card(VISA).net == 12550


def test_order_counts(url: str, control: SandboxClient) -> None:
    """A member out of place is E00003 with the schema's words, and nothing is charged."""
    members = request()
    amount = members.pop("amount")
    answer = transact(url, **members, amount=amount)
    assert (code(answer), "transactionResponse" in answer) == ("E00003", False)
    text = answer["messages"]["message"][0]["text"]
    assert text.startswith(
        "The element 'transactionRequest' in namespace 'AnetApi/xml/v1/schema/AnetApiSchema.xsd' has"
    )
    assert "invalid child element 'amount'" in text
    assert control.transactions() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": "1"},
        {"order": {"description": "x", "invoiceNumber": REFERENCE}},
        {"order": {"invoiceNumber": REFERENCE + "00"}},
        {"billTo": {"lastName": "Example", "firstName": "Ada"}},
        {"payment": {"creditCard": {"expirationDate": "2029-12", "cardNumber": VISA}}},
        {"payment": by_card("4" * 17)},
        {"transactionSettings": {"setting": [{"settingValue": "1", "settingName": "duplicateWindow"}]}},
        {"transactionType": "giveTransaction"},
        {"order": "INV-1"},
    ],
    ids=str,
)
def test_form(url: str, control: SandboxClient, changes: dict[str, Any]) -> None:
    """What the schema does not have, has elsewhere or has shorter is refused before the login is looked at."""
    assert code(sale(url, **changes)) == "E00003"
    assert control.transactions() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"a": 1, "b": 2}', b"<xml/>"])
def test_no_request(url: str, body: bytes) -> None:
    """What is no object with one member is E00003 too."""
    assert code(send(url, body)) == "E00003"


def test_login(url: str) -> None:
    """Wrong credentials are E00007 for every request; right ones pass the test of them."""
    wrong = {**LOGIN, "transactionKey": "wrong"}
    for kind in ("authenticateTestRequest", "getUnsettledTransactionListRequest"):
        assert code(ask(url, kind, wrong)) == "E00007"
    assert code(ask(url, "createTransactionRequest", wrong, transactionRequest=request())) == "E00007"
    assert code(ask(url, "authenticateTestRequest")) == "I00001"
    with Line(url) as line:
        line.send(PATH, b"", {})
        assert line.read().status == 200


# ---- triggers


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("4000000000000002", ("2", "2")),
        ("4000000000009995", ("2", "2")),
        ("4000000000006975", ("2", "2")),
        ("4000000000000101", ("2", "3")),
        ("4000000000009987", ("2", "4")),
        ("4000000000009979", ("2", "4")),
        ("4000000000000069", ("3", "8")),
        ("4000000000000127", ("2", "44")),
        ("4000000000000051", ("2", "37")),
        ("4000000000000911", ("3", "22")),
        ("4000000000000119", ("3", "19")),
        ("4100000000000019", ("2", "251")),
        ("4000000000009235", ("4", "252")),
        ("4007000000027", ("1", "1")),
        ("370000000000002", ("1", "1")),
        ("3088000000000017", ("1", "1")),
    ],
)
def test_cards(url: str, control: SandboxClient, number: str, expected: tuple[str, str]) -> None:
    """Each test card has its verdict and reason; only an approved one is charged."""
    assert said(sale(url, payment=by_card(number))) == expected
    assert control.card(number).charged == (1 if expected[0] == "1" else 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"billTo": {"zip": "46282"}}, ("2", "2")),
        ({"amount": "0.00"}, ("3", "5")),
        ({"amount": "-1.00"}, ("3", "5")),
        ({"amount": "1.234"}, ("3", "5")),
        ({"payment": by_card("4111111111111112")}, ("3", "6")),
        ({"payment": by_card(VISA, expiry="2029-13")}, ("3", "7")),
        ({"payment": by_card(VISA, expiry="soon")}, ("3", "7")),
        ({"payment": by_card(VISA, expiry="01/2020")}, ("3", "8")),
        ({"payment": by_card(VISA, "12")}, ("3", "78")),
    ],
    ids=str,
)
def test_documented_triggers(
    url: str, control: SandboxClient, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    """ZIP codes and wrong data: each has its reason, and charges nothing; wrong data leave no transaction."""
    answer = sale(url, **changes)
    assert said(answer) == expected
    assert (of(answer) == "0") is (expected[0] == "3")
    assert control.card(VISA).charged == 0


@pytest.mark.parametrize(("zip_code", "avs"), [("46201", "A"), ("46205", "N"), ("46214", "X"), ("46217", "Z")])
def test_address_results(url: str, zip_code: str, avs: str) -> None:
    """A ZIP code gives its address result."""
    assert sale(url, billTo={"zip": zip_code})["transactionResponse"]["avsResultCode"] == avs


@pytest.mark.parametrize(("card_code", "cvv"), [("900", "M"), ("901", "N"), ("902", "S"), ("903", "U"), ("904", "P")])
def test_code_results(url: str, card_code: str, cvv: str) -> None:
    """A card code gives its result."""
    assert sale(url, payment=by_card(VISA, card_code))["transactionResponse"]["cvvResultCode"] == cvv


def test_part_of_a_prepaid_card(url: str, control: SandboxClient) -> None:
    """A ZIP code approves a part where that is allowed, and declines where it is not."""
    assert said(sale(url, billTo={"zip": "46226"})) == ("2", "2")
    allowed = [{"settingName": "allowPartialAuth", "settingValue": "true"}]
    answer = sale(url, ANOTHER, billTo={"zip": "46226"}, transactionSettings={"setting": allowed})
    assert said(answer) == ("4", "295")
    assert answer["transactionResponse"]["prepaidCard"]["approvedAmount"] == "1.23"
    assert control.card(VISA).net == 123


def test_review(url: str, control: SandboxClient) -> None:
    """A held sale waits for a person, whose yes or no the details tell."""
    for reference, decision, status in (
        (REFERENCE, "accept", "capturedPendingSettlement"),
        (ANOTHER, "reject", "failedReview"),
    ):
        held = of(sale(url, reference, payment=by_card("4000000000009235")))
        assert details(url, held)["transactionStatus"] == "FDSPendingReview"
        assert len(unsettled(url, status="pendingApproval")["transactions"]) == 1
        control.review(decision, reference=reference)
        assert details(url, held)["transactionStatus"] == status


# ---- duplicates


def test_duplicate(url: str, control: SandboxClient) -> None:
    """The same again is reason 11 with the original's id and authorization code, under E00027."""
    first, again = sale(url), sale(url)
    assert (said(again), code(again)) == (("3", "11"), "E00027")
    assert of(again) == of(first)
    assert again["transactionResponse"]["authCode"] == first["transactionResponse"]["authCode"] != ""
    assert control.card(VISA).charged == 1


def test_declined_duplicate(url: str) -> None:
    """A declined original counts as well; it has no authorization code."""
    declined: dict[str, Any] = {"payment": by_card("4000000000009995")}
    first, again = sale(url, **declined), sale(url, **declined)
    assert said(again) == ("3", "11")
    assert (of(again), again["transactionResponse"]["authCode"]) == (of(first), "")


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "125.51"},
        {"order": {"invoiceNumber": ANOTHER}},
        {"customer": {"id": "c78"}},
        {"billTo": {"zip": "10001"}},
        {"payment": by_card(VISA, expiry="2030-01")},
        {"transactionType": "authOnlyTransaction"},
        {"transactionSettings": {"setting": [{"settingName": "duplicateWindow", "settingValue": "28799"}]}},
    ],
    ids=str,
)
def test_what_is_compared(url: str, changes: dict[str, Any]) -> None:
    """Any difference in what is compared, the window itself included, makes a new transaction."""
    assert of(sale(url, **changes)) != of(sale(url))


def test_what_is_not_compared(url: str) -> None:
    """The security code and the description are not."""
    sale(url)
    other: dict[str, Any] = {
        "payment": by_card(VISA, "901"),
        "order": {"invoiceNumber": REFERENCE, "description": "other"},
    }
    assert said(sale(url, **other)) == ("3", "11")


def test_duplicate_without_the_window(url: str, control: SandboxClient) -> None:
    """Without the field the window is two minutes, and the answer says nothing of the original."""
    sale(url, transactionSettings=None)
    again = sale(url, transactionSettings=None)
    assert said(again) == ("3", "11")
    assert (of(again), again["transactionResponse"]["authCode"]) == ("0", "")
    control.advance(121)
    assert said(sale(url, transactionSettings=None)) == ("1", "1")


def test_after_the_window(url: str, control: SandboxClient) -> None:
    """After eight hours nothing protects; until the last second everything does."""
    sale(url)
    control.advance(28_790)
    assert said(sale(url)) == ("3", "11")
    control.advance(20)
    assert said(sale(url)) == ("1", "1")
    assert said(sale(url)) == ("3", "11")
    assert control.card(VISA).charged == 2


# ---- void, capture, refund


def test_void(url: str, control: SandboxClient) -> None:
    """R11: done before the sweep and once; refused with 327 while it settles, with 16 afterwards or of nothing."""
    sold = of(sale(url))
    done = void(url, sold)
    assert (said(done), of(done), done["refId"]) == (("1", "1"), sold, ANOTHER)
    assert said(void(url, sold)) == ("1", "310")
    assert details(url, sold)["transactionStatus"] == "voided"
    assert control.card(VISA).standing == 0
    other = of(sale(url, ANOTHER))
    control.settle(stop_at="settling")
    assert said(void(url, other)) == ("3", "327")
    assert details(url, other)["transactionStatus"] == "pendingSettlement"
    control.settle()
    assert said(void(url, other)) == ("3", "16")
    assert said(void(url, "60999999999")) == ("3", "16")
    assert control.card(VISA).net == 12550


def test_authorization_and_capture(url: str, control: SandboxClient) -> None:
    """The capture keeps the authorization's id, is made once, and of no more than was authorized."""
    authorized = of(sale(url, transactionType="authOnlyTransaction"))
    assert details(url, authorized)["transactionStatus"] == "authorizedPendingCapture"

    def capture(amount: str) -> dict[str, Any]:
        return transact(
            url, ANOTHER, transactionType="priorAuthCaptureTransaction", amount=amount, refTransId=authorized
        )

    assert said(capture("125.51")) == ("3", "47")
    assert control.card(VISA).net == 0
    done = capture("100.00")
    assert (said(done), of(done)) == (("1", "1"), authorized)
    assert said(capture("100.00")) == ("1", "311")
    told = details(url, authorized)
    assert (told["transactionStatus"], told["settleAmount"], told["authAmount"]) == (
        "capturedPendingSettlement",
        100.0,
        125.5,
    )
    assert control.card(VISA).net == 10000
    void(url, authorized)
    assert details(url, authorized)["transactionStatus"] == "voided"
    assert control.card(VISA).standing == 0
    assert said(capture("100.00")) == ("3", "16")


def test_refund(url: str, control: SandboxClient) -> None:
    """R17: after settlement, to the card's last four digits, in parts up to the sale, for 120 days."""
    sold = of(sale(url))
    assert said(refund(url, sold)) == ("3", "54")
    control.settle(stop_at="settling")
    assert said(refund(url, sold)) == ("3", "50")
    control.settle()
    assert said(refund(url, sold, last_four="0015")) == ("3", "54")
    assert said(refund(url, "60999999999")) == ("3", "16")
    part = refund(url, sold, "100.00")
    assert said(part) == ("1", "1")
    assert said(refund(url, sold, "100.00")) == ("3", "11")
    assert said(refund(url, sold, "25.51", reference=f"{ANOTHER}1")) == ("3", "55")
    assert said(refund(url, sold, "25.50", reference=f"{ANOTHER}2")) == ("1", "1")
    assert control.card(VISA).net == 0
    told = details(url, of(part))
    assert (told["transactionStatus"], told["refTransId"]) == ("refundPendingSettlement", sold)
    control.settle()
    assert details(url, of(part))["transactionStatus"] == "refundSettledSuccessfully"


def test_refund_after_120_days(url: str, control: SandboxClient) -> None:
    """R17: later it is reason 54."""
    sold = of(sale(url))
    control.settle()
    control.advance(timedelta(days=119).total_seconds())
    assert said(refund(url, sold, "1.00")) == ("1", "1")
    control.advance(timedelta(days=2).total_seconds())
    assert said(refund(url, sold, "1.00", reference=f"{ANOTHER}1")) == ("3", "54")


def test_void_of_a_refund(url: str, control: SandboxClient) -> None:
    """R11: a refund that has not settled can be voided itself."""
    sold = of(sale(url))
    control.settle()
    returned = of(refund(url, sold))
    assert said(void(url, returned)) == ("1", "1")
    assert details(url, returned)["transactionStatus"] == "voided"
    assert control.card(VISA).net == 12550


# ---- details and lists


def test_details_of_nothing(url: str) -> None:
    """An id that is not known is E00040."""
    assert code(ask(url, "getTransactionDetailsRequest", transId="60999999999")) == "E00040"


def test_unsettled_list(url: str, control: SandboxClient) -> None:
    """It holds declined and voided ones too, newest first, in pages from 1; none is I00004."""
    assert code(unsettled(url)) == "I00004"
    ids = [of(sale(url, f"{REFERENCE[:-1]}{number}")) for number in range(3)]
    ids.append(of(sale(url, ANOTHER, payment=by_card("4000000000009995"))))
    void(url, ids[0])
    told = unsettled(url)
    assert [one["transId"] for one in told["transactions"]] == ids[::-1]
    assert [one["transactionStatus"] for one in told["transactions"]] == [
        "declined",
        "capturedPendingSettlement",
        "capturedPendingSettlement",
        "voided",
    ]
    assert told["transactions"][0]["invoiceNumber"] == ANOTHER
    assert [one["transId"] for one in unsettled(url, 3, 2)["transactions"]] == [ids[0]]
    assert code(unsettled(url, 3, 3)) == "I00004"
    assert code(unsettled(url, 1001)) == "E00003"
    control.settle()
    assert len(unsettled(url)["transactions"]) == 2


def test_settled_batches(url: str, control: SandboxClient) -> None:
    """What was settled is listed by its batch, the batches by their day, at most 31 of them at once."""
    sold = of(sale(url))
    first = (control.now() - timedelta(hours=1)).isoformat()
    control.settle()

    def listed(since: str, days: int = 1) -> dict[str, Any]:
        last = (control.now() + timedelta(days=days)).isoformat()
        return ask(url, "getSettledBatchListRequest", firstSettlementDate=since, lastSettlementDate=last)

    [batch] = listed(first)["batchList"]
    told = ask(
        url,
        "getTransactionListRequest",
        batchId=batch["batchId"],
        sorting={"orderBy": "submitTimeUTC", "orderDescending": True},
        paging={"limit": 10, "offset": 1},
    )
    assert [one["transId"] for one in told["transactions"]] == [sold]
    assert told["transactions"][0]["transactionStatus"] == "settledSuccessfully"
    assert details(url, sold)["batch"]["batchId"] == batch["batchId"]
    assert code(listed(control.now().isoformat())) in ("I00001", "I00004")
    assert code(listed((control.now() + timedelta(hours=1)).isoformat())) == "I00004"
    assert code(listed(first, 40)) == "E00003"
    assert code(ask(url, "getTransactionListRequest", batchId="999999")) == "I00004"


def test_settles_each_day(url: str, control: SandboxClient) -> None:
    """Once a day by the sandbox's clock everything that was captured settles."""
    sold = of(sale(url))
    control.advance(86_400)
    assert details(url, sold)["transactionStatus"] == "settledSuccessfully"


# ---- profiles


def test_profile(url: str, control: SandboxClient) -> None:
    """C4: a sale makes a profile for a customer with an id; a later sale charges its card; without an id, none."""
    kept = sale(url, profile={"createProfile": True})["profileResponse"]
    token = {
        "customerProfileId": kept["customerProfileId"],
        "paymentProfile": {"paymentProfileId": kept["customerPaymentProfileIdList"][0]},
    }
    assert said(sale(url, ANOTHER, payment=None, billTo=None, profile=token)) == ("1", "1")
    assert control.card(VISA).charged == 2
    wrong = {**token, "customerProfileId": "1"}
    assert code(sale(url, f"{ANOTHER}1", payment=None, billTo=None, profile=wrong)) == "E00040"
    nameless = sale(url, f"{ANOTHER}2", profile={"createProfile": True}, customer=None)
    assert said(nameless) == ("1", "1")
    assert nameless["profileResponse"]["messages"]["resultCode"] == "Error"


# ---- scenarios and the request log


def test_verdicts(url: str, control: SandboxClient) -> None:
    """A scenario imposes a reason, booked or only said, or a code of the whole reply."""
    control.scenario(before=[verdict("253", "Held.")], operation="sale")
    assert said(sale(url)) == ("4", "253")
    control.scenario(after=[verdict("2")], operation="sale")
    answer = sale(url, ANOTHER)
    assert answer["transactionResponse"]["errors"][0]["errorCode"] == "2"
    assert control.card(VISA).charged == 1
    control.scenario(before=[verdict("E00053")], times=0)
    assert code(sale(url, f"{ANOTHER}1")) == "E00053"
    assert code(ask(url, "authenticateTestRequest")) == "E00053"
    control.clear()
    control.scenario(before=[verdict("16")], operation="void")
    assert said(void(url, of(answer))) == ("3", "16")


def test_edit_and_foreign(url: str, control: SandboxClient) -> None:
    """An answer is edited by dotted paths; another transaction's is given as a duplicate."""
    control.scenario(
        after=[edit({"transactionResponse.messages.0.code": "7", "refId": None, "a.0.b": "c"})], operation="sale"
    )
    answer = sale(url)
    assert (said(answer), "refId" in answer, answer["a"]) == (("1", "7"), False, [{"b": "c"}])
    control.scenario(before=[foreign(of(answer))], operation="sale")
    given = sale(url, ANOTHER)
    assert (said(given), of(given), given["refId"]) == (("3", "11"), of(answer), ANOTHER)
    assert len(control.transactions()) == 1


def test_request_log_shows_no_secret(url: str, control: SandboxClient) -> None:
    """Card number, code and transaction key are masked in what is shown of a request."""
    sale(url, payment=by_card(VISA, "9021"))
    [seen] = control.requests()
    assert (seen.operation, seen.reference) == ("sale", REFERENCE)
    for secret in (VISA, "9021", "sandbox-secret"):
        assert secret not in seen.body
    assert "************1111" in seen.body


@pytest.mark.parametrize(
    "wrong",
    [
        {"processingOptions": {"isSubsequentAuth": "yes"}},
        {"subsequentAuthInformation": {"originalNetworkTransId": "016153570198200", "reason": "recurring"}},
        {"subsequentAuthInformation": {"originalNetworkTransId": "016153570198200", "originalAuthAmount": "61,50"}},
    ],
    ids=str,
)
def test_what_is_told_of_a_stored_card_has_the_schemas_types(
    url: str, control: SandboxClient, wrong: dict[str, Any]
) -> None:
    """E00003, nothing charged: a word that is no Boolean, a reason that the enumeration does not know, no amount."""
    assert sale(url, **wrong)["messages"]["message"][0]["code"] == "E00003"
    assert control.card(VISA).charged == 0


def test_what_was_told_of_a_stored_card_stands_in_the_books(url: str, control: SandboxClient) -> None:
    """Who began it, first or later, what was agreed, and the sale that it refers to with its amount."""
    first = {"originalNetworkTransId": "016153570198200", "originalAuthAmount": "61.50", "reason": "resubmission"}
    sale(url, processingOptions={"isSubsequentAuth": True}, subsequentAuthInformation=first)
    told = control.transaction(operation="sale").credential
    assert told == "merchant subsequent unscheduled after 016153570198200 of 61.50"
