"""Misbehaviour on demand: each scenario, seen from the wire and from the sandbox's books."""

import re
import threading
from collections.abc import Callable

import pytest

from sandbox import client as steps
from sandbox.client import SandboxClient, SandboxError
from sandbox.scenarios import Step
from tests.sandbox.speak import (
    OTHER_VISA,
    PAYFLOW_CARD,
    PLUGNPAY_CARD,
    PLUGNPAY_HEADERS,
    PLUGNPAY_PATH,
    VISA,
    HttpAnswer,
    Line,
    NoAnswer,
    authpostauth,
    payflow,
    payflow_body,
    payflow_headers,
    plugnpay,
    plugnpay_body,
    read_payflow,
    sale,
)

ORDER = "2611240000010410101"


def send_payflow(line: Line, number: str = "K1", **values: str) -> None:
    """Put a Payflow sale on the wire without waiting."""
    fields = {"TRXTYPE": "S", "AMT": "118.50", "CUSTREF": number} | PAYFLOW_CARD | values
    line.send("/", payflow_body(**fields), payflow_headers(number))


def send_plugnpay(line: Line, number: str = ORDER, **values: str) -> None:
    """Put a Plug'n Pay sale on the wire without waiting."""
    card = {name.replace("-", "_"): value for name, value in PLUGNPAY_CARD.items()}
    fields = {"mode": "auth", "authtype": "authpostauth", "orderID": number, "card_amount": "125.50"} | card | values
    line.send(PLUGNPAY_PATH, plugnpay_body(**fields), PLUGNPAY_HEADERS)


BOTH = pytest.mark.parametrize("send", [send_payflow, send_plugnpay], ids=["payflow", "plugnpay"])
Send = Callable[[Line], None]


def exchange(url: str, send: Send) -> HttpAnswer:
    """One sale on a connection of its own."""
    with Line(url) as line:
        send(line)
        return line.read()


@BOTH
def test_hold_before_booking(url: str, control: SandboxClient, send: Send) -> None:
    """E1: what waits at a barrier before booking is on the wire and not booked; released, it is booked once."""
    control.scenario(before=[steps.hold("sent")], operation="sale")
    with Line(url) as line:
        send(line)
        assert control.wait_for("sent").waiting == 1
        assert control.card(VISA).charged == 0
        assert control.request_count() == 1
        assert control.release("sent") == 1
        assert line.read().status == 200
    assert control.card(VISA).charged == 1
    assert control.barrier("sent") == steps.BarrierReport(waiting=0, arrived=1, released=1)


@BOTH
def test_hold_after_booking(url: str, control: SandboxClient, send: Send) -> None:
    """What waits at a barrier after booking is charged and unanswered."""
    control.scenario(after=[steps.hold("booked")])
    with Line(url) as line:
        send(line)
        control.wait_for("booked")
        assert control.card(VISA).charged == 1
        with pytest.raises(NoAnswer, match="late"):
            line.read(seconds=0.05)
        control.release("booked")
        assert line.read().status == 200


def test_a_barrier_counts_exactly(url: str, control: SandboxClient) -> None:
    """Ten calls held at once, let go in the order of their arrival, some and then the rest."""
    control.scenario(before=[steps.hold("ten")], times=0)
    lines = [Line(url) for _ in range(10)]
    for number, line in enumerate(lines):
        send_payflow(line, f"N{number}")
        control.wait_for("ten", at_least=number + 1)
    assert control.release("ten", count=4) == 4
    answers = [read_payflow(line.read().body)["RESULT"] for line in lines[:4]]
    assert answers == ["0"] * 4
    assert control.card(VISA).charged == 4
    assert control.barrier("ten").waiting == 6
    assert control.release("ten", stay_open=True) == 6
    for line in lines[4:]:
        line.read()
    assert control.card(VISA).charged == 10
    send_payflow(lines[0], "N10")
    lines[0].read()
    for line in lines:
        line.close()


def test_waiting_in_vain_says_so(url: str, control: SandboxClient) -> None:
    """A test that waits for calls that never come gets an error, not a hang."""
    del url
    with pytest.raises(SandboxError, match="0 of 2 calls wait at 'nobody'"):
        control.wait_for("nobody", at_least=2, seconds=0.05)


