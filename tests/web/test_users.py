"""Issue 4, people: who may log in, as what, up to which amounts; for admins alone, and recorded."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.web.conftest import PASSWORD, Books, Visitor


@pytest.fixture
def admin(visitor: Visitor) -> Visitor:
    """A browser in which Ada is logged in, at the page of all people."""
    assert visitor.log_in("ada").status_code == 303
    visitor.get("/console/users")
    return visitor


def shown_password(page: str) -> str:
    found = re.search(r'id="password">([a-z0-9-]{19})<', page)
    assert found
    return found[1]


def test_list(admin: Visitor) -> None:
    """Everybody is there, with role, limits, second factor, and when they logged in last."""
    page = admin.get("/console/users").text
    for name in ("ada", "ann", "dan", "sue"):
        assert f'href="/console/users/{name}"' in page
    assert "never" in page
    assert "no limit" in page
    assert PASSWORD not in page


def test_add(admin: Visitor, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """Somebody new has a drawn password, shown once, and logs in with it; who added them is recorded."""
    answer = admin.post("/console/users", name="Zoe", role="supervisor", void_limit="100.00", refund_limit="")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    password = shown_password(answer.text)
    assert books.one("SELECT void_limit_minor FROM users WHERE name = 'zoe'") == 10_000
    assert books.one("SELECT refund_limit_minor FROM users WHERE name = 'zoe'") is None
    assert books.one("SELECT by FROM events WHERE what = 'user.added' ORDER BY id DESC LIMIT 1") == "ada"
    assert new_visitor().log_in("zoe", password).status_code == 303
    again = admin.post("/console/users", name="zoe", role="clerk")
    assert again.status_code == 422
    assert "Taken already" in again.text
    assert password not in admin.get("/console/users").text
    assert books.one("SELECT count(*) FROM events WHERE why LIKE :p", p=f"%{password}%") == 0


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "no blanks here", "not a user name"),
        ("role", "owner", "not a role"),
        ("void_limit", "-5", "not an amount"),
        ("refund_limit", "1.005", "more decimal places"),
    ],
)
def test_what_is_refused(admin: Visitor, books: Books, field: str, value: str, said: str) -> None:
    """A wrong name, role or limit is said beside its field; nobody is added, and what was typed is still there."""
    entered = {"name": "zoe", "role": "clerk", "void_limit": "1", "refund_limit": "2", field: value}
    answer = admin.post("/console/users", **entered)
    assert answer.status_code == 422
    assert f'id="{field}-fault"' in answer.text
    assert said in answer.text
    assert books.one("SELECT count(*) FROM users") == 4


def test_role_and_limits(admin: Visitor, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """Another role holds from the next click, and a limit of 0 means that a second person approves all."""
    sue = new_visitor()
    sue.log_in("sue")
    assert sue.get("/console/users").status_code == 403
    page = admin.get("/console/users/sue").text
    assert '<option value="supervisor" selected>' in page
    assert admin.post("/console/users/sue", role="admin", void_limit="0", refund_limit="25").status_code == 303
    assert books.one("SELECT void_limit_minor FROM users WHERE name = 'sue'") == 0
    assert 'value="25.00"' in admin.get("/console/users/sue").text
    assert sue.get("/console/users").status_code == 200
    assert books.one("SELECT by || ': ' || why FROM events WHERE what = 'user.appointed'") == "ada: sue, admin"


def test_new_password(admin: Visitor, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """A new password ends where somebody is logged in; the old one is worth nothing."""
    ann = new_visitor()
    ann.log_in()
    admin.get("/console/users/ann")
    password = shown_password(admin.post("/console/users/ann/password").text)
    assert ann.get("/console/find").status_code == 303
    assert ann.log_in().status_code == 401
    assert ann.log_in(password=password).status_code == 303
    assert books.one("SELECT by FROM events WHERE what = 'user.password_set'") == "ada"


def test_out_and_in_again(admin: Visitor, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """Who is let in no more is out at once; let in again they log in as before."""
    ann = new_visitor()
    ann.log_in()
    admin.get("/console/users/ann")
    assert admin.post("/console/users/ann/disable").status_code == 303
    assert ann.get("/console/find").status_code == 303
    assert ann.log_in().status_code == 401
    assert admin.post("/console/users/ann/enable").status_code == 303
    assert ann.log_in().status_code == 303
    assert books.one("SELECT count(*) FROM events WHERE what IN ('user.disabled', 'user.enabled') AND by = 'ada'") == 2


def test_not_oneself(admin: Visitor, books: Books) -> None:
    """An admin cannot shut themselves out, demote themselves, or get round their own password and second factor."""
    for path in ("disable", "password", "reset-two-factor"):
        assert admin.post(f"/console/users/ada/{path}").status_code == 409
    assert admin.post("/console/users/ada", role="clerk").status_code == 409
    assert books.one("SELECT role || active FROM users WHERE name = 'ada'") == "admintrue"


def test_nobody(admin: Visitor) -> None:
    """An unknown name is answered with so."""
    assert admin.get("/console/users/nobody").status_code == 404
    assert admin.post("/console/users/nobody", role="clerk").status_code == 404
    for path in ("disable", "enable", "password", "reset-two-factor"):
        assert admin.post(f"/console/users/nobody/{path}").status_code == 404


@pytest.mark.parametrize("name", ["ann", "sue"])
def test_for_admins_alone(visitor: Visitor, name: str) -> None:
    """A clerk and a supervisor see no link to it, and are refused."""
    visitor.log_in(name)
    assert "/console/users" not in visitor.get("/console/find").text
    assert visitor.get("/console/users").status_code == 403
    visitor.get("/console/find")
    assert visitor.post("/console/users", name="zoe", role="admin").status_code == 403
    assert visitor.post(f"/console/users/{name}", role="admin").status_code == 403


# ---- one's own page -------------------------------------------------------------------------------------------------

NEW = "a wholly other one"


def change(visitor: Visitor, present: str = PASSWORD, password: str = NEW, again: str = NEW) -> int:
    visitor.get("/console/me")
    answer = visitor.post("/console/me/password", present=present, password=password, again=again)
    assert password not in answer.text
    return answer.status_code


def test_own_password(clerk: Visitor, new_visitor: Callable[[], Visitor], books: Books) -> None:
    """One's own password is changed by the present one, and ends where else one is logged in."""
    other = new_visitor()
    other.log_in()
    assert change(clerk) == 303
    assert clerk.get("/console/me").status_code == 200
    assert other.get("/console/me").status_code == 303
    assert other.log_in().status_code == 401
    assert other.log_in(password=NEW).status_code == 303
    assert books.one("SELECT by || ': ' || why FROM events WHERE what = 'user.password_set'") == "ann: ann"


