"""Notices from gateways, over HTTP from end to end: a wake-up that brings an inquiry forward, never truth (D1, D4)."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import redis
import requests
import uvicorn
from sqlalchemy import Engine

from books import notices as kept
from books import reverse
from books.notices import Woken
from sandbox.client import SandboxProcess, SentNotice, close, page, reset
from settings import Settings
from tasks import confirm
from tasks import notice as notice_task
from tasks import void as void_task
from tests.flows.house import VISA, House, build, card, settings_for
from tests.gateways import builders
from web.app import served

GATEWAYS: Final = ("stripe", "authorizenet", "paypal")
NOTICED: Final = pytest.mark.parametrize("gateway", GATEWAYS)
SECRETS: Final = {
    "stripe": {"WEBHOOK_SECRET": "whsec_sandbox"},
    "authorizenet": {"SIGNATURE_KEY": "5A" * 64},
    "paypal": {"WEBHOOK_ID": "WH0SANDBOX"},
}


@dataclass
class Street:
    """A house with a door to the street, at which gateways knock."""

    house: House
    address: str
    gateway: str

    def knock(self, **about: Any) -> SentNotice:
        """The gateway tells of its latest transaction, or of what is given."""
        known = about if {"id", "reference"} & about.keys() else {**about, "id": self.latest()}
        return self.house.sandbox.client.notice(f"{self.address}/v1/notices/{self.gateway}", self.gateway, **known)

    def latest(self) -> str:
        """The id of the gateway's latest transaction."""
        booked = self.house.sandbox.client.transactions(gateway=self.gateway)
        return [one for one in booked if one.operation in ("sale", "refund", "void")][-1].id

    def post(self, body: bytes, **headers: str) -> requests.Response:
        """Anybody posts something to the gateway's address."""
        return requests.post(f"{self.address}/v1/notices/{self.gateway}", body, headers=headers, timeout=10)

    def look(self) -> Woken:
        """The worker looks at what came."""
        return notice_task.work(self.house.context)

    def states(self) -> list[str]:
        """States of all notices, in the order in which they came."""
        return [row.state for row in self.house.rows("SELECT state FROM notices ORDER BY id")]

    def why(self) -> list[str]:
        """Why notices are not what they say."""
        return [row.why for row in self.house.rows("SELECT why FROM notices ORDER BY id")]


@contextlib.contextmanager
def open_door(settings: Settings) -> Iterator[str]:
    """The web process's app at a port of its own; its address."""
    server = uvicorn.Server(uvicorn.Config(served(settings), port=0, log_config=None, lifespan="on"))
    ready = threading.Event()
    startup = server.startup

    async def started(sockets: Any = None) -> None:
        await startup(sockets)
        ready.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert ready.wait(20)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


def settings_of(sandbox: SandboxProcess, gateway: str, *place: str, **more: str) -> Settings:
    """Settings with one gateway that sends notices."""
    config = {**builders.CONFIGS[gateway], "url": sandbox.url(gateway)}
    mine = {f"DEFRAY_{gateway}_{key}".upper(): value for key, value in config.items()}
    mine |= {f"DEFRAY_{gateway}_{key}".upper(): value for key, value in SECRETS[gateway].items()}
    database_url, redis_url, key_file = place
    at = {"DEFRAY_GATEWAYS": gateway, "DEFRAY_CARD_ROUTES": f"*={gateway}"}
    return settings_for(sandbox, database_url, redis_url, key_file, **at, **mine, **more)


@pytest.fixture
def street(
    request: pytest.FixtureRequest,
    house: House,
    engine: Engine,
    sandbox: SandboxProcess,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
) -> Iterator[Street]:
    """A house that charges at the test's gateway, and its web process."""
    gateway = request.node.callspec.params.get("gateway", "stripe") if hasattr(request.node, "callspec") else "stripe"
    settings = settings_of(sandbox, gateway, database_url, redis_url, str(tmp_path / "keys.json"))
    mine = build(engine, settings, sandbox)
    with open_door(settings) as address:
        yield Street(mine, address, gateway)
    mine.context.wake.close()


