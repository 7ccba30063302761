"""Issue 4, window 5, as a story: a card that is charged while somebody looks."""

from __future__ import annotations

from playwright.sync_api import expect

from producer import Producer
from rules.cards import Card
from sandbox.client import hold
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
