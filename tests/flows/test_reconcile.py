"""B2, E4: each gateway's own report beside the books: what agrees, what does not, and what it proves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from books import dispute, reconcile, refund, reverse
from books.outcome import Heard
from books.reconcile import Difference, Reading, Source
from reports import FORMS
from reports.file import look_over
from rules.outcomes import Approved, Evidence
from sandbox.client import SandboxProcess, close
from tests.flows.house import VISA, House, at_once, build, card, refused_by_the_database, settings_for

GATEWAYS = ("payflow", "plugnpay", "paypal", "stripe", "authorizenet")
MORE = {
    "stripe": {"SECRET_KEY": "sandbox-secret", "ACCOUNT": "acct_sandbox"},
    "paypal": {"CLIENT_ID": "sandbox", "CLIENT_SECRET": "sandbox-secret", "ACCOUNT": "sandbox"},
    "authorizenet": {"LOGIN_ID": "sandbox", "TRANSACTION_KEY": "sandbox-secret"},
}


@pytest.fixture(params=GATEWAYS)
def gateway(request: pytest.FixtureRequest) -> str:
    """Each gateway in turn."""
    return str(request.param)


@pytest.fixture
def house(
    engine: Engine, sandbox: SandboxProcess, database_url: str, redis_url: str, tmp_path: Path, gateway: str
) -> Iterator[House]:
    """All of Defray but its messages, charging by one gateway."""
    more = {f"DEFRAY_{gateway.upper()}_{name}": value for name, value in MORE.get(gateway, {}).items()}
    at = {"DEFRAY_GATEWAYS": gateway, "DEFRAY_CARD_ROUTES": f"*={gateway}"}
    at[f"DEFRAY_{gateway.upper()}_URL"] = sandbox.url(gateway)
    settings = settings_for(sandbox, database_url, redis_url, str(tmp_path / "keys.json"), **{**more, **at})
    built = build(engine, settings, sandbox)
    yield built
    built.context.wake.close()


def charged(house: House, *amounts: int, settled: bool = True) -> list[int]:
    """Payments by card of these amounts, each of a customer of its own."""
    asked = []
    for amount in amounts:
        number = f"C-{next(house.keys)}"
        house.bill(number, {"A": amount})
        asked.append(house.pay(amount, card(), customer=number))
    house.work()
    if settled:
        house.advance(hours=2)
        house.sandbox.client.settle()
    return asked


def ask_refund(house: House, payment: int, amount: int) -> None:
    """Ask for a refund and let it be sent."""
    with house.context.transaction() as (conn, now):
        refund.ask(conn, payment, amount, "goods returned", now, "sue")
    house.work()


def now(house: House) -> datetime:
    """The moment by the clocks that a story moves."""
    return house.sandbox.client.now()


def compare(house: House, gateway: str, path: Path, margin: int = 0) -> tuple[Reading, list[Difference]]:
    """Read a report file that tells of the last two days."""
    form, report, at = FORMS[gateway], look_over(path), now(house)
    source = Source(
        gateway, report.digest, path.name, at - timedelta(days=2), at, timedelta(minutes=margin), form.grain
    )
    with house.context.transaction() as (conn, moment):
        reading = reconcile.read(conn, source, report.lines(form, ZoneInfo(form.zone)), moment, "sue")
        return reading, reconcile.differences(conn, reading.report_id, 1_000)


def the_report(house: House, gateway: str, folder: Path) -> Path:
    """The gateway's report as the sandbox writes it."""
    path = folder / f"{gateway}-report.csv"
    path.write_bytes(house.sandbox.client.report(gateway))
    return path


def apply(house: House, report_id: int) -> int:
    """A person's yes to what the report proves; how many outcomes were recorded."""
    with house.context.transaction() as (conn, at):
        done = reconcile.apply_sales(conn, report_id, 100, house.context.terms, at, "sue").lines
    with house.context.transaction() as (conn, at):
        return done + reconcile.apply_refunds(conn, report_id, 100, house.context.terms, at, "sue").lines


