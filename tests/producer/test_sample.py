"""The sample that `make run` works on."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

from producer import sample
from rules.cards import Card, check_card
from rules.methods import Method
from tests.producer.office import Office


def test_the_same_on_every_machine() -> None:
    """One seed, one sample; another seed, another one."""
    assert sample.draw(1) == sample.draw(1)
    assert sample.draw(1) != sample.draw(2)


def test_every_way_to_pay() -> None:
    """The batch has some hundreds of payments, of every method, by cards that would pass the edge."""
    drawn = sample.draw()
    methods = Counter(asked.content["method"] for asked in drawn.payments)
    assert set(methods) == set(Method)
    assert 150 < len(drawn.payments) < 500
    assert methods[Method.CREDIT_CARD] == len(drawn.cards) > 80
    for card in drawn.cards:
        expiry = f"{card.exp_month:02}/{card.exp_year}"
        assert isinstance(check_card(card.number, expiry, None, card.name, date(2026, 1, 1)), Card)


def test_it_is_taken_whole_and_once(office: Office, tmp_path: Path) -> None:
    """R15: the sample comes in without a fault, and a second run changes nothing."""
    drawn = sample.draw()
    customers, invoices = sample.bill(drawn, office.engine, tmp_path, "test")
    assert (customers.recorded, customers.refused_count) == (len(drawn.customers), 0)
    assert (invoices.recorded, invoices.refused_count) == (len(drawn.invoices), 0)
    receipt = sample.hand_in(drawn, office.producer, "test")
    assert (receipt.recorded, receipt.refused) == (len(drawn.payments), ())
    tables = ("customers", "invoices", "payments", "journal", "events", "batches", "card_vault")
    before = [office.count(table) for table in tables]
    sample.bill(drawn, office.engine, tmp_path, "test")
    assert sample.hand_in(drawn, office.producer, "test").batch_id == receipt.batch_id
    assert [office.count(table) for table in tables] == before
