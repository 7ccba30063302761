"""`defray import remittances`: a bank's file becomes payments that are matched, and a list for a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from books import remit
from tests.cli.conftest import Desk
from tests.reports.bank_files import bai2, camt, entry

LOCKBOX = [
    "16,115,36000,0,B-6,,/",
    "16,116,12500,0,B-7,1001,INVOICE A-1, A-2/",
    "16,116,8000,0,B-8,1002,ACME CUSTOMER C-2/",
    "16,116,4000,0,B-9,1003,NO WORD/",
    "16,116,11500,0,B-10,1004,INVOICE 4111 1111 1111 1111/",
    "16,555,700,0,B-11,990,NSF/",
    "16,475,900,0,B-12,77,/",
]


@pytest.fixture
def owed(desk: Desk) -> Desk:
    """Two customers who owe."""
    desk.house.bill("C-1", {"A-1": 10000, "A-2": 2400})
    desk.house.bill("C-2", {"B-1": 5000, "B-2": 4001})
    desk.house.bill("C-4", {"D-1": 4000})
    desk.house.bill("C-3", {"E-1": 12550}, "EUR")
    return desk


def test_a_lockbox_becomes_payments(owed: Desk, tmp_path: Path) -> None:
    """R1, R15: checks with their numbers pay what they name; the rest is told, nothing of it guessed, none twice."""
    path = tmp_path / "lockbox.bai"
    path.write_text(bai2(LOCKBOX))
    seen = owed.ask("import", "remittances", path, "--preview", code=1)
    assert (seen["recorded"], seen["batch_id"], len(seen["taken"])) == (0, None, 3)
    told = owed.ask("import", "remittances", path, code=1)
    assert told["taken"] == seen["taken"]
    assert [(one["place"], one["number"], one["customer"], one["invoices"]) for one in told["taken"]] == [
        (2, "1001", "C-1", ["A-1", "A-2"]),
        (3, "1002", "C-2", []),
        (4, "1003", "C-4", ["D-1"]),
    ]
    assert [(one["place"], one["why"]) for one in told["left"]] == [
        (5, "has no number of ours in it, and no invoice alone has its amount"),
        (6, "is no payment: Deposited Item Returned (555)"),
    ]
    assert "4111" not in str(told)
    assert sum(told["passed_over"].values()) == 2
    owed.house.post(told["batch_id"])
    payments = owed.house.rows("SELECT method, number, state, post_date, notes FROM payments ORDER BY id")
    assert {(one.method, one.state, one.post_date.isoformat()) for one in payments} == {
        ("check", "posted", "2026-03-02")
    }
    assert "INVOICE A-1, A-2" in payments[0].notes
    assert owed.house.invoices() == {"A-1": ("paid", 0), "A-2": ("paid", 0)}
    assert owed.house.credit() == 100
    again = owed.ask("import", "remittances", path, code=1)
    assert (again["recorded"], again["repeated"], len(again["left"])) == (0, 3, 2)
    assert owed.house.row("SELECT count(*) AS n FROM payments").n == 3


def test_what_is_under_way_is_not_paid_by_amount(owed: Desk, tmp_path: Path) -> None:
    """R1: while a payment of its customer waits to be posted, an invoice's amount decides nothing."""
    path = tmp_path / "lockbox.bai"
    path.write_text(bai2(["16,116,4000,0,B-9,1003,NO WORD/"]))
    waiting = owed.house.pay(4000, customer="C-4", number="1003")
    [left] = owed.ask("import", "remittances", path, code=1)["left"]
    assert "no invoice alone has its amount" in left["why"]
    owed.house.cancel(waiting)
    assert owed.ask("import", "remittances", path)["recorded"] == 1


def test_a_check_that_was_entered_by_hand(owed: Desk, tmp_path: Path) -> None:
    """R6: a check is money once, whoever saw it first: a clerk, another file, or one file under two references."""
    item = "16,116,4000,0,B-9,1003,INVOICE D-1/"
    path = tmp_path / "lockbox.bai"
    path.write_text(bai2([item, item.replace("B-9", "B-8")]))
    assert len(owed.ask("import", "remittances", path, code=1)["left"]) == 2
    by_hand = owed.house.pay(4000, customer="C-4", number="1003")
    path.write_text(bai2([item, item.replace("1003", "1004")]))
    told = owed.ask("import", "remittances", path, code=1)
    assert (told["recorded"], [one["place"] for one in told["left"]]) == (1, [1])
    assert f"payment {by_hand} of customer C-4" in told["left"][0]["why"]
    path.write_text(bai2([item.replace("1003", "1004").replace("B-9", "B-90")]))
    assert owed.ask("import", "remittances", path, code=1)["recorded"] == 0
    owed.house.cancel(by_hand)
    path.write_text(bai2([item]))
    assert owed.ask("import", "remittances", path)["recorded"] == 1


