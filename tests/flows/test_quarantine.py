"""E7: a database that was restored charges, voids and refunds nothing until a person released it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from books import adopt, epoch, reconcile, refund, reverse
from books.audit import audit
from books.epoch import Witness
from books.reconcile import Source
from books.terms import REFERENCE_MIN
from reports import FORMS
from reports.file import look_over
from rules.epoch import Mark
from rules.errors import KeyReused, MoveRefused, RequestRefused
from rules.reconciling import Kind, ReportLine, State
from sandbox.client import SandboxProcess, close
from tests import servers
from tests.flows.house import House, all_at, build, card, settings_for
from tests.flows.test_refund_parts import ask


@pytest.fixture
def house(
    engine: Engine, sandbox: SandboxProcess, database_url: str, redis_url: str, tmp_path: Path
) -> Iterator[House]:
    """All of Defray but its messages, charging by Stripe, whose report is read below."""
    settings = settings_for(sandbox, database_url, redis_url, str(tmp_path / "keys.json"), **all_at("stripe", sandbox))
    built = build(engine, settings, sandbox)
    yield built
    built.context.wake.close()


def witness_of(house: House) -> Witness:
    return house.context.guard._witness


def restart(house: House) -> None:
    """As new processes would, look at the database before anything else."""
    house.context.guard._look_at = 0.0


def held(house: House) -> epoch.Quarantine | None:
    with house.context.transaction() as (conn, _):
        return epoch.current(conn)


def release(house: House) -> None:
    with house.context.transaction() as (conn, now):
        epoch.release(conn, witness_of(house), "rehearsed", now, "sue")
    restart(house)


def lose_what_was_sent_since(house: House) -> None:
    """Stand in for a restore: to the witness outside, more was sent than the database knows of."""
    with house.context.transaction() as (conn, _):
        row = conn.execute(text("SELECT life FROM epoch")).one()
        newest = conn.execute(text("SELECT coalesce(max(id), 0) FROM gateway_transactions")).scalar_one()
    witness_of(house).keep(row.life, Mark(newest + 1, 0))
    restart(house)


def test_a_first_start_and_a_restart_find_nothing(house: House) -> None:
    """E7: an empty database begins its life, and the same one is recognised, by the file alone where Redis forgot."""
    house.bill("C-1", {"A": 1000})
    paid = house.pay(1000, card())
    house.work()
    with house.context.breakers._client as broker:
        broker.flushdb()
    restart(house)
    assert held(house) is None
    assert house.state(paid) == "posted"


def test_without_any_witness_nothing_is_sent(house: House) -> None:
    """E7: where file and Redis are both gone, nobody can tell that nothing is missing."""
    house.bill("C-1", {"A": 1000})
    house.pay(1000, card())
    house.work()
    for file in house.context.guard._witness._folder.iterdir():
        file.unlink()
    house.context.breakers._client.flushdb()
    restart(house)
    found = held(house)
    assert found is not None
    assert "nothing outside the database" in found.why
    assert house.alarms() == ["alarm.quarantined"]


def test_in_quarantine_nothing_is_sent_and_the_rest_goes_on(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """E7: no charge, void, refund or second send; checks are posted, outcomes are looked up; then all of it goes on."""
    for number in ("C-1", "C-2", "C-3"):
        house.bill(number, {"A": 1000})
    posted = house.pay(1000, card())
    house.work()
    house.sandbox.client.scenario([close()], operation="sale")
    lost = house.pay(1000, card(), customer="C-2")
    house.charge()
    lose_what_was_sent_since(house)
    house.void(posted)
    waiting = house.pay(1000, card(), customer="C-3")
    before = house.sandbox.client.charges()
    check = house.pay(400, customer="C-3", idempotency_key="by-check")
    for _ in range(4):
        house.work()
        house.advance(hours=3)
    assert held(house) is not None
    assert house.sandbox.client.charges() == before
    assert {house.state(waiting), house.state(check)} == {"requested", "posted"}
    assert house.state(lost) in {"charging", "posted"}
    assert house.reversal(posted).next_step == "void"
    release(house)
    for _ in range(4):
        house.work()
        house.advance(hours=3)
    assert house.state(lost) == "posted"
    assert house.reversal(posted).state == "refund_awaiting_approval"  # it had been asked for before
    with pytest.raises(MoveRefused, match="no quarantine"):
        release(house)
    said = [(one.levelname, one.getMessage()) for one in caplog.records if one.name == "tasks.guard"]
    assert said == [
        ("CRITICAL", "quarantined: nothing is charged, voided or refunded"),
        ("WARNING", "the quarantine has ended"),
    ]


def test_a_program_that_knows_no_quarantine_is_stopped_by_the_database(house: House) -> None:
    """E7: a worker of an older release begins nothing: a trigger refuses it."""
    house.bill("C-1", {"A": 1000})
    paid = house.pay(1000, card())
    lose_what_was_sent_since(house)
    assert held(house) is not None
    with pytest.raises(DBAPIError, match="nothing is charged, voided or refunded"):
        house.do(
            "INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor,"
            " currency, state, next_step, due_at, send_until, started_at)"
            " VALUES (:id, 'sale', 'stripe', 'x', 1, 1, 'USD', 'started', 'inquire', now(), now(), now())",
            id=paid,
        )
    with pytest.raises(DBAPIError, match="nothing is charged, voided or refunded"):
        house.do("UPDATE gateway_transactions SET sends = sends + 1 WHERE id = 0")


def test_a_quarantine_that_is_rolled_back_is_found_again(house: House) -> None:
    """E7: where the transaction that found it fails, the next one finds it, before anything is sent."""
    house.bill("C-1", {"A": 1000})
    house.pay(400, card())
    house.work()
    waiting = house.pay(600, card())
    with house.context.transaction() as (one, _), house.context.transaction() as (other, _):
        assert one is not other, "both have looked, and nothing was wrong"
    lose_what_was_sent_since(house)
    with pytest.raises(RuntimeError, match="interrupted"), house.context.transaction():
        raise RuntimeError("interrupted")
    house.work()
    assert held(house) is not None
    assert house.state(waiting) == "requested"


def test_what_may_have_been_returned_already_is_not_returned_blind(house: House) -> None:
    """E7: after the release a refund from before it waits for a person; a void is looked up, and its refund waits."""
    for number in ("C-1", "C-2"):
        house.bill(number, {"A": 1000})
    refunded, voided = house.pay(1000, card()), house.pay(1000, card(), customer="C-2")
    house.work()
    house.sandbox.client.settle()
    with house.context.transaction() as (conn, now):
        refund.ask(conn, refunded, 400, "goods came back", now, "sue")
    house.void(voided)
    lose_what_was_sent_since(house)
    house.work()
    assert held(house) is not None
    before = house.sandbox.client.charges()
    release(house)
    for _ in range(4):
        house.work()
        house.advance(hours=3)
    assert house.sandbox.client.charges() == before
    assert "alarm.reversal" in house.alarms()
    states = house.rows("SELECT state FROM reversals ORDER BY payment_id")
    assert [state for (state,) in states] == ["failed", "refund_awaiting_approval"]
    with house.context.transaction() as (conn, now):
        assert refund.charge(conn, refunded).refundable_minor == 1000
    house.approve_refund(voided)
    house.work()
    assert house.reversal(voided).state in {"refunded", "refund_accepted"}


def test_a_refund_of_the_report_ends_the_void_that_it_followed(house: House) -> None:
    """E7, B2: a void was under way at the backup; the database that is lost was refused it, and refunded."""
    house.bill("C-1", {"A": 1000})
    payment = house.pay(1000, card())
    house.work()
    house.void(payment)
    with house.context.transaction() as (conn, now):
        reverse.begin_voids(conn, payment, 1, house.context.terms, now)
        take_in_refund(house, conn, payment, 1000, now)
    assert house.reversal(payment).state == "refunded"
    assert house.row("SELECT state FROM gateway_transactions WHERE operation = 'void'").state == "failed"


def test_what_the_gateway_refunded_goes_before_what_is_only_due(house: House) -> None:
    """E7, R17: the report's refund leaves too little for one asked for since: that one fails, with an alarm."""
    house.bill("C-1", {"A": 1000})
    payment = house.pay(1000, card())
    house.work()
    for amount in (200, 300):
        ask(house, payment, amount)
    with house.context.transaction() as (conn, now):
        take_in_refund(house, conn, payment, 700, now)
    states = house.rows("SELECT amount_minor, state FROM reversals ORDER BY id")
    assert states == [(200, "refund_due"), (300, "failed"), (700, "refunded")]
    assert house.alarms() == ["alarm.reversal"]


