"""What every answer carries, and what a question may be like: plain ASGI, so that it holds for errors, too."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web import problems

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from elsewhere, no framing."""

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}

BODY_MAX: Final = 4 * 2**20
"""Bytes of a request's body."""
BODY_MAX_AT: Final = {"/v1/cards": 2**14}
"""Bytes where less will do."""
_LENGTH_DIGITS: Final = 18
BODY_MAX_OF_NOTICE: Final = 2**16
"""Bytes of what anybody may send without a session."""


class Headers:
    """Adds the security headers; what says nothing of caching is not cached."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class OddAddress:
    """Refuses an address with a zero byte, which the database takes in no text, or with a bare byte beyond ASCII."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and ("\0" in scope["path"] or _odd(scope["query_string"])):
            words = "The address holds a character that no address has here."
            is_api = scope["path"].startswith("/v1/")
            refusal = problems.answer(problems.ADDRESS, words) if is_api else PlainTextResponse(f"{words}\n", 400)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _odd(query: bytes) -> bool:
    return b"%00" in query or not query.isascii()


class BodyTooLarge(Exception):
    """More was sent than is taken."""


class BodyLimit:
    """Refuses a body that is too large: by what it says of itself, and by what comes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        usual = BODY_MAX_OF_NOTICE if scope["path"].startswith("/v1/notices/") else BODY_MAX
        most = BODY_MAX_AT.get(scope["path"], usual)
        said = dict(scope["headers"]).get(b"content-length", b"0")
        words = f"The body is larger than the {most:,} bytes that are taken here."
        is_api = scope["path"].startswith("/v1/")
        refusal = problems.answer(problems.BODY_TOO_LARGE, words) if is_api else PlainTextResponse(f"{words}\n", 413)
        if not said.isdigit() or len(said) > _LENGTH_DIGITS or int(said) > most:
            await refusal(scope, receive, send)
            return
        taken, begun = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise BodyTooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except BodyTooLarge:
            if begun:
                raise
            await refusal(scope, receive, send)
