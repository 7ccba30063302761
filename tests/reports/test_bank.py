"""Banks' files: what came in, what a person must look at, and what is passed over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from reports import bank
from rules.errors import DefrayError
from rules.methods import Method
from rules.remittance import BankFile
from tests.reports.bank_files import bai2, camt, entry

CHECK = "16,116,12500,0,B-7,1001,INV A-1/"


def read(folder: Path, content: str) -> BankFile:
    """What a file says."""
    path = folder / "bank.txt"
    path.write_text(content, encoding="utf-8")
    return bank.read(path)


def left(file: BankFile) -> list[tuple[int, str]]:
    """Places with what is said of them."""
    return [(one.place, one.why) for one in file.left]


def test_a_lockbox(tmp_path: Path) -> None:
    """R6: an item of a lockbox is a check with its number, in minor units, on the day of the file."""
    file = read(tmp_path, bai2([CHECK, "88,AND A-2", "16,142,300,Z,B-8,ORIG 12,ACME/"], currency="JPY"))
    check, transfer = file.received
    assert (check.method, check.number, check.amount_minor, check.currency) == (Method.CHECK, "1001", 12500, "JPY")
    assert (check.day, check.reference, check.text) == (date(2026, 3, 2), "B-7/1001", "INV A-1,AND A-2")
    assert (transfer.method, transfer.number, transfer.text) == (Method.OTHER, None, "ORIG 12 ACME")
    assert (file.left, file.passed_over) == ((), {})
    assert "12345" not in repr(check)  # the account


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("16,555,12500,0,B-7,1001,NSF/", "is no payment: Deposited Item Returned (555)"),
        ("16,257,12500,0,B-7,1001,R01/", "is no payment: Individual ACH Return Item (257)"),
        ("16,395,12500,0,B-7,1001,/", "is no payment: Check Reversal (395)"),
        ("16,901,12500,0,B-7,1001,/", "has the code 901, which is the bank's own"),
        ("16,142,12500,0,,,ACME/", "has no reference: nothing tells it from another like it"),
        ("16,142,12500,0,0000,000,ACME/", "has no reference: nothing tells it from another like it"),
    ],
)
def test_what_bai2_leaves_to_a_person(tmp_path: Path, item: str, why: str) -> None:
    """R10: what a bank takes back, and what cannot be told from another, makes no payment and is shown."""
    file = read(tmp_path, bai2([item]))
    assert (file.received, left(file)) == ((), [(1, why)])


def test_what_bai2_passes_over(tmp_path: Path) -> None:
    """Debits, interest, and a deposit whose items are told are no customer's money once more."""
    file = read(tmp_path, bai2(["16,115,12500,0,B-6,,/", CHECK, "16,475,900,0,B-9,77,/", "16,354,5,0,B-9,,/"]))
    assert [one.place for one in file.received] == [2]
    assert file.left == ()
    assert sorted(file.passed_over.items()) == [
        ("credits that are no customer's: Interest Credit (354)", 1),
        ("debits", 1),
        ("deposits whose items are told: Lockbox Deposit (115)", 1),
    ]
    [whole] = read(tmp_path, bai2(["16,115,12500,0,B-6,,/"])).received
    assert whole.amount_minor == 12500


def test_a_deposit_of_which_not_all_items_are_told(tmp_path: Path) -> None:
    """Of two deposits only one's items are told: nobody's money is passed over in silence, and none is taken twice."""
    file = read(tmp_path, bai2(["16,115,12500,0,B-6,,/", CHECK, "16,115,900,0,B-9,,/"]))
    assert [one.place for one in file.received] == [2]
    assert [(place, why.partition(":")[0]) for place, why in left(file)] == [
        (1, "is a deposit of which not all items are told"),
        (3, "is a deposit of which not all items are told"),
    ]


def test_files_behind_each_other(tmp_path: Path) -> None:
    """A bank that joins files loses none of them."""
    file = read(tmp_path, bai2([CHECK]) + bai2([CHECK.replace("B-7", "B-8")]))
    assert [(one.place, one.reference) for one in file.received] == [(1, "B-7/1001"), (2, "B-8/1001")]


def test_a_group_that_is_a_test(tmp_path: Path) -> None:
    """Groups that delete, correct or try out are left to a person."""
    assert left(read(tmp_path, bai2([CHECK], status="4"))) == [(1, "stands in a group that is a test only")]