def test_a_charge_that_may_be_another_ones_is_no_pair(house: House) -> None:
    """E7: an older charge of the same sum may be that of the payment, asked for again: a person says which is whose."""
    house.bill("C-1", {"A": 1000})
    payment = house.pay(1000, card())
    with house.context.transaction() as (conn, now):
        older, newer = (
            ReportLine(number, Kind.SALE, State.SETTLED, 1000, "USD", at, REFERENCE_MIN + number, f"ch_{number}")
            for number, at in ((1, now - timedelta(minutes=30)), (2, now))
        )
        for lines, pairs in ([newer], [(2, payment)]), ([older, newer], []):
            source = Source("stripe", str(lines), "report.csv", None, None, timedelta(hours=1), timedelta(0))
            report = reconcile.read(conn, source, lines, now, "sue").report_id
            assert [(one.line, one.payment_id) for one in adopt.pairs(conn, report)] == pairs


def test_a_charge_is_no_pair_of_a_payment_for_a_later_day(house: House) -> None:
    """E7: what is planned for a day to come was hardly charged before it; on its day it may have been."""
    house.bill("C-1", {"A": 1000})
    with house.context.transaction() as (_, now):
        day = house.context.terms.today(now) + timedelta(days=2)
    payment = house.pay(1000, card(), run_on=day.isoformat())
    for number, at, pairs in (1, now, []), (2, now + timedelta(days=3), [payment]):
        with house.context.transaction() as (conn, _):
            line = ReportLine(1, Kind.SALE, State.SETTLED, 1000, "USD", at, REFERENCE_MIN + number, f"ch_{number}")
            source = Source("stripe", str(number), "report.csv", None, None, timedelta(hours=1), timedelta(0))
            report = reconcile.read(conn, source, [line], at, "sue").report_id
            assert [one.payment_id for one in adopt.pairs(conn, report)] == pairs


