"""`defray export`: what other programs get of the books, all of one moment."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from beancount import loader
from beancount.core.data import Open, Transaction
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from books.export import reading
from tests.cli.conftest import Desk
from tests.flows.house import card

NAME = 'Ann "A\\B" & Söhne'


@pytest.fixture
def busy(desk: Desk, tmp_path: Path) -> Desk:
    """A house in which something of everything happened, in three currencies."""
    people = [{"number": "C-1", "name": NAME, "phone": "+1 555"}, {"number": "C-2", "name": "=1+1"}]
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(one) + "\n" for one in people))
    desk.run("import", "customers", tmp_path / "people.jsonl")
    house = desk.house
    house.bill("C-1", {"A": 1000, "B": 2000})
    house.bill("C-2", {"E-0007": 905}, "EUR")
    house.bill("C-2", {"Y": 500}, "JPY")
    house.pay(1250, number="1001", invoices=["A"], post_date="2026-03-02")
    charged = house.pay(2000, card(), invoices=["B"])
    house.pay(905, customer="C-2", currency="EUR", method="money_order", post_date="2026-03-03")
    house.work()
    house.void(charged)
    house.work()
    return desk


def rows(desk: Desk, *words: object) -> list[dict[str, Any]]:
    """An export as JSON lines."""
    said = desk.run("export", *words, "--format", "jsonl")
    assert said.exit_code == 0, said.output
    return [json.loads(line) for line in said.stdout.splitlines()]


def sums(desk: Desk) -> dict[tuple[str, str], Decimal]:
    """What every account of the journal holds, by the journal."""
    held = desk.house.rows("SELECT account, currency, sum(amount_minor) AS held FROM postings GROUP BY 1, 2")
    places = {"USD": 2, "EUR": 2, "JPY": 0}
    return {(one.account, one.currency): Decimal(int(one.held)).scaleb(-places[one.currency]) for one in held}


def test_json_lines_of_everything(busy: Desk) -> None:
    """Money comes as decimal text and in minor units, days as days, nothing of a card beyond its last four digits."""
    invoices = {one["number"]: one for one in rows(busy, "invoices")}
    assert (
        invoices["Y"].items() >= {"amount": "500", "amount_minor": 500, "currency": "JPY", "state": "pending"}.items()
    )
    assert invoices["A"].items() >= {"customer": "C-1", "customer_name": NAME, "balance": "0.00"}.items()
    check, charged, _ = rows(busy, "payments")
    assert check.items() >= {"number": "1001", "amount": "12.50", "invoices": ["A"], "credited_minor": 250}.items()
    assert check["post_date"] == "2026-03-02"
    assert charged.items() >= {"state": "voided", "card_last_four": "1111", "charged": "20.00"}.items()
    assert {"notes", "card_token", "card_fingerprint"}.isdisjoint(charged)
    [credit] = rows(busy, "credits")
    assert credit.items() >= {"amount": "2.50", "balance_minor": 250, "payment": check["payment"]}.items()
    deposits = rows(busy, "deposits", "--to", "2026-03-03")
    assert [(one["account"], one["amount"]) for one in deposits] == [
        ("cash:check", "12.50"),
        ("cash:money_order", "9.05"),
    ]
    assert [one["number"] for one in rows(busy, "customers")] == ["C-1", "C-2"]


def test_days_and_currency(busy: Desk) -> None:
    """Days are whole, the last is in it, and one currency can be asked for alone."""
    days = [one["day"] for one in rows(busy, "journal", "--from", "2026-03-02", "--to", "2026-03-02")]
    assert days == ["2026-03-02"] * 3
    assert {one["currency"] for one in rows(busy, "journal", "--currency", "EUR")} == {"EUR"}
    assert busy.run("export", "journal", "--currency", "XXX").exit_code == 1
    assert busy.run("export", "journal", "--from", "yesterday").exit_code == 2


def test_csv_for_a_spreadsheet(busy: Desk) -> None:
    """Money as decimal text; a name that a spreadsheet would reckon with is text; what is empty has its header."""
    said = busy.run("export", "customers").stdout
    assert said.splitlines()[0] == "number,name,email,phone,created_at"
    named = {one["number"]: one for one in csv.DictReader(io.StringIO(said))}
    assert (named["C-1"]["name"], named["C-1"]["phone"], named["C-2"]["name"]) == (NAME, "'+1 555", "'=1+1")
    table = csv.DictReader(io.StringIO(busy.run("export", "payments").stdout))
    assert [one["amount"] for one in table] == ["12.50", "20.00", "9.05"]
    nothing = busy.run("export", "credits", "--to", "2000-01-01").stdout_bytes
    assert nothing == b"credit,customer,customer_name,currency,amount,balance,taken_back,payment,note,created_at\r\n"


def test_what_was_exported_is_known(busy: Desk, tmp_path: Path) -> None:
    """R15: an export of customers and invoices can be imported again: all is known, nothing changes."""
    for what, form in (("customers", "jsonl"), ("invoices", "jsonl"), ("invoices", "csv")):
        path = tmp_path / f"out.{form}"
        told = busy.ask("export", what, "--format", form, "-o", path)
        assert told == {"file": str(path), "bytes": path.stat().st_size}
        assert path.stat().st_mode & 0o777 == 0o600
        again = busy.ask("import", what, path)
        assert (again["recorded"], again["refused_count"]) == (0, 0)
        assert again["repeated"] == busy.house.row(f"SELECT count(*) AS n FROM {what}").n
    assert not busy.house.rows("SELECT FROM events WHERE what = 'customer.changed' AND by <> 'test'")


def test_beancount_takes_the_journal(busy: Desk) -> None:
    """B1: Beancount itself finds no fault, opens every account in one currency, and comes to the journal's sums."""
    entries, errors, _ = loader.load_string(busy.run("export", "journal", "--format", "beancount").stdout)
    assert errors == []
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    transactions = [one for one in entries if isinstance(one, Transaction)]
    for one in transactions:
        for posting in one.postings:
            units: Any = posting.units
            held[posting.account, units.currency] += units.number
    assert sorted(held.values()) == sorted(sums(busy).values())
    assert held["Assets:Cash:MoneyOrder:EUR", "EUR"] == Decimal("9.05")
    assert held["Assets:Clearing:Payflow:USD", "USD"] == 0
    assert held["Liabilities:CustomerCredit:USD", "USD"] == Decimal("-2.50")
    assert {tuple(one.currencies) for one in entries if isinstance(one, Open)} == {("EUR",), ("JPY",), ("USD",)}
    assert len(transactions) == busy.house.row("SELECT count(*) AS n FROM journal").n
    assert NAME in {one.payee for one in transactions}
    assert busy.run("export", "invoices", "--format", "beancount").exit_code == 1


