"""Issue 4, window 5: what becomes of a payment, as it happens, in plain words."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from books import follow
from sandbox.client import SandboxProcess
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, card
from tests.web.conftest import Books, Visitor
from web import progress

__all__ = ["house", "sandbox", "sandbox_process"]


def told(visitor: Visitor, path: str, **headers: str) -> list[tuple[str, Any]]:
    """All messages of a stream that ends: kind and data."""
    answer = visitor.get(path, headers={"Accept": "text/event-stream", **headers})
    assert answer.headers["content-type"].startswith("text/event-stream")
    messages = []
    for block in answer.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in lines:
            messages.append((lines["event"], json.loads(lines["data"])))
    return messages


NOW, NEW_YORK = datetime(2026, 3, 2, 15, 0, tzinfo=UTC), ZoneInfo("America/New_York")


def words(messages: list[tuple[str, Any]]) -> list[str]:
    return [data["words"] for _, data in messages]


def test_posted(house: House, clerk: Visitor) -> None:
    """A charge from recorded to posted; the stream closes itself and says where to go on."""
    house.bill("C-1", {"A-1": 1250})
    payment = house.pay(1250, card())
    house.work()
    messages = told(clerk, f"/console/payments/{payment}/progress")
    assert words(messages) == [
        "Recorded",
        "Calling the gateway …",
        "Posted to the invoices",
        "The payment is posted.",
    ]
    assert messages[-1][0] == "end"
    assert messages[-1][1]["address"] == f"/console/payments/{payment}/receipt"


def test_goes_on_where_it_left_off(house: House, clerk: Visitor) -> None:
    """A browser that comes again is told what is new only; the numbers go up."""
    house.bill("C-1", {"A-1": 1250})
    payment = house.pay(1250, card())
    house.work()
    with house.engine.connect() as conn:
        _, events = follow.payment(conn, payment)
    ids = [one.id for one in events]
    assert ids == sorted(ids)
    again = told(clerk, f"/console/payments/{payment}/progress", **{"Last-Event-ID": str(ids[-2])})
    assert words(again) == ["Posted to the invoices", "The payment is posted."]


def test_declined(house: House, clerk: Visitor) -> None:
    """A decline says so: nothing was charged."""
    house.bill("C-1", {"A-1": 1250})
    payment = house.pay(1250, card("4000000000000002"))
    house.work()
    with house.engine.connect() as conn:
        standing, _ = follow.payment(conn, payment)
    said = words(told(clerk, f"/console/payments/{payment}/progress"))
    assert said[-1] == progress.words(standing, NOW, ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("state", "unknown", "reversal", "over", "says"),
    [
        ("requested", False, None, False, "Still under way."),
        ("charging", False, None, False, "Still under way."),
        ("charging", True, None, True, "not known yet"),
        ("posted", False, None, True, "posted"),
        ("declined", False, None, True, "declined"),
        ("retrying", False, None, True, "tried again by itself"),
        ("review", False, None, True, "needs a person"),
        ("cancelled", False, None, True, "cancelled"),
        ("voided", False, "voiding", False, "void"),
        ("voided", False, "refund_awaiting_approval", True, "void"),
        ("voided", False, "voided", True, "void"),
    ],
)
def test_when_it_is_over(state: str, unknown: bool, reversal: str | None, over: bool, says: str) -> None:
    """A page that follows closes once nothing more comes within seconds; an unknown outcome is told plainly."""
    standing = follow.Standing(1, state, unknown, reversal)
    assert standing.over is over
    assert says in progress.words(standing, NOW, NEW_YORK)


def test_when_it_is_tried_again() -> None:
    """R16: a soft decline says when it is tried again, by the business's clock, and what the customer may hear."""
    due_at = datetime(2026, 3, 5, 14, 30, tzinfo=UTC)
    standing = follow.Standing(1, "retrying", False, None, "soft_dated", due_at=due_at)
    said = progress.words(standing, NOW, NEW_YORK)
    assert "tried again by itself on 2026-03-05 at 09:30" in said
    assert "You can tell the customer: The card's funds or its limit" in said
    named = replace(standing, declined_by="plugnpay", decline_code="61")
    assert "It means: over the card's limit of amount. Another card works now" in progress.words(named, NOW, NEW_YORK)