def take_in_refund(house: House, conn: Connection, payment: int, amount: int, now: datetime) -> None:
    """The gateway's report has a refund of this payment that nobody here knows."""
    lines = [ReportLine(1, Kind.REFUND, State.SETTLED, amount, "USD", now, None, "re_1")]
    source = Source("stripe", "a report", "report.csv", None, None, timedelta(hours=1), timedelta(0))
    report = reconcile.read(conn, source, lines, now, "sue").report_id
    adopt.as_refund(conn, report, 1, payment, house.context.terms, now, "sue", "as the report has it")


def test_the_same_backup_restored_once_more_is_found(house: House) -> None:
    """E7: after a release the database has another life; one that still has the life before is a copy from before."""
    house.bill("C-1", {"A": 1000})
    house.work()
    before = house.row("SELECT life FROM epoch").life
    lose_what_was_sent_since(house)
    house.work()
    release(house)
    payment = house.pay(1000, card())
    house.work()
    assert house.state(payment) == "posted"
    house.do("UPDATE epoch SET life = :life", life=before)
    restart(house)
    house.bill("C-2", {"B": 1000})
    waiting = house.pay(1000, card(), customer="C-2")
    house.work()
    quarantine = held(house)
    assert quarantine is not None
    assert "another life" in quarantine.why
    assert house.state(waiting) == "requested"


# ---- bringing the books up to date -----------------------------------------------------------------------------------


def report_of(house: House, folder: Path) -> int:
    """Read the gateway's report of all that it knows; its number."""
    house.advance(hours=2)
    house.sandbox.client.settle()
    file = folder / "report.csv"
    file.write_bytes(house.sandbox.client.report("stripe"))
    form = FORMS["stripe"]
    report = look_over(file)
    source = Source("stripe", report.digest, file.name, None, None, timedelta(hours=1), form.grain)
    with house.context.transaction() as (conn, now):
        return reconcile.read(conn, source, report.lines(form, UTC), now, "sue").report_id


