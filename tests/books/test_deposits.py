"""A day's deposits agree with the books, whatever was voided, refunded or posted for another day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from books import deposits, dispute, refund, trends
from books.deposits import Total
from tests.books.plans import analyze, nodes, read_whole
from tests.flows.house import AMEX, House, card

EARLIER = date(2026, 3, 2)


def today(house: House) -> date:
    """The business day."""
    with house.context.transaction() as (_, now):
        return house.context.terms.today(now)


def by_the_books(house: House, day: date) -> dict[tuple[str, str], int]:
    """What the journal's lines say of the accounts of money on a day."""
    rows = house.rows(
        "SELECT currency, account, sum(amount_minor) AS net FROM postings WHERE post_date = :day"
        " AND (account LIKE 'cash:%' OR account LIKE 'clearing:%') GROUP BY 1, 2",
        day=day,
    )
    return {(row.currency, row.account): int(row.net) for row in rows}


@pytest.fixture
def day_of_work(house: House) -> House:
    """Checks, cash and cards of two gateways, some voided before and after they were settled, and an earlier check."""
    house.bill("C-1", {"A": 1000, "B": 2000, "C": 3000, "D": 4000})
    house.bill("E-1", {"E": 900}, "EUR")
    house.pay(1500, number="1001", post_date=EARLIER.isoformat())
    wrong = house.pay(700, number="1002")
    house.pay(300, number="1003")
    house.pay(900, customer="E-1", currency="EUR", method="cash")
    house.pay(2000, card(), invoices=["B"])
    refunded = house.pay(3000, card(), invoices=["C"])
    voided = house.pay(2500, card(AMEX, "1234"), invoices=["D"])
    house.work()
    house.void(wrong)
    house.void(voided)
    house.work()
    house.sandbox.client.settle()
    house.void(refunded)
    house.work()
    return house


@pytest.fixture
def day_of_refunds(day_of_work: House) -> House:
    """And one whose charge is refunded in part, disputed in two cases, one of them won."""
    house = day_of_work
    house.bill("C-1", {"F": 6000})
    payment = house.pay(6000, card(), invoices=["F"])
    house.work()
    house.sandbox.client.settle()
    with house.context.transaction() as (conn, now):
        refund.ask(conn, payment, 1000, "goods returned", now, "sue")
    house.work()
    day = today(house)
    with house.context.transaction() as (conn, now):
        for case, minor in (("CB-1", 900), ("CB-2", 300), ("CB-3", 100)):
            dispute.open_case(conn, payment, case, minor, "broken", day, now, "sue")
        dispute.win(conn, payment, "CB-1", "proof of delivery", day, now, "sue")
        dispute.lose(conn, payment, "CB-2", "no proof", day, now, "sue")
    return house


def test_what_was_refunded_and_disputed(day_of_refunds: House) -> None:
    """R17, B1: a refund goes out when it is approved, a dispute when it is opened; one that was won comes in again."""
    test_the_sums_are_those_of_the_journal(day_of_refunds)
    with day_of_refunds.engine.connect() as conn:
        totals = {one.account: one for one in deposits.totals(conn, today(day_of_refunds))}
        kinds = [
            (one.kind, one.amount_minor)
            for one in deposits.deposits(conn, today(day_of_refunds), 100, account="clearing:payflow")
        ]
        taken = trends.taken(conn, today(day_of_refunds), today(day_of_refunds), "USD")
    assert totals["clearing:payflow"] == Total("clearing:payflow", "USD", 4, 11_900, 5, 5300)
    assert kinds[-5:] == [
        ("refunded", -1000),
        ("disputed", -900),
        ("disputed", -300),
        ("disputed", -100),
        ("dispute_won", 900),
    ]
    assert [one.sum_minor for one in taken if one.method == "credit_card"] == [2000 + 3000 + 2500 + 6000]


def test_the_sums_are_those_of_the_journal(day_of_work: House) -> None:
    """B1: on every day each account of money has what the journal's lines say, and the list adds up to the same."""
    for day in (today(day_of_work), EARLIER):
        with day_of_work.engine.connect() as conn:
            totals = deposits.totals(conn, day)
            listed: dict[tuple[str, str], int] = {}
            for one in deposits.deposits(conn, day, 100):
                key = (one.currency, one.account)
                listed[key] = listed.get(key, 0) + one.amount_minor
        booked = by_the_books(day_of_work, day)
        assert booked
        assert {(one.currency, one.account): one.net_minor for one in totals} == booked
        assert listed == booked


