"""One's own log-in: the password, the second factor, where one is logged in."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import guesses, passwords, people, sessions
from books.people import User
from rules.errors import Fault, MoveRefused, RequestRefused
from rules.people import check_password
from web import rights, second_factor
from web.office import At, Office
from web.pages import go, page
from web.rights import Clerk, Fields
from web.second_factor import Offer

router = APIRouter(include_in_schema=False)

_ME: Final = "/console/me"


@router.get(_ME)
def me(request: Request, at: At, user: Clerk) -> Response:
    """All of it on one page."""
    return _page(request, at, user)


@router.post(f"{_ME}/password")
def change_password(request: Request, at: At, user: Clerk, fields: Fields) -> Response:
    """Take a new password, by the present one; one is logged out everywhere else."""
    new = fields.get("password", "")
    try:
        if fault := check_password(new, user.name):
            raise RequestRefused([fault])
        if new != fields.get("again", ""):
            raise RequestRefused([Fault("again", "", "not the same as above", "Type the new password twice")])
        _ask_again(at, user, fields.get("present", ""), "present")
    except RequestRefused as error:
        return _page(request, at, user, error.faults)
    here = sessions.hashed(rights.session_token(request))
    with at.transaction() as (conn, now):
        people.set_password(conn, user.name, passwords.hashed(new), now, user.name, but=here)
    return go(_ME, "Your password is changed. Everywhere else you are logged out.")


@router.post(f"{_ME}/two-factor")
def offer_two_factor(request: Request, at: At, user: Clerk, fields: Fields) -> Response:
    """Show a secret for the authenticator, by the password; nothing changes yet."""
    if user.two_factor:
        raise MoveRefused("One-time codes are turned on already.", "Turn them off first.")
    try:
        _ask_again(at, user, fields.get("password_on", ""), "password_on")
    except RequestRefused as error:
        return _page(request, at, user, error.faults)
    return _offer_page(request, second_factor.offered(at, user, rights.session_token(request)))


@router.post(f"{_ME}/two-factor/on")
def turn_on(request: Request, at: At, user: Clerk, fields: Fields) -> Response:
    """Ask for codes from now on: the first one was right."""
    token, sealed = rights.session_token(request), fields.get("offer", "")
    if refusal := second_factor.turn_on(at, user, token, sealed, fields.get("code", "")):
        return _offer_page(request, second_factor.offered(at, user, token, sealed), refusal)
    return go(_ME, "From now on a code is asked for when you log in.")


@router.post(f"{_ME}/two-factor/off")
def turn_off(request: Request, at: At, user: Clerk, fields: Fields) -> Response:
    """Ask for the password alone again, by password and code."""
    if user.role in at.settings.web_two_factor_roles:
        raise MoveRefused(
            f"You log in with two factors as {user.role.with_article}.", "An admin can reset yours for a new phone."
        )
    try:
        _ask_again(at, user, fields.get("password_off", ""), "password_off")
    except RequestRefused as error:
        return _page(request, at, user, error.faults)
    if refusal := second_factor.refusal(at, user, fields.get("code", "")):
        problem, _, remedy = refusal.rstrip(".").partition(". ")
        return _page(request, at, user, (Fault("code", "", problem, remedy),))
    here = sessions.hashed(rights.session_token(request))
    with at.transaction() as (conn, now):
        people.no_two_factor(conn, user.name, now, user.name, but=here)
    return go(_ME, "You log in with your password alone.")


@router.post(f"{_ME}/sessions/end")
def end_others(request: Request, at: At, user: Clerk) -> Response:
    """Log oneself out everywhere else."""
    with at.transaction() as (conn, now):
        sessions.end_others(conn, user, rights.session_token(request), now)
    return go(_ME, "Everywhere else you are logged out.")


def _ask_again(at: Office, user: User, password: str, field: str) -> None:
    """Raises RequestRefused where it is not this user's password, or too many were wrong."""
    with at.transaction() as (conn, now):
        attempt = guesses.attempt_inside(conn, user.name, now)
        known = people.named(conn, user.name)
    if attempt is None:
        raise RequestRefused([Fault(field, "", "too many were wrong", "Wait a quarter of an hour and try again")])
    if not passwords.verifies(password, known.password_hash):
        raise RequestRefused([Fault(field, "", "not your password", "Type the one that you log in with")])
    with at.transaction() as (conn, _):
        guesses.succeeded(conn, attempt)


def _page(request: Request, at: Office, user: User, faults: tuple[Fault, ...] = ()) -> Response:
    with at.reading() as (conn, now):
        places = sessions.of_user(conn, user, rights.session_token(request), now)
    return page(
        request,
        "console/me.html",
        422 if faults else 200,
        places=places,
        must=user.role in at.settings.web_two_factor_roles,
        faults=faults,
    )


def _offer_page(request: Request, offer: Offer, refusal: str = "") -> Response:
    return page(request, "console/two_factor.html", 422 if refusal else 200, offer=offer, refusal=refusal)