def test_a_slow_gateway(house: House, clerk: Visitor, quick: None) -> None:
    """Whoever waits longer is told that nothing need be done and that they may go on."""
    house.bill("C-1", {"A-1": 1250})
    payment = house.pay(1250, card())
    path = f"/console/payments/{payment}/progress"
    assert "has not answered yet" not in clerk.get(path).text
    house.advance(seconds=progress.SLOW_AFTER / timedelta(seconds=1))
    assert words(told(clerk, path)) == ["Recorded", progress.SLOW]
    assert progress.SLOW in clerk.get(path).text


def test_without_javascript(house: House, clerk: Visitor) -> None:
    """The page shows what happened so far and loads itself anew until it is over."""
    house.bill("C-1", {"A-1": 1250})
    payment = house.pay(1250, card())
    page = clerk.get(f"/console/payments/{payment}/progress").text
    assert "Recorded" in page
    assert 'http-equiv="refresh"' in page
    house.work()
    page = clerk.get(f"/console/payments/{payment}/progress").text
    assert "The payment is posted." in page
    assert 'http-equiv="refresh"' not in page


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams end after half a second whatever they follow."""
    monkeypatch.setattr(progress, "TOLD_FOR", 0.5)
    monkeypatch.setattr(progress, "LOOK_EVERY", 0.05)


def test_every_stream_ends(house: House, clerk: Visitor, quick: None) -> None:
    """A stream is closed after a while, though nothing came; none of its looks is held open."""
    house.bill("C-1", {"A-1": 1250})
    payment = house.pay(1250, card())
    messages = told(clerk, f"/console/payments/{payment}/progress")
    assert words(messages) == ["Recorded"]
    held = house.rows(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    assert held == []


@pytest.mark.parametrize("ends", ["DELETE FROM sessions", "UPDATE users SET active = false"])
def test_it_ends_with_the_session(
    house: House, clerk: Visitor, books: Books, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Who logs out, or is let in no more, is told nothing further by a page that is still open."""
    monkeypatch.setattr(progress, "ASKED_EVERY", 0.2)
    monkeypatch.setattr(progress, "TOLD_FOR", 20.0)
    house.bill("C-1", {"A-1": 1250})
    payment = house.pay(1250, card())
    books.do("UPDATE sessions SET seen_at = seen_at - INTERVAL '5 minutes'")
    with ThreadPoolExecutor() as pool:
        telling = pool.submit(told, clerk, f"/console/payments/{payment}/progress")
        while not books.one("SELECT seen_at > now() - INTERVAL '2 minutes' FROM sessions"):
            assert not telling.done()
        books.do(ends)
        assert words(telling.result(timeout=10)) == ["Recorded"]


def test_batch(house: House, clerk: Visitor, sandbox: SandboxProcess) -> None:
    """A batch tells its counts, and its end."""
    house.bill("C-1", {"A-1": 500, "A-2": 700})
    batch = house.producer.submit(
        [
            {
                "idempotency_key": number,
                "customer": "C-1",
                "method": "check",
                "currency": "USD",
                "amount_minor": minor,
                "invoices": [number],
            }
            for number, minor in (("A-1", 500), ("A-2", 700))
        ],
        label="two",
        caller="shop",
        idempotency_key="b",
        by="ann",
    ).batch_id
    house.post(batch)
    messages = told(clerk, f"/console/batches/{batch}/progress")
    assert messages[-1] == ("end", {"payments": 2, "finished": 2, "waiting": 0, "by_state": {"posted": 2}})
    answer = clerk.get(f"/console/batches/{batch}/progress")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/console/batches/{batch}")


def test_nobody_else_may_look(visitor: Visitor) -> None:
    """Without a log-in there is no stream; of a payment that is not there, neither."""
    assert visitor.get("/console/payments/1/progress").status_code == 303
    visitor.log_in()
    assert visitor.get("/console/payments/1/progress").status_code == 404
