"""Issue 9, point 1 as a story: Flower, the operator's window, while a batch is worked on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from local import topology
from local.ports import answers
from producer import Producer
from rules.cards import Card
from sandbox.client import hold
from tests.faults.plant import PATIENCE, Running, until
from tests.web.browser import PATIENCE_MS, Desk, Office, needs_chromium, seat

pytestmark = needs_chromium

VISA: Final = "4111111111111111"
DECLINED: Final = "4000000000009979"  # stolen: never tried again
USER: Final = "defray"
PASSWORD: Final = "a password of Flower's"
HELD: Final = 4711
SOON_MS: Final = 3 * PATIENCE_MS


@dataclass
class Window:
    """Flower, and how it is started again."""

    url: str
    told: dict[str, str]
    folder: Path
    process: Running

    @classmethod
    def open(cls, office: Office, folder: Path, **given: str) -> Window:
        """Start it where the office's console looks for it, with these settings, too."""
        secret = folder / "password"
        secret.write_text(PASSWORD)
        url = office.told["DEFRAY_WEB_FLOWER_URL"]
        own = {
            "DEFRAY_FLOWER_PASSWORD_FILE": str(secret),
            "DEFRAY_FLOWER_STATE": str(folder / "state"),
            "DEFRAY_WEB_URL": office.address,
        }
        told = {**office.told, **own, **given}
        return cls(url, told, folder, cls.start(url, told, folder))

    @staticmethod
    def start(url: str, told: dict[str, str], folder: Path) -> Running:
        """Start it, and wait until it listens."""
        port = int(url.rpartition(":")[2])
        place = topology.Place(folder, flower_port=port)
        flower = Running("flower", topology.flower(place, folder).argv, told, folder / "flower.log")
        until(lambda: answers(port), "Flower listens")
        return flower

    def again(self) -> None:
        """End it as systemd does, and start it anew."""
        self.process.process.send_signal(signal.SIGTERM)
        assert self.process.process.wait(PATIENCE) == 0
        self.process = self.start(self.url, self.told, self.folder)

    def get(self, path: str, password: str = PASSWORD) -> httpx2.Response:
        """Ask it, not in a browser."""
        return httpx2.get(f"{self.url}{path}", auth=(USER, password), timeout=PATIENCE_MS / 1000)


@pytest.fixture
def window(office: Office, tmp_path: Path) -> Iterator[Window]:
    """Flower beside the office's worker."""
    opened = Window.open(office, tmp_path)
    yield opened
    opened.process.end()


@pytest.fixture
def operator(office: Office, chromium: Browser) -> Iterator[Desk]:
    """Somebody who knows Flower's password."""
    yield from seat(office, chromium, http_credentials={"username": USER, "password": PASSWORD})


def submitted(office: Office, counter: Producer, name: str) -> int:
    """A batch of four cards: two are approved, one is declined, and one is held by the gateway for now; its id."""
    customer = office.customer(name, {"F-1": 1000, "F-2": 1100, "F-3": 1200, "F-4": HELD})
    numbers = {1000: VISA, 1100: VISA, 1200: DECLINED, HELD: VISA}
    cards = counter.keep_cards([Card(number, 12, 2039, "123", name) for number in numbers.values()])
    rows = [
        {
            "customer": office.number(customer),
            "currency": "USD",
            "method": "credit_card",
            "card_token": card.token,
            "idempotency_key": f"f-{place}",
            "amount_minor": amount,
            "invoices": [f"F-{place}"],
        }
        for place, (amount, card) in enumerate(zip(numbers, cards, strict=True), start=1)
    ]
    office.sandbox.client.scenario(before=[hold("flower's gateway")], operation="sale", amount=HELD)
    receipt = counter.submit(rows, label="Flora's", caller=f"story {customer}", idempotency_key="flora", by="ann")
    assert receipt.batch_id is not None
    return receipt.batch_id


def test_a_batch_seen_through_flower(window: Window, operator: Desk, counter: Producer) -> None:
    """D4: Flower tells in words how far a batch is; a declined card is no failed task; links lead there and back."""
    office = operator.office
    assert window.get("/tasks", "guessed").status_code == 401
    assert httpx2.get(f"{window.url}/tasks", timeout=PATIENCE_MS / 1000).status_code == 401
    metric = 'flower_worker_online{worker="stories@'
    until(
        lambda: metric in httpx2.get(f"{window.url}/metrics", timeout=PATIENCE_MS / 1000).text,
        "Flower has heard of the worker",
    )
    batch = submitted(office, counter, "Flora Flower")
    page = operator.log_in("sue")
    page.goto(f"/console/batches/{batch}")
    page.get_by_role("link", name="What works on it, in Flower").click()
    rows = page.get_by_role("row").filter(has_text=f"batch {batch}, lane ").filter(has_text="Charge cards")
    working = rows.filter(has_text="WORKING").first
    expect(working).to_contain_text(f"batch {batch}: 3 of 4, charging 1, declined 1, posted 2", timeout=SOON_MS)
    working.get_by_role("link", name=f"batch {batch}").first.click()
    expect(page.get_by_role("heading", name=f"Batch {batch}")).to_be_visible()
    expect(page.locator("#finished")).to_have_text("3", timeout=SOON_MS)

    page.go_back()
    office.sandbox.client.release("flower's gateway")
    ended = rows.filter(has_text="SUCCESS").filter(has_text=f"batch {batch}: 4 of 4, declined 1, posted 3").first
    expect(ended).to_contain_text("this task: 3 posted, 1 declined", timeout=SOON_MS)
    expect(rows.filter(has_text="FAILURE")).to_have_count(0)
    ended.get_by_role("link", name="Charge cards").click()
    expect(ended).to_be_visible(timeout=SOON_MS)
    uuid = ended.locator(".task-uuid-full").text_content()
    ended.locator(f"a[title='{uuid}']").click()
    expect(page.locator("dd").filter(has_text=f"batch {batch}, lane ").get_by_role("link")).to_have_attribute(
        "href", f"{office.address}/console/batches/{batch}"
    )
    told = page.content()

    window.again()
    page.reload()
    expect(page.locator("dd").filter(has_text=f"batch {batch}: 4 of 4")).to_be_visible()
    told += window.get("/api/tasks").text
    assert (window.folder / "state").stat().st_mode & 0o077 == 0
    assert str(batch) in told
    assert VISA not in told
    assert DECLINED not in told


def test_people_log_in_at_a_provider(office: Office, tmp_path: Path) -> None:
    """C3: with OAuth nothing is shown before the provider, which is asked by the settings, has said who it is."""
    window = Window.open(
        office,
        tmp_path,
        DEFRAY_FLOWER_LOGIN="gitlab",
        DEFRAY_FLOWER_PEOPLE="*@example.com",
        DEFRAY_FLOWER_OAUTH_KEY="flower-at-gitlab",
        DEFRAY_FLOWER_OAUTH_SECRET="s3cret-of-flower",
        DEFRAY_FLOWER_OAUTH_URL="https://gitlab.example",
    )
    try:
        led = window.get("/tasks")
        assert led.status_code == 302
        provider = urlsplit(window.get(led.headers["location"]).headers["location"])
    finally:
        window.process.end()
    assert provider.netloc == "gitlab.example"
    asked = parse_qs(provider.query)
    assert asked["client_id"] == ["flower-at-gitlab"]
    assert asked["redirect_uri"] == [f"{window.url}/login"]
    assert "s3cret" not in window.process.output
