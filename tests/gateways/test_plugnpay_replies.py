"""What Plug'n Pay's replies prove: the samples of its documents, and replies bent in every way known from the field."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest

from gateways.contract import Inquiry, Operation, Refund, Sale, Void
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Failed,
    FailureClass,
    Found,
    Healthy,
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
from tests.gateways.builders import ORDER
from tests.gateways.canned import Canned

APPROVED = (
    f"FinalStatus=success&MStatus=success&success=yes&orderID={ORDER}&auth%2dcode=TSTAUT&resp%2dcode=00&sresp=A"
    "&avs%2dcode=Y&cvvresp=M&card%2damount=118%2e50&currency=usd&receiptcc=XXXXXXXXXXXX1111&mode=auth&a=b\n"
)
DECLINED = (
    f"FinalStatus=badcard&MStatus=badcard&success=no&orderID={ORDER}&auth%2dcode=&resp%2dcode=51&sresp=D"
    "&MErrMsg=Insufficient%20Funds&mode=auth&a=b"
)
VOID_REFUSED = (
    f"FinalStatus=problem&MStatus=problem&success=problem&mode=void&txn%2dtype=auth&orderID={ORDER}"
    "&card%2damount=118%2e50&MErrMsg=Transaction%20may%20not%20be%20voided%2e&a=b"
)


def answer(reply: str, asked: Sale | Void | Refund | None = None, status: int = 200) -> Outcome:
    """What `reply` proves, as an answer to `asked` (the usual sale)."""
    with Canned(reply, status=status) as server:
        gateway = builders.gateway("plugnpay", server.url)
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
        return builders.gateway("plugnpay", server.url).inquire(asked or builders.inquiry()).result


def history(*records: tuple[str, str], **changes: str) -> str:
    """A query's reply with records of (operation, status), each encoded once more."""
    reply = "FinalStatus=success&mode=query_trans"
    for number, (operation, status) in enumerate(records, 1):
        fields = {"trans_date": "20261124", "operation": operation, "FinalStatus": status, "card-amount": "118.50"}
        reply += f"&a{number:05}={quote(urlencode({**fields, 'orderID': ORDER, **changes}))}"
    return reply + "&a=b"


# ---- approved


def test_approved() -> None:
    """R18: an approval carries what the reply repeats, for the caller to compare."""
    assert answer(APPROVED) == Approved(
        ORDER, "00", approval_code="TSTAUT", amount_minor=11850, currency="USD", reference=ORDER
    )


@pytest.mark.parametrize(
    ("change", "amount_minor", "currency", "reference"),
    [
        (("118%2e50", "11%2e85"), 1185, "USD", ORDER),
        (("&a=b", "&amountcharged=11%2e85&a=b"), 1185, "USD", ORDER),
        (("&a=b", "&amount=usd%2011%2e85"), 1185, "USD", ORDER),
        (("currency=usd", "currency=cad"), 11850, "CAD", ORDER),
        (("currency=usd", "amount=cad%20118.50"), 11850, "CAD", ORDER),
        ((ORDER, "2611240000010499999"), 11850, "USD", "2611240000010499999"),
        (("card%2damount=118%2e50&currency=usd&", ""), None, None, ORDER),
    ],
)
def test_approval_of_something_else(
    change: tuple[str, str], amount_minor: int | None, currency: str | None, reference: str
) -> None:
    """R18: another amount, currency or reference is handed on, whichever of the reply's fields tells it."""
    outcome = answer(APPROVED.replace(*change))
    assert isinstance(outcome, Approved)
    assert (outcome.amount_minor, outcome.currency, outcome.reference) == (amount_minor, currency, reference)


@pytest.mark.parametrize("change", [("118%2e50", "lots"), ("sresp=A", "sresp=D"), ("sresp=A", "sresp=E")])
def test_approval_that_contradicts_itself(change: tuple[str, str]) -> None:
    """B21: success outside and no inside, or an amount that cannot be read, is looked up."""
    assert isinstance(answer(APPROVED.replace(*change)), Unknown)


def test_field_names_with_underscores() -> None:
    """B18: names are read in either of the forms that the gateway writes."""
    reply = APPROVED.replace("%2d", "_").replace("FinalStatus", "finalstatus")
    assert answer(reply) == answer(APPROVED)


# ---- duplicates


def test_duplicate_of_this_operation() -> None:
    """E4: a re-send is answered with the first reply's fields and counts as that."""
    assert answer(f"{APPROVED.strip()}&Duplicate=yes") == answer(APPROVED)
    declined = DECLINED.replace("mode=auth", "mode=auth&card-amount=118.50&Duplicate=yes")
    assert answer(declined) == answer(DECLINED)


