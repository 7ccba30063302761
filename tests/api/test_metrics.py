"""Issue 6, point 8: /metrics tells how Defray stands, cheaply at any size, to whom the settings allow it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, Engine, text
from starlette.testclient import TestClient

from books import clock, counts, gauges
from settings import Settings
from tests.api.conftest import App
from tests.books.plans import read_whole
from web import metrics
from web.app import served

LOCAL = ("127.0.0.1", 1)


def figures(client: TestClient, **headers: str) -> dict[tuple[str, str], float]:
    """All figures by name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(one.name, ",".join(one.labels.values())): one.value for family in families for one in family.samples}


def test_figures(settings: Settings, shop: App) -> None:
    """Requests by route, payments by state and method, what is due, what is open, queues and servers."""
    shop.bill("C-1", {"A-1": 1000})
    shop.made("/v1/payments", **shop.by_card(100))
    with TestClient(served(settings), base_url="http://127.0.0.1", client=LOCAL) as client:
        App(client, shop.secret).get("/v1/customers/C-1")
        client.get("/nowhere/4111111111111111")
        found = figures(client)
    assert found["defray_requests_total", "GET,/v1/customers/{number:path},200"] == 1
    assert found["defray_request_seconds_count", "GET,/v1/customers/{number:path}"] == 1
    assert not any("4111" in labels for _, labels in found)
    assert found["defray_payments_under_way", "credit_card,requested"] == 1
    assert found["defray_payments_latest", "credit_card,requested"] == 1
    assert found["defray_due_rows", "charge"] == 1
    assert {"post", "charge", "inquire", "refund"} <= {labels for name, labels in found if name == "defray_due_rows"}
    assert found["defray_outcomes_unknown", ""] == found["defray_refunds_waiting", ""] == 0
    queues = {labels for name, labels in found if name == "defray_queue_messages"}
    assert queues == {"interactive", "bulk", "scheduled", "outbound"}
    assert found["defray_database_up", ""] == found["defray_broker_up", ""] == 1


def test_who_may_read(settings: Settings, shop: App) -> None:
    """Nobody, this machine without a proxy between, or who brings the token; to everybody else it is not there."""

    def ask(asked_from: str = "127.0.0.1", metrics: str = "loopback", **headers: str) -> int:
        changed = replace(settings, metrics=metrics, metrics_token="m" * 20)
        with TestClient(served(changed), base_url="http://127.0.0.1", client=(asked_from, 1)) as client:
            return client.get("/metrics", headers=headers).status_code

    assert ask() == 200
    assert ask("192.0.2.1") == ask(**{"X-Forwarded-For": "192.0.2.1"}) == ask(metrics="off") == 404
    assert ask(metrics="token") == ask(metrics="token", Authorization="Bearer m") == 404
    assert ask("192.0.2.1", "token", Authorization=f"Bearer {'m' * 20}") == 200


def test_servers_away(settings: Settings, shop: App) -> None:
    """Where database and broker are away, the requests are told nevertheless."""
    gone = replace(settings, database_url="postgresql+psycopg://a:b@127.0.0.1:1/c", redis_url="redis://127.0.0.1:1/0")
    with TestClient(served(gone), base_url="http://127.0.0.1", client=LOCAL) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["database"], answer.json()["broker"]) == (
            503,
            "does not answer",
            "does not answer",
        )
        found = figures(client)
    assert found["defray_database_up", ""] == found["defray_broker_up", ""] == 0
    assert found["defray_requests_total", "GET,/readyz,503"] == 1


ANSWERED = """
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency, state,
                                      decline_class, send_until, started_at, finished_at)
        SELECT p.id, 'sale', 'payflow', 'a', n, 100, 'USD', 'declined', 'dated', :now, :sent, :settled
        FROM payments p, generate_series(1, 3) n;
    INSERT INTO evidence (gateway_transaction_id, at, kind, said)
        SELECT id, at, 'reply', '{}' FROM gateway_transactions, (VALUES (1, :settled), (2, :now)) AS v(n, at)
        ORDER BY n;
    INSERT INTO events (at, what, by) VALUES (:settled, 'alarm.unknown_outcome', 'a')
"""


