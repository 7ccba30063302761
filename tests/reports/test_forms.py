"""B2: the gateways' reports as files: what each line says, whatever spreadsheet wrote it, and what cannot be read."""

from __future__ import annotations

import gzip
import io
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import FORMS
from reports.file import look_over
from reports.form import merchant_reference, signed_minor
from rules.errors import DefrayError, RequestRefused
from rules.money import to_decimal
from rules.reconciling import Kind, ReportLine, State

REFERENCE = 1234567890123456789
BASE36 = "9DNWZ8ZKTL71"


def read(folder: Path, gateway: str, content: str | bytes) -> list[ReportLine]:
    """The lines of a report with this content."""
    path = folder / "report.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    form = FORMS[gateway]
    return list(look_over(path).lines(form, ZoneInfo(form.zone)))


def told(lines: list[ReportLine]) -> list[tuple[Kind, State, int, str]]:
    """Kind, state, amount and currency of each line."""
    return [(one.kind, one.state, one.amount_minor, one.currency) for one in lines]


PAYFLOW = """Custom Report
Merchant: example

Transaction ID,Time,Type,Amount,Currency,Result Code,Response Msg,Transaction State,Original Transaction ID,Cust Ref
A1,2026-03-02 10:15:00,Sale,"1,234.50",USD,0,Approved,8,,{ref}
A2,2026-03-02 10:16:00,Credit,($12.00),USD,0,Approved,8,A1,
A3,2026-03-02 10:17:00,Sale,5.00,USD,12,Declined,1,,
A4,2026-03-02 10:18:00,Sale,6.00,USD,0,Approved,6,,
A5,2026-03-02 10:19:00,Sale,7.00,USD,0,Approved,1006,,
A6,2026-03-02 10:20:00,Sale,8.00,USD,0,Approved,106,,
A7,2026-03-02 10:21:00,Void,7.00,USD,0,Approved,,A5,
A8,2026-03-02 10:22:00,Sale,9.00,USD,126,Under review,,,

Total,,,"1,250.00"
"""


def test_payflow(tmp_path: Path) -> None:
    """B2: Payflow's export: titles above, states by TRANSSTATE, Pacific time, base 36 references, no totals."""
    lines = read(tmp_path, "payflow", PAYFLOW.format(ref=BASE36))
    assert told(lines) == [
        (Kind.SALE, State.SETTLED, 123450, "USD"),
        (Kind.REFUND, State.SETTLED, 1200, "USD"),
        (Kind.SALE, State.DECLINED, 500, "USD"),
        (Kind.SALE, State.PENDING, 600, "USD"),
        (Kind.SALE, State.VOIDED, 700, "USD"),
        (Kind.SALE, State.DECLINED, 800, "USD"),
        (Kind.OTHER, State.PENDING, 700, "USD"),
        (Kind.SALE, State.PENDING, 900, "USD"),
    ]
    assert lines[0].reference == int(BASE36, 36)
    assert lines[0].at == datetime(2026, 3, 2, 18, 15, tzinfo=UTC)
    assert (lines[0].number, lines[1].sale_transaction_id) == (5, "A1")


