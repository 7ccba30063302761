"""A world in one thread: Defray's real code and tables, simulated time, gateway, broker and workers.

Workers are greenlets that are handed control one at a time, so the plan alone decides who comes when. A worker is
paused before every transaction and around every call; within a transaction nobody else moves: one a step.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Generic, TypeVar
from unittest import mock

import greenlet
import redis
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from books import charge as books_charge
from books import epoch, reverse, terms
from books import inquire as books_inquire
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from gateways.window import Broke
from producer import Producer
from rules.cards import Card
from rules.epoch import AfterFailover, Mark
from rules.outcomes import Standing
from rules.routes import chooser
from settings import Settings, load
from tasks import charge, confirm, fan_out, guard, inquire, post, refund, scopes, sweep, void, watch
from tasks import context as contexts
from tasks.context import Context
from tasks.guard import Guard
from tests import servers
from tests.simulation.gateway import SimulatedGateway
from tests.simulation.plan import KNOWN_SEEDS
from worker.breakers import Breakers
from worker.wake import Wake
from worker.witness import Witness

BEGINS: Final = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
VISA: Final = Card("4111111111111111", 12, 2039, "123", "Ann Example", street="1 Main St", postal_code="10001")
WINDOW: Final = 2
WORKERS: Final = 2
Key = tuple[str, str]
"""Who asked for a payment, and under which key."""
Return = tuple[int, datetime]
"""A reversal, whatever its id stands for after a restore: the id, and when it was asked for."""
K = TypeVar("K")
R = TypeVar("R")


class Killed(BaseException):
    """kill -9: nothing of the worker's memory is left."""


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
        self.where = ""
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
            self.world.met[f"killed {self.where}"] += 1
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


@dataclass(frozen=True, slots=True)
class Copy:
    """All that stands in the database at a moment: rows by table, and how far each sequence has counted."""

    rows: Mapping[str, bytes]
    sequences: Mapping[str, int]
    sent: int