def groups(reading: Reading) -> dict[tuple[str, str], tuple[int, int]]:
    """Lines and minor units by group and kind, without what is set aside."""
    return {(s.group, s.kind): (s.lines, s.amount_minor) for s in reading.sums if s.group != "aside"}


def findings(differences: list[Difference]) -> list[tuple[str, int | None]]:
    """What is to be looked at, and of which payment."""
    return [(one.finding, one.payment_id) for one in differences]


def test_all_agrees(house: House, gateway: str, tmp_path: Path) -> None:
    """B2: sales and a refund that both know match, line by line, and nothing is left to look at."""
    first, *_ = charged(house, 123456, 700)
    ask_refund(house, first, 123456)
    house.advance(days=1)
    house.sandbox.client.settle()
    house.advance(days=1)
    house.work()
    reading, differences = compare(house, gateway, the_report(house, gateway, tmp_path))
    assert findings(differences) == []
    assert groups(reading) == {("matched", "sale"): (2, 124156), ("matched", "refund"): (1, 123456)}


def test_the_four_kinds_of_difference(house: House, gateway: str, tmp_path: Path) -> None:
    """B2: missing here, missing there, another amount, and a chargeback are each found, and nothing is changed."""
    known, hidden, wrong, strange = charged(house, 1000, 2000, 3000, 4000)
    path = the_report(house, gateway, tmp_path)
    # As books that were restored from an older copy would stand: one is not there, two are other than they were.
    house.do("UPDATE gateway_transactions SET amount_minor = 3001 WHERE payment_id = :id", id=wrong)
    house.do("UPDATE gateway_transactions SET gateway = 'elsewhere' WHERE payment_id = :id", id=strange)
    house.do(
        "UPDATE gateway_transactions SET reference = reference - 1, transaction_id = 'other' WHERE payment_id = :id",
        id=hidden,
    )
    before = house.rows("SELECT * FROM gateway_transactions ORDER BY id"), house.ledger()
    reading, differences = compare(house, gateway, path)
    assert sorted(findings(differences), key=str) == sorted(
        [("differs", wrong), ("missing_here", None), ("missing_here", None), ("missing_there", hidden)], key=str
    )
    assert groups(reading)["matched", "sale"] == (1, 1000)
    assert groups(reading)["missing_here", "sale"] == (2, 6000)
    assert groups(reading)["missing_there", "sale"] == (1, 2000)
    [differs] = [one for one in differences if one.finding == "differs"]
    assert (differs.amount_minor, differs.ours_minor) == (3000, 3001)
    assert (house.rows("SELECT * FROM gateway_transactions ORDER BY id"), house.ledger()) == before
    house.do("UPDATE gateway_transactions SET amount_minor = 3000 WHERE payment_id = :id", id=wrong)
    house.do("UPDATE gateway_transactions SET gateway = :gateway WHERE payment_id = :id", id=strange, gateway=gateway)
    house.do("UPDATE gateway_transactions SET reference = reference + 1 WHERE transaction_id = 'other'")
    again, differences = compare(house, gateway, path)
    assert (again.report_id, findings(differences)) == (reading.report_id, [])
    assert again.read_before is not None
    assert known


def lost(house: House) -> int:
    """A payment whose sale the gateway made and whose answer was lost; nobody has looked it up yet."""
    house.bill("C-L", {"A": 5000})
    steps = {"after": [close()], "operation": "sale"}
    house.sandbox.client.scenario(**steps)  # type: ignore[arg-type]
    payment = house.pay(5000, card(), customer="C-L")
    house.charge()
    assert house.sales(payment) == ["unknown"]
    return payment


