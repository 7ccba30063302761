"""Issue 4: which gateways charge cards, for admins: without any secret, and with what went over them today."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from starlette.testclient import TestClient

from rules.outcomes import Failed, FailureClass
from settings import load
from tests.web.conftest import Books, Visitor
from web.app import served
from worker.breakers import Breakers

TOLD = {
    "DEFRAY_GATEWAYS": "payflow,plugnpay",
    "DEFRAY_CARD_ROUTES": "amex=plugnpay,visa/USD=payflow",
    "DEFRAY_PAYFLOW_URL": "https://pilot.example/secret-path?and=query",
    "DEFRAY_PAYFLOW_USER": "the-user",
    "DEFRAY_PAYFLOW_VENDOR": "the-vendor",
    "DEFRAY_PAYFLOW_PASSWORD": "payflow-passphrase",
    "DEFRAY_PLUGNPAY_URL": "https://pay1.example/payment",
    "DEFRAY_PLUGNPAY_PUBLISHER_NAME": "the-publisher",
    "DEFRAY_PLUGNPAY_PUBLISHER_PASSWORD": "plugnpay-passphrase",
}


@pytest.fixture
def admin(database_url: str, redis_url: str, tmp_path: Path, office_people: None) -> Iterator[Visitor]:
    """A browser in which Ada is logged in, at a server with two gateways."""
    told = {
        "DEFRAY_DATABASE_URL": database_url,
        "DEFRAY_REDIS_URL": redis_url,
        "DEFRAY_KEY_FILE": str(tmp_path / "keys.json"),
        "DEFRAY_HOME": str(tmp_path),
        **TOLD,
    }
    with TestClient(served(load(told)), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        visitor = Visitor(client)
        assert visitor.log_in("ada").status_code == 303
        yield visitor


def test_where_they_lead(admin: Visitor) -> None:
    """Host, account and routes are there; of an address no path, and no secret anywhere."""
    page = admin.get("/console/gateways").text
    for shown in ("pilot.example", "pay1.example", "the-user", "the-vendor", "the-publisher", "DEFRAY_CARD_ROUTES"):
        assert shown in page
    assert page.index("<td>Amex</td>") < page.index("<td>Visa</td><td>USD</td><td>any</td><td>any</td><td>payflow</td>")
    for hidden in ("passphrase", "secret-path", "and=query"):
        assert hidden not in page


def test_today(admin: Visitor, books: Books) -> None:
    """What went over each gateway today is counted by what came of it; yesterday's is not."""
    customer = books.bill("C-1", {"A-1": 1250})
    ages = {"approved": "0", "declined": "0", "unknown": "0", "failed": "25 hours"}
    states = ("payflow approved", "payflow declined", "payflow declined", "plugnpay unknown", "payflow failed")
    for place, (gateway, state) in enumerate(one.split() for one in states):
        payment = books.one(
            "INSERT INTO payments (customer_id, caller, idempotency_key, content_digest, method, currency, total_minor,"
            " as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, recorded_at, recorded_by)"
            " VALUES (:c, 'test', :k, '', 'credit_card', 'USD', 100, false, false, 'ask', 100, 'cancelled', now(),"
            " 'test') RETURNING id",
            c=customer,
            k=f"k-{place}",
        )
        books.do(
            "INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor,"
            " currency, state, send_until, started_at)"
            " VALUES (:p, 'sale', :g, 'a', :r, 100, 'USD', :s, now(), now() - CAST(:ago AS interval))",
            p=payment,
            g=gateway,
            r=10**18 + place,
            s=state,
            ago=ages[state],
        )
    page = " ".join(admin.get("/console/gateways").text.split())
    counts = {
        row.split("</th>")[0]: [cell.split("</td>")[0] for cell in row.split('<td class="sum">')[1:]]
        for row in page.split('<th scope="row">')[1:]
    }
    assert counts == {"Payflow Pro": ["1", "2", "0", "0", "0", "0"], "Plug&#39;n Pay": ["0", "0", "0", "1", "0", "0"]}


def test_a_rested_gateway(admin: Visitor, redis_url: str) -> None:
    """E6: a gateway that keeps failing is named with its reason, and what becomes of its payments."""
    assert "is rested, it keeps failing" not in admin.get("/console/gateways").text
    with redis.Redis.from_url(redis_url) as broker:
        busy = Failed(FailureClass.BUSY, "106", "the processor is not available")
        Breakers(broker, ["payflow"], 2, timedelta(minutes=1)).hear([("payflow", busy)] * 2)
    page = admin.get("/console/gateways").text
    assert "payflow is rested, it keeps failing (106 the processor is not available): for " in page
    assert "go to the next gateway of their route" in page


def test_none(visitor: Visitor) -> None:
    """R7: with no gateway it says that no card is charged."""
    visitor.log_in("ada")
    assert "no card is charged" in visitor.get("/console/gateways").text


@pytest.mark.parametrize("name", ["ann", "sue"])
def test_for_admins_alone(visitor: Visitor, name: str) -> None:
    """A clerk and a supervisor are refused."""
    visitor.log_in(name)
    assert visitor.get("/console/gateways").status_code == 403
