"""One mail to one SMTP server, and what that proves: taken, refused with a code, or not known to be taken.

Over the network every word is encrypted and the server's certificate verified: from the start (smtps://) or by STARTTLS
before anything is said (smtp://); on loopback smtp:// is plain. The password is in no repr and no answer.
"""

from __future__ import annotations

import ipaddress
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Final
from urllib.parse import unquote, urlsplit

_SUBMISSION, _SUBMISSIONS, _PLAIN = 587, 465, 25


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server; `tls`: from the start; `starttls`: before anything else is said; seconds to wait for each word."""

    host: str
    port: int
    tls: bool
    starttls: bool
    user: str = ""
    password: str = field(default="", repr=False)
    seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Sent:
    """The server took the mail over."""

    said: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no: for now below code 500, for good from 500 on."""

    code: int
    said: str

    @property
    def for_good(self) -> bool:
        """Whether asking again is of no use."""
        return self.code >= 500


@dataclass(frozen=True, slots=True)
class NotSent:
    """No connection, no log-in, or no last word: it may be tried again, with the same Message-ID."""

    why: str


_SAID_MAX: Final = 300


def server_at(url: str) -> Server:
    """The server of an address: smtp://USER:PASSWORD@HOST:PORT or smtps://; user and port may be left out."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    tls = parts.scheme == "smtps"
    starttls = not tls and not _is_loopback(host)
    port = parts.port or (_SUBMISSIONS if tls else _SUBMISSION if starttls else _PLAIN)
    return Server(host, port, tls, starttls, unquote(parts.username or ""), unquote(parts.password or ""))


def send(server: Server, message: EmailMessage) -> Sent | Refused | NotSent:
    """Hand a mail over; never raises for what a server or the network does."""
    try:
        connection = _connect(server)
    except smtplib.SMTPAuthenticationError as error:
        return NotSent(f"the log-in was refused: {error.smtp_code}")
    except smtplib.SMTPResponseException as error:
        return NotSent(f"the server is not ready: {error.smtp_code} {_words(error.smtp_error)}")
    except (smtplib.SMTPException, OSError) as error:
        return NotSent(f"no connection: {_words(str(error)) or type(error).__name__}")
    try:
        connection.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        return Refused(code, _words(said))
    except smtplib.SMTPResponseException as error:
        return Refused(error.smtp_code, _words(error.smtp_error))
    except (smtplib.SMTPException, OSError) as error:
        return NotSent(f"the connection broke: {_words(str(error)) or type(error).__name__}")
    finally:
        _close(connection)
    return Sent("taken by the mail server")


def _connect(server: Server) -> smtplib.SMTP:
    if server.tls:
        context = ssl.create_default_context()
        connection: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=server.seconds, context=context)
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=server.seconds)
    try:
        if server.starttls:
            connection.starttls(context=ssl.create_default_context())
        if server.user:
            connection.login(server.user, server.password)
    except BaseException:
        _close(connection)
        raise
    return connection


def _close(connection: smtplib.SMTP) -> None:
    """Say good-bye; whether that is heard changes nothing."""
    with suppress(smtplib.SMTPException, OSError):
        connection.quit()
    connection.close()


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_SAID_MAX]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
