"""Issue 6, point 7: the OpenAPI document is true: schemathesis finds nothing at the running server with real parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from starlette.testclient import TestClient

from settings import Settings
from tests.api.conftest import App
from tests.api.test_docs import listening
from tests.flows.house import House
from web import api
from web.api import document

PROJECT = Path(__file__).parents[2]
EXAMPLES = os.environ.get("DEFRAY_TEST_FUZZ_EXAMPLES", "3")
PHASES = os.environ.get("DEFRAY_TEST_FUZZ_PHASES", "examples,fuzzing,stateful")
SECONDS = os.environ.get("DEFRAY_TEST_FUZZ_SECONDS", "20")


def test_the_file_is_up_to_date() -> None:
    """docs/openapi.json is what `python -m web.api.document` prints today, and OpenAPI 3.1."""
    assert (PROJECT / "docs/openapi.json").read_text() == document.text()
    said = document.parsed()
    assert said["openapi"] == "3.1.0"
    for schema in (*document.BODIES.values(), *said["components"]["schemas"].values()):
        Draft202012Validator.check_schema(schema)


def test_every_route_is_there() -> None:
    """Every call of the API stands in the document, and every write says what it takes; nothing else does."""
    routes = [route for router in api.ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    calls = {(method, route.path_format) for route in routes for method in route.methods or ()} | {
        ("POST", "/v1/cards")
    }
    said = {(method.upper(), path) for path, by in document.parsed()["paths"].items() for method in by}
    assert said == calls
    assert {call for call in calls if call[0] == "POST"} == set(document.BODIES)


def test_served(client: TestClient) -> None:
    """Anybody may read the document, and a page of it that loads nothing."""
    assert client.get("/v1/openapi.json").json() == document.parsed()
    page = client.get("/v1/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/v1/payments/{payment_id}/refund" in page.text
    assert "src=" not in page.text


def test_schemathesis(shop: App, house: House, settings: Settings, tmp_path: Path) -> None:
    """All checks, examples, drawn and linked calls: nothing is found."""
    shop.bill("C-1001", {"0001": 1250, "0002": 500})
    shop.made("/v1/payments", **shop.check(100, "C-1001"))
    with listening(settings) as address:
        found = subprocess.run(
            [
                *(
                    Path(sys.executable).with_name("schemathesis"),
                    "--config-file",
                    PROJECT / "tests/api/schemathesis.toml",
                ),
                *("run", f"{address}/v1/openapi.json", "-H", f"Authorization: Bearer {shop.secret}"),
                *("--seed", "6", "--max-examples", EXAMPLES, "--phases", PHASES, "--max-time", SECONDS),
                *("--continue-on-failure", "--no-color", "--no-shrink", "--warnings", "off"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )
    assert found.returncode == 0, found.stdout + found.stderr
