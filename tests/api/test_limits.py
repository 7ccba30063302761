"""Issue 6, point 5: how much is taken of each key and of strangers; without Redis everything is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from settings import Settings
from tests.api.conftest import App, problem
from web.app import served


@contextmanager
def limited(settings: Settings, app: App, **changed: object) -> Iterator[App]:
    """The app at a web process with these settings."""
    with TestClient(served(replace(settings, **changed)), base_url="http://127.0.0.1") as client:  # type: ignore[arg-type]
        yield App(client, app.secret)


def test_each_key_has_its_own(settings: Settings, new_app: Callable[..., App]) -> None:
    """A key's calls are counted and told in the draft's headers; one too many waits, and nobody else does."""
    with limited(settings, new_app("busy"), api_calls_a_minute=3, api_calls_by_key=(("large", 50),)) as busy:
        for left in (2, 1, 0):
            answer = busy.get("/v1/customers")
            assert answer.headers["RateLimit-Policy"] == '"minute";q=3;w=60'
            assert answer.headers["RateLimit"].startswith(f'"minute";r={left};t=')
        refused = busy.get("/v1/customers")
        assert problem(refused) == (429, "too-many-requests")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit"] == f'"minute";r=0;t={refused.headers["Retry-After"]}'
        assert App(busy.client, new_app("calm").secret).get("/v1/customers").is_success
        large = App(busy.client, new_app("large").secret).get("/v1/customers")
        assert large.headers["RateLimit-Policy"] == '"minute";q=50;w=60'


def test_strangers(settings: Settings, shop: App) -> None:
    """Calls without a right key are counted by address, and cost right keys nothing; 0 takes any number."""
    with limited(settings, shop, api_failures_a_minute=2, api_calls_a_minute=0) as right:
        wrong = App(right.client, "dfk_live_wrong")
        assert [problem(wrong.get("/v1/customers"))[0] for _ in range(3)] == [401, 401, 429]
        answer = right.get("/v1/customers")
        assert answer.is_success
        assert "RateLimit" not in answer.headers


@pytest.fixture
def mute() -> Iterator[str]:
    """A Redis that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield f"redis://127.0.0.1:{door.getsockname()[1]}/0"


def gone() -> str:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return f"redis://127.0.0.1:{door.getsockname()[1]}/0"


@pytest.mark.parametrize("how", ["hangs", "is gone"])
def test_without_redis(settings: Settings, shop: App, mute: str, how: str) -> None:
    """Where Redis hangs or is gone, nothing is counted and everything is taken."""
    away = mute if how == "hangs" else gone()
    with limited(settings, shop, redis_url=away, api_calls_a_minute=1, api_failures_a_minute=1) as app:
        answers = [app.get("/v1/customers") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert "RateLimit" not in answers[0].headers
        wrong = App(app.client, "dfk_live_wrong")
        assert [wrong.get("/v1/customers").status_code for _ in range(2)] == [401, 401]
        assert app.post("/v1/customers", number="C-1").status_code == 201
