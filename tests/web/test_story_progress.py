"""Issue 4, window 5, as a story: a card that is charged while somebody looks."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from producer import Producer
from rules.cards import Card
from sandbox.client import hold
from tests.faults.plant import until
from tests.web.browser import Desk, needs_chromium, no_violations

pytestmark = needs_chromium


def test_steps_as_they_happen(desk: Desk, counter: Producer) -> None:
    """While the gateway takes its time the window says so; when it answers, the window goes on by itself."""
    customer = desk.office.customer("Slow Sally", {"SL-1": 4200})
    page = desk.log_in()
    desk.office.sandbox.client.scenario(before=[hold("slow gateway")], operation="sale", amount=4200)
    asked = {
        "idempotency_key": f"slow-{customer}",
        "customer": desk.office.number(customer),
        "method": "credit_card",
        "currency": "USD",
        "amount_minor": 4200,
    }
    payment = counter.pay(
        asked, Card("4111111111111111", 12, 2039, "123", "Sally"), caller="story", by="ann"
    ).payment_id
    page.goto(f"/console/payments/{payment}/progress")
    desk.office.sandbox.client.wait_for("slow gateway")
    expect(page.locator("#steps li")).to_have_text(["Recorded", "Calling the gateway …"])
    expect(page.locator("#outcome")).to_contain_text("Still under way")
    no_violations(page)
    desk.office.sandbox.client.release("slow gateway")
    expect(page.locator("#outcome")).to_contain_text("The payment is posted.")
    page.wait_for_url(f"**/console/payments/{payment}/receipt")
    expect(page.get_by_text("42.00 USD")).to_have_count(2)
    no_violations(page)


def test_the_end_came_before_the_page(desk: Desk) -> None:
    """Whoever comes from a form goes on by themselves though it is over already."""
    customer = desk.office.customer("Hasty Hal", {"HH-1": 4200})
    page = desk.log_in()
    posted = "SELECT count(*) FROM payments WHERE customer_id = :id AND state = 'posted'"

    def answered_late(route: Route) -> None:
        answer = route.fetch(max_redirects=0)
        until(lambda: desk.office.one(posted, id=customer) == 1, "the payment is posted")
        route.fulfill(response=answer)

    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_label("Payment Type").select_option("credit_card")
    page.get_by_label("Card Number").fill("4111111111111111")
    page.get_by_label("Expiry").fill("12/39")
    page.route("**/payment", answered_late)
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/receipt")
