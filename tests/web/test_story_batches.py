"""Issue 4 as stories: who leaves a slow gateway is told later; a batch that is watched while it is worked on."""

from __future__ import annotations

from playwright.sync_api import expect

from producer import Producer
from rules.cards import Card
from sandbox.client import hold
from tests.web.browser import Desk, needs_chromium, no_violations
from web.progress import SLOW

pytestmark = needs_chromium


def test_told_later(desk: Desk, counter: Producer) -> None:
    """Ann does not wait for a slow gateway; while she enters something else she is told, and loses nothing by it."""
    customer = desk.office.customer("Late Larry", {"LL-1": 4300})
    desk.office.sandbox.client.scenario(before=[hold("late gateway")], operation="sale", amount=4300)
    asked = {
        "idempotency_key": f"late-{customer}",
        "customer": desk.office.number(customer),
        "method": "credit_card",
        "currency": "USD",
        "amount_minor": 4300,
    }
    payment = counter.pay(
        asked, Card("4111111111111111", 12, 2039, "123", "Larry"), caller="story", by="ann"
    ).payment_id
    page = desk.log_in()
    page.goto(f"/console/payments/{payment}/progress")
    expect(page.locator("#outcome")).to_have_text(SLOW, timeout=10_000)
    no_violations(page)
    page.goto("/console/find")
    expect(page.locator(".told")).to_have_count(0)
    page.get_by_label("Find a customer").fill("Larry")
    expect(page.get_by_role("link", name="Late Larry")).to_be_visible()
    desk.office.sandbox.client.release("late gateway")
    told = page.get_by_role("listitem").filter(has_text=f"Payment {payment} of Late Larry (43.00 USD) is posted.")
    page.wait_for_function(
        "() => { document.dispatchEvent(new Event('visibilitychange')); return document.querySelector('.told'); }",
        polling=500,
    )
    expect(told).to_be_visible()
    expect(page.get_by_label("Find a customer")).to_have_value("Larry")
    no_violations(page)
    page.get_by_role("button", name=f"Seen: payment {payment}").click()
    expect(page.locator(".told")).to_have_count(0)
    expect(page.get_by_label("Find a customer")).to_have_value("Larry")
    page.reload()
    expect(page.locator(".told")).to_have_count(0)


def test_a_batch_while_it_is_worked_on(desk: Desk, counter: Producer) -> None:
    """D4: a batch's counts move while it is looked at; afterwards what did not go well stands first."""
    customer = desk.office.customer("Batch Betty", {"BB-1": 1000, "BB-2": 4400})
    desk.office.sandbox.client.scenario(before=[hold("batch gateway")], operation="sale", amount=4400)
    [sealed] = counter.keep_cards([Card("4111111111111111", 12, 2039, "123", "Betty")])
    known = {"customer": desk.office.number(customer), "currency": "USD"}
    batch = counter.submit(
        [
            {**known, "method": "check", "idempotency_key": "1", "amount_minor": 1000, "invoices": ["BB-1"]},
            {
                **known,
                "method": "credit_card",
                "card_token": sealed.token,
                "idempotency_key": "2",
                "amount_minor": 4400,
                "invoices": ["BB-2"],
            },
        ],
        label="Betty's",
        caller=f"story {customer}",
        idempotency_key="betty",
        by="ann",
    ).batch_id
    page = desk.log_in("sue")
    page.get_by_role("link", name="Batches").click()
    page.get_by_role("link", name=str(batch), exact=True).click()
    desk.office.sandbox.client.wait_for("batch gateway")
    expect(page.locator("#finished")).to_have_text("1")
    expect(page.locator("#batch-ended")).to_have_text("")
    no_violations(page)
    desk.office.sandbox.client.release("batch gateway")
    expect(page.locator("#batch-ended")).to_have_text("Nothing more happens by itself now.")
    expect(page.locator("#finished")).to_have_text("2")
    page.get_by_role("link", name="Show the rest as it is now").click()
    expect(page.get_by_role("heading", name="Posted")).to_be_visible()
    expect(page.get_by_role("img", name="Payments posted each second")).to_be_visible()
    no_violations(page)
    for path in ("/console/batches", "/console/waiting", "/console/retries"):
        page.goto(path)
        no_violations(page)
