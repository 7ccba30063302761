"""Payflow Pro as its sheet describes it: samples, codes, idempotency, inquiry, void and refund."""

import pytest

from sandbox.client import SandboxClient
from tests.sandbox.speak import (
    OTHER_VISA,
    PAYFLOW_CARD,
    VISA,
    Line,
    payflow,
    payflow_headers,
    read_payflow,
    sale,
)

DOCUMENTED_SALE = (
    b"TRXTYPE[1]=S&TENDER[1]=C&USER[7]=sandbox&VENDOR[7]=sandbox&PARTNER[6]=PayPal&PWD[14]=sandbox-secret"
    b"&ACCT[16]=4111111111111111&EXPDATE[4]=1230&AMT[6]=118.50&CURRENCY[3]=USD&CVV2[3]=123"
    b"&BILLTOSTREET[12]=123 Main St.&BILLTOZIP[5]=12345&INVNUM[8]=INV10042&CUSTREF[12]=K7Q2M9X4T1BA"
    b"&COMMENT1[14]=pay 901 sale 1&VERBOSITY[4]=HIGH"
)


def test_the_documented_sale_gets_the_documented_fields(url: str) -> None:
    """The sheet's sample request is answered with the fields of its sample answer, in that order."""
    with Line(url) as line:
        line.send("/", DOCUMENTED_SALE, payflow_headers("8f14e45fceea167a5a36dedd4bea2543"))
        answer = line.read()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/namevalue"
    assert answer.headers["x-vps-request-id"] == "8f14e45fceea167a5a36dedd4bea2543"
    fields = read_payflow(answer.body)
    assert list(fields) == (
        "RESULT PNREF RESPMSG AUTHCODE AVSADDR AVSZIP CVV2MATCH HOSTCODE PROCAVS PROCCVV2 TRANSTIME AMT ACCT EXPDATE "
        "CARDTYPE IAVS"
    ).split(" ")
    assert fields.items() >= {"RESULT": "0", "AMT": "118.50", "ACCT": "1111", "EXPDATE": "1230"}.items()
    assert len(fields["PNREF"]) == 12
    assert len(fields["AUTHCODE"]) == 6


def test_a_repeated_request_id_runs_nothing(url: str, control: SandboxClient) -> None:
    """The original answer comes back with DUPLICATE=1, whatever the new body says; the card is charged once."""
    first = sale(url, "K1")
    again = sale(url, "K1", amount="99.00", ACCT=OTHER_VISA)
    assert again == {**first, "DUPLICATE": "1"}
    assert control.card(VISA).charged == 1
    assert control.card(OTHER_VISA).charged == 0


def test_a_declined_request_id_repeats_the_decline(url: str, control: SandboxClient) -> None:
    """A decline's id used again is answered with that decline, although the amount would be approved now."""
    assert sale(url, "K2", amount="1012.00")["RESULT"] == "12"
    assert sale(url, "K2", amount="10.00")["RESULT"] == "12"
    assert control.card(VISA).charged == 0


def test_a_repeated_order_id_gets_the_other_orders_answer(url: str, control: SandboxClient) -> None:
    """DUPLICATE=2: two shops that number alike get each other's approval."""
    first = sale(url, "K3", ORDERID="1001")
    again = sale(url, "K4", ORDERID="1001", ACCT=OTHER_VISA)
    assert again == {**first, "DUPLICATE": "2"}
    assert control.card(OTHER_VISA).charged == 0


@pytest.mark.parametrize("name", ["USER", "VENDOR", "PARTNER", "PWD"])
def test_wrong_credentials_are_refused(url: str, control: SandboxClient, name: str) -> None:
    """RESULT=1, nothing booked."""
    assert sale(url, "K5", **{name: "wrong"})["RESULT"] == "1"
    assert control.transactions() == []


