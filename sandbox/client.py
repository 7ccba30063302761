"""Start a sandbox, steer it and ask it, from Python.

with start(any_amount=True) as sandbox:
    sandbox.client.scenario(before=[hold("sale sent")], operation="sale")
    ...
    sandbox.client.wait_for("sale sent")
    sandbox.client.release("sale sent", then=[reset()])
    assert sandbox.client.card("4111111111111111").charged == 0
"""

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import requests

from sandbox.cards import acceptable
from sandbox.scenarios import Step

PATIENCE: Final = 10.0
"""Seconds to wait for a sandbox to start, to stop, or for a barrier to be reached."""


class SandboxError(RuntimeError):
    """The sandbox refused a control request or could not be started; the text says why."""


# -- steps of a scenario


def hold(barrier: str) -> Step:
    """Wait at a named barrier until it is released."""
    return {"do": "hold", "barrier": barrier}


def delay(ms: float) -> Step:
    """Wait so many milliseconds."""
    return {"do": "delay", "ms": ms}


def reset() -> Step:
    """Reset the connection (RST) in place of an answer."""
    return {"do": "reset"}


def close() -> Step:
    """Close the connection in good order (FIN) in place of an answer."""
    return {"do": "close"}


def answer(code: str, message: str = "", **fields: str) -> Step:
    """Before: the gateway's verdict (RESULT or resp-code), booked. After: only the answer says so."""
    return {"do": "answer", "code": code, "message": message, "fields": fields}


def foreign(transaction_id: str) -> Step:
    """Answer with another transaction's reply, flagged as duplicate; before: nothing is booked."""
    return {"do": "foreign", "id": transaction_id}


def settle(to: str = "settled") -> Step:
    """Settle (or put into settlement) the transaction that this void or refund is about, just before it."""
    return {"do": "settle", "to": to}


def page(
    status: int, body: str | None = None, content_type: str | None = None, headers: Mapping[str, str] | None = None
) -> Step:
    """An HTTP answer that is not the gateway's: 307 (to the decoy port), 429, 500, 502, 200 with HTML."""
    given = {"status": status, "body": body, "content_type": content_type, "headers": headers and dict(headers)}
    return {"do": "page", **{name: value for name, value in given.items() if value is not None}}


def edit(fields: Mapping[str, str | None]) -> Step:
    """Replace, add or (None) take out fields of the answer."""
    return {"do": "edit", "fields": dict(fields)}


def cut(length: int | None = None, *, promise_all: bool = True, stall: bool = False) -> Step:
    """Send only the first `length` bytes of the body (None: half); Content-Length promises all, or is honest.

    `stall`: the rest is promised and never comes, while the connection stays open.
    """
    step: dict[str, Any] = {"do": "cut", "promise_all": promise_all} | ({"stall": True} if stall else {})
    return step if length is None else step | {"bytes": length}


def garble(how: str = "noise") -> Step:
    """Make the body unreadable: `noise`, `utf-16`, `latin-1` (stray accents) or `nul`."""
    return {"do": "garble", "how": how}


def close_after_reply() -> Step:
    """Answer, then close the connection although the client may keep it."""
    return {"do": "close_after_reply"}


# -- what the sandbox tells


@dataclass(frozen=True, slots=True)
class BookedTransaction:
    """One operation in the sandbox's books; amounts in minor units, times ISO 8601 by its clock."""

    gateway: str
    id: str
    operation: str
    reference: str
    request_id: str
    original: str
    card: str
    last4: str
    amount: int
    amount_text: str
    currency: str
    state: str
    code: str
    message: str
    credential: str
    refunded: int
    inquiries: int
    batch: int
    booked_at: str
    settled_at: str | None


