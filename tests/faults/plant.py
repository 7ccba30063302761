"""Defray as real processes over real servers, for tests that kill, stop and starve them.

A test hands in a batch, waits until a barrier of the sandbox says where every call stands, does its harm, and asks in
the end the sandbox's own books how often each card was charged.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import redis
from celery import Celery
from sqlalchemy import Engine, text

from books import clock
from books.audit import audit
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from local import pids, topology
from producer import BatchReceipt, Producer
from rules import routes
from rules.cards import Card
from sandbox import client
from sandbox.client import SandboxProcess
from settings import load
from vault import HourKeys, Keyring, Vault
from worker.wake import Wake

PROJECT = Path(__file__).parents[2]
BILLED, DUE = date(2026, 1, 5), date(2026, 2, 5)
PATIENCE = 30.0
"""Seconds until something that should happen is given up; it mostly takes one or two."""
CREDENTIALS = {
    "stripe": {"SECRET_KEY": "sandbox-secret", "ACCOUNT": "acct_sandbox"},
    "paypal": {"CLIENT_ID": "sandbox", "CLIENT_SECRET": "sandbox-secret", "ACCOUNT": "paypal-sandbox"},
    "authorizenet": {"LOGIN_ID": "sandbox", "TRANSACTION_KEY": "sandbox-secret"},
}
"""The sandbox's, for the gateways that `environment` leaves out."""
CELERY = ("python", "-m", "celery", "-A", "worker.app")
EVERY_QUEUE = "interactive,bulk,scheduled,outbound"