@BOTH
def test_what_follows_can_be_decided_at_the_barrier(url: str, control: SandboxClient, send: Send) -> None:
    """The test looks first, then resets: the card was not charged."""
    control.scenario(before=[steps.hold("deciding")])
    with Line(url) as line:
        send(line)
        control.wait_for("deciding")
        control.release("deciding", then=[steps.reset()])
        with pytest.raises(NoAnswer, match="reset"):
            line.read()
    assert control.card(VISA).charged == 0


@BOTH
@pytest.mark.parametrize(("step", "how"), [(steps.reset(), "reset"), (steps.close(), "closed")])
def test_connection_lost_before_and_after_booking(
    url: str, control: SandboxClient, send: Send, step: Step, how: str
) -> None:
    """E3: on the wire both look the same; only the sandbox knows whether the card was charged."""
    control.scenario(before=[step])
    control.scenario(after=[step])
    for charged in (0, 1):
        with pytest.raises(NoAnswer, match=how):
            exchange(url, send)
        assert control.card(VISA).charged == charged
    assert exchange(url, send).status == 200
    assert control.card(VISA).charged == 1


def test_an_answer_after_the_client_gave_up(url: str, control: SandboxClient) -> None:
    """B01: the client is gone, the charge is made all the same, and inquiry finds it."""
    control.scenario(before=[steps.hold("slow")])
    line = Line(url)
    send_payflow(line)
    control.wait_for("slow")
    with pytest.raises(NoAnswer, match="late"):
        line.read(seconds=0.05)
    line.close()
    assert payflow(url, "I1", TRXTYPE="I", CUSTREF="K1")["RESULT"] == "20"
    control.release("slow")
    assert payflow(url, "I2", TRXTYPE="I", CUSTREF="K1")["ORIGRESULT"] == "0"
    assert control.card(VISA).charged == 1


def test_a_late_first_send_is_a_duplicate_of_the_second(url: str, control: SandboxClient) -> None:
    """E4: the same reference sent again while the first is stuck charges once, whichever is booked first."""
    control.scenario(before=[steps.hold("stuck")])
    with Line(url) as line:
        send_payflow(line)
        control.wait_for("stuck")
        second = sale(url, "K1")
        control.release("stuck")
        first = read_payflow(line.read().body)
    assert first == {**second, "DUPLICATE": "1"}
    assert control.card(VISA).charged == 1


def test_delay(url: str, control: SandboxClient) -> None:
    """An answer that comes late comes, and only that one."""
    control.scenario(after=[steps.delay(150)])
    with Line(url) as line:
        send_payflow(line)
        with pytest.raises(NoAnswer, match="late"):
            line.read(seconds=0.05)
        assert line.read().status == 200
        send_payflow(line, "K2")
        assert line.read(seconds=1).status == 200


def test_a_kept_alive_connection_dropped_as_the_next_request_comes(url: str, control: SandboxClient) -> None:
    """The first request of a connection is served; the second finds the connection closed, and was not read."""
    control.scenario(before=[steps.close()], reused=True)
    with Line(url) as line:
        send_payflow(line, "K1")
        assert line.read().status == 200
        send_payflow(line, "K2")
        with pytest.raises(NoAnswer, match="closed"):
            line.read()
    assert sale(url, "K2")["RESULT"] == "0"
    assert control.card(VISA).charged == 2


def test_a_connection_closed_right_after_its_answer(url: str, control: SandboxClient) -> None:
    """The answer promises nothing about closing, and the connection is closed."""
    control.scenario(after=[steps.close_after_reply()])
    with Line(url) as line:
        send_payflow(line)
        assert "connection" not in line.read().headers
        assert line.closed_by_peer()


@BOTH
def test_redirect_to_another_port(url: str, control: SandboxClient, send: Send) -> None:
    """E3: 307 names the decoy port, which counts what arrives there; nothing is booked by either."""
    control.scenario(before=[steps.page(307)])
    answer = exchange(url, send)
    port, arrived = control.decoy()
    assert answer.status == 307
    assert answer.headers["location"].startswith(f"http://127.0.0.1:{port}/")
    assert arrived == []
    with Line(f"http://127.0.0.1:{port}") as line:
        send(line)
        assert line.read().status == 404
    assert len(control.decoy()[1]) == 1
    assert control.card(VISA).charged == 0


