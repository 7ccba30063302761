"""What the reference of the command tells of options, where no story of a verb has them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.cli.conftest import Desk
from tests.flows.house import VISA
from tests.flows.test_schedules import today

CARD = json.dumps({"number": VISA, "expiry": "12/39", "name": "Ann Example"})


def test_files_in_another_encoding(desk: Desk, tmp_path: Path) -> None:
    """`import --encoding`: each kind of file may be of an older program, with letters of its own."""
    files = {
        "customers": "number,name\nN°1,Zoë\n",
        "invoices": "customer,number,invoice date,due date,amount\nN°1,A°1,2026-01-05,2026-02-04,60.00\n",
        "payments": "customer,method,amount,invoices\nN°1,check,60.00,A°1\n",
    }
    for kind, content in files.items():
        path = tmp_path / f"{kind}.csv"
        path.write_bytes(content.encode("cp1252"))
        assert desk.run("import", kind, path, "--currency", "USD").exit_code == 1
        assert desk.ask("import", kind, path, "--currency", "USD", "--encoding", "cp1252")["recorded"] == 1
    [customer] = desk.house.rows("SELECT name FROM customers")
    assert customer.name == "Zoë"


def test_a_payment_that_is_a_credit(desk: Desk) -> None:
    """R1, R5, R14: --as-credit takes what nothing is owed for, --post-date says the day; --credit applies that one."""
    desk.house.bill("C-1", {})
    asked = ("--customer", "C-1", "--method", "check", "--amount", "5.00")
    assert desk.run("pay", *asked).exit_code == 1
    assert desk.ask("preview", *asked, "--as-credit")["credit_minor"] == 500
    told = [
        desk.ask("pay", *asked, "--as-credit", "--post-date", day, "--notes", f"of {day}", "--no-wait")["payment"][
            "payment_id"
        ]
        for day in ("2026-02-02", "2026-02-03")
    ]
    desk.house.work()
    second = desk.house.payment(told[1])
    assert (second.post_date.isoformat(), second.notes, desk.house.credit()) == ("2026-02-03", "of 2026-02-03", 1000)
    desk.house.bill("C-1", {"A": 900})
    [credit] = desk.house.rows("SELECT id FROM credits WHERE payment_id = :id", id=told[1])
    assert desk.ask("credit", "apply", "C-1", "--credit", credit.id)["total_minor"] == 500
    assert [
        row.payment_id for row in desk.house.rows("SELECT payment_id FROM credits WHERE balance_minor > 0")
    ] == told[:1]


def test_a_card_payment_that_is_not_waited_for(desk: Desk) -> None:
    """R8: --when-owed-less stands in the payment; --wait 0 looks once, and the exit code says that it is under way."""
    desk.house.bill("C-1", {"A": 500, "B": 500})
    asked = ("--customer", "C-1", "--method", "credit_card", "--amount", "5.00", "--invoice", "A", "--keep-card")
    said = desk.run("pay", *asked, "--when-owed-less", "charge_all", "--wait", "0", "--json", given=CARD)
    assert said.exit_code == 4
    payment = json.loads(said.stdout)["payment"]["payment_id"]
    assert desk.house.payment(payment).when_owed_less == "charge_all"
    desk.house.work()
    start = today(desk.house) + timedelta(days=3)
    words = ("--customer", "C-1", "--amount", "9.00", "--start", start, "--as-credit", "--notes", "the hall's rent")
    made = desk.ask("schedule", "create", *words)["schedule"]
    assert (made["next_on"], made["as_credit"]) == (start.isoformat(), True)
    assert desk.house.row("SELECT notes FROM schedules").notes == "the hall's rent"
