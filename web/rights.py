"""Who asks, and whether they may: the session's cookie, the CSRF token, the role. One dependency for all: `require`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Annotated, Final

from fastapi import Depends, Request, Response
from starlette.datastructures import FormData

from books import people, sessions
from rules.errors import Fault, RequestRefused
from rules.people import Role
from web.office import At, Office

TOKEN_FIELD: Final = "csrf_token"  # noqa: S105 - a name
TOKEN_HEADER: Final = "X-CSRF-Token"  # noqa: S105 - a name
"""Every form has the field, every request of htmx or fetch the header."""

_SESSION: Final = "defray_session"
_VISIT: Final = "defray_visit"  # before the log-in: what its form's token is bound to
_SAFE: Final = {"GET", "HEAD", "OPTIONS"}
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
_FIELDS_MAX: Final = 2_000


class NotSignedIn(Exception):
    """There is no session, or it ended."""


class SecondFactorDue(Exception):
    """The password was right, and the second factor is still to be shown."""


class Forbidden(Exception):
    """The role does not suffice, or the form is not one of ours; says which."""


class OldForm(Forbidden):
    """The form does not bring the token of this session: it is one of an earlier session, or not one of ours."""


async def form_fields(request: Request) -> Mapping[str, str]:
    """What a form says, files left out; empty where the body is no form. Of a field given twice the last counts.

    Raises RequestRefused for a zero byte, which no browser sends and the database takes in no text.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method in _SAFE or kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return {}
    form: FormData = await request.form(max_files=10, max_fields=_FIELDS_MAX)
    said = {name: value for name, value in form.items() if isinstance(value, str)}
    if any("\0" in text for text in (*said, *said.values())):
        raise RequestRefused([Fault("form", "", "holds a character that no text has here", "Type it again")])
    return said


Fields = Annotated[Mapping[str, str], Depends(form_fields)]
"""A handler's parameter: `fields: Fields`."""


def require(role: Role) -> Callable[..., people.User]:
    """The dependency of every handler: the user who asks, who has at least this role.

    Raises NotSignedIn without a session, SecondFactorDue for one that may do nothing yet, Forbidden for a lower role
    and for a write whose CSRF token is not the session's.
    """

    def check(request: Request, at: At, fields: Fields) -> people.User:
        found, token = _session(request, at)
        if found.second_factor_due:
            raise SecondFactorDue
        request.state.user = found.user
        check_csrf(request, fields, token)
        if not found.user.role.may(role):
            raise Forbidden(
                f"This needs the rights of {role.with_article}; you have those of {found.user.role.with_article}."
            )
        return found.user

    return check


def began(request: Request, at: At, fields: Fields) -> sessions.Session:
    """The dependency of what is open to a session whose second factor is due, too: showing it, and logging out.

    Raises NotSignedIn and Forbidden as `require`.
    """
    found, token = _session(request, at)
    check_csrf(request, fields, token)
    return found


def watching(request: Request, at: At) -> people.User | None:
    """The dependency of what an open page asks by itself: no use of the session, which ends all the same when idle.

    None where it has ended: such a page is not led away from what is being entered.
    """
    token = session_token(request)
    with at.reading() as (conn, now):
        found = sessions.session(conn, token, now, used=False) if token else None
    if found is None or found.second_factor_due:
        return None
    request.state.user = found.user
    return found.user


def _session(request: Request, at: Office) -> tuple[sessions.Session, str]:
    token = session_token(request)
    with at.transaction() as (conn, now):
        found = sessions.session(conn, token, now) if token else None
    if found is None:
        raise NotSignedIn
    return found, token


Clerk = Annotated[people.User, Depends(require(Role.CLERK))]
"""A handler's parameter for everybody who is logged in: `user: Clerk`; likewise the next two."""
Supervisor = Annotated[people.User, Depends(require(Role.SUPERVISOR))]
Admin = Annotated[people.User, Depends(require(Role.ADMIN))]
Watching = Annotated[people.User | None, Depends(watching)]
"""A handler's parameter for what an open page asks by itself, reading only: `user: Watching`."""
Began = Annotated[sessions.Session, Depends(began)]
"""A handler's parameter where the second factor may still be due: `began: Began`."""


def check_csrf(request: Request, fields: Mapping[str, str], bound_to: str) -> None:
    """Raise OldForm for a write that does not bring the token which only our own pages know."""
    if request.method in _SAFE:
        return
    brought = request.headers.get(TOKEN_HEADER) or fields.get(TOKEN_FIELD, "")
    if not bound_to or not hmac.compare_digest(brought.encode(), csrf_token(bound_to).encode()):
        raise OldForm("This form is out of date: it was made before you logged in. Open it again.")


def csrf_token(bound_to: str) -> str:
    """The token of all forms of one session: made from the session's own, which it does not tell."""
    digest = hmac.new(bound_to.encode(), b"csrf", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


# ---- cookies --------------------------------------------------------------------------------------------------------


def session_token(request: Request) -> str:
    """The session's token, "" where there is none."""
    return cookie(request, _SESSION)


def visit_token(request: Request) -> str:
    """What a log-in form's token is bound to, "" before the first one was shown."""
    return cookie(request, _VISIT)


def begin_visit(request: Request, response: Response, token: str) -> None:
    """Remember what the log-in form's token is bound to."""
    set_cookie(request, response, _VISIT, token)


def begin_session(request: Request, response: Response, token: str) -> None:
    """Hand the session's token to the browser, for as long as it is open."""
    _delete(request, response, _VISIT)
    set_cookie(request, response, _SESSION, token)


def end_session(request: Request, response: Response) -> None:
    """Take the session's token back."""
    _delete(request, response, _SESSION)


def drawn() -> str:
    """A new random token."""
    return secrets.token_urlsafe(32)


def cookie(request: Request, name: str) -> str:
    """A cookie of ours, "" where there is none."""
    return request.cookies.get(_name(request, name), "")


def set_cookie(request: Request, response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Set a cookie that no script reads and no other site sends; seconds, None: as long as the browser is open."""
    response.set_cookie(
        _name(request, name),
        value,
        max_age=max_age,
        secure=not _on_loopback(request),
        httponly=True,
        samesite="lax",
        path="/",
    )


def _delete(request: Request, response: Response, name: str) -> None:
    response.delete_cookie(
        _name(request, name), secure=not _on_loopback(request), httponly=True, samesite="lax", path="/"
    )


def _name(request: Request, name: str) -> str:
    """With its prefix a browser takes the cookie over TLS only, for this very host only."""
    return name if _on_loopback(request) else f"__Host-{name}"


def _on_loopback(request: Request) -> bool:
    """Plain HTTP on this machine, the one place where a cookie may do without TLS."""
    return request.url.scheme == "http" and (request.url.hostname or "") in _LOOPBACK
