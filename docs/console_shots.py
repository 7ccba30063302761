"""Takes the console's pictures for the docs: `python -m docs.console_shots`. Needs Chromium.

It starts all of Defray with its sample in a home of its own, adds customers to look at, and works through the windows.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from books import people, proposals, views
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from cli import main_job, sample_people
from cli.reach import Office, office
from local import up
from rules.cards import Card
from rules.people import Role
from sandbox.client import SandboxClient, hold
from settings import load
from web.progress import SLOW

_IMAGES: Final = Path(__file__).parent / "img"
_WIDTH: Final = 1200
_COLORS: Final = 96
_BY: Final = "the office"
_CALLER: Final = "counter"
_HELD_FOR_REVIEW: Final = Card("4000000000009235", 12, 2039, "123", "Cedar Wholesale")
_GOOD: Final = Card("4111111111111111", 12, 2039, "123", "Cedar Wholesale")
_OWED: Final = ((130, 41250), (95, 18900), (70, 26075), (38, 30000), (12, 9980))
"""Harbor Dental's invoices: how many days old, and cents."""
_LIMIT_MINOR: Final = 50_000
_SLOW: Final = "picture of a slow gateway"
_PATIENCE_SECONDS: Final = 60


@dataclass(frozen=True)
class Shown:
    """What the pictures are taken of."""

    browser: Browser
    at: Office
    sandbox: SandboxClient
    address: str
    passwords: Mapping[str, str] = field(repr=False)
    today: date

    @contextmanager
    def desk(self, name: str, **options: Any) -> Iterator[Page]:
        """A browser in which somebody is logged in."""
        wanted = {"viewport": {"width": _WIDTH, "height": 700}, **options}
        context = self.browser.new_context(base_url=self.address, locale="en-US", **wanted)
        page = context.new_page()
        page.goto("/console/login")
        if name == "supervisor":
            shoot(page, "login", 420)
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(self.passwords[name])
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/find")
        yield page
        context.close()

    def until(self, state: str, payment_id: int) -> None:
        """Wait until a payment stands so."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            with self.at.reading() as (conn, _):
                if views.payment(conn, payment_id).state == state:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"payment {payment_id} is not {state}")


def shoot(page: Page, name: str, most: int = 1000) -> None:
    """Keep what a page looks like from its top to its end, `most` pixels at most, in few colours."""
    width = page.evaluate("innerWidth")
    high = min(most, page.evaluate("document.documentElement.scrollHeight"))
    whole = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": high})
    picture = Image.open(io.BytesIO(whole)).convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
    picture.save(_IMAGES / f"console-{name}.png", optimize=True)


def main() -> int:
    """Take all of them; an exit code."""
    with tempfile.TemporaryDirectory(prefix="defray-shots-") as home:
        given = {name: value for name, value in os.environ.items() if not name.startswith("DEFRAY_")}
        given |= {"DEFRAY_HOME": home, "DEFRAY_BUSINESS_NAME": "Lighthouse Supply Co."}
        return up.run(Path(home), given, lambda running: main_job.run(running) and take(running), once=True)


def take(running: up.Running) -> bool:
    """The story that the pictures tell."""
    settings = load(running.environment)
    with office(settings) as at, sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        with at.reading() as (_, now):
            today = at.today(now)
        shown = Shown(
            browser,
            at,
            SandboxClient(running.addresses["Sandbox"].removesuffix("/sandbox/")),
            running.addresses["Console"].rstrip("/"),
            json.loads((settings.home / sample_people.FILE).read_text()),
            today,
        )
        customer = bill(shown)
        at_the_counter(shown)
        with shown.desk("supervisor") as page:
            take_payments(shown, page, customer)
            void(shown, page)
            supervise(page, customer)
        with shown.desk("admin") as page:
            for name in ("users", "gateways", "me"):
                page.goto(f"/console/{name}")
                shoot(page, name, 760)
        telephone = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
        with shown.desk("clerk", **telephone) as page:
            page.goto(f"/console/customers/{customer}")
            shoot(page, "narrow", 900)
        browser.close()
    return True


def bill(shown: Shown) -> int:
    """Two customers with invoices, and a limit for the supervisor; the id of the one who is looked at."""
    today = shown.today
    days = [today - timedelta(days=30 - place) for place in range(30)]
    new = [
        NewInvoice("H-1001", str(2041 + place), issued, issued + timedelta(days=30), "USD", minor)
        for place, (age, minor) in enumerate(_OWED)
        for issued in [today - timedelta(days=age)]
    ]
    new += [NewInvoice("C-2040", str(7001 + place), day, day, "USD", 2_000_000) for place, day in enumerate(days)]
    customers = [
        NewCustomer("H-1001", "Harbor Dental", "accounts@harbor-dental.example", "+1 207 555 0134"),
        NewCustomer("C-2040", "Cedar Wholesale", "billing@cedar-wholesale.example"),
    ]
    with shown.at.transaction() as (conn, now):
        harbor, _ = record_customers(conn, customers, now, _BY)
        record_invoices(conn, new, now, _BY)
        people.appoint(
            conn,
            "supervisor",
            Role.SUPERVISOR,
            now,
            _BY,
            void_limit_minor=_LIMIT_MINOR,
            refund_limit_minor=_LIMIT_MINOR,
        )
    return harbor.id


def at_the_counter(shown: Shown) -> None:
    """A month of payments by Cedar Wholesale, one that is held at the gateway, one that a second person must void."""
    producer = shown.at.producer()

    def pay(key: str, minor: int, card: Card | None = None, **fields: Any) -> int:
        known = {"idempotency_key": key, "customer": "C-2040", "currency": "USD", "amount_minor": minor}
        return producer.pay({**known, **fields}, card, caller=_CALLER, by="clerk").payment_id

    for place in range(1, 30):
        day = shown.today - timedelta(days=30 - place)
        method = ("check", "cash", "paypal", "check")[place % 4]
        number: dict[str, Any] = {"number": str(4400 + place)} if method == "check" else {}
        pay(
            f"day-{place}",
            600_000 + place * place * 104_729 % 2_300_000,
            method=method,
            post_date=day.isoformat(),
            **number,
        )
    large = pay("large", 96_000, _GOOD, method="credit_card")
    shown.until("posted", large)
    with shown.at.transaction() as (conn, now):
        proposals.propose_void(conn, large, "ask", "meant for another customer", now, "supervisor")
    shown.until("review", pay("held", 31_500, _HELD_FOR_REVIEW, method="credit_card"))


def take_payments(shown: Shown, page: Page, customer: int) -> None:
    """From the box to the receipt: a check over all invoices, then a card for one of them."""
    page.get_by_label("Find a customer").fill("harbor")
    page.get_by_role("link", name="Harbor Dental").wait_for()
    shoot(page, "find")
    window = f"/console/customers/{customer}/payment"
    page.goto(window)
    amount = page.get_by_label("Total Payment Amount")
    amount.fill("700.00")
    page.get_by_label("Amount Applied").filter(has_text="700.00").wait_for()
    page.get_by_label("Check or Money Order Number").fill("1007")
    shoot(page, "customer-payment")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/receipt")
    page.goto(f"/console/customers/{customer}")
    shoot(page, "record", 1100)
    page.goto(window)
    amount.fill("225.00")
    page.get_by_label("Payment Type").select_option("cash")
    page.get_by_label("Notes").fill("paid at the counter by Ms. Harbor")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/receipt")
    page.goto(window)
    page.get_by_role("link", name="2044").click()
    amount.fill("250.00")
    page.get_by_label("Amount Applied").filter(has_text="237.25").wait_for()
    page.get_by_label("Payment Type").select_option("credit_card")
    for label, text in (
        ("Card Number", "4111 1111 1111 1111"),
        ("Expiry", "12/39"),
        ("Security Code", "123"),
        ("Name on the Card", "Harriet Harbor"),
        ("Street", "12 Wharf St"),
        ("Postal Code", "04101"),
    ):
        page.get_by_label(label).fill(text)
    shoot(page, "payment")
    shown.sandbox.scenario(before=[hold(_SLOW)], operation="sale", amount=25_000)
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/progress")
    shown.sandbox.wait_for(_SLOW)
    page.get_by_text(SLOW).wait_for()
    shoot(page, "progress", 420)
    shown.sandbox.release(_SLOW)
    page.wait_for_url("**/receipt")
    shoot(page, "receipt", 620)
    page.goto(f"/console/customers/{customer}/credits")
    shoot(page, "credits")
    page.goto(f"/console/customers/{customer}")


def void(shown: Shown, page: Page) -> None:
    """The card's payment is voided after its charge was settled: the gateway refuses, the question is asked."""
    shown.sandbox.settle()
    page.locator("#payments ~ .scroll tbody a").first.click()
    page.get_by_role("link", name="Void this payment").click()
    page.get_by_label("Why is it voided?").fill("wrong customer")
    shoot(page, "void")
    page.get_by_role("button", name="Void the payment").click()
    page.get_by_role("heading", name="Return the amount to the card?").wait_for()
    shoot(page, "refund", 760)


def supervise(page: Page, customer: int) -> None:
    """What supervisors look at."""
    for name, address, most in (
        ("waiting", "/console/waiting", 900),
        ("batch", "/console/batches/1", 1100),
        ("retries", "/console/retries", 900),
        ("deposits", "/console/deposits", 900),
        ("aging", "/console/aging", 900),
        ("statement", f"/console/customers/{customer}/statement?from=2020-01-01", 900),
    ):
        page.goto(address)
        shoot(page, name, most)
    page.goto("/console/charts")
    shoot(page, "charts", 1500)


if __name__ == "__main__":
    sys.exit(main())