def test_one_file_at_a_time(owed: Desk, tmp_path: Path) -> None:
    """R1: two files at once might both pay the invoice that alone has their items' amount; a preview may be beside."""
    path = tmp_path / "lockbox.bai"
    path.write_text(bai2(["16,116,4000,0,B-9,1003,NO WORD/"]))
    with owed.house.engine.connect() as conn, remit.alone(conn):
        said = owed.run("import", "remittances", path)
        assert (said.exit_code, "Another import of a bank's file is under way" in said.stderr) == (1, True)
        assert owed.ask("import", "remittances", path, "--preview")["recorded"] == 0
    assert owed.ask("import", "remittances", path)["recorded"] == 1
    path.write_text(bai2(["16,116,4000,0,B-10,1004,NO WORD/"]))
    assert owed.ask("import", "remittances", path, code=1)["recorded"] == 0


def test_what_was_left_is_taken_later(owed: Desk, tmp_path: Path) -> None:
    """R15: once the books know the customer, the same file gives what was left of it, in the same batch."""
    path = tmp_path / "lockbox.bai"
    path.write_text(bai2(["16,116,100,0,B-1,1,INVOICE NEW-1/", "16,116,100,0,B-2,2,INVOICE A-1/"]))
    first = owed.ask("import", "remittances", path, code=1)
    owed.house.bill("C-9", {"NEW-1": 100})
    then = owed.ask("import", "remittances", path)
    assert [one["customer"] for one in then["taken"]] == ["C-9"]
    assert (then["recorded"], then["repeated"], then["batch_id"]) == (1, 1, first["batch_id"])


def test_what_only_seems_to_be_known(owed: Desk, tmp_path: Path) -> None:
    """R15: the references of a known item under another customer's name, or twice at once, are for a person."""
    path = tmp_path / "lockbox.bai"
    item = "16,142,1000,0,,RENT,INVOICE A-1/"
    path.write_text(bai2([item]))
    assert owed.ask("import", "remittances", path)["recorded"] == 1
    for items in ([item.replace("A-1", "B-1")], [item, item]):
        path.write_text(bai2(items))
        told = owed.ask("import", "remittances", path, code=1)
        assert (told["recorded"], told["repeated"], len(told["left"])) == (0, 0, len(items))
    path.write_text(bai2([item, "16,142,1,0,B-2,,INVOICE A-2/"]))
    told = owed.ask("import", "remittances", path)
    assert (told["recorded"], told["repeated"]) == (1, 1)


def test_a_statement_after_its_notification(owed: Desk, tmp_path: Path) -> None:
    """R15: one transfer in camt.054 and again in camt.053 is one payment, of no other currency's invoices (R14)."""
    said = entry(said="Rechnung E-1").replace("RF18 A-1", "E-1").replace("<Ref>A-2</Ref>", "<Ref>ours</Ref>")
    for version, code in (("camt.054.001.08", 0), ("camt.053.001.08", 0)):
        path = tmp_path / f"{version}.xml"
        path.write_text(camt([said], version=version))
        told = owed.run("import", "remittances", path)
        assert told.exit_code == code, told.output
    assert "0 payments recorded, 1 known before, 0 left to a person." in told.stdout
    assert [(one.method, one.currency, one.total_minor) for one in owed.house.rows("SELECT * FROM payments")] == [
        ("other", "EUR", 12550)
    ]


def test_the_amount_need_not_decide(owed: Desk, tmp_path: Path) -> None:
    """--no-by-amount leaves to a person what only its amount speaks for; what owes nothing is told as it is refused."""
    path = tmp_path / "lockbox.bai"
    path.write_text(bai2(["16,116,4000,0,B-9,1003,NO WORD/", "16,116,1,0,B-10,1004,CUSTOMER C-5/"]))
    owed.house.do("INSERT INTO customers (number, name, created_at) VALUES ('C-5', 'Owes nothing', now())")
    told = owed.run("import", "remittances", path, "--no-by-amount")
    assert told.exit_code == 1
    assert "item 1, 2026-03-02, 40.00 USD, check 1003 (NO WORD): has no number of ours in it." in told.stdout
    assert "item 2, 2026-03-02, 0.01 USD, check 1004 (CUSTOMER C-5): " in told.stdout
    assert owed.house.rows("SELECT FROM payments") == []


def test_no_bank_file(desk: Desk, tmp_path: Path) -> None:
    """What no bank wrote is refused in words."""
    path = tmp_path / "table.csv"
    path.write_text("customer,amount\n")
    said = desk.run("import", "remittances", path)
    assert (said.exit_code, "neither BAI2 nor camt" in said.stderr) == (1, True)
