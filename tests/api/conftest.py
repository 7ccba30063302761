"""Upstream apps at the web process: real database and broker, a sandbox as gateway, the house's tasks as workers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from books import api_keys, clock
from rules.apps import Scope
from sandbox.client import SandboxProcess
from settings import Settings
from tests.flows.conftest import house, sandbox, sandbox_process, story
from tests.flows.house import House, settings_for
from tests.web.conftest import log
from web.app import served

__all__ = ["house", "log", "sandbox", "sandbox_process", "story"]

ALL = tuple(Scope)
VISA = "4111111111111111"
CARD = {"number": VISA, "expiry": "12/39", "security_code": "917", "name": "Ann Example"}


@dataclass
class App:
    """An upstream app with its key."""

    client: httpx2.Client
    secret: str
    drawn: Iterator[str] = field(default_factory=lambda: map("write-{}".format, itertools.count(1)))

    def get(self, path: str, **query: Any) -> httpx2.Response:
        """Look."""
        return self.client.get(path, params=query or None, headers=self._headers())

    def post(self, path: str, body: object = None, key: str | None = None, **fields: Any) -> httpx2.Response:
        """Write, under a new idempotency key unless one is given."""
        headers = {**self._headers(), "Idempotency-Key": key or next(self.drawn)}
        return self.client.post(path, json=fields if body is None else body, headers=headers)

    def ask(self, method: str, path: str) -> httpx2.Response:
        """Call by any method, with nothing that it could work with."""
        if method == "POST":
            return self.post(path, {})
        return self.client.request(method, path, headers=self._headers())

    def made(self, path: str, key: str | None = None, **fields: Any) -> Any:
        """What a write that must succeed is answered."""
        answer = self.post(path, key=key, **fields)
        assert answer.is_success, answer.text
        return answer.json()

    def bill(self, customer: str, owed: dict[str, int], currency: str = "USD") -> None:
        """A customer with invoices by number and minor units, each older than the next."""
        self.made("/v1/customers", number=customer)
        for day, (number, minor) in enumerate(owed.items(), start=1):
            self.invoice(customer, number, minor, day, currency)

    def invoice(self, customer: str, number: str, minor: int, day: int = 1, currency: str = "USD") -> Any:
        """An invoice more."""
        dates = {"invoice_date": f"2026-01-{day:02}", "due_date": "2026-02-28"}
        return self.made(
            "/v1/invoices", customer=customer, number=number, currency=currency, amount_minor=minor, **dates
        )

    def check(self, minor: int, customer: str = "C-1", **fields: Any) -> dict[str, Any]:
        """What is said of a payment by check."""
        return {"customer": customer, "method": "check", "currency": "USD", "amount_minor": minor, **fields}

    def by_card(self, minor: int, customer: str = "C-1", **fields: Any) -> dict[str, Any]:
        """What is said of a payment by a card that was just entered."""
        token = self.made("/v1/cards", **CARD)["token"]
        return {**self.check(minor, customer), "method": "credit_card", "card_token": token, **fields}

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"} if self.secret else {}


@pytest.fixture
def settings(sandbox: SandboxProcess, database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings of the web process: those of the house, whose keys open its cards."""
    return settings_for(sandbox, database_url, redis_url, str(tmp_path / "keys.json"))


@pytest.fixture
def client(settings: Settings, house: House) -> Iterator[TestClient]:
    """The web process."""
    with TestClient(served(settings), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def new_app(client: TestClient, house: House) -> Callable[..., App]:
    """Apps with keys of their own: a name, scopes, one customer."""

    def make(name: str, *scopes: Scope, customer: str | None = None) -> App:
        secret = f"dfk_live_test-{name}"
        with house.engine.begin() as conn:
            api_keys.add(conn, name, secret, scopes or ALL, customer, clock.now(conn), "ada")
        return App(client, secret)

    return make


@pytest.fixture
def shop(new_app: Callable[..., App]) -> App:
    """An app that may do everything."""
    return new_app("shop")


def problem(answer: httpx2.Response) -> tuple[int, str]:
    """Status and type of problem details."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said = answer.json()
    assert said["status"] == answer.status_code
    assert all(said[name] for name in ("title", "detail")), json.dumps(said)
    return answer.status_code, said["type"].removeprefix("/problems/")


def fields_of(answer: httpx2.Response) -> list[str]:
    """The fields that a refusal names; each fault says what is wrong and how to mend it."""
    faults = answer.json()["faults"]
    assert all(one["problem"] and one["remedy"] for one in faults)
    return [one["field"] for one in faults]
