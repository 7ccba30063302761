"""Settings: each is checked at start, and a wrong one is told with its variable, its value and what is expected."""

from __future__ import annotations

import re
from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rules.cards import Brand
from rules.charging import WhenOwedLess
from rules.errors import SettingsError
from rules.routes import Asked, gateway_for
from settings import documentation, load

PAYFLOW = {
    "DEFRAY_PAYFLOW_URL": "https://payflow.example/",
    "DEFRAY_PAYFLOW_USER": "clerk",
    "DEFRAY_PAYFLOW_VENDOR": "acme",
    "DEFRAY_PAYFLOW_PASSWORD": "s3cret-of-payflow",
}
PLUGNPAY = {
    "DEFRAY_PLUGNPAY_URL": "https://plugnpay.example/",
    "DEFRAY_PLUGNPAY_PUBLISHER_NAME": "acme",
    "DEFRAY_PLUGNPAY_PUBLISHER_PASSWORD": "s3cret-of-plugnpay",
}
BOTH = {**PAYFLOW, **PLUGNPAY, "DEFRAY_GATEWAYS": "payflow, plugnpay"}


def test_nothing_needs_to_be_set() -> None:
    """Every setting has a default with which Defray runs on one machine."""
    settings = load({"PATH": "/bin", "HOME": "/nowhere"})
    assert settings.lanes == 2
    assert settings.business_time_zone == ZoneInfo("UTC")
    assert settings.when_owed_less is WhenOwedLess.ASK
    assert settings.gateways == ()
    assert settings.card_routes == ()


def test_each_kind_is_read() -> None:
    """A setting is a value of its type, not a text."""
    settings = load(
        {
            **BOTH,
            "DEFRAY_DATABASE_URL": "postgresql://defray:pw@db.example:5432/defray",
            "DEFRAY_BUSINESS_TIME_ZONE": "America/New_York",
            "DEFRAY_READ_TIMEOUT": "90",
            "DEFRAY_RETRY_OPENS": "07:15",
            "DEFRAY_RETRY_HOLIDAYS": "2026-12-25,2027-01-01",
            "DEFRAY_LANES": "",
        }
    )
    assert settings.database_url == "postgresql+psycopg://defray:pw@db.example:5432/defray"
    assert settings.business_time_zone == ZoneInfo("America/New_York")
    assert settings.read_timeout == timedelta(seconds=90)
    assert settings.gateways == ("payflow", "plugnpay")
    assert settings.retry_policy.opens == time(7, 15)
    assert len(settings.retry_policy.bank_holidays) == 2
    assert settings.lanes == 2


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DEFRAY_LANES", "zero", "a whole number from 1 to 64"),
        ("DEFRAY_LANES", "65", "a whole number from 1 to 64"),
        ("DEFRAY_WINDOW", "1e3", "a whole number from 1 to 2000"),
        ("DEFRAY_READ_TIMEOUT", "0", "whole seconds from 1 to 300"),
        ("DEFRAY_RETRY_DATED_DAYS", "3,2", "days after the first decline, rising"),
        ("DEFRAY_RETRY_GENERIC_DAYS", "0,61", "days after the first decline, rising"),
        ("DEFRAY_RETRY_AT_END", "forget", "decline or ask"),
        ("DEFRAY_BUSINESS_TIME_ZONE", "Mars/Olympus", "an IANA name such as America/New_York"),
        ("DEFRAY_BUSINESS_TIME_ZONE", "../etc/passwd", "an IANA name such as America/New_York"),
        ("DEFRAY_WHEN_OWED_LESS", "charge", "charge_reduced, ask or charge_all"),
        ("DEFRAY_REFUND_ON_VOID_FAILURE", "no", "auto or ask"),
        ("DEFRAY_GATEWAYS", "payflow,nochex", "names from "),
        ("DEFRAY_GATEWAYS", "payflow,payflow", "each once"),
        ("DEFRAY_PAYFLOW_URL", "payflow.example", "https://HOST/PATH"),
        ("DEFRAY_RETRY_OPENS", "9 o'clock", "a time of day such as 09:00"),
        ("DEFRAY_RETRY_HOLIDAYS", "Christmas", "days such as 2026-12-25"),
        ("DEFRAY_RETRY_ATTEMPTS", "20", "a whole number from 1 to 6"),
    ],
)
def test_wrong_value(variable: str, value: str, expected: str) -> None:
    """A wrong value is told with its variable, the value and what is expected."""
    with pytest.raises(SettingsError) as refused:
        load({variable: value})
    assert f"{variable} is " in refused.value.message
    assert value in refused.value.message.replace("\\", "")
    assert expected in refused.value.message


