"""Issue 4, stories: log in, find a customer with the keyboard alone, open its record."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.web.browser import Desk, Office, needs_chromium, no_violations, seat

pytestmark = needs_chromium


def test_keyboard_only(desk: Desk) -> None:
    """From the log-in to a customer's Payment window by keys alone: typing, arrows, Enter, F8."""
    first = desk.office.customer("Quentin Querulous", {"Q-1": 1250})
    second = desk.office.customer("Quentin Quiet", {"Q-2": 990, "Q-3": 100})
    page = desk.page()
    page.goto("/console/find")
    no_violations(page)
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Find a customer")).to_be_visible()
    page.keyboard.type("quentin")
    expect(page.locator("#results a")).to_have_count(2)
    no_violations(page)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#results a").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/customers/{second}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Quentin Quiet")
    expect(page.get_by_text("10.90 USD").first).to_be_visible()
    no_violations(page)
    with page.expect_request(f"**/console/customers/{second}/payment"):
        page.keyboard.press("F8")
    assert first != second


def test_log_out(desk: Desk) -> None:
    """After the log-out nothing is to be seen, not even by the browser's Back."""
    customer = desk.office.customer("Lou Gone", {"L-1": 100})
    page = desk.log_in()
    page.goto(f"/console/customers/{customer}")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("status")).to_contain_text("ann is logged out.")
    page.go_back()
    expect(page).to_have_url(re.compile("/console/login"))


@pytest.fixture
def dark_and_narrow(office: Office, chromium: Browser) -> Iterator[Desk]:
    """A telephone at night."""
    yield from seat(office, chromium, color_scheme="dark", viewport={"width": 360, "height": 740})


def test_dark_and_narrow(dark_and_narrow: Desk) -> None:
    """On a narrow screen in dark colours everything is there, readable, and nothing is wider than the screen."""
    customer = dark_and_narrow.office.customer("Nora Narrow", {"N-1": 123456, "N-2": 99})
    page = dark_and_narrow.log_in()
    for path in ("/console/find", "/console/find?q=n", f"/console/customers/{customer}"):
        page.goto(path)
        no_violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.fixture
def without_script(office: Office, chromium: Browser) -> Iterator[Desk]:
    """A browser that runs no script."""
    yield from seat(office, chromium, java_script_enabled=False)


def test_without_script(without_script: Desk) -> None:
    """The basic road needs no JavaScript: log in, look, open."""
    without_script.office.customer("Otto Oldfashioned", {"O-1": 700})
    page = without_script.log_in()
    page.get_by_label("Find a customer").fill("oldfashioned")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Otto Oldfashioned")
    page.get_by_role("link", name="All").click()
    expect(page.get_by_role("cell", name="O-1")).to_be_visible()
