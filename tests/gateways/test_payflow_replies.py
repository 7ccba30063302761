"""What Payflow's replies prove: the samples of its guides, and replies bent in every way known from the field."""

from __future__ import annotations

import pytest

from gateways.contract import Inquiry, Operation, Refund, Sale, Void
from gateways.payflow import custref
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
from tests.gateways.builders import PNREF
from tests.gateways.canned import Canned

CUSTREF = custref(builders.REFERENCE)
APPROVED = (
    f"RESULT=0&PNREF={PNREF}&RESPMSG=Approved&AUTHCODE=182PNI&AVSADDR=Y&AVSZIP=Y&CVV2MATCH=Y&HOSTCODE=A&PROCAVS=Y"
    "&PROCCVV2=M&TRANSTIME=2026-03-02 10:15:07&AMT=118.50&ACCT=1111&EXPDATE=1230&CARDTYPE=0&IAVS=N"
)
FOUND = (
    f"RESULT=0&PNREF=A10A7C3E5200&RESPMSG=Approved&AUTHCODE=182PNI&ORIGRESULT=0&ORIGPNREF={PNREF}&TRANSSTATE=6"
    f"&DATE_TO_SETTLE=2026-03-03 02:00:00&CUSTREF={CUSTREF}"
)


def answer(reply: str, asked: Sale | Void | Refund | None = None, **how: object) -> Outcome:
    """What `reply` proves, as an answer to `asked` (the usual sale)."""
    with Canned(reply, **how) as server:  # type: ignore[arg-type]
        gateway = builders.gateway("payflow", server.url)
        match asked:
            case Void():
                return gateway.void(asked).result
            case Refund():
                return gateway.refund(asked).result
            case _:
                return gateway.sale(asked or builders.sale()).result


def look(reply: str, asked: Inquiry | None = None) -> Sighting:
    """What `reply` proves, as an answer to an inquiry for the usual sale."""
    with Canned(reply) as server:
        return builders.gateway("payflow", server.url).inquire(asked or builders.inquiry()).result


# ---- approved


def test_approved() -> None:
    """R18: an approval carries what the reply repeats, for the caller to compare."""
    assert answer(APPROVED) == Approved(
        PNREF, "0", "Approved", approval_code="182PNI", amount_minor=11850, card_token=PNREF
    )


@pytest.mark.parametrize(
    ("change", "amount_minor", "currency", "reference"),
    [
        (("AMT=118.50", "AMT=11.85"), 1185, None, None),
        (("&IAVS=N", "&CURRENCY=CAD"), 11850, "CAD", None),
        (("&IAVS=N", "&CUSTREF=ZZZZZZZZZZZZ"), 11850, None, "ZZZZZZZZZZZZ"),
        (("Approved", "Partial Approval"), 11850, None, None),
    ],
)
def test_approval_of_something_else(
    change: tuple[str, str], amount_minor: int, currency: str | None, reference: str | None
) -> None:
    """R18: another amount, currency or reference is handed on as the gateway repeated it."""
    outcome = answer(APPROVED.replace(*change))
    assert isinstance(outcome, Approved)
    assert (outcome.amount_minor, outcome.currency, outcome.reference) == (amount_minor, currency, reference)


@pytest.mark.parametrize("change", [("AMT=118.50", "AMT=lots"), ("AMT=118.50", "AMT="), (PNREF, ""), (PNREF, "A10A7C")])
def test_approval_that_is_cut(change: tuple[str, str]) -> None:
    """E3: an approval whose id or amount cannot be read proves nothing."""
    assert isinstance(answer(APPROVED.replace(*change)), Unknown)


# ---- duplicates


def test_duplicate_of_this_operation() -> None:
    """E4: a re-send is answered with the first reply and a flag, and counts as that."""
    outcome = answer(f"{APPROVED}&DUPLICATE=1")
    assert isinstance(outcome, Approved)
    assert outcome.transaction_id == PNREF