def lost(street: Street) -> int:
    """A payment whose charge was made and whose answer never came; the inquiries so far heard nothing."""
    house = street.house
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(after=[reset()], operation="sale", gateway=street.gateway)
    house.sandbox.client.scenario(before=[page(503)], operation="inquiry", gateway=street.gateway, times=0)
    house.charge()
    for _ in range(8):
        house.advance(minutes=20)
        house.look_up()
    house.sandbox.client.clear()
    assert (house.state(payment), house.sales(payment)) == ("charging", ["unknown"])
    assert house.look_up() == 0, "the next inquiry is due later"
    return payment


@NOTICED
def test_a_lost_answer_is_asked_for_at_once(street: Street, gateway: str, redis_url: str) -> None:
    """E4, D1: a notice about a charge whose answer was lost brings the inquiry forward, and that posts the payment."""
    payment = lost(street)
    assert street.knock().statuses == (200,)
    assert street.house.sales(payment) == ["unknown"], "keeping it changes nothing"
    woken = street.look()
    assert (woken.ended, woken.inquiries) == ({"verified": 1}, 1)
    with redis.Redis.from_url(redis_url) as broker:
        called = [json.loads(message)["headers"]["task"] for message in broker.lrange("scheduled", 0, -1)]
    assert "defray.inquire" in called, "who asks was woken"
    assert street.house.sales(payment) == ["unknown"], "nor does reading it"
    assert street.house.look_up() == 1
    assert (street.house.state(payment), street.house.sales(payment)) == ("posted", ["approved"])
    assert street.house.sandbox.client.card(VISA).charged == 1


@NOTICED
def test_found_by_the_gateways_own_id(street: Street, gateway: str) -> None:
    """D1: a notice that does not repeat our reference is matched by the gateway's id of the transaction."""
    house = street.house
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.work()
    house.do("UPDATE gateway_transactions SET reference = reference + 1 WHERE payment_id = :id", id=payment)
    street.knock()
    assert street.look().ended == {"verified": 1}
    [row] = house.rows(
        "SELECT n.said, t.payment_id FROM notices n JOIN gateway_transactions t ON t.id = n.gateway_transaction_id"
    )
    assert (row.payment_id, row.said["about"]) == (payment, "charge")
    house.do("UPDATE gateway_transactions SET reference = reference - 1 WHERE payment_id = :id", id=payment)


@NOTICED
def test_it_is_no_truth(street: Street, gateway: str) -> None:
    """R18, D1: a verified notice of success posts nothing where the inquiry does not find the charge."""
    payment = lost(street)
    street.knock()
    street.look()
    street.house.sandbox.client.scenario(before=[page(503)], operation="inquiry", gateway=gateway, times=0)
    street.house.look_up()
    assert (street.house.state(payment), street.house.sales(payment)) == ("charging", ["unknown"])


@NOTICED
def test_a_call_under_way_keeps_its_lease(street: Street, gateway: str) -> None:
    """E1: a notice that overtakes the answer of a call that is still under way waits for it, and looks up nothing."""
    house = street.house
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.charge()
    house.do(
        "UPDATE gateway_transactions SET state = 'started', next_step = 'inquire', due_at = due.at, lease_token = 7"
        " FROM (SELECT now() + ahead + interval '1 minute' AS at FROM clock) AS due WHERE payment_id = :id",
        id=payment,
    )
    street.knock()
    assert street.look().inquiries == 0
    assert house.look_up() == 0
    assert house.sales(payment) == ["started"]
    house.do(
        "UPDATE gateway_transactions SET state = 'approved', next_step = NULL, due_at = NULL WHERE payment_id = :id",
        id=payment,
    )


@NOTICED
@pytest.mark.parametrize("how", ["forged", "another secret", "unsigned", "changed"])
def test_who_did_not_sign_is_not_heard(street: Street, gateway: str, how: str) -> None:
    """D1: a notice that the gateway's key did not sign is kept, told of once an hour, and never acted on."""
    payment = lost(street)
    if how == "another secret":
        street.knock(secret="6B" * 64)
    else:
        sent = street.knock(secret="6B" * 64)
        street.house.do("DELETE FROM notices")
        headers, body = dict(sent.headers), sent.body.encode()
        if how == "forged":
            headers = {name: value.replace("a", "b").replace("A", "B") for name, value in headers.items()}
        elif how == "unsigned":
            headers = {}
        else:
            body += b" "
        assert street.post(body, **headers).status_code == 200
    assert street.look().ended == {"rejected": 1}
    assert street.house.look_up() == 0
    assert street.house.sales(payment) == ["unknown"]
    for extra in (b"1", b"2"):
        street.post(b"{}" + extra)
    assert street.look().ended == {"rejected": 2}
    assert street.house.alarms().count("alarm.notice_rejected") == 1
    street.house.advance(hours=2)
    street.post(b"{}3")
    street.look()
    assert street.house.alarms().count("alarm.notice_rejected") == 2


