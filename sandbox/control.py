"""The control API under `/sandbox/`: JSON in, JSON out, for tests and developers to steer and ask the sandbox."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from sandbox.books import State, Transaction
from sandbox.cards import acceptable
from sandbox.clock import moment
from sandbox.contract import Page, decimal
from sandbox.http import Connection, Request, response
from sandbox.notices import NoNotice, deliver, notice
from sandbox.reports import NoReport, report
from sandbox.scenarios import ScenarioError, check_steps

if TYPE_CHECKING:
    from sandbox.server import Sandbox

Answer = tuple[int, object]
Query = dict[str, str]

FILTERS = ("gateway", "operation", "card", "reference", "state", "id", "original", "request_id")


class ControlError(ValueError):
    """A control request that cannot be done: a status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Control:
    """Answers control requests; every handler gets the rest of the path, the query and the JSON body."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._handlers: dict[tuple[str, str], Callable[[str, Query, Any], Awaitable[Answer]]] = {
            ("GET", "health"): self._health,
            ("GET", "transactions"): self._transactions,
            ("GET", "charges"): self._charges,
            ("GET", "reports"): self._report,
            ("POST", "cards"): self._card,
            ("GET", "requests"): self._requests,
            ("GET", "decoy"): self._decoy,
            ("GET", "scenarios"): self._scenarios,
            ("POST", "scenarios"): self._set_scenario,
            ("DELETE", "scenarios"): self._remove_scenario,
            ("GET", "barriers"): self._barriers,
            ("POST", "barriers"): self._release,
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._move_clock,
            ("POST", "settle"): self._settle,
            ("POST", "review"): self._review,
            ("POST", "twins"): self._twin,
            ("POST", "notices"): self._notice,
            ("GET", "settings"): self._settings,
            ("POST", "settings"): self._change_settings,
            ("POST", "forget"): self._forget,
        }

    async def serve(self, request: Request, connection: Connection) -> None:
        """Answer one control request."""
        try:
            status, answer = await self._answer(request)
        except ControlError as error:
            status, answer = error.status, {"error": str(error)}
        except ScenarioError as error:
            status, answer = 400, {"error": str(error)}
        if isinstance(answer, Page):
            connection.reply(response(status, answer.content_type, answer.body))
        else:
            connection.reply(response(status, "application/json", json.dumps(answer).encode() + b"\n"))

    async def _answer(self, request: Request) -> Answer:
        subject, _, rest = request.path.removeprefix("/sandbox/").partition("/")
        handler = self._handlers.get((request.method, subject))
        if handler is None:
            known = ", ".join(f"{method} /sandbox/{name}" for method, name in self._handlers)
            raise ControlError(404, f"no {request.method} {request.path}; there are {known}")
        try:
            body = json.loads(request.body) if request.body else {}
        except ValueError as error:
            raise ControlError(400, f"the body is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise ControlError(400, "the body must be a JSON object")
        self._sandbox.books.tick()
        return await handler(unquote(rest), dict(parse_qsl(request.query)), body)

    # -- asking

    async def _health(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query, body
        sandbox = self._sandbox
        base = f"http://{sandbox.options.host}:{sandbox.port}"
        return 200, {
            "status": "ok",
            "now": moment(sandbox.clock.now()).isoformat(),
            "gateways": {name: base + one.paths[0] for name, one in sandbox.gateways.items()},
            "decoy_port": sandbox.decoy_port,
            "requests": sandbox.arrivals.count,
        }

    async def _transactions(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, body
        limit = _whole(query.pop("limit", "1000"), "limit")
        unknown = query.keys() - set(FILTERS)
        if unknown:
            raise ControlError(400, f"unknown filter {', '.join(sorted(unknown))}; known are {', '.join(FILTERS)}")
        found = [
            one
            for one in self._sandbox.books.search(**query)
            if one.operation != "inquiry" or query.get("operation") == "inquiry"
        ]
        return 200, {"count": len(found), "transactions": [_view(one) for one in found[-limit:]]}

    async def _charges(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query, body
        return 200, self._sandbox.books.charges()

    async def _report(self, rest: str, query: Query, body: Any) -> Answer:
        del body
        since = _second(query.get("from", "1970-01-01T00:00:00+00:00"), "from")
        until = _second(query["to"], "to") if "to" in query else self._sandbox.clock.now() + 1
        try:
            return 200, report(self._sandbox.books, rest, since, until)
        except NoReport as error:
            raise ControlError(404, str(error)) from None

    async def _card(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query
        number = body.get("number")
        if not isinstance(number, str) or not acceptable(number):
            raise ControlError(400, "number must be a card number: 13 to 19 digits that pass the Luhn check")
        books = self._sandbox.books
        found = [one for one in books.search(card=number) if one.operation != "inquiry"]
        return 200, {
            "card": books.hash_card(number),
            "last4": number[-4:],
            "charged": sum(1 for one in found if one.charged),
            "standing": sum(1 for one in found if one.standing),
            "declined": sum(1 for one in found if one.state == State.DECLINED),
            "in_review": sum(1 for one in found if one.state == State.REVIEW),
            "net": sum(one.amount - one.refunded for one in found if one.standing),
            "transactions": [_view(one) for one in found],
        }

    async def _requests(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, body
        limit = _whole(query.pop("limit", "100"), "limit")
        wanted = {name: query[name] for name in ("gateway", "operation", "reference", "request_id") if name in query}
        arrivals = self._sandbox.arrivals
        return 200, {"count": arrivals.count, "requests": arrivals.last(limit, **wanted)}

    async def _decoy(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query, body
        arrivals = self._sandbox.decoy_arrivals
        return 200, {
            "port": self._sandbox.decoy_port,
            "count": arrivals.count,
            "requests": arrivals.last(100),
        }

    # -- scenarios and barriers

    async def _scenarios(self, rest: str, query: Query, body: Any) -> Answer:
        del query, body
        if rest:
            scenario = self._sandbox.scenarios.get(_whole(rest, "the scenario's number"))
            if scenario is None:
                raise ControlError(404, f"no scenario {rest}")
            return 200, scenario.view()
        return 200, {"scenarios": [scenario.view() for scenario in self._sandbox.scenarios.all()]}

    async def _set_scenario(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query
        return 201, self._sandbox.scenarios.add(body).view()

    async def _remove_scenario(self, rest: str, query: Query, body: Any) -> Answer:
        del query, body
        if not rest:
            self._sandbox.scenarios.clear()
        elif not self._sandbox.scenarios.remove(_whole(rest, "the scenario's number")):
            raise ControlError(404, f"no scenario {rest}")
        return 200, {}

    async def _barriers(self, rest: str, query: Query, body: Any) -> Answer:
        del body
        barriers = self._sandbox.scenarios
        if not rest:
            return 200, {name: barrier.view() for name, barrier in barriers.barriers.items()}
        barrier = barriers.barrier(rest)
        at_least = _whole(query.get("at_least", "0"), "at_least")
        reached = await barrier.reached(at_least, _whole(query.get("ms", "10000"), "ms") / 1000)
        return 200, {"reached": reached, **barrier.view()}

    async def _release(self, rest: str, query: Query, body: Any) -> Answer:
        del query
        name, _, verb = rest.rpartition("/")
        if verb != "release" or not name:
            raise ControlError(404, "POST /sandbox/barriers/NAME/release")
        count, then = body.get("count"), body.get("then")
        if count is not None and (not isinstance(count, int) or count < 0):
            raise ControlError(400, "count must be a whole number, or absent for all")
        steps = None if then is None else check_steps(then, "then")
        barrier = self._sandbox.scenarios.barrier(name)
        released = barrier.release(count, steps, bool(body.get("open", False)))
        return 200, {**barrier.view(), "let_go": released}

    # -- clock, settlement, review

    async def _clock(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query, body
        sandbox = self._sandbox
        return 200, {
            "now": moment(sandbox.clock.now()).isoformat(),
            "shift_seconds": sandbox.clock.shift,
            "next_cutoff": moment(sandbox.books.next_sweep).isoformat(),
        }

    async def _move_clock(self, rest: str, query: Query, body: Any) -> Answer:
        clock = self._sandbox.clock
        if isinstance(body.get("advance_seconds"), int | float):
            clock.advance(body["advance_seconds"])
        elif isinstance(body.get("set"), str):
            try:
                to = datetime.fromisoformat(body["set"])
            except ValueError:
                raise ControlError(400, f"set is not an ISO 8601 time: {body['set']!r}") from None
            if to.tzinfo is None:
                raise ControlError(400, "set needs a UTC offset, such as 2026-03-02T10:15:00+00:00")
            clock.set(to)
        else:
            raise ControlError(400, 'give {"advance_seconds": n} or {"set": "2026-03-02T10:15:00+00:00"}')
        self._sandbox.books.clock_moved()
        return await self._clock(rest, query, body)

    async def _settle(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query
        gateway, stop_at = body.get("gateway", ""), body.get("stop_at", State.SETTLED)
        if stop_at not in (State.SETTLING, State.SETTLED):
            raise ControlError(400, f"stop_at is settling or settled, not {stop_at!r}")
        books = self._sandbox.books
        swept = books.sweep(gateway)
        settled = books.settle(gateway) if stop_at == State.SETTLED else 0
        return 200, {"swept": swept, "settled": settled}

    async def _review(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query
        decision = body.get("decision")
        if decision not in ("accept", "reject"):
            raise ControlError(400, f"decision is accept or reject, not {decision!r}")
        books = self._sandbox.books
        wanted = {name: str(body[name]) for name in ("gateway", "id", "reference") if name in body}
        held = list(books.search(state=State.REVIEW, **wanted))
        for one in held:
            accepted = decision == "accept"
            one.state = State.APPROVED if accepted else State.DECLINED
            self._sandbox.gateways[one.gateway].decide(one, accepted)
            books.save(one)
        return 200, {"decided": len(held), "transactions": [_view(one) for one in held]}

    async def _twin(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query
        books = self._sandbox.books
        found = books.find(str(body.get("gateway")), str(body.get("id")))
        if found is None:
            raise ControlError(404, "give the gateway and the id of a booked transaction")
        other_end = "0" if found.id[-1:] != "0" else "1"
        twin = replace(found, id=found.id[:-1] + other_end, request_id="", order_id="")
        books.book(twin)
        return 201, _view(twin)

    # -- notices

    async def _notice(self, rest: str, query: Query, body: Any) -> Answer:
        """Tell a server of a transaction, `times` at once; `late` is how many seconds ago it was signed."""
        del rest, query
        sandbox = self._sandbox
        wanted = {name: str(body[name]) for name in ("gateway", "id", "reference") if name in body}
        found = [one for one in sandbox.books.search(**wanted) if one.operation not in ("inquiry", "other")]
        times, late = body.get("times", 1), body.get("late", 0)
        if "gateway" not in wanted or not found:
            raise ControlError(404, "give the gateway and the id or reference of a booked transaction")
        if not isinstance(times, int) or not 1 <= times <= 100 or not isinstance(late, int | float):
            raise ControlError(400, "times is a whole number from 1 to 100, late a number of seconds")
        gateway = sandbox.gateways[wanted["gateway"]]
        access = {**gateway.credentials, **sandbox.options.credentials.get(gateway.name, {})}
        if "secret" in body:
            access = dict.fromkeys(access, str(body["secret"]))
        signed_at = sandbox.clock.now() - late
        event, event_id = str(body.get("event", "")), str(body.get("event_id", ""))
        try:
            told = notice(found[-1], event, access, signed_at, event_id)
            statuses = await asyncio.gather(*(deliver(str(body.get("to")), told) for _ in range(times)))
        except NoNotice as error:
            raise ControlError(400, str(error)) from None
        return 200, {"statuses": statuses, "headers": dict(told.headers), "body": told.body.decode()}

    # -- settings

    async def _settings(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query, body
        latency = self._sandbox.latency
        return 200, {
            "latency_ms": latency.ms,
            "tail_ms": latency.tail_ms,
            "tail_percent": latency.tail_percent,
            "any_amount": self._sandbox.behaviour.any_amount,
        }

    async def _change_settings(self, rest: str, query: Query, body: Any) -> Answer:
        latency = self._sandbox.latency
        for name, value in body.items():
            if name == "any_amount" and isinstance(value, bool):
                self._sandbox.behaviour.any_amount = value
            elif name in ("latency_ms", "tail_ms", "tail_percent") and isinstance(value, int | float) and value >= 0:
                setattr(latency, name.removeprefix("latency_") if name == "latency_ms" else name, value)
            else:
                expected = "latency_ms, tail_ms, tail_percent (numbers from 0) and any_amount (true or false)"
                raise ControlError(400, f"can't set {name} to {value!r}; there are {expected}")
        return await self._settings(rest, query, body)

    async def _forget(self, rest: str, query: Query, body: Any) -> Answer:
        del rest, query, body
        sandbox = self._sandbox
        sandbox.scenarios.clear()
        sandbox.books.forget()
        sandbox.arrivals.forget()
        sandbox.decoy_arrivals.forget()
        return 200, {}


def _view(one: Transaction) -> dict[str, object]:
    return {
        "gateway": one.gateway,
        "id": one.id,
        "operation": one.operation,
        "reference": one.reference,
        "request_id": one.request_id,
        "original": one.original,
        "card": one.card_hash,
        "last4": one.last4,
        "amount": one.amount,
        "amount_text": decimal(one.amount),
        "currency": one.currency,
        "state": one.state,
        "code": one.code,
        "message": one.message,
        "credential": one.credential,
        "refunded": one.refunded,
        "inquiries": one.inquiries,
        "batch": one.batch,
        "booked_at": moment(one.booked_at).isoformat(),
        "settled_at": moment(one.settled_at).isoformat() if one.state == State.SETTLED else None,
    }


def _second(text: str, name: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ControlError(400, f"{name} must be a time such as 2026-03-02T10:15:00+00:00, not {text!r}")
    return at.timestamp()


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ControlError(400, f"{name} must be a whole number, not {text!r}")
    return int(text)