def test_payflow_settlement_without_states(tmp_path: Path) -> None:
    """B2: where no column tells the state, a batch means settled; a sum that may be in cents is refused."""
    head = "Transaction ID,Time,Type,Amount,Result Code,Batch ID\n"
    lines = read(tmp_path, "payflow", head + "A1,2026-03-02 10:15:00,S,5.00,0,77\nA2,2026-03-02 10:15:00,S,5.00,0,\n")
    assert [one.state for one in lines] == [State.SETTLED, State.PENDING]
    with pytest.raises(RequestRefused, match=r"line 2, Amount \(500\): no decimal point: it may be in cents"):
        read(tmp_path, "payflow", head + "A1,2026-03-02 10:15:00,S,500,0,77\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_letters_survive(tmp_path: Path, encoding: str) -> None:
    """B2: what a report says is kept in its own letters, whatever it is encoded in."""
    text = PAYFLOW.format(ref=BASE36).replace("Declined", "Refusé").split("\n", 3)[3]
    lines = read(tmp_path, "payflow", text.encode(encoding))
    assert (len(lines), lines[2].said) == (8, "Sale 1 Refusé")


def test_a_row_cut_short_is_no_total(tmp_path: Path) -> None:
    """B2: a last row that was cut short is refused, not passed over as a total."""
    with pytest.raises(RequestRefused, match="line 3, Amount"):
        read(tmp_path, "payflow", "Transaction ID,Time,Type,Amount\nTotal,,,5.00\nA1,2026-03-02 10:15:00,Sa")


def test_an_answer_cut_short_agrees_with_nothing(tmp_path: Path) -> None:
    """B2: an answer of Plug'n Pay's that ends before the records that it promised is refused."""
    told = "trans_date%3D20260302%26operation%3Dpostauth%26FinalStatus%3Dsuccess%26card-amount%3D12.00%26orderID%3D"
    one = f"a00000={told}{REFERENCE}"
    assert len(read(tmp_path, "plugnpay", f"FinalStatus=success&num-txns=1&{one}")) == 1
    for cut in (
        f"FinalStatus=success&num-txns=2&{one}",
        "FinalStatus=success&num-txns=2",
        "FinalStatus=success&num-txns=2&a0",
    ):
        with pytest.raises(RequestRefused, match="cut short"):
            read(tmp_path, "plugnpay", cut)


def test_plugnpay(tmp_path: Path) -> None:
    """B2: Plug'n Pay's records: a sale settles by its postauth, a return names its sale's orderID."""
    head = "trans_date,operation,FinalStatus,card-amount,currency,orderID\n"
    rows = [
        f"20260302,auth,success,12.00,usd,{REFERENCE}",
        f"20260302,postauth,success,12.00,usd,{REFERENCE}",
        f"20260303,return,pending,2.00,usd,{REFERENCE}",
        "20260303,auth,badcard,3.00,usd,77",
        "20260303,void,success,3.00,usd,77",
    ]
    lines = read(tmp_path, "plugnpay", head + "\n".join(rows))
    assert told(lines) == [
        (Kind.OTHER, State.SETTLED, 1200, "USD"),
        (Kind.SALE, State.SETTLED, 1200, "USD"),
        (Kind.REFUND, State.PENDING, 200, "USD"),
        (Kind.SALE, State.DECLINED, 300, "USD"),
        (Kind.OTHER, State.SETTLED, 300, "USD"),
    ]
    assert [one.reference for one in lines] == [REFERENCE, REFERENCE, REFERENCE, None, None]
    packed = "FinalStatus=success&success=yes" + "".join(
        f"&a{number:05d}=trans%5fdate%3d20260302%26operation%3d{operation}%26FinalStatus%3dsuccess"
        f"%26card%2damount%3d12%2e00%26orderID%3d{REFERENCE}"
        for number, operation in enumerate(("auth", "postauth"))
    )
    assert told(read(tmp_path, "plugnpay", packed)) == [
        (Kind.OTHER, State.SETTLED, 1200, "USD"),
        (Kind.SALE, State.SETTLED, 1200, "USD"),
    ]
    assert read(tmp_path, "plugnpay", "FinalStatus=success&num-txns=0") == []
    with pytest.raises(RequestRefused, match="not the answer of a query that worked"):
        read(tmp_path, "plugnpay", "FinalStatus=problem&MErrMsg=No+records+found")


PAYPAL = f""""RH","2026/03/03 05:00:00 -0800","A","ACCOUNT","9"
"FH","01"
"SH","2026/03/02 00:00:00 -0800","2026/03/02 23:59:59 -0800","ACCOUNT",""
"CH","Transaction ID","Invoice ID","PayPal Reference ID","PayPal Reference ID Type","Transaction Event Code",\
"Transaction Initiation Date","Transaction Debit or Credit","Gross Transaction Amount","Gross Transaction Currency",\
"Custom Field"
"SB","1AB","{REFERENCE}","","","T0006","2026/03/02 10:15:00 -0800","CR","123450","USD",""
"SB","2AB","","1AB","TXN","T1107","2026/03/02 11:15:00 -0800","DR","200","USD","{REFERENCE + 1}"
"SB","3AB","","1AB","TXN","T1201","2026/03/02 12:15:00 -0800","DR","123250","USD",""
"SB","4AB","","","","T0006","2026/03/02 12:16:00 -0800","DR","500","USD",""
"SB","5AB","","","","T0106","2026/03/02 12:17:00 -0800","DR","2000","USD",""
"SB","6AB","","","","T0400","2026/03/02 12:18:00 -0800","DR","9900","JPY",""
"SB","7AB","","1AB","TXN","T1107","2026/03/02 12:19:00 -0800","CR","200","USD",""
"SB","8AB","","1AB","TXN","T1201","2026/03/02 12:20:00 -0800","CR","123250","USD",""
"SF","USD","123450","123450"
"SC","6"
"RF","USD","123450","123450"
"FF","6"
"""


def test_paypal(tmp_path: Path) -> None:
    """B2: PayPal's settlement report: only SB lines, minor units without a sign, event codes, the sale of a refund."""
    lines = read(tmp_path, "paypal", b"\xef\xbb\xbf" + PAYPAL.encode())
    assert told(lines) == [
        (Kind.SALE, State.SETTLED, 123450, "USD"),
        (Kind.REFUND, State.SETTLED, 200, "USD"),
        (Kind.CHARGEBACK, State.SETTLED, 123250, "USD"),
        (Kind.OTHER, State.SETTLED, 500, "USD"),
        (Kind.FEE, State.SETTLED, 2000, "USD"),
        (Kind.OTHER, State.SETTLED, 9900, "JPY"),
        (Kind.OTHER, State.SETTLED, 200, "USD"),
        (Kind.OTHER, State.SETTLED, 123250, "USD"),
    ]
    assert [one.reference for one in lines[:2]] == [REFERENCE, REFERENCE + 1]
    assert (lines[2].sale_transaction_id, lines[0].at) == ("1AB", datetime(2026, 3, 2, 18, 15, tzinfo=UTC))
    assert read(tmp_path, "paypal", PAYPAL.replace('","', '"\t"')) == lines
    with pytest.raises(RequestRefused, match=r"line 5, Gross Transaction Amount \(1234.50\): not an amount in minor"):
        read(tmp_path, "paypal", PAYPAL.replace("123450", "1234.50", 1))


STRIPE = f"""balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,description,\
customer_facing_amount,customer_facing_currency,payment_intent_id,payment_metadata[merchant_reference],\
refund_metadata[merchant_reference]
txn_1,2026-03-02 10:15:00,usd,1234.50,36.10,1198.40,charge,ch_1,"Café ""A"", Inc.",,,pi_1,{REFERENCE},
txn_2,2026-03-02 10:16:00,usd,-2.00,0.00,-2.00,refund,re_1,,,,pi_1,{REFERENCE},{REFERENCE + 1}
txn_3,2026-03-02 10:17:00,usd,2.00,0.00,2.00,refund_failure,re_1,,,,pi_1,{REFERENCE},{REFERENCE + 1}
txn_4,2026-03-02 10:18:00,usd,-1232.50,15.00,-1247.50,dispute,dp_1,,,,pi_1,{REFERENCE},
txn_5,2026-03-02 10:19:00,usd,5.40,0.50,4.90,charge,ch_2,,5.00,eur,pi_2,,
txn_6,2026-03-02 10:20:00,usd,-0.10,0.00,-0.10,fee,,,,,,,
txn_7,2026-03-02 10:21:00,usd,-10.00,0.00,-10.00,payout,po_1,,,,,,
"""


def test_stripe(tmp_path: Path) -> None:
    """B2: Stripe's itemized report: what the customer was charged, not what was paid out; refunds that failed."""
    lines = read(tmp_path, "stripe", STRIPE)
    assert told(lines) == [
        (Kind.SALE, State.SETTLED, 123450, "USD"),
        (Kind.REFUND, State.SETTLED, 200, "USD"),
        (Kind.REFUND, State.DECLINED, 200, "USD"),
        (Kind.CHARGEBACK, State.SETTLED, 123250, "USD"),
        (Kind.SALE, State.SETTLED, 500, "EUR"),
        (Kind.FEE, State.SETTLED, 10, "USD"),
        (Kind.OTHER, State.SETTLED, 1000, "USD"),
    ]
    assert [(one.reference, one.transaction_id) for one in lines[:2]] == [
        (REFERENCE, "pi_1"),
        (REFERENCE + 1, "re_1"),
    ]
    assert read(tmp_path, "stripe", STRIPE.encode("cp1252")) == lines


AUTHORIZENET = f"""Transaction ID,Transaction Status,Settlement Amount,Settlement Currency,Settlement Date/Time,\
Authorization Amount,Authorization Currency,Submit Date/Time,Reference Transaction ID,Transaction Type,Invoice Number
60001,Settled Successfully,"1,234.50",USD,,1234.50,USD,02-Mar-2026 11:15:00 AM MST,Not Applicable,\
Authorization w/ Auto Capture,{REFERENCE}
60002,Refund Settled Successfully,2.00,USD,,2.00,USD,02-Mar-2026 11:16:00 AM MST,60001,Credit,{REFERENCE + 1}
60003,Captured/Pending Settlement,0.00,USD,,3.00,USD,02-Jul-2026 11:16:00 AM MDT,0,Authorization w/ Auto Capture,
60004,Voided,0.00,USD,,4.00,USD,02-Mar-2026 11:16:00 AM PST,0,Authorization w/ Auto Capture,
60005,Declined,0.00,USD,,5.00,USD,02-Mar-2026 11:16:00 AM MST,0,Authorization w/ Auto Capture,
60006,Chargeback,6.00,USD,,6.00,USD,02-Mar-2026 11:16:00 AM MST,60001,Credit,
60007,Something New,7.00,USD,,7.00,USD,02-Mar-2026 11:16:00 AM MST,0,Authorization w/ Auto Capture,
"""


def test_authorizenet(tmp_path: Path) -> None:
    """B2: Authorize.Net's download: states in words, times with the letters of a zone, unknown states set aside."""
    lines = read(tmp_path, "authorizenet", AUTHORIZENET)
    assert told(lines) == [
        (Kind.SALE, State.SETTLED, 123450, "USD"),
        (Kind.REFUND, State.SETTLED, 200, "USD"),
        (Kind.SALE, State.PENDING, 300, "USD"),
        (Kind.SALE, State.VOIDED, 400, "USD"),
        (Kind.SALE, State.DECLINED, 500, "USD"),
        (Kind.CHARGEBACK, State.SETTLED, 600, "USD"),
        (Kind.OTHER, State.PENDING, 700, "USD"),
    ]
    assert [one.at.hour for one in lines[:4]] == [18, 18, 17, 19]
    assert [one.sale_transaction_id for one in lines[:3]] == ["", "60001", ""]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \r\n ", "is empty"),
        (gzip.compress(b"x", mtime=0), "is packed by gzip, not a table. Unpack it"),
        (b"%PDF-1.7", "is a PDF"),
        ("a,b".encode("utf-16"), "is encoded in UTF-16"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, said: str) -> None:
    """B2: a file that is no table is refused in clear words."""
    with pytest.raises(DefrayError, match=said):
        read(tmp_path, "stripe", content)


def test_an_archive_is_refused(tmp_path: Path) -> None:
    """B2: a zip archive is not opened: the person says which file in it is the report."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("report.csv", STRIPE)
    with pytest.raises(DefrayError, match="is a zip archive"):
        read(tmp_path, "stripe", packed.getvalue())


def test_another_gateways_report(tmp_path: Path) -> None:
    """B2: a file without the columns of this gateway's report is refused, and what it lacks is named."""
    with pytest.raises(RequestRefused, match=r"no header of Stripe's itemized report .*missing balance_transaction_id"):
        read(tmp_path, "stripe", AUTHORIZENET)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("-2.00,0.00,-2.00", "-2.0O,0.00,-2.00", r"line 3, gross \(-2.0O\): not an amount. Expected one in USD"),
        ("-2.00,0.00,-2.00", "-2.001,0.00,-2.00", r"line 3, gross \(-2.001\)"),
        ("10:16:00,usd", "10:16:00,usx", r"line 3, currency \(usx\): not a currency in use"),
        ("2026-03-02 10:16:00", "yesterday", r"line 3, created_utc \(yesterday\): not a date or time"),
        ("2026-03-02 10:16:00", "0001-01-01T00:00+14:00", "line 3, created_utc .*: not a date or time"),
        ("2026-03-02 10:16:00", "9999-12-31T23:00-05:00", "line 3, created_utc .*: not a date or time"),
        ("refund,re_1", 'refund,"re_1', r"line 3: the quotes are broken, or it was cut short"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, was: str, now: str, said: str) -> None:
    """B2: a line that cannot be read is named by its number and column, and nothing is guessed."""
    with pytest.raises(RequestRefused, match=said):
        read(tmp_path, "stripe", STRIPE.replace(was, now, 1))


def test_lines_are_counted_as_a_person_counts_them(tmp_path: Path) -> None:
    """B2: blank lines, and line breaks within quotes, do not shift the numbers of the lines."""
    text = STRIPE.replace("Café", "Café\nNorth").replace("txn_2", "\ntxn_2", 1)
    assert [one.number for one in read(tmp_path, "stripe", text)][:3] == [2, 5, 6]


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.50", "USD", 1250),
        ("1,234,567.89", "USD", 123456789),
        ("-12.50", "USD", -1250),
        ("(12.50)", "USD", -1250),
        ("($1,212.50)", "USD", -121250),
        ("-$12.50", "USD", -1250),
        ("+12.5", "USD", 1250),
        ("500", "JPY", 500),
        ("500.00", "JPY", 500),
        ("1.234", "KWD", 1234),
        ("0.00", "USD", 0),
        ("12,50", "USD", None),
        ("1.234,50", "USD", None),
        ("1,23,456.00", "USD", None),
        ("12.345", "USD", None),
        ("(12.50", "USD", None),
        ("(-12.50)", "USD", None),
        ("1e3", "USD", None),
        ("", "USD", None),
        ("٣.00", "USD", None),
        ("9" * 15, "USD", None),
    ],
)
def test_amounts(text: str, currency: str, minor: int | None) -> None:
    """B26: amounts are whole minor units from text; whatever could be read in two ways is no amount."""
    assert signed_minor(text, currency) == minor


