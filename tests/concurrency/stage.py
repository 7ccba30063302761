"""A stage for many who act at once on one customer: the real code and database, and a gateway in this process.

Every act says beforehand who acts (`ACTING`), and the stage keeps the order in which their transactions ended: by a
tick that is drawn right before the commit, while the customer's lock is still held.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import greenlet
import redis
from sqlalchemy import Connection, Engine, create_engine, event, text

from producer import Producer
from rules.epoch import AfterFailover
from rules.routes import chooser
from settings import Settings
from tasks import context as contexts
from tasks.context import Context
from tasks.guard import Guard
from tests.simulation.gateway import SimulatedGateway
from tests.simulation.world import Seen, settings_for
from worker.breakers import Breakers
from worker.wake import Wake

CONNECTIONS: Final = 14
ACTING: Final[ContextVar[str]] = ContextVar("acting", default="")
_TICK: Final = "tick"
_LOCKED_OR_WROTE: Final = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL"


class Silence(Wake):
    """Nobody is woken: every act does its own work to the end."""

    def __init__(self) -> None:
        pass

    def _send(self, step: str, queue: str, calls: Iterable[dict[str, Any]]) -> bool:
        return True


class _Till:
    """What the simulated gateway asks of its world: nothing ever goes wrong here, and nobody is paused."""

    def __init__(self) -> None:
        self.ground = SimpleNamespace(changed=False)
        self.faults: dict[str, deque[str]] = {}
        self.broken: list[str] = []
        self.now: Callable[[], datetime]

    def pause(self, where: str) -> None:
        """Go on."""

    def monotonic(self) -> float:
        """Long before any send-by."""
        return 0.0

    def check_committed(self, reference: int) -> None:
        """The runs by a seed check that."""

    def take_fault(self, operation: str) -> None:
        """None."""

    def say(self, words: str) -> None:
        """To nobody."""

    def wrong(self, what: str) -> None:
        """A rule that the gateway saw broken."""
        self.broken.append(what)


class Till(SimulatedGateway):
    """The simulated gateway, for threads: one call after the other."""

    def __init__(self) -> None:
        self.till = _Till()
        super().__init__(self.till)  # type: ignore[arg-type]
        self._one_at_a_time = threading.RLock()

    def _sent(self, operation: str, call: Any, book: Any) -> Any:
        with self._one_at_a_time:
            return super()._sent(operation, call, book)


@dataclass(frozen=True)
class Turn:
    """A transaction that locked or wrote something: whose, and when it began, was about to end, and had ended.

    One that was refused has its turn, too: what it was told depends on what it saw.
    """

    by: str
    began: int
    tick: int
    ended: int


@dataclass
class _Open:
    began: int
    tick: int = 0


@dataclass(frozen=True, slots=True)
class Stepwise(Context):
    """A worker's context: in a replay control is given back before each transaction."""

    stage: Stage | None = None

    @contextmanager
    def transaction(self) -> Iterator[tuple[Connection, datetime]]:
        """As in a worker, after the pause."""
        assert self.stage is not None
        self.stage.pause()
        with Context.transaction(self) as (conn, now):
            yield conn, now


@dataclass
class Stage:
    """One database with all that acts on it."""

    engine: Engine
    context: Stepwise
    producer: Producer
    gateway: Till
    turns: list[Turn] = field(default_factory=list)
    _ticks: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_number(self) -> int:
        """A number that no other copy has."""
        return next(self._numbers)

    def rows(self, statement: str, **values: object) -> list[Any]:
        """What a query finds."""
        with self.engine.connect() as conn:
            return list(conn.execute(text(statement), values))

    def deadlocks(self) -> int:
        """How many rings the database has broken in its life."""
        with self.engine.begin() as conn:
            conn.execute(text("SELECT pg_stat_force_next_flush()"))
        [row] = self.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(row.deadlocks)

    def pause(self) -> None:
        """In a replay: let the one who directs it go on."""
        director = greenlet.getcurrent().parent
        if director is not None:
            director.switch()

    # ---- who came when ----------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Keep the order in which the transactions of those who act end."""
        event.listen(self.engine, "begin", self._began)
        event.listen(self.engine, "commit", self._ends)
        event.listen(self.engine, "rollback", self._ends)
        event.listen(self.engine, "checkin", self._ended)

    def _began(self, conn: Connection) -> None:
        if ACTING.get():
            conn.info[_TICK] = _Open(next(self._ticks))

    def _ends(self, conn: Connection) -> None:
        opened = conn.info.get(_TICK)
        if opened and conn.exec_driver_sql(_LOCKED_OR_WROTE).scalar_one():
            opened.tick = next(self._ticks)

    def _ended(self, _dbapi_connection: object, record: Any) -> None:
        opened = record.info.pop(_TICK, None)
        if opened and opened.tick:
            self.turns.append(Turn(ACTING.get(), opened.began, opened.tick, next(self._ticks)))


@contextmanager
def stage(url: str, redis_url: str, key_file: str) -> Iterator[Stage]:
    """A stage on this database; what happened on it stays there."""
    settings: Settings = settings_for(url, redis_url, key_file)
    options = "-c timezone=UTC -c synchronous_commit=off -c jit=off"
    engine = create_engine(url, pool_size=CONNECTIONS, max_overflow=0, connect_args={"options": options})
    broker = redis.Redis.from_url(redis_url)
    built = contexts.build(settings, engine, Silence())
    till = Till()
    gateways: Any = {"payflow": till}
    parts: dict[str, Any] = {part.name: getattr(built, part.name) for part in fields(Context)}
    parts |= {
        "gateways": gateways,
        "breakers": Breakers(broker, (), 0, timedelta(0)),
        "terms": replace(contexts.terms(settings, gateways)),
        "guard": Guard(Seen(), AfterFailover.ASK),
    }
    zone = settings.business_time_zone
    producer = Producer(engine, built.vault, Silence(), chooser(settings.card_routes), zone)
    made = Stage(engine, Stepwise(**parts), producer, till)
    made.context = replace(made.context, stage=made)
    with engine.connect() as conn:
        till.till.now = conn.execute(text("SELECT now()")).scalar_one()
    made.listen()
    try:
        yield made
    finally:
        engine.dispose()
        broker.close()
