"""Issue 4: a day's deposits by method, gateway and currency, listed, printable, and as CSV."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest

from tests.web.conftest import Books, Visitor

DAY = date(2026, 3, 2)


def book(
    books: Books, customer: int, minor: int, method: str = "check", number: str | None = None, kind: str = "posted"
) -> int:
    """An entry of the journal as posting makes it, with its payment."""
    payment: int = books.one(
        """INSERT INTO payments (caller, idempotency_key, content_digest, customer_id, method, number, currency,
               total_minor, post_date, as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state,
               applied_minor, recorded_at, recorded_by, posted_at, card_token, card_brand, card_last_four)
           VALUES ('test', gen_random_uuid(), 'x', :id, :method, :number, 'USD', :minor, :day, false, false, 'ask',
               :minor, 'posted', :minor, now(), 'ann', now(), 'card_1',
               CASE WHEN :method = 'credit_card' THEN 'visa' END, CASE WHEN :method = 'credit_card' THEN '1111' END)
           RETURNING id""",
        id=customer,
        method=method,
        number=number,
        minor=minor,
        day=DAY,
    )
    account = "clearing:payflow" if method == "credit_card" else f"cash:{method}"
    books.do(
        """INSERT INTO journal (at, post_date, kind, customer_id, payment_id, currency, accounts, amounts_minor)
           VALUES (now(), :day, :kind, :id, :payment, 'USD', ARRAY[:account, 'receivable'], ARRAY[:moved, -:moved])""",
        day=DAY,
        kind=kind,
        id=customer,
        payment=payment,
        account=account,
        moved=-minor if kind == "voided" else minor,
    )
    return payment


@pytest.fixture
def money(books: Books) -> int:
    """A day with two checks, one of them taken back, a card and PayPal."""
    customer = books.bill("C-1", name="Ann & Co")
    book(books, customer, 1250, number="1001")
    book(books, customer, 750, number="1002")
    book(books, customer, 750, number="1002", kind="voided")
    book(books, customer, 4300, "credit_card")
    book(books, customer, 5, "paypal")
    return customer


@pytest.fixture
def sue(visitor: Visitor) -> Visitor:
    """A browser in which a supervisor is logged in."""
    visitor.log_in("sue")
    return visitor


def test_the_day(sue: Visitor, money: int) -> None:
    """Sums by method and gateway, what went back taken off; each check with its number, the card by its last four."""
    page = sue.get(f"/console/deposits?day={DAY}")
    assert page.status_code == 200
    for words in (
        "Deposits of Monday, 2026-03-02",
        "20.00 USD",
        "7.50 USD",
        "12.50 USD",
        "Credit card at payflow",
        "PayPal",
        "1001",
        "Visa ending in 1111",
        "Ann &amp; Co",
        "55.55 USD",
        "data-print",
    ):
        assert words in page.text
    assert '/console/deposits?day=2026-03-01"' in page.text
    assert '/console/deposits?day=2026-03-03"' in page.text


def test_one_account_alone(sue: Visitor, money: int) -> None:
    """For the bank's slip: the checks alone, one by one."""
    page = sue.get(f"/console/deposits?day={DAY}&account=cash:check&currency=USD").text
    assert "Check, USD" in page
    assert page.count("<td>1002</td>") == 2
    assert "Visa ending in" not in page


def test_a_day_without_money(sue: Visitor, money: int) -> None:
    """Without a day it is today's, and a day without money says so."""
    page = sue.get("/console/deposits")
    assert page.status_code == 200
    assert "No money came in" in page.text


@pytest.mark.parametrize("day", ["tomorrow", "2026-02-30", "0001-01-01", "9999-12-31", "<b>"])
def test_what_is_no_day(sue: Visitor, day: str) -> None:
    """What is no day, or one that nobody could mean, is refused in words."""
    refused = sue.get(f"/console/deposits?day={day}")
    assert refused.status_code == 422
    assert "<b>" not in refused.text


def test_more_than_a_page(sue: Visitor, money: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more than a page of entries there are more pages; the sums stay the whole day's."""
    monkeypatch.setattr("web.console.deposits.SHOWN", 2)
    first = sue.get(f"/console/deposits?day={DAY}").text
    assert "there are more" in first
    following = first.partition('">Next ones')[0].rpartition('href="')[2].replace("&amp;", "&")
    second = sue.get(following).text
    assert "First ones" in second
    assert "55.55 USD" in second
    assert "<td>1001</td>" in first
    assert "<td>1001</td>" not in second


def test_csv(sue: Visitor, books: Books, money: int) -> None:
    """All of the day as rows with decimal amounts; a name that a spreadsheet would run as a formula is made text."""
    for number, name in (("=1+1", "=HYPERLINK(1)"), ("@x", "+1"), ("-2", "\tx")):
        book(books, books.bill(number, name=name), 100, "other")
    answer = sue.get(f"/console/deposits.csv?day={DAY}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="deposits-2026-03-02.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 8
    assert [row["amount"] for row in rows if row["number"] == "1002"] == ["7.50", "-7.50"]
    assert [row["card"] for row in rows if row["gateway"] == "payflow"] == ["visa ending in 1111"]
    kept = {row["customer"]: row["customer_name"] for row in rows if row["method"] == "other"}
    assert kept == {"'=1+1": "'=HYPERLINK(1)", "'@x": "'+1", "'-2": "'\tx"}


def test_supervisors_only(clerk: Visitor, money: int) -> None:
    """A clerk does not see a day's money."""
    assert clerk.get("/console/deposits").status_code == 403
    assert clerk.get("/console/deposits.csv").status_code == 403
