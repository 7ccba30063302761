"""The sandbox's books: settlement by its clock, the state file, reports, and that no card data leaks."""

import re
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from sandbox import client as steps
from sandbox.client import SandboxClient, SandboxError, SandboxProcess, start
from sandbox.protocols import PROTOCOLS
from tests.sandbox.speak import (
    PAYFLOW_CARD,
    VISA,
    Line,
    authpostauth,
    payflow,
    payflow_body,
    payflow_headers,
    sale,
)

ORDER = "2611240000010410101"


def test_passing_the_cutoff_settles(url: str, control: SandboxClient) -> None:
    """At 02:00 UTC by the sandbox's clock what is unsettled goes into a batch; a second before it does not."""
    control.set_clock(datetime(2027, 3, 1, 20, 0, tzinfo=UTC))
    sold = sale(url, "K1")
    control.set_clock(datetime(2027, 3, 2, 1, 59, 50, tzinfo=UTC))
    assert control.transaction(id=sold["PNREF"]).state == "approved"
    control.advance(20)
    settled = control.transaction(id=sold["PNREF"])
    assert (settled.state, settled.settled_at) == ("settled", "2027-03-02T02:00:00+00:00")
    found = payflow(url, "I1", TRXTYPE="I", CUSTREF="K1")
    assert (found["TRANSSTATE"], found["SETTLE_DATE"]) == ("8", "2027-03-02 02:00:00")


def test_the_clock_can_stand_in_the_past_and_future(url: str, control: SandboxClient) -> None:
    """Times are the sandbox's: a card expires, a reference ages out of the 30 days that an inquiry looks back."""
    now = datetime.now(UTC)
    control.set_clock(now)
    assert abs(control.now() - now) < timedelta(seconds=5)
    sale(url, "K1")
    control.advance(40 * 86_400)
    assert payflow(url, "I1", TRXTYPE="I", CUSTREF="K1")["RESULT"] == "20"
    window = {
        "STARTTIME": f"{now - timedelta(days=1):%Y%m%d%H%M%S}",
        "ENDTIME": f"{now + timedelta(days=1):%Y%m%d%H%M%S}",
    }
    assert payflow(url, "I2", TRXTYPE="I", CUSTREF="K1", **window)["RESULT"] == "0"
    control.set_clock(datetime(2031, 1, 1, tzinfo=UTC))
    assert sale(url, "K2")["RESULT"] == "24"
    control.set_clock(datetime.now(UTC))


def test_settlement_can_stop_half_way(url: str, control: SandboxClient) -> None:
    """TRANSSTATE 7: no void any more, not settled yet; only the gateway that was named moves."""
    sold = sale(url, "K1")["PNREF"]
    authpostauth(url, ORDER)
    assert control.settle("payflow", stop_at="settling") == 1
    assert payflow(url, "I1", TRXTYPE="I", ORIGID=sold)["TRANSSTATE"] == "7"
    assert payflow(url, "V1", TRXTYPE="V", ORIGID=sold)["RESULT"] == "108"
    assert control.transaction(gateway="plugnpay").state == "approved"
    assert control.settle() == 2
    assert {one.state for one in control.transactions()} == {"settled", "refused"}


def test_charges_add_up_by_gateway_and_currency(url: str, control: SandboxClient) -> None:
    """The end-of-run summary: approved, less voids, less refunds."""
    kept = sale(url, "K1", amount="100.00")
    voided = sale(url, "K2", amount="30.00")
    sale(url, "K3", amount="7.00", CURRENCY="EUR")
    sale(url, "K4", amount="1012.00")
    payflow(url, "V1", TRXTYPE="V", ORIGID=voided["PNREF"])
    payflow(url, "C1", TRXTYPE="C", ORIGID=kept["PNREF"], AMT="25.00")
    assert control.charges() == {
        "payflow": {
            "USD": {
                "approved": 2,
                "charged": 13000,
                "voids": 1,
                "voided": 3000,
                "refunds": 1,
                "refunded": 2500,
                "net": 7500,
                "declined": 1,
                "in_review": 0,
            },
            "EUR": {
                "approved": 1,
                "charged": 700,
                "voids": 0,
                "voided": 0,
                "refunds": 0,
                "refunded": 0,
                "net": 700,
                "declined": 0,
                "in_review": 0,
            },
        }
    }


