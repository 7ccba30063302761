"""Issue 4: log-in, sessions, roles, CSRF tokens, throttling."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi import APIRouter, Depends
from starlette.testclient import TestClient

from books import guesses, sessions
from rules.people import Role
from settings import Settings
from tests.web.conftest import PASSWORD, Books, Visitor
from web.app import create
from web.rights import require


def test_log_in_and_out(visitor: Visitor) -> None:
    """A name and its password open the console; logging out closes it, on the server too."""
    assert visitor.get("/console/find").headers["location"] == "/console/login?next=/console/find"
    answer = visitor.log_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/find")
    page = visitor.get("/console/find")
    assert page.status_code == 200
    assert "ann" in page.text
    cookies = dict(visitor.client.cookies)
    assert visitor.post("/console/logout").status_code == 303
    visitor.client.cookies.update(cookies)
    assert visitor.get("/console/find").status_code == 303


@pytest.mark.parametrize(
    ("name", "password"), [("ann", "wrong horse battery"), ("nobody", PASSWORD), ("dan", PASSWORD), ("", "")]
)
def test_wrong_log_in(visitor: Visitor, name: str, password: str) -> None:
    """A wrong password, an unknown name and a disabled user get the same answer."""
    visitor.get("/console/login")
    answer = visitor.post("/console/login", name=name, password=password)
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert password not in answer.text or not password


def test_cookie(visitor: Visitor) -> None:
    """The session's cookie is HttpOnly and SameSite, and Secure anywhere but on this machine."""
    said = visitor.log_in().headers.get_list("set-cookie")
    [session] = [one for one in said if one.startswith("defray_session=")]
    assert "HttpOnly" in session
    assert "SameSite=lax" in session
    assert "Secure" not in session
    elsewhere = visitor.client.get("http://billing.example/console/login")
    [visit] = elsewhere.headers.get_list("set-cookie")
    assert visit.startswith("__Host-defray_visit=")
    assert "Secure" in visit


def test_only_a_digest_is_kept(clerk: Visitor, books: Books) -> None:
    """The database cannot tell a session's token."""
    token = clerk.client.cookies["defray_session"]
    assert books.one("SELECT octet_length(token_hash) FROM sessions") == 32
    assert books.one("SELECT count(*) FROM sessions WHERE token_hash = CAST(:t AS bytea)", t=token.encode()) == 0


@pytest.mark.parametrize(("ahead", "ends"), [(sessions.IDLE * 0.9, False), (sessions.IDLE * 1.1, True)])
def test_idle(clerk: Visitor, books: Books, ahead: object, ends: bool) -> None:
    """A session that nobody uses ends after an hour."""
    books.do("UPDATE clock SET ahead = :ahead", ahead=ahead)
    assert clerk.get("/console/find").status_code == (303 if ends else 200)


def test_absolute_end(clerk: Visitor, books: Books) -> None:
    """A session ends after twelve hours, used or not."""
    for _ in range(14):
        books.do("UPDATE clock SET ahead = ahead + '50 minutes'")
        assert clerk.get("/console/find").status_code == 200
    books.do("UPDATE clock SET ahead = '12 hours 1 second'")
    assert clerk.get("/console/find").status_code == 303


def test_disabled_while_logged_in(clerk: Visitor, books: Books) -> None:
    """Who is disabled is out at once."""
    books.do("UPDATE users SET active = false WHERE name = 'ann'")
    assert clerk.get("/console/find").status_code == 303


def test_csrf(clerk: Visitor, new_visitor: Callable[[], Visitor]) -> None:
    """A write without the session's own token is refused: without one, with another session's, with the log-in's."""
    other = new_visitor()
    other.log_in("sue")
    other.get("/console/find")
    before = other.token()
    assert before
    for token in ("", before, "x" * 43):
        answer = clerk.client.post("/console/logout", data={"csrf_token": token}, follow_redirects=False)
        assert answer.status_code == 403
    clerk.get("/console/find")
    answer = clerk.client.post("/console/logout", headers={"X-CSRF-Token": clerk.token()}, follow_redirects=False)
    assert answer.status_code == 303