def test_signed_long_ago(street: Street) -> None:
    """D1: Stripe's signature names its moment; one that is older than five minutes when it comes is rejected."""
    lost(street)
    street.knock(late=400)
    assert street.look().ended == {"rejected": 1}
    assert street.why() == ["it was signed at another time than it came"]


def test_it_may_lie_for_long(street: Street) -> None:
    """D1: what counts is when it came, not when a worker had time for it."""
    lost(street)
    street.knock()
    street.house.advance(hours=5)
    assert street.look().ended == {"verified": 1}


def inquiries(street: Street) -> int:
    """How often the gateway was asked about operations (PayPal is asked about its notices, too)."""
    seen = street.house.sandbox.client.requests(operation="inquiry", gateway=street.gateway)
    return sum(1 for one in seen if "verify" not in one.path)


@NOTICED
def test_ten_at_once(street: Street, gateway: str) -> None:
    """B52, D4: the same notice ten times at once is answered ten times with yes, is one row, and asks once."""
    payment = lost(street)
    assert street.knock(times=10).statuses == (200,) * 10
    assert street.states() == ["waiting"]
    assert street.look().inquiries == 1
    street.house.look_up()
    asked = inquiries(street)
    assert street.knock(times=3, event_id="evt_again").statuses == (200,) * 3
    street.look()
    assert street.house.look_up() == 0
    assert inquiries(street) == asked
    assert street.house.state(payment) == "posted"


@NOTICED
def test_what_was_verified_stays_so(street: Street, gateway: str) -> None:
    """B52, D4: the same notice again, long after it was verified, is known and changes nothing."""
    lost(street)
    sent = street.knock()
    street.look()
    street.house.advance(days=3)
    assert street.post(sent.body.encode(), **sent.headers).status_code == 200
    assert street.states() == ["verified"]
    street.house.work()


@NOTICED
def test_one_event_in_two_bodies(street: Street, gateway: str) -> None:
    """D4: a gateway's event that comes again in another body is known by the gateway's own id of it."""
    lost(street)
    street.knock(event_id="event-1")
    street.knock(event_id="event-1", event="charge.updated" if gateway == "stripe" else "net.authorize.payment.x.y")
    assert street.look().ended == {"verified": 1, "repeated": 1}


def test_reordered(street: Street) -> None:
    """D4: a notice of failure that comes after the one of success, or before, ends in what the inquiry says."""
    payment = lost(street)
    street.knock(event="payment_intent.payment_failed")
    street.look()
    street.house.look_up()
    assert street.house.state(payment) == "posted"
    street.knock(event="payment_intent.succeeded")
    street.knock(event="payment_intent.canceled")
    street.knock(event="payment_intent.created")
    assert street.look().ended == {"verified": 3}
    street.house.work()
    assert (street.house.state(payment), street.house.sales(payment)) == ("posted", ["approved"])


@NOTICED
def test_a_charge_of_nobody(street: Street, gateway: str) -> None:
    """D1: a verified notice of a charge that the books do not know is kept as unmatched, with an alarm."""
    there = builders.gateway(gateway, street.house.sandbox.url(gateway))
    there.sale(builders.sale())
    street.knock()
    assert street.look().ended == {"unmatched": 1}
    assert street.house.alarms() == ["alarm.notice_unmatched"]


@NOTICED
def test_of_another_gateway(street: Street, gateway: str) -> None:
    """D1: a reference that was used at another gateway is none of this one's."""
    house = street.house
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.work()
    house.do("UPDATE gateway_transactions SET gateway = 'payflow' WHERE payment_id = :id", id=payment)
    street.knock()
    assert street.look().ended == {"unmatched": 1}
    house.do("UPDATE gateway_transactions SET gateway = :gateway WHERE payment_id = :id", id=payment, gateway=gateway)


