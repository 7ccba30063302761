"""Issue 4: axe-core finds no violation on any page, light or dark, wide or narrow; a new page without an example fails.

One database with everything that pages show: posted, voided, declined, unknown, held, proposed, asked about, retried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import Connection

from books import api_keys, clock, credit, feed, holds, lists, people, proposals, schedules, void, webhooks
from books.people import SecondFactor
from producer import Producer
from rules.apps import Scope
from rules.cards import Card
from rules.people import Role
from rules.schedules import check
from tests.faults.plant import until
from tests.web.browser import PASSWORD, Desk, Office, needs_chromium, no_violations, seat
from tests.web.test_every_route import ROUTES

pytestmark = needs_chromium

NO_PAGES = {
    "/": "leads to /console/find",
    "/console": "leads to /console/find",
    "/healthz": "for programs",
    "/readyz": "for programs",
    "/metrics": "for programs",
    "/static/{digest}/{name}": "a file",
    "/console/header": "a part of every page",
    "/console/find/results": "a part of /console/find",
    "/console/aging.csv": "a file",
    "/console/deposits.csv": "a file",
    "/console/payments/{payment_id}/receipt.pdf": "a file",
    "/console/customers/{customer_id}/statement.pdf": "a file",
    "/console/batches/{batch_id}/progress": "a stream",
    "/console/login": "looked at before the log-in",
    "/console/login/code": "looked at before the log-in",
}
"""What answers GET and is no page of somebody who is logged in, each with the reason."""

GOOD, NO_FUNDS, LOST, HELD = "4111111111111111", "4000000000009995", "4000000000009987", "4000000000009235"
NARROW = 360

OF_LOOKS = ("color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size")
"""Rules whose answer colours and width can change: the page's structure is the same in both."""


@dataclass(frozen=True)
class Everything:
    """Ids of what there is to look at."""

    customer: int
    pending: int
    paid: int
    batch: int
    applied_credit: int
    payments: Mapping[str, int]
    scheduled: int = 1  # a customer with schedules, on hold

    def addresses(self) -> dict[str, list[str]]:
        """Addresses by the route that answers them."""
        customer, payment = f"/console/customers/{self.customer}", "/console/payments"
        posted = self.payments["posted"]
        return {
            "/console/find": ["/console/find", "/console/find?q=every"],
            "/console/customers/{customer_id}": [f"{customer}?show=all"],
            "/console/customers/{customer_id}/invoices/{invoice_id}": [f"{customer}/invoices/{self.paid}"],
            "/console/customers/{customer_id}/payment": [f"{customer}/payment"],
            "/console/customers/{customer_id}/invoices/{invoice_id}/payment": [
                f"{customer}/invoices/{self.pending}/payment",
                f"{customer}/invoices/{self.paid}/payment",
            ],
            "/console/customers/{customer_id}/cards": [f"{customer}/cards"],
            "/console/customers/{customer_id}/schedules": [
                f"{customer}/schedules",
                f"/console/customers/{self.scheduled}/schedules",
            ],
            "/console/customers/{customer_id}/credits": [f"{customer}/credits"],
            "/console/customers/{customer_id}/credits/applications/{allocation_id}/undo": [
                f"{customer}/credits/applications/{self.applied_credit}/undo"
            ],
            "/console/customers/{customer_id}/statement": [f"{customer}/statement"],
            "/console/payments/{payment_id}": [f"{payment}/{one}" for one in self.payments.values()],
            "/console/payments/{payment_id}/progress": [
                f"{payment}/{self.payments[kind]}/progress" for kind in ("posted", "declined", "unknown")
            ],
            "/console/payments/{payment_id}/receipt": [
                f"{payment}/{posted}/receipt",
                f"{payment}/{self.payments['voided']}/receipt",
            ],
            "/console/payments/{payment_id}/story": [f"{payment}/{self.payments['asked']}/story"],
            "/console/payments/{payment_id}/void": [f"{payment}/{posted}/void"],
            "/console/payments/{payment_id}/cancel": [f"{payment}/{self.payments['requested']}/cancel"],
            "/console/payments/{payment_id}/refund-part": [f"{payment}/{self.payments['kept']}/refund-part"],
            "/console/payments/{payment_id}/dispute": [f"{payment}/{self.payments['kept']}/dispute"],
            "/console/waiting": ["/console/waiting"],
            "/console/batches": ["/console/batches"],
            "/console/batches/{batch_id}": [
                f"/console/batches/{self.batch}",
                f"/console/batches/{self.batch}?state=posted",
            ],
            "/console/retries": ["/console/retries"],
            "/console/deposits": ["/console/deposits", "/console/deposits?day=2001-01-01"],
            "/console/charts": ["/console/charts", "/console/charts?days=7"],
            "/console/aging": ["/console/aging"],
            "/console/users": ["/console/users"],
            "/console/users/{name}": ["/console/users/ann"],
            "/console/keys": ["/console/keys"],
            "/console/webhooks": ["/console/webhooks"],
            "/console/gateways": ["/console/gateways"],
            "/console/me": ["/console/me"],
        }


