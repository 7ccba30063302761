"""Issue 4: log-out in the middle. What was entered is carried over the log-in, and nothing is saved by itself."""

from __future__ import annotations

import html
import re

import pytest

from tests.web.conftest import Books, Visitor
from web import resume

VISA = "4111111111111111"
TYPED = {"method": "check", "number": "1007", "amount": "7.77", "post_date": "2026-03-31", "notes": 'two\r\nlines "<b>'}


def hidden(page: str) -> dict[str, str]:
    """The hidden inputs of a page's main part, as a browser would send them."""
    main = page[page.index("<main") :]
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', main)
    return {html.unescape(name): html.unescape(value) for name, value in found}


def ended(clerk: Visitor, books: Books) -> str:
    """The address of a payment window that was opened before the session ended."""
    customer = books.bill("C-1", {"A-1": 1000})
    address = clerk.get(f"/console/customers/{customer}/payment").headers["location"]
    clerk.get(address)
    books.do("DELETE FROM sessions")
    return address.partition("?")[0]


def carried(clerk: Visitor, books: Books, **more: str) -> tuple[str, dict[str, str]]:
    """Save after the session ended: the window's address, and what the log-in form says then."""
    address = ended(clerk, books)
    assert clerk.seen is not None
    key = hidden(clerk.seen.text)["idempotency_key"]
    answer = clerk.post(address, **TYPED, idempotency_key=key, currency="USD", **more)
    assert answer.status_code == 401
    assert "your entries were not saved, and are not lost" in answer.text
    clerk.seen = answer
    return address, hidden(answer.text)


@pytest.mark.parametrize("who", ["ann", "sue"])
def test_nothing_is_lost(clerk: Visitor, books: Books, who: str) -> None:
    """Saved after the session ended, a form is carried over the log-in and shown again; only Save saves it (R15)."""
    address, fields = carried(clerk, books)
    again = clerk.client.post(
        "/console/login", data={**fields, "name": who, "password": "correct horse battery"}, follow_redirects=False
    )
    assert again.status_code == 200
    assert "Your entries were not saved yet" in again.text
    assert books.one("SELECT count(*) FROM payments") == 0
    window = clerk.client.post(address, data={**hidden(again.text), "do": "preview"}, follow_redirects=False)
    assert window.status_code == 200
    shown = html.unescape(window.text)
    for typed in ("1007", "7.77", "2026-03-31"):
        assert f'value="{typed}"' in shown
    assert 'two\r\nlines "<b>' in shown
    assert books.one("SELECT count(*) FROM payments") == 0
    fields = hidden(window.text)
    saved = clerk.client.post(address, data={**TYPED, **fields}, follow_redirects=False)
    assert saved.status_code == 303
    assert books.one("SELECT recorded_by || total_minor FROM payments") == f"{who}777"


def test_a_wrong_password_loses_nothing(clerk: Visitor, books: Books) -> None:
    """A slip at the log-in keeps the entries, too."""
    _, fields = carried(clerk, books)
    data = {**fields, "name": "ann", "password": "no"}
    refused = clerk.client.post("/console/login", data=data, follow_redirects=False)
    assert refused.status_code == 401
    assert {**hidden(refused.text), "csrf_token": ""} == {**fields, "csrf_token": ""}


def test_what_is_never_carried(clerk: Visitor, books: Books) -> None:
    """C1: neither a card's number, wherever it was typed, nor a token of the ended session or a password."""
    _, fields = carried(clerk, books, customer_note=VISA, password="hunter22", do="preview", **{VISA: "x"})
    carried_names = {name.removeprefix("kept_field_") for name in fields}
    assert {"amount", "notes", "number", "idempotency_key"} <= carried_names
    assert not carried_names & {"password", "do", "customer_note", VISA}
    assert "kept_field_csrf_token" not in fields


def test_while_typing(clerk: Visitor, books: Books) -> None:
    """The preview of an ended session says so in its place, and leaves the form as it is."""
    address = ended(clerk, books)
    part = clerk.client.post(address, data={**TYPED, "do": "preview"}, headers={"HX-Request": "true"})
    assert part.status_code == 422
    assert "HX-Redirect" not in part.headers
    assert "not lost" in part.text


@pytest.mark.parametrize(("site", "again"), [("same-origin", True), ("cross-site", False), ("", False)])
def test_logged_in_again_elsewhere(clerk: Visitor, books: Books, site: str, again: bool) -> None:
    """A form of the session before, saved after a log-in in another tab, is shown again; another site's never is."""
    address = ended(clerk, books)
    old = clerk.token()
    clerk.log_in("sue")
    headers = {"Sec-Fetch-Site": site} if site else {}
    answer = clerk.client.post(address, data={**TYPED, "csrf_token": old}, headers=headers, follow_redirects=False)
    assert answer.status_code == 403
    assert ("Your entries were not saved yet" in answer.text) == again
    assert ("7.77" in answer.text) == again
    if again:
        window = clerk.client.post(address, data={**hidden(answer.text), "do": "preview"}, follow_redirects=False)
        assert 'value="7.77"' in window.text
    assert books.one("SELECT count(*) FROM payments") == 0


@pytest.mark.parametrize(
    ("path", "headers", "amount"),
    [
        ("/console/customers/1/payment", {"Sec-Fetch-Site": "cross-site"}, "1"),
        ("/console/payments/1/void", {}, "1"),
        ("/console/customers/1/payment", {}, "1" * (resume.LETTERS_MAX + 1)),
    ],
)
def test_what_is_not_carried_at_all(visitor: Visitor, path: str, headers: dict[str, str], amount: str) -> None:
    """What another site filled in, what would act instead of being shown, and what is too large lead to the log-in."""
    answer = visitor.client.post(path, data={"amount": amount}, headers=headers, follow_redirects=False)
    assert answer.status_code in (303, 404)
    assert "kept_field" not in answer.text


def test_nothing_is_carried_to_elsewhere(visitor: Visitor) -> None:
    """A log-in form shows entries in a window of ours alone, whatever address it carries."""
    visitor.get("/console/login")
    answer = visitor.post(
        "/console/login",
        name="ann",
        password="correct horse battery",
        kept_address="https://evil.example/console/customers/1/payment",
        kept_field_amount="1",
    )
    assert answer.headers["location"] == "/console/find"
