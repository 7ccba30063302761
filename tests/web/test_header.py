"""The top of every page: what waits for a person, and what came of payments that one had left."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event
from starlette.testclient import TestClient

from books import epoch
from rules.people import Role
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, card
from tests.web.conftest import Books, Visitor
from web.pages import go

__all__ = ["house", "sandbox", "sandbox_process"]


def declined_later(house: House, clerk: Visitor) -> int:
    """A payment that Ann left while the gateway worked."""
    house.bill("C-1", {"A-1": 4300})
    payment = house.pay(4300, card("4000000000000002"))
    assert "Recorded" in clerk.get(f"/console/payments/{payment}/progress").text
    return payment


def test_told_later_until_seen(house: House, clerk: Visitor, new_visitor: Callable[[], Visitor]) -> None:
    """Who leaves an open payment is told of its end on any page, until they say that they saw it; nobody else is."""
    payment = declined_later(house, clerk)
    assert "/told/" not in clerk.get("/console/find").text
    house.work()
    page = clerk.get("/console/find").text
    assert (
        f'<a href="/console/payments/{payment}">Payment {payment} of C-1 (43.00 USD)</a> was declined for now' in page
    )
    other = new_visitor()
    other.log_in("sue")
    assert "/told/" not in other.get("/console/find").text
    answer = clerk.post(f"/console/told/{payment}/seen", here="/console/waiting")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/waiting")
    assert "/told/" not in clerk.get("/console/find").text


def test_who_saw_the_end_is_told_nothing(house: House, clerk: Visitor) -> None:
    """The window of a payment that is over, or a stream that told its end, is as good as a word later."""
    payment = declined_later(house, clerk)
    house.work()
    clerk.get(f"/console/payments/{payment}/progress")
    assert "/told/" not in clerk.get("/console/find").text
    house.bill("C-2", {"B-1": 100})
    second = house.pay(100, card(), customer="C-2")
    clerk.get(f"/console/payments/{second}/progress")
    house.work()
    clerk.get(f"/console/payments/{second}/progress", headers={"Accept": "text/event-stream"})
    assert "/told/" not in clerk.get("/console/find").text
    assert house.rows("SELECT * FROM follow_ups") == []


def test_a_way_back_leads_nowhere_else(house: House, clerk: Visitor) -> None:
    """After "Seen" one comes back to a page of ours, whatever the form says."""
    payment = declined_later(house, clerk)
    house.work()
    clerk.get("/console/find")
    answer = clerk.post(f"/console/told/{payment}/seen", here="https://elsewhere.example/")
    assert answer.headers["location"] == "/console/find"


def test_an_open_page_looks_by_itself(house: House, clerk: Visitor) -> None:
    """A page that is open asks by its mark, and is answered only with what is new."""
    payment = declined_later(house, clerk)
    mark = re.search(r"/console/header\?known=(\w+)", clerk.get("/console/find").text)
    assert mark
    known = f"/console/header?known={mark[1]}"
    assert clerk.get(known, headers={"HX-Request": "true"}).status_code == 204
    house.work()
    answer = clerk.get(known, headers={"HX-Request": "true"})
    assert f"Payment {payment} of C-1 (43.00 USD)" in answer.text
    assert "<html" not in answer.text


def test_looking_by_itself_keeps_no_session(clerk: Visitor, books: Books, visitor: Visitor) -> None:
    """An idle session ends though its page looks by itself; the page is not led away from what is being entered."""
    books.do("UPDATE sessions SET seen_at = seen_at - interval '50 minutes'")
    assert clerk.get("/console/header").status_code == 200
    books.do("UPDATE sessions SET seen_at = seen_at - interval '11 minutes'")
    answer = clerk.get("/console/header", headers={"HX-Request": "true"})
    assert (answer.status_code, "HX-Redirect" in answer.headers) == (204, False)
    assert clerk.get("/console/find").status_code == 303


def review(house: House) -> int:
    """A payment on which a person must decide (R8)."""
    house.bill("C-1", {"A": 3000})
    payment = house.pay(3000, card(), invoices=["A"])
    house.pay(1000, invoices=["A"])
    house.post()
    house.work()
    return payment


@pytest.mark.parametrize(("name", "sees"), [("ann", ""), ("sue", " (1)"), ("ada", " (1)")])
def test_how_much_waits(house: House, visitor: Visitor, name: str, sees: str) -> None:
    """Supervisors and admins see on every page how much waits; a clerk has only the link."""
    visitor.log_in(name)
    review(house)
    assert f'Waiting<span id="waiting-count">{sees}</span>' in visitor.get("/console/find").text


@pytest.mark.parametrize("role", Role)
def test_links(house: House, visitor: Visitor, role: Role) -> None:
    """Each role sees the links of its own windows."""
    visitor.log_in({Role.CLERK: "ann", Role.SUPERVISOR: "sue", Role.ADMIN: "ada"}[role])
    page = visitor.get("/console/find").text
    for least, links in (
        (Role.CLERK, ("waiting", "batches", "retries", "me")),
        (Role.SUPERVISOR, ("deposits", "charts", "aging")),
        (Role.ADMIN, ("users", "gateways")),
    ):
        for link in links:
            assert (f'href="/console/{link}"' in page) is role.may(least), link


@pytest.mark.parametrize(
    ("base_url", "name", "secure"),
    [("https://office.example", "__Host-defray_flash", True), ("http://127.0.0.1", "defray_flash", False)],
)
def test_a_message_goes_over_tls_only(base_url: str, name: str, secure: bool) -> None:
    """The cookie of a message is like the session's: over TLS only, but on this very machine; no script reads it."""
    cookie = TestClient(go("/console/find", "Saved."), base_url=base_url).get("/", follow_redirects=False)
    said = cookie.headers["set-cookie"]
    assert said.startswith(f"{name}=Saved.;")
    assert ("Secure" in said, "HttpOnly" in said) == (secure, True)


def test_one_short_look(house: House, visitor: Visitor) -> None:
    """The header costs a page two questions, whoever asks."""
    visitor.log_in("sue")
    asked: list[str] = []

    def listen(*heard: Any) -> None:
        asked.append(heard[2])

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        visitor.get("/console/waiting")
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    assert sum("follow_ups" in one or "AS counted" in one for one in asked) == 2


def test_a_quarantine_stands_on_every_page(house: House, clerk: Visitor) -> None:
    """E7: everybody sees that no card is charged, and what goes on; `/readyz` is ready and says why."""
    house.charge()
    assert "no card is charged" not in clerk.get("/console/find").text
    with house.context.transaction() as (conn, now):
        epoch.quarantine(conn, "rehearsed", now, "test")
    assert "no card is charged, voided or refunded" in clerk.get("/console/find").text
    ready = clerk.get("/readyz")
    assert (ready.status_code, ready.json()["quarantine"].endswith(": rehearsed")) == (200, True)
