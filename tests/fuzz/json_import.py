"""Files of JSON lines, of customers, invoices and payments by the first byte."""

from __future__ import annotations

from producer import files
from producer.json_rows import JsonLines
from rules.cards import looks_like_card_number
from tests.fuzz.files import NUMBER, lying, refused_in_words

_KINDS = (files.CUSTOMER_COLUMNS, files.INVOICE_COLUMNS, files.PAYMENT_COLUMNS)


def check(data: bytes) -> None:
    """A line becomes texts by known fields or faults; no text that is taken, and no fault, has a card's number (C1)."""
    if not data:
        return
    columns = _KINDS[data[0] % 3]
    with lying(data[1:]) as path, refused_in_words():
        given = JsonLines(path, columns, {})
        for place, row in enumerate(given.rows(), start=1):
            assert row.number == place
            if isinstance(row.content, dict):
                assert row.content.keys() <= columns.keys()
                assert not any(map(looks_like_card_number, row.content.values()))
            else:
                assert row.content
                assert NUMBER not in "; ".join(map(str, row.content))
        assert NUMBER not in "; ".join(given.ignored)
