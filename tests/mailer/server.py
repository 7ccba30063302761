"""A real mail server over loopback that says what a test wants it to say."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


@dataclass
class MailServer:
    """What came, and what is answered: `to_rcpt` and `to_data` in their order, then yes; `drop`: hang up after DATA."""

    port: int = 0
    to_rcpt: list[str] = field(default_factory=list)
    to_data: list[str] = field(default_factory=list)
    drop: int = 0
    kept: list[EmailMessage] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        """Whether mail for this address is taken."""
        if self.to_rcpt:
            return self.to_rcpt.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Whether the mail is taken."""
        if self.to_data:
            return self.to_data.pop(0)
        self.kept.append(message_from_bytes(envelope.content, policy=policy.default))
        if self.drop:
            self.drop -= 1
            server.transport.abort()
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        """Who knows the password may send."""
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=given.password == b"open sesame", handled=False)


class _Anywhere(Controller):
    """On whatever port is free."""

    def _trigger_server(self) -> None:
        server: Any = self.server
        self.port = server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def serving(tls: ssl.SSLContext | None = None, login: bool = False) -> Iterator[MailServer]:
    """The server, on a port of its own, until the end of the block."""
    mail = MailServer()
    more: dict[str, Any] = {"authenticator": mail.authenticate, "auth_require_tls": False} if login else {}
    controller = _Anywhere(mail, hostname="127.0.0.1", port=0, ssl_context=tls, **more)
    controller.start()
    mail.port = controller.port
    try:
        yield mail
    finally:
        controller.stop()