@pytest.mark.parametrize(
    "wrong", [{"present": "not the present"}, {"password": "short", "again": "short"}, {"again": "another"}]
)
def test_own_password_refused(clerk: Visitor, books: Books, wrong: dict[str, str]) -> None:
    """A wrong present password, a short new one, two that differ: nothing changes."""
    before = books.one("SELECT password_hash FROM users WHERE name = 'ann'")
    assert change(clerk, **wrong) == 422
    assert books.one("SELECT password_hash FROM users WHERE name = 'ann'") == before


def test_own_password_is_not_guessed(clerk: Visitor, books: Books) -> None:
    """Who found a browser that was left open cannot try passwords there for ever."""
    for _ in range(5):
        assert change(clerk, present="a guess at it") == 422
    assert change(clerk) == 422
    books.do("UPDATE clock SET ahead = '16 minutes'")
    assert change(clerk) == 303


def test_where_one_is_logged_in(clerk: Visitor, new_visitor: Callable[[], Visitor]) -> None:
    """All places are there, and all but this one are ended by one button."""
    other = new_visitor()
    other.log_in()
    assert clerk.get("/console/me").text.count("elsewhere</td>") == 1
    assert clerk.post("/console/me/sessions/end").status_code == 303
    assert "elsewhere</td>" not in clerk.get("/console/me").text
    assert other.get("/console/me").status_code == 303
