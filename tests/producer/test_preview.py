"""R9: before a payment is recorded, the same computation shows what it would do."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import text

from books import clock
from books.post import post
from books.preview import PreviewLine
from rules.errors import RequestRefused
from tests.producer.office import Office


def preview(office: Office, **fields: Any) -> Any:
    """A preview of a check."""
    asked = {"customer": "C-1", "method": "check", "currency": "USD", **fields}
    return office.producer.preview(asked)


def test_oldest_first(office: Office) -> None:
    """R1, R3, R9: oldest first, each with its balance due and the amount applied; what is left over is a credit."""
    office.bill("C-1", {"0007": 5000, "8": 7000, "9": 100})
    shown = preview(office, amount="100.00")
    assert shown.lines == (PreviewLine("0007", 5000, 5000), PreviewLine("8", 7000, 5000), PreviewLine("9", 100, 0))
    assert shown.credit_minor == 0
    assert preview(office, amount="200.00").credit_minor == 20000 - 12100
    assert office.count("payments") == 0


def test_named_invoices(office: Office) -> None:
    """R1, R2: the invoices named, in that order, each up to its cap."""
    office.bill("C-1", {"7": 5000, "8": 7000})
    shown = preview(office, amount="100.00", invoices=[{"number": "8", "cap": "10.00"}, "7"])
    assert shown.lines == (PreviewLine("8", 7000, 1000), PreviewLine("7", 5000, 5000))
    assert shown.credit_minor == 4000


def test_a_card_need_not_be_there_yet(office: Office) -> None:
    """R9: the preview of a card payment is asked for before the card is."""
    office.bill("C-1", {"7": 5000})
    assert preview(office, method="credit_card", amount="50.00").lines == (PreviewLine("7", 5000, 5000),)


def test_what_would_be_refused(office: Office) -> None:
    """R1, R9: what would be refused is refused in the preview, too, with the same words."""
    office.bill("C-1", {"7": 5000})
    with pytest.raises(RequestRefused, match=r"invoices \(404\)"):
        preview(office, amount="50.00", invoices=["404"])
    office.do("UPDATE invoices SET balance_minor = 0, state = 'paid'")
    with pytest.raises(RequestRefused, match="as_credit"):
        preview(office, amount="50.00")


@pytest.mark.parametrize("seed", range(25))
def test_preview_equals_outcome(office: Office, seed: int) -> None:
    """R9: what the preview shows is what posting does, to the cent."""
    draw = random.Random(seed)
    owed = {f"I{n}": draw.randint(1, 5000) for n in range(draw.randint(1, 8))}
    office.bill("C-1", owed)
    invoices: list[object] = [
        number if draw.random() < 0.6 else {"number": number, "cap_minor": draw.randint(1, 5000)}
        for number in draw.sample(sorted(owed), draw.randint(0, len(owed)))
    ]
    asked: dict[str, Any] = {"amount_minor": draw.randint(1, 15000)}
    if invoices:
        asked["invoices"] = invoices
    shown = preview(office, **asked)
    recorded = office.pay("k", **asked)
    with office.engine.begin() as conn:
        now = clock.now(conn)
        due = conn.execute(text("SELECT * FROM payments")).all()
        post(conn, due, {recorded.payment_id: asked["amount_minor"]}, now, now.date(), "test")
    applied = dict(
        office.rows("SELECT i.number, a.amount_minor FROM allocations a JOIN invoices i ON i.id = a.invoice_id")
    )
    assert applied == {line.invoice: line.applied_minor for line in shown.lines if line.applied_minor}
    credit = office.rows("SELECT amount_minor FROM credits")
    assert credit == ([(shown.credit_minor,)] if shown.credit_minor else [])
    assert sum(applied.values()) + shown.credit_minor == asked["amount_minor"]
