"""Issue 4, stories: a second factor set up and asked for; an admin who lets somebody in, on a narrow dark screen."""

from __future__ import annotations

from collections.abc import Iterator

import pyotp
import pytest
from playwright.sync_api import Browser, expect

from books import clock
from tests.web.browser import PASSWORD, Desk, Office, needs_chromium, no_violations, seat

pytestmark = needs_chromium


def code(office: Office, secret: str, steps: int = 0) -> str:
    """What an authenticator shows, so many steps from now."""
    with office.engine.begin() as conn:
        return pyotp.TOTP(secret).at(int(clock.now(conn).timestamp()) + 30 * steps)


def test_second_factor(desk: Desk) -> None:
    """Bob sets up his phone, logs out, and logs in with password and code; then he turns it off again."""
    page = desk.log_in("bob")
    page.get_by_role("link", name="bob (clerk)").click()
    no_violations(page)
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Set it up").click()
    expect(page.get_by_role("img", name="The key as a picture")).to_be_visible()
    no_violations(page)
    drawn = page.locator(".qr svg").bounding_box()
    assert drawn
    assert drawn["width"] > 150
    secret = page.locator(".secret").inner_text().replace(" ", "")
    page.keyboard.type("000 000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not right")
    page.get_by_label("One-time code").fill(code(desk.office, secret, -1))
    page.keyboard.press("Enter")
    expect(page.get_by_text("From now on a code is asked for")).to_be_visible()
    no_violations(page)

    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Name").fill("bob")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="One-time code")).to_be_visible()
    no_violations(page)
    page.goto("/console/find")
    expect(page.get_by_role("heading", name="One-time code")).to_be_visible()
    page.keyboard.type(code(desk.office, secret))
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/find")

    page.goto("/console/me")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("One-time code").fill(code(desk.office, secret, 1))
    page.get_by_role("button", name="Turn it off").click()
    expect(page.get_by_text("You log in with your password alone.")).to_be_visible()


@pytest.fixture
def narrow(office: Office, chromium: Browser) -> Iterator[Desk]:
    """A telephone in the dark."""
    yield from seat(office, chromium, viewport={"width": 360, "height": 740}, color_scheme="dark")


def test_somebody_new(narrow: Desk) -> None:
    """Ada adds Pat with a limit, and reads the gateways; nothing is wider than the screen but what scrolls."""
    page = narrow.log_in("ada")
    page.get_by_role("link", name="People").click()
    no_violations(page)
    page.get_by_label("Name").fill("pat")
    page.get_by_label("Role").select_option("supervisor")
    page.get_by_label("May void alone up to").fill("250.005")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("more decimal places")
    no_violations(page)
    page.get_by_label("May void alone up to").fill("250")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="A new password for pat")).to_be_visible()
    no_violations(page)
    page.get_by_role("link", name="Go on").click()
    page.get_by_role("link", name="pat", exact=True).click()
    expect(page.get_by_label("May void alone up to")).to_have_value("250.00")
    no_violations(page)
    page.goto("/console/gateways")
    expect(page.get_by_role("heading", name="Gateways", exact=True)).to_be_visible()
    no_violations(page)
    for address in ("/console/users", "/console/users/pat", "/console/me", "/console/gateways"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