def test_log_in_has_a_token_too(visitor: Visitor) -> None:
    """Nobody is logged in by another site's form."""
    answer = visitor.client.post("/console/login", data={"name": "ann", "password": PASSWORD}, follow_redirects=False)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example/", "/console//evil", "/console/\\evil", "/other"]
)
def test_log_in_leads_nowhere_else(visitor: Visitor, wanted: str) -> None:
    """After the log-in one goes on in the console, whatever the address said."""
    assert visitor.log_in(next=wanted).headers["location"] == "/console/find"


def test_log_in_goes_on_where_one_was(visitor: Visitor) -> None:
    """Who followed a link while logged out gets there after the log-in."""
    form = visitor.get("/console/login?next=/console/customers/7")
    assert re.search(r'name="next" value="/console/customers/7"', form.text)
    assert visitor.log_in(next="/console/customers/7").headers["location"] == "/console/customers/7"


def test_throttled_by_name(visitor: Visitor, books: Books) -> None:
    """After ten failures of one name even its right password is not looked at, until a quarter of an hour passed."""
    visitor.get("/console/login")
    books.do(
        "INSERT INTO login_attempts (at, name, address)"
        " SELECT now(), 'ann', '192.0.2.' || n FROM generate_series(1, :n) AS n",
        n=guesses.A_NAME_FROM_STRANGERS,
    )
    refused = visitor.post("/console/login", name="ann", password=PASSWORD)
    assert refused.status_code == 429
    assert "Too many" in refused.text
    assert visitor.log_in("sue").status_code == 303
    books.do("UPDATE clock SET ahead = '16 minutes'")
    assert visitor.log_in("ann").status_code == 303
    assert books.one("SELECT count(*) FROM login_attempts") == 0


def test_throttled_by_address(visitor: Visitor, books: Books) -> None:
    """After thirty failures from one address nobody logs in from there, whatever the names were."""
    visitor.get("/console/login")
    books.do(
        "INSERT INTO login_attempts (at, name, address)"
        " SELECT now(), 'name ' || n, 'testclient' FROM generate_series(1, :n) AS n",
        n=guesses.FROM_ONE_SOURCE,
    )
    assert visitor.post("/console/login", name="ann", password=PASSWORD).status_code == 429


def test_failures_are_counted(visitor: Visitor, books: Books) -> None:
    """A failure stays in the table, so that a restart forgets none; a success takes its own away."""
    visitor.log_in("ann", "wrong horse battery")
    assert books.one("SELECT count(*) FROM login_attempts WHERE name = 'ann'") == 1
    visitor.log_in()
    assert books.one("SELECT count(*) FROM login_attempts") == 1


@pytest.mark.parametrize(
    ("name", "may"), [("ann", ["clerk"]), ("sue", ["clerk", "supervisor"]), ("ada", ["clerk", "supervisor", "admin"])]
)
def test_roles(settings: Settings, office_people: None, name: str, may: list[str]) -> None:
    """Each role may do what the ones before it may, and is refused the rest, reading or writing."""
    router = APIRouter()
    for role in Role:
        router.add_api_route(f"/{role}", lambda: "done", methods=["GET", "POST"], dependencies=[Depends(require(role))])
    app = create(settings)
    app.include_router(router)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        visitor = Visitor(client)
        visitor.log_in(name)
        for ask in (visitor.client.get, visitor.post):
            answers = {role.value: ask(f"/{role}").status_code for role in Role}
            assert answers == {role.value: 200 if role.value in may else 403 for role in Role}


def test_logged_in_is_recorded(clerk: Visitor, books: Books) -> None:
    """Who logged in when stands in the events."""
    assert books.one("SELECT by FROM events WHERE what = 'user.logged_in'") == "ann"


def test_htmx_is_sent_to_the_log_in(visitor: Visitor) -> None:
    """A part of a page whose session ended sends the whole page to the log-in."""
    answer = visitor.get("/console/find/results?q=x", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/console/login?next=/console/find/results")
