"""Canary numbers go down every road through real processes; then all that is left of them anywhere is searched."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import httpx2
import psutil
import psycopg
import pytest
import redis
from psycopg import sql
from sqlalchemy import make_url
from starlette.testclient import TestClient

from books import api_keys, clock, people
from local.ports import answers, free_port
from rules.apps import Scope
from rules.people import Role
from sandbox.client import hold, page
from tests import servers
from tests.canary.search import found
from tests.faults.conftest import plant
from tests.faults.plant import CELERY, PATIENCE, PROJECT, Plant, Running, numbers, until
from tests.flows.house import CREDENTIALS
from tests.telemetry.collector import Collector, listening
from tests.web.browser import QUICK_HASHER
from tests.web.conftest import PASSWORD, Visitor
from tests.web.test_customer_payment import opened, payment_of, sealed

__all__ = ["plant"]

APP_KEY: Final = "dfk_live_test-canary"
FLOWER: Final = ("defray", "flower-password")


@dataclass(frozen=True)
class Canary:
    """A card that nobody else uses. Its code begins with 0, as no count does that merely looks like it."""

    number: str
    code: str

    @property
    def card(self) -> dict[str, str]:
        """What is told of it at an edge."""
        return {"number": self.number, "expiry": "12/39", "security_code": self.code, "name": "Ann Example"}

    @property
    def echo(self) -> str:
        """A page that no gateway should ever send."""
        return f"<p>{self.number}</p><input name='cvv' value='{self.code}'>"


def canaries(prefix: str, roads: tuple[str, ...], first: int, length: int = 16) -> dict[str, Canary]:
    """One canary a road."""
    return {
        road: Canary(number, f"{first + place:0{4 if length == 15 else 3}}")
        for place, (road, number) in enumerate(zip(roads, numbers(prefix, len(roads), length), strict=True))
    }


GATEWAYS: Final = tuple(CREDENTIALS)
APPROVED: Final = canaries("377291806413", GATEWAYS, 471, 15)
DECLINED: Final = canaries("400005000009", GATEWAYS, 21)
LOST: Final = canaries("497231806417", GATEWAYS, 31)
ECHOED: Final = canaries("542319680741", GATEWAYS, 41)
OTHERS: Final = canaries("491637528164", ("console", "unsaved", "cli", "csv", "refused", "broken"), 51)
EVERY: Final = [*APPROVED.values(), *DECLINED.values(), *LOST.values(), *ECHOED.values(), *OTHERS.values()]
SECRETS: Final = [secret for canary in EVERY for secret in (canary.number, canary.code)]


@dataclass
class Town:
    """All of Defray as processes, with an app, a clerk and a terminal; and all that they leave behind."""

    plant: Plant
    scratch: Path
    database_url: str
    collector: Collector
    answered: io.BytesIO = field(default_factory=io.BytesIO)
    commands: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        own = self.plant.folder / "home"
        temporary = self.plant.folder / "tmp"
        temporary.mkdir()
        self.web_port, self.flower_port = free_port(), free_port()
        told = {
            f"DEFRAY_{name.upper()}_{key}": value
            for name, credentials in CREDENTIALS.items()
            for key, value in {"URL": self.plant.sandbox.url(name), **credentials}.items()
        }
        self.plant.environment |= {
            **told,
            "DEFRAY_HOME": str(own),
            "DEFRAY_GATEWAYS": ",".join(GATEWAYS),
            "DEFRAY_CARD_ROUTES": ",".join([*(f"customer:{name}-*={name}" for name in GATEWAYS), "*=payflow"]),
            "DEFRAY_LOG_LEVEL": "DEBUG",
            "DEFRAY_LOG_FORMAT": "json",
            "DEFRAY_TRACES_ENDPOINT": self.collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",  # spans leave at once
            "DEFRAY_READ_TIMEOUT": "3",
            "DEFRAY_WEB_PORT": str(self.web_port),
            "DEFRAY_FLOWER_PASSWORD": FLOWER[1],
            "TMPDIR": str(temporary),
        }
        self.plant.cards += [canary.number for canary in EVERY]
        self._server_log = servers.HOME / "log" / "postgres.log"
        self._said_before = self._server_log.stat().st_size if self._server_log.exists() else None

    def open(self) -> None:
        """Start all but a worker."""
        self.plant.start("web", ("python", "-m", "web"))
        flower = ("python", "-m", "worker.flower", "--address=127.0.0.1", f"--port={self.flower_port}")
        self.plant.start("flower", flower)
        self.plant.start("beat", (*CELERY, "beat", "--schedule", str(self.plant.folder / "beat-schedule")))
        with self.plant.engine.begin() as conn:
            now = clock.now(conn)
            api_keys.add(conn, "shop", APP_KEY, tuple(Scope), None, now, "ada")
            people.add(conn, "ann", QUICK_HASHER.hash(PASSWORD), Role.CLERK, now, "test")
        until(lambda: answers(self.web_port) and answers(self.flower_port), "web and Flower listen")

    @cached_property
    def web(self) -> httpx2.Client:
        """The web process, every answer of which is kept for the search."""

        def keep(answer: httpx2.Response) -> None:
            self.answered.write(str(answer.headers).encode() + answer.read())

        return httpx2.Client(base_url=f"http://127.0.0.1:{self.web_port}", event_hooks={"response": [keep]}, timeout=30)

    def app(self, path: str, key: str = "", **said: object) -> httpx2.Response:
        """What an app is answered."""
        headers = {"Authorization": f"Bearer {APP_KEY}", **({"Idempotency-Key": key} if key else {})}
        return self.web.post(path, json=said, headers=headers)

    def pay(self, customer: str, canary: Canary) -> None:
        """An app enters a card and pays an invoice by it."""
        token = self.app("/v1/cards", **canary.card).json()["token"]
        about = {"customer": customer, "method": "credit_card", "currency": "USD", "amount_minor": 1000}
        answer = self.app("/v1/payments", key=f"pay-{customer}", **about, card_token=token)
        assert answer.status_code == 201, answer.text

    def defray(self, name: str, *words: str, typed: str = "") -> None:
        """A command to which something is typed once a crash of it would leave nothing."""
        with (self.plant.folder / f"{name}.log").open("wb") as log:
            command = subprocess.Popen(
                [sys.executable, "-m", "cli", *words],
                cwd=PROJECT,
                env={**os.environ, **self.plant.environment},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        self.commands.append(command)
        if typed and sys.platform == "linux":
            until(lambda: psutil.Process(command.pid).rlimit(psutil.RLIMIT_CORE) == (0, 0), f"{name} leaves no core")
        assert command.stdin
        with command.stdin as keyboard:
            keyboard.write(typed.encode())

    # ---- what is left

    def left(self) -> dict[str, bytes]:
        """Everything that the processes wrote anywhere, by where."""
        return {
            **dict(self._tables()),
            **dict(self._broker()),
            **{str(one.relative_to(self.plant.folder)): one.read_bytes() for one in self._files()},
            "answers": self.answered.getvalue(),
            "traces": b"\n".join(self.collector.bodies),
            **self._server(),
        }

    def _tables(self) -> Iterator[tuple[str, bytes]]:
        """Rows as JSON: texts are quoted there, so that a code alone in a column is told from a count."""
        address = make_url(self.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address) as conn:
            tables = conn.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
            for (table,) in tables.fetchall():
                rows = sql.SQL("COPY (SELECT row_to_json(t) FROM {} AS t) TO STDOUT").format(sql.Identifier(table))
                with conn.cursor().copy(rows) as copy:
                    yield f"table {table}", b"".join(bytes(part) for part in copy)

    def _broker(self) -> Iterator[tuple[str, bytes]]:
        with redis.Redis.from_url(self.plant.environment["DEFRAY_REDIS_URL"]) as broker:
            read: Mapping[bytes, Any] = {
                b"string": broker.get,
                b"list": lambda key: broker.lrange(key, 0, -1),
                b"hash": broker.hgetall,
                b"set": broker.smembers,
                b"zset": lambda key: broker.zrange(key, 0, -1),
                b"stream": broker.xrange,
            }
            for key in broker.scan_iter():
                typed = repr(read[broker.type(key)](key)).encode()
                yield f"key {key!r}", key + b" " + typed + b" " + (broker.dump(key) or b"")

    def _server(self) -> dict[str, bytes]:
        """What PostgreSQL wrote since, where it is ours and its log at hand: rows and statements that it refused."""
        if self._said_before is None:
            return {}
        return {"log of PostgreSQL": self._server_log.read_bytes()[self._said_before :]}

    def _files(self) -> list[Path]:
        return [one for one in self.plant.folder.rglob("*") if one.is_file()]

    def shown_by_flower(self) -> bytes:
        """Flower's list of tasks, and its pages."""
        with httpx2.Client(base_url=f"http://127.0.0.1:{self.flower_port}", auth=FLOWER, timeout=30) as flower:
            tasks = flower.get("/api/tasks")
            assert tasks.status_code == 200, tasks.text
            assert "defray.charge" in tasks.text
            return tasks.content + b"".join(flower.get(path).content for path in ("/tasks", "/workers", "/broker"))


