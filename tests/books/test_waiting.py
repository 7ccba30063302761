"""What waits for a person, found by index however large the tables are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, text

from books import dispute, proposals, refund, reverse, views, waiting
from books.waiting import ASKED_ENOUGH, COUNT, ITEMS, Kind, known
from rules.errors import MoveRefused
from rules.retry import DEFAULT_POLICY
from sandbox.client import answer, reset
from tests.books.plans import analyze
from tests.flows.house import House, card

MOST = 50


def found(house: House) -> dict[Kind, list[int]]:
    """The payments that wait, by what for."""
    with house.context.transaction() as (conn, now):
        groups = waiting.waiting(conn, now, MOST)
        assert waiting.count(conn, now, MOST) == sum(len(group.items) for group in groups)
    return {group.kind: [item.payment_id for item in group.items] for group in groups}


def lost(house: House) -> int:
    """A charge whose outcome nobody knows."""
    house.bill("C-1", {"A": 3000})
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    payment = house.pay(3000, card())
    house.charge()
    return payment


def test_nothing_waits(house: House) -> None:
    """What goes on by itself, or is done, waits for nobody."""
    house.bill("C-1", {"A": 3000, "B": 100})
    house.pay(100, invoices=["B"])
    house.pay(3000, card("4000000000009995"), invoices=["A"])
    house.work()
    assert found(house) == {}


def test_an_unknown_outcome_waits_once_asking_did_not_help(house: House) -> None:
    """E4: while the gateway is asked by itself nobody need look; when all intervals were used up somebody must."""
    payment = lost(house)
    assert found(house) == {}
    house.do("UPDATE gateway_transactions SET asked = :asked", asked=ASKED_ENOUGH)
    assert found(house) == {Kind.UNKNOWN: [payment]}
    house.resolve(payment, "declined")
    assert found(house) == {}


def test_a_question_of_a_refund_waits(house: House) -> None:
    """R12: whether an amount goes back to the card is a person's matter, with the sum and the customer."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000, card())
    house.work()
    house.sandbox.client.settle()
    house.void(payment, "paid twice", policy="ask")
    house.work()
    assert found(house) == {Kind.REFUND: [payment]}
    with house.context.transaction() as (conn, now):
        [group] = waiting.waiting(conn, now, MOST)
    [item] = group.items
    assert (item.customer, item.amount_minor, item.currency, item.why) == ("C-1", 3000, "USD", "paid twice")
    house.approve_refund(payment)
    house.work()
    assert found(house) == {}


def test_what_is_proposed_waits_once(house: House) -> None:
    """Above a limit a second person decides: the question of the refund itself is not shown beside its proposal."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000, card())
    house.work()
    house.sandbox.client.settle()
    house.void(payment, "paid twice", policy="ask")
    house.work()
    with house.context.transaction() as (conn, now):
        proposals.propose_refund(conn, payment, "agreed by telephone", now, "ann")
    assert found(house) == {Kind.PROPOSED: [payment]}


def test_a_charge_of_what_is_owed_no_longer_waits(house: House) -> None:
    """R8: where only part is owed still, a person says how to go on."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000, card(), invoices=["A"])
    house.pay(1000, invoices=["A"])
    house.post()
    house.work()
    assert found(house) == {Kind.OWED_LESS: [payment]}


def test_a_refund_of_a_part_that_failed(house: House) -> None:
    """R17: nothing moved, so nothing is to be decided; it is told for 30 days, or until it is asked for again."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000, card())
    house.work()
    house.sandbox.client.settle()
    house.sandbox.client.scenario(before=[answer("117")], operation="refund")

    def ask(minor: int) -> None:
        with house.context.transaction() as (conn, now):
            refund.ask(conn, payment, minor, "goods returned", now, "sue")

    ask(1000)
    assert found(house) == {}
    house.work()
    assert found(house) == {Kind.PART_FAILED: [payment]}
    with house.context.transaction() as (conn, now):
        overall = views.overall(conn, now)
        with pytest.raises(MoveRefused):
            reverse.waiting(conn, payment)
    assert [one.payment_id for one in overall.failed_refunds] == [payment]
    assert overall.failed_reversals == ()
    house.advance(days=29)
    assert found(house) == {Kind.PART_FAILED: [payment]}
    ask(1000)
    assert found(house) == {}
    house.work()
    assert found(house) == {}
    house.sandbox.client.scenario(before=[answer("117")], operation="refund")
    ask(500)
    house.work()
    house.advance(days=31)
    assert found(house) == {}


def test_open_disputes_wait(house: House) -> None:
    """R17: what a bank disputes waits until it is won or lost, the oldest first, with its case."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000, card())
    house.work()
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        for case, minor in (("CB-7", 1000), ("CB-8", 500)):
            dispute.open_case(conn, payment, case, minor, "not received", today, now, "sue")
        [group] = waiting.waiting(conn, now, MOST)
        assert [one.why for one in views.overall(conn, now).open_disputes] == [item.why for item in group.items]
    assert group.kind is Kind.DISPUTE
    assert [(item.amount_minor, item.why) for item in group.items] == [
        (1000, "case CB-7: not received"),
        (500, "case CB-8: not received"),
    ]
    for case, end in (("CB-7", dispute.win), ("CB-8", dispute.lose)):
        with house.context.transaction() as (conn, now):
            end(conn, payment, case, "decided", house.context.terms.today(now), now, "sue")
    assert found(house) == {}


