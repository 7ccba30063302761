"""Issue 4: charts that the server draws, each with its numbers in a table."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from books import clock
from books.bill import NewInvoice, record_invoices
from tests.web.conftest import Books, Visitor


@pytest.fixture
def sue(visitor: Visitor) -> Visitor:
    """A browser in which a supervisor is logged in."""
    visitor.log_in("sue")
    return visitor


def sale(books: Books, customer: int, state: str, decline_class: str | None = None, message: str = "") -> int:
    """A sale of today of a new payment; the payment's id."""
    payment: int = books.one(
        """INSERT INTO payments (caller, idempotency_key, content_digest, customer_id, method, currency, total_minor,
               as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at, recorded_by)
           VALUES ('test', gen_random_uuid(), 'x', :id, 'credit_card', 'USD', 1250, false, false, 'ask', 1250,
               'declined', now(), 'ann') RETURNING id""",
        id=customer,
    )
    another_sale(books, payment, state, decline_class, message)
    return payment


def another_sale(books: Books, payment: int, state: str, decline_class: str | None = None, message: str = "") -> None:
    """One more sale of a payment."""
    books.do(
        """INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor,
               currency, state, decline_class, code, message, send_until, started_at)
           SELECT :payment, 'sale', 'payflow', 'a', 1 + coalesce(max(reference), 0), 1250, 'USD', :state, :class, '12',
               :message, now(), now() FROM gateway_transactions""",
        payment=payment,
        state=state,
        message=message,
        **{"class": decline_class},
    )


def test_empty(sue: Visitor) -> None:
    """Before anything happened there is nothing to show, and the page says so."""
    page = sue.get("/console/charts")
    assert page.status_code == 200
    assert "nothing to show" in page.text
    assert "Nothing is owed" in page.text


def test_drawn_and_told(sue: Visitor, books: Books) -> None:
    """Recovered by attempt with its share, declines by reason, money by day, aging: drawn, and in tables."""
    customer = books.bill("C-1", {"A": 1250, "B": 700})
    paid = sale(books, customer, "declined", "soft_dated", "Insufficient <funds>")
    another_sale(books, paid, "approved")
    sale(books, customer, "declined", "hard", "Lost card")
    books.do(
        """INSERT INTO journal (at, post_date, kind, customer_id, payment_id, currency, accounts, amounts_minor)
           VALUES (now(), CAST(now() AS date) - 1, 'posted', :id, :payment, 'USD',
               ARRAY['clearing:payflow', 'receivable'], ARRAY[1250, -1250])""",
        id=customer,
        payment=paid,
    )
    page = sue.get("/console/charts").text
    assert page.count("<svg") == 4
    for words in (
        "Payments that met a soft decline in these days: 1; paid since: 1 (100 %).",
        "attempt 2",
        "no funds, or a limit",
        "never again with this card",
        "Insufficient &lt;funds&gt;",
        "Credit card",
        "12.50 USD",
        "19.50 USD",
    ):
        assert words in page


def test_owed_as_in_the_aging(sue: Visitor, books: Books) -> None:
    """What is billed as of a day to come is owed then, and not today: the chart says what the aging says."""
    books.bill("C-1", {"A": 1250})
    ahead = date(9000, 1, 1)
    with books.engine.begin() as conn:
        record_invoices(conn, [NewInvoice("C-1", "B", ahead, ahead, "USD", 700)], clock.now(conn), "test")
    for address in ("/console/charts", "/console/aging"):
        page = sue.get(address).text
        assert ("12.50 USD" in page, "7.00 USD" in page) == (True, False), address


def test_the_span(sue: Visitor, books: Books) -> None:
    """Only what happened in the chosen days counts; more than a year is not asked for."""
    customer = books.bill("C-1")
    payment = sale(books, customer, "declined", "hard", "Long ago")
    books.do(
        "UPDATE gateway_transactions SET started_at = now() - CAST(:ago AS interval) WHERE payment_id = :id",
        ago=timedelta(days=40),
        id=payment,
    )
    assert "Long ago" not in sue.get("/console/charts?days=30").text
    assert "Long ago" in sue.get("/console/charts?days=90").text
    for days in ("0", "367", "x"):
        assert sue.get(f"/console/charts?days={days}").status_code == 422


def test_supervisors_only(clerk: Visitor) -> None:
    """A clerk has no charts."""
    assert clerk.get("/console/charts").status_code == 403