class Ground:
    """What runs share: the database, emptied before each, and the vault."""

    def __init__(self, engine: Engine, watcher: Engine, sweeper: Engine, settings: Settings, broker: Any) -> None:
        """`watcher` reads outside of transactions; `sweeper`, a superuser's, may empty what is append-only."""
        self.engine = engine
        self.watcher = watcher
        self.sweeper = sweeper
        self.settings = settings
        self.broker = broker
        self.context = contexts.build(settings, engine, Wake(settings.servers()[1]))
        self.vault = self.context.vault
        self.random = random.Random(0)
        self._cleared = 0
        with sweeper.begin() as conn:
            self._sequences = conn.execute(_SEQUENCES).scalars().all()
            self._tables = conn.execute(_TABLES).scalars().all()
        self.now = BEGINS
        self.changed = True
        self._wrote = False
        self._noted: dict[str, Callable[..., None]] = {
            "after_cursor_execute": self._note_write,
            "commit": self._note_commit,
            "rollback": self._note_rollback,
        }
        for name, noted in self._noted.items():
            event.listen(engine, name, noted)

    def close(self) -> None:
        """Let the engine go."""
        for name, noted in self._noted.items():
            event.remove(self.engine, name, noted)
        self.clear(0)
        with self.sweeper.begin() as conn:
            apart = {name: place * 100_000 + 1 for place, name in enumerate(sorted(self._sequences), start=1)}
            conn.execute(text(_setting_back(apart)))
            conn.execute(text("DROP SCHEMA simulated CASCADE"))
        self.context.wake.close()

    @property
    def now(self) -> datetime:
        """The simulated moment; what the database's own clock shows, too."""
        return self._now

    @now.setter
    def now(self, moment: datetime) -> None:
        self._now = moment
        with self.watcher.connect() as conn:
            conn.execute(_SET_CLOCK, {"at": moment})

    def seconds(self) -> float:
        """The simulated monotonic clock."""
        return self._now.timestamp()

    def _note_write(self, conn: Connection, cursor: Any, statement: str, *_: object) -> None:
        """A claim or a sweep that finds nothing writes nothing."""
        self._wrote = self._wrote or (cursor.rowcount > 0 and not statement.lstrip().startswith("SELECT"))

    def _note_commit(self, conn: Connection) -> None:
        """Where something was written, there is something to check."""
        self.changed, self._wrote = self.changed or self._wrote, False

    def _note_rollback(self, conn: Connection) -> None:
        self._wrote = False

    def clear(self, seed: int) -> None:
        """Empty tables, ids and all that is drawn from the beginning: the same run leads to the same rows."""
        self.now = BEGINS
        self.random.seed(seed)
        self._cleared += 1
        if self._cleared % _VACUUM_EVERY == 0:
            with self.sweeper.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                conn.execute(text("VACUUM"))
        with self.sweeper.begin() as conn:
            self._empty(conn)
            conn.execute(text(_setting_back(dict.fromkeys(self._sequences, 1))))
        self._count_anew()

    def _count_anew(self) -> None:
        """Forget the ids that the connection has in store."""
        with self.engine.begin() as conn:
            conn.execute(text("DISCARD SEQUENCES"))

    def _empty(self, conn: Connection) -> None:
        deletes = "".join(f"DELETE FROM {name};" for name in self._tables)
        conn.execute(text(f"SET LOCAL session_replication_role = replica; {deletes}"))

    def copy(self) -> Copy:
        """Back the database up."""
        with self.sweeper.begin() as conn:
            cursor = conn.connection.cursor()
            rows: dict[str, bytes] = {}
            for name in self._tables:
                with cursor.copy(f"COPY {name} TO STDOUT") as out:
                    rows[name] = b"".join(bytes(part) for part in out)
            counted = {row.name: row.next for row in conn.execute(_COUNTED)}
            sent = conn.execute(text("SELECT coalesce(max(id), 0) FROM gateway_transactions")).scalar_one()
        return Copy({name: said for name, said in rows.items() if said}, counted, sent)

    def put_back(self, copy: Copy) -> None:
        """Restore what was backed up; ids are counted from there again."""
        with self.sweeper.begin() as conn:
            self._empty(conn)
            cursor = conn.connection.cursor()
            for name, said in copy.rows.items():
                with cursor.copy(f"COPY {name} FROM STDIN") as into:
                    into.write(said)
            conn.execute(text(_setting_back(copy.sequences)))
        self._count_anew()
        self.changed = True


def _setting_back(sequences: Mapping[str, int]) -> str:
    """As if `first` came next; a sequence that has counted says so (`is_called`), or `_COUNTED` would not see it."""
    calls = (f"setval('{name}', {max(first - 1, 1)}, {first > 1})" for name, first in sequences.items())
    return f"SELECT {', '.join(calls)}"


_TABLES: Final = text("""
    SELECT quote_ident(tablename) FROM pg_tables
    WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'clock')""")
_SEQUENCES: Final = text("SELECT quote_ident(sequencename) FROM pg_sequences WHERE schemaname = 'public'")
_COUNTED: Final = text("""
    SELECT quote_ident(sequencename) AS name, coalesce(last_value + 1, 1) AS next
    FROM pg_sequences WHERE schemaname = 'public'""")
# What the product asks for as `now()` is found here first: the clock stands still until the world lets time pass.
_SIMULATED: Final = """
    DROP SCHEMA IF EXISTS simulated CASCADE;
    CREATE SCHEMA simulated;
    CREATE TABLE simulated.moment (at timestamptz NOT NULL);
    INSERT INTO simulated.moment VALUES (now());
    CREATE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM simulated.moment';
    GRANT USAGE ON SCHEMA simulated TO public;
    GRANT SELECT, UPDATE ON simulated.moment TO public"""
_VACUUM_EVERY: Final = 50
_SET_CLOCK: Final = text("UPDATE simulated.moment SET at = :at")