@dataclass(frozen=True, slots=True)
class CardReport:
    """What happened to one card: `charged` counts approved sales, `standing` those not voided since."""

    card: str
    last4: str
    charged: int
    standing: int
    declined: int
    in_review: int
    net: int
    transactions: tuple[BookedTransaction, ...]


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it arrived, secrets masked; `connection_request` is 1 for the first of its connection."""

    number: int
    at: float
    gateway: str
    operation: str
    reference: str
    request_id: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    connection_request: int


@dataclass(frozen=True, slots=True)
class BarrierReport:
    """How many calls wait at a barrier, came to it, and were let go."""

    waiting: int
    arrived: int
    released: int


@dataclass(frozen=True, slots=True)
class SentNotice:
    """A notice that was sent: the status of each answer, and what was sent."""

    statuses: tuple[int, ...]
    headers: Mapping[str, str]
    body: str


class SandboxClient:
    """The control API of the sandbox at `base_url` (such as `http://127.0.0.1:8181`)."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False

    def close(self) -> None:
        self._session.close()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
        seconds: float = 0.0,
    ) -> Any:
        """One control request; raises SandboxError with the sandbox's own words if it is refused."""
        answered = self._session.request(
            method,
            f"{self.base_url}/sandbox/{path}",
            params=query,
            json=body,
            timeout=PATIENCE + seconds,
            allow_redirects=False,
        )
        told = answered.json()
        if answered.status_code >= 400:
            raise SandboxError(f"{method} {path}: {told['error']}")
        return told

    def health(self) -> Mapping[str, Any]:
        """Status, the time by its clock, the gateways' addresses, the decoy's port."""
        return dict(self.ask("GET", "health"))

    def transactions(self, **wanted: str) -> list[BookedTransaction]:
        """Booked operations, oldest first, by gateway, operation, card (number or hash), reference, state, id."""
        if acceptable(wanted.get("card", "")):
            # A number in an address would end up in somebody's log.
            wanted["card"] = self.card(wanted["card"]).card
        told = self.ask("GET", "transactions", query={"limit": 1_000_000, **wanted})
        return [BookedTransaction(**one) for one in told["transactions"]]

    def transaction(self, **wanted: str) -> BookedTransaction:
        """The one booked operation that matches. Raises SandboxError if there is none or several."""
        found = self.transactions(**wanted)
        if len(found) != 1:
            raise SandboxError(f"{len(found)} transactions match {wanted}, expected one")
        return found[0]

    def card(self, number: str) -> CardReport:
        """What happened to the card with this number."""
        told = self.ask("POST", "cards", {"number": number})
        booked = tuple(BookedTransaction(**one) for one in told.pop("transactions"))
        return CardReport(transactions=booked, **told)

    def charges(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        """By gateway and currency: approved, charged, voided, refunded, net (minor units), declined."""
        return dict(self.ask("GET", "charges"))

    def report(self, gateway: str, since: datetime | None = None, until: datetime | None = None) -> bytes:
        """The gateway's own report of a span, in its own form; without a span, of everything."""
        span = {name: at.isoformat() for name, at in (("from", since), ("to", until)) if at is not None}
        url = f"{self.base_url}/sandbox/reports/{gateway}"
        answered = self._session.get(url, params=span, timeout=PATIENCE, allow_redirects=False)
        if answered.status_code != 200:
            raise SandboxError(f"report of {gateway}: {answered.json()['error']}")
        return answered.content

    def requests(self, limit: int = 100, **wanted: str) -> list[SeenRequest]:
        """The last requests on the wire, oldest first, by gateway, operation, reference, request_id."""
        return [SeenRequest(**one) for one in self.ask("GET", "requests", query={"limit": limit, **wanted})["requests"]]

    def request_count(self) -> int:
        """How many requests reached the gateways."""
        return int(self.ask("GET", "requests", query={"limit": 0})["count"])

    def decoy(self) -> tuple[int, list[SeenRequest]]:
        """The decoy's port and what arrived there."""
        told = self.ask("GET", "decoy")
        return int(told["port"]), [SeenRequest(**one) for one in told["requests"]]

    def scenario(
        self, before: Sequence[Step] = (), after: Sequence[Step] = (), times: int = 1, skip: int = 0, **match: object
    ) -> int:
        """Set a scenario and return its number.

        `match`: gateway, operation, card (number), amount ("118.50" or minor units), currency, reference,
        request_id, reused. It applies to `times` matching calls (0: all) after the first `skip`.
        """
        told = self.ask(
            "POST",
            "scenarios",
            {"match": match, "before": list(before), "after": list(after), "times": times, "skip": skip},
        )
        return int(told["id"])

    def applied(self, scenario: int) -> int:
        """How often a scenario was applied."""
        return int(self.ask("GET", f"scenarios/{scenario}")["applied"])

    def remove(self, scenario: int) -> None:
        """Take one scenario away."""
        self.ask("DELETE", f"scenarios/{scenario}")

    def clear(self) -> None:
        """Take all scenarios away and let go on what they hold."""
        self.ask("DELETE", "scenarios")

    def barrier(self, name: str) -> BarrierReport:
        """The barrier's counts, at once."""
        return self._barrier(self.ask("GET", f"barriers/{quote(name)}", query={"at_least": 0}))

    def wait_for(self, name: str, at_least: int = 1, seconds: float = PATIENCE) -> BarrierReport:
        """Wait until so many calls are held at a barrier. Raises SandboxError when the time is up."""
        query = {"at_least": at_least, "ms": int(seconds * 1000)}
        told = self.ask("GET", f"barriers/{quote(name)}", query=query, seconds=seconds)
        if not told["reached"]:
            raise SandboxError(f"{told['waiting']} of {at_least} calls wait at {name!r} after {seconds} s")
        return self._barrier(told)

    def release(
        self, name: str, count: int | None = None, then: Sequence[Step] | None = None, *, stay_open: bool = False
    ) -> int:
        """Let `count` calls (None: all) go on, with other steps than planned if `then` is given; returns how many."""
        body = {"count": count, "then": then if then is None else list(then), "open": stay_open}
        return int(self.ask("POST", f"barriers/{quote(name)}/release", body)["let_go"])

    @staticmethod
    def _barrier(told: Mapping[str, Any]) -> BarrierReport:
        return BarrierReport(**{field.name: told[field.name] for field in fields(BarrierReport)})

    def now(self) -> datetime:
        """The time by the sandbox's clock."""
        return datetime.fromisoformat(self.ask("GET", "clock")["now"])

    def advance(self, seconds: float) -> datetime:
        """Move the clock; passing the daily cut-off settles what is unsettled."""
        return datetime.fromisoformat(self.ask("POST", "clock", {"advance_seconds": seconds})["now"])

    def set_clock(self, to: datetime) -> datetime:
        """Set the clock to an aware time."""
        return datetime.fromisoformat(self.ask("POST", "clock", {"set": to.isoformat()})["now"])

    def settle(self, gateway: str = "", stop_at: str = "settled") -> int:
        """Run a settlement batch now, to its end or only to `settling`; returns how many transactions moved."""
        told = self.ask("POST", "settle", {"gateway": gateway, "stop_at": stop_at})
        return max(int(told["swept"]), int(told["settled"]))

    def twin(self, gateway: str, transaction_id: str) -> BookedTransaction:
        """Book a transaction a second time, under another id and the same reference."""
        return BookedTransaction(**self.ask("POST", "twins", {"gateway": gateway, "id": transaction_id}))

    def review(self, decision: str, **wanted: str) -> int:
        """`accept` or `reject` what is held for review (by gateway, id or reference); returns how many."""
        return int(self.ask("POST", "review", {"decision": decision, **wanted})["decided"])

    def notice(self, to: str, gateway: str, **about: str | float) -> "SentNotice":
        """Let a gateway tell the server at `to` of a transaction, by its `id` or `reference`.

        `event`: another than the one that fits; `times`: so often at once; `late`: signed so many seconds ago;
        `secret`: signed with this one; `event_id`: the gateway's id of the event.
        """
        told = self.ask("POST", "notices", {"to": to, "gateway": gateway, **about})
        return SentNotice(tuple(told["statuses"]), told["headers"], told["body"])

    def change(self, **settings: float | bool) -> None:
        """Set latency_ms, tail_ms, tail_percent, any_amount."""
        self.ask("POST", "settings", settings)

    def forget(self) -> None:
        """Empty the books, the request log, scenarios and barriers; the clock shows real time again."""
        self.ask("POST", "forget")


class SandboxProcess:
    """A sandbox in a process of its own; leaving the context stops it."""

    def __init__(self, process: "subprocess.Popen[bytes]", urls: Mapping[str, str]) -> None:
        self.process = process
        self.base_url = urls["control"].removesuffix("/sandbox/")
        self.client = SandboxClient(self.base_url)
        self._urls = urls

    def url(self, gateway: str) -> str:
        """Where a gateway is served, such as `payflow`."""
        return self._urls[gateway]

    def stop(self) -> int:
        """End it in good order (SIGTERM); returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(port: int = 0, credential: Sequence[str] = (), **options: str | float | bool | Path) -> SandboxProcess:
    """Start `python -m sandbox` and wait until it listens; `options` are its own, with underscores.

    Raises SandboxError, with what it printed, if it does not come up.
    """
    command = [sys.executable, "-m", "sandbox", "--port", str(port)]
    command += [f"--credential={one}" for one in credential]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            command.append(flag)
        elif value is not False:
            command += [flag, str(value)]
    root = Path(__file__).resolve().parent.parent
    search = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": search},
        start_new_session=True,
    )
    line = _first_line(process)
    words = line.split()[1:]
    if "control" not in words:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
        raise SandboxError(f"the sandbox did not start: {line or 'it printed nothing'}")
    return SandboxProcess(process, dict(zip(words[::2], words[1::2], strict=True)))


def _first_line(process: "subprocess.Popen[bytes]") -> str:
    if process.stdout is None:
        return ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline().decode() if selector.select(PATIENCE) else ""