@pytest.mark.parametrize(
    "reply",
    [
        "RESULT=0&PNREF=OLD100000001&RESPMSG=Approved&DUPLICATE=1",
        f"{APPROVED.replace('AMT=118.50', 'AMT=75.00')}&DUPLICATE=1",
        f"{APPROVED.replace('ACCT=1111', 'ACCT=4242')}&DUPLICATE=1",
        f"{APPROVED}&CUSTREF=ZZZZZZZZZZZZ&DUPLICATE=1",
        f"{APPROVED.replace('AMT=118.50', 'AMT=75.00')}&DUPLICATE=2",
        "RESULT=12&PNREF=OLD100000001&RESPMSG=Declined&AMT=75.00&DUPLICATE=1",
    ],
)
def test_duplicate_of_another_operation(reply: str) -> None:
    """B08: a duplicate that is not proven to be this operation's earlier send is neither its yes nor its no."""
    outcome = answer(reply)
    assert isinstance(outcome, Unknown)
    assert outcome.code == "duplicate_of_other"


def test_duplicate_check_unavailable() -> None:
    """B08: where the gateway could not check for duplicates, RESULT counts and the flag stays in the evidence."""
    with Canned(f"{APPROVED}&DUPLICATE=-1") as server:
        reply = builders.gateway("payflow", server.url).sale(builders.sale())
    assert isinstance(reply.result, Approved)
    assert reply.evidence.said["DUPLICATE"] == "-1"


def test_duplicate_found_by_the_processor() -> None:
    """B10: RESULT 30 says that an equal sale exists: never a decline."""
    assert isinstance(answer("RESULT=30&PNREF=A10A7C3E51D2&RESPMSG=Duplicate trans"), Unknown)


def test_reply_to_another_request() -> None:
    """B78: a reply that carries another request's id proves nothing about this one."""
    outcome = answer(APPROVED, headers="X-VPS-REQUEST-ID: 8f14e45fceea167a5a36dedd4bea2543\r\n")
    assert isinstance(outcome, Unknown)
    assert outcome.code == "other_reply"


# ---- declined, failed, unknown: the code table

DECLINES = {
    DeclineClass.SOFT_GENERIC: "12",
    DeclineClass.SOFT_DATED: "50 51",
    DeclineClass.SOFT_TECHNICAL: "151",
    DeclineClass.NEW_DATA: "23 24 112 114",
    DeclineClass.OTHER_WAY: "13 117",
    DeclineClass.HARD: "125 128",
}
FAILURES = {
    FailureClass.GATEWAY_SETUP: "1 5 14 26 27 28 131",
    FailureClass.REFUSED: "2 3 4 6 7 8 9 10 19 25 29 52 100 101 110 111 118 120 121 200 201",
    FailureClass.BUSY: "102 106 115 116 402",
}
UNKNOWN = "11 30 36 99 103 104 107 109 119 133 150 403 404 600 601 1000 -12 -9 9999 00 nonsense"


@pytest.mark.parametrize(("decline", "code"), [(c, code) for c, codes in DECLINES.items() for code in codes.split()])
def test_declined(decline: DeclineClass, code: str) -> None:
    """R16: each decline has its class, its raw code and the network's advice."""
    reply = f"RESULT={code}&PNREF={PNREF}&RESPMSG=Declined&PAYMENTADVICECODE=02"
    assert answer(reply) == Declined(decline, code, "Declined", PNREF, "02")


@pytest.mark.parametrize(("failure", "code"), [(c, code) for c, codes in FAILURES.items() for code in codes.split()])
def test_failed(failure: FailureClass, code: str) -> None:
    """E3: an answer that the transaction was not made, by whose fault it was not."""
    assert answer(f"RESULT={code}&PNREF={PNREF}&RESPMSG=No") == Failed(failure, code, "No")


