"""A world in one thread: Defray's real code and tables, simulated time, gateway, broker and workers.

Workers are greenlets that are handed control one at a time, so the plan alone decides who comes when. A worker is
paused before every transaction and around every call; within a transaction nobody else moves: one a step.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import greenlet
import redis
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from gateways.window import Broke
from producer import Producer
from rules.cards import Card
from rules.epoch import AfterFailover, Mark
from rules.routes import chooser
from settings import Settings, load
from tasks import charge, confirm, fan_out, inquire, post, refund, scopes, sweep, void, watch
from tasks import context as contexts
from tasks.context import Context
from tasks.guard import Guard
from tests import servers
from tests.simulation.gateway import SimulatedGateway
from worker.breakers import Breakers
from worker.wake import Wake
from worker.witness import Witness

BEGINS: Final = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
VISA: Final = Card("4111111111111111", 12, 2039, "123", "Ann Example", street="1 Main St", postal_code="10001")
WINDOW: Final = 2
WORKERS: Final = 2
K = TypeVar("K")
R = TypeVar("R")


class Killed(BaseException):  # noqa: N818: it is no error of the program's
    """kill -9: nothing of the worker's memory is left."""


class Wrong(AssertionError):  # noqa: N818: a finding
    """A rule does not hold."""


class Post(Wake):
    """A broker that keeps messages in a list, and may lose or double them; the sender is the real one."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _send(self, step: str, queue: str, calls: Iterable[dict[str, Any]]) -> bool:
        for arguments in calls:
            self._world.messages.append((step, arguments))
        return True

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True, slots=True)
class Paused(Context):
    """The context of the workers: before a transaction control goes back, and a crash may come before the commit."""

    world: World | None = None

    @contextmanager
    def transaction(self) -> Iterator[tuple[Connection, datetime]]:
        """As in a real worker, with a pause before it."""
        assert self.world is not None
        self.world.pause("before a transaction")
        with Context.transaction(self) as (conn, now):
            self.world.inside += 1
            try:
                yield conn, self.world.workers_now(now)
            finally:
                self.world.inside -= 1
            self.world.maybe_die_at_commit()

    def send_by(self) -> float:
        """By the simulated monotonic clock."""
        assert self.world is not None
        return self.world.monotonic() + self.terms.send_within.total_seconds()


class Seen(Witness):
    """What was seen of the database (E7), kept by the world."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}

    def seen(self, life: str) -> Mark | None:
        """How far this life had come."""
        return self._marks.get(life)

    def keep(self, life: str, mark: Mark) -> None:
        """Never goes back."""
        self._marks[life] = mark.or_later(self._marks.get(life, mark))


class InTurn(Generic[K, R]):
    """As `gateways.window.Window`, without threads: calls are made when they are collected, one after the other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._waiting: deque[tuple[K, Callable[[], R]]] = deque()

    @property
    def in_flight(self) -> int:
        """Calls that were submitted and not collected yet."""
        return len(self._waiting)

    def submit(self, key: K, call: Callable[[], R]) -> None:
        """Make the call later."""
        self._waiting.append((key, call))

    def collect(self, at_least: int, wait_seconds: float) -> list[tuple[K, R | Broke]]:
        """Make so many calls."""
        results: list[tuple[K, R | Broke]] = []
        while self._waiting and len(results) < max(1, at_least):
            key, call = self._waiting.popleft()
            try:
                results.append((key, call()))
            except (RuntimeError, NotImplementedError) as error:
                results.append((key, Broke(type(error).__name__)))
        return results

    def __enter__(self) -> InTurn[K, R]:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Worker:
    """A process that takes one message after another, and may be killed."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.works: greenlet.greenlet | None = None
        self.skew = timedelta(0)
        self.dies_at_commit = False

    @property
    def busy(self) -> bool:
        """Whether it is in the middle of a message."""
        return self.works is not None and not self.works.dead

    def go_on(self, which: int) -> None:
        """Work until the next pause; an idle one takes a message first, and which is the plan's choice."""
        if not self.busy:
            if not self.world.messages:
                return
            step, arguments = self.world.messages.pop(which % len(self.world.messages))
            self.world.say(f"{self.name} takes {step} {arguments or ''}".rstrip())
            self.works = greenlet.greenlet(lambda: self._do(step, arguments))
        assert self.works is not None
        self.works.switch()
        self.world.check()

    def _do(self, step: str, arguments: Mapping[str, Any]) -> None:
        try:
            self.world.do(step, arguments)
        except Killed:
            self.world.say(f"{self.name} is killed")
            self.dies_at_commit = False

    def kill(self) -> None:
        """kill -9."""
        if self.busy:
            assert self.works is not None
            self.world.met["worker killed"] += 1
            self.works.throw(Killed())


