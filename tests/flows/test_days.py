"""R5: on which day it is, by the books: just before and after midnight where the business is, far from UTC too."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine

from books import account, aging, clock, credit, deposits, statement
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from producer import Producer
from rules.ledger import Kind
from tests.flows.house import Bell, House, card

DAY, MOMENT = timedelta(days=1), timedelta(minutes=5)
KIRITIMATI, ST_JOHNS = ZoneInfo("Pacific/Kiritimati"), ZoneInfo("America/St_Johns")


def moved(house: House, zone: ZoneInfo) -> House:
    """The same house, with its business in another zone."""
    producer = Producer(house.engine, house.context.vault, Bell(), lambda _brand, _request: "payflow", zone)
    terms = replace(house.context.terms, zone=zone)
    return replace(house, producer=producer, context=replace(house.context, terms=terms))


def turn_to(house: House, moment: datetime) -> None:
    """Set all clocks."""
    with house.engine.connect() as conn:
        now = clock.now(conn)
    house.advance(seconds=(moment - now).total_seconds())


@pytest.mark.parametrize(
    ("zone", "day", "midnight"),
    [
        ("Asia/Kathmandu", "2027-02-01", "2027-01-31T18:15+00:00"),
        ("America/St_Johns", "2027-03-01", "2027-03-01T03:30+00:00"),
        ("America/New_York", "2027-03-15", "2027-03-15T04:00+00:00"),  # at the end of a day of 23 hours
        ("Europe/London", "2027-03-29", "2027-03-28T23:00+00:00"),
        ("Africa/Cairo", "2027-04-30", "2027-04-29T22:00+00:00"),  # it begins at 1 o'clock
        ("Europe/London", "2027-11-01", "2027-11-01T00:00+00:00"),  # at the end of a day of 25 hours
        ("America/New_York", "2027-11-08", "2027-11-08T05:00+00:00"),
        ("Pacific/Kiritimati", "2028-02-29", "2028-02-28T10:00+00:00"),
    ],
)
def test_midnight(house: House, zone: str, day: str, midnight: str) -> None:
    """R5: the day of its recording where the business is; of a charge, the day of its approval."""
    here, today = moved(house, ZoneInfo(zone)), date.fromisoformat(day)
    here.bill("C-1", {"A": 5000})
    turn_to(here, datetime.fromisoformat(midnight) - MOMENT)
    before, charged = here.pay(100), here.pay(100, card())
    turn_to(here, datetime.fromisoformat(midnight))
    after = here.pay(100)
    here.work()
    booked = {row.payment_id: row.post_date for row in here.rows("SELECT payment_id, post_date FROM journal")}
    for payment, expected in ((before, today - DAY), (after, today), (charged, today)):
        assert (here.payment(payment).post_date, booked[payment]) == (expected, expected)
    recorded = [here.payment(payment).recorded_at for payment in (before, charged, after)]
    assert [at < datetime.fromisoformat(midnight) for at in recorded] == [True, True, False]


@pytest.mark.parametrize("computer", ["2012-02-29T12:00+00:00", "2035-07-01T12:00+00:00"])
def test_no_computers_clock_counts(house: House, computer: str) -> None:
    """R5, D2: the day is that of the database, however wrong the clock of the computer that asks for it."""
    here, today = moved(house, KIRITIMATI), date(2028, 2, 29)
    here.bill("C-1", {"A": 5000})
    turn_to(here, datetime.fromisoformat("2028-02-28T10:00+00:00"))
    with time_machine.travel(datetime.fromisoformat(computer)):
        payment = here.pay(100)
        here.work()
    booked = here.row("SELECT post_date FROM journal WHERE payment_id = :id", id=payment)
    assert (here.payment(payment).post_date, booked.post_date) == (today, today)


def bill(house: House, number: str, minor: int, due: date) -> None:
    """An invoice that is dated a month before it is due."""
    with house.context.transaction() as (conn, now):
        record_customers(conn, [NewCustomer("C-1")], now, "test")
        record_invoices(conn, [NewInvoice("C-1", number, due - 31 * DAY, due, "USD", minor)], now, "test")


def customer(house: House) -> int:
    """Whose account it is."""
    return int(house.row("SELECT id FROM customers").id)


@pytest.mark.parametrize(
    ("due", "ends"),
    [
        # The last day that is current, and the last ones up to 30, 60 and 90 days late.
        ("2027-01-31", ("2027-01-31", "2027-03-02", "2027-04-01", "2027-05-01")),
        ("2028-01-31", ("2028-01-31", "2028-03-01", "2028-03-31", "2028-04-30")),
        ("2028-02-29", ("2028-02-29", "2028-03-30", "2028-04-29", "2028-05-29")),
        ("2027-12-31", ("2027-12-31", "2028-01-30", "2028-02-29", "2028-03-30")),
    ],
)
def test_aging_at_month_ends(house: House, due: str, ends: tuple[str, ...]) -> None:
    """R5: days past due are days, however long the months are; the customer's record agrees on the very day."""
    here = moved(house, ST_JOHNS)
    bill(here, "A", 700, date.fromisoformat(due))
    for place, last in enumerate(map(date.fromisoformat, ends)):
        for day, bucket in ((last, place), (last + DAY, place + 1)):
            with here.context.transaction() as (conn, _):
                [total] = aging.standing(conn, day, ST_JOHNS).totals
                [balance] = account.balances(conn, customer(here), day)
            names = [f"{name}_minor" for name in ("current", "to_30", "to_60", "to_90", "over_90")]
            assert [getattr(total, name) for name in names] == [700 * (bucket == one) for one in range(5)], day
            assert [getattr(balance, name) for name in names] == [getattr(total, name) for name in names], day


