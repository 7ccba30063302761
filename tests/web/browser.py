"""Stories in a real Chromium: the web process, a worker with its clock, and the gateways' stand-in, all real.

One office a test process, started at the first story, with a database and a broker of its own; every story makes its
own customers, so that nothing has to be emptied while workers are at work. Its fixtures `office`, `counter`, `chromium`
and `desk` are known to every test of this folder by its conftest; imported into a module they would be others, started
anew.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import pytest
from argon2 import PasswordHasher
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright
from sqlalchemy import Engine, create_engine, text

from books import clock, people
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from local.ports import answers, free_port
from local.valkey import Valkey
from models import migrate
from producer import Producer, connected
from rules.people import Role
from sandbox import client
from sandbox.client import SandboxProcess
from settings import load
from tests import servers
from tests.faults.plant import CELERY, EVERY_QUEUE, Running, environment, until

PASSWORD: Final = "correct horse battery"
QUICK_HASHER: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PEOPLE: Final = {"ann": Role.CLERK, "bob": Role.CLERK, "sue": Role.SUPERVISOR, "ada": Role.ADMIN}
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM: Final = os.environ.get("DEFRAY_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: install it (Debian: chromium), or name one in DEFRAY_TEST_CHROMIUM"
)
"""Put on every story: `pytestmark = needs_chromium`."""

PATIENCE_MS: Final = 20_000
_VIOLATIONS: Final = "options => axe.run(options).then(({url, violations}) => ({url, violations}))"
_draw: Final = itertools.count(1)

_PAYMENT: Final = """
    INSERT INTO payments (caller, idempotency_key, content_digest, customer_id, method, card_token, card_brand,
        card_last_four, gateway, currency, total_minor, as_credit, allow_overlap, when_owed_less, owed_at_request_minor,
        state, reason, next_step, due_at, charged_minor, credited_minor, recorded_at, recorded_by)
    VALUES ('story', :state || :customer, 'x', :customer, 'credit_card', 'none', 'visa', '1111', 'payflow', 'USD', 1250,
        true, false, 'ask', 0, :state, :reason, :step, CASE WHEN :step <> '' THEN now() + interval '1 day' END,
        CASE WHEN :state = 'posted' THEN 1250 END, CASE WHEN :state = 'posted' THEN 1250 ELSE 0 END, now(), 'ann')
    RETURNING id"""
_SALE: Final = """
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency, state,
        next_step, due_at, send_until, started_at)
    VALUES (:payment, 'sale', 'payflow', 'sandbox', :reference, 1250, 'USD', :state, :step,
        CASE WHEN :step <> '' THEN now() + interval '1 day' END, now(), now()) RETURNING id"""


@dataclass
class Office:
    """What a story has behind the page."""

    engine: Engine
    sandbox: SandboxProcess
    address: str
    told: Mapping[str, str] = field(repr=False)  # the environment of its processes
    processes: Mapping[str, Running] = field(repr=False)

    def customer(self, name: str, owed: Mapping[str, int], currency: str = "USD", since: int = 60) -> int:
        """A new customer with invoices by number and minor units, each a day older than the next; the id.

        The oldest is `since` days old; each is due 30 days after its date.
        """
        with self.engine.begin() as conn:
            now = clock.now(conn)
            number = f"S-{next(_draw):04}"
            first: date = now.date() - timedelta(days=since)
            [kept] = record_customers(conn, [NewCustomer(number, name)], now, "story")
            days = [first + timedelta(days=place) for place in range(len(owed))]
            new = [
                NewInvoice(number, invoice, day, day + timedelta(days=30), currency, minor)
                for day, (invoice, minor) in zip(days, owed.items(), strict=True)
            ]
            record_invoices(conn, new, now, "story")
        return kept.id

    def standing(self, customer: int, state: str, sale: str | None = None, reason: str = "") -> int:
        """A card payment of 12.50 that stands so, left alone by the workers for a day; the id."""
        step = "charge" if state == "requested" else None
        payment: int = self.one(_PAYMENT, customer=customer, state=state, reason=reason, step=step)
        if sale is not None:
            asks = "inquire" if sale == "unknown" else None
            self.one(_SALE, payment=payment, reference=10**18 + payment, state=sale, step=asks)
        return payment

    def number(self, customer: int) -> str:
        """A customer's number."""
        return str(self.one("SELECT number FROM customers WHERE id = :id", id=customer))

    def one(self, query: str, **values: object) -> Any:
        """A single value."""
        with self.engine.begin() as conn:
            return conn.execute(text(query), values).scalar()

    def rows(self, query: str, **values: object) -> list[Any]:
        """Some rows."""
        with self.engine.begin() as conn:
            return list(conn.execute(text(query), values))