class World:
    """One run."""

    def __init__(self, ground: Ground, seed: int = 0) -> None:
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
        self.requests: dict[Key, tuple[dict[str, Any], Card | None]] = {}
        self.payments: dict[Key, int] = {}
        self.misled: set[Key] = set()
        self.by_word: set[Key] = set()
        self.by_hand: set[Key] = set()
        self.adopted: set[Key] = set()
        self.owners: dict[int, Key] = {}
        self.returns: dict[int, Return] = {}
        self.copy: Copy | None = None
        self.restored = 0
        self.must_rest = False
        self.careless = seed > KNOWN_SEEDS and random.Random(f"careless {seed}").random() < 0.2
        ground.clear(seed)
        self.gateway = SimulatedGateway(self)
        self.workers = [Worker(f"worker {n}", self) for n in range(1, WORKERS + 1)]
        wake = Post(self)
        gateways: Any = {"payflow": self.gateway}
        self.witness = Seen()
        parts: dict[str, Any] = {part.name: getattr(ground.context, part.name) for part in fields(Context)}
        parts |= {
            "wake": wake,
            "gateways": gateways,
            "breakers": Breakers(ground.broker, (), 0, timedelta(0)),
            "terms": contexts.terms(ground.settings, gateways),
            "window": WINDOW,
            "guard": Guard(self.witness, AfterFailover.ASK),
        }
        self.context = Paused(**parts, world=self)
        self.producer = Producer(
            self.engine, ground.vault, wake, chooser(ground.settings.card_routes), ground.settings.business_time_zone
        )
        self._bill()

    # ---- time, pauses, faults ---------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The simulated moment."""
        return self.ground.now

    def monotonic(self) -> float:
        """The simulated monotonic clock."""
        return self.ground.seconds()

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
        worker = self.at_work()
        if worker is not None and not self.inside:
            worker.where = where
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

    # ---- a database that goes back ----------------------------------------------------------------------------------

    def back_up(self) -> None:
        """Take the copy that a restore brings back."""
        self.copy = self.ground.copy()
        self.say("the database is backed up")

    def restore(self) -> None:
        """E7: every process ends, the database goes back to the copy, the gateway and the witness do not."""
        if self.copy is None:
            return
        for worker in self.workers:
            worker.kill()
        self.ground.put_back(self.copy)
        life = self.rows("SELECT life FROM epoch")[0].life
        seen = self.witness.seen(life)
        self.restored += 1
        self.must_rest = self.must_rest or (seen is not None and seen.sent > self.copy.sent)
        self.met["restored, and more was sent since" if self.must_rest else "restored, and nothing was sent since"] += 1
        self.context = replace(self.context, guard=Guard(self.witness, AfterFailover.ASK))
        known = {(row.caller, row.idempotency_key): row.id for row in self.rows(_KEYS)}
        self.payments = {key: known.get(key, 0) for key in self.payments}
        self.say("the database is restored from the copy")

    def quarantined(self) -> bool:
        """Whether the database says that nothing is to be sent."""
        return bool(self.rows("SELECT FROM epoch WHERE quarantined_at IS NOT NULL"))

    def release(self) -> None:
        """A person says that the books are up to date."""
        with self.context.transaction() as (conn, now):
            epoch.release(conn, self.witness, "reconciled", now, "sue")
        self.must_rest = False
        self.context = replace(self.context, guard=Guard(self.witness, AfterFailover.ASK))

    def key_of(self, payment_id: int) -> Key:
        """Under which key a payment was asked for: what it is called whatever becomes of ids."""
        [row] = self.rows("SELECT caller, idempotency_key FROM payments WHERE id = :id", id=payment_id)
        return row.caller, row.idempotency_key

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
        found = self.rows(_STARTED, reference=reference)
        if not found:
            self.wrong("E1: a call was made that is not committed as started")
            return
        key = found[0].caller, found[0].idempotency_key
        self.owners[reference] = key
        if self.must_rest:
            self.wrong(f"E7: a {found[0].operation} is sent though the database is older than what was sent")
        if found[0].operation == "refund":
            self.returns[reference] = found[0].reversal_id, found[0].asked_at
        if found[0].operation == "refund" and found[0].purpose == "void":
            self._was_settled(key, found[0].sale_reference)

    def _was_settled(self, key: Key, sale_reference: int) -> None:
        """R11: the refund of a voided payment follows a void that the gateway refused, or a refund before it."""
        sale = self.gateway.by_reference.get(sale_reference)
        if sale and sale.standing is Standing.UNSETTLED and not sale.returned and key not in self.by_word:
            self.wrong("R11: a refund was sent of a sale that a void may yet return")

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
        with self.context.transaction() as (conn, _):
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
        with self.ground.watcher.connect() as conn:
            return list(conn.execute(text(statement), values))


