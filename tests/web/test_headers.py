"""Issue 4: what every answer carries, static files, errors, health, and how large a question may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from fastapi import APIRouter
from starlette.testclient import TestClient

from settings import Settings
from tests.web.conftest import PASSWORD, Visitor
from web import app as web_app
from web import headers
from web.pages import STATIC


@pytest.mark.parametrize(
    "path", ["/console/login", "/console/find", "/console/nothing", "/healthz", "/v1/cards", "/static/x/y"]
)
def test_headers(visitor: Visitor, path: str) -> None:
    """Every answer, errors too, has the policy, is not framed, sniffed or cached."""
    answer = visitor.get(path)
    assert answer.headers["content-security-policy"] == headers.POLICY
    assert "unsafe" not in headers.POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


def test_no_inline_script_or_style() -> None:
    """The policy forbids them, so no template has any: no script without src, no style, no handler attribute."""
    for template in (STATIC.parent / "templates").rglob("*.html"):
        markup = template.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)", markup), template
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", markup), template


def test_every_form_has_a_token() -> None:
    """A form that writes sends the CSRF token."""
    for template in (STATIC.parent / "templates").rglob("*.html"):
        for form in re.findall(r'<form[^>]*method="post".*?</form>', template.read_text(), re.DOTALL):
            assert 'name="csrf_token"' in form or "forms.token(" in form, template


def test_static_files(visitor: Visitor) -> None:
    """Static files are cached for a year under an address that changes with them; other addresses are not there."""
    page = visitor.get("/console/login").text
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(addresses) == 4
    for address in addresses:
        answer = visitor.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert visitor.get(re.sub("/static/[^/]+/", "/static/0000000000000000/", address)).status_code == 404
    for address in ("/static/x/..%2fapp.py", "/static/x/%2e%2e", "/static/../app.py"):
        assert visitor.get(address).status_code == 404


def test_the_licence_of_htmx_is_kept() -> None:
    """What is not ours lies beside its licence."""
    assert "BSD" in (STATIC / "htmx.LICENSE.txt").read_text()


@pytest.mark.parametrize("said", [True, False])
def test_too_large(clerk: Visitor, said: bool) -> None:
    """A body over the limit is refused, whether it says its size or comes in pieces."""
    body = b"x" * (headers.BODY_MAX_AT["/v1/cards"] + 1)
    content = body if said else iter([body[:9000], body[9000:]])
    answer = clerk.client.post(
        "/v1/cards", content=content, headers={"Content-Type": "application/json", "X-CSRF-Token": clerk.token()}
    )
    assert answer.status_code == 413


def test_errors_for_people_and_programs(clerk: Visitor) -> None:
    """A person gets a page, a program problem details."""
    page = clerk.get("/console/customers/1")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no customer 1." in page.text
    said = clerk.get("/console/customers/1", headers={"Accept": "application/json"})
    assert said.headers["content-type"] == "application/problem+json"
    assert said.json()["status"] == 404
    assert clerk.get("/v1/nothing").headers["content-type"] == "application/problem+json"


def test_what_nobody_foresaw(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """An error of our own is answered without any of its words, with every header."""
    router = APIRouter()

    @router.get("/broken")
    def broken() -> None:
        raise RuntimeError("words of the error")

    app = web_app.create(settings)
    app.include_router(router)
    with TestClient(headers.Headers(app), raise_server_exceptions=False) as client:
        answer = client.get("/broken")
    assert answer.status_code == 500
    assert "words of the error" not in answer.text
    assert answer.headers["content-security-policy"] == headers.POLICY


def test_health(visitor: Visitor) -> None:
    """Alive and ready, for whoever asks, without a log-in."""
    assert visitor.get("/healthz").json() == {"status": "ok"}
    assert visitor.get("/readyz").json() == {"status": "ok", "database": "ok", "broker": "ok"}


def test_not_ready(settings: Settings) -> None:
    """Without its servers the process is alive and not ready, says which is missing, and a page says it in words."""
    nowhere = replace(
        settings,
        database_url="postgresql+psycopg://defray:x@127.0.0.1:1/defray",
        redis_url="redis://127.0.0.1:1/0",
    )
    with TestClient(web_app.served(nowhere), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["database"]) == (503, "does not answer")
        assert answer.json()["broker"] == "does not answer"
        visitor = Visitor(client)
        visitor.get("/console/login")
        page = visitor.post("/console/login", name="ann", password=PASSWORD)
        assert page.status_code == 503
        assert "does not answer" in page.text


def test_starts_with_a_key_file_of_its_own(settings: Settings, visitor: Visitor) -> None:
    """The vault's key file is made at first use, as by every process."""
    assert settings.key_file.stat().st_mode & 0o077 == 0
    assert isinstance(settings.key_file, Path)


def test_a_page_fits_a_slow_line(new_visitor: Callable[[], Visitor], redis_url: str) -> None:
    """Everything that the first page needs is less than 100 kB, all of it cached after that but the page."""
    visitor = new_visitor()
    page = visitor.get("/console/login")
    addresses = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))
    total = len(page.content) + sum(len(visitor.get(address).content) for address in addresses)
    assert total < 100_000
    assert redis.Redis.from_url(redis_url).ping()