def test_transactions_are_found_by_card_however_it_is_named(url: str, control: SandboxClient) -> None:
    """By number, by the hash that stands for it, and by its last four digits."""
    sold = sale(url, "K1")
    sale(url, "K2", ACCT="4012888888881881")
    for card in (VISA, control.card(VISA).card, "1111"):
        assert [one.id for one in control.transactions(card=card)] == [sold["PNREF"]]
    assert control.transactions(card="4222222222222") == []


def test_requests_are_kept_as_they_came_but_for_secrets(url: str, control: SandboxClient) -> None:
    """B16, B18: the raw body with its tags, headers too; number, code and password masked at their length."""
    sale(url, "K1", COMMENT1="a & b = c")
    authpostauth(url, ORDER)
    (flow,) = control.requests(gateway="payflow")
    assert "ACCT[16]=************1111&EXPDATE[4]=1230&CVV2[3]=***&" in flow.body
    assert "PWD[14]=**************" in flow.body
    assert "COMMENT1[9]=a & b = c" in flow.body
    assert (flow.request_id, flow.reference, flow.operation) == ("K1", "K1", "sale")
    assert flow.headers["x-vps-client-timeout"] == "45"
    (pnp,) = control.requests(operation="sale", reference=ORDER)
    assert "card-number=************1111&" in pnp.body
    assert "card-cvv=***" in pnp.body
    assert "publisher-password=**************" in pnp.body


@pytest.mark.parametrize("body", [b"ACCT[16]=4111111111111111&CVV2[9]=123&PWD[3]=x", b"ACCT=4111111111111111&CVV2"])
def test_a_body_that_cannot_be_read_is_masked_too(url: str, control: SandboxClient, body: bytes) -> None:
    """B61: also where length tags are wrong."""
    with Line(url) as line:
        line.send("/", body, payflow_headers("K1"))
        line.read()
    assert VISA not in control.requests()[0].body
    assert "=123" not in control.requests()[0].body


def test_no_card_data_in_state_file_output_or_answers(tmp_path: Path) -> None:
    """B61: number and security code are nowhere but in the request itself, in whatever a scenario did with it."""
    number, code = "4000056655665556", "7391"
    state = tmp_path / "state.db"
    with start(state=state) as process:
        url, client = process.base_url, process.client
        client.scenario(after=[steps.reset()], times=0, reference="K2")
        sale(url, "K1", ACCT=number, CVV2=code)
        with pytest.raises(Exception, match="reset"):
            sale(url, "K2", ACCT=number, CVV2=code)
        authpostauth(url, ORDER, card_number=number, card_cvv=code)
        client.card(number)
        session = requests.Session()
        answers = b"".join(
            session.get(f"{url}/sandbox/{path}", timeout=5).content
            for path in ("transactions", "charges", "requests", "scenarios", "decoy", "health", "barriers", "clock")
        )
        session.close()
        process.process.terminate()
        printed = process.process.stdout.read() if process.process.stdout else b""
        process.process.wait(5)
        written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    with closing(sqlite3.connect(state)) as file:
        dump = "\n".join(file.iterdump()).encode()
    for where in (answers, printed, written, dump):
        assert number.encode() not in where
    for where in (answers, printed, dump):
        assert not re.search(rb"\b7391\b", where)
    assert b"5556" in answers
    assert b"CVV2[4]=****" in answers