@pytest.mark.parametrize(
    ("values", "result"),
    [
        ({"TENDER": "G"}, "2"),
        ({"TRXTYPE": "G"}, "3"),
        ({"AMT": "-1"}, "4"),
        ({"AMT": "12.345"}, "4"),
        ({"AMT": "1,000.00"}, "4"),
        ({"CURRENCY": "JPY"}, "6"),
        ({"ACCT": "0000000000000000"}, "23"),
        ({"ACCT": "4111111111111112"}, "23"),
        ({"EXPDATE": "0298"}, "24"),
        ({"EXPDATE": "1320"}, "24"),
        ({"AMT": "1000.00"}, "0"),
        ({"AMT": "1012.00"}, "12"),
        ({"AMT": "1013.00"}, "13"),
        ({"AMT": "1050.00"}, "50"),
        ({"AMT": "1104.00"}, "104"),
        ({"AMT": "1126.00"}, "126"),
        ({"AMT": "2000.00"}, "1000"),
        ({"AMT": "2001.00"}, "12"),
        ({"AMT": "1777.00"}, "12"),
        ({"COMMENT1": 'a "quoted" word'}, "7"),
        ({"TRXTYPE": "D"}, "7"),
        ({"TRXTYPE": "D", "ORIGID": "A00000000000"}, "19"),
        ({"TRXTYPE": "C"}, "117"),
        ({"ACCT": "4000000000009995"}, "50"),
        ({"ACCT": "4000000000009979"}, "12"),
        ({"ACCT": "4000000000009235"}, "126"),
    ],
)
def test_documented_triggers(url: str, control: SandboxClient, values: dict[str, str], result: str) -> None:
    """Each trigger of the pilot, and of the table of test cards, gives its RESULT and charges nothing but for 0."""
    assert sale(url, "K6", **values)["RESULT"] == result
    assert sum(one.state == "approved" for one in control.transactions()) == (result == "0")


def test_any_amount_lifts_the_pilots_rule(url: str, control: SandboxClient) -> None:
    """With any_amount realistic invoices over 1000 are approved; test cards still decline."""
    control.change(any_amount=True)
    assert sale(url, "K7", amount="1012.00")["RESULT"] == "0"
    assert sale(url, "K8", amount="1012.00", ACCT="4000000000009995")["RESULT"] == "50"


def test_a_stolen_card_says_so_in_the_processors_codes(url: str, control: SandboxClient) -> None:
    """RESULT 12 alone does not tell soft from hard; HOSTCODE and PAYMENTADVICECODE do."""
    del control
    answer = sale(url, "K9", ACCT="4000000000009979")
    assert (answer["HOSTCODE"], answer["PAYMENTADVICECODE"]) == ("43", "03")


@pytest.mark.parametrize(
    ("street", "zip_code", "code", "expected"),
    [
        ("123 Main", "12345", "300", ("Y", "Y", "Y")),
        ("400 Main", "50001", "301", ("N", "N", "N")),
        ("667 Main", "12345", "601", ("X", "X", "X")),
        ("Main", "12345", "000", ("X", "X", None)),
    ],
)
def test_address_and_code_checks(
    url: str, street: str, zip_code: str, code: str, expected: tuple[str, str, str | None]
) -> None:
    """The pilot's rules for AVSADDR, AVSZIP and CVV2MATCH; they change no outcome."""
    answer = sale(url, "K10", BILLTOSTREET=street, BILLTOZIP=zip_code, CVV2=code)
    assert answer["RESULT"] == "0"
    assert (answer["AVSADDR"], answer["AVSZIP"], answer.get("CVV2MATCH")) == expected


def test_a_tagged_value_may_hold_separators(url: str, control: SandboxClient) -> None:
    """B16: `&AMT=1.00` inside a tagged comment changes no amount."""
    assert sale(url, "K11", amount="75.27", COMMENT1="x&AMT=1.00", BILLTOFIRSTNAME="R & D = Sons")["RESULT"] == "0"
    assert control.transaction(reference="K11").amount == 7527


