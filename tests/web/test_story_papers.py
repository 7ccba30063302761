"""Issue 4, a story: a supervisor sees who owes for long, looks at the statement, and takes away the papers."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.web.browser import Desk, needs_chromium, no_violations

pytestmark = needs_chromium


def test_from_aging_to_the_statement_and_its_paper(desk: Desk) -> None:
    """Aging as of today and of a wrong day, the statement, the receipt: nothing that axe finds, and PDFs that open."""
    customer = desk.office.customer("Agatha Aging", {"G-1": 123_456_789, "G-2": 500}, since=100)
    page = desk.log_in("sue")
    page.get_by_role("link", name="Aging").click()
    expect(page.get_by_role("img", name="Balance due in USD")).to_be_visible()
    no_violations(page)
    page.goto("/console/aging?as_of=tomorrow")
    expect(page.get_by_role("alert")).to_be_visible()
    no_violations(page)
    page.goto("/console/aging")
    page.get_by_role("link", name="Agatha Aging").click()
    page.get_by_role("link", name="Statement").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Agatha Aging")
    no_violations(page)
    page.get_by_label("From").fill("2020-01-01")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Invoice G-1")).to_be_visible()
    paper = page.request.get(page.get_by_role("link", name="PDF").get_attribute("href") or "")
    assert paper.body().startswith(b"%PDF")
    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_label("Total Payment Amount").fill("5.00")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/receipt")
    no_violations(page)
    paper = page.request.get(page.get_by_role("link", name="PDF").get_attribute("href") or "")
    assert paper.body().startswith(b"%PDF")
