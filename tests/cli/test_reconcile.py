"""B2, E4: `defray reconcile` over the real command: what it shows, asks, records, and its exit codes."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from cli.reconcile import GATEWAYS
from reports import FORMS
from sandbox.client import close
from tests.cli.conftest import Desk
from tests.flows.house import card


@pytest.fixture
def report(desk: Desk, tmp_path: Path) -> Path:
    """Payflow's report: a sale that agrees, and one whose answer was lost."""
    house = desk.house
    house.bill("C-1", {"A": 6000})
    house.pay(6000, card())
    house.work()
    house.bill("C-2", {"A": 500})
    house.sandbox.client.scenario(after=[close()], operation="sale")
    house.pay(500, card(), customer="C-2")
    house.charge()
    house.sandbox.client.settle()
    path = tmp_path / "payflow.csv"
    path.write_bytes(house.sandbox.client.report("payflow"))
    return path


def test_nothing_changes_without_a_yes(desk: Desk, report: Path) -> None:
    """E4: the report is compared and stored; what it proves is shown first, and is not recorded without a yes."""
    shown = desk.run("reconcile", "payflow", report)
    assert shown.exit_code == 1
    assert re.search(r"Matched +sale +1 +60\.00 USD", shown.stdout)
    assert "unknown here, settled there" in shown.stdout
    assert "To look at: proven by the report 1. --apply records what is proven." in shown.stdout
    refused = desk.run("reconcile", "payflow", report, "--apply", given="n\n")
    assert (refused.exit_code, "Record 1 outcome that the report proves?" in refused.stderr) == (1, True)
    assert desk.house.invoices("C-2") == {"A": ("pending", 500)}
    told = desk.ask("reconcile", "payflow", report, code=1)
    assert (told["agrees"], told["left"], told["recorded"]) == (False, {"proven": 1}, None)
    assert [one["finding"] for one in told["differences"]] == ["proven"]
    assert told["read_before"] is not None


def test_a_yes_records_it(desk: Desk, report: Path) -> None:
    """E4: with a yes the sale is posted, with evidence of the kind report and by whom; then report and books agree."""
    told = desk.ask("reconcile", "payflow", report, "--apply", "--yes", "--by", "sue")
    assert told["recorded"] == {"lines": 1, "posted": 1, "review": 0, "reversals": 0, "refunds": 0}
    assert told["agrees"]
    assert desk.house.invoices("C-2") == {"A": ("paid", 0)}
    [event] = desk.house.rows("SELECT by, why FROM events WHERE what = 'report.recorded'")
    assert (event.by, event.why.startswith("line 3 of report")) == ("sue", True)
    assert desk.house.rows("SELECT 1 FROM evidence WHERE kind = 'report'")
    again = desk.run("reconcile", "payflow", report)
    assert (again.exit_code, "Report and books agree." in again.stdout) == (0, True)
    assert "Read before, first on" in again.stdout
    assert desk.ask("audit")["passed"]


def test_a_span_that_is_told(desk: Desk, report: Path) -> None:
    """B2: with --from and --to what the report should tell of, and does not, is missing there."""
    desk.ask("reconcile", "payflow", report, "--apply", "--yes")
    lines = report.read_text().splitlines()
    report.write_text("\n".join(lines[:1]))
    nothing = desk.run("reconcile", "payflow", report)
    assert (nothing.exit_code, "Nothing was compared" in nothing.stdout) == (0, True)
    desk.house.do("DELETE FROM report_matches")
    now = desk.house.sandbox.client.now()
    span = ("--from", (now - timedelta(days=1)).isoformat(), "--to", (now + timedelta(hours=2)).isoformat())
    told = desk.ask("reconcile", "payflow", report, *span, code=1)
    assert told["left"] == {"missing_there": 2}
    one = desk.ask("reconcile", "payflow", report, *span, "--rows", "1", code=1)
    assert len(one["differences"]) == 1
    assert "and 1 more (--rows lists them)" in desk.run("reconcile", "payflow", report, *span, "--rows", "1").stdout


def test_every_form_has_its_name_here() -> None:
    """B2: the command knows the gateways that reports can be read of, without loading their readers for --help."""
    assert set(FORMS) == set(GATEWAYS)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("cash", "F"), 2, "'cash' is not one of"),
        (("payflow", "F", "--zone", "Mars/Olympus"), 2, "is no time zone such as America/New_York"),
        (("payflow", "F", "--from", "monday"), 2, "is no time such as 2026-03-02"),
        (("payflow", "F", "--to", "9999-12-31T23:00"), 2, "is no time such as 2026-03-02"),
        (("payflow", "F", "--from", "2026-03-02", "--to", "2026-03-02"), 2, "it is not before --to"),
        (("stripe", "F"), 1, "no header of Stripe's itemized report"),
    ],
)
def test_what_is_refused(desk: Desk, report: Path, words: tuple[str, ...], code: int, said: str) -> None:
    """B2: what cannot be compared is refused with its reason and an exit code, and nothing is stored."""
    refused = desk.run("reconcile", *[str(report) if word == "F" else word for word in words])
    assert (refused.exit_code, said in refused.stderr) == (code, True), refused.output
    assert desk.house.rows("SELECT 1 FROM reports") == []