@given(st.integers(-(10**12), 10**12), st.sampled_from(["USD", "JPY", "KWD"]))
def test_every_amount_comes_back(amount: int, currency: str) -> None:
    """B26: every amount, written with thousands set off, reads as the same minor units."""
    sign, digits = ("-", to_decimal(-amount, currency)) if amount < 0 else ("", to_decimal(amount, currency))
    whole, point, fraction = digits.partition(".")
    assert signed_minor(f"{sign}{int(whole):,}{point}{fraction}", currency) == amount
    assert signed_minor(to_decimal(amount, currency), currency) == amount


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (str(REFERENCE), REFERENCE),
        (BASE36, int(BASE36, 36)),
        (BASE36.lower(), int(BASE36, 36)),
        ("INV-2026-0001", None),
        ("123456789012", None),  # 12 digits are a number of somebody's, below every reference of ours
        ("0" * 19, None),
        ("", None),
    ],
)
def test_references(text: str, reference: int | None) -> None:
    """E2: our references are told from other people's numbers by their form and their range."""
    assert merchant_reference(text) == reference


@given(st.text(max_size=300))
def test_no_text_breaks_a_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """B2: whatever a file holds, it is read or refused in words; nothing else is raised."""
    folder = tmp_path_factory.mktemp("any")
    for gateway, head in (("stripe", STRIPE), ("plugnpay", "FinalStatus=success&a00001="), ("paypal", PAYPAL)):
        with suppress(DefrayError):
            read(folder, gateway, (head + text).encode("utf-8", "surrogatepass"))


def test_a_header_that_comes_again(tmp_path: Path) -> None:
    """B2: a report in sections names its columns anew in each, and they count from there on."""
    section = '"CH","Gross Transaction Currency","Gross Transaction Amount","Transaction Debit or Credit",\
"Transaction Initiation Date","Transaction Event Code","Transaction ID"\n\
"SB","EUR","700","CR","2026/03/02 10:15:00 +0100","T0006","9AB"\n'
    lines = read(tmp_path, "paypal", PAYPAL + section)
    assert len(lines) == 9
    assert told(lines[8:]) == [(Kind.SALE, State.SETTLED, 700, "EUR")]
    assert lines[8].transaction_id == "9AB"
