"""An operator sees at the command line which gateway is rested, and why (E6)."""

from __future__ import annotations

import pytest

from rules.outcomes import Failed, FailureClass
from tests.cli.conftest import Desk

BUSY = Failed(FailureClass.BUSY, "106", "the processor is not available")


def rest(desk: Desk) -> None:
    """Let payflow fail until it is rested."""
    breakers = desk.house.context.breakers
    while not breakers.hear([("payflow", BUSY)]):
        pass


def test_status_tells_of_a_rested_gateway(desk: Desk) -> None:
    """`defray status` names the gateway, the reason and how long it lasts; with none rested it says nothing of it."""
    assert "rested" not in desk.run("status").output
    rest(desk)
    said = desk.run("status").output
    assert "payflow is rested, it keeps failing (106 the processor is not available): for " in said
    told = desk.ask("status")["rested_gateways"]
    assert told["payflow"]["why"] == "106 the processor is not available"
    assert 0 < told["payflow"]["left"] <= 60


@pytest.mark.usefixtures("durable")
def test_doctor_finds_a_rested_gateway(desk: Desk) -> None:
    """`defray doctor` is not content while one is rested."""
    rest(desk)
    found = desk.ask("doctor", "--before-start", code=1)
    assert [check["what"] for check in found["checks"] if not check["well"]] == ["rest of payflow"]
