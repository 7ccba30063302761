"""Issue 4, windows 3 to 6, as stories: a check by keys alone, and a card that is charged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.canary.search import found
from tests.web.browser import PASSWORD, PATIENCE_MS, Desk, Office, needs_chromium, no_violations, seat

pytestmark = needs_chromium


def test_a_check_by_keys_alone(desk: Desk) -> None:
    """From the log-in: the name, F8, a sum, the preview as one types, the check's number, Enter: Paid, a credit."""
    customer = desk.office.customer("Kay Keys", {"K-1": 1000, "K-2": 500})
    page = desk.log_in()
    page.keyboard.type("kay keys")
    expect(page.get_by_role("link", name="Kay Keys")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/customers/{customer}")
    page.keyboard.press("F8")
    expect(page.get_by_label("Total Payment Amount")).to_be_focused()
    expect(page.get_by_label("Card Number")).to_be_disabled()
    no_violations(page)
    page.keyboard.press("Control+A")
    page.keyboard.type("12.00")
    expect(page.get_by_label("Amount Applied")).to_have_text("12.00 USD")
    page.keyboard.press("Control+A")
    page.keyboard.type("17.50")
    expect(page.get_by_label("Amount Applied")).to_have_text("15.00 USD")
    expect(page.get_by_label("Becomes a Credit")).to_have_text("2.50 USD")
    page.keyboard.press("Tab")
    page.keyboard.type("Cash")
    expect(page.get_by_label("Check or Money Order Number")).to_be_disabled()
    page.keyboard.type("Check")
    page.keyboard.press("Tab")
    page.keyboard.type("1007")
    page.keyboard.press("Enter")
    page.wait_for_url("**/receipt")
    expect(page.locator(".state.paid")).to_have_count(2)
    expect(page.get_by_text("Credit: 2.50 USD")).to_be_visible()
    no_violations(page)
    page.go_back()
    expect(page.get_by_text("This form was saved already")).to_be_visible()
    no_violations(page)
    assert desk.office.one("SELECT count(*) FROM payments WHERE customer_id = :id", id=customer) == 1


def test_a_card(desk: Desk) -> None:
    """From an invoice's own window a card is charged: its number leaves for the vault alone, the invoice is Paid."""
    customer = desk.office.customer("Carl Card", {"CC-1": 4300, "CC-2": 100})
    page = desk.log_in()
    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_role("link", name="CC-1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Payment of invoice CC-1")
    page.get_by_label("Payment Type").select_option("credit_card")
    expect(page.get_by_text("will charge the customer’s card")).to_be_visible()
    expect(page.get_by_label("Check or Money Order Number")).to_be_disabled()
    no_violations(page)
    page.get_by_label("Card Number").fill("4111111111111112")
    page.get_by_label("Expiry").fill("12/39")
    expect(page.locator("[data-card-brand]")).to_have_text("Visa, a digit is wrong")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Card Number")).to_be_focused()
    expect(page.locator("#card-number-wrong")).not_to_be_empty()
    no_violations(page)
    page.get_by_label("Card Number").fill("4111111111111111")
    page.get_by_label("Security Code").fill("073")
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url) if "4111111111111111" in (one.post_data or "") else None)
    page.get_by_role("button", name="Save").dblclick()
    page.wait_for_url("**/receipt")
    page.get_by_role("link", name="Go on").click()
    page.wait_for_url(f"**/console/customers/{customer}")
    assert [url.removeprefix(desk.office.address) for url in sent] == ["/v1/cards"]
    assert found(kept_by_the_browser(page), ["4111111111111111", "073"]) == []
    expect(page.locator(".state.posted")).to_have_count(1)
    paid = "SELECT number FROM invoices WHERE customer_id = :id AND state = 'paid'"
    assert desk.office.one(paid, id=customer) == "CC-1"
    assert desk.office.one("SELECT count(*) FROM payments WHERE customer_id = :id", id=customer) == 1


def kept_by_the_browser(page: Page) -> bytes:
    """All that pages may keep in it: cookies, local and session storage, databases, and its cache of answers (C3)."""
    kept = page.evaluate(
        """async () => JSON.stringify([
            {...localStorage}, {...sessionStorage}, await indexedDB.databases(), await caches.keys(), history.state,
        ])"""
    )
    return f"{page.context.storage_state(indexed_db=True)} {kept}".encode()


def by_card(page: Page, number: str) -> None:
    """Choose to pay by a card, and enter it."""
    page.get_by_label("Payment Type").select_option("credit_card")
    page.get_by_label("Card Number").fill(number)
    page.get_by_label("Expiry").fill("12/39")