def test_every_page_has_an_example() -> None:
    """A page that this file does not look at fails here: give it an address, or say why it is none."""
    routes = {path for method, path in ROUTES if method == "GET" and not path.startswith("/v1/")}
    examples = set(Everything(1, 1, 1, 1, 1, dict.fromkeys(KINDS, 1)).addresses())
    assert not examples & set(NO_PAGES)
    assert examples | set(NO_PAGES) == routes


KINDS = (
    "posted",
    "voided",
    "declined",
    "retrying",
    "held",
    "unknown",
    "requested",
    "less",
    "proposed",
    "asked",
    "kept",
    "planned",
)


@pytest.fixture(scope="module")
def everything(office: Office, counter: Producer) -> Everything:
    """A customer with a payment of each kind, a batch, a kept card and an applied credit."""
    owed = {f"E-{place}": 2000 + place for place in range(1, 6)}
    customer = office.customer("Every Thing & Co.", owed, since=150)
    other = office.customer("Every Where", {"EW-1": 5000, "EW-2": 5000})
    payments = {
        "requested": office.standing(customer, "requested"),
        "unknown": office.standing(customer, "charging", "unknown"),
        "less": office.standing(customer, "review", reason="only 10.00 USD of 12.50 USD are owed"),
        "proposed": office.standing(customer, "posted", "approved"),
    }

    def pay(kind: str, minor: int, whose: int = customer, number: str = "", **fields: object) -> int:
        asked = {"idempotency_key": f"every {kind}", "customer": office.number(whose), "currency": "USD"}
        card = Card(number, 12, 2039, "123", "Every Thing") if number else None
        method = "credit_card" if number else "cash"
        kept = bool(fields.pop("keep_card", False))
        payments[kind] = counter.pay(
            {**asked, "amount_minor": minor, "method": method, **fields}, card, caller="every", by="ada", keep_card=kept
        ).payment_id
        return payments[kind]

    def stands(kind: str, state: str) -> None:
        until(
            lambda: office.one("SELECT state FROM payments WHERE id = :id", id=payments[kind]) == state,
            f"the payment that is {kind} is {state}",
        )

    pay("posted", 2501, invoices=["E-1"], notes="a note of the office")
    pay("voided", 500, other, invoices=["EW-1"])
    pay("asked", 700, other, GOOD, invoices=["EW-2"], keep_card=True)
    pay("kept", 900, other, GOOD, invoices=["EW-2"])
    pay("declined", 300, other, LOST, invoices=["EW-2"])
    pay("retrying", 400, other, NO_FUNDS, invoices=["EW-2"])
    pay("held", 450, other, HELD, invoices=["EW-2"])
    states = {"posted": "posted", "voided": "posted", "asked": "posted", "kept": "posted", "declined": "declined"}
    for kind, state in {**states, "retrying": "retrying", "held": "review"}.items():
        stands(kind, state)
    pay("planned", 100, other, GOOD, invoices=["EW-2"], run_on="2037-01-31")
    office.sandbox.client.settle()
    batch = counter.submit(
        [
            {
                "idempotency_key": "1",
                "customer": office.number(other),
                "currency": "USD",
                "method": "check",
                "amount_minor": 5,
            }
        ],
        label="Every kind",
        caller="every",
        idempotency_key="every",
        by="ada",
    ).batch_id
    with office.engine.begin() as conn:
        now = clock.now(conn)
        today = now.date()
        void.void(conn, payments["voided"], "keyed twice", "ask", today, now, "sue")
        void.void(conn, payments["asked"], "wrong customer", "ask", today, now, "sue")
        proposals.propose_void(conn, payments["proposed"], "ask", "wrong customer", now, "sue")
        credit.apply_to_invoices(conn, customer, "USD", None, today, now, "ada")
        by_the_clock(conn, office.number(other), now)
        for name in ("shop", "old shop"):
            api_keys.add(conn, name, f"of the {name}", tuple(Scope), office.number(customer), now, "ada")
        api_keys.revoke(conn, "old shop", now, "ada")
    with office.engine.begin() as conn:
        feed.settle(conn)
    with office.engine.begin() as conn:  # of a private address: nothing is sent
        kept = webhooks.Sealed("none", b"sealed")
        for name in ("told", "dead"):
            made = webhooks.add(conn, f"https://127.0.0.1/{name}", (), None, "", kept, now, "ada")
            conn.exec_driver_sql(f"UPDATE webhook_endpoints SET cursor = 0 WHERE id = {made}")
        webhooks.fan_out(conn, now)
        conn.exec_driver_sql(f"UPDATE webhook_endpoints SET state = 'disabled' WHERE id = {made}")
    until(
        lambda: office.one("SELECT count(*) FROM reversals WHERE state = 'refund_awaiting_approval'"),
        "it is asked whether to return the amount",
    )
    invoice = "SELECT id FROM invoices WHERE customer_id = :id AND state = :state ORDER BY id LIMIT 1"
    return Everything(
        customer,
        office.one(invoice, id=customer, state="pending"),
        office.one(invoice, id=customer, state="paid"),
        int(batch or 0),
        office.one("SELECT max(id) FROM allocations WHERE credit_id IS NOT NULL"),
        payments,
        other,
    )