def test_what_came_in_and_what_went_back(day_of_work: House) -> None:
    """A void counts on the day on which it was made, by method, gateway and currency."""
    with day_of_work.engine.connect() as conn:
        totals = {one.account: one for one in deposits.totals(conn, today(day_of_work))}
        earlier = deposits.totals(conn, EARLIER)
    assert totals["cash:check"] == Total("cash:check", "USD", 2, 1000, 1, 700)
    assert totals["cash:cash"] == Total("cash:cash", "EUR", 1, 900, 0, 0)
    assert totals["clearing:payflow"] == Total("clearing:payflow", "USD", 2, 5000, 1, 3000)
    assert totals["clearing:plugnpay"] == Total("clearing:plugnpay", "USD", 1, 2500, 1, 2500)
    assert (totals["clearing:plugnpay"].method, totals["clearing:plugnpay"].gateway) == ("credit_card", "plugnpay")
    assert (totals["cash:check"].method, totals["cash:check"].gateway) == ("check", "")
    assert earlier == [Total("cash:check", "USD", 1, 1500, 0, 0)]


def test_sums_by_currency(day_of_work: House) -> None:
    """R14: no sum adds two currencies."""
    with day_of_work.engine.connect() as conn:
        sums = deposits.by_currency(deposits.totals(conn, today(day_of_work)))
    assert [(one.currency, one.received_minor, one.returned_minor) for one in sums] == [
        ("EUR", 900, 0),
        ("USD", 8500, 6200),
    ]


def test_checks_one_by_one(day_of_work: House) -> None:
    """For the bank's slip: each check with its number, the void one taken off again; cards with brand and last four."""
    with day_of_work.engine.connect() as conn:
        slip = deposits.deposits(conn, today(day_of_work), 100, account="cash:check", currency="USD")
        cards = deposits.deposits(conn, today(day_of_work), 100, account="clearing:plugnpay")
    assert [(one.number, one.amount_minor, one.kind) for one in slip] == [
        ("1002", 700, "posted"),
        ("1003", 300, "posted"),
        ("1002", -700, "voided"),
    ]
    assert {(one.card_brand, one.card_last_four) for one in cards} == {("amex", AMEX[-4:])}


def test_page_by_page(day_of_work: House) -> None:
    """By two at a time the same entries come in the same order as at once."""
    day = today(day_of_work)
    with day_of_work.engine.connect() as conn:
        at_once = deposits.deposits(conn, day, 100)
        assert [one for part in deposits.every(conn, day, 2) for one in part] == at_once
        assert deposits.deposits(conn, day, 100, after=1) == []


@pytest.fixture
def many_days(session_engine: Engine) -> Iterator[Connection]:
    """A hundred days with a thousand entries each, in a transaction that is rolled back."""
    with session_engine.connect() as conn:
        conn.execute(
            text(
                "INSERT INTO journal (at, post_date, kind, customer_id, payment_id, currency, accounts, amounts_minor)"
                " SELECT now(), date '2026-01-01' + n / 1000, 'posted', n, n, 'USD',"
                " ARRAY['cash:check', 'receivable'], ARRAY[100, -100] FROM generate_series(0, 99999) AS n"
            )
        )
        conn.execute(text("SELECT brin_summarize_new_values('ix_journal_post_date')"))
        analyze(conn)
        yield conn
        conn.rollback()


def test_a_day_is_found_by_its_index(many_days: Connection) -> None:
    """Among a hundred days one is found by the BRIN index of the post date: the journal is never read whole."""
    day = date(2026, 1, 1) + timedelta(days=50)
    first: dict[str, Any] = {"day": day, "most": 500, "after": None, "account": None, "currency": None}
    for question, asked in ((deposits._TOTALS, {"day": day}), (deposits._LIST, first)):
        assert "journal" not in read_whole(many_days, question, **asked)
        assert "ix_journal_post_date" in {node.get("Index Name") for node in nodes(many_days, question, **asked)}
    assert deposits.totals(many_days, day) == [Total("cash:check", "USD", 1000, 100_000, 0, 0)]
