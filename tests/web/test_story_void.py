"""Issue 4, window 7, as a story: a void that the gateway refuses, the question, and the refund to its end."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from sqlalchemy import text

from tests.faults.plant import until
from tests.web.browser import Desk, Office, needs_chromium, no_violations

pytestmark = needs_chromium


def pay_by_card(page: Page, customer: int) -> None:
    """Charge all that is owed to a card, and wait until it is posted."""
    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_label("Payment Type").select_option("credit_card")
    page.get_by_label("Card Number").fill("4111111111111111")
    page.get_by_label("Expiry").fill("12/39")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**/console/customers/{customer}")


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