@pytest.fixture
def town(plant: Plant, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A town whose host allows core dumps."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    with listening() as collector:
        made = Town(plant, tmp_path_factory.mktemp("scratch"), database_url, collector)
        yield made
        made.web.close()
        for command in made.commands:
            command.kill()
            command.wait()
    resource.setrlimit(resource.RLIMIT_CORE, before)


def may_dump(running: Running) -> list[int]:
    """The processes of one that would leave their memory behind in a crash."""
    every = [psutil.Process(running.process.pid), *running.children()]
    return [one.pid for one in every if sys.platform == "linux" and one.rlimit(psutil.RLIMIT_CORE) != (0, 0)]


def shows(left: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Where a canary is found, and in which form."""
    return {where: forms for where, data in left.items() if (forms := found(data, SECRETS))}


def test_a_card_is_found_nowhere(town: Town) -> None:
    """C1-C3: in no table, key, log, file, answer, page of Flower; and where C2 says so, no more even sealed."""
    plant, gateways = town.plant, town.plant.sandbox.client
    harm = [
        *(gateways.scenario(before=[hold("no answer")], card=one.number, operation="sale") for one in LOST.values()),
        *(
            gateways.scenario(before=[page(200, one.echo)], card=one.number, operation="sale")
            for one in ECHOED.values()
        ),
    ]
    by_customer = {
        f"{gateway}-{what}": canary
        for what, cards in (("yes", APPROVED), ("no", DECLINED), ("lost", LOST), ("echo", ECHOED))
        for gateway, canary in cards.items()
    }
    plant.bill({f"I-{name}": (name, 1000) for name in (*by_customer, "console", "cli", "csv")})
    town.open()

    by_hand = ("--customer", "cli", "--method", "credit_card", "--amount", "10.00", "--by", "ann")
    file = town.scratch / "payments.csv"
    noted = OTHERS["csv"]
    file.write_text(
        "customer,method,amount,currency,notes,card_number\n"
        f"csv,check,10.00,USD,card {noted.number} cvv {noted.code},{noted.number}\n"
    )
    town.defray("pay", "pay", *by_hand, "--no-wait", typed=json.dumps(OTHERS["cli"].card))
    town.defray("import", "import", "payments", str(file), "--by", "ann")
    for customer, canary in by_customer.items():
        town.pay(customer, canary)
    clerk_at_console(town)
    refused_and_broken(town)
    assert [one.wait(PATIENCE) for one in town.commands] == [0, 1]
    left = town.left()
    assert {
        "table card_vault",
        "table payments",
        "key b'interactive'",
        "web.log",
        "pay.log",
        "import.log",
    } <= left.keys()
    assert shows(left) == {}
    assert len(plant.rows("SELECT FROM card_vault WHERE security_code IS NOT NULL")) == len(EVERY) - 3  # it was kept

    worker = plant.worker(concurrency=len(LOST) + 1)  # so that they wait for their answers side by side
    assert {one.name: pids for one in plant.running if (pids := may_dump(one))} == {}
    until(lambda: no_call_is_open(plant), "each of the 22 sales has its answer, or none")
    gateways.release("no answer")
    until(lambda: plant.charged(one.number for one in LOST.values()) == [1] * len(LOST), "they are booked after all")
    plant.advance(minutes=5)
    plant.sweep()
    until(lambda: plant.payments().get("posted", 0) >= 12, "what was booked is found")
    plant.advance(minutes=16)
    plant.sweep()
    plant.wait_for_payments(posted=17, retrying=5)
    assert [gateways.applied(one) for one in harm] == [1] * len(harm)
    assert gateways.charges().keys() == set(GATEWAYS)

    plant.advance(hours=25)
    plant.celery.send_task("defray.forget", queue="scheduled")
    once = [OTHERS[road].number[-4:] for road in ("console", "cli", "unsaved")]
    until(lambda: not plant.rows(CAN_BE_OPENED, once=once), "a card for one payment is gone, and one for none")
    assert not plant.rows("SELECT FROM card_vault WHERE security_code IS NOT NULL")
    until(lambda: {one.service for one in town.collector.spans()} == {"defray-web", "defray-worker"}, "traces came")
    assert shows({**town.left(), "Flower": town.shown_by_flower()}) == {}
    assert '"level": "debug"' in worker.output
    assert not list(plant.folder.rglob("core*"))


CAN_BE_OPENED: Final = "SELECT FROM card_vault WHERE wrapped_key IS NOT NULL AND last_four = ANY(:once)"


def no_call_is_open(plant: Plant) -> bool:
    """Whether every payment's sale was begun, and either answered or given up."""
    sales = plant.sales()
    return sum(sales.values()) == 22 and sales.keys() <= {"approved", "declined", "unknown"}


def clerk_at_console(town: Town) -> None:
    """A clerk pays by a card, enters another one and leaves, and types a number where none belongs."""
    clerk = Visitor(cast(TestClient, town.web))
    assert clerk.log_in().status_code == 303
    [customer] = town.plant.rows("SELECT id FROM customers WHERE number = 'console'")
    address, form = opened(clerk, customer.id)
    sealed(clerk, **OTHERS["unsaved"].card)
    by_card = form | {"method": "credit_card", "card_token": sealed(clerk, **OTHERS["console"].card)}
    number = OTHERS["refused"].number
    for wrong in ({"notes": f"card {number}"}, {"amount": number}, {number: "x"}):
        assert clerk.post(address, **by_card | wrong | {"do": "preview"}).status_code in (200, 422)
    town.web.get(f"/console/find/results?q={number}")
    payment_of(clerk.post(address, **by_card))
    town.web.cookies.clear()


def refused_and_broken(town: Town) -> None:
    """An app makes each mistake with a card; then the database fails while one is entered."""
    refused, broken = OTHERS["refused"], OTHERS["broken"]
    for wrong in (
        {**refused.card, "expiry": refused.number, "country": refused.number, "security_code": refused.number},
        {**refused.card, refused.number: refused.code},
        {**refused.card, "number": [refused.number]},
    ):
        assert town.app("/v1/cards", **wrong).status_code == 422
    about = {"customer": "cli", "method": "credit_card", "currency": "USD", "amount_minor": 1000}
    assert town.app("/v1/payments", key="wrong", **about, card_token=refused.number).status_code == 422
    town.web.get(f"/v1/cards/{refused.number}?number={refused.number}&cvv={refused.code}")
    town.plant.do(f"ALTER TABLE card_vault ADD CONSTRAINT poison CHECK (last_four <> '{broken.number[-4:]}') NOT VALID")
    try:
        assert town.app("/v1/cards", **broken.card).status_code == 500
    finally:
        town.plant.do("ALTER TABLE card_vault DROP CONSTRAINT poison")
