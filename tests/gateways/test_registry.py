"""Building gateways from plain configuration: what is wrong with it is said at once, all of it, without secrets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateways.catalog import KINDS
from gateways.registry import build, faults
from rules.errors import SettingsError
from tests.gateways.builders import CONFIGS
from tests.gateways.missing import missing

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


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_missing(name: str) -> None:
    """Adding a gateway means these things; the test names those that are still to come."""
    assert missing(name, ROOT) == []


def test_everything_is_missing() -> None:
    """Of a gateway that nobody began, all of them."""
    assert len(missing("nosuch", ROOT)) == 7


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