@pytest.mark.parametrize(
    "change",
    [
        ("118%2e50", "75%2e00"),
        ("card%2damount=118%2e50&", ""),
        ("mode=auth", "mode=void"),
        ("XXXX1111", "XXXX4242"),
        (ORDER, "2611240000010499999"),
        (f"orderID={ORDER}&", ""),
    ],
)
def test_duplicate_of_another_operation(change: tuple[str, str]) -> None:
    """B08: a duplicate that is not proven to be this operation's earlier send is neither its yes nor its no."""
    outcome = answer(f"{APPROVED.strip().replace(*change)}&Duplicate=yes")
    assert isinstance(outcome, Unknown)
    assert outcome.code == "duplicate_of_other"


# ---- declined, failed, unknown: the code tables


@pytest.mark.parametrize(
    ("codes", "decline"),
    [
        ("05 06", DeclineClass.SOFT_GENERIC),
        ("51 61 65 N4 P65 P72 P73", DeclineClass.SOFT_DATED),
        ("19 28 91 96", DeclineClass.SOFT_TECHNICAL),
        ("14 15 54 N7 82 P01 P02 P55 P56 P57 P64", DeclineClass.NEW_DATA),
        ("01 02 55 59 62 63 75 78", DeclineClass.OTHER_WAY),
        ("04 07 12 41 43 46 57 80 93 R0 R1 R3 P03 P50 P66 P70 P75", DeclineClass.HARD),
        ("ZZ P30", DeclineClass.SOFT_UNLISTED),
    ],
)
def test_declined(codes: str, decline: DeclineClass) -> None:
    """R16: each decline has its class and its raw code; one that no table lists gets one try."""
    for code in codes.split():
        assert answer(DECLINED.replace("=51", f"={code}")) == Declined(decline, code, "Insufficient Funds", ORDER)


@pytest.mark.parametrize(
    ("simple", "decline"),
    [
        ("D", DeclineClass.SOFT_UNLISTED),
        ("", DeclineClass.SOFT_UNLISTED),
        ("C", DeclineClass.OTHER_WAY),
        ("P", DeclineClass.HARD),
        ("X", DeclineClass.NEW_DATA),
    ],
)
def test_declined_by_another_processor(simple: str, decline: DeclineClass) -> None:
    """R16: where the processor's code is of another set, the simple one tells the class."""
    reply = DECLINED.replace("=51", "=200").replace("sresp=D", f"sresp={simple}")
    assert answer(reply) == Declined(decline, "200", "Insufficient Funds", ORDER)


def test_fraud() -> None:
    """R16: what the gateway's fraud screen refuses is hard; a bad number needs new data."""
    reply = DECLINED.replace("FinalStatus=badcard", "FinalStatus=fraud").replace("sresp=D", "sresp=E")
    assert answer(reply.replace("resp%2dcode=51&", "")) == Declined(
        DeclineClass.HARD, "fraud", "Insufficient Funds", ORDER
    )
    assert answer(reply.replace("=51", "=P55")) == Declined(DeclineClass.NEW_DATA, "P55", "Insufficient Funds", ORDER)


@pytest.mark.parametrize(
    ("status", "codes", "failure"),
    [
        ("problem", "P91 P92 P93 P94 P98", FailureClass.GATEWAY_SETUP),
        ("badcard", "03", FailureClass.GATEWAY_SETUP),
        ("problem", "P21 P22 P35 P51 P54 P58 P63", FailureClass.REFUSED),
        ("badcard", "13 58 92", FailureClass.REFUSED),
        ("fraud", "P59 P60", FailureClass.REFUSED),
    ],
)
def test_failed(status: str, codes: str, failure: FailureClass) -> None:
    """E3: an answer that the transaction was not made, by whose fault it was not."""
    for code in codes.split():
        reply = DECLINED.replace("FinalStatus=badcard", f"FinalStatus={status}").replace("=51", f"={code}")
        assert answer(reply) == Failed(failure, code, "Insufficient Funds")


@pytest.mark.parametrize(
    ("status", "code", "simple"),
    [
        ("problem", "", "E"),
        ("problem", "ZZ", "E"),
        ("problem", "05", "D"),
        ("problem", "P76", "E"),
        ("badcard", "P76", "E"),
        ("problem", "P97", "E"),
        ("pending", "", ""),
        ("badcard", "ZZ", "E"),
        ("", "51", "D"),
        ("failure", "51", "D"),
        ("hold", "00", "A"),
    ],
)
def test_unknown(status: str, code: str, simple: str) -> None:
    """B10, B79: pending, a duplicate, a silent processor, a problem without a code: neither yes nor no."""
    reply = DECLINED.replace("FinalStatus=badcard", f"FinalStatus={status}").replace("=51", f"={code}")
    assert isinstance(answer(reply.replace("sresp=D", f"sresp={simple}")), Unknown)


