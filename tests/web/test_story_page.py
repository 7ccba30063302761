"""Issue 4: a payment's whole story in the console, the words of `defray explain`."""

from __future__ import annotations

from html import escape

from sqlalchemy import Engine

from books import views
from papers.story import story_lines
from settings import Settings
from tests.web.conftest import Books, Visitor


def test_the_words_of_the_command(clerk: Visitor, books: Books, engine: Engine, settings: Settings) -> None:
    """Every sentence that `defray explain` prints stands on the page, escaped; a clerk may read it."""
    customer = books.bill("C-1", {"A-1": 1250}, name="Ann <Ltd>")
    window = f"/console/customers/{customer}/payment"
    clerk.get(clerk.get(window).headers["location"])
    key = clerk.seen.text.partition('name="idempotency_key" value="')[2].partition('"')[0] if clerk.seen else ""
    assert clerk.post(window, method="check", number="7", amount="12.50", idempotency_key=key).status_code == 303
    payment = books.one("SELECT max(id) FROM payments")
    seen = clerk.get(f"/console/payments/{payment}/story")
    assert seen.status_code == 200
    with engine.connect() as conn:
        lines = list(story_lines(views.story(conn, payment), settings.business_time_zone))
    for line in filter(None, lines):
        assert escape(line.strip().rstrip(":,"), quote=True).replace("&#x27;", "&#39;") in seen.text
    assert "Ann &lt;Ltd&gt;" in seen.text


def test_no_such_payment(clerk: Visitor) -> None:
    """An id that nothing has is a page that says so."""
    assert clerk.get("/console/payments/987654/story").status_code == 404


def test_nobody_is_told_without_log_in(visitor: Visitor) -> None:
    """Who is not logged in reads no story."""
    assert visitor.get("/console/payments/1/story").status_code == 303
