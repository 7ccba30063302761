"""Issue 6, keys in the console: made, shown once, listed without the secret, revoked; for admins alone; recorded."""

from __future__ import annotations

import hashlib
import logging
import re

import pytest
from playwright.sync_api import expect

from tests.web.browser import Desk, needs_chromium, no_violations
from tests.web.conftest import Books, Visitor

KEYS = "/console/keys"


@pytest.fixture
def admin(ada: Visitor) -> Visitor:
    """A browser in which Ada is logged in, at the page of all keys."""
    assert "None yet." in ada.get(KEYS).text
    return ada


def shown_secret(page: str) -> str:
    [secret] = re.findall(r"dfk_live_[A-Za-z0-9_-]{43}", page)
    return str(secret)


def made(admin: Visitor, name: str = "shop", **more: str) -> str:
    answer = admin.post(KEYS, name=name, **(more or {"scope_read": "yes"}))
    assert answer.status_code == 200, answer.text
    return shown_secret(answer.text)


def asks(visitor: Visitor, secret: str, path: str = "/v1/customers") -> int:
    """What an app is answered that comes with this secret, and no cookie."""
    kept = dict(visitor.client.cookies)
    visitor.client.cookies.clear()
    status = visitor.client.get(path, headers={"Authorization": f"Bearer {secret}"}).status_code
    visitor.client.cookies.update(kept)
    return status


def test_made_and_shown_once(admin: Visitor, books: Books, caplog: pytest.LogCaptureFixture) -> None:
    """A key opens the API at once; its secret is on the answering page alone: in no book, cookie, address or log."""
    with caplog.at_level(logging.DEBUG):
        answer = admin.post(KEYS, name="shop", scope_read="yes", scope_pay="yes")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    secret = shown_secret(answer.text)
    assert KEYS in caplog.text
    assert secret not in str(answer.headers) + str(answer.url) + str(dict(admin.client.cookies)) + caplog.text
    assert asks(admin, secret) == 200
    assert books.one("SELECT secret_hash FROM api_keys") == hashlib.sha256(secret.encode()).digest()
    assert secret not in books.one("SELECT CAST(k AS text) FROM api_keys k")
    assert books.one("SELECT count(*) FROM events WHERE CAST(events AS text) LIKE :s", s=f"%{secret}%") == 0
    assert books.one("SELECT by || ': ' || why FROM events WHERE what = 'api_key.created'") == "ada: shop: read, pay"
    assert secret not in admin.get(KEYS).text


def test_list(admin: Visitor, books: Books) -> None:
    """Name, how it begins, scopes, its only customer, who made it and when it was used."""
    customer = books.bill("C-7", {})
    secret = made(admin, "the shop & more", scope_read="yes", scope_refund="yes", customer=" C-7 ")
    page = admin.get(KEYS).text
    assert "<td>the shop &amp; more</td>" in page
    assert f"<code>{secret[:15]}…</code>" in page
    assert "<td>read, refund</td>" in page
    assert f'<a href="/console/customers/{customer}">C-7</a> only' in page
    assert "<small>by ada</small>" in page
    assert "<td>never</td>" in page
    assert asks(admin, secret, "/v1/customers/C-7") == 200
    assert "<td>never</td>" not in admin.get(KEYS).text


def test_revoked(admin: Visitor, books: Books) -> None:
    """A revoked key opens nothing from then on, stays in the list with who did it, and is not revoked twice."""
    secret = made(admin)
    assert "Revoke for good" in admin.get(KEYS).text
    assert asks(admin, secret) == 200
    assert admin.post(f"{KEYS}/revoke", name="shop").headers["location"] == KEYS
    assert asks(admin, secret) == 401
    page = admin.get(KEYS).text
    assert "The key shop opens nothing any more." in page
    assert page.count("<small>by ada</small>") == 2
    assert "Revoke for good" not in page
    assert books.one("SELECT by || ': ' || why FROM events WHERE what = 'api_key.revoked'") == "ada: shop"
    assert admin.post(f"{KEYS}/revoke", name="shop").status_code == 409
    assert admin.post(f"{KEYS}/revoke", name="nobody").status_code == 404
    assert admin.post(f"{KEYS}/revoke").status_code == 404


