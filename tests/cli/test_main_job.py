"""Issue 3, item 1: the sample batch from request to books that balance, with one refund, again and again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cli import main_job
from local.postgres import Postgres
from local.up import Running
from local.valkey import Valkey
from producer import sample
from tests.cli.conftest import Desk
from tests.cli.test_command import PROJECT
from tests.faults.plant import until
from tests.flows.house import card


def running(desk: Desk) -> Running:
    """What `defray up` hands to the job, with the house as its workers."""
    addresses = {"Sandbox": f"{desk.house.sandbox.base_url}/sandbox/"}
    return Running(desk.environment, addresses, list)


def test_the_sample_ends_in_books_that_balance(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    """Issue 3, item 1: the batch ends, one charge is refunded, the gateways' own books agree; again changes nothing."""
    with desk.at_work():
        assert main_job.run(running(desk))
        first = capfd.readouterr()
        refunded = desk.house.rows("SELECT payment_id, state FROM reversals")
        charges = desk.house.sandbox.client.charges()
        assert main_job.run(running(desk))
        second = capfd.readouterr()
    assert [one.state for one in refunded] in (["refund_accepted"], ["refunded"])
    assert "The books hold: 20 invariants, nothing found." in first.out
    assert f"All of it: defray explain {refunded[0].payment_id}" in first.out
    assert "handed in by an earlier run" not in first.out
    assert "handed in by an earlier run" in second.out
    assert desk.house.sandbox.client.charges() == charges
    assert desk.house.rows("SELECT payment_id, state FROM reversals") == refunded
    assert (
        first.out.split("payments  count")[1].split("\n\n")[0]
        == second.out.split("payments  count")[1].split("\n\n")[0]
    )


def test_a_charge_that_only_the_gateway_knows(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    """E5: where the gateways' own books say something else than ours, the job has not gone well."""
    with desk.at_work():
        assert main_job.run(running(desk))
        stray = desk.house.pay(100, card(), "C-0001", as_credit=True)
        until(lambda: desk.house.state(stray) == "posted", "the workers charge it")
        capfd.readouterr()
        assert main_job.run(running(desk))
        desk.house.sandbox.client.forget()
        assert not main_job.run(running(desk))
    assert "The gateways' own books do not say what ours say" in capfd.readouterr().out


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home folder whose servers' data is removed after the test."""
    yield tmp_path
    Postgres(tmp_path).remove()
    Valkey(tmp_path).remove()


def up_once(home: Path) -> subprocess.CompletedProcess[str]:
    """`make run ONCE=1`, but for the installing."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("DEFRAY_")}
    given = {"DEFRAY_HOME": str(home), "DEFRAY_KEY_FILE": str(home / "keys.json")}
    return subprocess.run(
        [sys.executable, "-m", "cli", "up", "--once"],
        cwd=PROJECT,
        env={**environ, **given},
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_one_command_does_it_all(home: Path, usual_ports: None) -> None:
    """Issue 3, item 1: from nothing to a batch that ended, by real processes; books that do not hold end with 1."""
    first = up_once(home)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "The books hold" in first.stdout
    assert "Flower " in first.stderr
    assert not (home / "running.json").exists()
    postgres = Postgres(home, lambda _: None)
    postgres.start()
    try:
        with psycopg.connect(postgres.url.replace("+psycopg", "")) as connection:
            connection.execute("UPDATE invoices SET balance_minor = balance_minor - 1 WHERE balance_minor > 1")
    finally:
        postgres.stop()
    second = up_once(home)
    assert second.returncode == 1, second.stdout + second.stderr
    assert "invoice_balances" in second.stdout
    assert "handed in by an earlier run" in second.stdout


def test_the_audit_holds_while_work_is_done(desk: Desk, tmp_path: Path) -> None:
    """B2: the audit looks at one moment, so that what is being charged and posted meanwhile is no finding."""
    drawn = sample.draw()
    sample.bill(drawn, desk.house.engine, tmp_path, "test")
    batch = sample.hand_in(drawn, desk.house.producer, "test").batch_id
    audits = 0
    with desk.at_work():
        end = time.monotonic() + 60
        while not desk.ask("status", "--batch", batch)["ended"]:
            assert desk.ask("audit")["passed"]
            audits += 1
            assert time.monotonic() < end
    assert audits > 0