def charged(page: Page) -> None:
    """Wait for the receipt, or for a progress window that was over when it opened, which closes no more by itself."""
    expect(page.locator(".state.paid, #steps:not([data-progress])").first).to_be_attached(timeout=PATIENCE_MS)


def test_a_declined_card_another_one_and_a_kept_one(desk: Desk) -> None:
    """A decline says what to tell; what is tried again is told at the next card, which is kept, and charged again."""
    customer = desk.office.customer("Dee Clined", {"D-1": 1000, "D-2": 500})
    page = desk.log_in()
    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_role("link", name="D-1").click()
    by_card(page, "4000000000000002")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("You can tell the customer: ")).to_be_visible()
    no_violations(page)
    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_role("link", name="D-1").click()
    expect(page.get_by_text("Declined for now, is tried again by itself")).to_be_visible()
    by_card(page, "4111111111111111")
    page.get_by_label("Keep this card for later payments").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#amount-fault")).to_contain_text("exceeds what the invoices owe")
    expect(page.get_by_text("Visa ending in 1111")).to_be_visible()
    no_violations(page)
    page.get_by_label("Charge all the same").check()
    page.get_by_role("button", name="Save").click()
    charged(page)
    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_role("link", name="D-2").click()
    page.get_by_label("Payment Type").select_option("credit_card")
    expect(page.get_by_label("Visa ending in 1111, expires 12/39")).to_be_checked()
    expect(page.get_by_label("Card Number")).to_be_disabled()
    page.get_by_label("A new card").check()
    expect(page.get_by_label("Card Number")).to_be_enabled()
    page.get_by_label("Visa ending in 1111, expires 12/39").check()
    no_violations(page)
    page.get_by_role("button", name="Save").click()
    charged(page)
    owed = "SELECT sum(balance_minor) FROM invoices WHERE customer_id = :id"
    assert desk.office.one(owed, id=customer) == 0
    page.goto(f"/console/customers/{customer}/cards")
    no_violations(page)
    page.get_by_role("button", name="Remove Visa ending in 1111").click()
    expect(page.get_by_text("The card is removed.")).to_be_visible()


@pytest.fixture
def other_desk(office: Office, chromium: Browser) -> Iterator[Desk]:
    """A second person at a browser of their own."""
    yield from seat(office, chromium)


def test_two_clerks_and_a_log_out(desk: Desk, other_desk: Desk) -> None:
    """Somebody else pays first, then the session ends: both are told, nothing is lost, and only Save saves."""
    customer = desk.office.customer("Tess Two", {"T-1": 1000, "T-2": 500})
    window = f"/console/customers/{customer}/payment"
    page = desk.log_in()
    page.goto(window)
    other = other_desk.log_in("bob")
    other.goto(window)
    other.get_by_role("link", name="T-1").click()
    other.get_by_role("button", name="Save").click()
    other.wait_for_url("**/receipt")
    page.get_by_label("Notes").fill("two bags")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#balance-fault")).to_contain_text("The balance due changed while this window was open")
    no_violations(page)

    desk.context.clear_cookies()
    page.get_by_label("Total Payment Amount").fill("5.00")
    expect(page.locator("#preview")).to_contain_text("You were logged out meanwhile")
    by_card(page, "4111111111111111")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("your entries were not saved, and are not lost")).to_be_visible()
    assert "4111111111111111" not in page.content()
    no_violations(page)
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your entries were not saved yet.")).to_be_visible()
    no_violations(page)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Notes")).to_have_value("two bags")
    expect(page.get_by_label("Payment Type")).to_have_value("credit_card")
    expect(page.get_by_label("Amount Applied")).to_have_text("5.00 USD")
    page.get_by_label("Payment Type").select_option("cash")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/receipt")
    paid = (
        "SELECT string_agg(recorded_by || ' ' || total_minor, ', ' ORDER BY id) FROM payments WHERE customer_id = :id"
    )
    assert desk.office.one(paid, id=customer) == "bob 1000, ann 500"


@pytest.fixture
def without_script(office: Office, chromium: Browser) -> Iterator[Desk]:
    """A browser that runs no script, on a narrow screen."""
    yield from seat(office, chromium, java_script_enabled=False, viewport={"width": 360, "height": 740})


def test_without_script(without_script: Desk) -> None:
    """The basic road: the Preview button shows what would be applied, Save saves, and the receipt says so."""
    customer = without_script.office.customer("Olga Offline", {"OO-1": 700})
    page = without_script.log_in()
    page.goto(f"/console/customers/{customer}/payment")
    page.get_by_label("Total Payment Amount").fill("8.00")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_label("Becomes a Credit")).to_have_text("1.00 USD")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".state.paid")).to_have_count(1)
