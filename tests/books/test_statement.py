"""Issue 4: a customer's statement over a period, by the journal (B1), agreeing with every other reckoning."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pytest

from books import account, aging, credit, dispute, refund, statement
from books.statement import Statement
from papers.statement import said_of
from rules.errors import DefrayError
from rules.ledger import Kind
from tests.books.test_aging import bill, today
from tests.flows.house import House, card

DAY = timedelta(days=1)


def customer(house: House) -> int:
    return int(house.row("SELECT id FROM customers WHERE number = 'C-1'").id)


def read(house: House, first: date, last: date) -> Statement:
    with house.context.transaction() as (conn, _):
        return statement.statement(conn, customer(house), "USD", first, last)


def apply_credits(house: House) -> None:
    day = today(house)
    with house.context.transaction() as (conn, now):
        credit.apply_to_invoices(conn, customer(house), "USD", None, day, now, "ann")


def adds_up(one: Statement) -> None:
    """Opening and lines make closing, and each balance follows from the one before."""
    owed = one.opening_minor
    for line in one.lines:
        owed += line.owed_minor
        assert line.balance_minor == owed
    assert one.closing_minor == owed
    assert one.closing_credit_minor == one.opening_credit_minor + sum(line.credit_minor for line in one.lines)


def agrees_with_aging(house: House, day: date) -> None:
    """Two ways of reckoning, one from the journal and one from the allocations, find the same sum."""
    with house.context.transaction() as (conn, _):
        owed = aging.of_customer(conn, customer(house), day, house.context.terms.zone)
    assert read(house, day, day).closing_minor == (owed[0].due_minor if owed else 0), day


def agrees_with_the_record(house: House) -> None:
    """As of today what the customer's record says; nothing here is dated ahead."""
    day = today(house)
    with house.context.transaction() as (conn, _):
        balances = account.balances(conn, customer(house), day)
    closing = read(house, day, day)
    assert closing.closing_minor == sum(one.due_minor for one in balances)
    assert closing.closing_credit_minor == sum(one.credit_minor for one in balances)


def test_a_quarter_of_an_account(house: House) -> None:
    """Billed, paid with a credit left, the credit applied, the payment void: each on its day, with what was owed."""
    bill(house, "A", 6000, date(2026, 1, 5), date(2026, 2, 5))
    payment = house.pay(8000, post_date=date(2026, 2, 1), number="1007", notes="CANARY")
    house.work()
    bill(house, "B", 5000, date(2026, 3, 1), date(2026, 3, 31))
    apply_credits(house)
    house.advance(days=1)
    house.void(payment)
    day = today(house)
    found = read(house, date(2026, 1, 1), day)
    assert [(line.kind, line.owed_minor, line.credit_minor, line.balance_minor) for line in found.lines] == [
        (Kind.BILLED, 6000, 0, 6000),
        (Kind.POSTED, -6000, 2000, 0),
        (Kind.BILLED, 5000, 0, 5000),
        (Kind.CREDIT_APPLIED, -2000, -2000, 3000),
        (Kind.CREDIT_APPLICATION_REVERSED, 2000, 2000, 5000),
        (Kind.VOIDED, 6000, -2000, 11000),
    ]
    assert [line.day for line in found.lines] == [
        date(2026, 1, 5),
        date(2026, 2, 1),
        date(2026, 3, 1),
        day - DAY,
        day,
        day,
    ]
    assert (found.lines[1].method, found.lines[1].number) == ("check", "1007")
    assert "CANARY" not in repr(found)
    later = read(house, date(2026, 2, 2), date(2026, 3, 1))
    assert (later.opening_minor, later.opening_credit_minor, later.closing_minor) == (0, 2000, 5000)
    assert [line.invoice for line in later.lines] == ["B"]
    for one in (found, later):
        adds_up(one)
    agrees_with_the_record(house)


def test_what_went_back_to_the_card_is_told_and_moves_no_balance(house: House) -> None:
    """R11: the void owes it back, the gateway returns it."""
    bill(house, "A", 6000, date(2026, 1, 5), date(2026, 2, 5))
    payment = house.pay(6000, card())
    house.work()
    house.void(payment)
    house.work()
    found = read(house, date(2026, 1, 1), today(house))
    assert [(line.kind, line.owed_minor, line.returned_minor) for line in found.lines] == [
        (Kind.BILLED, 6000, 0),
        (Kind.POSTED, -6000, 0),
        (Kind.VOIDED, 6000, 0),
        (Kind.REVERSED_AT_GATEWAY, 0, 6000),
    ]
    assert (found.lines[1].card_brand, found.lines[1].card_last_four) == ("visa", "1111")
    adds_up(found)


