"""The sandbox as one asyncio server: routes requests to gateways and the control API, adds latency, plays scenarios."""

import asyncio
import random
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.books import Books
from sandbox.clock import Clock
from sandbox.contract import Behaviour, Call, Gateway, Page
from sandbox.control import Control
from sandbox.http import BACKLOG, Connection, Request, response
from sandbox.performance import Performance, Stage
from sandbox.protocols import PROTOCOLS
from sandbox.scenarios import Scenarios
from sandbox.wire import Arrivals


@dataclass(slots=True)
class Latency:
    """How long an answer takes: `ms` for all, `tail_ms` for `tail_percent` of them instead."""

    ms: float = 0.0
    tail_ms: float = 0.0
    tail_percent: float = 0.0

    def seconds(self) -> float:
        if self.tail_percent and random.random() * 100 < self.tail_percent:  # noqa: S311
            return self.tail_ms / 1000
        return self.ms / 1000


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox is started; the command line's options, one for one."""

    host: str = "127.0.0.1"
    port: int = 8181
    decoy_port: int = 0
    state: Path | None = None
    latency_ms: float = 0.0
    tail_ms: float = 0.0
    tail_percent: float = 0.0
    any_amount: bool = False
    cutoff: tuple[int, int] = (2, 0)
    settling_seconds: float = 0.0
    returns_pending: bool = False
    keep_requests: int = 5000
    credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By gateway and name; what is not given is as the gateway's class says."""


class Sandbox:
    """All gateways over one set of books. `start` listens; `stop` closes everything it opened."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = Clock()
        self.books = Books(self.clock, options.state, options.cutoff, options.settling_seconds)
        self.scenarios = Scenarios(self.books)
        self.latency = Latency(options.latency_ms, options.tail_ms, options.tail_percent)
        self.arrivals = Arrivals(options.keep_requests)
        self.decoy_arrivals = Arrivals(options.keep_requests)
        self.behaviour = Behaviour(options.any_amount, options.returns_pending)
        self.gateways: Mapping[str, Gateway] = {
            kind.name: kind(self.books, {**kind.credentials, **options.credentials.get(kind.name, {})}, self.behaviour)
            for kind in PROTOCOLS
        }
        self.routes: Mapping[str, Gateway] = {path: one for one in self.gateways.values() for path in one.paths}
        self._beginnings = [path for path in self.routes if path.endswith("/") and path != "/"]
        self.port = 0
        self.decoy_port = 0
        self._control = Control(self)
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._playing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on the port of the gateways and on the decoy's. Raises OSError if one is taken."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        for port, serve in ((self.options.port, self._serve), (self.options.decoy_port, self._serve_decoy)):
            server = await loop.create_server(
                lambda serve=serve: Connection(serve, self._connections),  # type: ignore[misc]
                self.options.host,
                port,
                backlog=BACKLOG,
            )
            self._servers.append(server)
        self.port, self.decoy_port = (server.sockets[0].getsockname()[1] for server in self._servers)

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._playing):
            task.cancel()
        for connection in list(self._connections):
            connection.close()
        await asyncio.gather(*self._playing, return_exceptions=True)
        self.books.close()

    def _run_aside(self, work: Coroutine[None, None, None], connection: Connection) -> None:
        task = self._loop.create_task(_close_on_failure(work, connection))
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)

    def _serve(self, request: Request, connection: Connection) -> None:
        gateway = self._gateway(request.path)
        if gateway is None:
            if request.path.startswith("/sandbox/"):
                self._run_aside(self._control.serve(request, connection), connection)
            else:
                text = f"sandbox: nothing at {request.path}; gateways are at {', '.join(self.routes)}\n"
                connection.reply(response(404, "text/plain", text.encode()))
            return
        read = gateway.read(request)
        call = read if isinstance(read, Call) else None
        self.arrivals.add(self.clock.now(), gateway, request, call)
        if isinstance(read, Page):
            connection.reply(response(read.status, read.content_type, read.body, read.headers))
            return
        self.books.tick()
        latency = self.latency.seconds()
        scenario = self.scenarios.take(read, request.connection_requests > 1)
        if scenario is not None:
            stage = Stage(request, connection, gateway, read, self.books, self.scenarios, self.decoy_port)
            self._run_aside(Performance(stage, scenario).play(latency), connection)
            return
        body = gateway.encode(gateway.answer(read))
        raw = response(read.status, gateway.content_type, body, gateway.headers(read))
        if latency:
            self._loop.call_later(latency, connection.reply, raw)
        else:
            connection.reply(raw)

    def _gateway(self, path: str) -> Gateway | None:
        whole = self.routes.get(path)
        if whole is not None:
            return whole
        return next((self.routes[beginning] for beginning in self._beginnings if path.startswith(beginning)), None)

    def _serve_decoy(self, request: Request, connection: Connection) -> None:
        """Count what followed a redirect; nothing is booked, whatever it says."""
        gateway = self._gateway(request.path) or self.routes["/"]
        read = gateway.read(request)
        self.decoy_arrivals.add(self.clock.now(), gateway, request, read if isinstance(read, Call) else None)
        connection.reply(response(404, "text/plain", b"sandbox: this port only counts\n"))


async def _close_on_failure(work: Coroutine[None, None, None], connection: Connection) -> None:
    """Let no client wait for an answer that a fault in here prevents."""
    try:
        await work
    except BaseException:
        connection.close()
        raise