def until(true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def numbers(prefix: str, count: int, length: int = 16) -> list[str]:
    """So many good card numbers of one network, all different."""
    return [_with_check_digit(f"{prefix}{place:0{length - 1 - len(prefix)}}") for place in range(1, count + 1)]


def visa(count: int) -> list[str]:
    """Cards that go to Payflow Pro."""
    return numbers("4539", count)


def mastercard(count: int) -> list[str]:
    """More cards that go to Payflow Pro."""
    return numbers("5425", count)


def amex(count: int) -> list[str]:
    """Cards that go to Plug'n Pay."""
    return numbers("3714", count, 15)


def declined_once(count: int) -> list[str]:
    """Cards that the sandbox declines once, for want of funds, and then approves."""
    return [_with_check_digit(f"400005000001{place:03}") for place in range(1, count + 1)]


def _with_check_digit(digits: str) -> str:
    doubled = (int(d) * 2 if place % 2 == 0 else int(d) for place, d in enumerate(reversed(digits)))
    return digits + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def environment(sandbox: SandboxProcess, database_url: str, redis_url: str, folder: Path) -> dict[str, str]:
    """What processes are told: both gateways are the sandbox, American Express goes to Plug'n Pay."""
    return {
        "DEFRAY_HOME": str(folder),
        "DEFRAY_DATABASE_URL": database_url,
        "DEFRAY_REDIS_URL": redis_url,
        "DEFRAY_KEY_FILE": str(folder / "keys.json"),
        "DEFRAY_BUSINESS_TIME_ZONE": "America/New_York",
        "DEFRAY_GATEWAYS": "payflow,plugnpay",
        "DEFRAY_CARD_ROUTES": "amex=plugnpay,*=payflow",
        "DEFRAY_PAYFLOW_URL": sandbox.url("payflow"),
        "DEFRAY_PAYFLOW_USER": "sandbox",
        "DEFRAY_PAYFLOW_VENDOR": "sandbox",
        "DEFRAY_PAYFLOW_PASSWORD": "sandbox-secret",
        "DEFRAY_PLUGNPAY_URL": sandbox.url("plugnpay"),
        "DEFRAY_PLUGNPAY_PUBLISHER_NAME": "pnpdemo",
        "DEFRAY_PLUGNPAY_PUBLISHER_PASSWORD": "sandbox-secret",
    }


def _die_with_parent() -> None:
    """On Linux, a test process that is killed leaves no worker behind to take the next one's messages."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Running:
    """One process of Defray, in a session of its own, and what it wrote."""

    def __init__(self, name: str, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """`argv` begins with `python`, which stands for the interpreter at hand."""
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *argv[1:]],
                cwd=PROJECT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it takes no lock
            )
        self._seen: dict[int, str | None] = {self.process.pid: pids.birth(self.process.pid)}

    @property
    def output(self) -> str:
        """All that it wrote so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str, seconds: float = PATIENCE) -> None:
        """Wait until it wrote these words."""

        def said() -> bool:
            assert self.process.poll() is None, f"{self.name} ended:\n{self.output}"
            return words in self.output

        until(said, f"{self.name} says {words!r}", seconds)

    def children(self) -> list[psutil.Process]:
        """The processes of its pool; remembered, so that none is left over."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children(recursive=True)
            self._seen.update((child.pid, pids.birth(child.pid)) for child in found)
            return found
        return []

    def child_in_call(self, port: int) -> psutil.Process:
        """The child of its pool that has connections to a gateway's port."""
        [busy] = [child for child in self.children() if connections(child, port)]
        return busy

    def kill(self) -> None:
        """SIGKILL for parent and pool, all at the same time as far as can be: first they are stopped, then killed."""
        everyone = [*self.children(), psutil.Process(self.process.pid)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for one in everyone:
                one.send_signal(number)
        self.process.wait()

    def stop(self) -> None:
        """SIGSTOP for all of it."""
        for one in [psutil.Process(self.process.pid), *self.children()]:
            one.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT for all of it."""
        for one in [psutil.Process(self.process.pid), *self.children()]:
            one.send_signal(signal.SIGCONT)

    def left(self) -> list[int]:
        """Of the processes that it ever had, those that have not ended within a second."""
        return [pid for pid, born in self._seen.items() if born and not pids.wait_until_gone(pid, born, 1)]

    def end(self) -> None:
        """End whatever is left of it, at once."""
        self.children()
        for pid, born in self._seen.items():
            if born and pids.birth(pid) == born:
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def connections(process: psutil.Process, port: int) -> list[str]:
    """The states of a process's connections to a port."""
    return [one.status for one in process.net_connections("tcp") if one.raddr and one.raddr[1] == port]


class Gate:
    """A gateway's port at which every knock waits: nobody accepts, so that nothing at all can be sent.

    `open` puts a sandbox there, which takes those in who still wait.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port: int = self._listener.getsockname()[1]
        self._fillers: list[socket.socket] = []
        self.behind: SandboxProcess | None = None
        while True:  # until its queue is full: from then on the kernel answers nobody
            filler = socket.socket()
            filler.settimeout(0.2)
            self._fillers.append(filler)
            try:
                filler.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return

    def url(self, like: str) -> str:
        """The address of a gateway there, which is at `like` in another sandbox."""
        return urlsplit(like)._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    def knocking(self, process: psutil.Process) -> int:
        """How many calls of a process wait there for their connection; none may have got one."""
        states = connections(process, self.port)
        assert set(states) <= {psutil.CONN_SYN_SENT}, states
        return len(states)

    def open(self) -> SandboxProcess:
        """Let everybody in."""
        self._close()
        self.behind = client.start(port=self.port, any_amount=True)
        return self.behind

    def end(self) -> None:
        """Close it for good."""
        self._close()
        if self.behind:
            self.behind.stop()

    def _close(self) -> None:
        for one in (self._listener, *self._fillers):
            one.close()


class Twice:
    """A wake that sends every call twice."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake

    def batch(self, *call: Any) -> bool:
        """Somebody rings for a batch, and rings again."""
        return all([self._wake.batch(*call), self._wake.batch(*call)])

    def payment(self, *call: Any) -> bool:
        """Somebody rings for a payment, and rings again."""
        return all([self._wake.payment(*call), self._wake.payment(*call)])


class Silent:
    """A wake that wakes nobody."""

    def batch(self, *call: Any) -> bool:
        """Nobody hears."""
        return False

    def payment(self, *call: Any) -> bool:
        """Nobody hears."""
        return False


@dataclass
class Plant:
    """All of Defray over one database, one broker and one sandbox, its processes started as a test wants them."""

    engine: Engine
    sandbox: SandboxProcess
    folder: Path
    environment: dict[str, str]
    running: list[Running] = field(default_factory=list)
    sandboxes: list[SandboxProcess] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)
    _keys: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.settings = load(self.environment)
        _, redis_url = self.settings.servers()
        self.broker = redis.Redis.from_url(redis_url)
        self.wake = Wake(redis_url)
        self.celery = Celery("test", broker=redis_url, set_as_current=False)
        hours = HourKeys(redis.Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1))
        self.vault = Vault(Keyring.load_or_create(self.settings.key_file), hours)
        self.producer = self.producer_waking(self.wake)
        self.sandboxes.append(self.sandbox)

    def producer_waking(self, wake: Wake | Twice | Silent) -> Producer:
        """A producer that wakes in a way of its own."""
        return Producer(
            self.engine,
            self.vault,
            wake,
            routes.chooser(self.settings.card_routes),
            self.settings.business_time_zone,
        )

    def route(self, others: str, amex: str) -> None:
        """American Express goes to the one gateway, all else to the other; before any process is started."""
        told = {"DEFRAY_GATEWAYS": f"{others},{amex}", "DEFRAY_CARD_ROUTES": f"amex={amex},*={others}"}
        for name in {others, amex} & CREDENTIALS.keys():
            config = {"URL": self.sandbox.url(name), **CREDENTIALS[name]}
            told |= {f"DEFRAY_{name.upper()}_{key}": value for key, value in config.items()}
        self.environment |= told
        self.settings = load(self.environment)
        self.producer = self.producer_waking(self.wake)

    # ---- processes

    def start(self, name: str, argv: Sequence[str], ready: str = "", **more: str) -> Running:
        """Start a process and wait until it says that it is ready."""
        one = Running(name, argv, {**self.environment, **more}, self.folder / f"{name}.log")
        self.running.append(one)
        if ready:
            one.wait_for(ready)
        return one

    def worker(self, name: str = "worker", queues: str = EVERY_QUEUE, concurrency: int = 2) -> Running:
        """A worker, ready for messages."""
        queue = ("--queues", queues, "--concurrency", str(concurrency), "-n", f"{name}@%h")
        argv = (*CELERY, "worker", *queue, *topology.WITHOUT_NEIGHBOURS)
        started = self.start(name, argv, " ready.")
        started.children()
        return started

    def beat(self, name: str = "beat") -> Running:
        """A beat; its first sweep is due five seconds later."""
        schedule = str(self.folder / f"{name}-schedule")
        return self.start(name, (*CELERY, "beat", "--schedule", schedule), "beat: Starting")

    def drain(self) -> None:
        """Let all processes end what they have begun and then themselves; fails where one would not."""
        for one in self.running:
            one.children()
            one.process.terminate()
        for one in self.running:
            one.process.wait(PATIENCE)

    def end(self) -> None:
        """End everything; fails where something outlived its parent, or where a log tells a card number."""
        ended = [one for one in self.running if one.process.poll() is not None]
        orphans = {one.name: left for one in ended if (left := one.left())}
        for running in self.running:
            running.end()
        self.wake.close()
        self.celery.close()
        self.broker.close()
        told = [one.name for one in self.running if any(number in one.output for number in self.cards)]
        assert not told, f"C3: card numbers in the logs of {told}"
        assert not orphans, f"these outlived their parents: {orphans}"

    def logs(self) -> str:
        """What all processes wrote."""
        return "".join(f"==== {one.name}\n{one.output}\n" for one in self.running)

    # ---- work

    def hand_in(self, cards: Sequence[str], producer: Producer | None = None) -> int:
        """Hand in a batch: each card pays the one invoice of a customer of its own; its batch's id."""
        receipt = self.submit(self.ask(cards), producer)
        assert receipt.recorded == len(cards), receipt
        assert receipt.batch_id is not None
        return receipt.batch_id

    def ask(self, cards: Sequence[str], customer: str = "") -> list[dict[str, object]]:
        """Requests, to be handed in: each card for one invoice, of this customer or of one of its own."""
        key = next(self._keys)
        names = [f"{key}-{place}" for place in range(len(cards))]
        self.bill({f"I-{name}": (customer or name, 1000 + place) for place, name in enumerate(names)})
        sealed = self.producer.keep_cards(
            [Card(number, 12, 2039, "1234"[: 4 if number[0] == "3" else 3], "Ann Example") for number in cards]
        )
        self.cards += cards
        return [
            {
                "idempotency_key": f"pay-{name}",
                "method": "credit_card",
                "currency": "USD",
                "customer": customer or name,
                "amount_minor": 1000 + place,
                "invoices": [f"I-{name}"],
                "card_token": card.token,
            }
            for place, (name, card) in enumerate(zip(names, sealed, strict=True))
        ]

    def submit(self, asked: Sequence[Mapping[str, object]], producer: Producer | None = None) -> BatchReceipt:
        """Hand requests in as a batch, under a key that is the same whenever these are handed in."""
        key = str(asked[0]["idempotency_key"])
        return (producer or self.producer).submit(asked, label=key, caller="shop", idempotency_key=key, by="ann")

    def bill(self, invoices: Mapping[str, tuple[str, int]]) -> None:
        """Make customers and invoices known: by number the customer, and what it is about in cents."""
        with self.engine.begin() as conn:
            now = clock.now(conn)
            record_customers(conn, [NewCustomer(name) for name, _ in invoices.values()], now, "test")
            new = [NewInvoice(name, number, BILLED, DUE, "USD", minor) for number, (name, minor) in invoices.items()]
            record_invoices(conn, new, now, "test")

    def sweep(self) -> None:
        """What beat does every five seconds."""
        self.celery.send_task("defray.sweep", queue="scheduled")

    def advance(self, **by: float) -> None:
        """Move the clocks of the database and of the sandboxes ahead."""
        ahead = timedelta(**by)
        self.do("UPDATE clock SET ahead = ahead + CAST(:ahead AS interval)", ahead=ahead)
        for sandbox in self.sandboxes:
            sandbox.client.advance(ahead.total_seconds())

    # ---- what the tables say

    def rows(self, statement: str, **values: object) -> list[Any]:
        """What a query finds."""
        with self.engine.connect() as conn:
            return list(conn.execute(text(statement), values))

    def do(self, statement: str, **values: object) -> None:
        """Change the tables behind Defray's back."""
        with self.engine.begin() as conn:
            conn.execute(text(statement), values)

    def payments(self) -> dict[str, int]:
        """How many payments are in each state."""
        return {row.state: row.n for row in self.rows("SELECT state, count(*) AS n FROM payments GROUP BY 1")}

    def sales(self) -> dict[str, int]:
        """How many sales are in each state."""
        return {
            row.state: row.n for row in self.rows("SELECT state, count(*) AS n FROM gateway_transactions GROUP BY 1")
        }

    def alarms(self) -> list[str]:
        """Alarms raised so far."""
        return [row.what for row in self.rows("SELECT what FROM events WHERE what LIKE 'alarm.%' ORDER BY id")]

    def wait_for_payments(self, seconds: float = PATIENCE, **states: int) -> None:
        """Wait until the payments are in these states, and no others."""
        until(lambda: self.payments() == states, f"payments become {states}", seconds)

    def wait_for_sales(self, seconds: float = PATIENCE, **states: int) -> None:
        """Wait until the sales are in these states, and no others."""
        until(lambda: self.sales() == states, f"sales become {states}", seconds)

    # ---- what must be true in the end

    def charged(self, cards: Iterable[str]) -> list[int]:
        """How often the sandboxes charged each card."""
        return [sum(sandbox.client.card(number).charged for sandbox in self.sandboxes) for number in cards]

    def check(self, never: Iterable[str] = ()) -> None:
        """Every card was charged exactly once (`never`: not at all), the books agree, and nothing is stuck."""
        spared = set(never)
        wrong = {
            number[-4:]: times
            for number, times in zip(self.cards, self.charged(self.cards), strict=True)
            if times != (number not in spared)
        }
        assert not wrong, f"charged otherwise than once: {wrong}"
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
            assert audit(conn) == []
        stuck = self.rows(
            "SELECT p.id, p.state FROM payments p WHERE p.state IN ('requested', 'charging', 'retrying', 'review')"
            " AND p.next_step IS NULL AND NOT EXISTS (SELECT 1 FROM gateway_transactions t"
            "     WHERE t.payment_id = p.id AND t.next_step IS NOT NULL)"
        )
        assert not stuck
