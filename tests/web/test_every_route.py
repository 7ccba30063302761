"""Issue 4, rights: every route has one, every write a CSRF token; so a new route without them fails here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from rules.people import Role
from settings import load
from tests.web.conftest import Visitor
from web import app, rights
from web.api import access

PUBLIC = {
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/v1/docs"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/readyz"),
    ("GET", "/console"),
    ("GET", "/console/login"),
    ("POST", "/console/login"),
    ("GET", "/static/{digest}/{name}"),
    ("POST", "/v1/notices/{gateway}"),
}
"""What is open to everybody; the log-in has a CSRF token nevertheless, and a notice its gateway's signature."""

BEGAN = {("GET", "/console/login/code"), ("POST", "/console/login/code"), ("POST", "/console/logout")}
"""What is open to a session whose second factor is due, too."""

WATCHING = {("GET", "/console/header")}
"""What an open page asks by itself: nothing without a session, which is no reason to leave the page."""

ADMINS = ("/console/users", "/console/keys", "/console/gateways")
"""Where everything is for admins alone."""

APP = app.create(
    load({"DEFRAY_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c", "DEFRAY_REDIS_URL": "redis://127.0.0.1:1"})
)


def of(routes: list[BaseRoute]) -> Iterator[tuple[str, APIRoute]]:
    for route in routes:
        if router := getattr(route, "original_router", None):  # how FastAPI holds what was included
            yield from of(router.routes)
            continue
        assert isinstance(route, APIRoute), f"{route} is of a kind that this test does not see through"
        for method in route.methods or ():
            yield method, route


def calls(dependant: Dependant) -> Iterator[Callable[..., object]]:
    for one in dependant.dependencies:
        if one.call:
            yield one.call
        yield from calls(one)


def needed(route: APIRoute) -> Role | None:
    """The role that a route asks for by `require`."""
    for call in calls(route.dependant):
        if call.__qualname__ == "require.<locals>.check":
            return Role(inspect.getclosurevars(call).nonlocals["role"])
        if call is access.keeps_cards:  # of a person who brings no key, a clerk's
            return Role.CLERK
    return None


def for_keys(route: APIRoute) -> bool:
    """Whether a route asks for an app's key, and takes no session: nothing that a browser sends by itself."""
    return any(call.__qualname__ == "needs.<locals>.check" for call in calls(route.dependant))


ROUTES = {(method, route.path): route for method, route in of(APP.routes)}
BY_KEY = {key for key, route in ROUTES.items() if for_keys(route)}
GUARDED = {key: needed(route) for key, route in ROUTES.items() if key not in PUBLIC | BY_KEY}
WRITES = sorted(key for key in GUARDED if key[0] != "GET")


def address(path: str) -> str:
    """An address of a route, with something in each of its gaps."""
    return re.sub(r"\{[^}]+\}", "1", path)


def test_every_route_has_a_right() -> None:
    """Each handler asks who it is: by a role, or by a session that has begun; what is public is named here."""
    assert set(ROUTES) >= PUBLIC | BEGAN | WATCHING
    without = {key for key, role in GUARDED.items() if role is None}
    assert without == BEGAN | WATCHING
    assert all(rights.began in set(calls(ROUTES[key].dependant)) for key in BEGAN)
    assert all(rights.watching in set(calls(ROUTES[key].dependant)) for key in WATCHING)


def test_the_api_is_by_key() -> None:
    """All under /v1 but cards, which the console shares, and notices asks for an app's key; nothing else does."""
    assert {key for key in ROUTES if key[1].startswith("/v1/")} - PUBLIC - {("POST", "/v1/cards")} == BY_KEY
    assert BY_KEY


def test_admins() -> None:
    """What is of people, keys and gateways is for admins alone."""
    of_admins = {key: role for key, role in GUARDED.items() if key[1].startswith(ADMINS)}
    assert of_admins
    assert set(of_admins.values()) == {Role.ADMIN}


def test_without_a_session(visitor: Visitor) -> None:
    """Without a session each leads to the log-in, or says 401 to a program."""
    for method, path in GUARDED:
        if (method, path) in WATCHING:
            assert visitor.client.get(path).content == b""
            continue
        answer = visitor.client.request(method, address(path), follow_redirects=False)
        to_log_in = answer.status_code == 303 and answer.headers["location"].startswith("/console/login")
        assert to_log_in or answer.status_code == 401, (method, path, answer.status_code)
        said = visitor.client.request(method, address(path), headers={"Accept": "application/json"})
        assert said.status_code == 401, (method, path, said.status_code)


@pytest.mark.parametrize("name", ["ann", "ada"])
def test_writes_have_a_token(visitor: Visitor, name: str) -> None:
    """A write without the session's CSRF token is refused, an admin's, too."""
    visitor.log_in(name)
    for method, path in WRITES:
        for token in ("", "x" * 43):
            answer = visitor.client.request(
                method, address(path), data={rights.TOKEN_FIELD: token}, follow_redirects=False
            )
            assert answer.status_code == 403, (method, path, answer.status_code)


@pytest.mark.parametrize(("name", "role"), [("ann", Role.CLERK), ("sue", Role.SUPERVISOR)])
def test_lower_roles(visitor: Visitor, name: str, role: Role) -> None:
    """Whoever's role does not suffice is refused, with a right token, too."""
    visitor.log_in(name)
    above = [key for key, asked in GUARDED.items() if asked and not role.may(asked)]
    assert above
    for method, path in above:
        fields = {} if method == "GET" else {rights.TOKEN_FIELD: visitor.token()}
        answer = visitor.client.request(method, address(path), data=fields, follow_redirects=False)
        assert answer.status_code == 403, (method, path, answer.status_code)
        assert "needs the rights" in answer.text, (method, path)
