"""All of Defray on servers of its own, every connection through a proxy of ours; what ends is started again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
import redis
from celery import Celery
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from local import topology
from local.errors import LocalError
from local.ports import LOOPBACK, answers, free_port
from local.postgres import Postgres
from local.valkey import Valkey
from models import migrate
from producer import Producer
from rules import routes
from sandbox import client
from settings import load
from tests.chaos import disk
from tests.chaos.proxy import Loop, Proxy
from tests.faults.plant import CREDENTIALS, Running, Silent, environment, until
from vault import HourKeys, Keyring, Vault

TURNED: Final = Path(__file__).with_name("turned")
GATEWAYS: Final = ("payflow", "plugnpay", "stripe", "paypal", "authorizenet")
ROUTES: Final = (
    "mastercard=plugnpay>payflow,amex=stripe,discover=authorizenet,visa/USD/>=200.00=paypal>payflow,*=payflow>paypal"
)
STARTED_AGAIN_AFTER: Final = 1.0
"""Seconds until what ended by itself is started again."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large all of it is, and how long a call and its lease may last: whole seconds, since settings are."""

    pools: dict[str, int]
    send_within: int
    connect_within: int
    read_within: int
    record_within: int
    window: int
    latency_ms: int
    tail_ms: int

    @property
    def lease(self) -> int:
        """How long a call's lease lasts: connecting, the first byte, the rest, and recording come after the sending."""
        return self.send_within + self.connect_within + 2 * self.read_within + self.record_within


FULL: Final = Size({"interactive": 1, "bulk": 2, "bulk-2": 1, "scheduled": 1, "outbound": 1}, 2, 1, 1, 1, 10, 150, 900)
SHORT: Final = Size(
    {"interactive": 1, "bulk": 1, "bulk-2": 1, "scheduled": 1, "outbound": 1},
    *(1, 1, 1, 1, 10, 60, 300),
)


@dataclass
class Kept:
    """A process that is to run, and from when on."""

    process: topology.Process
    environment: dict[str, str]
    running: Running | None = None
    up_at: float = 0.0
    stopped: bool = False
    ready: bool = False
    log_from: int = 0

    @property
    def is_up(self) -> bool:
        """Whether it runs (stopped or not)."""
        return self.running is not None and self.running.process.poll() is None


def _no_news(_said: str) -> None:
    """A server comes back again and again here."""