@pytest.mark.parametrize("code", UNKNOWN.split())
def test_unknown(code: str) -> None:
    """E3: a code that may stand for a charge, or that no table lists, is looked up (133: the first send may stand)."""
    outcome = answer(f"RESULT={code}&PNREF={PNREF}&RESPMSG=Hm")
    assert isinstance(outcome, Unknown)
    assert (outcome.code, outcome.transaction_id) == (code, PNREF)


@pytest.mark.parametrize("code", ["126", "127"])
def test_held(code: str) -> None:
    """B22: under review is neither yes nor no."""
    assert answer(f"RESULT={code}&PNREF={PNREF}&RESPMSG=Under review") == Held(PNREF, code, "Under review")


@pytest.mark.parametrize(
    ("result", "host_code", "decline", "code"),
    [
        ("12", "51", DeclineClass.SOFT_DATED, "51"),
        ("12", "41", DeclineClass.HARD, "41"),
        ("12", "14", DeclineClass.NEW_DATA, "14"),
        ("12", "79", DeclineClass.NEW_DATA, "79"),
        ("12", "10486", DeclineClass.SOFT_GENERIC, "12"),
        ("50", "R1", DeclineClass.HARD, "R1"),
        ("125", "51", DeclineClass.HARD, "51"),
        ("24", "05", DeclineClass.NEW_DATA, "05"),
        ("13", "01", DeclineClass.OTHER_WAY, "01"),
    ],
)
def test_issuer_code(result: str, host_code: str, decline: DeclineClass, code: str) -> None:
    """R16: the issuer's own code goes before RESULT, but makes no hard decline soft."""
    outcome = answer(f"RESULT={result}&PNREF={PNREF}&RESPMSG=Declined&HOSTCODE={host_code}")
    assert outcome == Declined(decline, code, "Declined", PNREF)


def test_issuer_code_of_our_setup() -> None:
    """R16: "invalid merchant" is no fault of the card."""
    assert answer(f"RESULT=12&PNREF={PNREF}&RESPMSG=Declined&HOSTCODE=03") == Failed(
        FailureClass.GATEWAY_SETUP, "03", "Declined"
    )


# ---- replies that are none

MAINTENANCE = "<html>Scheduled maintenance... approved vendors&RESULT=0&PNREF=A10A7C3E51D2</html>"


@pytest.mark.parametrize(
    "reply",
    [
        MAINTENANCE,
        "",
        "RESULT",
        "PNREF=A10A7C3E51D2&RESULT=0",
        "RESULT[2]=0",
        "RESULT=0&PNREF[40]=A10A7C3E51D2",
        "RESULT=0&PNREF=A10A7C3E51D2&RESPMSG[3]=Approved&AMT=118.50",
        f"{APPROVED}&RESULT=12",
        f"{APPROVED}&AMT=1.00",
        f"{APPROVED}&PNREF=B10A7C3E51D2",
        "\x00\x01\x02",
    ],
)
def test_unreadable(reply: str) -> None:
    """B17, B18, B19: a web page, a broken length tag, a deciding field given twice prove nothing, whatever they say."""
    assert isinstance(answer(reply), Unknown)
    assert isinstance(answer(reply, builders.void()), Unknown)
    assert isinstance(answer(reply, builders.refund()), Unknown)
    assert isinstance(look(reply), NoAnswer)


@pytest.mark.parametrize("status", [201, 400, 403, 404, 429, 500, 502, 503])
def test_other_status(status: int) -> None:
    """E3: any status but 200 proves nothing, even above a body that reads like an answer."""
    assert answer(APPROVED, status=status) == Unknown(f"http_{status}", "no reply of this gateway")


def test_page_is_not_kept() -> None:
    """B19: of a web page only its kind and length stay in the evidence."""
    with Canned(MAINTENANCE) as server:
        reply = builders.gateway("payflow", server.url).sale(builders.sale())
    assert reply.evidence.said == {"reply": f"a web page of {len(MAINTENANCE)} characters where fields were expected"}
    assert reply.evidence.http_status == 200


