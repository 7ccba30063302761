"""Each request is a part of a trace: the caller's, where it names one, else one of its own, told in `X-Request-Id`."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telemetry import traces

HEADER: Final = "X-Request-Id"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SAY_NOTHING: Final = ("/healthz", "/readyz", "/metrics", "/static/")
"""What is asked for all the time and leads to nothing."""


class Traced:
    """Begins a trace's part with each request; its span tells the route, never the address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"
        brought = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
        span = traces.enter(method, "server", traces.parse(brought))
        status = 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = span.trace_id
            await send(message)

        # The server's own lines about this request come after it: the part stays the present one of its context.
        try:
            await self._app(scope, receive, told)
        except BaseException as error:
            span.failed(type(error).__name__)
            raise
        finally:
            if not scope["path"].startswith(_SAY_NOTHING):
                route = getattr(scope.get("route"), "path", "")
                span.name(f"{method} {route}".strip())
                span.say_http(method, route, status)
                span.end()