def test_an_unknown_outcome_is_proven(house: House, gateway: str, tmp_path: Path) -> None:
    """E4: a sale whose answer was lost is shown first, and posted only when a person says yes to what is proven."""
    payment = lost(house)
    charged(house, 700)
    path = the_report(house, gateway, tmp_path)
    reading, differences = compare(house, gateway, path)
    assert findings(differences) == [("proven", payment)]
    assert house.sales(payment) == ["unknown"]
    assert apply(house, reading.report_id) == 1
    assert (house.state(payment), house.invoices("C-L")) == ("posted", {"A": ("paid", 0)})
    [said] = house.rows("SELECT said FROM evidence WHERE kind = 'report'")
    assert said.said["amount_minor"] == "5000"
    assert apply(house, reading.report_id) == 0
    _, differences = compare(house, gateway, path)
    assert [(one.finding, one.became) for one in differences] == [("proven", "approved")]
    assert house.alarms() == []


def test_a_surplus_is_proven(house: House, gateway: str, tmp_path: Path) -> None:
    """E4: a sale that a person took for not made, and that settled, is given back when the report is applied."""
    payment = lost(house)
    house.resolve(payment, "declined")
    house.sandbox.client.settle()
    reading, differences = compare(house, gateway, the_report(house, gateway, tmp_path))
    assert findings(differences) == [("proven", payment)]
    assert apply(house, reading.report_id) == 1
    assert house.sales(payment) == ["surplus"]
    assert house.alarms() == ["alarm.surplus"]
    house.advance(days=2)
    house.work()
    assert house.sandbox.client.card(VISA).net == 0
    house.advance(days=1)
    house.sandbox.client.settle()
    house.advance(days=1)
    house.work()


def test_another_amount_proves_nothing(house: House, gateway: str, tmp_path: Path) -> None:
    """R18: a line of another amount than was asked for is no proof; it is shown, and nothing can be applied."""
    payment = lost(house)
    house.sandbox.client.settle()
    house.do("UPDATE gateway_transactions SET amount_minor = 5001 WHERE payment_id = :id", id=payment)
    reading, differences = compare(house, gateway, the_report(house, gateway, tmp_path))
    assert findings(differences) == [("differs", payment)]
    assert apply(house, reading.report_id) == 0
    house.do("UPDATE gateway_transactions SET amount_minor = 5000 WHERE payment_id = :id", id=payment)


def test_a_refund_is_final_by_the_report(house: House, gateway: str, tmp_path: Path) -> None:
    """R17: a refund that was accepted, and that the report shows settled, is refunded once a person says yes."""
    [payment] = charged(house, 6000)
    ask_refund(house, payment, 6000)
    house.advance(days=1)
    house.sandbox.client.settle()
    reversal = house.reversal(payment)
    if reversal.state == "refunded":  # some say at once that it is final: as if its answer had been lost
        house.do("UPDATE reversals SET state = 'refund_accepted', next_step = 'watch', due_at = now(), ended_at = NULL")
    path = the_report(house, gateway, tmp_path)
    reading, differences = compare(house, gateway, path)
    assert [(one.finding, one.kind, one.payment_id) for one in differences] == [("proven", "refund", payment)]
    assert apply(house, reading.report_id) == 1
    assert house.reversal(payment).state == "refunded"
    _, differences = compare(house, gateway, path)
    assert [one.became for one in differences] == ["refunded"]


@pytest.mark.parametrize("gateway", ["payflow", "plugnpay", "authorizenet"], indirect=True)
def test_a_voided_sale_is_not_missing_there(house: House, gateway: str, tmp_path: Path) -> None:
    """R11: what was voided never settles: no report has to tell of it, and one may."""
    voided, _ = charged(house, 1000, 2000, settled=False)
    house.void(voided)
    house.work()
    house.advance(hours=3)
    house.sandbox.client.settle()
    assert house.reversal(voided).state == "voided"
    reading, differences = compare(house, gateway, the_report(house, gateway, tmp_path))
    assert findings(differences) == []
    assert groups(reading)["matched", "sale"] == (1, 2000)