def test_a_killed_sandbox_remembers(tmp_path: Path) -> None:
    """With a state file, kill -9 after an answer loses nothing: duplicates, settlement, sums, card hashes."""
    state = tmp_path / "state.db"
    with start(state=state, any_amount=True) as first:
        noon = datetime(2027, 3, 1, 12, tzinfo=UTC)  # far from the cut-off, whatever the hour is here
        first.client.set_clock(noon)
        sold = sale(first.base_url, "K1", amount="2500.00")
        voided = sale(first.base_url, "K2", ORDERID="77")
        payflow(first.base_url, "V1", TRXTYPE="V", ORIGID=voided["PNREF"])
        authpostauth(first.base_url, ORDER)
        first.client.settle("plugnpay")
        first.client.advance(3600)
        hashed = first.client.card(VISA).card
        before = first.client.charges()
        first.kill()
    with start(state=state, any_amount=True) as second:
        client = second.client
        assert client.charges() == before
        assert client.card(VISA).card == hashed
        assert client.now() > noon + timedelta(minutes=59)
        assert sale(second.base_url, "K1", amount="2500.00") == {**sold, "DUPLICATE": "1"}
        assert sale(second.base_url, "K5", ORDERID="77") == {**voided, "DUPLICATE": "2"}
        assert authpostauth(second.base_url, ORDER)["Duplicate"] == "yes"
        assert client.transaction(operation="sale", reference=ORDER).state == "settled"
        assert client.settle("payflow") == 1
        assert client.charges() == before


def test_a_killed_sandbox_forgets_what_it_had_not_booked(tmp_path: Path) -> None:
    """Held before booking: not booked after the kill. Held after booking: booked."""
    state = tmp_path / "state.db"
    with start(state=state) as first:
        first.client.scenario(before=[steps.hold("before")], reference="K1")
        first.client.scenario(after=[steps.hold("after")], reference="K2")
        with Line(first.base_url) as one, Line(first.base_url) as two:
            for line, number in ((one, "K1"), (two, "K2")):
                fields = {"TRXTYPE": "S", "AMT": "10.00", "CUSTREF": number} | PAYFLOW_CARD
                line.send("/", payflow_body(**fields), payflow_headers(number))
            first.client.wait_for("before")
            first.client.wait_for("after")
            first.kill()
    with start(state=state) as second:
        assert [one.reference for one in second.client.transactions()] == ["K2"]


def test_settlement_that_fell_due_while_it_was_down(tmp_path: Path) -> None:
    """A cut-off that passed between two runs is made up for at the next request."""
    state = tmp_path / "state.db"
    with start(state=state) as first:
        sale(first.base_url, "K1")
        first.client.set_clock(datetime(2027, 3, 2, 1, 59, 59, 900_000, tzinfo=UTC))
        first.kill()
    with start(state=state) as second:
        second.client.advance(1)
        assert second.client.transaction(reference="K1").state == "settled"


def test_it_says_where_it_is_and_stops_when_told(tmp_path: Path) -> None:
    """One line with the addresses; SIGTERM ends it with exit code 0, held calls or not."""
    with start(state=tmp_path / "state.db") as process:
        process.client.scenario(before=[steps.hold("for ever")])
        with Line(process.base_url) as line:
            fields = {"TRXTYPE": "S", "AMT": "10.00"} | PAYFLOW_CARD
            line.send("/", payflow_body(**fields), payflow_headers("K1"))
            process.client.wait_for("for ever")
            assert process.stop() == 0


def test_a_taken_port_is_said_in_words(running_sandbox: SandboxProcess) -> None:
    """The message names the address and the remedy, without a traceback."""
    port = running_sandbox.base_url.rpartition(":")[2]
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox", "--port", port],
        capture_output=True,
        text=True,
        timeout=20,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 1
    assert f"can't listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_credentials_are_options(tmp_path: Path) -> None:
    """A sandbox can stand in for one's own merchant accounts."""
    del tmp_path
    accounts = ("payflow.user=acme", "payflow.vendor=acme", "payflow.password=x9", "plugnpay.publisher=acmepub")
    with start(credential=accounts) as process:
        login = {"USER": "acme", "VENDOR": "acme", "PWD": "x9"}
        assert sale(process.base_url, "K1", **login)["RESULT"] == "0"
        assert sale(process.base_url, "K2")["RESULT"] == "1"
        assert authpostauth(process.base_url, ORDER, publisher_name="acmepub")["FinalStatus"] == "success"


