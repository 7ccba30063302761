"""Where gateways send their notices: anybody may knock, nothing is believed, nothing readable is kept (D1, C1)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, event
from starlette.testclient import TestClient

from books.notices import PER_MINUTE
from settings import Settings, load
from tests.web.conftest import Books
from web.app import served
from web.headers import BODY_MAX_OF_NOTICE

CARD = "4111111111111111"
HEADERS = {"Stripe-Signature": "t=1,v1=ab", "Cookie": "defray_session=x", "Authorization": "Bearer y"}


@pytest.fixture
def told(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """What the web process is told: Stripe is configured with notices, Authorize.Net without."""
    return {
        "DEFRAY_DATABASE_URL": database_url,
        "DEFRAY_REDIS_URL": redis_url,
        "DEFRAY_KEY_FILE": str(tmp_path / "keys.json"),
        "DEFRAY_GATEWAYS": "stripe,authorizenet,payflow",
        "DEFRAY_STRIPE_URL": "https://api.stripe.com/v1",
        "DEFRAY_STRIPE_SECRET_KEY": "sk_test_1",
        "DEFRAY_STRIPE_ACCOUNT": "acct_1",
        "DEFRAY_STRIPE_WEBHOOK_SECRET": "whsec_1",
        "DEFRAY_AUTHORIZENET_URL": "https://api.authorize.net/xml/v1/request.api",
        "DEFRAY_AUTHORIZENET_LOGIN_ID": "login",
        "DEFRAY_AUTHORIZENET_TRANSACTION_KEY": "key",
        "DEFRAY_PAYFLOW_URL": "https://payflowpro.paypal.com/",
        "DEFRAY_PAYFLOW_USER": "u",
        "DEFRAY_PAYFLOW_VENDOR": "v",
        "DEFRAY_PAYFLOW_PASSWORD": "p",
    }


@pytest.fixture
def street(told: dict[str, str], engine: Engine) -> Iterator[TestClient]:
    """Somebody on the street, without a session."""
    with TestClient(served(load(told)), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def rows(books: Books) -> int:
    """How many notices are kept."""
    return int(books.one("SELECT count(*) FROM notices"))


def test_kept_and_answered(street: TestClient, books: Books, redis_url: str) -> None:
    """D1: it is kept, due at once, answered with 200 and nothing else, and a worker is woken."""
    answer = street.post("/v1/notices/stripe", content=b'{"id": "evt_1"}', headers=HEADERS)
    assert (answer.status_code, answer.content) == (200, b"")
    kept = "SELECT jsonb_build_object('s', state, 'n', next_step, 'due', due_at = received_at) FROM notices"
    assert books.one(kept) == {"s": "waiting", "n": "verify", "due": True}
    with redis.Redis.from_url(redis_url) as broker:
        assert broker.llen("scheduled") == 1


def test_only_what_the_signature_needs(street: TestClient, books: Books) -> None:
    """C3: of the headers those of the gateway's signature are kept, cut; no cookie, no authorization."""
    street.post("/v1/notices/stripe", content=b"{}", headers={**HEADERS, "Stripe-Signature": "t=1,v1=" + "a" * 5000})
    headers = books.one("SELECT headers FROM notices")
    assert list(headers) == ["stripe-signature"]
    assert len(headers["stripe-signature"]) == 1000


def test_a_card_number_in_it(street: TestClient, books: Books, caplog: pytest.LogCaptureFixture) -> None:
    """C1, B61: a body with a card's number is kept sealed; the number stands in no table and no log."""
    assert street.post("/v1/notices/stripe", content=f'{{"card": "{CARD}"}}').status_code == 200
    assert rows(books) == 1
    for table in ("notices", "events", "evidence"):
        assert books.one(f"SELECT count(*) FROM {table} AS t WHERE CAST(t AS text) LIKE '%{CARD}%'") == 0
    hexed = CARD.encode().hex()
    assert books.one(f"SELECT count(*) FROM notices AS t WHERE CAST(t AS text) LIKE '%{hexed}%'") == 0
    assert CARD not in caplog.text