def settings_for(database_url: str, redis_url: str, key_file: str) -> Settings:
    """Settings of the simulated business; its one gateway is replaced by the simulated one."""
    return load(
        {
            "DEFRAY_DATABASE_URL": database_url,
            "DEFRAY_REDIS_URL": redis_url,
            "DEFRAY_KEY_FILE": key_file,
            "DEFRAY_BUSINESS_TIME_ZONE": "America/New_York",
            "DEFRAY_GATEWAYS": "payflow",
            "DEFRAY_PAYFLOW_URL": "http://127.0.0.1:1/",
            "DEFRAY_PAYFLOW_USER": "u",
            "DEFRAY_PAYFLOW_VENDOR": "v",
            "DEFRAY_PAYFLOW_PASSWORD": "w",
        }
    )


class Ground:
    """What runs share: the database, emptied before each, and the vault."""

    def __init__(self, engine: Engine, sweeper: Engine, settings: Settings, broker: Any) -> None:
        """`sweeper` is a superuser's: nobody else may remove what is append-only."""
        self.engine = engine
        self.sweeper = sweeper
        self.settings = settings
        self.broker = broker
        self.context = contexts.build(settings, engine, Wake(settings.servers()[1]))
        self.vault = self.context.vault
        self.now = BEGINS
        with sweeper.begin() as conn:
            self._sequences = conn.execute(_SEQUENCES).scalars().all()
            self._tables = conn.execute(_TABLES).scalars().all()
        self.changed = True
        event.listen(engine, "begin", self._set_clock)
        event.listen(engine, "commit", self._note)

    def close(self) -> None:
        """Let the engine go."""
        event.remove(self.engine, "begin", self._set_clock)
        event.remove(self.engine, "commit", self._note)
        self.clear()
        with self.sweeper.begin() as conn:
            conn.execute(text("UPDATE clock SET ahead = '0'"))
            apart = {name: place * 100_000 + 1 for place, name in enumerate(sorted(self._sequences), start=1)}
            conn.execute(text(_setting_back(apart)))
        self.context.wake.close()

    def _set_clock(self, conn: Connection) -> None:
        """Every transaction begins at the simulated moment, exactly."""
        conn.exec_driver_sql("UPDATE clock SET ahead = %s - now()", (self.now,))

    def _note(self, conn: Connection) -> None:
        """Something was committed: there is something to check."""
        self.changed = True

    def clear(self) -> None:
        """Empty tables, ids from the beginning: the same run leads to the same rows."""
        self.now = BEGINS
        deletes = "".join(f"DELETE FROM {name};" for name in self._tables)
        with self.sweeper.begin() as conn:
            conn.execute(text(f"SET LOCAL session_replication_role = replica; {deletes}"))
            conn.execute(text(_setting_back(dict.fromkeys(self._sequences, 1))))


def _setting_back(sequences: Mapping[str, int]) -> str:
    return "SELECT " + ", ".join(f"setval('{name}', {first}, false)" for name, first in sequences.items())


_TABLES: Final = text("""
    SELECT quote_ident(tablename) FROM pg_tables
    WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'clock')""")
_SEQUENCES: Final = text("SELECT quote_ident(sequencename) FROM pg_sequences WHERE schemaname = 'public'")