def test_counters(settings: Settings, shop: App, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of gateways by how long they took, declines by class, events: what came since the process began."""
    shop.bill("C-1", {"A-1": 1000})
    shop.made("/v1/payments", **shop.by_card(100))
    monkeypatch.setattr(metrics, "FRESH", 0)
    with TestClient(served(settings), base_url="http://127.0.0.1", client=LOCAL) as client:
        assert not any(name == "defray_gateway_seconds_count" for name, _ in figures(client))
        with engine.begin() as conn:
            now = clock.now(conn)
            settled = now - timedelta(minutes=1)
            times = {"now": now, "settled": settled, "sent": settled - timedelta(seconds=1.2)}
            for statement in ANSWERED.split(";"):
                conn.execute(text(statement), times)
        figures(client)
        found = figures(client)
    of_sales = "payflow,sale,declined"
    assert found["defray_gateway_seconds_count", of_sales] == 3, "each once; the younger ones are left for later"
    assert found["defray_gateway_seconds_sum", of_sales] == pytest.approx(3.6)
    assert found["defray_gateway_seconds_bucket", "payflow,1.0,sale,declined"] == 0
    assert found["defray_gateway_seconds_bucket", "payflow,2.0,sale,declined"] == 3
    assert found["defray_declines_total", "dated,payflow"] == 3
    assert found["defray_events_total", "alarm.unknown_outcome"] == 1


FILL = """
    INSERT INTO customers (id, number, name, created_at)
        SELECT n, 'C-' || n, 'x', now() FROM generate_series(1, 100) n;
    INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,
                          as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at,
                          recorded_by, applied_minor, next_step, due_at)
        SELECT n % 100 + 1, 'a', n::text, '', 'check', 'USD', 100, false, false, 'ask', 100,
               CASE WHEN n % 500 = 0 THEN 'requested' ELSE 'posted' END, now(), 'a',
               CASE WHEN n % 500 = 0 THEN 0 ELSE 100 END, CASE WHEN n % 500 = 0 THEN 'post' END,
               CASE WHEN n % 500 = 0 THEN now() END
        FROM generate_series(1, 40000) n;
    ANALYZE customers, payments, gateway_transactions, reversals, webhook_deliveries, mails, card_notices, notices;
"""


@pytest.mark.parametrize("name", ["UNDER_WAY", "LATEST", "DUE", "UNKNOWN", "REFUNDS"])
def test_plans(connection: Connection, name: str) -> None:
    """No figure reads all payments, however many have ended."""
    connection.execute(text(FILL))
    known = {"now": clock.now(connection), "most": gauges.COUNTED_TO}
    question = getattr(gauges, name)
    asked = {key: value for key, value in known.items() if re.search(rf":{key}\b", question.text)}
    assert "payments" not in read_whole(connection, question, **asked)


FILL_HISTORY = """
    INSERT INTO events (at, what, by)
        SELECT now() - interval '1 hour', 'payment.posted', 'a' FROM generate_series(1, 40000);
    INSERT INTO evidence (gateway_transaction_id, at, kind, said)
        SELECT n, now() - interval '1 hour', 'reply', '{}' FROM generate_series(1, 40000) n;
    ANALYZE events, evidence, gateway_transactions;
"""


def test_counters_read_what_is_new(connection: Connection) -> None:
    """A look reads what came since the last, however long the history is."""
    connection.execute(text(FILL_HISTORY))
    settled = clock.now(connection) - counts.SETTLED
    for table, last in counts.LAST.items():
        assert table not in read_whole(connection, last, settled=settled)
        end = connection.execute(last, {"settled": settled}).scalar_one()
        question, more = (counts.EVENTS, {}) if table == "events" else (counts.ANSWERS, {"bounds": [1000]})
        assert table not in read_whole(connection, question, after=end - 100, upto=end, most=counts.MOST, **more)
