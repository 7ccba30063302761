"""Issue 4: two-factor log-in: set up, asked for, each code once, turned off, reset; the secret stands nowhere."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from starlette.testclient import TestClient

from books import clock, people
from settings import Settings
from tests.web.conftest import PASSWORD, Books, Visitor
from web.app import served

STEP = timedelta(seconds=30)
SECRET = re.compile(r'class="secret">([A-Z2-7 ]+)<')


def secret_on(page: str) -> str:
    found = SECRET.search(page)
    assert found
    return found[1].replace(" ", "")


def code(books: Books, secret: str, steps: int = 0) -> str:
    """The code that an authenticator shows, so many steps ahead of the database's clock."""
    with books.engine.begin() as conn:
        now = clock.now(conn)
    return pyotp.TOTP(secret).at(now + steps * STEP)


def offer(visitor: Visitor, password: str = PASSWORD) -> str:
    """Ask for the picture on one's own page; the page."""
    visitor.get("/console/me")
    visitor.seen = visitor.post("/console/me/two-factor", password_on=password)
    return visitor.seen.text


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found
    return found[1]


def enrol(visitor: Visitor, books: Books) -> str:
    """Set it up; the secret. A minute later, so that the code which was used by it is over."""
    page = offer(visitor)
    secret = secret_on(page)
    sealed = hidden(page, "offer")
    assert visitor.post("/console/me/two-factor/on", offer=sealed, code=code(books, secret)).status_code == 303
    books.do("UPDATE clock SET ahead = '1 minute'")
    return secret


@pytest.fixture
def enrolled(clerk: Visitor, books: Books) -> str:
    """Ann's secret; she is logged in where she set it up."""
    return enrol(clerk, books)


def begin(visitor: Visitor, name: str = "ann") -> str:
    """The right password in a browser: the page of the second step."""
    visitor.get("/console/login")
    visitor.seen = visitor.post("/console/login", name=name, password=PASSWORD)
    assert visitor.seen.status_code == 200
    return visitor.seen.text


def test_set_up(clerk: Visitor, books: Books) -> None:
    """It is set up by the password and one right code; before that nothing is asked for, and after it a code is."""
    page = offer(clerk)
    assert "<svg" in page
    assert "style=" not in page
    assert not books.one("SELECT two_factor_step IS NOT NULL FROM users WHERE name = 'ann'")
    secret, sealed = secret_on(page), hidden(page, "offer")
    wrong = clerk.post("/console/me/two-factor/on", offer=sealed, code="000000")
    assert wrong.status_code == 422
    assert secret_on(wrong.text) == secret
    assert not books.one("SELECT two_factor_step IS NOT NULL FROM users WHERE name = 'ann'")
    assert clerk.post("/console/me/two-factor/on", offer=sealed, code=code(books, secret)).status_code == 303
    assert "It is on" in clerk.get("/console/me").text
    assert books.one("SELECT by FROM events WHERE what = 'user.two_factor_on'") == "ann"


def test_set_up_asks_for_the_password(clerk: Visitor) -> None:
    """Who found a browser that was left open cannot set it up with a phone of their own."""
    assert not SECRET.search(offer(clerk, "not her password"))