class World:
    """One run."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.engine = ground.engine
        self.story: list[str] = []
        self.met: Counter[str] = Counter()
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.faults: dict[str, deque[str]] = {}
        self.found: str | None = None
        self.check: Callable[[], None] = lambda: None
        self.workers_now: Callable[[datetime], datetime] = lambda now: now  # D2: the database's, whatever theirs show
        self.inside = 0
        self.misled: set[int] = set()
        self.keys: dict[tuple[str, str], int] = {}
        self.random = random.Random(1)
        ground.clear()
        self.gateway = SimulatedGateway(self)
        self.workers = [Worker(f"worker {n}", self) for n in range(1, WORKERS + 1)]
        wake = Post(self)
        gateways: Any = {"payflow": self.gateway}
        parts: dict[str, Any] = {part.name: getattr(ground.context, part.name) for part in fields(Context)}
        parts |= {
            "wake": wake,
            "gateways": gateways,
            "breakers": Breakers(ground.broker, (), 0, timedelta(0)),
            "terms": contexts.terms(ground.settings, gateways),
            "window": WINDOW,
            "guard": Guard(Seen(), AfterFailover.ASK),
        }
        self.context = Paused(**parts, world=self)
        self.producer = Producer(
            self.engine, ground.vault, wake, chooser(ground.settings.card_routes), ground.settings.business_time_zone
        )
        self.asked: dict[int, tuple[dict[str, Any], Any]] = {}
        self._bill()

    # ---- time, pauses, faults ---------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The simulated moment."""
        return self.ground.now

    def monotonic(self) -> float:
        """The simulated monotonic clock."""
        return self.ground.now.timestamp()

    def own_clock(self) -> datetime:
        """What the clock of the worker that is at work shows; some go wrong."""
        worker = self.at_work()
        return self.now + (worker.skew if worker else timedelta(0))

    def at_work(self) -> Worker | None:
        """Who has control, None where it is nobody of the workers."""
        here = greenlet.getcurrent()
        return next((worker for worker in self.workers if worker.works is here), None)

    def pause(self, where: str) -> None:
        """Give control back, where a worker is at work and not within a transaction."""
        if self.at_work() is not None and not self.inside:
            parent = greenlet.getcurrent().parent
            assert parent is not None
            parent.switch()

    def maybe_die_at_commit(self) -> None:
        """A crash that takes the transaction with it."""
        worker = self.at_work()
        if worker is not None and worker.dies_at_commit:
            self.met["killed before the commit"] += 1
            raise Killed

    def advance(self, by: timedelta) -> None:
        """Time passes; what was under way to the gateway arrives when it should."""
        end = self.now + by
        while due := sorted(at for at, _ in self.gateway.transit if at <= end):
            self.ground.now = max(self.now, due[0])
            self.gateway.arrive()
        self.ground.now = end

    def arm(self, operation: str, fault: str) -> None:
        """The next such call meets this fault."""
        self.faults.setdefault(operation, deque()).append(fault)

    def take_fault(self, operation: str) -> str | None:
        """What the call that is made now meets."""
        armed = self.faults.get(operation)
        if not armed:
            return None
        fault = armed.popleft()
        self.met[f"{operation}: {fault}"] += 1
        self.say(f"fault at the next {operation}: {fault}")
        return fault

    # ---- what is told -----------------------------------------------------------------------------------------------

    def say(self, words: str) -> None:
        """One line of the story."""
        self.story.append(f"{self.now:%d %H:%M:%S}  {words}")

    def wrong(self, what: str) -> None:
        """A rule was broken; the run ends after this step."""
        self.found = self.found or what
        self.say(f"WRONG: {what}")

    def check_committed(self, reference: int) -> None:
        """E1: what arrives at the gateway was committed as started before."""
        with self.engine.connect() as other:
            found = other.execute(
                text("SELECT state FROM gateway_transactions WHERE reference = :reference"), {"reference": reference}
            ).scalar_one_or_none()
        if found is None:
            self.wrong("E1: a call was made that is not committed as started")

    # ---- the work ---------------------------------------------------------------------------------------------------

    def do(self, step: str, arguments: Mapping[str, Any]) -> None:
        """What a worker does with a message: the real task's work."""
        batch, payment = arguments.get("batch"), arguments.get("payment")
        match step:
            case "charge":
                charge.work(self.context, scopes.of(batch, payment), charge.PAYMENTS_MAX)
            case "post":
                post.work(self.context, scopes.of(batch, payment))
            case "inquire":
                inquire.work(self.context, payment, inquire.MOST)
            case "void" | "confirm" | "refund" | "watch":
                task = {"void": void, "confirm": confirm, "refund": refund, "watch": watch}[step]
                task.work(self.context, payment, 100)
            case "mail" | "notice":
                pass
            case _:
                raise AssertionError(step)

    def sweep(self) -> None:
        """Beat's tick."""
        said = sweep.work(self.context)
        self.say(f"the sweeper {said}")

    def _bill(self) -> None:
        with self.engine.begin() as conn:
            record_customers(conn, [NewCustomer("C-1"), NewCustomer("C-2")], self.now, "test")
            new = [
                NewInvoice(f"C-{c}", number, date(2026, 1, 5) + timedelta(days=n), date(2026, 2, 5), "USD", minor)
                for c in (1, 2)
                for n, (number, minor) in enumerate((("A", 3000), ("B", 5000), ("C", 9000)))
            ]
            record_invoices(conn, new, self.now, "test")

    def kept_card(self) -> str:
        """The token of a card that the office keeps."""
        return self.producer.keep_cards([VISA])[0].token

    def rows(self, statement: str, **values: object) -> list[Any]:
        """What a query finds."""
        with self.engine.connect() as conn:
            return list(conn.execute(text(statement), values))


@contextmanager
def in_turn() -> Iterator[None]:
    """Calls are made one after the other, in an order that the plan decides, instead of on threads."""
    modules: list[Any] = [charge, fan_out]
    before = [module.Window for module in modules]
    for module in modules:
        module.Window = InTurn
    try:
        yield
    finally:
        for module, window in zip(modules, before, strict=True):
            module.Window = window


_OPTIONS: Final = {"options": "-c timezone=UTC -c synchronous_commit=off -c jit=off"}


@contextmanager
def own_ground(borrowed: servers.Servers, url: str) -> Iterator[Ground]:
    """Runs on this database, which is left empty."""
    with tempfile.TemporaryDirectory() as folder:
        admin = make_url(borrowed.admin_url).set(drivername="postgresql+psycopg", database=make_url(url).database)
        engine, sweeper = (create_engine(address, connect_args=_OPTIONS) for address in (url, admin))
        broker = redis.Redis.from_url(borrowed.redis_url)
        built = Ground(engine, sweeper, settings_for(url, borrowed.redis_url, str(Path(folder) / "keys.json")), broker)
        try:
            with in_turn():
                yield built
        finally:
            built.close()
            engine.dispose()
            sweeper.dispose()
            broker.close()
