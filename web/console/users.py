"""The people of the office: who may log in, as what, up to which amounts. For admins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import passwords, people
from books.people import User
from rules.errors import Fault, MoveRefused, RequestRefused, shown
from rules.people import Role, check_limit, check_name, limit_in_words
from web.console.form_words import without_card_numbers
from web.office import At, Office
from web.pages import go, page
from web.rights import Admin, Fields

router = APIRouter(include_in_schema=False)

_USERS: Final = "/console/users"
_ONE: Final = "/console/users/{name}"


@dataclass(frozen=True, slots=True)
class _Appointment:
    role: Role
    void_limit_minor: int | None
    refund_limit_minor: int | None


@router.get(_USERS)
def everybody(request: Request, at: At, user: Admin) -> Response:
    """Everybody, and the form for somebody new."""
    return _list(request, at, {}, ())


@router.post(_USERS)
def add(request: Request, at: At, user: Admin, fields: Fields) -> Response:
    """Let somebody in, with a password that is drawn and shown this once."""
    try:
        name, appointed = _new(fields)
    except RequestRefused as error:
        return _list(request, at, fields, error.faults)
    password = passwords.drawn()
    try:
        with at.transaction() as (conn, now):
            people.add(
                conn,
                name,
                passwords.hashed(password),
                appointed.role,
                now,
                user.name,
                void_limit_minor=appointed.void_limit_minor,
                refund_limit_minor=appointed.refund_limit_minor,
            )
    except MoveRefused as error:
        return _list(request, at, fields, (Fault("name", shown(name), "taken already", error.hint.rstrip(".")),))
    return page(request, "console/new_password.html", who=name, password=password)


@router.get(_ONE)
def one(request: Request, at: At, user: Admin, name: str) -> Response:
    """One of them, with what can be changed."""
    return _one(request, at, name)


@router.post(_ONE)
def appoint(request: Request, at: At, user: Admin, name: str, fields: Fields) -> Response:
    """Give another role or other limits."""
    try:
        appointed = _appointment(fields)
    except RequestRefused as error:
        return _one(request, at, name, fields, error.faults)
    if name == user.name and appointed.role is not Role.ADMIN:
        raise MoveRefused("You cannot take the admin's rights from yourself.", "Let another admin do it.")
    with at.transaction() as (conn, now):
        people.appoint(
            conn,
            name,
            appointed.role,
            now,
            user.name,
            void_limit_minor=appointed.void_limit_minor,
            refund_limit_minor=appointed.refund_limit_minor,
        )
    return go(_USERS, f"{name} is {appointed.role} now, with these limits.")


@router.post(f"{_ONE}/password")
def new_password(request: Request, at: At, user: Admin, name: str) -> Response:
    """Give a new password, drawn and shown this once; they are logged out everywhere."""
    if name == user.name:
        raise MoveRefused("Your own password is changed on your own page.", "It asks for the present one.")
    password = passwords.drawn()
    with at.transaction() as (conn, now):
        people.set_password(conn, name, passwords.hashed(password), now, user.name)
    return page(request, "console/new_password.html", who=name, password=password)


@router.post(f"{_ONE}/disable")
def disable(at: At, user: Admin, name: str) -> Response:
    """Let somebody in no more."""
    if name == user.name:
        raise MoveRefused("You cannot shut yourself out.", "Let another admin do it.")
    with at.transaction() as (conn, now):
        people.disable(conn, name, now, user.name)
    return go(_USERS, f"{name} may log in no more.")


@router.post(f"{_ONE}/enable")
def enable(at: At, user: Admin, name: str) -> Response:
    """Let somebody in again."""
    with at.transaction() as (conn, now):
        people.enable(conn, name, now, user.name)
    return go(_USERS, f"{name} may log in again, with the password from before.")


@router.post(f"{_ONE}/reset-two-factor")
def reset_two_factor(at: At, user: Admin, name: str) -> Response:
    """Ask somebody for no codes any more, since their phone is lost, say."""
    if name == user.name:
        raise MoveRefused("Your own codes are turned off on your own page.", "It asks for one of them.")
    with at.transaction() as (conn, now):
        people.no_two_factor(conn, name, now, user.name)
    return go(_USERS, f"{name} logs in without a code until it is set up again.")


def _new(fields: Mapping[str, str]) -> tuple[str, _Appointment]:
    """Raises RequestRefused with all that is wrong."""
    name = check_name(fields.get("name", ""))
    faults = [name] if isinstance(name, Fault) else []
    try:
        appointed = _appointment(fields)
    except RequestRefused as error:
        raise RequestRefused([*faults, *error.faults]) from None
    if isinstance(name, Fault):
        raise RequestRefused([name])
    return name, appointed


def _appointment(fields: Mapping[str, str]) -> _Appointment:
    """Raises RequestRefused with all that is wrong."""
    role = fields.get("role", "")
    void_limit, refund_limit = (check_limit(fields.get(each, ""), each) for each in ("void_limit", "refund_limit"))
    faults = [each for each in (void_limit, refund_limit) if isinstance(each, Fault)]
    if role not in list(Role):
        faults.append(Fault("role", shown(role), "not a role", f"Take one of {', '.join(Role)}"))
    if faults or isinstance(void_limit, Fault) or isinstance(refund_limit, Fault):
        raise RequestRefused(faults)
    return _Appointment(Role(role), void_limit, refund_limit)


def _list(request: Request, at: Office, entered: Mapping[str, str], faults: tuple[Fault, ...]) -> Response:
    with at.reading() as (conn, _):
        known = people.everybody(conn)
    return page(
        request,
        "console/users.html",
        422 if faults else 200,
        people=[(one, *_limits(one)) for one in known],
        must=at.settings.web_two_factor_roles,
        entered={"name": "", "role": "clerk", "void_limit": "", "refund_limit": "", **without_card_numbers(entered)},
        faults=faults,
    )


def _one(
    request: Request,
    at: Office,
    name: str,
    entered: Mapping[str, str] | None = None,
    faults: tuple[Fault, ...] = (),
) -> Response:
    with at.reading() as (conn, _):
        who = people.named(conn, name).user
    void_limit, refund_limit = _limits(who)
    present = {"role": who.role.value, "void_limit": void_limit, "refund_limit": refund_limit}
    return page(
        request,
        "console/user.html",
        422 if faults else 200,
        who=who,
        must=who.role in at.settings.web_two_factor_roles,
        entered={**present, **without_card_numbers(entered or {})},
        faults=faults,
    )


def _limits(who: User) -> tuple[str, str]:
    return limit_in_words(who.void_limit_minor), limit_in_words(who.refund_limit_minor)
