"""Issue 4: aging as of any date, by the books."""

from __future__ import annotations

from datetime import date, timedelta

from books import account, aging, credit, void
from books.aging import Aging
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from tests.flows.house import House, card

DAY = timedelta(days=1)


def bill(house: House, number: str, amount: int, billed: date, due: date, customer: str = "C-1") -> None:
    with house.context.transaction() as (conn, now):
        record_customers(conn, [NewCustomer(customer)], now, "test")
        record_invoices(conn, [NewInvoice(customer, number, billed, due, "USD", amount)], now, "test")


def today(house: House) -> date:
    with house.context.transaction() as (_, now):
        return house.context.terms.today(now)


def as_of(house: House, day: date) -> Aging | None:
    with house.context.transaction() as (conn, _):
        found = aging.standing(conn, day, house.context.terms.zone).totals
    return found[0] if found else None


def due(house: House, day: date) -> int:
    found = as_of(house, day)
    return found.due_minor if found else 0


def test_by_days_past_due(house: House) -> None:
    """Each bucket from its first day to its last: due today is current, a day later it is overdue."""
    day = date(2026, 6, 1)
    for number, late in (("A", 0), ("B", 1), ("C", 30), ("D", 31), ("E", 60), ("F", 61), ("G", 90), ("H", 91)):
        bill(house, number, 100, date(2026, 1, 5), day - late * DAY)
    bill(house, "I", 100, day + DAY, day + DAY)
    found = as_of(house, day)
    assert found == Aging("USD", 100, 200, 200, 200, 100)
    assert (found.overdue_minor, found.due_minor) == (700, 800)
    assert as_of(house, date(2026, 1, 4)) is None


def test_a_payment_counts_from_its_post_date_on(house: House) -> None:
    """R5: as of the day before it everything was still owed, whenever it was recorded."""
    bill(house, "A", 6000, date(2026, 1, 5), date(2026, 1, 5))
    house.pay(2000, post_date=date(2026, 2, 1))
    later = today(house) + 10 * DAY
    house.pay(1000, post_date=later)
    house.work()
    assert due(house, date(2026, 1, 31)) == 6000
    assert due(house, date(2026, 2, 1)) == 4000
    assert due(house, later - DAY) == 4000
    assert due(house, later) == 3000


def test_what_was_voided_later_counted_until_then(house: House) -> None:
    """R10: as of a day before the void the payment and the credit that it made were live."""
    bill(house, "A", 6000, date(2026, 1, 5), date(2026, 1, 5))
    posted = today(house)
    payment = house.pay(8000)
    house.work()
    bill(house, "B", 5000, posted, posted)
    house.advance(days=2)
    applied = today(house)
    with house.context.transaction() as (conn, now):
        [_] = credit.apply_to_invoices(conn, house.payment(payment).customer_id, "USD", None, applied, now, "ann")
    house.advance(days=2)
    voided = today(house)
    house.void(payment)
    assert [due(house, day) for day in (posted - DAY, posted, applied - DAY, applied)] == [6000, 5000, 5000, 3000]
    assert [due(house, day) for day in (voided - DAY, voided)] == [3000, 11000]


def test_a_void_before_the_post_date_takes_nothing_off_twice(house: House) -> None:
    """R5, R10: what never came to count is not owed twice."""
    bill(house, "A", 6000, date(2026, 1, 5), date(2026, 1, 5))
    later = today(house) + 10 * DAY
    payment = house.pay(6000, post_date=later)
    house.work()
    house.void(payment)
    assert [due(house, day) for day in (today(house), later - DAY, later)] == [6000, 6000, 6000]


def test_what_was_paid_before_it_was_billed_is_taken_off_what_is_current(house: House) -> None:
    """R5: a payment that is dated before its invoice is an advance until the invoice's own date."""
    bill(house, "A", 5000, date(2026, 1, 5), date(2026, 1, 5))
    bill(house, "B", 3000, date(2026, 2, 10), date(2026, 3, 10))
    house.pay(3000, invoices=["B"], post_date=date(2026, 2, 1))
    house.work()
    assert as_of(house, date(2026, 2, 1)) == Aging("USD", -3000, 5000, 0, 0, 0)
    assert as_of(house, date(2026, 2, 10)) == Aging("USD", 0, 0, 5000, 0, 0)


def test_today_agrees_with_every_customers_balance(house: House) -> None:
    """B2: as of today, aging is the sum of what the records of all customers say."""
    for number, customer in enumerate(("C-1", "C-2", "C-3")):
        for place in range(4):
            late = date(2026, 1, 5) + (number * 40 + place * 17) * DAY
            bill(house, f"{place}", 1000 * (place + 1), date(2026, 1, 5), late, customer)
        house.pay(1500 + number, card() if number == 1 else None, customer)
    house.work()
    day = today(house)
    with house.context.transaction() as (conn, _):
        ids = conn.exec_driver_sql("SELECT id FROM customers ORDER BY id").scalars().all()
        each = [account.balances(conn, one, day)[0] for one in ids]
        found = aging.standing(conn, day, house.context.terms.zone)
        alone = [aging.of_customer(conn, one, day, house.context.terms.zone)[0] for one in ids]
        streamed = list(aging.everybody(conn, day, house.context.terms.zone))
    for name in ("due", "current", "to_30", "to_60", "to_90", "over_90"):
        assert getattr(found.totals[0], f"{name}_minor") == sum(getattr(one, f"{name}_minor") for one in each)
        assert [getattr(one, f"{name}_minor") for one in alone] == [getattr(one, f"{name}_minor") for one in each]
    assert sorted(one.aging.due_minor for one in found.customers) == sorted(one.due_minor for one in each)
    assert tuple(streamed) == found.customers


def test_the_most_overdue_come_first(house: House) -> None:
    """Page by page, by what is past its due date and not by what is owed."""
    day = date(2026, 6, 1)
    bill(house, "A", 9000, date(2026, 1, 5), day, "C-1")
    bill(house, "A", 100, date(2026, 1, 5), day - DAY, "C-2")
    bill(house, "A", 200, date(2026, 1, 5), day - DAY, "C-3")
    zone = house.context.terms.zone
    with house.context.transaction() as (conn, _):
        first = aging.standing(conn, day, zone, "USD", 2)
        second = aging.standing(conn, day, zone, "EUR", 2, 2)
    assert [one.number for one in first.customers] == ["C-3", "C-2"]
    assert ([one.number for one in second.customers], second.currency) == (["C-1"], "USD")
    assert first.totals == second.totals


def test_a_day_ends_by_the_business_clock(house: House) -> None:
    """R5: what is applied just before midnight in New York counts on that day, though UTC has the next one."""
    bill(house, "A", 6000, date(2026, 1, 5), date(2026, 1, 5))
    payment = house.pay(7000)
    house.work()
    bill(house, "B", 1000, date(2026, 1, 6), date(2026, 1, 6))
    first = today(house)
    while today(house) == first:
        house.advance(hours=1)
    house.advance(hours=21)
    day = today(house)
    assert day == first + DAY
    with house.context.transaction() as (conn, now):
        assert now.date() == day + DAY
        credit.apply_to_invoices(conn, house.payment(payment).customer_id, "USD", None, day, now, "ann")
    assert [due(house, one) for one in (first, day)] == [1000, 0]
    with house.context.transaction() as (conn, now):
        void.void(conn, payment, "wrong", "auto", day, now, "sue")
    assert [due(house, one) for one in (first, day)] == [1000, 7000]