def test_declined_for_another() -> None:
    """B76: a decline of another orderID is no verdict on this one."""
    assert answer(DECLINED.replace(ORDER, "2611240000010499999")) == Unknown(
        "other_reference", "the reply is about another orderID"
    )


# ---- replies that are none


def test_split_before_decoding() -> None:
    """B17: text that the gateway echoes cannot forge its verdict."""
    outcome = answer("FinalStatus=badcard&MErrMsg=declined&card_name=A%26FinalStatus%3Dsuccess")
    assert outcome == Declined(DeclineClass.SOFT_UNLISTED, "badcard", "declined", ORDER)


@pytest.mark.parametrize(
    "reply",
    [
        "<html>Scheduled maintenance... approved vendors&FinalStatus=success</html>",
        " \n<!DOCTYPE html><p>FinalStatus=success&orderID=1</p>",
        "",
        "success",
        "MStatus=success&success=yes",
        f"{APPROVED.strip()}&FinalStatus=badcard",
        f"{APPROVED.strip()}&final_status=success&card_amount=1.00",
        f"{APPROVED.strip()}&orderID=1",
    ],
)
def test_unreadable(reply: str) -> None:
    """B17, B19: a web page, no verdict, a deciding field given twice prove nothing, whatever they say."""
    assert isinstance(answer(reply), Unknown)
    assert isinstance(answer(reply, builders.void()), Unknown)
    assert isinstance(answer(reply, builders.refund()), Unknown)
    assert isinstance(look(reply), NoAnswer)


@pytest.mark.parametrize("status", [400, 403, 404, 500, 502, 503])
def test_other_status(status: int) -> None:
    """E3: any status but 200 proves nothing, even above a body that reads like an answer."""
    assert answer(APPROVED, status=status) == Unknown(f"http_{status}", "no reply of this gateway")


# ---- void and refund


def test_void() -> None:
    """B23: the verdict of a void is FinalStatus, whatever the fields beside it say in recorded replies."""
    done = (
        f"FinalStatus=success&MStatus=20261124&success=problem&mode=void&orderID={ORDER}&card%2damount=118%2e50"
        "&aux%2dmsg=has%20been%20successfully%20voided%2e&auth%2dmsg=Transaction%20may%20not%20be%20voided%2e&a=b"
    )
    assert answer(done, builders.void()) == Approved(
        ORDER, "success", "has been successfully voided.", amount_minor=11850
    )
    assert answer(VOID_REFUSED, builders.void()) == Refused(
        VoidRefusal.CANNOT_VOID, "problem", "Transaction may not be voided.", ORDER
    )


@pytest.mark.parametrize(
    "change",
    [
        ("FinalStatus=problem", "FinalStatus=pending"),
        ("FinalStatus=problem", "FinalStatus=badcard"),
        ("&a=b", "&resp-code=P97"),
        ("&a=b", "&resp-code=P76"),
        (ORDER, "2611240000010499999"),
        ("FinalStatus=problem", "FinalStatus=success&orderID=2611240000010499999&"),
    ],
)
def test_void_of_unknown_outcome(change: tuple[str, str]) -> None:
    """B24: a void that may have been made is looked up before any refund."""
    assert isinstance(answer(VOID_REFUSED.replace(*change), builders.void()), Unknown)


def test_void_of_a_gateway_that_is_not_set_up() -> None:
    """R11: a void that the gateway did not look at is no refusal that leads to a refund."""
    reply = VOID_REFUSED.replace("&a=b", "&resp-code=P93")
    assert answer(reply, builders.void()) == Failed(FailureClass.GATEWAY_SETUP, "P93", "Transaction may not be voided.")


@pytest.mark.parametrize("status", ["success", "pending"])
def test_refund(status: str) -> None:
    """R17: a return is accepted by either word, and final by neither."""
    reply = f"FinalStatus={status}&mode=return&orderID={ORDER}&card%2damount=118%2e50&currency=usd&a=b"
    assert answer(reply, builders.refund()) == Approved(ORDER, status, amount_minor=11850, currency="USD", final=False)


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ("Transaction not yet settled. It may not be returned.", RefundRefusal.NOT_YET),
        ("Transaction already returned.", RefundRefusal.ALREADY),
        ("Transaction already voided. It may not be returned.", RefundRefusal.ALREADY),
        ("Order ID does not exist as a previous order.", RefundRefusal.REFUSED),
        ("Something new.", RefundRefusal.REFUSED),
    ],
)
@pytest.mark.parametrize("status", ["problem", "failure"])
def test_refund_refused(status: str, message: str, refusal: RefundRefusal) -> None:
    """B43, B45, B47: a refused return, with what its text says about another try."""
    reply = f"FinalStatus={status}&mode=return&orderID={ORDER}&MErrMsg={quote(message)}&a=b"
    assert answer(reply, builders.refund()) == Refused(refusal, status, message, ORDER)