@pytest.mark.parametrize(
    ("zone", "day", "midnight"),
    [
        (KIRITIMATI, date(2027, 4, 1), "2027-03-31T10:00+00:00"),  # UTC has the same day before and after
        (ST_JOHNS, date(2027, 4, 1), "2027-04-01T02:30+00:00"),  # UTC began its day, its month and its quarter before
    ],
)
def test_statement_deposits_and_aging_change_days_together(
    house: House, zone: ZoneInfo, day: date, midnight: str
) -> None:
    """R5, B1: what is paid, applied and voided around midnight is in all of them on the day that it was there."""
    here = moved(house, zone)
    bill(here, "A", 1000, date(2027, 1, 31))
    turn_to(here, datetime.fromisoformat(midnight) - MOMENT)
    here.pay(1500)
    here.work()
    bill(here, "B", 800, date(2027, 2, 28))
    turn_to(here, datetime.fromisoformat(midnight))
    with here.context.transaction() as (conn, now):
        assert here.context.terms.today(now) == day
        credit.apply_to_invoices(conn, customer(here), "USD", None, day, now, "ann")
    wrong = here.pay(200)
    here.work()
    turn_to(here, datetime.fromisoformat(midnight) + DAY)
    here.void(wrong)
    expected = {
        day - 2 * DAY: ([], 1800, 0),
        day - DAY: ([(Kind.POSTED, -1000, 500)], 800, 1500),
        day: ([(Kind.CREDIT_APPLIED, -500, -500), (Kind.POSTED, -200, 0)], 100, 200),
        day + DAY: ([(Kind.VOIDED, 200, 0)], 300, -200),
    }
    for one, (lines, owed, deposited) in expected.items():
        with here.context.transaction() as (conn, _):
            told = statement.statement(conn, customer(here), "USD", one, one)
            [aged] = aging.of_customer(conn, customer(here), one, zone)
            money = deposits.totals(conn, one)
        assert [(line.kind, line.owed_minor, line.credit_minor) for line in told.lines] == lines
        assert (told.closing_minor, aged.due_minor, sum(total.net_minor for total in money)) == (owed, owed, deposited)
