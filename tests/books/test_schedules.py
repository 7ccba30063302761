"""D3: what is due of schedules, and what is shown of them, is found by index, however many there are."""

from __future__ import annotations

from typing import Any, Final

import pytest
from sqlalchemy import Connection, TextClause, text

from books import holds, schedules
from tests.books.plans import analyze, read_whole

FILL: Final = """
    INSERT INTO customers (id, number, name, created_at)
        SELECT n, 'C-' || n, 'x', now() FROM generate_series(1, 12000) n;
    INSERT INTO kept_cards (customer_id, token, brand, last_four, exp_month, exp_year, fingerprint, kept_at, kept_by)
        SELECT n, 'card_' || n, 'visa', '1111', 12, 2039, 'f', now(), 'a' FROM generate_series(1, 12000) n;
    INSERT INTO schedules (id, customer_id, caller, idempotency_key, content_digest, currency, as_credit, card_token,
                           unit, every, month_day, first_on, state, next_on, due_at, created_at, created_by)
        SELECT n, n % 12000 + 1, 'a', n::text, '', 'USD', false, 'card_' || n % 12000 + 1, 'month', 1, 1, '2026-01-01',
               'active', '2037-01-01', now() + n * interval '1 hour', now(), 'a' FROM generate_series(1, 4000) n;
    INSERT INTO schedule_runs (schedule_id, due_on, outcome, at, by)
        SELECT n % 4000 + 1, DATE '2026-01-01' + n / 4000, 'skipped', now(), 'a' FROM generate_series(1, 8000) n;
    INSERT INTO customer_holds (customer_id, reason, placed_at, placed_by, lifted_at, lifted_by)
        SELECT n % 12000 + 1, 'x', now(), 'a', now(), 'a' FROM generate_series(1, 4000) n;
"""
PAGE: Final = {"after": 100, "most": 51}
QUESTIONS: Final[dict[str, tuple[TextClause, dict[str, Any]]]] = {
    "due": (schedules.DUE, {"now": "2026-01-01T00:00:00Z", "most": 200}),
    "one": (schedules.ONE, {"id": 7, "only": None}),
    "all": (schedules.ALL, PAGE),
    "of a customer": (schedules.OF_CUSTOMER, {**PAGE, "customer_id": 7}),
    "of a customer, in the console": (schedules.OPEN_FIRST, {"customer_id": 7, "most": 50}),
    "card by now": (schedules.CARD_BY_NOW, {"token": "card_7"}),
    "runs": (schedules.RUNS, {"id": 7, "most": 24}),
    "hold": (holds.OF, {"customer_id": 7, "now": "2026-01-01T00:00:00Z"}),
}


@pytest.fixture
def full(connection: Connection) -> Connection:
    """Many schedules, each with dates that were decided, and many holds that were lifted."""
    connection.execute(text(FILL))
    analyze(connection)
    return connection


def test_plans(full: Connection) -> None:
    """No question reads a whole table."""
    for name, (question, asked) in QUESTIONS.items():
        assert (name, read_whole(full, question, **asked)) == (name, set())
