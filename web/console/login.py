"""Log-in and log-out."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import passwords, people
from rules.people import check_name
from web import resume, rights
from web.office import At, Office
from web.pages import go
from web.rights import Clerk, Fields

router = APIRouter(include_in_schema=False)

_START = "/console/find"
_WRONG = "This name and password do not belong together."
_TOO_MANY = "Too many log-ins failed. Wait a quarter of an hour, or let an admin set a new password."


@router.get("/console")
def console() -> Response:
    """The first window."""
    return go(_START)


@router.get("/console/login")
def form(request: Request, next: str = "") -> Response:  # noqa: A002 - what it is called in addresses
    """The form; bound to this browser before anybody is logged in."""
    return resume.login_page(request, next)


@router.post("/console/login")
def log_in(request: Request, at: At, fields: Fields) -> Response:
    """Begin a session; then go on where one was, with the entries of a form that it had ended under (web/resume.py)."""
    rights.check_csrf(request, fields, rights.visit_token(request))
    wanted, kept = fields.get("next", ""), resume.carried(fields)
    name = check_name(fields.get("name", ""))
    known = name if isinstance(name, str) else ""
    user, refusal = _checked(at, known, fields.get("password", ""), _address(request))
    if user is None:
        return resume.login_page(request, wanted, refusal, 429 if refusal == _TOO_MANY else 401, kept)
    token = rights.drawn()
    with at.transaction() as (conn, now):
        people.open_session(conn, token, user, now)
    if kept:
        answer = resume.shown_again(request, user, token, kept)
    else:
        answer = go(wanted if _is_of_console(wanted) else _START)
    rights.begin_session(request, answer, token)
    return answer


@router.post("/console/logout")
def log_out(request: Request, at: At, user: Clerk) -> Response:
    """End the session."""
    with at.transaction() as (conn, _):
        people.close_session(conn, rights.session_token(request))
    answer = go("/console/login", f"{user.name} is logged out.")
    rights.end_session(request, answer)
    return answer


def _checked(at: Office, name: str, password: str, address: str) -> tuple[people.User | None, str]:
    """Who it is, or why not. The attempt is committed before the password is looked at."""
    with at.transaction() as (conn, now):
        attempt = people.attempt(conn, name, address, now)
        found = people.find(conn, name)
    if attempt is None:
        return None, _TOO_MANY
    if not passwords.verifies(password, found.password_hash if found else None) or not found or not found.user.active:
        return None, _WRONG
    with at.transaction() as (conn, _):
        people.succeeded(conn, attempt)
    return found.user, ""


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _is_of_console(address: str) -> bool:
    """No way to elsewhere: only a path of ours."""
    return address.startswith("/console/") and "\\" not in address and "//" not in address