@pytest.mark.parametrize(
    ("entered", "field", "said"),
    [
        ({"name": ""}, "name", "Missing"),
        ({"name": "   "}, "name", "Blank"),
        ({"name": "x" * 101}, "name", "Too long"),
        ({"name": "4111 1111 1111 1111"}, "name", "Looks like a card number"),
        ({"scope_read": ""}, "scopes", "Tick at least one"),
        ({"scope_all": "yes"}, "scopes", "Take some of read, pay, void, refund, admin"),
        ({"customer": "C-9"}, "customer", "No such customer"),
        ({"customer": "4111111111111111"}, "customer", "No such customer"),
    ],
)
def test_refused(admin: Visitor, books: Books, entered: dict[str, str], field: str, said: str) -> None:
    """A wrong name, scope or customer is said beside its field; nothing is made, and the rest is still filled in."""
    wanted = {"name": "shop", "scope_read": "yes", **entered}
    if not wanted["scope_read"]:
        del wanted["scope_read"]
    answer = admin.post(KEYS, **wanted)
    assert answer.status_code == 422
    [fault] = re.findall(rf'id="{field}-fault">([^<]*)<', answer.text)
    assert said in fault
    assert not re.search(r"4111 ?1111", answer.text)
    assert "dfk_live_" not in answer.text
    assert ('name="scope_read" value="yes" checked' in answer.text) == ("scope_read" in wanted)
    assert books.one("SELECT count(*) FROM api_keys") == 0


def test_all_faults_at_once(admin: Visitor) -> None:
    """Whatever is wrong is said at once, not one after the other."""
    page = admin.post(KEYS, name="", customer="C" * 101).text
    assert all(f'id="{field}-fault"' in page for field in ("name", "scopes", "customer"))


def test_a_name_is_taken_for_good(admin: Visitor) -> None:
    """Events name keys, so a name is one key's for good, a revoked one's, too."""
    made(admin)
    admin.post(f"{KEYS}/revoke", name="shop")
    again = admin.post(KEYS, name="shop", scope_read="yes")
    assert again.status_code == 422
    assert "A key has it already. Choose another name." in again.text


@pytest.mark.parametrize("name", ["ann", "sue"])
def test_for_admins_alone(visitor: Visitor, books: Books, name: str) -> None:
    """A clerk and a supervisor see no link to it, and are refused."""
    visitor.log_in(name)
    assert KEYS not in visitor.get("/console/find").text
    assert visitor.get(KEYS).status_code == 403
    visitor.get("/console/find")
    assert visitor.post(KEYS, name="shop", scope_admin="yes").status_code == 403
    assert visitor.post(f"{KEYS}/revoke", name="shop").status_code == 403
    assert books.one("SELECT count(*) FROM api_keys") == 0


@needs_chromium
def test_by_keyboard_and_reader(desk: Desk) -> None:
    """A fault and the secret have the focus when they are shown; revoking takes two presses, and axe finds nothing."""
    page = desk.log_in("ada")
    page.get_by_role("link", name="Keys").click()
    page.get_by_label("Name of the app").fill("till")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    no_violations(page)
    page.get_by_label("read: look at everything").check()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("heading", name="The key of till")).to_be_focused()
    expect(page.locator("#secret")).to_have_text(re.compile(r"^dfk_live_\S{43}$"))
    no_violations(page)
    for_good = page.get_by_role("button", name="Revoke till for good")
    expect(for_good).to_be_hidden()
    page.locator("summary[aria-label='Revoke till']").click()  # other stories make keys, too
    expect(for_good).to_be_visible()
    no_violations(page)
    for_good.click()
    expect(page.get_by_text("The key till opens nothing any more.")).to_be_visible()
    expect(page.locator("#secret")).to_have_count(0)