@dataclass
class Site:
    """Servers, proxies, processes."""

    folder: Path
    size: Size
    say: Callable[[str], None]
    full_disk: bool = True
    kept: dict[str, Kept] = field(default_factory=dict)
    no_disk: str = ""
    ended_by_itself: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        home = self.folder / "home"
        self.postgres, self.valkey = Postgres(home, _no_news), Valkey(home, _no_news)
        self.loop = Loop()

    # ---- up and down

    def start(self) -> None:
        """Bring everything up and wait until all of it is ready."""
        self.no_disk = disk.mount(self.postgres) if self.full_disk else "not asked for"
        self.postgres.start()
        self.valkey.start()
        migrate.upgrade(self.postgres.url)
        self.sandbox = client.start(any_amount=True, state=self.folder / "sandbox.sqlite", keep_requests=100)
        self.admin = create_engine(
            make_url(self.postgres.superuser_url).set(database="defray"),
            poolclass=NullPool,
            connect_args={"connect_timeout": 2},
        )
        ports = {
            "postgres": lambda: make_url(self.postgres.url).port or 0,
            "redis": lambda: urlsplit(self.valkey.url).port or 0,
            "gateways": lambda: urlsplit(self.sandbox.base_url).port or 0,
        }
        self.proxies = {name: Proxy(self.loop, name, port) for name, port in ports.items()}
        self.web_port = free_port()
        self.environment = self._environment()
        self.settings = load(self.environment)
        for process in self._processes():
            environment_ = {**self.environment, **process.environment}
            if process.name.startswith("worker"):
                clock = self.folder / f"{process.name}.clock"
                clock.write_text("0")
                environment_ |= {"CHAOS_CLOCK": str(clock), "PYTHONPATH": str(TURNED)}
            self.kept[process.name] = Kept(process, environment_)
        self.celery = Celery("chaos", broker=self.valkey.url, set_as_current=False)
        self.broker = redis.Redis.from_url(self.valkey.url, socket_connect_timeout=2, socket_timeout=2)
        hours = HourKeys(self.broker)
        self.vault = Vault(Keyring.load_or_create(self.settings.key_file), hours)
        self.engine = create_engine(self.postgres.url, poolclass=NullPool, connect_args={"connect_timeout": 2})
        self.producer = Producer(
            self.engine,
            self.vault,
            Silent(),
            routes.chooser(self.settings.card_routes),
            self.settings.business_time_zone,
        )
        self.tend()
        self.wait_until_ready()

    def _environment(self) -> dict[str, str]:
        through = self.proxies
        told = environment(
            self.sandbox,
            make_url(self.postgres.url).set(port=through["postgres"].port).render_as_string(hide_password=False),
            self.valkey.url.replace(f":{urlsplit(self.valkey.url).port}/", f":{through['redis'].port}/"),
            self.folder,
        )
        told |= {
            f"DEFRAY_{name.upper()}_{key}": value for name, facts in CREDENTIALS.items() for key, value in facts.items()
        }
        for gateway in GATEWAYS:
            here = urlsplit(self.sandbox.url(gateway))._replace(netloc=f"{LOOPBACK}:{through['gateways'].port}")
            told[f"DEFRAY_{gateway.upper()}_URL"] = here.geturl()
        return told | {
            "DEFRAY_GATEWAYS": ",".join(GATEWAYS),
            "DEFRAY_CARD_ROUTES": ROUTES,
            "DEFRAY_WITNESS": str(self.folder / "witness"),
            "DEFRAY_GATEWAY_REST": "2",
            "DEFRAY_WINDOW": str(self.size.window),
            "DEFRAY_SEND_WITHIN": str(self.size.send_within),
            "DEFRAY_CONNECT_TIMEOUT": str(self.size.connect_within),
            "DEFRAY_READ_TIMEOUT": str(self.size.read_within),
            "DEFRAY_RECORD_WITHIN": str(self.size.record_within),
            "DEFRAY_API_CALLS_A_MINUTE": "0",
            "DEFRAY_API_FAILURES_A_MINUTE": "0",
        }

    def _processes(self) -> Iterator[topology.Process]:
        place = topology.Place(self.folder, web_port=self.web_port)
        yield topology.web(place)
        yield topology.beat(place)
        for name, concurrency in self.size.pools.items():
            queue = name.partition("-")[0]
            one = topology.worker(topology.Queue(queue, concurrency))
            argv = [f"{name}@%h" if word == f"{queue}@%h" else word for word in one.argv]
            yield topology.Process(f"worker-{name}", tuple(argv), one.stop_rank, ready_text=one.ready_text)

    def tend(self, now: float = 0.0) -> None:
        """Start what ended; `now` by the monotonic clock."""
        for name, one in self.kept.items():
            if one.is_up:
                continue
            if one.running is not None:
                self._reap(name, one)
            if one.up_at <= (now or time.monotonic()):
                log = self.folder / f"{name}.log"
                one.log_from = log.stat().st_size if log.exists() else 0
                one.running = Running(name, one.process.argv, one.environment, log)
                one.stopped = one.ready = False

    def _reap(self, name: str, one: Kept) -> None:
        """It ended though nobody killed it."""
        assert one.running is not None
        one.running.end()
        tail = one.running.output.strip().splitlines()[-1:] or ["without a word"]
        when = "at work" if one.ready else "while it started"
        self.ended_by_itself.append(f"{name} ended {when} with {one.running.process.returncode}: {tail[0]}")
        one.running, one.up_at = None, time.monotonic() + STARTED_AGAIN_AFTER

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Until every process says that it is ready; what ends meanwhile is started again."""

        def ready() -> bool:
            self.tend()
            return all(self._is_ready(one) for one in self.kept.values())

        until(ready, "all processes are ready", seconds)

    def _is_ready(self, one: Kept) -> bool:
        if not one.is_up or one.running is None:
            return False
        one.running.children()
        if not one.ready:
            if one.process.ready_port is not None:
                one.ready = answers(one.process.ready_port)
            else:
                one.ready = (one.process.ready_text or "") in one.running.output[one.log_from :]
        return one.ready

    def end(self) -> None:
        """End all of it, and remove what it left."""
        for one in self.kept.values():
            if one.running is not None:
                one.running.end()
        with contextlib.suppress(AttributeError):  # a start that failed half-way
            self.celery.close()
            self.broker.close()
            for proxy in self.proxies.values():
                proxy.end()
        with contextlib.suppress(AttributeError):
            self.sandbox.stop()
        self.loop.end()
        self.valkey.stop()
        self.valkey.remove()
        self.postgres.stop()
        disk.unmount(self.postgres)
        self.postgres.remove()

    # ---- the servers

    def server(self, name: str) -> list[psutil.Process]:
        """A server's processes, its first one first."""
        program = {"postgres": "postgres", "redis": "valkey-server"}[name]
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if Path((child.cmdline() or [""])[0]).name.startswith(program):
                    return [child, *child.children(recursive=True)]
        return []

    def kill_server(self, name: str) -> None:
        """SIGKILL for all of it."""
        everyone = self.server(name)
        _signal(everyone, signal.SIGSTOP)
        _signal(everyone, signal.SIGKILL)
        psutil.wait_procs(everyone, 10)
        (self.postgres if name == "postgres" else self.valkey).stop()

    def start_server(self, name: str) -> None:
        """Bring it up again, through a recovery of any length."""
        try:
            (self.postgres if name == "postgres" else self.valkey).start()
        except LocalError as reason:  # no room to recover in, say: the next one finds more
            self.say(f"{name} does not start: {str(reason).splitlines()[0]}")
            raise

    def is_server_up(self, name: str) -> bool:
        """Whether it runs."""
        return bool(self.server(name))

    # ---- the processes

    def kill(self, name: str, seconds: float) -> None:
        """SIGKILL for a process and its pool; started again after so many seconds."""
        one = self.kept[name]
        assert one.running is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            one.running.kill()
        one.running.end()
        one.running, one.up_at = None, time.monotonic() + seconds

    def freeze(self, name: str) -> None:
        """SIGSTOP for a process and its pool."""
        one = self.kept[name]
        assert one.running is not None
        one.stopped = True
        _signal(self.everyone(name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self.kept[name].stopped = False
        _signal(self.everyone(name), signal.SIGCONT)

    def everyone(self, name: str) -> list[psutil.Process]:
        """A process and its pool."""
        one = self.kept[name].running
        if one is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            return [psutil.Process(one.process.pid), *one.children()]
        return []

    def turn(self, name: str, seconds: float) -> None:
        """Turn the clock of a worker, parent and pool, by so many seconds; 0: back."""
        Path(self.kept[name].environment["CHAOS_CLOCK"]).write_text(str(seconds))
        _signal(self.everyone(name), signal.SIGURG)

    # ---- the books

    def rows(self, statement: str, **values: object) -> list[Any]:
        """What a query finds, past the proxy."""
        with self.admin.connect() as conn:
            return list(conn.execute(text(statement), values))

    def do(self, *statements: str, **values: object) -> None:
        """Change tables as the superuser."""
        with self.admin.begin() as conn:
            for statement in statements:
                conn.execute(text(statement), values)

    def glance(self) -> str:
        """How things stand, in a few words."""
        try:
            states = self.rows(
                "SELECT (SELECT count(*) FROM payments WHERE state = 'requested') AS waiting,"
                " (SELECT count(*) FROM gateway_transactions WHERE state = 'started') AS calls,"
                " (SELECT count(*) FROM gateway_transactions WHERE state = 'unknown') AS unknown,"
                " (SELECT count(*) FROM payments WHERE state = 'posted') AS posted,"
                " (SELECT count(*) FROM reversals WHERE next_step IS NOT NULL) AS reversals"
            )[0]
        except OperationalError:
            return "the database is away"
        return (
            f"{states.calls} calls under way, {states.unknown} outcomes unknown, {states.waiting} payments waiting,"
            f" {states.posted} posted, {states.reversals} reversals open"
        )

    def clear(self) -> None:
        """Empty tables, broker, gateways' books; the processes stay."""
        tables = ", ".join(row.name for row in self.rows(_TABLES))
        self.do(f"TRUNCATE {tables}", "UPDATE clock SET ahead = '0'")
        with self.admin.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("CHECKPOINT"))
        for one in self.kept.values():
            if one.running is not None and one.ready:
                os.truncate(one.running.log, 0)
        self.broker.flushall()
        self.sandbox.client.forget()
        self.sandbox.client.change(
            latency_ms=self.size.latency_ms, tail_ms=self.size.tail_ms, tail_percent=2, any_amount=True
        )

    def sweep(self) -> None:
        """What beat does every five seconds."""
        self.celery.send_task("defray.sweep", queue="scheduled")

    def logs(self) -> str:
        """All that the processes wrote."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


_TABLES: Final = """
    SELECT quote_ident(relname) AS name FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT IN ('alembic_version', 'clock')"""


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(one.pid, number)
