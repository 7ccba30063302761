"""What arrived on the wire, kept for tests to look at; secrets are masked whenever it is shown."""

from collections import deque
from dataclasses import dataclass

from sandbox.contract import Call, Gateway
from sandbox.http import Request

_SECRET = {"authorization": "***"}
"""What is shown in place of a header that lets in."""


@dataclass(slots=True)
class Arrival:
    """One request, as it came."""

    number: int
    at: float
    gateway: Gateway
    request: Request
    call: Call | None

    def view(self) -> dict[str, object]:
        """The request as the control API shows it, without card number, security code and password."""
        call = self.call
        return {
            "number": self.number,
            "at": self.at,
            "gateway": self.gateway.name,
            "operation": call.operation if call else "",
            "reference": call.reference if call else "",
            "request_id": call.request_id if call else "",
            "method": self.request.method,
            "path": self.request.path,
            "headers": {name: _SECRET.get(name, value) for name, value in self.request.headers().items()},
            "body": self.gateway.redact(self.request.body),
            "connection_request": self.request.connection_requests,
        }


class Arrivals:
    """The last requests that reached the gateways, and how many there were in all."""

    def __init__(self, keep: int) -> None:
        self._kept: deque[Arrival] = deque(maxlen=keep)
        self.count = 0

    def add(self, at: float, gateway: Gateway, request: Request, call: Call | None) -> None:
        self.count += 1
        self._kept.append(Arrival(self.count, at, gateway, request, call))

    def last(self, limit: int, **wanted: str) -> list[dict[str, object]]:
        """The latest requests, oldest first, that match the given fields of the view."""
        shown: list[dict[str, object]] = []
        for arrival in reversed(self._kept):
            if len(shown) >= limit:
                break
            view = arrival.view()
            if all(view[name] == value for name, value in wanted.items()):
                shown.append(view)
        shown.reverse()
        return shown

    def forget(self) -> None:
        self._kept.clear()
        self.count = 0
