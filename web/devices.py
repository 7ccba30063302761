"""Browsers from which somebody logged in before: strangers' guesses at the name do not lock them out (books/guesses).

Each holds a sealed cookie a name, so that an office's browser may know several people. It opens nothing: who has one
may try that name's password as often as anybody from one address.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Final

from fastapi import Request
from starlette.responses import Response

from vault import unpacked
from web import rights
from web.office import Office

KEPT: Final = timedelta(days=180)


def mark(request: Request, at: Office, name: str) -> str:
    """The random mark of a browser that this name knows, "" for any other."""
    sealed = unpacked(rights.cookie(request, _cookie(name)))
    return (at.vault.open_text(sealed, _purpose(name)) or "") if sealed else ""


def remember(request: Request, response: Response, at: Office, name: str) -> None:
    """Know this browser when the name logs in the next time."""
    drawn = mark(request, at, name) or secrets.token_hex(16)
    sealed = at.vault.seal_text(drawn, _purpose(name)).packed()
    rights.set_cookie(request, response, _cookie(name), sealed, int(KEPT.total_seconds()))


def _cookie(name: str) -> str:
    return f"defray_device_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _purpose(name: str) -> str:
    return f"a browser of {name}"
