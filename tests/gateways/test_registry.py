"""Building gateways from plain configuration: what is wrong with it is said at once, all of it, without secrets."""

from __future__ import annotations

import pytest

from gateways.catalog import KINDS
from gateways.registry import build, faults
from rules.errors import SettingsError
from tests.gateways.builders import CONFIGS


@pytest.mark.parametrize("name", KINDS)
def test_built(name: str) -> None:
    """Every gateway is built from its keys, and tells its name and account."""
    gateway = build(name, {"url": KINDS[name].live_url, **CONFIGS[name]}, 100, 5, 90)
    assert gateway.name == name
    assert gateway.account in ("sandbox", "pnpdemo")
    assert KINDS[name].secrets < set(KINDS[name].keys)


def test_unknown_gateway() -> None:
    """A name that nobody knows is answered with those that are known."""
    with pytest.raises(SettingsError, match="There is no gateway 'paypal': choose one of payflow, plugnpay"):
        build("paypal", {}, 1, 1, 1)


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


def test_address_in_the_clear() -> None:
    """E3: a live gateway is not reached without TLS."""
    with pytest.raises(SettingsError, match="in the clear"):
        build("plugnpay", {"url": "http://pay1.plugnpay.com/", **CONFIGS["plugnpay"]}, 1, 1, 1)
