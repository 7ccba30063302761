"""R17 as a story: a part of a charge goes back; what moves is seen beforehand, and the invoice owes again."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.web.browser import Desk, needs_chromium, no_violations
from tests.web.test_story_void import pay_by_card

pytestmark = needs_chromium


def test_a_part_goes_back_and_a_dispute_is_lost(desk: Desk) -> None:
    """R17: charged and settled; 10.00 refunded, the newest invoice is Pending again; a dispute takes the rest of it."""
    customer = desk.office.customer("Rita Refund", {"R-1": 4300, "R-2": 1550})
    page = desk.log_in("sue")
    pay_by_card(page, customer)
    payment = desk.office.one("SELECT id FROM payments WHERE customer_id = :id", id=customer)
    desk.office.sandbox.client.settle()
    page.goto(f"/console/payments/{payment}")
    page.get_by_role("link", name="Refund", exact=True).click()
    expect(page.get_by_label("Amount")).to_have_value("58.50")
    expect(page.get_by_text("2 invoices owe 58.50 USD again")).to_be_visible()
    page.get_by_label("Amount").fill("10.00")
    expect(page.get_by_text("1 invoice owes 10.00 USD again")).to_be_visible()
    expect(page.get_by_role("row", name="R-2 10.00 USD this payment Paid → Pending")).to_be_visible()
    no_violations(page)
    page.get_by_label("Why is it refunded?").fill("one was broken")
    page.get_by_role("button", name="Refund").dblclick()
    page.wait_for_url(f"**/console/payments/{payment}/progress")
    page.wait_for_url(f"**/console/payments/{payment}")
    expect(page.get_by_text("refund of 10.00 USD (one was broken)")).to_be_visible()
    assert desk.office.one("SELECT count(*) FROM reversals WHERE payment_id = :id", id=payment) == 1
    page.get_by_role("link", name="Dispute", exact=True).click()
    page.get_by_label("Case, as the bank").fill("CB-77")
    page.get_by_label("Amount").fill("5.50")
    page.get_by_label("What does the payer say?").fill("never came")
    page.get_by_role("button", name="Record the dispute").click()
    page.get_by_role("link", name="Dispute", exact=True).click()
    expect(page.get_by_text("1 invoice owes 5.50 USD again")).to_be_visible()
    no_violations(page)
    page.get_by_label("Lost: the amount is gone").check()
    page.get_by_label("Who said so, and when?").fill("the bank, in writing")
    page.get_by_role("button", name="Record how it ended").click()
    expect(page.get_by_text("The dispute is lost.")).to_be_visible()
    no_violations(page)
    page.goto(f"/console/customers/{customer}")
    expect(page.get_by_role("row", name="R-2")).to_contain_text("Pending")
    owed = "SELECT state || ' ' || balance_minor FROM invoices WHERE customer_id = :id ORDER BY number DESC LIMIT 1"
    assert desk.office.one(owed, id=customer) == "pending 1550"