def test_what_is_not_about_payments(street: Street) -> None:
    """D1: an event about anything else is verified, and nothing follows, not even an alarm."""
    body = b'{"id": "evt_1", "type": "payout.paid", "data": {"object": {"object": "payout", "id": "po_1"}}}'
    moment = int(street.house.sandbox.client.now().timestamp())
    signature = hmac.new(b"whsec_sandbox", f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    assert street.post(body, **{"Stripe-Signature": f"t={moment},v1={signature}"}).status_code == 200
    assert street.look() == Woken({"verified": 1}, 0, ())
    assert street.house.alarms() == []


def test_a_refund_is_watched_at_once(street: Street) -> None:
    """R17, D1: a notice of a refund that was accepted makes the question whether it is final due at once."""
    house = street.house
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card("4000000000007726"))
    house.work()
    house.void(payment)
    house.work()
    assert house.reversal(payment).state == "refund_accepted"
    house.sandbox.client.settle()
    assert sum(house.reverse()) == 0, "the next look is hours away"
    street.knock()
    assert street.look().reversals == ("watch",)
    house.work()
    assert house.reversal(payment).state == "refunded"
    street.knock(event="charge.refunded")
    assert street.look().ended == {"verified": 1}
    assert house.alarms() == [], "the refund of which the charge's own event tells is ours"


def test_a_refund_under_way_keeps_its_lease(street: Street) -> None:
    """R11, E1: while a refund of ours is being sent, a notice of it makes no look-up overtake its answer."""
    house = street.house
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.work()
    sale = street.latest()
    house.void(payment)
    for _ in range(3):
        void_task.work(house.context, None, 100)
        confirm.work(house.context, None, 100)
    with house.context.transaction() as (conn, now):
        assert len(reverse.begin_refunds(conn, None, 10, house.context.terms, now, "defray")) == 1
    street.knock(event="charge.refunded", id=sale)
    assert street.look() == Woken({"verified": 1}, 0, ())
    assert house.alarms() == []


def test_a_refund_that_was_made_elsewhere(street: Street) -> None:
    """R17: a refund that nobody asked for here moves nothing in the books, and a person is told."""
    house = street.house
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.work()
    street.knock(event="charge.refunded")
    assert street.look().ended == {"verified": 1}
    assert house.alarms() == ["alarm.notice_refund"]
    assert house.payment(payment).refunded_minor == 0


def test_a_refund_that_fails_after_it_was_final(street: Street) -> None:
    """B60, R17: weeks after, the gateway tells that a refund failed: a person is told which."""
    house = street.house
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.work()
    house.void(payment)
    house.work()
    assert house.reversal(payment).state == "refunded"
    street.knock(event="refund.failed")
    street.look()
    assert house.alarms() == ["alarm.notice_refund_failed"]
    assert house.reversal(payment).state == "refunded"


def test_a_dispute_is_for_a_person(street: Street) -> None:
    """R17: a notice of a dispute names case and payment for a person; it opens none by itself."""
    house = street.house
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.work()
    street.knock(event="charge.dispute.created")
    street.look()
    [alarm] = house.rows("SELECT payment_id, why, details FROM events WHERE what = 'alarm.notice_dispute'")
    assert alarm.payment_id == payment
    assert alarm.details["case"].startswith("du_")
    assert alarm.details["case"] in alarm.why
    assert house.rows("SELECT 1 FROM disputes") == []
    street.knock(event="charge.dispute.updated")
    street.look()
    assert house.alarms() == ["alarm.notice_dispute"] * 2