@pytest.mark.parametrize(
    "reply", ["FinalStatus=problem&a=b", "FinalStatus=fraud&MErrMsg=No", "FinalStatus=x&MErrMsg=No"]
)
def test_refund_of_unknown_outcome(reply: str) -> None:
    """B48: a refusal without any reason, or by an unlisted word, is looked up."""
    assert isinstance(answer(reply, builders.refund()), Unknown)


# ---- inquiry

SALE = (("auth", "success"), ("postauth", "pending"))
SETTLED = (("auth", "success"), ("postauth", "success"))


@pytest.mark.parametrize(
    ("records", "standing", "refunded_minor"),
    [
        (SALE, Standing.UNSETTLED, None),
        (SALE[:1], Standing.UNSETTLED, None),
        (SETTLED, Standing.SETTLED, None),
        ((*SALE, ("void", "success")), Standing.VOIDED, None),
        ((*SETTLED, ("void", "problem")), Standing.SETTLED, None),
        ((*SETTLED, ("return", "problem")), Standing.SETTLED, None),
        ((*SETTLED, ("return", "pending")), Standing.REFUNDED, 11850),
        ((*SETTLED, ("return", "success"), ("void", "success")), Standing.SETTLED, None),
        ((*SALE[:1], ("postauth", "problem")), Standing.LIMBO, None),
    ],
)
def test_standing(records: tuple[tuple[str, str], ...], standing: Standing, refunded_minor: int | None) -> None:
    """R11: the history of an orderID tells where the sale's money stands; a void undoes the latest operation."""
    sighting = look(history(*records))
    assert isinstance(sighting, Found)
    assert isinstance(sighting.outcome, Approved)
    assert (sighting.outcome.amount_minor, sighting.standing, sighting.refunded_minor) == (
        11850,
        standing,
        refunded_minor,
    )


def test_found_declined() -> None:
    """E4: a declined sale is found as declined, a failed one as failed, and neither moved money."""
    reply = history(("auth", "badcard"), **{"resp-code": "41", "MErrMsg": "Lost"})
    assert look(reply) == Found(Declined(DeclineClass.HARD, "41", "Lost", ORDER), Standing.NOTHING)
    assert look(history(("auth", "problem"), **{"resp-code": "P58"})) == Found(
        Failed(FailureClass.REFUSED, "P58"), Standing.NOTHING
    )


def test_found_pending() -> None:
    """B79: what is pending stays unknown."""
    assert look(history(("auth", "pending"))) == Found(Unknown("pending", "", ORDER), Standing.UNSETTLED)


def test_found_with_its_currency_before_the_amount() -> None:
    """R18: a record's amount may carry the currency."""
    sighting = look(history(*SALE, **{"card-amount": "cad 118.50"}))
    assert isinstance(sighting, Found)
    assert isinstance(sighting.outcome, Approved)
    assert (sighting.outcome.amount_minor, sighting.outcome.currency) == (11850, "CAD")


def test_absent() -> None:
    """E4: no record of this orderID is no more than not seen yet."""
    assert isinstance(look("FinalStatus=problem&MErrMsg=No%20records%20found&a=b"), Absent)


@pytest.mark.parametrize(
    "reply",
    [
        "FinalStatus=problem&resp-code=P93&MErrMsg=IP%20is%20not%20registered",
        "FinalStatus=problem&MErrMsg=startdate%20missing",
        "FinalStatus=badcard",
        "FinalStatus=success&a=b",
        history(*SALE, orderID="1"),
        history(*SALE, result="x") + f"&a00003={quote('operation=auth&FinalStatus=success&FinalStatus=badcard')}",
    ],
)
def test_inquiry_that_failed(reply: str) -> None:
    """E4: an inquiry that failed says nothing about the sale."""
    assert isinstance(look(reply), NoAnswer)


def test_forged_record() -> None:
    """B17: a name in a record cannot forge the record's verdict."""
    reply = history(("auth", "badcard"), **{"card-name": "A&FinalStatus=success&operation=auth"})
    sighting = look(reply)
    assert isinstance(sighting, Found)
    assert isinstance(sighting.outcome, Declined)