@BOTH
@pytest.mark.parametrize("status", [200, 429, 500, 502, 503])
def test_pages_in_place_of_an_answer(url: str, control: SandboxClient, send: Send, status: int) -> None:
    """B19: an HTML page with any status, before and after booking."""
    control.scenario(before=[steps.page(status)])
    control.scenario(after=[steps.page(status)])
    for charged in (0, 1):
        answer = exchange(url, send)
        assert answer.status == status
        assert b"RESULT" not in answer.body
        assert b"FinalStatus" not in answer.body
        assert ("retry-after" in answer.headers) == (status == 429)
        assert control.card(VISA).charged == charged


def test_a_page_of_ones_own(url: str, control: SandboxClient) -> None:
    """Body, type and headers as the test wants them."""
    control.scenario(after=[steps.page(429, "slow down", "text/plain", {"Retry-After": "7"})])
    answer = exchange(url, send_payflow)
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (429, b"slow down", "7")


@BOTH
def test_a_reply_cut_short(url: str, control: SandboxClient, send: Send) -> None:
    """Cut with a Content-Length that promises all (the connection ends), or one that hides the cut."""
    control.scenario(after=[steps.cut(20)])
    with pytest.raises(NoAnswer, match="closed") as cut_short:
        exchange(url, send)
    assert len(cut_short.value.received.partition(b"\r\n\r\n")[2]) == 20
    control.scenario(after=[steps.cut(20, promise_all=False)])
    assert len(exchange(url, send).body) == 20
    assert control.card(VISA).charged == 1


@BOTH
@pytest.mark.parametrize("how", ["noise", "utf-16", "latin-1", "nul"])
def test_garbage(url: str, control: SandboxClient, send: Send, how: str) -> None:
    """Bytes that are no answer in the expected character set, after the charge was made."""
    control.scenario(after=[steps.garble(how)])
    garbled = exchange(url, send).body
    plain = exchange(url, send).body
    assert garbled not in (plain, b"")
    assert re.search(rb"[\x00\x80-\xff]", garbled)
    assert control.card(VISA).charged == 1


def test_an_approval_of_something_else(url: str, control: SandboxClient) -> None:
    """R18: the answer names another amount, currency or reference than was asked; the books have the right one."""
    control.scenario(after=[steps.edit({"AMT": "1.00", "CURRENCY": "EUR", "AUTHCODE": None})])
    answer = sale(url, "K1")
    assert (answer["RESULT"], answer["AMT"], answer["CURRENCY"]) == ("0", "1.00", "EUR")
    assert "AUTHCODE" not in answer
    assert control.transaction(reference="K1").amount == 11850
    control.scenario(after=[steps.edit({"card-amount": "1.00", "orderID": "7"})])
    other = authpostauth(url, ORDER)
    assert (other["FinalStatus"], other["card-amount"], other["orderID"]) == ("success", "1.00", "7")
    assert other["card-name"] == "Ada Example"


def test_decline_some_times_and_then_approve(url: str, control: SandboxClient) -> None:
    """A chosen code for a number of attempts on one card; other cards are approved meanwhile."""
    control.scenario(before=[steps.answer("51", "Over the limit")], times=2, card=VISA)
    assert sale(url, "K1")["RESPMSG"] == "Over the limit"
    assert sale(url, "K2", ACCT=OTHER_VISA)["RESULT"] == "0"
    assert sale(url, "K3")["RESULT"] == "51"
    assert sale(url, "K4")["RESULT"] == "0"
    card = control.card(VISA)
    assert (card.declined, card.charged) == (2, 1)


def test_cards_that_decline_first(url: str, control: SandboxClient) -> None:
    """The number says how often: 4000 0500 000n nnnc declines n times on either gateway, then approves."""
    number = "4000050000020001"
    number = next(number[:-1] + str(digit) for digit in range(10) if _luhn(number[:-1] + str(digit)))
    assert sale(url, "K1", ACCT=number)["RESULT"] == "50"
    assert authpostauth(url, ORDER, card_number=number)["resp-code"] == "51"
    assert sale(url, "K2", ACCT=number)["RESULT"] == "0"
    assert control.card(number).charged == 1