def by_the_clock(conn: Connection, customer: str, now: datetime) -> None:
    """A schedule in each state, with a date that was skipped, and a hold."""
    [token] = conn.exec_driver_sql("SELECT token FROM kept_cards WHERE removed_at IS NULL").scalars()
    customer_id = lists.customer(conn, customer).id
    said = {"customer": customer, "currency": "USD", "amount": "1.00", "card_token": token, "unit": "month"}
    start = (now + timedelta(days=40)).date().isoformat()
    made = []
    for key in ("active", "paused", "ended"):
        asked = check({**said, "idempotency_key": f"every {key}", "start": start, "times": 12})
        assert not isinstance(asked, list)
        made.append(schedules.make(conn, asked, "every", UTC, now, "ada")[0])
    schedules.skip(conn, made[0], "away", UTC, now, "ada")
    schedules.pause(conn, made[1], "moving house", now, "ada")
    schedules.stop(conn, made[2], "moved away", now, "ada")
    holds.place(conn, customer_id, "a letter", None, UTC, now, "ada")


@pytest.fixture
def other_desk(office: Office, chromium: Browser) -> Iterator[Desk]:
    """Somebody's browser with one more factor to give."""
    yield from seat(office, chromium)


@pytest.mark.parametrize("half", [0, 1])
def test_no_page_has_a_violation(desk: Desk, everything: Everything, half: int) -> None:
    """WCAG 2.2 AA: on every page, wide and light, narrow and dark, axe finds nothing, and nothing is wider than it."""
    page = desk.log_in("ada")
    refused = {f"/console/payments/{everything.payments['voided']}/void": 409}
    refused |= dict.fromkeys(("/console/payments/999999", "/console/nowhere"), 404)
    wrong: list[str] = []
    every = [*(one for some in everything.addresses().values() for one in some), *refused]
    for address in every[half::2]:
        answer = page.goto(address)
        assert answer
        assert answer.status == refused.get(address, 200), address
        wrong += found_on(page, address)
    assert not wrong, "\n".join(wrong)


def test_before_the_log_in(other_desk: Desk) -> None:
    """The log-in, and the second step of somebody whose phone is asked for, have no violation either."""
    with other_desk.office.engine.begin() as conn:
        now = clock.now(conn)
        [secret] = conn.exec_driver_sql("SELECT password_hash FROM users WHERE name = 'ann'").scalars()
        people.add(conn, "tom", secret, Role.CLERK, now, "story")
        people.set_two_factor(conn, "tom", SecondFactor("none", b"sealed", 1), now, "story")
    page = other_desk.page()
    page.goto("/console/login")
    wrong = found_on(page, "/console/login")
    page.get_by_label("Name").fill("tom")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="One-time code").wait_for()
    wrong += found_on(page, "/console/login/code")
    assert not wrong, "\n".join(wrong)


def found_on(page: Page, address: str) -> list[str]:
    """What is wrong with a page as it is now: in light and wide, then in dark and narrow."""
    wrong = []
    looks: tuple[tuple[Literal["light", "dark"], int, Sequence[str]], ...] = (
        ("light", 1200, ()),
        ("dark", NARROW, OF_LOOKS),
    )
    for scheme, width, rules in looks:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            wrong.append(f"{address} is {wide} wide at {width}")
        try:
            no_violations(page, rules)
        except AssertionError as violations:
            wrong.append(f"{address}, {scheme}, {width} wide: {violations}")
    return wrong