@pytest.mark.parametrize(
    "tail", [b"&COMMENT1[9]=short", b"&COMMENT1=Level=5", b"&COMMENT1[2]=too long", "&COMMENT1[4]=café".encode()]
)
def test_a_malformed_body_is_a_format_error(url: str, tail: bytes) -> None:
    """A wrong length tag, an untagged equals sign or a non-ASCII character gives RESULT 7."""
    with Line(url) as line:
        line.send("/", DOCUMENTED_SALE + tail, payflow_headers("K12"))
        assert read_payflow(line.read().body)["RESULT"] == "7"


def test_of_a_field_sent_twice_the_last_counts(url: str, control: SandboxClient) -> None:
    """The sheet's rule for repeated fields."""
    with Line(url) as line:
        line.send("/", DOCUMENTED_SALE + b"&AMT[5]=20.00", payflow_headers("K13"))
        assert read_payflow(line.read().body)["AMT"] == "20.00"
    assert control.card(VISA).net == 2000


def test_a_missing_request_id_is_refused(url: str, control: SandboxClient) -> None:
    """Without its idempotency key nothing is charged."""
    with Line(url) as line:
        line.send("/", DOCUMENTED_SALE, {"Content-Type": "text/namevalue"})
        assert read_payflow(line.read().body)["RESULT"] == "7"
    assert control.card(VISA).charged == 0


def test_another_content_type_is_refused_below_the_protocol(url: str) -> None:
    """HTTP 400 without an NVP body."""
    with Line(url) as line:
        line.send("/", DOCUMENTED_SALE, {"Content-Type": "text/xml", "X-VPS-REQUEST-ID": "K14"})
        assert line.read().status == 400


def test_inquiry_by_reference_and_by_id(url: str, control: SandboxClient) -> None:
    """B13: both find the sale; RESULT is the inquiry's, ORIGRESULT the sale's; the inquiry has a PNREF of its own."""
    sold = sale(url, "K7Q2M9X4T1BA")
    for number, search in enumerate(({"CUSTREF": "K7Q2M9X4T1BA"}, {"ORIGID": sold["PNREF"]})):
        found = payflow(url, f"I{number}", TRXTYPE="I", **search)
        assert found["RESULT"] == "0"
        assert (found["ORIGRESULT"], found["ORIGPNREF"]) == ("0", sold["PNREF"])
        assert (found["TRANSSTATE"], found["CUSTREF"], found["AMT"]) == ("6", "K7Q2M9X4T1BA", "118.50")
        assert found["DATE_TO_SETTLE"].endswith("02:00:00")
        assert found["PNREF"] != sold["PNREF"]
    assert control.transaction(reference="K7Q2M9X4T1BA").inquiries == 2


def test_inquiry_of_a_decline_and_of_nothing(url: str) -> None:
    """A decline is found with its code; an unknown CUSTREF gives 20, an unknown ORIGID 19."""
    sale(url, "K15", amount="1050.00")
    found = payflow(url, "I1", TRXTYPE="I", CUSTREF="K15")
    assert (found["RESULT"], found["ORIGRESULT"], found["TRANSSTATE"]) == ("0", "50", "1")
    assert payflow(url, "I2", TRXTYPE="I", CUSTREF="NOBODY")["RESULT"] == "20"
    assert payflow(url, "I3", TRXTYPE="I", ORIGID="A00000000000")["RESULT"] == "19"


def test_a_reused_inquiry_id_replays_the_old_inquiry(url: str) -> None:
    """Each inquiry needs a fresh request id: a reused one shows what was true then."""
    assert payflow(url, "I4", TRXTYPE="I", CUSTREF="K16")["RESULT"] == "20"
    sale(url, "K16")
    assert payflow(url, "I4", TRXTYPE="I", CUSTREF="K16")["RESULT"] == "20"
    assert payflow(url, "I5", TRXTYPE="I", CUSTREF="K16")["RESULT"] == "0"


