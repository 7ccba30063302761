"""Log-in, with its second step where one is asked for, and log-out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import guesses, passwords, people, sessions
from books.people import User
from rules.cards import looks_like_card_number
from rules.people import check_name
from web import devices, resume, rights, second_factor
from web.errors import SECOND_STEP
from web.office import At, Office
from web.pages import go, page
from web.rights import Began, Fields

router = APIRouter(include_in_schema=False)

_START: Final = "/console/find"
_WRONG: Final = "This name and password do not belong together."
_TOO_MANY: Final = "Too many log-ins failed. Wait a quarter of an hour and try again."

_log = logging.getLogger(__name__)


@router.get("/console")
def console() -> Response:
    """The first window."""
    return go(_START)


@router.get("/console/login")
def form(request: Request, next: str = "") -> Response:  # noqa: A002 - what it is called in addresses
    """The form; bound to this browser before anybody is logged in."""
    return resume.login_page(request, _address(next))


@router.post("/console/login")
def log_in(request: Request, at: At, fields: Fields) -> Response:
    """Begin a session, or ask for its second factor; then go on where one was (web/resume.py)."""
    rights.check_csrf(request, fields, rights.visit_token(request))
    name = check_name(fields.get("name", ""))
    user, refusal = _checked(request, at, name if isinstance(name, str) else "", fields.get("password", ""))
    if user is None:
        status = 429 if refusal == _TOO_MANY else 401
        return resume.login_page(request, _address(fields.get("next", "")), refusal, status, resume.carried(fields))
    due = user.two_factor or user.role in at.settings.web_two_factor_roles
    token, before = rights.drawn(), rights.session_token(request)
    with at.transaction() as (conn, now):
        if replaced := sessions.session(conn, before, now, used=False):
            sessions.close_session(conn, before, replaced.user, now)  # this browser shows its token no more
        sessions.open_session(conn, token, user, now, second_factor_due=due)
    if not due:
        return _entered(request, at, fields, user, token)
    answer = _second_page(request, at, fields, user, token)
    rights.begin_session(request, answer, token)
    return answer


@router.get(SECOND_STEP)
def second_form(request: Request, at: At, began: Began) -> Response:
    """The page of the second step: a code, or the way to codes for a role that must have them."""
    if not began.second_factor_due:
        return go(_START)
    return _second_page(request, at, {}, began.user, rights.session_token(request))


@router.post(SECOND_STEP)
def second_step(request: Request, at: At, fields: Fields, began: Began) -> Response:
    """Let the session act, once the code was right; its token is changed."""
    if not began.second_factor_due:
        return go(_START)
    user, token = began.user, rights.session_token(request)
    code = fields.get("code", "")
    if user.two_factor:
        refusal = second_factor.refusal(at, user, code)
    else:
        refusal = second_factor.turn_on(at, user, token, fields.get("offer", ""), code)
    if refusal:
        return _second_page(request, at, fields, user, token, refusal)
    new = rights.drawn()
    with at.transaction() as (conn, now):
        completed = sessions.complete(conn, token, new, user, now)
    if not completed:
        raise rights.NotSignedIn
    return _entered(request, at, fields, user, new)


@router.post("/console/logout")
def log_out(request: Request, at: At, began: Began) -> Response:
    """End the session, one whose second factor is due, too."""
    with at.transaction() as (conn, now):
        sessions.close_session(conn, rights.session_token(request), began.user, now)
    answer = go("/console/login", f"{began.user.name} is logged out.")
    rights.end_session(request, answer)
    return answer


def _checked(request: Request, at: Office, name: str, password: str) -> tuple[User | None, str]:
    """Who it is, or why not. The attempt is committed before the password is looked at."""
    address = request.client.host if request.client else ""
    with at.transaction() as (conn, now):
        attempt = guesses.attempt(conn, name, address, devices.mark(request, at, name), now)
        found = people.find(conn, name)
    # What was typed as a name may be a password: only a name that exists is written down.
    said = name if found else "nobody we know"
    told = {"user": said, "client": address}
    if attempt is None:
        _log.warning("log-in refused, too many failed: %s, from %s", said, address, extra=told)
        return None, _TOO_MANY
    if not passwords.verifies(password, found.password_hash if found else None) or not found or not found.user.active:
        _log.warning("log-in failed: %s, from %s", said, address, extra=told)
        return None, _WRONG
    with at.transaction() as (conn, _):
        guesses.succeeded(conn, attempt)
    return found.user, ""


def _second_page(
    request: Request, at: Office, fields: Mapping[str, str], user: User, token: str, refusal: str = ""
) -> Response:
    status = 200 if not refusal else 429 if refusal == second_factor.TOO_MANY else 401
    return page(
        request,
        "console/second_step.html",
        status,
        csrf_token=rights.csrf_token(token),
        next=_address(fields.get("next", "")),
        kept=resume.carried(fields),
        refusal=refusal,
        offer=None if user.two_factor else second_factor.offered(at, user, token, fields.get("offer", "")),
    )


def _entered(request: Request, at: Office, fields: Mapping[str, str], user: User, token: str) -> Response:
    kept, wanted = resume.carried(fields), _address(fields.get("next", ""))
    answer = resume.shown_again(request, user, token, kept) if kept else go(wanted or _START)
    rights.begin_session(request, answer, token)
    devices.remember(request, answer, at, user.name)
    return answer


def _address(wanted: str) -> str:
    """Where somebody wanted to go; "" for elsewhere: only a path of ours, of plain characters, that climbs nowhere."""
    plain = wanted.isascii() and wanted.isprintable() and not set(wanted) & set("\\%")
    ours = plain and wanted.startswith("/console/") and "//" not in wanted and "/.." not in wanted
    return wanted if ours and not looks_like_card_number(wanted) else ""
