"""Files of customers, invoices and payments, by the first byte."""

from __future__ import annotations

from datetime import date
from functools import partial

from producer import files
from producer.csv_rows import FileRow, open_table
from rules import requests
from rules.cards import looks_like_card_number
from rules.requests import PaymentRequest
from tests.fuzz.files import NUMBER, lying, refused_in_words

_TODAY = date(2026, 3, 1)
_ORDERS: tuple[files.DateOrder, ...] = ("ymd", "mdy", "dmy")
_ENCODINGS = ("utf-8", "utf-16", "cp1252")
_KINDS = (
    (files.CUSTOMER_COLUMNS, ("number",)),
    (files.INVOICE_COLUMNS, ("customer", "number", "amount|amount_minor")),
    (files.PAYMENT_COLUMNS, ("customer", "method", "amount|amount_minor")),
)


def check(data: bytes) -> None:
    """A row becomes a request or faults; no cell that is taken holds a card's number, and no fault tells one (C1)."""
    if not data:
        return
    dates, encoding, kind = _ORDERS[data[0] % 3], _ENCODINGS[data[0] // 3 % 3], data[0] // 9 % 3
    columns, required = _KINDS[kind]
    with lying(data[1:]) as path, refused_in_words():
        for place, row in enumerate(open_table(path, columns, required, {}, encoding).rows(), start=1):
            assert row.number == place
            if isinstance(row.content, dict):
                assert not any(map(looks_like_card_number, row.content.values()))
                _take(kind, row, dates)
            else:
                assert NUMBER not in "; ".join(map(str, row.content))


def _take(kind: int, row: FileRow, dates: files.DateOrder) -> None:
    assert isinstance(row.content, dict)
    if kind == 0:
        files._customer(row.content)
    elif kind == 1:
        made = files._invoice({"currency": "USD", **row.content}, partial(files._required_date, dates=dates))
        assert isinstance(made, list) or made.total_minor > 0
    else:
        asked = files._asked(row, "USD", dates, "f")
        if isinstance(asked, dict):
            checked = requests.check(asked, _TODAY)
            assert not isinstance(checked, PaymentRequest) or checked.total_minor > 0