def test_inquiry_shows_the_latest_of_two_with_one_reference(url: str) -> None:
    """B76: a CUSTREF used twice hides the earlier transaction."""
    sale(url, "R1", CUSTREF="SAME")
    second = sale(url, "R2", CUSTREF="SAME", amount="1012.00")
    found = payflow(url, "I6", TRXTYPE="I", CUSTREF="SAME")
    assert (found["ORIGPNREF"], found["ORIGRESULT"]) == (second["PNREF"], "12")


def test_without_verbosity_there_is_no_state(url: str) -> None:
    """TRANSSTATE needs VERBOSITY MEDIUM or HIGH."""
    sale(url, "K17")
    assert "TRANSSTATE" not in payflow(url, "I7", TRXTYPE="I", CUSTREF="K17", VERBOSITY="LOW")


def test_a_void_before_settlement(url: str, control: SandboxClient) -> None:
    """Voided once; a second void is refused with 108; inquiry shows 1006; nothing of the charge stands."""
    sold = sale(url, "K18")
    assert payflow(url, "V1", TRXTYPE="V", ORIGID=sold["PNREF"], CUSTREF="V1")["RESULT"] == "0"
    assert payflow(url, "V2", TRXTYPE="V", ORIGID=sold["PNREF"])["RESULT"] == "108"
    assert payflow(url, "I8", TRXTYPE="I", ORIGID=sold["PNREF"])["TRANSSTATE"] == "1006"
    assert payflow(url, "I9", TRXTYPE="I", CUSTREF="V1")["ORIGRESULT"] == "0"
    card = control.card(VISA)
    assert (card.charged, card.standing, card.net) == (1, 0, 0)


def test_a_void_of_a_void_is_refused(url: str) -> None:
    """A void can't be voided."""
    sold = sale(url, "K19")
    voided = payflow(url, "V3", TRXTYPE="V", ORIGID=sold["PNREF"])
    assert payflow(url, "V4", TRXTYPE="V", ORIGID=voided["PNREF"])["RESULT"] == "108"


def test_a_settled_sale_is_refunded_not_voided(url: str, control: SandboxClient) -> None:
    """R11: 108 and TRANSSTATE 8 with its batch, then partial refunds up to the sum, then 105."""
    sold = sale(url, "K20", amount="100.00")
    control.settle()
    assert payflow(url, "V5", TRXTYPE="V", ORIGID=sold["PNREF"])["RESULT"] == "108"
    found = payflow(url, "I10", TRXTYPE="I", ORIGID=sold["PNREF"])
    assert found["TRANSSTATE"] == "8"
    assert int(found["BATCHID"]) > 0
    assert found["SETTLE_DATE"]
    assert payflow(url, "C1", TRXTYPE="C", ORIGID=sold["PNREF"], AMT="60.00")["RESULT"] == "0"
    assert payflow(url, "C2", TRXTYPE="C", ORIGID=sold["PNREF"], AMT="60.00")["RESULT"] == "105"
    assert payflow(url, "C3", TRXTYPE="C", ORIGID=sold["PNREF"], AMT="40.00")["RESULT"] == "0"
    assert payflow(url, "C4", TRXTYPE="C", ORIGID=sold["PNREF"])["RESULT"] == "105"
    assert control.charges()["payflow"]["USD"]["net"] == 0
    assert control.card(VISA).transactions[0].refunded == 10000


def test_a_voided_refund_gives_its_sum_free_again(url: str, control: SandboxClient) -> None:
    """A refund is unsettled too at first and can be voided; then the whole sum is refundable again."""
    sold = sale(url, "K21")
    control.settle()
    refund = payflow(url, "C5", TRXTYPE="C", ORIGID=sold["PNREF"])
    assert payflow(url, "V6", TRXTYPE="V", ORIGID=refund["PNREF"])["RESULT"] == "0"
    assert payflow(url, "C6", TRXTYPE="C", ORIGID=sold["PNREF"])["RESULT"] == "0"