def test_latency_is_added_to_every_answer(url: str, control: SandboxClient) -> None:
    """Set at start or while it runs; the charge is booked before the wait."""
    control.change(latency_ms=400)
    with Line(url) as line:
        fields = {"TRXTYPE": "S", "AMT": "10.00", "CUSTREF": "K1"} | PAYFLOW_CARD
        begun = datetime.now(UTC)
        line.send("/", payflow_body(**fields), payflow_headers("K1"))
        line.read()
        assert datetime.now(UTC) - begun >= timedelta(milliseconds=390)
    assert control.card(VISA).charged == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("GET", "nothing", None, "no GET /sandbox/nothing"),
        ("POST", "cards", {"number": "4111"}, "number must be a card number"),
        ("POST", "clock", {}, "advance_seconds"),
        ("POST", "clock", {"set": "tomorrow"}, "not an ISO 8601 time"),
        ("POST", "clock", {"set": "2027-01-01T00:00:00"}, "needs a UTC offset"),
        ("POST", "settle", {"stop_at": "never"}, "settling or settled"),
        ("POST", "review", {"decision": "maybe"}, "accept or reject"),
        ("POST", "settings", {"latency_ms": -1}, "latency_ms"),
        ("GET", "transactions?colour=red", None, "unknown filter colour"),
        ("GET", "scenarios/99", None, "no scenario 99"),
        ("POST", "barriers/x", {}, "/release"),
    ],
)
def test_wrong_control_requests_say_what_is_right(
    control: SandboxClient, method: str, path: str, body: object, reason: str
) -> None:
    """Each refusal is JSON with a reason."""
    with pytest.raises(SandboxError, match=reason):
        control.ask(method, path, body)


def test_health_names_the_gateways(url: str, control: SandboxClient) -> None:
    """What a health check and a person look at first."""
    told = control.health()
    assert told["status"] == "ok"
    assert told["gateways"] == {kind.name: url + kind.paths[0] for kind in PROTOCOLS}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        (b"POST /elsewhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"404"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nX: " + b"a" * 70_000, b"431"),
        (b"POST /sandbox/clock HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{", b"400"),
    ],
)
def test_bad_http_is_answered(url: str, raw: bytes, status: bytes) -> None:
    """Nothing hangs and nothing crashes."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        line.sendall(raw)
        assert line.recv(4096).split(b" ")[1] == status


def test_a_client_that_asks_to_close_is_closed(url: str) -> None:
    """`Connection: close` is kept to; otherwise the connection lives on."""
    with Line(url) as line:
        for headers in ({}, {"Connection": "close"}):
            line.send("/", b"", payflow_headers("K1") | headers)
            assert line.read().status == 200
        assert line.closed_by_peer()


@pytest.mark.parametrize("latency_ms", [0, 20])
def test_requests_come_in_pieces_and_in_a_row(url: str, control: SandboxClient, latency_ms: int) -> None:
    """Split anywhere, or several at once on one connection: each is answered, in order."""
    control.change(latency_ms=latency_ms)
    host, _, port = url.removeprefix("http://").partition(":")
    raws = []
    for number in ("K1", "K2", "K3"):
        body = payflow_body(**{"TRXTYPE": "S", "AMT": "10.00", "CUSTREF": number} | PAYFLOW_CARD)
        lines = "".join(f"{name}: {value}\r\n" for name, value in payflow_headers(number).items())
        raws.append(f"POST /payflow HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    stream = b"".join(raws)
    with socket.create_connection((host, int(port)), timeout=5) as line:
        for at in range(0, len(stream), 97):
            line.sendall(stream[at : at + 97])
        received = b""
        while received.count(b"RESULT=0") < 3:
            received += line.recv(65536)
    assert [one.reference for one in control.transactions()] == ["K1", "K2", "K3"]
    echoed = [part.split(b"\r\n")[0] for part in received.split(b"X-VPS-REQUEST-ID: ")[1:]]
    assert echoed == [b"K1", b"K2", b"K3"]