@pytest.mark.parametrize("gateway", ["nosuch", "payflow", "authorizenet", "paypal", "Stripe", "%2e%2e", "x" * 3000])
def test_nobody_we_know(street: TestClient, books: Books, gateway: str) -> None:
    """D1: a gateway that is unknown, sends no notices, or has no secret set here is not found; nothing is kept."""
    assert street.post(f"/v1/notices/{gateway}", content=b"{}").status_code == 404
    assert rows(books) == 0


@pytest.mark.parametrize("body", [b"", b"\xff\x00\xfe", b"no json", b"<html>", b"[" * 5000])
def test_whatever_it_is(street: TestClient, books: Books, body: bytes) -> None:
    """B19: what is no JSON is kept as it came; the worker says what it is, and the sender learns nothing of that."""
    assert street.post("/v1/notices/stripe", content=body).status_code == 200
    assert rows(books) == 1


def test_too_large(street: TestClient, books: Books) -> None:
    """D1: more than 64 KiB is not taken, whether the length is told or not; 64 KiB is."""
    assert street.post("/v1/notices/stripe", content=b"x" * (BODY_MAX_OF_NOTICE + 1)).status_code == 413

    def in_parts() -> Iterator[bytes]:
        for _ in range(17):
            yield b"x" * 4096

    assert street.post("/v1/notices/stripe", content=in_parts()).status_code == 413
    assert rows(books) == 0
    assert street.post("/v1/notices/stripe", content=b"x" * BODY_MAX_OF_NOTICE).status_code == 200


def test_other_methods(street: TestClient) -> None:
    """D1: notices are posted; there is nothing to see."""
    assert street.get("/v1/notices/stripe").status_code == 405


def test_twice_at_once(street: TestClient, books: Books) -> None:
    """D4: the same body ten times at once is one row, and ten times yes."""
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: street.post("/v1/notices/stripe", content=b"{1}").status_code, range(10)))
    assert answers == [200] * 10
    assert rows(books) == 1


def test_more_than_are_taken(street: TestClient, books: Books) -> None:
    """D1: past so many of one gateway in a minute the others are asked to come later; what is known is still known."""
    street.post("/v1/notices/stripe", content=b"{}")
    many = (
        "INSERT INTO notices (gateway, digest, headers, received_at, state)"
        " SELECT 'stripe', 'd' || n, '{}', now(), 'rejected' FROM generate_series(1, :most) AS n"
    )
    books.do(many, most=PER_MINUTE - 1)
    refused = street.post("/v1/notices/stripe", content=b"{2}")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert street.post("/v1/notices/stripe", content=b"{}").status_code == 200
    books.do("UPDATE notices SET gateway = 'paypal' WHERE state = 'rejected'")
    assert street.post("/v1/notices/stripe", content=b"{3}").status_code == 200
    books.do(
        "UPDATE notices SET gateway = 'stripe', received_at = received_at - interval '61 s' WHERE state = 'rejected'"
    )
    assert street.post("/v1/notices/stripe", content=b"{2}").status_code == 200


def test_one_insert(street: TestClient, engine: Engine) -> None:
    """D1: taking one costs the database's clock and one insert, whatever is in the table."""
    said: list[str] = []

    def hear(_conn: object, _cursor: object, statement: str, *_more: Any) -> None:
        said.append(statement.split(maxsplit=1)[0])

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        street.post("/v1/notices/stripe", content=b'{"id": "evt_2"}')
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert said == ["SELECT", "INSERT"]


def test_without_a_broker(told: dict[str, str], engine: Engine, books: Books) -> None:
    """D1: a broker that is away costs delay: the notice is kept and answered."""
    settings: Settings = load({**told, "DEFRAY_REDIS_URL": "redis://127.0.0.1:1/0"})
    with TestClient(served(settings), base_url="http://127.0.0.1") as client:
        assert client.post("/v1/notices/stripe", content=b"{}").status_code == 200
    assert rows(books) == 1