def test_a_mail_waits_until_the_next_one(house: House) -> None:
    """A receipt that could not be sent waits for a week, or until another one of the payment is sent."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000)
    house.work()

    def mail(state: str, message_id: str) -> None:
        house.do(
            "INSERT INTO mails (payment_id, address, message_id, state, said, asked_at, asked_by, ended_at)"
            " SELECT :payment, 'ann@example.org', :message, :state, 'no such user', now() + ahead, 'ann', now() + ahead"
            " FROM clock",
            payment=payment,
            message=message_id,
            state=state,
        )

    mail("failed", "one")
    assert found(house) == {Kind.MAIL: [payment]}
    house.advance(days=8)
    assert found(house) == {}
    mail("failed", "two")
    assert found(house) == {Kind.MAIL: [payment]}
    mail("sent", "three")
    assert found(house) == {}


def test_the_oldest_first_and_no_more_than_asked(house: House) -> None:
    """The count ends at its cap, a group at its size: both stay cheap."""
    house.bill("C-1", {"A": 3000, "B": 3000, "C": 3000})
    waits = [house.pay(3000, card(), invoices=[invoice]) for invoice in "ABC"]
    for invoice in "ABC":
        house.pay(1000, invoices=[invoice])
    house.post()
    house.work()
    with house.context.transaction() as (conn, now):
        [group] = waiting.waiting(conn, now, 2)
        assert [item.payment_id for item in group.items] == waits[:2]
        assert group.more
        assert waiting.count(conn, now, 2) == 2


LARGE = {"payments", "gateway_transactions", "reversals", "mails", "disputes"}


@pytest.fixture
def many(house: House) -> None:
    """Thousands of payments which are done, with their sales, voids and mails; the planner knows."""
    house.bill("C-1", {"A": 3000})
    house.do("""
        INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,
            as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at, recorded_by)
        SELECT c.id, 'many', n::text, '', 'check', 'USD', 100, true, true, 'ask', 0, 'cancelled', now(), 'many'
        FROM customers c, generate_series(1, 20000) AS n""")
    house.do("""
        INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency,
            state, send_until, started_at)
        SELECT id, 'sale', 'payflow', 'a', id, 100, 'USD', 'approved', now(), now() FROM payments""")
    house.do("""
        INSERT INTO reversals (payment_id, sale_id, amount_minor, currency, state, policy, reason, started_at,
            started_by)
        SELECT payment_id, id, 100, 'USD', 'voided', 'auto', 'many', now(), 'many' FROM gateway_transactions""")
    house.do("""
        INSERT INTO mails (payment_id, address, message_id, state, asked_at, asked_by, ended_at)
        SELECT id, 'a@example.org', id::text, 'sent', now(), 'many', now() FROM payments""")
    house.do("""
        INSERT INTO disputes (payment_id, reference, amount_minor, currency, state, reason, opened_at, opened_by)
        SELECT id, 'CB-1', 100, 'USD', 'won', 'many', now(), 'many' FROM payments""")
    with house.engine.begin() as conn:
        analyze(conn)


LEADS = {
    Kind.UNKNOWN: "ix_gateway_transactions_undecided",
    Kind.HELD: "ix_payments_review",
    Kind.PROPOSED: "proposals",
    Kind.REFUND: "ix_reversals_for_a_person",
    Kind.FAILED: "ix_reversals_for_a_person",
    Kind.DISPUTE: "ix_disputes_open",
    Kind.PART_FAILED: "ix_reversals_refund_failed",
    Kind.OWED_LESS: "ix_payments_review",
    Kind.MAIL: "ix_mails_failed",
}
"""Where each kind is found: what has only that."""


def plan_of(conn: Connection, question: TextClause, values: dict[str, object]) -> tuple[set[str], set[str]]:
    """The large tables that a question's plan reads from end to end, and all that it reads by name."""

    def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", []):
            yield from walk(child)

    [plan] = conn.execute(text(f"EXPLAIN (FORMAT JSON) {question.text}"), values).scalar_one()
    nodes = list(walk(plan["Plan"]))
    whole = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    return whole & LARGE, {str(node.get("Index Name") or node.get("Relation Name")) for node in nodes}


@pytest.mark.usefixtures("many")
def test_by_index(house: House) -> None:
    """No question reads a large table: each has a partial index of just what waits."""
    with house.context.transaction() as (conn, now):
        assert plan_of(conn, text("SELECT count(*) FROM payments WHERE state <> 'posted'"), {})[0] == {"payments"}
        for kind, question in ITEMS.items():
            whole, read = plan_of(conn, question, known(now, MOST))
            assert not whole, kind
            assert any(LEADS[kind] in name for name in read), kind
        whole, read = plan_of(conn, COUNT, known(now, MOST))
        assert not whole
        assert set(LEADS.values()) - {"proposals"} <= read
    house.do("TRUNCATE disputes, reversals, mails, gateway_transactions, payments CASCADE")


def test_the_alarm_and_the_list_agree() -> None:
    """E4: the list shows an outcome when the inquiry raises its first alarm."""
    assert len(DEFAULT_POLICY.inquire_after) == ASKED_ENOUGH
