"""Plug'n Pay as its sheet describes it: samples, duplicates, void, return, query."""

import pytest

from sandbox.client import SandboxClient
from tests.sandbox.speak import (
    OTHER_VISA,
    PLUGNPAY_HEADERS,
    PLUGNPAY_PATH,
    VISA,
    Line,
    authpostauth,
    plugnpay,
    read_plugnpay,
    records,
)

ORDER = "2611240000010410101"
DOCUMENTED_SALE = (
    b"publisher-name=pnpdemo&publisher-password=sandbox-secret&mode=auth&authtype=authpostauth"
    b"&orderID=2611240000010410101&order-id=INV-1041&acct_code2=dfy-p1041-sale-1&dontsndmail=yes"
    b"&card-name=Ada+Example&card-number=4111111111111111&card-exp=12%2F29&card-cvv=123"
    b"&card-amount=125.50&currency=usd&card-address1=1+Test+St&card-city=Anytown&card-state=NY&card-zip=10001"
    b"&card-country=US"
)
DOCUMENTED_ANSWER = (
    b"FinalStatus=success&MStatus=success&success=yes&orderID=2611240000010410101&auth%2dcode=TSTAUT&resp%2dcode=00"
    b"&sresp=A&avs%2dcode=Y&cvvresp=M&card%2damount=125%2e50&currency=usd&receiptcc=XXXXXXXXXXXX1111&mode=auth&a=b"
)


def void(url: str, order: str = ORDER, amount: str = "125.50") -> dict[str, str]:
    """Void the latest operation of an order."""
    return plugnpay(url, mode="void", orderID=order, card_amount=amount, txn_type="auth")


def give_back(url: str, order: str = ORDER, amount: str = "125.50") -> dict[str, str]:
    """Return a sale or a part of it."""
    return plugnpay(url, mode="return", orderID=order, card_amount=amount, currency="usd")


def query(url: str, order: str = ORDER, **values: str) -> dict[str, str]:
    """Ask for the history of an order."""
    return plugnpay(url, mode="query_trans", orderID=order, startdate="20200101", **values)


def test_the_documented_sale_gets_the_documented_fields(url: str) -> None:
    """The sheet's sample request is answered with all that its sample answer says."""
    with Line(url) as line:
        line.send(PLUGNPAY_PATH, DOCUMENTED_SALE, PLUGNPAY_HEADERS)
        answer = line.read()
    assert answer.status == 200
    assert read_plugnpay(answer.body).items() >= read_plugnpay(DOCUMENTED_ANSWER).items()
    for sample in DOCUMENTED_ANSWER.split(b"&"):
        assert sample in answer.body.strip().split(b"&")


def test_answers_echo_the_request_with_the_password(url: str) -> None:
    """As the real gateway does: password, expiry and name come back; number and security code do not."""
    answer = authpostauth(url, ORDER)
    assert answer["publisher-password"] == "sandbox-secret"
    assert (answer["card-exp"], answer["card-name"]) == ("12/29", "Ada Example")
    assert VISA not in answer.values()
    assert "card-cvv" not in answer


def test_a_repeated_order_id_charges_nothing(url: str, control: SandboxClient) -> None:
    """Duplicate=yes and the original's fields, whatever the repeat says."""
    first = authpostauth(url, ORDER)
    again = authpostauth(url, ORDER, amount="99.00", card_number=OTHER_VISA)
    assert first["Duplicate"] == ""
    assert again == {**first, "Duplicate": "yes"}
    assert control.card(VISA).charged == 1
    assert control.card(OTHER_VISA).charged == 0


def test_a_declined_order_id_repeats_the_decline(url: str) -> None:
    """So each attempt needs a number of its own."""
    assert authpostauth(url, ORDER, amount="1500.00")["FinalStatus"] == "badcard"
    again = authpostauth(url, ORDER)
    assert (again["FinalStatus"], again["Duplicate"]) == ("badcard", "yes")


@pytest.mark.parametrize(
    ("values", "status", "code"),
    [
        ({"publisher_password": "wrong"}, "problem", "P91"),
        ({"publisher_name": "nobody"}, "problem", "P91"),
        ({"publisher_name": ""}, "problem", "P98"),
        ({"mode": "reauth"}, "problem", "P94"),
        ({"card_amount": "1500.00"}, "badcard", "200"),
        ({"card_amount": "-1.00"}, "problem", "P58"),
        ({"card_amount": "0.00"}, "problem", "P58"),
        ({"card_amount": "1.234"}, "problem", "P58"),
        ({"currency": "jpy"}, "problem", "P58"),
        ({"card_name": ""}, "problem", "P58"),
        ({"card_number": "1234123412341234"}, "fraud", "P55"),
        ({"card_exp": "01/20"}, "fraud", "P57"),
        ({"card_cvv": "12"}, "fraud", "P56"),
        ({"order_id": "ABC"}, "problem", "P58"),
        ({"card_number": "4000000000009995"}, "badcard", "51"),
        ({"card_number": "4000000000009979"}, "badcard", "43"),
        ({"card_number": "4000000000000119"}, "problem", "P97"),
    ],
)
def test_documented_triggers(url: str, control: SandboxClient, values: dict[str, str], status: str, code: str) -> None:
    """Each trigger gives its FinalStatus and resp-code, and charges nothing."""
    answer = authpostauth(url, **{"order_id": ORDER} | values)
    assert (answer["FinalStatus"], answer["resp-code"]) == (status, code)
    assert "approved" not in [one.state for one in control.transactions()]


def test_a_sale_without_order_id_gets_one(url: str) -> None:
    """The gateway makes a number of 19 digits from date and time."""
    made = authpostauth(url, "")["orderID"]
    assert len(made) == 19
    assert made.isdigit()


