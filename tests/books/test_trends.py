"""What charts are drawn of is counted right, and a short span never reads a whole table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from books import trends
from books.trends import Recovered, Retried, Taken
from tests.books.plans import analyze, nodes, read_whole
from tests.flows.house import House, card

NO_FUNDS = "4000000000009995"
LOST, FUNDS_LATER = "4000000000009979", "4000050000010006"
LONG_AGO, FAR_AHEAD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def declined(house: House) -> list[int]:
    """Two payments without funds, and one with a card that was reported lost; the ids."""
    house.bill("C-1", {"A": 1000, "B": 2000, "C": 3000})
    soft = [house.pay(amount, card(NO_FUNDS), invoices=[name]) for name, amount in (("A", 1000), ("B", 2000))]
    hard = house.pay(3000, card(LOST), invoices=["C"])
    house.charge()
    return [*soft, hard]


def test_declines_by_reason(house: House, declined: list[int]) -> None:
    """R16: declines are counted by what they say about another try, with the gateway's own code and words."""
    with house.engine.connect() as conn:
        by_class = trends.declines(conn, LONG_AGO, FAR_AHEAD)
        reasons = trends.reasons(conn, LONG_AGO, FAR_AHEAD)
        assert trends.declines(conn, FAR_AHEAD, FAR_AHEAD) == {}
        assert len(trends.reasons(conn, LONG_AGO, FAR_AHEAD, most=1)) == 1
    assert sum(by_class.values()) == 3
    assert by_class["soft_dated"] == 2
    assert (reasons[0].decline_class, reasons[0].gateway, reasons[0].declines) == ("soft_dated", "payflow", 2)
    assert reasons[0].code
    assert reasons[0].message


def test_recovered_by_a_retry(house: House) -> None:
    """R16: a payment that was declined for funds and approved at its second attempt is recovered, by attempt 2."""
    house.bill("C-1", {"A": 1000, "B": 2000, "C": 3000})
    house.pay(1000, card(FUNDS_LATER), invoices=["A"])
    house.pay(2000, card(NO_FUNDS), invoices=["B"])
    house.pay(3000, card(), invoices=["C"])
    house.charge()
    with house.engine.connect() as conn:
        assert trends.recovered(conn, LONG_AGO, FAR_AHEAD) == []
        assert trends.retried(conn, LONG_AGO, FAR_AHEAD) == Retried(2, 0)
    for _ in range(10):
        house.advance(days=1)
        house.work()
    with house.engine.connect() as conn:
        assert trends.recovered(conn, LONG_AGO, FAR_AHEAD) == [Recovered(2, "USD", 1, 1000)]
        assert trends.retried(conn, LONG_AGO, FAR_AHEAD) == Retried(2, 1)


def test_money_by_day_and_method(house: House) -> None:
    """B1: what came in a day by method is what the journal has; another currency is another sum."""
    house.bill("C-1", {"A": 9000})
    house.bill("E-1", {"E": 500}, "EUR")
    house.pay(1000, post_date="2026-03-02")
    house.pay(500, method="cash", post_date="2026-03-02")
    house.pay(250, method="cash", post_date="2026-03-03")
    house.pay(500, customer="E-1", currency="EUR", post_date="2026-03-02")
    house.work()
    first, last = date(2026, 3, 2), date(2026, 3, 3)
    with house.engine.connect() as conn:
        assert trends.taken(conn, first, last, "USD") == [
            Taken(first, "cash", 1, 500),
            Taken(first, "check", 1, 1000),
            Taken(last, "cash", 1, 250),
        ]
        assert trends.currencies(conn, first, last) == ["USD", "EUR"]


@pytest.fixture
def many(session_engine: Engine) -> Iterator[Connection]:
    """A hundred days with a thousand sales and entries each, in a transaction that is rolled back."""
    with session_engine.connect() as conn:
        for statement in (
            "ALTER TABLE gateway_transactions DROP CONSTRAINT fk_gateway_transactions_payment_id",
            "INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor,"
            " currency, state, decline_class, code, send_until, started_at)"
            " SELECT n, 'sale', 'payflow', 'a', n + 1, 100, 'USD',"
            " CASE n % 2 WHEN 0 THEN 'approved' ELSE 'declined' END,"
            " CASE n % 2 WHEN 1 THEN 'soft_dated' END, '12',"
            " timestamptz '2026-01-01 12:00Z' + n / 1000 * interval '1 day',"
            " timestamptz '2026-01-01 12:00Z' + n / 1000 * interval '1 day' FROM generate_series(0, 99999) AS n",
            "INSERT INTO journal (at, post_date, kind, customer_id, payment_id, currency, accounts, amounts_minor)"
            " SELECT now(), date '2026-01-01' + n / 1000, 'posted', n, n, 'USD',"
            " ARRAY['cash:check', 'receivable'], ARRAY[100, -100] FROM generate_series(0, 99999) AS n",
            "SELECT brin_summarize_new_values('ix_journal_post_date')",
            "SELECT brin_summarize_new_values('ix_gateway_transactions_started')",
        ):
            conn.execute(text(statement))
        analyze(conn)
        yield conn
        conn.rollback()


def test_a_span_is_found_by_its_index(many: Connection) -> None:
    """Among a hundred days three are found by the BRIN indexes: neither sales nor journal are read whole."""
    since = datetime(2026, 2, 20, tzinfo=UTC)
    moments = {"since": since, "until": since + timedelta(days=3)}
    for question in (trends._RECOVERED, trends._RETRIED, trends._DECLINES, trends._REASONS):
        assert read_whole(many, question, **moments, most=50) == set()
        used = {node.get("Index Name") for node in nodes(many, question, **moments, most=50)}
        assert "ix_gateway_transactions_started" in used
    days = {"first": since.date(), "last": since.date() + timedelta(days=2)}
    for question in (trends._TAKEN, trends._CURRENCIES):
        assert read_whole(many, question, **days, currency="USD") == set()
    assert trends.declines(many, **moments) == {"soft_dated": 1500}
