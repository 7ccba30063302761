"""Batches as people look at them, however large they are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, text

from books import batches, views
from tests.books.plans import analyze
from tests.flows.house import House

SIZE = 12_000
_LAST = 2**63 - 1


def ask(number: str, amount: int = 100) -> dict[str, object]:
    return {
        "idempotency_key": number,
        "customer": "C-1",
        "method": "check",
        "currency": "USD",
        "amount_minor": amount,
        "invoices": [number],
    }


def submit(house: House, key: str, numbers: list[str]) -> int:
    """A batch of checks, one an invoice."""
    receipt = house.producer.submit(
        [ask(number) for number in numbers], label=f"batch {key}", caller="shop", idempotency_key=key, by="ann"
    )
    assert receipt.batch_id is not None
    return receipt.batch_id


def test_the_latest_first(house: House) -> None:
    """D4: batches are counted in the database, page by page from the latest."""
    house.bill("C-1", {"A": 100, "B": 100, "C": 100})
    first, second = submit(house, "one", ["A", "B"]), submit(house, "two", ["C"])
    house.post(first)
    with house.engine.connect() as conn:
        found = batches.latest(conn, _LAST, 10)
        assert [(one.id, one.label, one.created_by, one.by_state) for one in found] == [
            (second, "batch two", "ann", {"requested": 1}),
            (first, "batch one", "ann", {"posted": 2}),
        ]
        assert [one.id for one in batches.latest(conn, second, 10)] == [first]
        assert [one.id for one in batches.latest(conn, _LAST, 1)] == [second]


def test_counts_agree_with_the_whole_view(house: House) -> None:
    """What is asked again and again says the same as the batch's page."""
    house.bill("C-1", {"A": 100, "B": 100})
    batch = submit(house, "one", ["A", "B"])
    for _ in range(2):
        with house.engine.connect() as conn:
            seen, counted = views.batch(conn, batch), batches.counts(conn, batch)
        assert (counted.payments, counted.finished, counted.waiting, counted.by_state, counted.ended) == (
            seen.payments,
            seen.finished,
            seen.waiting,
            seen.by_state,
            seen.ended,
        )
        house.post(batch)


def test_pace(house: House) -> None:
    """A chart has a bar for each part of the time, empty ones too; what came days later is counted beside it."""
    house.bill("C-1", {str(number): 100 for number in range(200)})
    batch = submit(house, "one", [str(number) for number in range(200)])
    with house.engine.connect() as conn:
        assert batches.pace(conn, batch) is None
    house.post(batch)
    house.do("""
        UPDATE payments p SET posted_at = timestamptz '2026-03-02 10:00' + s.late FROM (
            SELECT id, CASE WHEN n <= 3 THEN interval '3 days' WHEN n <= 100 THEN interval '0' ELSE interval '90 s' END
                AS late
            FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM payments) AS numbered) AS s
        WHERE p.id = s.id""")
    with house.engine.connect() as conn:
        found = batches.pace(conn, batch)
    assert found
    assert found.step == timedelta(seconds=2)
    assert [(place, part.posted) for place, part in enumerate(found.parts) if part.posted] == [(0, 97), (45, 100)]
    assert found.later == 3


@pytest.mark.parametrize(
    ("seconds", "step"), [(0, 1), (59, 1), (61, 2), (3_600, 120), (86_400, 1_800), (60 * 86_400, 2 * 86_400)]
)
def test_steps_are_round(seconds: int, step: int) -> None:
    """However long a batch took, its chart has few bars of a round length."""
    found = batches.step_of(timedelta(seconds=seconds))
    assert found == timedelta(seconds=step)
    assert timedelta(seconds=seconds) / found <= batches.PARTS


def scans(conn: Connection, question: TextClause, values: dict[str, object]) -> set[str]:
    """How a question's plan reads payments."""

    def walk(node: dict[str, Any]) -> set[str]:
        reads = {node["Node Type"]} if node.get("Relation Name") == "payments" else set()
        return reads.union(*(walk(child) for child in node.get("Plans", [])))

    plan = conn.execute(text(f"EXPLAIN (FORMAT JSON) {question.text}"), values).scalar_one()
    return walk(plan[0]["Plan"])


def test_rows_of_a_state_by_index(house: House) -> None:
    """Rows of a state come in their order, page by page, and no plan reads other batches' payments."""
    house.bill("C-1", {"A": 100})
    batch = submit(house, "one", ["A"])
    house.do(
        """
        INSERT INTO batches (caller, idempotency_key, label, state, created_at, created_by)
        SELECT 'many', n::text, '', 'done', now(), 'many' FROM generate_series(1, 20) AS n""",
    )
    house.do(
        """
        INSERT INTO payments (customer_id, batch_id, caller, idempotency_key, content_digest, method, currency,
            total_minor, as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at,
            recorded_by)
        SELECT c.id, b.id, 'many', b.id || '-' || n, '', 'check', 'USD', 100, true, true, 'ask', 0,
               CASE WHEN n % 100 = 0 THEN 'declined' ELSE 'cancelled' END, now(), 'many'
        FROM customers c, batches b, generate_series(1, :size / 20) AS n WHERE b.id <> :batch""",
        size=SIZE,
        batch=batch,
    )
    with house.engine.begin() as conn:
        analyze(conn)
    large = house.row("SELECT max(id) AS id FROM batches").id
    asked = {"id": large, "state": "declined", "after": 0, "most": 4}
    with house.engine.connect() as conn:
        first = views.batch_rows(conn, large, "declined", 4)
        rest = views.batch_rows(conn, large, "declined", 4, after=first[-1].payment_id)
        ids = [row.payment_id for row in (*first, *rest)]
        assert ids == sorted(set(ids))
        assert (len(first), len(rest)) == (4, 2)
        assert {row.state for row in (*first, *rest)} == {"declined"}
        assert scans(conn, views._BATCH_ROWS, asked).isdisjoint({"Seq Scan"})
        assert scans(conn, batches._BY_STATE, {"id": large}).isdisjoint({"Seq Scan"})
        assert views.batch(conn, large, most=8).rows[:6] == (*first, *rest)