@contextmanager
def restored(house: House, shared: servers.Servers, back_to: Callable[[], None]) -> Iterator[House]:
    """The same business on a copy of its database, made before `back_to` went on: as after copying data files.

    The server's identifier and timeline are the same, so that only the witness outside can tell.
    """
    name = f"defray_restored_{shared.slot}"
    source = make_url(str(house.context.engine.url)).database or ""
    house.context.engine.dispose()
    with servers.empty_database(shared, name) as url:
        admin = shared.admin_url.replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(admin, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(source), sql.Identifier(shared.role)
                )
            )
        back_to()
        engine = create_engine(url)
        try:
            yield elsewhere(house, engine, url, shared.redis_url)
        finally:
            engine.dispose()


def elsewhere(house: House, engine: Engine, url: str, redis_url: str) -> House:
    """New processes of the same business, on another database; the key file and the broker are where they were."""
    key_file = house.context.guard._witness._folder.parent / "keys.json"
    return build(
        engine,
        settings_for(house.sandbox, url, redis_url, str(key_file), **all_at("stripe", house.sandbox)),
        house.sandbox,
    )


def test_copied_files_charge_nothing_twice(
    house: House, shared_servers: servers.Servers, sweeper: Engine, tmp_path: Path
) -> None:
    """E7: from a copy of the database nothing is sent; the report tells what was charged since, and nothing is twice.

    One payment waited in the copy already, one was recorded after it; both were charged by the database that is lost.
    """
    house.bill("C-0", {"A": 500})
    returned = house.pay(500, card(), customer="C-0")
    house.work()
    with house.context.transaction() as (conn, now):
        refund.ask(conn, returned, 200, "goods came back", now, "sue")
    house.bill("C-1", {"A": 1000})
    house.bill("C-2", {"B": 2000})
    waiting = house.pay(1000, card(), customer="C-1")

    def went_on() -> None:
        house.work()
        house.pay(2000, card(), customer="C-2", idempotency_key="order-2")
        house.work()

    sweeper.dispose()  # a database that somebody is in cannot be copied
    with restored(house, shared_servers, went_on) as copy:
        charged = house.sandbox.client.charges()
        copy.work()
        assert held(copy) is not None
        assert (copy.state(waiting), house.sandbox.client.charges()) == ("requested", charged)
        reports = [report_of(copy, tmp_path) for _ in range(2)]  # recorded from one, it is open in neither
        report, terms = reports[-1], copy.context.terms
        with copy.context.transaction() as (conn, now):
            assert adopt.what_is_open(conn, ["stripe"], held_since(conn)) == [
                f"report {number} of stripe: 3 charges or refunds are not recorded here" for number in reports
            ]
            [pair] = adopt.pairs(conn, report)
            assert pair.payment_id == waiting
            adopt.as_payment(conn, report, pair.line, waiting, terms, now, "sue", "fits it alone")
        with copy.context.transaction() as (conn, now):
            left = {one.kind: one for one in reconcile.differences(conn, report, 10) if one.became is None}
            back, other = left["refund"], left["sale"]
            adopt.as_refund(conn, report, back.line or 0, returned, terms, now, "sue", "as the report has it")
            told = adopt.NewPayment("C-2", ["B"], caller="shop", key="order-2", last_four="1111")
            adopt.as_new_payment(conn, report, other.line or 0, told, terms, now, "sue", "asked the shop")
            assert adopt.what_is_open(conn, ["stripe"], held_since(conn)) == []
        release(copy)
        copy.work()
        assert held(copy) is None
        assert (copy.state(waiting), copy.invoices("C-1"), copy.invoices("C-2")) == (
            "posted",
            {"A": ("paid", 0)},
            {"B": ("paid", 0)},
        )
        assert copy.invoices("C-0") == {"A": ("pending", 200)}
        assert copy.reversal(returned).state == "refunded"
        with pytest.raises(KeyReused):
            copy.pay(2000, card(), customer="C-2", idempotency_key="order-2")
        with pytest.raises(RequestRefused):
            copy.pay(2000, card(), customer="C-2", idempotency_key="another key", invoices=["B"])
        assert house.sandbox.client.charges() == charged
        with copy.engine.connect() as conn:
            assert audit(conn) == []


def held_since(conn: Connection) -> datetime:
    found = epoch.current(conn)
    assert found is not None
    return found.since