@pytest.mark.parametrize("gateway", ["payflow", "plugnpay", "authorizenet"], indirect=True)
def test_a_voided_sale_that_settled_all_the_same(house: House, gateway: str, tmp_path: Path) -> None:
    """B74: the void was accepted, and the batch took the sale anyway: it is shown, and nothing moves by itself."""
    [payment] = charged(house, 1000)
    house.void(payment)
    with house.context.transaction() as (conn, moment):
        [send] = reverse.begin_voids(conn, payment, 1, house.context.terms, moment)
    with house.context.transaction() as (conn, moment):
        heard = Heard(send.transaction_id, send.lease_token, Approved(send.sale_transaction_id), Evidence(200, {}))
        reverse.finish(conn, [heard], house.context.terms, moment, "defray")
    before = house.reversal(payment).state, house.ledger()
    _, differences = compare(house, gateway, the_report(house, gateway, tmp_path))
    assert findings(differences) == [("differs", payment)]
    assert "voided here, settled there: the card was charged after all" in differences[0].why
    assert (house.reversal(payment).state, house.ledger()) == before == ("voided", house.ledger())


def test_what_is_near_the_end_is_left_to_the_next_report(house: House, gateway: str, tmp_path: Path) -> None:
    """B2: within the margin nothing is called missing there; the report that follows looks for it."""
    empty = tmp_path / "empty"
    empty.mkdir()
    path = the_report(house, gateway, empty)
    charged(house, 1000, settled=False)
    reading, differences = compare(house, gateway, path, margin=60)
    assert findings(differences) == []
    assert reading.to_at is not None
    house.advance(hours=20)
    later = tmp_path / "later.csv"
    later.write_bytes(path.read_bytes() + (b"&note=x" if gateway == "plugnpay" else b"\r\n"))
    form, report, at = FORMS[gateway], look_over(later), now(house)
    source = Source(gateway, report.digest, "later", reading.to_at, at, timedelta(minutes=60), form.grain)
    with house.context.transaction() as (conn, moment):
        following = reconcile.read(conn, source, report.lines(form, ZoneInfo(form.zone)), moment, "sue")
    assert groups(following)["missing_there", "sale"] == (1, 1000)


@pytest.mark.parametrize("gateway", ["stripe"], indirect=True)
def test_a_chargeback_is_suggested_until_it_is_recorded(house: House, gateway: str, tmp_path: Path) -> None:
    """R17: a chargeback leads to `defray dispute`; once the dispute is recorded, the line matches."""
    [payment] = charged(house, 6000)
    path = the_report(house, gateway, tmp_path)
    header, sale, *rest = path.read_text().splitlines()
    taken = sale.replace(",charge,ch_", ",dispute,dp_").replace("txn_1", "txn_9").replace("60.00", "-60.00")
    path.write_text("\n".join([header, sale, taken, *rest]))
    _, differences = compare(house, gateway, path)
    assert findings(differences) == [("chargeback", payment)]
    assert f"defray dispute open {payment}" in differences[0].why
    with house.context.transaction() as (conn, at):
        today = house.context.terms.today(at)
        dispute.open_case(conn, payment, "dp_1", None, "fraudulent", today, at, "sue")
    reading, differences = compare(house, gateway, path)
    assert findings(differences) == []
    assert groups(reading)["matched", "chargeback"] == (1, 6000)
    with house.context.transaction() as (conn, at):
        dispute.win(conn, payment, "dp_1", "the goods were delivered", house.context.terms.today(at), at, "sue")
    _, differences = compare(house, gateway, path)
    assert findings(differences) == [("chargeback", payment)]  # what was won covers no other one


@pytest.mark.parametrize("gateway", ["payflow"], indirect=True)
def test_what_need_not_be_told(house: House, gateway: str, tmp_path: Path) -> None:
    """B2: neither what was before the span, nor a refund that failed after all, is missing there."""
    before, after = charged(house, 1000, 2000)
    path = the_report(house, gateway, tmp_path)
    path.write_text(path.read_text().splitlines()[0])
    _, differences = compare(house, gateway, path)
    assert sorted(findings(differences)) == [("missing_there", before), ("missing_there", after)]
    house.advance(days=3)
    ask_refund(house, after, 500)
    house.advance(hours=2)
    _, differences = compare(house, gateway, path)
    assert [(one.kind, one.payment_id) for one in differences] == [("refund", after)]
    was = house.reversal(after).state
    house.do("UPDATE reversals SET state = 'failed'")
    _, differences = compare(house, gateway, path)
    assert findings(differences) == []
    house.do("UPDATE reversals SET state = :was", was=was)