@dataclass
class Desk:
    """A person at a browser of their own."""

    office: Office
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def page(self) -> Page:
        """A new tab; whatever it complains of on its console makes the story fail."""
        page = self.context.new_page()
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def log_in(self, name: str = "ann") -> Page:
        """A tab in which somebody is logged in."""
        page = self.page()
        page.goto("/console/login")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/find")
        return page

    def _listen(self, message: ConsoleMessage) -> None:
        # An answer other than 2xx is told there, too; stories look at such answers themselves.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)


def no_violations(page: Page, rules: Sequence[str] = ()) -> None:
    """axe-core finds nothing against WCAG 2.2 A and AA (or these of its rules) on this page as it is now."""
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": tags}
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = AxeResults(page.evaluate(_VIOLATIONS, {"runOnly": only, "resultTypes": ["violations"]}))
    assert found.violations_count == 0, found.generate_report()


@pytest.fixture(scope="session")
def office(shared_servers: servers.Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The office of this test process."""
    folder = tmp_path_factory.mktemp("office")
    with ExitStack() as parts:
        url = parts.enter_context(servers.empty_database(shared_servers, f"defray_stories_{shared_servers.slot}"))
        migrate.upgrade(url)
        engine = create_engine(url)
        parts.callback(engine.dispose)
        broker = Valkey(folder)
        broker.start()
        parts.callback(broker.remove)
        parts.callback(broker.stop)
        sandbox = parts.enter_context(client.start(any_amount=True))
        _hire(engine)
        port = free_port()
        told = {
            **environment(sandbox, url, broker.url, folder),
            "DEFRAY_WEB_PORT": str(port),
            "DEFRAY_WEB_FLOWER_URL": f"http://127.0.0.1:{free_port()}",  # a story that needs it starts it there
        }
        worker = (*CELERY, "worker", "--queues", EVERY_QUEUE, "--concurrency", "2", "-n", "stories@%h")
        beat = (*CELERY, "beat", "--schedule", str(folder / "beat-schedule"))
        running = {
            name: Running(name, argv, told, folder / f"{name}.log")
            for name, argv in (("web", ("python", "-m", "web")), ("worker", worker), ("beat", beat))
        }
        for one in running.values():
            parts.callback(one.end)
        parts.callback(lambda: sys.stdout.write("".join(one.output for one in running.values())))
        running["worker"].wait_for(" ready.")
        running["worker"].children()
        until(lambda: answers(port), "the web process listens")
        yield Office(engine, sandbox, f"http://127.0.0.1:{port}", told, running)


def _hire(engine: Engine) -> None:
    password_hash = QUICK_HASHER.hash(PASSWORD)
    with engine.begin() as conn:
        now = clock.now(conn)
        for name, role in PEOPLE.items():
            people.add(conn, name, password_hash, role, now, "story")


@pytest.fixture(scope="session")
def counter(office: Office) -> Iterator[Producer]:
    """Somewhere else in the house where payments come in."""
    settings = load(office.told)
    with connected(
        *settings.servers(),
        settings.key_file,
        settings.card_routes,
        settings.business_time_zone,
        settings.lanes,
        settings.when_owed_less,
    ) as producer:
        yield producer


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One Chromium for all stories of this test process."""
    as_root = os.getuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if as_root else [], timeout=60_000
        )
        yield browser
        browser.close()


@pytest.fixture
def desk(office: Office, chromium: Browser) -> Iterator[Desk]:
    """A person at a browser; who needs two (or other ones: dark, narrow, without script) uses `seat`."""
    yield from seat(office, chromium)


def seat(office: Office, chromium: Browser, **options: Any) -> Iterator[Desk]:
    """A browser with options of Playwright's `new_context`, such as java_script_enabled=False, color_scheme="dark"."""
    context = chromium.new_context(base_url=office.address, locale="en-US", **options)
    context.set_default_timeout(PATIENCE_MS)
    made = Desk(office, context)
    yield made
    context.close()
    assert made.complaints == []
