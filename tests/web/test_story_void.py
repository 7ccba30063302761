"""Issue 4, window 7, as a story: a void that the gateway refuses, the question, and the refund to its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from books import clock, proposals
from tests.faults.plant import until
from tests.web.browser import Desk, Office, needs_chromium, no_violations, seat

pytestmark = needs_chromium


def pay_by_card(page: Page, customer: int) -> None:
    """Charge all that is owed to a card, and wait until it is posted."""
    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_label("Payment Type").select_option("credit_card")
    page.get_by_label("Card Number").fill("4111111111111111")
    page.get_by_label("Expiry").fill("12/39")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/receipt")


def watched_to_its_end(office: Office, payment: int) -> None:
    """The gateway settles the refund, and it is looked at now instead of in twelve hours."""
    office.sandbox.client.settle()
    with office.engine.begin() as conn:
        conn.execute(text("UPDATE reversals SET due_at = now() WHERE payment_id = :id"), {"id": payment})
    state = "SELECT state FROM reversals WHERE payment_id = :id"
    until(lambda: office.one(state, id=payment) == "refunded", "the refund is final")


def test_a_void_that_becomes_a_refund(desk: Desk) -> None:
    """R10-R12: charged, settled, voided; the gateway refuses, Sue is asked and says yes; struck through at the end."""
    customer = desk.office.customer("Vera Void", {"V-1": 4300, "V-2": 250})
    page = desk.log_in("sue")
    pay_by_card(page, customer)
    payment = desk.office.one("SELECT id FROM payments WHERE customer_id = :id", id=customer)
    desk.office.sandbox.client.settle()
    page.goto(f"/console/payments/{payment}")
    no_violations(page)
    page.get_by_role("link", name="Void this payment").click()
    expect(page.get_by_text("2 invoices owe 45.50 USD again")).to_be_visible()
    expect(page.get_by_text("45.50 USD goes back to the Visa card ending in 1111.")).to_be_visible()
    expect(page.get_by_role("row", name="V-1 43.00 USD this payment Paid → Pending")).to_be_visible()
    no_violations(page)
    page.get_by_label("Why is it voided?").fill("wrong customer")
    page.get_by_role("button", name="Void the payment").dblclick()
    page.wait_for_url(f"**/console/payments/{payment}/progress")
    no_violations(page)
    page.wait_for_url(f"**/console/payments/{payment}")
    expect(page.get_by_text("Return 45.50 USD to Visa ending in 1111 by a refund?")).to_be_visible()
    no_violations(page)
    page.get_by_role("button", name="Yes, return it").click()
    page.wait_for_url(f"**/console/payments/{payment}/progress")
    page.wait_for_url(f"**/console/payments/{payment}")
    expect(page.get_by_role("heading", level=1).locator("s")).to_have_text(f"Payment {payment}")
    expect(page.get_by_text("by sue: wrong customer")).to_be_visible()
    expect(page.get_by_role("button", name="Yes, return it")).to_have_count(0)
    no_violations(page)
    states = "SELECT operation, state FROM gateway_transactions WHERE payment_id = :id ORDER BY id"
    assert [tuple(row) for row in desk.office.rows(states, id=payment)] == [
        ("sale", "approved"),
        ("void", "declined"),
        ("refund", "approved"),
    ]
    watched_to_its_end(desk.office, payment)
    page.goto(f"/console/payments/{payment}/progress")
    expect(page.get_by_text("The amount was returned to the card")).to_have_count(2)
    page.get_by_role("link", name="Go on").click()
    expect(page.get_by_text("wrong customer): refunded")).to_be_visible()
    no_violations(page)
    page.goto(f"/console/customers/{customer}")
    expect(page.get_by_role("group", name="Invoices").get_by_role("link", name="V-1")).to_be_visible()
    expect(page.locator("tr.voided")).to_have_count(1)


@pytest.fixture
def dark(office: Office, chromium: Browser) -> Iterator[Desk]:
    """A browser in dark mode, on a narrow screen."""
    yield from seat(office, chromium, color_scheme="dark", viewport={"width": 360, "height": 740})


def test_what_waits_for_a_person(dark: Desk) -> None:
    """R8, R13, E4: a proposal, a payment to cancel, one of which less is owed, a charge that nobody knows of."""
    office = dark.office
    customer = office.customer("Willy Waits", {"WW-1": 5000})
    posted, requested = office.standing(customer, "posted", "approved"), office.standing(customer, "requested")
    review = office.standing(customer, "review", reason="only 10.00 USD of 12.50 USD are owed")
    unknown = office.standing(customer, "charging", "unknown")
    with office.engine.begin() as conn:
        proposals.propose_void(conn, posted, "ask", "wrong customer", clock.now(conn), "ada")
    page = dark.log_in("sue")
    for payment, says in (
        (posted, "A second person must approve: void this payment"),
        (review, "What becomes of this payment?"),
        (unknown, "What became of the charge is not known"),
    ):
        page.goto(f"/console/payments/{payment}")
        expect(page.get_by_role("heading", name=says)).to_be_visible()
        if payment == unknown:
            page.get_by_text("Say what became of it").click()
            expect(page.get_by_text("Ask the gateway’s support first.")).to_be_visible()
        no_violations(page)
    page.goto(f"/console/payments/{posted}")
    page.get_by_label("Or why not?").fill("it is the right one")
    page.get_by_role("button", name="Refuse the void").click()
    expect(page.get_by_text("The void is refused.")).to_be_visible()
    page.goto(f"/console/payments/{review}")
    page.get_by_label("Do not charge the card").check()
    page.get_by_label("Why?").fill("4111 1111 1111 1111")
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_label("Do not charge the card")).to_be_checked()
    no_violations(page)
    page.goto(f"/console/payments/{requested}")
    page.get_by_role("link", name="Cancel this payment").click()
    no_violations(page)
    page.get_by_label("Why is it cancelled?").fill("paid in cash")
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"Payment {requested} is cancelled.")).to_be_visible()
    page.goto(f"/console/payments/{requested}/cancel")
    expect(page.get_by_role("heading", name="Not possible")).to_be_visible()
    no_violations(page)