def iif(said: str) -> list[list[list[str]]]:
    """The transactions of a file, each with its lines' cells."""
    found: list[list[list[str]]] = [[]]
    for line in said.split("\r\n"):
        if line == "ENDTRNS":
            found.append([])
        elif line and not line.startswith("!"):
            found[-1].append(line.split("\t"))
    return [one for one in found if one]


def test_quickbooks_takes_one_currency(busy: Desk) -> None:
    """Each transaction of an IIF file balances, names its customer by number, and is of one currency."""
    two = busy.run("export", "journal", "--format", "quickbooks")
    assert (two.exit_code, "--currency" in two.stderr, two.stdout) == (1, True, "")
    for what, kind in (("journal", "GENERAL JOURNAL"), ("invoices", "INVOICE"), ("payments", "PAYMENT")):
        said = busy.run("export", what, "--format", "quickbooks", "--currency", "USD").stdout_bytes.decode("cp1252")
        assert said.startswith("!TRNS\tTRNSTYPE\tDATE\tACCNT\tNAME\tAMOUNT\tDOCNUM\tMEMO\tDUEDATE\r\n!SPL\t")
        found = iif(said)
        assert found
        for lines in found:
            assert [line[0] for line in lines] == ["TRNS", *["SPL"] * (len(lines) - 1)]
            assert {(line[1], line[4]) for line in lines} == {(kind, "C-1")}
            assert sum(Decimal(line[5]) for line in lines) == 0
    [[received, _]] = found  # the charge that was voided is not among them
    assert received[2:] == ["03/02/2026", "Undeposited Funds", "C-1", "12.50", "1001", received[7], ""]
    customers = busy.run("export", "customers", "--format", "quickbooks")
    assert customers.stdout_bytes.decode("cp1252").splitlines()[1].split("\t")[1:3] == ["C-1", NAME.replace('"', "'")]


def test_a_name_that_quickbooks_cannot_hold(desk: Desk, tmp_path: Path) -> None:
    """Two customers must not become one: a number that is too long is refused, and no half a file is left."""
    desk.house.bill("C" * 42, {"A": 100})
    said = desk.run("export", "customers", "--format", "quickbooks", "-o", tmp_path / "c.iif")
    assert (said.exit_code, "QuickBooks takes 41" in said.stderr) == (1, True)
    assert list(tmp_path.glob("*.iif*")) == []


def test_numbers_that_quickbooks_cannot_write(desk: Desk) -> None:
    """Of Ж-1 and Я-1 it would make one customer, ?-1, and one's money the other's."""
    desk.house.bill("Ж-1", {"A": 100})
    said = desk.run("export", "invoices", "--format", "quickbooks")
    assert (said.exit_code, "Export csv instead" in said.stderr) == (1, True)


def test_what_is_no_file_is_not_replaced(desk: Desk, tmp_path: Path) -> None:
    """A pipe or a device, such as /dev/null, stays what it is."""
    os.mkfifo(tmp_path / "pipe")
    said = desk.run("export", "customers", "-o", tmp_path / "pipe")
    assert (said.exit_code, "cannot be written" in said.stderr) == (1, True)
    assert (tmp_path / "pipe").is_fifo()


def test_nothing_is_written_while_exporting(desk: Desk) -> None:
    """An export's transaction can write nothing."""
    with reading(desk.house.engine) as conn, pytest.raises(InternalError, match="read-only"):
        conn.execute(text("INSERT INTO customers (number, name, created_at) VALUES ('X', 'X', now())"))