def test_all_faults_at_once() -> None:
    """Whoever sets up Defray mends everything in one go."""
    with pytest.raises(SettingsError) as refused:
        load({"DEFRAY_LANES": "x", "DEFRAY_WINDOW": "y", "DEFRAY_LANE": "1"})
    assert {line.split()[0] for line in refused.value.message.splitlines()} == {
        "DEFRAY_LANES",
        "DEFRAY_WINDOW",
        "DEFRAY_LANE",
    }


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEFRAY_DATABASE_URL", "mysql://defray:hunter2@db.example/defray"),
        ("DEFRAY_REDIS_URL", "http://:hunter2@broker.example/0"),
    ],
)
def test_secrets_are_not_shown(variable: str, value: str) -> None:
    """C3: neither an error nor a repr shows a secret."""
    with pytest.raises(SettingsError) as refused:
        load({variable: value})
    assert variable in str(refused.value)
    assert "hunter2" not in str(refused.value)
    settings = load({**BOTH, "DEFRAY_REDIS_URL": "redis://:hunter2@broker.example/0"})
    assert "s3cret" not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_unknown_name() -> None:
    """A name that is no setting is refused, with the nearest one that is."""
    with pytest.raises(SettingsError, match=r"DEFRAY_REDIS is no setting\. Did you mean DEFRAY_REDIS_URL\?"):
        load({"DEFRAY_REDIS": "redis://broker.example/0"})
    load({"DEFRAY_TEST_DATABASE_URL": "for the tests", "DEFRAY_RECEIVABLES": "for the tests"})


def test_secret_from_file(tmp_path: Path) -> None:
    """Every secret can come from a file, as container platforms hand them out."""
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    del_password = {name: value for name, value in BOTH.items() if name != "DEFRAY_PAYFLOW_PASSWORD"}
    assert (
        load({**del_password, "DEFRAY_PAYFLOW_PASSWORD_FILE": str(file)}).gateway_config["payflow"]["password"]
        == "s3cret"
    )
    with pytest.raises(SettingsError, match="are both set"):
        load({**BOTH, "DEFRAY_PAYFLOW_PASSWORD_FILE": str(file)})
    with pytest.raises(SettingsError, match=r"DEFRAY_PAYFLOW_PASSWORD_FILE is .*cannot be read"):
        load({**del_password, "DEFRAY_PAYFLOW_PASSWORD_FILE": str(tmp_path / "nothing")})
    with pytest.raises(SettingsError, match="DEFRAY_LANES_FILE is no setting"):
        load({"DEFRAY_LANES_FILE": str(file)})


def test_gateway_needs_its_account() -> None:
    """A gateway that is configured in part only is told at start, not at the first charge."""
    with pytest.raises(SettingsError) as refused:
        load({"DEFRAY_GATEWAYS": "plugnpay", "DEFRAY_PLUGNPAY_URL": "https://plugnpay.example/"})
    assert "DEFRAY_PLUGNPAY_PUBLISHER_NAME is not set, and DEFRAY_GATEWAYS names plugnpay" in refused.value.message
    assert "DEFRAY_PLUGNPAY_URL" not in refused.value.message


def test_first_route_that_fits() -> None:
    """R7: which card goes to which gateway is configuration; what no route names is not charged."""
    settings = load({**BOTH, "DEFRAY_CARD_ROUTES": "amex=plugnpay, visa/USD=payflow, EUR=plugnpay"})
    assert gateway_for(settings.card_routes, Asked(Brand.AMEX, "USD", 100, "C-1", "k")) == "plugnpay"
    assert gateway_for(settings.card_routes, Asked(Brand.VISA, "USD", 100, "C-1", "k")) == "payflow"
    assert gateway_for(settings.card_routes, Asked(Brand.VISA, "EUR", 100, "C-1", "k")) == "plugnpay"
    assert gateway_for(settings.card_routes, Asked(Brand.MASTERCARD, "USD", 100, "C-1", "k")) is None
    only = load({**BOTH, "DEFRAY_CARD_ROUTES": "*=plugnpay"})
    assert gateway_for(only.card_routes, Asked(Brand.JCB, "JPY", 100, "C-1", "k")) == "plugnpay"
    unset = load(BOTH)
    assert gateway_for(unset.card_routes, Asked(Brand.JCB, "JPY", 100, "C-1", "k")) == "payflow"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("amex", "names no gateway"),
        ("amex=paypal", "no such gateway is configured"),
        ("amexx=payflow", "neither"),
        ("visa/mastercard=payflow", "neither"),
        ("XXX=payflow", "not a currency in use"),
    ],
)
def test_wrong_route(given: str, problem: str) -> None:
    """R7: a route that cannot be meant is told at start."""
    with pytest.raises(SettingsError, match=f"DEFRAY_CARD_ROUTES has .*{problem}"):
        load({**BOTH, "DEFRAY_CARD_ROUTES": given})


def test_servers_are_needed() -> None:
    """A process that needs its servers and knows none says which variable to set."""
    with pytest.raises(SettingsError, match="DEFRAY_REDIS_URL not set"):
        load({"DEFRAY_DATABASE_URL": "postgresql://db.example/defray"}).servers()


def test_lease_outlasts_all_timeouts() -> None:
    """E1: the lease lasts for connecting, both reads and recording, whatever the settings say."""
    settings = load({"DEFRAY_CONNECT_TIMEOUT": "1", "DEFRAY_READ_TIMEOUT": "2", "DEFRAY_RECORD_WITHIN": "3"})
    assert settings.answer_within == timedelta(seconds=1 + 2 + 2 + 3)


def test_documentation_is_up_to_date() -> None:
    """docs/settings.md lists every setting as it is."""
    page = Path(__file__).parents[1] / "docs" / "settings.md"
    assert page.read_text() == documentation(), "run `python -m settings > docs/settings.md`"
    assert len(re.findall(r"^\| `DEFRAY_", documentation(), re.MULTILINE)) > 20