@pytest.mark.parametrize(
    "content",
    [
        bai2([CHECK]).replace("49,", "49,1"),  # a control total that is not right
        bai2([CHECK]).replace("16,116", "16,116,x"),
        bai2([CHECK]).splitlines()[0] + "\n",
        "\n".join(bai2([CHECK]).splitlines()[:4]),
        bai2([CHECK]) + "16,116,1,0,B-9,1,/\n",
        "01,\n",
        bai2([CHECK]).replace("\n16,", "\n17,"),
        "nothing",
        "",
        "<Document/>",
        "<html>",
        camt([entry()]).replace("camt.054", "camt.052"),
        camt([entry()]).replace("<Document", '<!DOCTYPE x [<!ENTITY a "b">]><Document'),
        camt([entry()]).replace("<Document", '<!DOCTYPE Document SYSTEM "x.dtd"><Document'),
        camt([entry()])[:-30],
    ],
)
def test_what_is_no_whole_file(tmp_path: Path, content: str) -> None:
    """A damaged file, or another, is refused whole, in words; no entity of an XML file is ever read."""
    with pytest.raises(DefrayError, match=r"no whole|neither BAI2|no camt"):
        read(tmp_path, content)


@pytest.mark.parametrize("version", ["camt.054.001.02", "camt.054.001.11", "camt.053.001.08"])
def test_a_notification_or_a_statement(tmp_path: Path, version: str) -> None:
    """A credit transfer: its strongest reference, payer, structured and free remittance; in any version."""
    old = version.endswith("02")
    file = read(tmp_path, camt([entry(old=old)], version=version))
    [one] = file.received
    assert (one.currency, one.amount_minor, one.method, one.day) == ("EUR", 12550, Method.OTHER, date(2026, 3, 2))
    assert (one.reference, one.payer, one.structured) == ("BANK-1", "Müller & Söhne", ("RF18 A-1", "A-2"))
    assert one.text == "Rechnung A-1 E2E-1 Gutschrift"


def test_a_check_in_camt(tmp_path: Path) -> None:
    """R6: what has a cheque's number is a check."""
    [one] = read(tmp_path, camt([entry(check="4711")])).received
    assert (one.method, one.number) == (Method.CHECK, "4711")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ([("<CdtDbtInd>CRDT", "<RvslInd>true</RvslInd><CdtDbtInd>CRDT")], "is a reversal"),
        ([("<CdtDbtInd>CRDT", "<RvslInd>true</RvslInd><CdtDbtInd>DBIT")], "is a reversal"),
        ([("<RmtInf>", "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf><RmtInf>")], "is a return"),
        ([('Ccy="EUR">125.50', 'Ccy="XXX">125.50')], "has a currency or an amount that is not known here"),
        ([('Ccy="EUR">125.50', 'Ccy="EUR">125.505')], "has a currency or an amount that is not known here"),
        ([("BANK-1", ""), ("E2E-1", "NOTPROVIDED")], "has no reference: nothing tells it from another like it"),
        ([("2026-03-02", "yesterday")], "has no day"),
    ],
)
def test_what_camt_leaves_to_a_person(tmp_path: Path, changes: Sequence[tuple[str, str]], why: str) -> None:
    """R10, R14: reversals, returns, sums that cannot be read and what nothing tells apart make no payment."""
    content = camt([entry()])
    for was, now in changes:
        content = content.replace(was, now)
    file = read(tmp_path, content)
    assert (file.received, left(file)) == ((), [(1, why)])


def test_debits_and_what_is_not_booked(tmp_path: Path) -> None:
    """Only what was booked as a credit is money that came in."""
    pending = entry().replace(">BOOK<", ">PDNG<")
    file = read(tmp_path, camt([entry().replace("CRDT", "DBIT"), pending]))
    assert (file.received, file.left, dict(file.passed_over)) == ((), (), {"debits": 1, "not booked yet": 1})


def test_a_batch_whose_transactions_are_not_told(tmp_path: Path) -> None:
    """A statement's collective entry is not one payment: its notification has the many, and money would count twice."""
    whole = entry(parts=[("100.00", "T-1"), ("25.50", "T-2")])
    batch = "<NtryDtls><Btch><NbOfTxs>2</NbOfTxs></Btch>"
    assert len(read(tmp_path, camt([whole.replace("<NtryDtls>", batch)])).received) == 2
    told = whole[: whole.index("<TxDtls>")] + whole[whole.index("</NtryDtls>") :]
    file = read(tmp_path, camt([told.replace("<NtryDtls>", batch)]))
    assert (file.received, left(file)) == ((), [(1, "is a collective entry of 2 transactions, of which 0 are told")])


def test_a_batch_of_transactions(tmp_path: Path) -> None:
    """A collective entry comes apart into its transactions, never into more than it is."""
    whole = entry(parts=[("100.00", "T-1"), ("25.50", "T-2")])
    file = read(tmp_path, camt([whole, entry()]))
    assert [(one.place, one.amount_minor, one.reference) for one in file.received] == [
        (1, 10000, "BANK-1/T-1"),
        (2, 2550, "BANK-1/T-2"),
        (3, 12550, "BANK-1"),
    ]
    for parts in ([("100.00", "T-1"), ("26.00", "T-2")], [("100.00", "T-1"), ("", "T-2")]):
        file = read(tmp_path, camt([entry(parts=parts)]))
        assert (file.received, left(file)) == ((), [(1, "has parts that do not come to 125.50 EUR")])