def test_authorization_capture_and_their_traps(url: str, control: SandboxClient) -> None:
    """105 for crediting an authorization, 111 for capturing twice, 108 for voiding a captured authorization."""
    held = payflow(url, "A1", TRXTYPE="A", AMT="50.00", **PAYFLOW_CARD)["PNREF"]
    assert payflow(url, "I11", TRXTYPE="I", ORIGID=held)["TRANSSTATE"] == "3"
    assert payflow(url, "C7", TRXTYPE="C", ORIGID=held)["RESULT"] == "105"
    assert payflow(url, "D1", TRXTYPE="D", ORIGID=held)["RESULT"] == "0"
    assert payflow(url, "D2", TRXTYPE="D", ORIGID=held)["RESULT"] == "111"
    assert payflow(url, "V7", TRXTYPE="V", ORIGID=held)["RESULT"] == "108"
    assert payflow(url, "I12", TRXTYPE="I", ORIGID=held)["TRANSSTATE"] == "9"
    assert control.card(VISA).net == 5000


def test_a_reference_sale_charges_the_same_card(url: str, control: SandboxClient) -> None:
    """C4: ORIGID in place of the number; a failed original gives 120, an unknown one 19."""
    sold = sale(url, "K22", amount="10.00")
    again = payflow(url, "K23", TRXTYPE="S", ORIGID=sold["PNREF"], AMT="15.00", CUSTREF="K23")
    assert (again["RESULT"], again["ACCT"]) == ("0", "1111")
    assert control.card(VISA).net == 2500
    failed = sale(url, "K24", amount="1012.00")
    assert payflow(url, "K25", TRXTYPE="S", ORIGID=failed["PNREF"], AMT="1.00")["RESULT"] == "120"
    assert payflow(url, "K26", TRXTYPE="S", ORIGID="A00000000000", AMT="1.00")["RESULT"] == "19"


def test_held_for_review_until_a_person_decides(url: str, control: SandboxClient) -> None:
    """B22: 126 is neither yes nor no; after the decision inquiry tells it."""
    sale(url, "K27", ACCT="4000000000009235")
    sale(url, "K28", ACCT="4000000000009235")
    assert control.card("4000000000009235").charged == 0
    assert payflow(url, "I13", TRXTYPE="I", CUSTREF="K27")["ORIGRESULT"] == "126"
    assert control.review("accept", reference="K27") == 1
    assert control.review("reject", reference="K28") == 1
    assert payflow(url, "I14", TRXTYPE="I", CUSTREF="K27")["ORIGRESULT"] == "0"
    assert payflow(url, "I15", TRXTYPE="I", CUSTREF="K28")["ORIGRESULT"] == "128"
    assert control.card("4000000000009235").charged == 1


def test_card_on_file(url: str) -> None:
    """A kept card's indicator is checked, and answered with what the network called the sale."""
    assert "TXID" not in sale(url, "K1")
    assert len(sale(url, "K2", CARDONFILE="CITI")["TXID"]) == 15
    assert sale(url, "K3", CARDONFILE="yes")["RESULT"] == "7"


def test_a_reference_transaction_is_told_by_the_gateway(url: str, control: SandboxClient) -> None:
    """The first without an earlier CARDONFILE is CITI, those after a stored card's are MITU: nothing has to be sent."""
    plain = sale(url, "K80")["PNREF"]
    payflow(url, "K81", TRXTYPE="S", ORIGID=plain, AMT="5.00")
    stored = sale(url, "K82", CARDONFILE="CITR")["PNREF"]
    payflow(url, "K83", TRXTYPE="S", ORIGID=stored, AMT="5.00")
    assert [one.credential for one in control.transactions(operation="sale")] == [
        "",
        "customer first unscheduled",
        "customer first recurring",
        "merchant subsequent unscheduled",
    ]