def test_a_rejected_one_that_comes_again(
    street: Street, engine: Engine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """D1: rejected since our secret was wrong, it is looked at again when it comes again after a while."""
    payment = lost(street)
    settings = settings_of(street.house.sandbox, "stripe", database_url, redis_url, str(tmp_path / "keys.json"))
    stripe = {**settings.gateway_config["stripe"], "webhook_secret": "whsec_of_another_endpoint"}
    wrong = replace(settings, gateway_config={**settings.gateway_config, "stripe": stripe})
    sent = street.knock()
    with_wrong = build(engine, wrong, street.house.sandbox)
    assert notice_task.work(with_wrong.context).ended == {"rejected": 1}
    with_wrong.context.wake.close()
    assert street.post(sent.body.encode(), **sent.headers).status_code == 200
    assert street.states() == ["rejected"], "at once it would only be looked at for nothing"
    street.house.advance(minutes=2)
    street.post(sent.body.encode(), **sent.headers)
    assert street.states() == ["waiting"]
    assert street.look().ended == {"verified": 1}
    street.house.look_up()
    assert street.house.state(payment) == "posted"


@pytest.mark.parametrize("gateway", ["paypal"])
def test_paypal_says_nothing(street: Street, gateway: str) -> None:
    """D1: while PayPal does not say whether a notice is its own it is asked again; in the end it is rejected."""
    payment = lost(street)
    street.house.sandbox.client.scenario(before=[page(503)], operation="inquiry", gateway=gateway, times=0)
    street.knock()
    for _ in kept.AGAIN:
        assert street.look().ended == {}
        assert street.states() == ["waiting"]
        street.house.advance(hours=6)
    assert street.look().ended == {"rejected": 1}
    assert street.why() == ["paypal did not say whether it sent it"]
    assert street.house.sales(payment) == ["unknown"]


@pytest.mark.parametrize("gateway", ["paypal"])
def test_paypal_says_it_later(street: Street, gateway: str) -> None:
    """D1: a notice that could not be verified at first is verified at the next try, and then counts."""
    lost(street)
    street.house.sandbox.client.scenario(before=[page(503)], operation="inquiry", gateway=gateway)
    street.knock()
    assert street.look().ended == {}
    street.house.advance(minutes=1)
    assert street.look().ended == {"verified": 1}


@pytest.mark.parametrize("gateway", ["paypal"])
@pytest.mark.parametrize(
    "said",
    [
        page(200, "<html>", "text/html"),
        page(200, "{}", "application/json"),
        page(200, '{"verification_status": "success"}', "application/json"),
        page(400, '{"name": "VALIDATION_ERROR", "verification_status": "SUCCESS"}', "application/json"),
        page(307),
        close(),
    ],
    ids=["a page", "nothing", "another word", "an error", "a redirect", "silence"],
)
def test_what_is_no_yes_of_paypals(street: Street, gateway: str, said: Any) -> None:
    """B19, D1: only PayPal's own SUCCESS makes a notice PayPal's; nothing else is taken for a yes or a no."""
    lost(street)
    street.house.sandbox.client.scenario(before=[said], operation="inquiry", gateway=gateway, times=0)
    street.knock()
    assert street.look().ended == {}
    assert street.states() == ["waiting"]
    assert street.house.sandbox.client.decoy()[1] == [], "nothing follows a redirect, or goes to the notice's address"


def test_a_lost_message_costs_delay(street: Street) -> None:
    """B52, D3: a lost wake-up call, or a worker that died, costs delay: the sweeper finds the notice, once."""
    lost(street)
    street.knock()
    street.house.advance(seconds=15)
    assert "notices (1)" in street.house.sweep()
    with street.house.context.transaction() as (conn, now):
        assert len(kept.claim(conn, 10, now)) == 1
    assert street.look().ended == {}
    street.house.advance(minutes=6)
    assert street.look().ended == {"verified": 1}


def test_who_lost_the_lease_records_nothing(street: Street) -> None:
    """D2: a worker whose lease passed on finishes nothing."""
    lost(street)
    street.knock()
    with street.house.context.transaction() as (conn, now):
        [first] = kept.claim(conn, 10, now)
    street.house.advance(minutes=6)
    with street.house.context.transaction() as (conn, now):
        kept.claim(conn, 10, now)
        late = kept.finish(conn, [(first, kept.NotProven("late"))], now, "defray")
    assert late.ended == {}
    assert street.states() == ["waiting"]


def test_old_ones_are_forgotten(street: Street) -> None:
    """D1: after 90 days the sweeper deletes what was looked at, some at a time; what waits is kept."""
    street.house.bill("C-1", {"A": 6000})
    street.house.pay(6000, card())
    street.house.work()
    street.knock()
    street.look()
    street.house.advance(days=89)
    street.post(b"{}")
    street.house.sweep()
    assert street.states() == ["verified", "waiting"]
    street.house.advance(days=2)
    street.house.sweep()
    assert street.states() == ["waiting"]
    street.house.advance(days=100)
    street.house.sweep()
    assert street.states() == ["waiting"]
