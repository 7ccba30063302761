"""Issue 4: log-in, sessions, roles, CSRF tokens, throttling."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable

import pytest
from fastapi import APIRouter, Depends
from starlette.testclient import TestClient

from books import guesses, sessions
from rules.people import Role
from settings import Settings
from tests.web.conftest import PASSWORD, Books, Visitor
from web.app import create, served
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
    """On this machine the session's cookie is HttpOnly and SameSite."""
    said = visitor.log_in().headers.get_list("set-cookie")
    [session] = [one for one in said if one.startswith("defray_session=")]
    assert "HttpOnly" in session
    assert "SameSite=lax" in session
    assert "Secure" not in session
    assert "Max-Age" not in session


@pytest.mark.parametrize("base_url", ["https://billing.example", "https://127.0.0.1", "http://billing.example"])
def test_cookies_elsewhere(settings: Settings, office_people: None, base_url: str) -> None:
    """Anywhere but on this machine every cookie that counts is bound to TLS and to this very host."""
    with TestClient(served(settings), base_url=base_url) as client:
        visitor = Visitor(client)
        visitor.get("/console/login")
        assert visitor.seen
        said = visitor.seen.headers.get_list("set-cookie")
        if base_url.startswith("https"):
            said += visitor.post("/console/login", name="ann", password=PASSWORD).headers.get_list("set-cookie")
            assert any(one.startswith("__Host-defray_session=") for one in said)
            assert any(one.startswith("__Host-defray_device_") for one in said)
            assert visitor.get("/console/find").status_code == 200
    assert said
    for one in said:
        assert one.startswith("__Host-")
        for attribute in ("; Secure", "; HttpOnly", "; SameSite=lax", "; Path=/"):
            assert attribute in one
        assert "Domain=" not in one


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
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/console//evil",
        "/console/\\evil",
        "/console/../..//evil.example",
        "/console/../other",
        "/console/%2e%2e//evil.example",
        "/console/%0d%0aSet-Cookie:x=y",
        "/console/\r\nSet-Cookie: x=y",
        "/console/\tx",
        "/console@evil.example",
        "javascript:alert(1)",
        "/other",
        "console/find",
    ],
)
def test_log_in_leads_nowhere_else(visitor: Visitor, wanted: str) -> None:
    """After the log-in one goes on in the console, whatever the address said."""
    assert visitor.log_in(next=wanted).headers["location"] == "/console/find"


def test_log_in_goes_on_where_one_was(visitor: Visitor) -> None:
    """Who followed a link while logged out gets there after the log-in."""
    form = visitor.get("/console/login?next=/console/customers/7")
    assert re.search(r'name="next" value="/console/customers/7"', form.text)
    assert visitor.log_in(next="/console/customers/7").headers["location"] == "/console/customers/7"


def failures(books: Books, name: str, sources: str, times: int) -> None:
    """Log-ins of that name that failed just now; `sources` is SQL over n."""
    books.do(
        "INSERT INTO login_attempts (at, name, address)"
        f" SELECT now(), :name, {sources} FROM generate_series(1, :n) AS n",
        name=name,
        n=times,
    )


def test_throttled_by_name_and_address(visitor: Visitor, books: Books) -> None:
    """After ten failures of a name from one address its right password is not looked at there, for 15 minutes."""
    visitor.get("/console/login")
    failures(books, "ann", "'testclient'", guesses.A_NAME_FROM_ONE_SOURCE)
    refused = visitor.post("/console/login", name="ann", password=PASSWORD)
    assert refused.status_code == 429
    assert "Too many" in refused.text
    assert books.one("SELECT count(*) FROM login_attempts") == guesses.A_NAME_FROM_ONE_SOURCE
    assert visitor.log_in("sue").status_code == 303
    books.do("UPDATE clock SET ahead = '16 minutes'")
    assert visitor.log_in("ann").status_code == 303
    assert books.one("SELECT count(*) FROM login_attempts") == 0


def test_nobody_is_locked_out_by_strangers(visitor: Visitor, books: Books) -> None:
    """Guesses from elsewhere, short of a hundred, keep nobody out who comes from another address."""
    failures(books, "ann", "'192.0.2.' || n % 9", guesses.A_NAME_FROM_STRANGERS - 1)
    assert visitor.log_in("ann").status_code == 303


def test_a_browser_that_is_known(clerk: Visitor, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """Guesses from everywhere close a name to strangers; a browser from which it logged in before is let through."""
    clerk.post("/console/logout")
    failures(books, "ann", "'192.0.2.' || n", guesses.A_NAME_FROM_STRANGERS + 1)
    failures(books, "sue", "'testclient'", guesses.FROM_ONE_SOURCE)
    assert new_visitor().log_in("ann").status_code == 429
    assert clerk.log_in("ann").status_code == 303
    clerk.post("/console/logout")
    for _ in range(guesses.A_NAME_FROM_ONE_SOURCE):
        assert clerk.log_in("ann", "a guess at it").status_code == 401
    assert clerk.log_in("ann").status_code == 429


def test_a_browser_is_known_for_its_names_only(
    clerk: Visitor, new_visitor: Callable[[], Visitor], books: Books
) -> None:
    """The mark of one name is worth nothing for another, nor is one that was made up."""
    marks = {name: value for name, value in clerk.client.cookies.items() if name.startswith("defray_device_")}
    [(name, mark)] = marks.items()
    assert "ann" not in name + mark
    failures(books, "sue", "'192.0.2.' || n", guesses.A_NAME_FROM_STRANGERS)
    for_sue = f"defray_device_{hashlib.sha256(b'sue').hexdigest()[:16]}"
    for made_up in (mark, "x", "kek.AAAA", mark[:-4] + "AAA="):
        other = new_visitor()
        other.client.cookies.set(for_sue, made_up)
        assert other.log_in("sue").status_code == 429


def test_throttled_by_address(visitor: Visitor, books: Books) -> None:
    """After thirty failures from one address nobody logs in from there, whatever the names were."""
    visitor.get("/console/login")
    for place in range(guesses.FROM_ONE_SOURCE):
        failures(books, f"name-{place}", "'testclient'", 1)
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


def test_logged_in_and_out_is_recorded(clerk: Visitor, books: Books) -> None:
    """Who logged in and out when stands in the events."""
    assert books.one("SELECT by FROM events WHERE what = 'user.logged_in'") == "ann"
    assert books.one("SELECT count(*) FROM events WHERE what = 'user.logged_out'") == 0
    clerk.post("/console/logout")
    assert books.one("SELECT by FROM events WHERE what = 'user.logged_out'") == "ann"


def test_failed_log_ins_are_logged(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    """A failed log-in is a line of the log: whose, from where; neither a password nor what was typed for a name."""
    with caplog.at_level(logging.WARNING):
        visitor.log_in("ann", "wrong horse battery")
        visitor.log_in("hunter2hunter2", "wrong horse battery")
    said = [one.getMessage() for one in caplog.records if one.name == "web.console.login"]
    assert said == ["log-in failed: ann, from testclient", "log-in failed: nobody we know, from testclient"]
    assert "hunter2" not in caplog.text
    assert "wrong horse" not in caplog.text


def test_htmx_is_sent_to_the_log_in(visitor: Visitor) -> None:
    """A part of a page whose session ended sends the whole page to the log-in."""
    answer = visitor.get("/console/find/results?q=x", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/console/login?next=/console/find/results")