def test_length_tags_in_a_reply() -> None:
    """B18: a tagged value may hold what would else end it, and its name is read without the tag."""
    reply = f"RESULT[1]=0&PNREF[12]={PNREF}&RESPMSG[18]=Ok&RESULT=12&AMT=1&AMT[6]=118.50\r\n"
    outcome = answer(reply)
    assert isinstance(outcome, Approved)
    assert (outcome.message, outcome.amount_minor) == ("Ok&RESULT=12&AMT=1", 11850)


# ---- void and refund


def test_void() -> None:
    """R11: a void that was made, and the one answer that says it cannot be."""
    assert answer(f"RESULT=0&PNREF={PNREF}&RESPMSG=Approved", builders.void()) == Approved(PNREF, "0", "Approved")
    assert answer("RESULT=108&PNREF=A10A7C3E5411&RESPMSG=Void error", builders.void()) == Refused(
        VoidRefusal.CANNOT_VOID, "108", "Void error", "A10A7C3E5411"
    )


@pytest.mark.parametrize("code", ["103", "104", "109", "11", "150", "1000", "105", "9999"])
def test_void_of_unknown_outcome(code: str) -> None:
    """B24: a void that may have been made is looked up before any refund."""
    assert isinstance(answer(f"RESULT={code}&PNREF={PNREF}", builders.void()), Unknown)


def test_refund() -> None:
    """R17: an approved refund is accepted, not final; "already" is to be verified."""
    assert answer(f"RESULT=0&PNREF={PNREF}&RESPMSG=Approved&AMT=118.50", builders.refund()) == Approved(
        PNREF, "0", "Approved", amount_minor=11850, final=False
    )
    assert answer(f"RESULT=105&PNREF={PNREF}&RESPMSG=Credit error", builders.refund()) == Refused(
        RefundRefusal.ALREADY, "105", "Credit error", PNREF
    )


@pytest.mark.parametrize("code", ["12", "117", "13", "23", "125"])
def test_refund_refused(code: str) -> None:
    """B45: a refund refused with any code that is a clear no is refused, with the code."""
    assert answer(f"RESULT={code}&PNREF={PNREF}&RESPMSG=No", builders.refund()) == Refused(
        RefundRefusal.REFUSED, code, "No", PNREF
    )


# ---- inquiry


def test_found() -> None:
    """B13: the verdict is ORIGRESULT; RESULT is only the inquiry's own."""
    assert look(FOUND) == Found(
        Approved(PNREF, "0", "Approved", approval_code="182PNI", reference=CUSTREF, card_token=PNREF),
        Standing.UNSETTLED,
    )
    assert look(FOUND.replace("ORIGRESULT=0", "ORIGRESULT=12")) == Found(
        Declined(DeclineClass.SOFT_GENERIC, "12", "Approved", PNREF), Standing.NOTHING
    )
    assert look(FOUND.replace("ORIGRESULT=0", "ORIGRESULT=150")) == Found(
        Declined(DeclineClass.SOFT_TECHNICAL, "150", "Approved", PNREF), Standing.NOTHING
    )


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        ("TRANSSTATE=6", Standing.UNSETTLED),
        ("TRANSSTATE=7", Standing.SETTLING),
        ("TRANSSTATE=8", Standing.SETTLED),
        ("TRANSSTATE=1006", Standing.VOIDED),
        ("TRANSSTATE=1003", Standing.VOIDED),
        ("TRANSSTATE=6&BATCHID=7", Standing.SETTLED),
        ("TRANSSTATE=6&BATCHID=0", Standing.UNSETTLED),
        ("SETTLE_DATE=2026-03-03 02:00:00", Standing.SETTLED),
        ("TRANSSTATE=15", Standing.LIMBO),
    ],
)
def test_standing(state: str, standing: Standing) -> None:
    """R11: where the money of an approved sale stands."""
    sighting = look(FOUND.replace("TRANSSTATE=6", state))
    assert isinstance(sighting, Found)
    assert isinstance(sighting.outcome, Approved)
    assert sighting.standing is standing