def test_found_void_and_refund() -> None:
    """B23: voids and returns are found in the sale's history; a refused one proves nothing about a later one."""
    asked = builders.inquiry(Operation.VOID)
    assert look(history(*SALE, ("void", "success")), asked) == Found(Approved(ORDER, "success"), Standing.VOIDED)
    assert isinstance(look(history(*SETTLED, ("void", "problem")), asked), Absent)
    asked = builders.inquiry(Operation.REFUND)
    for status, final in (("pending", False), ("success", True)):
        assert look(history(*SETTLED, ("return", status)), asked) == Found(
            Approved(ORDER, status, amount_minor=11850, final=final), Standing.REFUNDED, 11850
        )
    assert isinstance(look(history(*SETTLED, ("return", "problem")), asked), Absent)


def test_void_that_undid_a_refund() -> None:
    """B75: a return that a void undid is found as what it is, for a person."""
    reply = history(*SETTLED, ("return", "pending"), ("void", "success"))
    assert look(reply, builders.inquiry(Operation.REFUND)) == Found(
        Unknown("return_voided", "a void undid the return", ORDER), Standing.LIMBO
    )


# ---- authorization, capture, health


def test_two_approved_sales() -> None:
    """B13: two approved sales in one history are nobody's guess; a decline before the approval is only history."""
    assert look(history(("auth", "success"), ("postauth", "pending"), ("auth", "success"))) == Found(
        Unknown("two_sales", "two approved sales under one orderID", ORDER), Standing.LIMBO
    )
    for statuses in (("badcard", "success"), ("success", "badcard")):
        sighting = look(history(*(("auth", status) for status in statuses)))
        assert isinstance(sighting, Found)
        assert isinstance(sighting.outcome, Approved)
        assert sighting.standing is Standing.UNSETTLED


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (APPROVED.replace("mode=auth", "mode=mark"), Approved),
        (APPROVED.replace("FinalStatus=success", "FinalStatus=pending"), Approved),
        ("FinalStatus=problem&MErrMsg=Transaction%20may%20not%20be%20marked%2e&a=b", Unknown),
        ("FinalStatus=problem&resp-code=P21&a=b", Failed),
        ("FinalStatus=badcard&resp-code=51&a=b", Unknown),
        ("FinalStatus=success&orderID=1&card-amount=118%2e50&a=b", Unknown),
    ],
)
def test_capture(reply: str, kind: type[Outcome]) -> None:
    """E3: a mark is done, or refused by a code; a refusal without one may be that of a repeat and proves nothing."""
    with Canned(reply) as server:
        outcome = builders.gateway("plugnpay", server.url).capture(builders.capture()).result
    assert isinstance(outcome, kind)


@pytest.mark.parametrize(
    ("records", "standing"),
    [
        ((("auth", "success"),), None),
        ((("auth", "success"), ("postauth", "pending")), Standing.UNSETTLED),
        ((("auth", "success"), ("postauth", "success")), Standing.SETTLED),
        ((("auth", "success"), ("postauth", "pending"), ("void", "success")), Standing.VOIDED),
        ((("auth", "success"), ("postauth", "problem")), None),
    ],
)
def test_found_capture(records: tuple[tuple[str, str], ...], standing: Standing | None) -> None:
    """E4: a capture is the "postauth" of its authorization's history; without one it is absent."""
    sighting = look(history(*records), builders.inquiry(Operation.CAPTURE))
    assert isinstance(sighting, Absent) if standing is None else isinstance(sighting, Found)
    assert isinstance(sighting, Absent) or (isinstance(sighting, Found) and sighting.standing is standing)


@pytest.mark.parametrize(
    ("reply", "healthy", "setup"),
    [
        ("FinalStatus=problem&MErrMsg=No%20records%20found&a=b", True, False),
        ("FinalStatus=problem&resp-code=P91&MErrMsg=Invalid%20publisher%20password&a=b", False, True),
        ("FinalStatus=problem&resp-code=P93&MErrMsg=IP%20is%20not%20registered&a=b", False, True),
        ("FinalStatus=problem&resp-code=P97&a=b", False, False),
        ("<html>No records found</html>", False, False),
    ],
)
def test_health(reply: str, healthy: bool, setup: bool) -> None:
    """Only "no records" comes from a gateway that let us in; a refused log-in is told from a gateway that is down."""
    with Canned(reply) as server:
        health = builders.gateway("plugnpay", server.url).health(builders.soon()).result
    assert isinstance(health, Healthy if healthy else Unwell)
    assert isinstance(health, Healthy) or health.setup is setup