def test_only_an_offer_of_ours(clerk: Visitor, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """Neither a secret of somebody's choice nor an offer to another session is taken up."""
    sue = new_visitor()
    sue.log_in("sue")
    theirs = offer(sue)
    clerk.get("/console/me")
    for sealed in (hidden(theirs, "offer"), "kek-1.AAAA", "", "JBSWY3DPEHPK3PXP", "kek.\N{SNOWMAN}"):
        answer = clerk.post("/console/me/two-factor/on", offer=sealed, code=code(books, secret_on(theirs)))
        assert answer.status_code == 422
        assert "out of date" in answer.text
    assert not books.one("SELECT bool_or(two_factor_step IS NOT NULL) FROM users")


def test_the_secret_is_sealed(
    enrolled: str, books: Books, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The secret is in no column, event, repr or log line as it is."""
    with caplog.at_level(logging.DEBUG):
        sealed = bytes(books.one("SELECT two_factor_sealed FROM users WHERE name = 'ann'"))
        with books.engine.begin() as conn:
            known = people.named(conn, "ann")
    assert enrolled.encode() not in sealed
    assert "sealed" not in repr(known)
    assert "password_hash" not in repr(known)
    assert books.one("SELECT count(*) FROM events e WHERE e::text LIKE :s", s=f"%{enrolled}%") == 0
    assert enrolled not in caplog.text


def test_log_in(enrolled: str, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """After the password a code is asked for; with it one goes on where one was, under another token."""
    browser = new_visitor()
    browser.get("/console/login")
    browser.seen = browser.post("/console/login", name="ann", password=PASSWORD, next="/console/customers/7")
    before = browser.client.cookies["defray_session"]
    answer = browser.post("/console/login/code", code=code(books, enrolled), next=hidden(browser.seen.text, "next"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/customers/7")
    assert browser.client.cookies["defray_session"] != before
    assert browser.get("/console/find").status_code == 200
    assert browser.get("/console/login/code").headers["location"] == "/console/find"
    stale = new_visitor()
    stale.client.cookies.set("defray_session", before)
    assert stale.get("/console/find").headers["location"].startswith("/console/login?")
    assert books.one("SELECT logged_in_at IS NOT NULL FROM users WHERE name = 'ann'")


def test_the_password_alone_opens_nothing(enrolled: str, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """Before the code such a session has that one page and the log-out, nothing else, for a quarter of an hour."""
    browser = new_visitor()
    begin(browser)
    for path in ("/console/find", "/console/me", "/console/users", "/console/customers/1"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/login/code")
    assert browser.get("/console/find", headers={"Accept": "application/json"}).status_code == 401
    part = browser.get("/console/find/results?q=x", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/console/login/code")
    browser.get("/console/login/code")
    for path in ("/console/me/password", "/console/me/sessions/end", "/console/me/two-factor"):
        assert browser.post(path).headers["location"] == "/console/login/code"
    assert browser.post("/v1/cards", number="4111111111111111").status_code == 401
    assert books.one("SELECT count(*) FROM events WHERE what = 'user.logged_in' AND by = 'ann'") == 1
    token = browser.client.cookies["defray_session"]
    assert browser.post("/console/logout").status_code == 303
    browser.client.cookies.set("defray_session", token)
    assert browser.get("/console/login/code").headers["location"].startswith("/console/login?")
    begin(browser)
    books.do("UPDATE clock SET ahead = '16 minutes'")
    assert browser.get("/console/login/code").headers["location"].startswith("/console/login?")


def test_a_form_is_carried_through_both_steps(enrolled: str, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """A form that was saved after its session had ended is shown again after the code; nothing is saved by it."""
    browser = new_visitor()
    answer = browser.client.post("/console/customers/7/payment", data={"amount": "12.50", "notes": "by <hand>"})
    browser.seen = answer
    kept = {
        "kept_address": "/console/customers/7/payment",
        "kept_field_amount": "12.50",
        "kept_field_notes": "by <hand>",
    }
    assert hidden(answer.text, "kept_field_amount") == "12.50"
    browser.seen = browser.post("/console/login", name="ann", password=PASSWORD, **kept)
    assert hidden(browser.seen.text, "kept_field_notes") == "by &lt;hand&gt;"
    wrong = browser.post("/console/login/code", code="000000", **kept)
    assert hidden(wrong.text, "kept_address") == kept["kept_address"]
    done = browser.post("/console/login/code", code=code(books, enrolled), **kept)
    assert "You are logged in again" in done.text
    assert hidden(done.text, "amount") == "12.50"
    assert browser.get("/console/find").status_code == 200
    assert books.one("SELECT count(*) FROM payments") == 0


def test_each_code_once(enrolled: str, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """A code that was taken is taken no more, and none from before it."""
    first, second = new_visitor(), new_visitor()
    begin(first)
    begin(second)
    now, before = code(books, enrolled), code(books, enrolled, -1)
    assert first.post("/console/login/code", code=now).status_code == 303
    for used in (now, before):
        answer = second.post("/console/login/code", code=used)
        assert answer.status_code == 401
        assert "used before" in answer.text
    assert second.post("/console/login/code", code=code(books, enrolled, 1)).status_code == 303


def test_wrong_codes_are_counted(enrolled: str, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """After five wrong codes even the right one is not looked at, from whatever browser, for a quarter of an hour."""
    for _ in range(5):
        browser = new_visitor()
        begin(browser)
        assert browser.post("/console/login/code", code="000000").status_code == 401
    begin(browser)
    answer = browser.post("/console/login/code", code=code(books, enrolled))
    assert answer.status_code == 429
    assert books.one("SELECT count(*) FROM events WHERE what = 'user.code_wrong' AND by = 'ann'") == 5
    books.do("UPDATE clock SET ahead = '16 minutes'")
    begin(browser)
    assert browser.post("/console/login/code", code=code(books, enrolled)).status_code == 303


def test_turn_off(enrolled: str, clerk: Visitor, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """It is turned off by the password and a code, both."""
    clerk.get("/console/me")
    for password, given in ((PASSWORD, "000000"), ("not her password", code(books, enrolled))):
        answer = clerk.post("/console/me/two-factor/off", password_off=password, code=given)
        assert answer.status_code == 422
    answer = clerk.post("/console/me/two-factor/off", password_off=PASSWORD, code=code(books, enrolled))
    assert answer.status_code == 303
    assert books.one("SELECT two_factor_sealed IS NULL AND two_factor_key_id IS NULL FROM users WHERE name = 'ann'")
    assert new_visitor().log_in().status_code == 303


def test_reset(enrolled: str, clerk: Visitor, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """An admin resets it for a lost phone; that is recorded, and ends where one was logged in."""
    ada = new_visitor()
    ada.log_in("ada")
    ada.get("/console/users/ann")
    assert ada.post("/console/users/ann/reset-two-factor").status_code == 303
    assert clerk.get("/console/find").status_code == 303
    assert new_visitor().log_in().status_code == 303
    assert books.one("SELECT by || ': ' || why FROM events WHERE what = 'user.two_factor_off'") == "ada: ann"


@pytest.fixture
def strict(settings: Settings, office_people: None) -> Iterator[Visitor]:
    """A browser at a server where supervisors must have it."""
    told = replace(settings, web_two_factor_roles=("supervisor",))
    with TestClient(served(told), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield Visitor(client)


def test_role_that_must(strict: Visitor, books: Books) -> None:
    """A role that must have it sets it up at the next log-in, before anything else; others log in as ever."""
    page = begin(strict, "sue")
    secret, sealed = secret_on(page), hidden(page, "offer")
    assert strict.get("/console/find").headers["location"] == "/console/login/code"
    page = strict.get("/console/login/code").text
    assert secret_on(page) != secret
    refused = strict.post("/console/login/code", offer=sealed, code="000000")
    assert refused.status_code == 401
    assert secret_on(refused.text) == secret
    assert strict.post("/console/login/code", offer=sealed, code=code(books, secret)).status_code == 303
    assert strict.get("/console/me").status_code == 200
    off = strict.post("/console/me/two-factor/off", password_off=PASSWORD, code=code(books, secret, 1))
    assert off.status_code == 409
    assert strict.post("/console/logout").status_code == 303
    assert not SECRET.search(begin(strict, "sue"))
    assert strict.post("/console/login/code", code=code(books, secret, 1)).status_code == 303


def test_others_log_in_as_ever(strict: Visitor) -> None:
    """Where supervisors must have it, a clerk needs none."""
    assert strict.log_in("ann").status_code == 303


def test_a_lost_key_file(enrolled: str, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """Where the vault's key is gone no code is right, and the page says who can help."""
    books.do("UPDATE users SET two_factor_key_id = 'kek-gone' WHERE name = 'ann'")
    browser = new_visitor()
    begin(browser)
    answer = browser.post("/console/login/code", code=code(books, enrolled))
    assert answer.status_code == 401
    assert "Let an admin reset" in answer.text
