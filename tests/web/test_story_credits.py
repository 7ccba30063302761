"""Issue 4, window 8, as a story: a credit pays an invoice, and that is undone."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.web.browser import Desk, needs_chromium, no_violations

pytestmark = needs_chromium


def test_a_credit_is_applied_and_undone(desk: Desk) -> None:
    """R14: from the record to the credits, the preview as one chooses, Apply, the invoice Paid; then it is undone."""
    customer = desk.office.customer("Cora Credit", {"CR-1": 1000, "CR-2": 300, "CR-3": 300})
    page = desk.log_in()
    page.goto(f"/console/customers/{customer}/invoices/{invoice(desk, customer, 'CR-1')}/payment")
    page.get_by_label("Total Payment Amount").fill("15.00")
    page.get_by_label("Payment Type").select_option("cash")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/receipt")
    page.get_by_role("link", name="Go on").click()
    page.get_by_role("link", name="Apply credits, or undo that").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Credits")
    no_violations(page)
    preview = page.locator("#credit-preview")
    expect(preview).to_contain_text("In all 5.00 USD")
    place = page.get_by_label("Place of invoice CR-3")
    place.fill("1")
    place.press("Tab")
    expect(preview).to_contain_text("In all 3.00 USD; 2.00 USD stay as credit.")
    place.fill("one")
    place.press("Tab")
    expect(preview).to_contain_text("is no place in an order")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was applied")
    no_violations(page)
    page.get_by_label("Place of invoice CR-3").fill("1")
    page.get_by_role("button", name="Apply").dblclick()
    expect(page.get_by_text("Applied 3.00 USD to invoice CR-3.")).to_be_visible()
    assert balance(desk, customer, "CR-3") == 0
    page.get_by_role("link", name="CR-3", exact=True).click()
    expect(page.locator("h1 .state")).to_have_text("Paid")
    no_violations(page)
    page.get_by_role("link", name=re.compile("^Credit ")).click()
    page.get_by_role("link", name="Undo 3.00 USD on invoice CR-3").click()
    page.get_by_label("Why").fill("meant for another invoice")
    no_violations(page)
    page.keyboard.press("Enter")
    expect(page.get_by_text("invoice CR-3 owes 3.00 USD again")).to_be_visible()
    assert balance(desk, customer, "CR-3") == 300
    no_violations(page)


def test_the_pages_of_a_supervisor(desk: Desk) -> None:
    """The day's deposits, the charts, a payment's story, and the record have no violation."""
    customer = desk.office.customer("Dora Deposit", {"DD-1": 1000}, since=100)
    page = desk.log_in("sue")
    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_label("Total Payment Amount").fill("4.00")
    page.get_by_label("Check or Money Order Number").fill("77001")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/receipt")
    payment = desk.office.one("SELECT max(id) FROM payments WHERE customer_id = :id", id=customer)
    page.goto("/console/deposits")
    expect(page.get_by_role("cell", name="77001")).to_be_visible()
    no_violations(page)
    page.emulate_media(media="print")
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
    expect(page.get_by_role("cell", name="77001")).to_be_visible()
    page.emulate_media(media="screen")
    for address in ("/console/charts", f"/console/payments/{payment}/story", f"/console/customers/{customer}"):
        page.goto(address)
        no_violations(page)


def invoice(desk: Desk, customer: int, number: str) -> int:
    """The id of an invoice."""
    found: int = desk.office.one(
        "SELECT id FROM invoices WHERE customer_id = :id AND number = :number", id=customer, number=number
    )
    return found


def balance(desk: Desk, customer: int, number: str) -> int:
    """What an invoice owes."""
    owed: int = desk.office.one(
        "SELECT balance_minor FROM invoices WHERE customer_id = :id AND number = :number", id=customer, number=number
    )
    return owed
