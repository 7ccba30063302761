"""The receipt as PDF: what the one who paid may see, in any script, for any number of invoices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any

from pypdf import PdfReader

from books.receipt import Receipt, ReceiptLine
from papers.receipt import file_name, receipt_pdf, receipt_words

RECEIPT = Receipt(
    payment_id=7,
    customer_id=3,
    customer="C-1",
    customer_name="Ann Example",
    state="posted",
    method="check",
    number="1007",
    card_brand=None,
    card_last_four=None,
    currency="USD",
    post_date=date(2026, 3, 1),
    paid_minor=700000,
    credited_minor=100000,
    refunded_minor=0,
    charged_back_minor=0,
    voided_at=None,
    lines=(ReceiptLine("A-1", date(2026, 1, 5), 600000, 0, "paid"),),
    credits=("From payment 7 of 2026-03-01 by check no. 1007",),
)


def words(pdf: bytes) -> str:
    """All that can be read in it."""
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


def test_a_receipt_says_what_was_paid_and_for_what() -> None:
    """R3: amount, way of paying, invoices, and the credit with where it came from."""
    seen = words(receipt_pdf(RECEIPT, "Defray & Sons"))
    for said in ("Defray & Sons", "Receipt 7", "Ann Example (C-1)", "7,000.00 USD", "2026-03-01", "Check 1007", "A-1"):
        assert said in seen
    assert "Credit: 1,000.00 USD" in seen
    assert "From payment 7 of 2026-03-01 by check no. 1007" in seen
    assert "VOID" not in seen
    assert file_name(RECEIPT) == "receipt-7.pdf"


def test_a_card_is_named_by_its_last_four_digits() -> None:
    """C1: brand and last four, in the PDF and in the mail's words."""
    card = replace(RECEIPT, method="credit_card", number=None, card_brand="visa", card_last_four="1111")
    assert "Credit card, Visa ending in 1111" in words(receipt_pdf(card, ""))
    assert "Credit card, Visa ending in 1111" in receipt_words(card, "")


def test_what_went_back_is_told() -> None:
    """R17: what was returned, and what the card's bank took back, in the PDF and in the mail's words."""
    back = replace(RECEIPT, refunded_minor=1250, charged_back_minor=700)
    pdf = words(receipt_pdf(back, ""))
    for said in ("Returned", "12.50 USD", "Taken back by bank", "7.00 USD"):
        assert said in pdf
        assert said in receipt_words(back, "")
    assert "Returned" not in receipt_words(RECEIPT, "")
    assert "Taken back" not in receipt_words(RECEIPT, "")


def test_a_void_payment_says_so_on_every_page() -> None:
    """R10: nobody can take the receipt of a void payment for one that counts."""
    many = tuple(ReceiptLine(f"A-{n}", date(2026, 1, 5), 100, 0, "paid") for n in range(100))
    void = replace(RECEIPT, state="voided", voided_at=datetime(2026, 3, 2, tzinfo=UTC), lines=many)
    pages = [page.extract_text() for page in PdfReader(BytesIO(receipt_pdf(void, ""))).pages]
    assert len(pages) > 1
    assert all("VOID" in page for page in pages)
    assert "owed again" in pages[0]
    assert "VOID" in receipt_words(void, "")
    assert "Credit:" not in "".join(pages)


def test_the_same_receipt_makes_the_same_bytes() -> None:
    """Sent twice or printed twice, it is one paper."""
    assert receipt_pdf(RECEIPT, "Defray") == receipt_pdf(RECEIPT, "Defray")
    assert receipt_pdf(RECEIPT, "Defray") != receipt_pdf(replace(RECEIPT, paid_minor=1), "Defray")


def test_many_at_once() -> None:
    """Drawn by several threads side by side, as the console does, each paper is whole."""
    wanted = {name: receipt_pdf(replace(RECEIPT, customer_name=name), "Defray") for name in ("Ann", "Żółć", "Ελένη")}
    with ThreadPoolExecutor(8) as threads:
        drawn = threads.map(lambda name: receipt_pdf(replace(RECEIPT, customer_name=name), "Defray"), [*wanted] * 10)
        assert list(drawn) == [*wanted.values()] * 10


def test_names_in_any_script() -> None:
    """What the font has is written; what it lacks is a box, and never an error."""
    for name in ("Łukasz Żółć", "Ελένη", "Дмитрий", "José Muñoz"):
        assert name in words(receipt_pdf(replace(RECEIPT, customer_name=name), name))
    seen = words(receipt_pdf(replace(RECEIPT, customer_name="Ann \U00020bb7 \x00\u200d"), "\U00020bb7"))
    assert "Ann \u25a1" in seen


def test_a_long_name_stays_on_the_page() -> None:
    """A word that is longer than a line is broken, and nothing of it is lost."""
    name = "".join(chr(ord("a") + n % 26) for n in range(300))
    seen = words(receipt_pdf(replace(RECEIPT, customer_name=name), ""))
    assert name in seen.replace("\n", "")


def test_the_file_says_its_title_and_language() -> None:
    """WCAG 2.4.2, 3.1.1: a reader tells what it is, in which language, and needs no font from elsewhere."""
    reader: Any = PdfReader(BytesIO(receipt_pdf(RECEIPT, "Defray")))
    assert (reader.metadata.title, reader.metadata.author) == ("Receipt 7", "Defray")
    assert reader.root_object["/Lang"] == "en"
    assert reader.root_object["/ViewerPreferences"]["/DisplayDocTitle"]
    fonts = reader.pages[0]["/Resources"]["/Font"]
    assert all("DejaVuSans" in font.get_object()["/BaseFont"] for font in fonts.values())


def test_ten_thousand_invoices_on_one_receipt() -> None:
    """R1: one check over 10,000 invoices: pages with their head again, and every invoice on them."""
    many = tuple(ReceiptLine(f"A-{n:05}", date(2026, 1, 5), 100, 0, "paid") for n in range(10_000))
    pdf = receipt_pdf(replace(RECEIPT, lines=many), "Defray")
    pages = PdfReader(BytesIO(pdf)).pages
    first, last = pages[0].extract_text(), pages[-1].extract_text()
    assert "A-00000" in first
    assert "A-09999" in last
    assert "Amount applied" in last
    assert len(pdf) < 2_000_000