@pytest.mark.parametrize("state", ["106", "206", "11", "12", "14", "1", "10", "77", "x"])
def test_limbo(state: str) -> None:
    """R11: approved, but the money will not move: a person must look."""
    sighting = look(FOUND.replace("TRANSSTATE=6", f"TRANSSTATE={state}"))
    assert isinstance(sighting, Found)
    assert sighting.outcome == Unknown(
        f"transstate_{state}", f"approved, but its money does not move: TRANSSTATE {state}", PNREF
    )
    assert sighting.standing is Standing.LIMBO


def test_held_at_the_gateway() -> None:
    """B22: an inquiry finds what is held still held."""
    assert look(FOUND.replace("ORIGRESULT=0", "ORIGRESULT=126")) == Found(
        Held(PNREF, "126", "Approved"), Standing.LIMBO
    )


@pytest.mark.parametrize("code", ["19", "20"])
def test_absent(code: str) -> None:
    """E4: not found is no more than not seen yet."""
    assert look(f"RESULT={code}&PNREF=A10A7C3E5200&RESPMSG=Not found") == Absent(code, "Not found")


@pytest.mark.parametrize("reply", [f"RESULT=0&PNREF={PNREF}&RESPMSG=Approved", f"RESULT=104&PNREF={PNREF}", "RESULT=1"])
def test_inquiry_that_failed(reply: str) -> None:
    """E4: an inquiry that failed says nothing about the sale, not even with RESULT 0."""
    assert isinstance(look(reply), NoAnswer)


def test_found_another() -> None:
    """B76: what is found under another reference is no verdict on this one."""
    approved = look(FOUND.replace(CUSTREF, "ZZZZZZZZZZZZ"))
    assert isinstance(approved, Found)
    assert isinstance(approved.outcome, Approved)
    assert approved.outcome.reference == "ZZZZZZZZZZZZ"
    declined = look(FOUND.replace(CUSTREF, "ZZZZZZZZZZZZ").replace("ORIGRESULT=0", "ORIGRESULT=12"))
    assert declined == Found(Unknown("other_reference", "found another operation", PNREF), Standing.LIMBO)


def test_found_void_and_refund() -> None:
    """B23: voids and refunds are found by references of their own, and a refund is final once settled."""
    void = FOUND.replace(CUSTREF, custref(builders.ANOTHER))
    sighting = look(void, builders.inquiry(Operation.VOID))
    assert isinstance(sighting, Found)
    assert sighting.standing is Standing.VOIDED
    refused = look(void.replace("ORIGRESULT=0", "ORIGRESULT=108"), builders.inquiry(Operation.VOID))
    assert refused == Found(Refused(VoidRefusal.CANNOT_VOID, "108", "Approved", PNREF), Standing.NOTHING)
    for state, final in (("6", False), ("8", True)):
        refund = void.replace("TRANSSTATE=6", f"TRANSSTATE={state}&AMT=118.50")
        sighting = look(refund, builders.inquiry(Operation.REFUND))
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert (sighting.outcome.final, sighting.standing, sighting.refunded_minor) == (
            final,
            Standing.REFUNDED,
            11850,
        )


@pytest.mark.parametrize("state", ["1006", "106", "12"])
def test_refund_that_does_not_move(state: str) -> None:
    """R17: a refund that was voided or does not settle is for a person."""
    reply = FOUND.replace(CUSTREF, custref(builders.ANOTHER)).replace("TRANSSTATE=6", f"TRANSSTATE={state}")
    sighting = look(reply, builders.inquiry(Operation.REFUND))
    assert isinstance(sighting, Found)
    assert isinstance(sighting.outcome, Unknown)
    assert sighting.standing is Standing.LIMBO