@pytest.mark.parametrize("gateway", ["payflow"], indirect=True)
def test_what_differs_is_not_missing_too(house: House, gateway: str, tmp_path: Path) -> None:
    """B2: a sale that the report tells of as not done differs, and is not listed as missing there besides."""
    [payment] = charged(house, 1000)
    path = the_report(house, gateway, tmp_path)
    path.write_text(path.read_text().replace(",0,Approved,8,", ",12,Declined,1,"))
    _, differences = compare(house, gateway, path)
    assert [(one.finding, one.state, one.payment_id) for one in differences] == [("differs", "declined", payment)]


@pytest.mark.parametrize("gateway", ["payflow"], indirect=True)
def test_a_line_told_twice(house: House, gateway: str, tmp_path: Path) -> None:
    """B2: a second settlement of one sale is missing here, even where it comes in a later part of the file."""
    [payment] = charged(house, 6000)
    path = the_report(house, gateway, tmp_path)
    header, line = path.read_text().splitlines()
    filler = [line.replace("Sale", "Inquiry")] * (reconcile.CHUNK + 1)
    path.write_text("\n".join([header, line, *filler, line]))
    reading, differences = compare(house, gateway, path)
    assert [(one.finding, one.line) for one in differences] == [("missing_here", reconcile.CHUNK + 4)]
    assert f"payment {payment} has it once" in differences[0].why
    assert groups(reading) == {("matched", "sale"): (1, 6000), ("missing_here", "sale"): (1, 6000)}


@pytest.mark.parametrize("gateway", ["payflow"], indirect=True)
def test_two_say_yes_at_once(house: House, gateway: str, tmp_path: Path) -> None:
    """E4: an outcome that two people record at the same time is recorded once."""
    lost(house)
    house.sandbox.client.settle()
    reading, _ = compare(house, gateway, the_report(house, gateway, tmp_path))
    assert sum(at_once(*[lambda: apply(house, reading.report_id)] * 2)) == 1
    assert len(house.rows("SELECT 1 FROM events WHERE what = 'report.recorded'")) == 1
    assert house.invoices("C-L") == {"A": ("paid", 0)}


@pytest.mark.parametrize("gateway", ["payflow"], indirect=True)
def test_what_could_not_be_recorded_is_still_open(house: House, gateway: str, tmp_path: Path) -> None:
    """E4: a proven outcome that the database refuses is set aside with an alarm, and stays to be looked at."""
    payment = lost(house)
    house.sandbox.client.settle()
    path = the_report(house, gateway, tmp_path)
    reading, _ = compare(house, gateway, path)
    with refused_by_the_database(house, "allocations", f"payment_id = {payment}"):
        assert apply(house, reading.report_id) == 1
    assert house.alarms() == ["alarm.outcome_set_aside"]
    with house.engine.connect() as conn:
        assert reconcile.still_open(conn, reading.report_id) == {"proven": 1}
    again, _ = compare(house, gateway, path)
    assert apply(house, again.report_id) == 1
    assert house.state(payment) == "posted"


@pytest.mark.parametrize("gateway", ["payflow"], indirect=True)
def test_two_read_one_report_at_once(house: House, gateway: str, tmp_path: Path) -> None:
    """B2: a report that two people read at the same time is one report, with its differences once."""
    charged(house, 6000)
    house.do("UPDATE gateway_transactions SET amount_minor = 1")
    path = the_report(house, gateway, tmp_path)
    (one, _), (other, _) = at_once(*[lambda: compare(house, gateway, path)] * 2)
    assert one.report_id == other.report_id
    assert len(house.rows("SELECT id FROM report_lines")) == 1
    house.do("UPDATE gateway_transactions SET amount_minor = 6000")
