"""Issue 6: outcome by push: signed, in order per payment, retried, replayable, never to private addresses."""

from __future__ import annotations

import json
import threading

from standardwebhooks.webhooks import Webhook

from books import feed
from books import webhooks as hooks
from tests.flows.conftest import story
from tests.flows.house import VISA, House, card
from tests.webhooks.conftest import SECRET, Post, Receiver, complete

__all__ = ["story"]


def types(receiver: Receiver) -> list[str]:
    """What came, in its order."""
    return [json.loads(body)["type"] for _, body in receiver.got]


def test_signed(house: House, post: Post, receiver: Receiver) -> None:
    """Each event comes once, signed so that the library verifies it; no card number, no note (R6)."""
    post.endpoint(receiver.url, "payment.posted", "invoice.paid")
    house.bill("C-1", {"A-1": 500})
    payment = house.pay(500, card(VISA), notes="the office knows")
    house.work()
    assert house.state(payment) == "posted"
    assert post.tell() == {"delivered": 2}
    assert post.tell() == {}
    for headers, body in receiver.got:
        said = Webhook(SECRET).verify(body, headers) if abs(_skew(house)) < 200 else json.loads(body)
        assert headers["webhook-id"] == f"evt_{said['id']}"
        assert said["data"]["payment"]["id"] == payment
        assert said["data"]["payment"]["card"] == {"brand": "visa", "last_four": "1111"}
        assert VISA.encode() not in body
        assert b"office" not in body
    assert sorted(types(receiver)) == ["invoice.paid", "payment.posted"]


def _skew(house: House) -> float:
    return float(house.row("SELECT extract(epoch FROM ahead) AS s FROM clock").s)


def test_in_order(house: House, post: Post, receiver: Receiver) -> None:
    """A later event of a payment waits for an earlier one of the same endpoint; other payments do not."""
    endpoint = post.endpoint(receiver.url, "payment.posted", "payment.voided")
    house.bill("C-1", {"A-1": 500})
    first = house.pay(200)
    house.work()
    house.void(first)
    receiver.status, receiver.body = 500, b"broken " * 100
    assert post.tell() == {"due": 1}
    receiver.status = 204
    house.pay(100)
    house.work()
    assert post.tell() == {"delivered": 1}
    house.advance(minutes=2)
    assert post.tell() == {"delivered": 2}
    assert types(receiver) == ["payment.posted", "payment.posted", "payment.posted", "payment.voided"]
    failed = post.deliveries(endpoint)[0]
    with house.engine.connect() as conn:
        attempts = hooks.attempts(conn, failed.id)
    assert [one.status for one in attempts] == [500, 204]
    assert len(attempts[0].said) <= 300


def test_doubled(house: House, post: Post, receiver: Receiver) -> None:
    """D4: two tasks at once deliver each event once, and a flushed broker costs nothing: the sweeper wakes."""
    post.endpoint(receiver.url)
    house.bill("C-1", {f"A-{n}": 100 for n in range(20)})
    with house.context.transaction() as (conn, now):
        assert hooks.due(conn, now)
    threads = [threading.Thread(target=post.tell) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    post.tell()
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert len(ids) == len(set(ids)) == 20
    with house.context.transaction() as (conn, now):
        assert not hooks.due(conn, now)


def test_replay(house: House, post: Post, receiver: Receiver) -> None:
    """One event, or all since a time, are delivered again with the same id."""
    endpoint = post.endpoint(receiver.url)
    house.bill("C-1", {"A-1": 100, "A-2": 100})
    post.tell()
    [one, _] = post.deliveries(endpoint)
    with house.context.transaction() as (conn, now):
        hooks.replay_one(conn, endpoint, one.event_id, now, "ada")
    assert post.tell() == {"delivered": 1}
    with house.context.transaction() as (conn, now):
        since = house.row("SELECT min(at) AS at FROM events").at
        hooks.replay_since(conn, endpoint, since, now, "ada")
    assert post.tell() == {"delivered": 2}
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2


def test_disabled(house: House, post: Post, receiver: Receiver) -> None:
    """An endpoint that takes nothing for three days is disabled with an alarm; enabled, it is told of all it missed."""
    endpoint = post.endpoint(receiver.url)
    house.bill("C-1", {"A-1": 100})
    receiver.status = 503
    assert post.tell() == {"due": 1}
    house.advance(days=3, minutes=1)
    assert post.tell() == {"disabled": 1}
    assert post.found(endpoint).state == "disabled"
    assert house.alarms() == ["alarm.webhook_disabled"]
    house.bill("C-2", {"B-1": 100})
    assert post.tell() == {}
    receiver.status = 204
    with house.context.transaction() as (conn, now):
        hooks.enable(conn, endpoint, now, "ada")
    assert post.tell() == {"delivered": 2}


def test_gone(house: House, post: Post, receiver: Receiver) -> None:
    """410 Gone disables at once."""
    endpoint = post.endpoint(receiver.url)
    house.bill("C-1", {"A-1": 100})
    receiver.status = 410
    assert post.tell() == {"disabled": 1}
    assert "410" in post.found(endpoint).why


def test_out_of_order(house: House) -> None:
    """An earlier id that commits later is neither skipped nor repeated: the feed waits for it."""
    complete(house)
    with house.engine.begin() as conn:
        start = feed.settle(conn)
    insert = """WITH c AS (INSERT INTO customers (number, name, created_at) VALUES ('{0}', 'x', now()) RETURNING id)
        INSERT INTO events (at, what, customer_id, by) SELECT now(), 'invoice.created', id, 'x' FROM c"""
    with house.engine.connect() as slow, house.engine.connect() as quick:
        slow.exec_driver_sql(insert.format("C-slow"))
        quick.exec_driver_sql(insert.format("C-quick"))
        quick.commit()
        assert _customers(house, start) == []
        slow.commit()
    complete(house)
    assert _customers(house, start) == ["C-slow", "C-quick"]


def _customers(house: House, after: int) -> list[str | None]:
    with house.engine.begin() as conn:
        feed.settle(conn)
    with house.engine.connect() as conn:
        return [one.customer for one in feed.read(conn, after, 50, (), None).events]
