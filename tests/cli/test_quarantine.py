"""E7: `defray quarantine`, `reconcile --adopt`, `adopt`, `quarantine release`: from a restore to books that agree."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from books import epoch
from books.terms import draw_reference
from rules.errors import KeyReused
from tests.cli.conftest import Desk
from tests.flows.house import House, card


def quarantined(house: House) -> None:
    """As a restore would be found."""
    with house.context.transaction() as (conn, now):
        epoch.quarantine(conn, "rehearsed", now, "test")


@pytest.fixture
def report(desk: Desk, tmp_path: Path) -> Path:
    """Payflow's report of charges that the restored books do not know: one of 60.00 that waits here, one of 5.00."""
    house = desk.house
    house.bill("C-0", {"A": 6000, "B": 500})
    for number, amount in (("A", 6000), ("B", 500)):
        house.pay(amount, card(), customer="C-0", invoices=[number], idempotency_key=number)
    house.work()
    house.advance(hours=2)
    house.sandbox.client.settle()
    told = house.sandbox.client.report("payflow").decode()
    for sale in house.rows("SELECT reference, transaction_id FROM gateway_transactions"):
        known, other = base_36(sale.reference), base_36(draw_reference())
        assert known in told.upper()
        told = re.sub(known, other, told, flags=re.I).replace(sale.transaction_id, sale.transaction_id[::-1])
    path = tmp_path / "payflow.csv"
    path.write_text(told)
    house.bill("C-1", {"A": 6000})
    house.bill("C-2", {"B": 500})
    house.pay(6000, card(), idempotency_key="waits")
    house.do("UPDATE payments SET recorded_at = recorded_at - interval '1 day'")
    quarantined(house)
    return path


def base_36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = string.digits[digit] + digits if digit < 10 else string.ascii_uppercase[digit - 10] + digits
    return digits


def test_no_quarantine(desk: Desk) -> None:
    """E7: usually there is none, and there is nothing to release."""
    said = desk.run("quarantine")
    assert (said.exit_code, said.stdout) == (0, "There is no quarantine: cards are charged as usual.\n")
    assert desk.run("quarantine", "release", "--reason", "why not").exit_code == 1


def test_what_is_said_of_it(desk: Desk) -> None:
    """E7: since when, why and what to do; `doctor` says so, too; the release asks, and a no changes nothing."""
    desk.house.charge()
    quarantined(desk.house)
    said = desk.run("quarantine")
    assert said.exit_code == 1
    assert "rehearsed." in said.stdout
    assert "defray quarantine release" in said.stdout
    assert "WRONG  quarantine: since" in desk.run("doctor").stdout
    refused = desk.run("quarantine", "release", "--reason", "done")
    assert (refused.exit_code, "no report of payflow was read" in refused.stderr) == (1, True)
    no = desk.run("quarantine", "release", "--reason", "done", "--anyway", given="n\n")
    assert (no.exit_code, desk.run("quarantine").exit_code) == (1, 1)
    told = desk.ask("quarantine", "release", "--reason", "done", "--anyway", "--yes", "--by", "sue")
    assert told["released"]
    [event] = desk.house.rows("SELECT by, why FROM events WHERE what = 'quarantine.released'")
    assert (event.by, event.why) == ("sue", "done")
    assert desk.run("quarantine").exit_code == 0


def test_from_a_restore_to_books_that_agree(desk: Desk, report: Path) -> None:
    """E7: what fits the one payment that waits is adopted, the rest a person names; then nothing is charged again."""
    house = desk.house
    charged = house.sandbox.client.charges()
    told = desk.ask("reconcile", "payflow", report, "--adopt", "--yes", code=1)
    assert (told["adopted"], told["left"]["missing_here"]) == (1, 1)
    assert house.invoices("C-1") == {"A": ("paid", 0)}
    [left] = [one for one in told["differences"] if one["finding"] == "missing_here" and one["became"] is None]
    which = ("adopt", told["report_id"], left["line"], "--reason", "asked the shop")
    assert desk.run(*which).exit_code == 2
    for wrong in (
        ("--payment", 1),
        ("--refund-of", 1),
        ("--customer", "nobody"),
        ("--customer", "C-2", "--invoice", "none"),
    ):
        assert desk.run(*which, *wrong).exit_code == 1
    which_request = ("--caller", "shop", "--key", "order-2", "--last-four", "1111")
    said = desk.ask(*which, "--customer", "C-2", "--invoice", "B", *which_request)
    assert said["done"] == "posted"
    assert house.invoices("C-2") == {"B": ("paid", 0)}
    assert house.rows("SELECT 1 FROM payments WHERE idempotency_key = 'order-2' AND card_last_four = '1111'")
    assert desk.run(*which, "--given-back").exit_code == 1
    desk.ask("quarantine", "release", "--reason", "done", "--anyway", "--yes")
    house.work()
    assert house.sandbox.client.charges() == charged
    with pytest.raises(KeyReused):
        house.pay(500, card(), customer="C-2", idempotency_key="order-2")
    assert desk.ask("audit")["passed"]
