"""Issue 6, point 7: the OpenAPI document is true: schemathesis finds nothing at the running server with real parts."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from starlette.testclient import TestClient

from settings import Settings
from tests.api.conftest import App
from tests.api.test_docs import listening
from tests.flows.house import House
from web import api, headers
from web.api import document, taken

PROJECT = Path(__file__).parents[2]
CONFIG = PROJECT / "tests/api/schemathesis.toml"
COVERED = ("customers_create", "payments_get", "payments_refund", "invoices_void", "batches_get")
"""Calls whose every boundary is tried in the tests: a schema with many fields takes minutes (`make fuzz-api`)."""
OPERATIONS = {call["operationId"] for by in document.parsed()["paths"].values() for call in by.values()}
EXAMPLES = os.environ.get("DEFRAY_TEST_FUZZ_EXAMPLES", "")
HERE = "127.0.0.1"
PHASES = "examples,coverage,fuzzing,stateful"


def test_the_file_is_up_to_date() -> None:
    """docs/openapi.json is what `python -m web.api.document` prints today, and OpenAPI 3.1."""
    assert (PROJECT / "docs/openapi.json").read_text() == document.text()
    said = document.parsed()
    assert said["openapi"] == "3.1.0"
    for schema in (*(body for body, _ in taken.BODIES.values()), *said["components"]["schemas"].values()):
        Draft202012Validator.check_schema(schema)


def test_every_route_is_there() -> None:
    """Every call of the API stands in the document, and every write says what it takes; nothing else does."""
    routes = [route for router in api.ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    calls = {(method, route.path_format) for route in routes for method in route.methods or ()} | {
        ("POST", "/v1/cards")
    }
    said = {(method.upper(), path) for path, by in document.parsed()["paths"].items() for method in by}
    assert said == calls
    assert {call for call in calls if call[0] == "POST"} == set(taken.BODIES)


def test_served(client: TestClient) -> None:
    """Anybody may read the document, and a page of it: each call with its fields and example, by our sheet alone."""
    assert client.get("/v1/openapi.json").json() == document.parsed()
    page = client.get("/v1/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"] == headers.POLICY
    assert [f'id="{call}"' in page.text for call in OPERATIONS] == [True] * len(OPERATIONS)
    assert "refund_on_void_failure" in page.text
    assert "4111111111111111" in page.text
    [sheet] = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.text)
    assert client.get(sheet).headers["content-type"].startswith("text/css")
    assert not re.search(r"<script|<style|style=|src=| on[a-z]+=", page.text)
    assert not set(re.findall(r'(?:href|url)[="(]+(https?://[^")]+)', page.text))


def test_schemathesis(
    shop: App, house: House, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All checks, all phases, calls that lead to each other: nothing is found; bounded by examples, never by time."""
    shop.bill("C-1001", {"0001": 1250, "0002": 500})
    shop.made("/v1/payments", **shop.check(100, "C-1001"))
    every_name_is_public(monkeypatch)
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.read_text() + ("" if EXAMPLES else quick()))
    with listening(settings) as address:
        found = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "--config-file", config),
                *("run", f"{address}/v1/openapi.json", "-H", f"Authorization: Bearer {shop.secret}"),
                *("--phases", PHASES),
                *("--continue-on-failure", "--no-color", "--warnings", "off"),
                *(("--max-examples", EXAMPLES) if EXAMPLES else ()),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(PROJECT)},
        )
    assert found.returncode == 0, found.stdout + found.stderr


def quick() -> str:
    """Settings by which only some calls are covered whole."""
    assert set(COVERED) <= OPERATIONS
    left = ", ".join(f'"{name}"' for name in sorted(OPERATIONS - set(COVERED)))
    return f"\n[[operations]]\ninclude-operation-id = [{left}]\nphases.coverage.enabled = false\n"


def every_name_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is resolved in tests: each leads to one address of the open Internet, which nothing is sent to."""
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443))
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: real(host, *rest, **more) if host == HERE else [entry]
    )
