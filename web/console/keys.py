"""The keys of upstream apps: what each may do, when it was used, who made it and who revoked it. For admins."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import api_keys
from rules.apps import SECRET_BEGINS, Scope, check_key_name
from rules.errors import Fault, NotFound, RequestRefused, shown
from rules.requests import NAME_MAX, required_text
from web.console.form_words import without_card_numbers
from web.office import At, Office
from web.pages import go, page
from web.rights import Admin, Fields

router = APIRouter(include_in_schema=False)

_KEYS: Final = "/console/keys"
_BOX: Final = "scope_"  # how the name of each scope's box begins


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    scopes: tuple[Scope, ...]
    customer: str | None


@dataclass(frozen=True, slots=True)
class _Made:
    name: str
    secret: str = field(repr=False)


@router.get(_KEYS)
def everybody(request: Request, at: At, user: Admin) -> Response:
    """All keys, revoked ones, too, and the form for a new one; never a secret."""
    return _list(request, at)


@router.post(_KEYS)
def create(request: Request, at: At, user: Admin, fields: Fields) -> Response:
    """Make a key, whose secret is drawn and shown this once, on the page that answers."""
    try:
        asked = _checked(fields)
        secret = f"{SECRET_BEGINS}{secrets.token_urlsafe(32)}"
        with at.transaction() as (conn, now):
            api_keys.add(conn, asked.name, secret, asked.scopes, asked.customer, now, user.name)
    except RequestRefused as error:
        return _list(request, at, entered=fields, faults=error.faults)
    except NotFound as error:
        unknown = Fault("customer", shown(fields["customer"]), "no such customer", error.hint.rstrip("."))
        return _list(request, at, entered=fields, faults=(unknown,))
    return _list(request, at, made=_Made(asked.name, secret))


@router.post(f"{_KEYS}/revoke")
def revoke(at: At, user: Admin, fields: Fields) -> Response:
    """Let a key open nothing any more, at once and for good."""
    name = fields.get("name", "")
    with at.transaction() as (conn, now):
        api_keys.revoke(conn, name, now, user.name)
    return go(_KEYS, f"The key {name} opens nothing any more.")


def _checked(fields: Mapping[str, str]) -> _Asked:
    """Raises RequestRefused with all that is wrong."""
    name = check_key_name(fields.get("name", ""))
    scopes = _scopes(fields)
    customer = _customer(fields.get("customer", ""))
    if isinstance(name, Fault) or isinstance(scopes, Fault) or isinstance(customer, Fault):
        raise RequestRefused([each for each in (name, scopes, customer) if isinstance(each, Fault)])
    return _Asked(name, scopes, customer)


def _scopes(fields: Mapping[str, str]) -> tuple[Scope, ...] | Fault:
    ticked = [name.removeprefix(_BOX) for name in fields if name.startswith(_BOX)]
    if unknown := [name for name in ticked if name not in list(Scope)]:
        return Fault("scopes", shown(unknown[0]), "not all are scopes", f"Take some of {', '.join(Scope)}")
    if not ticked:
        return Fault("scopes", "", "missing", "Tick at least one thing that the key may do")
    return tuple(scope for scope in Scope if scope in ticked)


def _customer(number: str) -> str | Fault | None:
    return required_text("customer", number, NAME_MAX) if number.strip() else None


def _list(
    request: Request,
    at: Office,
    *,
    made: _Made | None = None,
    entered: Mapping[str, str] | None = None,
    faults: tuple[Fault, ...] = (),
) -> Response:
    with at.reading() as (conn, _):
        known = api_keys.everybody(conn)
    return page(
        request,
        "console/keys.html",
        422 if faults else 200,
        keys=known,
        scopes=Scope,
        made=made,
        entered={"name": "", "customer": "", **without_card_numbers(entered or {})},
        faults=faults,
    )
