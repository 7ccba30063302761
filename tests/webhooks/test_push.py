"""Issue 6: outcome by push: signed, in order per payment, retried, replayable, never to private addresses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import event
from standardwebhooks.webhooks import Webhook

import tasks
from books import feed
from books import webhooks as hooks
from mailer.smtp import server_at
from tasks import apps, webhook
from tasks.context import Post as MailPost
from tests.flows.conftest import story
from tests.flows.house import VISA, House, card
from tests.mailer.server import serving
from tests.webhooks.conftest import SECRET, Post, Receiver, complete, receiving
from tests.webhooks.test_feed import write

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


def test_rotated(house: House, post: Post, receiver: Receiver) -> None:
    """For a day after a rotation the old secret signs beside the new one; then the new one alone."""
    endpoint = post.endpoint(receiver.url)
    new = "whsec_" + "REVG" * 8
    sealed = house.context.vault.seal_text(new, hooks.PURPOSE)
    with house.context.transaction() as (conn, now):
        hooks.rotate(conn, endpoint, hooks.Sealed(sealed.key_id, sealed.sealed), now, "ada")
    for customer, hours in (("C-1", 23), ("C-2", 2)):
        house.bill(customer, {"A-1": 100})
        assert post.tell() == {"delivered": 1}
        house.advance(hours=hours)
    house.bill("C-3", {"A-1": 100})
    post.tell()
    counted = [len(headers["webhook-signature"].split()) for headers, _ in receiver.got]
    assert counted == [2, 2, 1]
    (headers, body) = receiver.got[0]
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    own = {Webhook(secret).sign(headers["webhook-id"], at, body.decode()) for secret in (SECRET, new)}
    assert set(headers["webhook-signature"].split()) == own
    assert receiver.got[2][0]["webhook-signature"] not in own


def test_killed(house: House, post: Post, receiver: Receiver) -> None:
    """D2: who dies with a delivery in hand only delays it; who comes back after the lease changes nothing."""
    endpoint = post.endpoint(receiver.url)
    house.bill("C-1", {"A-1": 100})
    complete(house)
    with house.context.transaction() as (conn, now):
        hooks.fan_out(conn, now)
        [lost] = hooks.claim(conn, 10, [], now)
    assert post.tell() == {}
    house.advance(minutes=3)
    assert post.tell() == {"delivered": 1}
    with house.context.transaction() as (conn, now):
        late = hooks.Tried(500, 1, "late")
        assert hooks.finish(conn, lost, late, timedelta(0), now, "defray") == "passed on"
    [delivery] = post.deliveries(endpoint)
    assert (delivery.state, post.found(endpoint).failing_since) == ("delivered", None)


def test_created_in_between(house: House, post: Post, receiver: Receiver) -> None:
    """An endpoint is told of what commits after it was made, also of an event whose id was drawn before."""
    with house.engine.connect() as slow:
        early = write(slow, "C-early")
        post.endpoint(receiver.url)
        slow.commit()
    post.tell()
    assert [headers["webhook-id"] for headers, _ in receiver.got][-1] == f"evt_{early}"


def test_rested(house: House, post: Post, receiver: Receiver) -> None:
    """An endpoint that fails five times in a row is tried by one delivery a rest; others are told; it catches up."""
    dead = post.endpoint(receiver.url)
    with receiving() as other:
        post.endpoint(other.url)
        receiver.status = 500
        house.bill("C-1", {f"A-{n}": 100 for n in range(12)})
        post.tell()
        assert 5 <= len(receiver.got) < 10
        assert len(other.got) == 12
        house.advance(seconds=30)
        assert post.tell() == {}
        assert post.found(dead).rests_until is not None
        house.advance(seconds=31)
        assert post.tell() == {"due": 1}
        receiver.status = 204
        house.advance(minutes=6)
        assert post.tell() == {"delivered": 12}
        assert post.found(dead).rests_until is None


def test_busy(house: House, post: Post, receiver: Receiver) -> None:
    """An endpoint with much to be told, and slow, leaves room for the others: at most half of the calls are its own."""
    post.endpoint(receiver.url)
    house.bill("C-1", {f"A-{n}": 100 for n in range(12)})
    complete(house)
    with receiving() as other, house.context.transaction() as (conn, now):
        hooks.fan_out(conn, now)
        post.endpoint(other.url)
        slow = hooks.claim(conn, 10, [], now)
        assert len(slow) == hooks.PER_ENDPOINT
        assert hooks.claim(conn, 10, [slow[0].endpoint_id], now) == []


def test_replayed_in_steps(house: House, post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """All since a time, but nothing before it, is told again, a bounded number of rows at a time."""
    monkeypatch.setattr(hooks, "STEP", 2)
    endpoint = post.endpoint(receiver.url)
    house.bill("C-1", {"A-1": 100, "A-2": 100})
    house.advance(hours=1)
    house.bill("C-2", {"B-1": 100, "B-2": 100, "B-3": 100})
    post.tell()
    since = house.row("SELECT max(at) AS at FROM events WHERE what = 'invoice.created'").at
    told = [headers["webhook-id"] for headers, _ in receiver.got]
    with house.context.transaction() as (conn, now):
        hooks.replay_since(conn, endpoint, since, now, "ada")
        assert hooks.due(conn, now)
    assert post.found(endpoint).replay_since == since
    with house.context.transaction() as (conn, now):
        hooks.fan_out(conn, now)
    assert [one.state for one in post.deliveries(endpoint)] == ["delivered"] * 5
    assert post.tell() == {"delivered": 3}
    assert sorted(headers["webhook-id"] for headers, _ in receiver.got[5:]) == sorted(told)[2:]
    assert post.found(endpoint).replay_since is None


def test_contact_is_told(house: House, post: Post, receiver: Receiver) -> None:
    """Who is named for an endpoint gets one mail when it is disabled, once there is a mail server."""
    post.endpoint(receiver.url, contact="ann@example.org")
    house.bill("C-1", {"A-1": 100})
    receiver.status = 410
    assert post.tell() == {"disabled": 1}
    with house.context.transaction() as (conn, now):
        assert hooks.due(conn, now)
    with serving() as server:
        mailing = replace(house.context, post=MailPost(server_at(f"smtp://127.0.0.1:{server.port}"), "us@x.org", "Us"))
        webhook.work(mailing)
        webhook.work(mailing)
    [mail] = server.kept
    assert (mail["To"], mail["Auto-Submitted"]) == ("ann@example.org", "auto-generated")
    assert "410" in mail.get_content()


def test_woken(house: House, post: Post, receiver: Receiver, redis_url: str) -> None:
    """A task that recorded something wakes who tells apps, once a message, where there is an endpoint; else no one."""
    broker = redis.Redis.from_url(redis_url)
    listening = apps.Listening()
    waiting = broker.llen("outbound")
    with counted(house) as asked:
        for _ in range(20):
            apps.wake(house.context, listening)
    assert len(asked) == 1
    assert broker.llen("outbound") == waiting
    post.endpoint(receiver.url)
    apps.wake(house.context, apps.Listening())
    assert broker.llen("outbound") == waiting + 1
    broker.lpop("outbound")
    assert {getattr(tasks, name.partition(".")[2]).run.name for name in apps.TELLING} == apps.TELLING


def test_costs_nothing_without_an_endpoint(house: House) -> None:
    """Payments ask nothing and write nothing for the feed and for webhooks where no app wants to be told."""
    house.bill("C-1", {"A-1": 500})
    house.pay(500, card(VISA))
    with counted(house) as asked:
        house.work()
    assert [one for one in asked if "webhook" in one or "horizon" in one] == []


@contextmanager
def counted(house: House) -> Iterator[list[str]]:
    """What is asked of the database meanwhile."""
    asked: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(house.engine, "before_cursor_execute", note)
    yield asked
    event.remove(house.engine, "before_cursor_execute", note)