def test_pending_is_held_for_a_decision(url: str, control: SandboxClient) -> None:
    """B79: FinalStatus=pending counts as neither; the query tells the decision later."""
    assert authpostauth(url, ORDER, card_number="4000000000009235")["FinalStatus"] == "pending"
    assert control.card("4000000000009235").charged == 0
    assert [one["FinalStatus"] for one in records(query(url))] == ["pending"]
    control.review("accept", reference=ORDER)
    assert records(query(url))[0]["FinalStatus"] == "success"


def test_a_void_before_the_sweep(url: str, control: SandboxClient) -> None:
    """Done, with the misleading fields of the recordings; the query shows auth and void; nothing stands."""
    authpostauth(url, ORDER)
    done = void(url)
    assert done["FinalStatus"] == "success"
    assert done["aux-msg"].endswith("has been successfully voided.")
    assert done["success"] == "problem"
    assert done["MStatus"].isdigit()
    assert "may not be voided" in done["auth-msg"]
    assert [(one["operation"], one["FinalStatus"]) for one in records(query(url))] == [
        ("auth", "success"),
        ("void", "success"),
    ]
    assert control.card(VISA).standing == 0
    assert give_back(url)["MErrMsg"] == "Transaction already voided. It may not be returned."


def test_a_void_after_the_sweep_is_refused(url: str, control: SandboxClient) -> None:
    """R11: `problem` with the documented text; between sweep and settlement neither void nor return works."""
    authpostauth(url, ORDER)
    assert give_back(url)["MErrMsg"] == "Transaction not yet settled. It may not be returned."
    control.settle(stop_at="settling")
    refused = void(url)
    assert (refused["FinalStatus"], refused["MErrMsg"]) == ("problem", "Transaction may not be voided.")
    assert give_back(url)["MErrMsg"] == "Transaction not yet settled. It may not be returned."
    control.settle()
    assert give_back(url)["FinalStatus"] == "success"
    assert give_back(url)["MErrMsg"] == "Transaction already returned."
    assert control.charges()["plugnpay"]["USD"]["net"] == 0


def test_a_void_undoes_the_latest_operation(url: str, control: SandboxClient) -> None:
    """B75: a void that comes after a return undoes the return, and the customer has paid again."""
    authpostauth(url, ORDER)
    control.settle()
    give_back(url)
    assert control.card(VISA).net == 0
    assert void(url)["FinalStatus"] == "success"
    card = control.card(VISA)
    assert (card.standing, card.net) == (1, 12550)
    assert [one.state for one in card.transactions if one.operation == "refund"] == ["voided"]


def test_a_settled_return_may_not_be_voided(url: str, control: SandboxClient) -> None:
    """Once swept, the return stays."""
    authpostauth(url, ORDER)
    control.settle()
    give_back(url)
    control.settle()
    assert void(url)["MErrMsg"] == "Transaction may not be voided."
    assert control.card(VISA).net == 0


def test_a_return_is_limited_by_the_sale(url: str, control: SandboxClient) -> None:
    """Not above the sale, not of an unknown order, once for each order; a second part needs returnprev."""
    authpostauth(url, ORDER)
    control.settle()
    assert give_back(url, amount="125.51")["FinalStatus"] == "problem"
    assert give_back(url, order="99")["MErrMsg"].startswith("Order ID does not exist as a previous order.")
    assert give_back(url, amount="25.50")["FinalStatus"] == "success"
    assert give_back(url, amount="10.00")["MErrMsg"] == "Transaction already returned."
    second = {"mode": "returnprev", "prevorderid": ORDER, "orderID": "77", "card_amount": "10.00"}
    assert plugnpay(url, **second)["FinalStatus"] == "success"
    assert plugnpay(url, **second)["Duplicate"] == "yes"
    assert control.charges()["plugnpay"]["USD"]["refunded"] == 3550


def test_the_query_tells_the_whole_history(url: str, control: SandboxClient) -> None:
    """Auth, postauth pending until swept, then the return; filters narrow it; nothing found is a `problem`."""
    assert query(url)["MErrMsg"] == "No records found"
    authpostauth(url, ORDER)
    told = records(query(url))
    assert [(one["operation"], one["FinalStatus"]) for one in told] == [("auth", "success"), ("postauth", "pending")]
    assert told[0]["card-amount"] == "125.50"
    assert told[0]["card-number"].endswith("1111")
    control.settle()
    give_back(url)
    control.settle()
    assert [(one["operation"], one["FinalStatus"]) for one in records(query(url))] == [
        ("auth", "success"),
        ("postauth", "success"),
        ("return", "success"),
    ]
    assert [one["operation"] for one in records(query(url, operation="return"))] == ["return"]
    assert query(url, result="badcard")["MErrMsg"] == "No records found"
    assert plugnpay(url, mode="query_trans", orderID=ORDER)["FinalStatus"] == "problem"


def test_an_authorization_is_marked_later(url: str, control: SandboxClient) -> None:
    """authonly charges nothing until mark; then it settles like a sale."""
    authpostauth(url, ORDER, authtype="authonly")
    assert control.card(VISA).charged == 0
    assert plugnpay(url, mode="mark", orderID=ORDER, card_amount="100.00")["FinalStatus"] == "success"
    assert control.card(VISA).net == 10000


def test_customer_text_cannot_forge_a_field(url: str) -> None:
    """B17: an encoded `&` in the name stays inside its field, in the echo and in the records."""
    answer = authpostauth(url, ORDER, card_name="A&FinalStatus=success", amount="1500.00")
    assert answer["FinalStatus"] == "badcard"
    assert answer["card-name"] == "A&FinalStatus=success"
