"""Playing a scenario: one call is taken through its steps, before and after it is booked."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.books import Books, State
from sandbox.contract import Call, Forced, Gateway
from sandbox.http import Connection, Request, response
from sandbox.scenarios import Scenario, Scenarios, Step

PAGES = {
    200: "<html><head><title>Maintenance</title></head><body><h1>Scheduled maintenance</h1>"
    "<p>Approved vendors: please try again later.</p></body></html>\n",
    429: "Too Many Requests\n",
    500: "<html><body><h1>Internal Server Error</h1></body></html>\n",
    502: "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center>"
    "<hr><center>nginx</center></body></html>\n",
    503: "<html><body><h1>503 Service Unavailable</h1></body></html>\n",
}
NOISE = bytes(range(128, 256)) * 2


@dataclass(slots=True)
class Stage:
    """What one call needs to be played: its request and connection, and the parts of the sandbox."""

    request: Request
    connection: Connection
    gateway: Gateway
    call: Call
    books: Books
    scenarios: Scenarios
    decoy_port: int


class Performance:
    """One call under a scenario. `play` ends with an answer sent or the connection gone."""

    def __init__(self, stage: Stage, scenario: Scenario) -> None:
        self._stage = stage
        self._scenario = scenario
        self._body: bytes | None = None
        self._status = 200
        self._content_type = stage.gateway.content_type
        self._headers = ""
        self._length: int | None = None
        self._close_after = False
        self._over = False

    async def play(self, latency: float) -> None:
        """Take the call through all steps; `latency` (seconds) comes before the answer."""
        stage = self._stage
        await self._steps(self._scenario.before, "before")
        if not self._over and self._body is None:
            self._body = stage.gateway.encode(stage.gateway.answer(stage.call))
            self._status = stage.call.status
            self._headers = stage.gateway.headers(stage.call)
        if not self._over:
            await self._steps(self._scenario.after, "after")
        if not self._over:
            if latency:
                await asyncio.sleep(latency)
            self._send()

    async def _steps(self, steps: Sequence[Step], phase: str) -> None:
        rest = deque(steps)
        while rest and not self._over:
            step = rest.popleft()
            match step["do"]:
                case "hold":
                    instead = await self._stage.scenarios.barrier(step["barrier"]).wait()
                    if instead is not None:
                        rest = deque(instead)
                case "delay":
                    await asyncio.sleep(step["ms"] / 1000)
                case "reset":
                    self._stage.connection.reset()
                    self._over = True
                case "close":
                    self._stage.connection.close()
                    self._over = True
                case "answer" if phase == "before":
                    self._stage.call.force = Forced(step["code"], step.get("message", ""), step.get("fields", {}))
                case "answer":
                    verdict = self._stage.gateway.verdict(step["code"], step.get("message", ""))
                    self._edit(verdict | step.get("fields", {}))
                case "edit":
                    self._edit(step["fields"])
                case "foreign":
                    self._foreign(step["id"])
                case "settle":
                    self._settle(State(step.get("to", "settled")))
                case "page":
                    self._page(step)
                case "cut":
                    self._cut(step)
                case "garble":
                    self._garble(step.get("how", "noise"))
                case "close_after_reply":
                    self._close_after = True

    def _edit(self, changes: dict[str, str | None]) -> None:
        gateway = self._stage.gateway
        text = (self._body or b"").decode("latin-1").rstrip("\n")
        self._body = gateway.encode(gateway.edit(text, changes))

    def _foreign(self, transaction_id: str) -> None:
        gateway, call = self._stage.gateway, self._stage.call
        try:
            self._body = gateway.encode(gateway.foreign(call, transaction_id))
        except LookupError as error:
            self._page({"status": 500, "body": f"sandbox: {error}\n", "content_type": "text/plain"})
        else:
            self._headers = gateway.headers(call)

    def _settle(self, to: State) -> None:
        stage = self._stage
        found = stage.books.find(stage.gateway.name, stage.gateway.target(stage.call))
        if found is not None:
            stage.books.settle_one(found, to)

    def _page(self, step: Step) -> None:
        self._status = step.get("status", 200)
        self._content_type = step.get("content_type", "text/html; charset=utf-8")
        headers = {str(name): str(value) for name, value in step.get("headers", {}).items()}
        if self._status == 307 and "Location" not in headers:
            headers["Location"] = f"http://127.0.0.1:{self._stage.decoy_port}{self._stage.request.path}"
        if self._status == 429:
            headers.setdefault("Retry-After", "30")
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._body = step.get("body", PAGES.get(self._status, "")).encode()

    def _cut(self, step: Step) -> None:
        body = self._body or b""
        if step.get("promise_all", True):
            self._length = len(body)
            self._close_after = not step.get("stall", False)
        self._body = body[: step.get("bytes", len(body) // 2)]

    def _garble(self, how: str) -> None:
        body = self._body or b""
        match how:
            case "noise":
                self._body = NOISE
            case "utf-16":
                self._body = body.decode("latin-1").encode("utf-16")
                self._content_type = f"{self._stage.gateway.content_type}; charset=utf-16"
            case "latin-1":
                self._body = body.replace(b"e", b"\xe9")
            case "nul":
                self._body = b"\0" + body

    def _send(self) -> None:
        raw = response(self._status, self._content_type, self._body or b"", self._headers, self._length)
        if self._close_after:
            self._stage.connection.reply_and_close(raw)
        else:
            self._stage.connection.reply(raw)
