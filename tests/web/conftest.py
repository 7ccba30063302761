"""The web process's app on the real database and broker, with people who may log in."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from books import clock, people
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from rules.people import Role
from settings import Settings, load
from telemetry import logs
from tests.web.browser import QUICK_HASHER, chromium, counter, desk, office
from web.app import served

__all__ = ["chromium", "counter", "desk", "office"]

PASSWORD = "correct horse battery"
BILLED = date(2026, 1, 5)


@dataclass
class Visitor:
    """A browser without JavaScript: keeps cookies, and sends the token of the page that it saw last."""

    client: TestClient
    seen: httpx2.Response | None = field(default=None, repr=False)

    def get(self, path: str, **more: Any) -> httpx2.Response:
        """Open a page."""
        self.seen = self.client.get(path, follow_redirects=False, **more)
        return self.seen

    def token(self) -> str:
        """The CSRF token of the last page."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.seen.text if self.seen else "")
        return found[1] if found else ""

    def post(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form of the last page."""
        return self.client.post(path, data={"csrf_token": self.token(), **fields}, follow_redirects=False)

    def log_in(self, name: str = "ann", password: str = PASSWORD, next: str = "") -> httpx2.Response:  # noqa: A002
        """Log in as one of the people."""
        self.get("/console/login")
        answer = self.post("/console/login", name=name, password=password, next=next)
        if answer.status_code == 303:
            self.get("/console/find")
        return answer


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, as the web process writes it."""
    written = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.formatter("people"))
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG)  # by its setter: loggers remember whether a level is on
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def settings(engine: Engine, database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings of the web process, which makes its key file known to the database when it starts."""
    return load(
        {
            "DEFRAY_DATABASE_URL": database_url,
            "DEFRAY_REDIS_URL": redis_url,
            "DEFRAY_KEY_FILE": str(tmp_path / "keys.json"),
            "DEFRAY_HOME": str(tmp_path),
        }
    )


@pytest.fixture(scope="session")
def password_hash() -> str:
    """Of PASSWORD, of the least parameters: each login does with them what takes long on purpose otherwise."""
    return QUICK_HASHER.hash(PASSWORD)


@pytest.fixture
def office_people(engine: Engine, password_hash: str) -> None:
    """Ann is a clerk, Sue a supervisor, Ada an admin; Dan was a clerk."""
    with engine.begin() as conn:
        now = clock.now(conn)
        for name, role in (("ann", Role.CLERK), ("sue", Role.SUPERVISOR), ("ada", Role.ADMIN), ("dan", Role.CLERK)):
            people.add(conn, name, password_hash, role, now, "test")
        people.disable(conn, "dan", now, "test")


@pytest.fixture
def new_visitor(settings: Settings, office_people: None) -> Iterator[Callable[[], Visitor]]:
    """More browsers at the same server."""
    opened: list[TestClient] = []

    def open_one() -> Visitor:
        client = TestClient(served(settings), base_url="http://127.0.0.1", raise_server_exceptions=False)
        client.__enter__()
        opened.append(client)
        return Visitor(client)

    yield open_one
    for client in opened:
        client.__exit__()


@pytest.fixture
def visitor(new_visitor: Callable[[], Visitor]) -> Visitor:
    """A browser."""
    return new_visitor()


@pytest.fixture
def clerk(visitor: Visitor) -> Visitor:
    """A browser in which Ann is logged in."""
    assert visitor.log_in().status_code == 303
    return visitor


@pytest.fixture
def sue(new_visitor: Callable[[], Visitor]) -> Visitor:
    """Another browser, in which Sue, a supervisor, is logged in."""
    visitor = new_visitor()
    assert visitor.log_in("sue").status_code == 303
    return visitor


@pytest.fixture
def ada(new_visitor: Callable[[], Visitor]) -> Visitor:
    """Another browser, in which Ada, an admin, is logged in."""
    visitor = new_visitor()
    assert visitor.log_in("ada").status_code == 303
    return visitor


@dataclass
class Books:
    """What a test finds in the database."""

    engine: Engine

    def bill(self, customer: str = "C-1", owed: dict[str, int] | None = None, **about: str) -> int:
        """Make a customer known, with invoices by number and minor units, each older than the next; the id."""
        with self.engine.begin() as conn:
            now = clock.now(conn)
            [kept] = record_customers(conn, [NewCustomer(customer, **about)], now, "test")
            new = [
                NewInvoice(customer, number, BILLED + timedelta(days=place), BILLED, "USD", minor)
                for place, (number, minor) in enumerate((owed or {}).items())
            ]
            record_invoices(conn, new, now, "test")
        return kept.id

    def one(self, query: str, **values: object) -> Any:
        """A single value."""
        with self.engine.begin() as conn:
            return conn.execute(text(query), values).scalar()

    def do(self, statement: str, **values: object) -> None:
        """Change something that no window changes."""
        with self.engine.begin() as conn:
            conn.execute(text(statement), values)


@pytest.fixture
def books(engine: Engine) -> Books:
    """The database behind the server."""
    return Books(engine)