# ---- authorization, capture, health


def capture(reply: str) -> Outcome:
    """What `reply` proves, as an answer to the usual capture."""
    with Canned(reply) as server:
        return builders.gateway("payflow", server.url).capture(builders.capture()).result


def test_authorization() -> None:
    """An authorization is approved and declined by the same words as a sale, and its PNREF stands in for the card."""
    with Canned(APPROVED, APPROVED.replace("RESULT=0", "RESULT=50")) as server:
        gateway = builders.gateway("payflow", server.url)
        approved, declined = (gateway.authorize(builders.sale()).result for _ in range(2))
    assert isinstance(approved, Approved)
    assert (approved.card_token, approved.final) == (PNREF, True)
    assert isinstance(declined, Declined)
    assert declined.decline is DeclineClass.SOFT_DATED


def test_capture() -> None:
    """A capture repeats what it took, and gives no token of its own."""
    outcome = capture(APPROVED.replace("AMT=118.50", "AMT=100.00"))
    assert isinstance(outcome, Approved)
    assert (outcome.amount_minor, outcome.card_token, outcome.final) == (10000, None, True)


@pytest.mark.parametrize("code", ["110", "111", "120", "19", "121"])
def test_capture_not_done(code: str) -> None:
    """E3: captured before, more than was authorized, or no authorization: this send took nothing."""
    assert capture(f"RESULT={code}&PNREF={PNREF}&RESPMSG=No") == Failed(FailureClass.REFUSED, code, "No")


@pytest.mark.parametrize("code", ["12", "50", "103", "104", "105", "108", "1000", "9999"])
def test_capture_of_unknown_outcome(code: str) -> None:
    """E3: nothing else that a capture is answered proves anything."""
    assert isinstance(capture(f"RESULT={code}&PNREF={PNREF}&RESPMSG=?"), Unknown)


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        ("3", Standing.UNSETTLED),
        ("9", Standing.SETTLING),
        ("1003", Standing.VOIDED),
        ("10", Standing.LIMBO),
        ("103", Standing.LIMBO),
    ],
)
def test_standing_of_an_authorization(state: str, standing: Standing) -> None:
    """R11: it can be voided until it was captured, and then neither voided nor refunded."""
    sighting = look(FOUND.replace("TRANSSTATE=6", f"TRANSSTATE={state}"), builders.inquiry(Operation.AUTHORIZATION))
    assert isinstance(sighting, Found)
    assert sighting.standing is standing


@pytest.mark.parametrize(
    ("reply", "healthy", "setup"),
    [
        ("RESULT=20&PNREF=A10A7C3E51D2&RESPMSG=Cannot find", True, False),
        ("RESULT=19&PNREF=A10A7C3E51D2&RESPMSG=Not found", True, False),
        ("RESULT=1&PNREF=A10A7C3E51D2&RESPMSG=User authentication failed", False, True),
        ("RESULT=26&PNREF=A10A7C3E51D2&RESPMSG=Invalid vendor account", False, True),
        ("RESULT=115&PNREF=A10A7C3E51D2&RESPMSG=System busy", False, False),
        ("<html>RESULT=20</html>", False, False),
        ("", False, False),
    ],
)
def test_health(reply: str, healthy: bool, setup: bool) -> None:
    """Only "not found" comes from a gateway that let us in; a refused log-in is told from a gateway that is down."""
    with Canned(reply) as server:
        health = builders.gateway("payflow", server.url).health(builders.soon()).result
    assert isinstance(health, Healthy if healthy else Unwell)
    assert isinstance(health, Healthy) or health.setup is setup


def test_what_the_network_called_it() -> None:
    """C4: the network's reference of a kept card's sale is handed on."""
    outcome = answer(f"{APPROVED}&TXID=016153570198200")
    assert isinstance(outcome, Approved)
    assert outcome.network_reference == "016153570198200"
