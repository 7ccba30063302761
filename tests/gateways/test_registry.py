"""Building gateways from plain configuration: what is wrong with it is said at once, all of it, without secrets."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateways.catalog import KINDS
from gateways.registry import build, faults
from rules.errors import SettingsError
from sandbox.protocols import PROTOCOLS
from tests.gateways.builders import CONFIGS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", KINDS)
def test_built(name: str) -> None:
    """Every gateway is built from its keys, and tells its name and account."""
    gateway = build(name, {"url": KINDS[name].live_url, **CONFIGS[name]}, 100, 5, 90)
    assert gateway.name == name
    assert gateway.account
    assert gateway.account not in [CONFIGS[name].get(secret) for secret in KINDS[name].secrets]
    assert KINDS[name].secrets < set(KINDS[name].keys)
    assert KINDS[name].defaults.keys() <= KINDS[name].keys.keys()


def _missing(name: str) -> list[str]:
    """What a gateway of the catalog still lacks, in words."""
    stories = ROOT / "tests" / "gateways" / f"test_{name}.py"
    parts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    strangers = next(part for part in parts if part["name"] == "The gateways do not know each other")
    needed = {
        f"gateways/{name}.py that defines GATEWAY": find_spec(f"gateways.{name}") is not None
        and hasattr(import_module(f"gateways.{name}"), "GATEWAY"),
        "its sandbox class in sandbox/protocols.py": name in {kind.name for kind in PROTOCOLS},
        "its entry in CONFIGS of tests/gateways/builders.py": name in CONFIGS,
        f"its Story in tests/gateways/test_{name}.py": stories.exists() and "(Story)" in stories.read_text(),
        f"docs/gateways/{name}.md": (ROOT / "docs" / "gateways" / f"{name}.md").exists(),
        "its module among the strangers of pyproject.toml": f"gateways.{name}" in strangers["modules"],
    }
    return [what for what, there in needed.items() if not there]


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_missing(name: str) -> None:
    """Adding a gateway means these things; the test names those that are still to come."""
    assert _missing(name) == []


def test_everything_is_missing() -> None:
    """Of a gateway that nobody began, all of them."""
    assert len(_missing("nosuch")) == 6


def test_table_of_all() -> None:
    """docs/gateways/README.md is what `python -m docs.gateways` prints today."""
    printed = subprocess.run(
        [sys.executable, "-m", "docs.gateways"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    page = ROOT / "docs" / "gateways" / "README.md"
    assert page.read_text() == printed, "run `python -m docs.gateways > docs/gateways/README.md`"


def test_unknown_gateway() -> None:
    """A name that nobody knows is answered with those that are known."""
    with pytest.raises(SettingsError, match=f"There is no gateway 'nosuch': choose one of {', '.join(KINDS)}"):
        build("nosuch", {}, 1, 1, 1)


def test_all_faults_at_once() -> None:
    """What is missing, what is not known and what cannot be sent is named together; no secret is repeated."""
    config = {
        "url": "https://pilot-payflowpro.paypal.com/",
        "user": "",
        "vendor": "v",
        "password": 's3"cret',
        "pwd": "x",
    }
    assert faults("payflow", config) == [
        "The gateway payflow needs 'user'.",
        "The gateway payflow needs 'partner'.",
        "The gateway payflow knows no 'pwd': it takes url, user, vendor, partner, password.",
        "'password' of the gateway payflow must be printable ASCII without double quotes.",
    ]
    with pytest.raises(SettingsError) as refused:
        build("payflow", config, 1, 1, 1)
    assert "s3" not in str(refused.value)


@pytest.mark.parametrize("name", KINDS)
def test_address_in_the_clear(name: str) -> None:
    """E3: a live gateway is not reached without TLS."""
    url = KINDS[name].live_url
    assert url.startswith("https://")
    with pytest.raises(SettingsError, match="in the clear"):
        build(name, {**CONFIGS[name], "url": url.replace("https:", "http:")}, 1, 1, 1)