def _luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def test_answers_forced_on_other_operations(url: str, control: SandboxClient) -> None:
    """A void refused without being settled (a host-based processor), a refund refused, an inquiry that fails."""
    sold = sale(url, "K1")["PNREF"]
    control.scenario(before=[steps.answer("108")], operation="void")
    assert payflow(url, "V1", TRXTYPE="V", ORIGID=sold)["RESULT"] == "108"
    assert payflow(url, "I1", TRXTYPE="I", ORIGID=sold)["TRANSSTATE"] == "6"
    control.scenario(before=[steps.answer("105")], operation="refund")
    assert payflow(url, "C1", TRXTYPE="C", ORIGID=sold)["RESULT"] == "105"
    control.scenario(before=[steps.answer("20")], operation="inquiry")
    assert payflow(url, "I2", TRXTYPE="I", CUSTREF="K1")["RESULT"] == "20"
    assert control.card(VISA).net == 11850
    control.scenario(before=[steps.answer("P93")], gateway="plugnpay", operation="inquiry")
    refused = plugnpay(url, mode="query_trans", orderID=ORDER, startdate="20200101")
    assert refused["resp-code"] == "P93"


def test_an_answer_that_denies_what_was_booked(url: str, control: SandboxClient) -> None:
    """RESULT 104 after the charge: the code may mean either, and here the card was charged."""
    control.scenario(after=[steps.answer("104")])
    assert sale(url, "K1")["RESULT"] == "104"
    assert control.card(VISA).charged == 1
    control.scenario(after=[steps.answer("P97")])
    assert authpostauth(url, ORDER)["resp-code"] == "P97"
    assert control.card(VISA).charged == 2


def test_a_void_refused_because_it_settled_meanwhile(url: str, control: SandboxClient) -> None:
    """R11: the batch runs just before the void; the gateway refuses it and inquiry shows it settled."""
    sold = sale(url, "K1")["PNREF"]
    control.scenario(before=[steps.settle()], operation="void")
    assert payflow(url, "V1", TRXTYPE="V", ORIGID=sold)["RESULT"] == "108"
    assert payflow(url, "I1", TRXTYPE="I", ORIGID=sold)["TRANSSTATE"] == "8"
    authpostauth(url, ORDER)
    control.scenario(before=[steps.settle("settling")], operation="void")
    refused = plugnpay(url, mode="void", orderID=ORDER, card_amount="125.50", txn_type="auth")
    assert refused["MErrMsg"] == "Transaction may not be voided."
    assert control.transaction(gateway="plugnpay", operation="sale").state == "settling"


def test_a_void_that_arrives_late_hits_the_return(url: str, control: SandboxClient) -> None:
    """B75: held on its way, the void arrives after the return and undoes it."""
    authpostauth(url, ORDER)
    control.scenario(before=[steps.hold("late void")], gateway="plugnpay", operation="void")
    with Line(url) as line:
        body = plugnpay_body(mode="void", orderID=ORDER, card_amount="125.50", txn_type="auth")
        line.send(PLUGNPAY_PATH, body, PLUGNPAY_HEADERS)
        control.wait_for("late void")
        control.settle()
        returned = plugnpay(url, mode="return", orderID=ORDER, card_amount="125.50", currency="usd")
        assert returned["FinalStatus"] == "success"
        assert control.card(VISA).net == 0
        control.release("late void")
        line.read()
    assert control.card(VISA).net == 12550


def test_a_foreign_transaction_flagged_as_duplicate(url: str, control: SandboxClient) -> None:
    """B08: the other customer's approval comes back with DUPLICATE, and nothing was charged."""
    old = sale(url, "OLD", ACCT=OTHER_VISA)
    control.scenario(before=[steps.foreign(old["PNREF"])])
    assert sale(url, "K1") == {**old, "DUPLICATE": "1"}
    theirs = authpostauth(url, "11", card_number=OTHER_VISA)
    control.scenario(before=[steps.foreign("11")], gateway="plugnpay")
    assert authpostauth(url, ORDER) == {**theirs, "Duplicate": "yes"}
    assert control.card(VISA).charged == 0


def test_held_for_review_on_demand(url: str, control: SandboxClient) -> None:
    """126 and pending for any card, by a forced verdict."""
    control.scenario(before=[steps.answer("126")])
    assert sale(url, "K1")["RESULT"] == "126"
    control.scenario(before=[steps.answer("pending")])
    assert authpostauth(url, ORDER)["FinalStatus"] == "pending"
    assert control.card(VISA).in_review == 2