_KEYS: Final = "SELECT caller, idempotency_key, id FROM payments"
_STARTED: Final = """
    SELECT t.operation, p.caller, p.idempotency_key, r.purpose, t.reversal_id, r.started_at AS asked_at,
           s.reference AS sale_reference
    FROM gateway_transactions t JOIN payments p ON p.id = t.payment_id
    LEFT JOIN reversals r ON r.id = t.reversal_id LEFT JOIN gateway_transactions s ON s.id = t.sale_id
    WHERE t.reference = :reference"""


@contextmanager
def _replayable(ground: Ground) -> Iterator[None]:
    """No threads, no clock and no chance of its own: calls come one after the other, in the order of the plan."""
    with ExitStack() as stack:
        for module in (charge, fan_out):
            stack.enter_context(mock.patch.object(module, "Window", InTurn))
        stack.enter_context(mock.patch.object(guard, "time", SimpleNamespace(monotonic=ground.seconds)))
        drawn = SimpleNamespace(
            randbits=ground.random.getrandbits,
            randbelow=ground.random.randrange,
            token_hex=lambda size: ground.random.randbytes(size).hex(),
        )
        for drawing in (books_charge, books_inquire, reverse, epoch, terms):
            stack.enter_context(mock.patch.object(drawing, "secrets", drawn))
        yield


_QUICKLY: Final = "-c timezone=UTC -c synchronous_commit=off -c jit=off -c plan_cache_mode=force_generic_plan"
_SEES_THE_CLOCK: Final = f"{_QUICKLY} -c search_path=simulated,pg_catalog,public"
_PREPARED_MAX: Final = 1_000


def _connected_to(url: Any, options: str, **how: Any) -> Engine:
    """Every statement is planned once a connection: the tables stay small."""
    engine = create_engine(url, connect_args={"options": options, "prepare_threshold": 1}, **how)

    @event.listens_for(engine, "connect")
    def keep_plans(connection: Any, _: object) -> None:
        connection.prepared_max = _PREPARED_MAX

    return engine


@contextmanager
def own_ground(borrowed: servers.Servers, url: str) -> Iterator[Ground]:
    """Runs on this database, which is left empty."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        admin = make_url(borrowed.admin_url).set(drivername="postgresql+psycopg", database=make_url(url).database)
        engine = _connected_to(url, _SEES_THE_CLOCK, pool_size=1, max_overflow=0)
        # Nothing is rolled back where no transaction begins; a ROLLBACK would cost the plans that are kept.
        watcher = _connected_to(url, _QUICKLY, isolation_level="AUTOCOMMIT")
        sweeper = _connected_to(admin, _QUICKLY)
        for used in (engine, watcher, sweeper):
            stack.callback(used.dispose)
        broker = redis.Redis.from_url(borrowed.redis_url)
        stack.callback(broker.close)
        settings = settings_for(url, borrowed.redis_url, str(Path(folder) / "keys.json"))
        # The schema with the clock must be there before anybody asks what time it is.
        with sweeper.begin() as conn:
            conn.execute(text(_SIMULATED))
        built = Ground(engine, watcher, sweeper, settings, broker)
        stack.callback(built.close)
        stack.enter_context(_replayable(built))
        yield built