def test_refunds_of_parts_and_disputes(house: House) -> None:
    """R17: each part on its own day: what was owed in between is told as it was, here and by the aging."""
    bill(house, "A", 6000, date(2026, 1, 5), date(2026, 2, 5))
    payment = house.pay(6500, card())
    house.work()
    begun = today(house)
    house.sandbox.client.settle()

    def in_the_books(act: Callable[..., object], *about: object) -> None:
        day = today(house)
        with house.context.transaction() as (conn, now):
            act(conn, payment, *about, day, now, "sue")

    for minor in (700, 1000):
        house.advance(days=2)
        with house.context.transaction() as (conn, now):
            refund.ask(conn, payment, minor, "goods returned", now, "sue")
        house.work()
    house.advance(days=2)
    in_the_books(dispute.open_case, "CB-1", 900, "broken")
    in_the_books(dispute.open_case, "CB-2", 300, "late")
    house.advance(days=2)
    in_the_books(dispute.win, "CB-1", "proof of delivery")
    in_the_books(dispute.lose, "CB-2", "no proof")
    found = read(house, date(2026, 1, 1), today(house))
    assert [(line.kind, line.owed_minor, line.credit_minor, line.returned_minor) for line in found.lines] == [
        (Kind.BILLED, 6000, 0, 0),
        (Kind.POSTED, -6000, 500, 0),
        (Kind.REFUNDED, 200, -500, 700),
        (Kind.REFUNDED, 1000, 0, 1000),
        (Kind.DISPUTED, 0, 0, 900),
        (Kind.DISPUTED, 0, 0, 300),
        (Kind.DISPUTE_WON, 0, 0, -900),
        (Kind.DISPUTE_LOST, 300, 0, 300),
    ]
    adds_up(found)
    for offset in range(10):
        agrees_with_aging(house, begun + offset * DAY)
    agrees_with_the_record(house)
    words = [said_of(line, "USD") for line in found.lines[2:]]
    assert words == [
        f"Payment {payment}: 7.00 USD returned to the card",
        f"Payment {payment}: 10.00 USD returned to the card",
        f"Payment {payment}: 9.00 USD disputed with the card's bank",
        f"Payment {payment}: 3.00 USD disputed with the card's bank",
        f"Payment {payment}: dispute over 9.00 USD ended, the payment stands",
        f"Payment {payment}: 3.00 USD taken back by the card's bank",
    ]


def test_one_currency_at_a_time(house: House) -> None:
    """R14: no sum of one currency meets another."""
    house.bill("C-1", {"A": 6000})
    house.bill("C-1", {"B": 500}, "EUR")
    until = today(house)
    with house.context.transaction() as (conn, _):
        assert statement.currencies(conn, customer(house)) == ["EUR", "USD"]
        euros = statement.statement(conn, customer(house), "EUR", date(2026, 1, 1), until)
    assert (euros.closing_minor, [line.invoice for line in euros.lines]) == (500, ["B"])


@pytest.mark.parametrize("seed", range(4))
def test_every_history_adds_up_on_every_day(house: House, seed: int) -> None:
    """B1, B2: whatever happened, journal, aging and record agree, on each day of the past and ahead."""
    draw = random.Random(seed)
    bill(house, "first", 1000, date(2026, 1, 5), date(2026, 1, 20))
    begun = today(house)
    payments: list[int] = []

    def charge() -> None:
        with_code = card() if draw.random() < 0.6 else None
        days = draw.choice([None, None, -20, -3, 4]) if seed % 2 else draw.choice([None, -20, -3])
        when: dict[str, Any] = {} if days is None else {"post_date": today(house) + days * DAY}
        payments.append(house.pay(draw.randint(1, 3000), with_code, as_credit=True, allow_overlap=True, **when))
        house.work()

    def void() -> None:
        if payments:
            house.void(payments.pop(draw.randrange(len(payments))))
            house.work()

    def bill_more() -> None:
        billed = today(house) - draw.randint(0, 10) * DAY
        bill(house, f"{draw.random()}", draw.randint(1, 3000), billed, billed + 14 * DAY)

    def by_card() -> int:
        charged = house.rows("SELECT id FROM payments WHERE gateway IS NOT NULL AND state = 'posted' ORDER BY id")
        return int(draw.choice([row.id for row in charged] or [0]))

    def refund_a_part() -> None:
        house.sandbox.client.settle()
        with house.context.transaction() as (conn, now):
            refund.ask(conn, by_card(), draw.randint(1, 1500), "returned", now, "sue")
        house.work()

    def disputed() -> None:
        day = today(house)
        with house.context.transaction() as (conn, now):
            payment, case = by_card(), f"CB-{draw.random()}"
            dispute.open_case(conn, payment, case, draw.randint(1, 1500), "fraud", day, now, "sue")
            if draw.random() < 0.8:
                draw.choice((dispute.win, dispute.lose))(conn, payment, case, "decided", day, now, "sue")

    acts: list[Callable[[], None]] = [charge, charge, void, bill_more, lambda: apply_credits(house)]
    acts += [refund_a_part, refund_a_part, disputed]
    for _ in range(24):
        with suppress(DefrayError):  # a clerk would be told that this cannot be done now
            draw.choice(acts)()
        house.advance(days=draw.choice([0, 0, 1, 2]))
    assert house.row("SELECT count(*) AS n FROM journal").n > 6
    for offset in range(-25, 40, 3):
        agrees_with_aging(house, begun + offset * DAY)
    adds_up(read(house, begun - 10 * DAY, begun + 10 * DAY))
    if not seed % 2:
        agrees_with_the_record(house)