def test_what_a_scenario_matches(url: str, control: SandboxClient) -> None:
    """Gateway, amount, reference, request id and the n-th match narrow it; the first one set counts."""
    second = control.scenario(before=[steps.answer("50")], skip=1, times=1, amount="20.00")
    by_reference = control.scenario(before=[steps.answer("51")], reference="K9")
    by_request = control.scenario(before=[steps.answer("13")], request_id="K10")
    only_pnp = control.scenario(before=[steps.answer("51")], gateway="plugnpay", times=0)
    asked = [("K1", "20.00"), ("K2", "20.00"), ("K3", "20.00"), ("K9", "5.00"), ("K10", "5.00"), ("K11", "5.00")]
    assert [sale(url, number, amount)["RESULT"] for number, amount in asked] == ["0", "50", "0", "51", "13", "0"]
    assert [control.applied(one) for one in (second, by_reference, by_request, only_pnp)] == [1, 1, 1, 0]
    control.remove(only_pnp)
    assert authpostauth(url, ORDER)["FinalStatus"] == "success"


def test_clearing_lets_go_what_is_held(url: str, control: SandboxClient) -> None:
    """No call stays held when a test is over."""
    control.scenario(before=[steps.hold("forgotten")])
    with Line(url) as line:
        send_payflow(line)
        control.wait_for("forgotten")
        control.clear()
        assert line.read().status == 200


def test_a_test_may_wait_before_the_call_comes(url: str, control: SandboxClient) -> None:
    """Waiting for a barrier ends as soon as the call arrives, in whichever order the two begin."""
    control.scenario(before=[steps.hold("soon")])
    with Line(url) as line:
        later = threading.Timer(0.1, send_payflow, (line,))
        later.start()
        assert control.wait_for("soon").waiting == 1
        later.join()
        control.release("soon")
        line.read()


@BOTH
def test_stall(url: str, control: SandboxClient, send: Send) -> None:
    """The rest of an answer is promised and does not come, while the connection stays open."""
    control.scenario(after=[steps.cut(4, stall=True)])
    with Line(url) as line:
        send(line)
        with pytest.raises(NoAnswer, match="late"):
            line.read(0.2)


def test_twin(url: str, control: SandboxClient) -> None:
    """A booked sale is booked once more under the same reference; what was never booked has no twin."""
    first = sale(url, "K1")["PNREF"]
    twin = control.twin("payflow", first)
    assert twin.id != first
    assert [one.reference for one in control.transactions(operation="sale")] == ["K1", "K1"]
    assert control.card(VISA).charged == 2
    with pytest.raises(SandboxError, match="give the gateway and the id"):
        control.twin("payflow", "nosuch")


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({}, "at least one step"),
        ({"before": [{"do": "explode"}]}, '"do", one of'),
        ({"before": [{"do": "hold"}]}, "hold needs barrier"),
        ({"before": [{"do": "delay", "ms": "soon"}]}, "ms of delay must be"),
        ({"before": [{"do": "reset", "now": True}]}, "reset has no now"),
        ({"before": [{"do": "cut"}]}, "cut makes no sense there"),
        ({"after": [{"do": "settle"}]}, "settle makes no sense there"),
        ({"after": [{"do": "garble", "how": "nicely"}]}, "how of garble is one of"),
        ({"before": [{"do": "reset"}], "match": {"colour": "red"}}, "unknown colour"),
        ({"before": [{"do": "reset"}], "match": {"operation": "theft"}}, "operation is one of"),
        ({"before": [{"do": "reset"}], "match": {"amount": "lots"}}, "amount is a decimal"),
        ({"before": [{"do": "reset"}], "match": {"card": "4111"}}, "card is a card number"),
        ({"before": [{"do": "reset"}], "times": -1}, "whole numbers"),
    ],
)
def test_a_wrong_scenario_is_refused_with_the_reason(
    control: SandboxClient, wanted: dict[str, object], reason: str
) -> None:
    """What can't be set says what is wrong and what is expected."""
    with pytest.raises(SandboxError, match=re.escape(reason)):
        control.ask("POST", "scenarios", wanted)
