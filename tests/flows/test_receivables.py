"""A real accounts department's receivables, every payment by card through the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from producer.files import FileOptions, import_customers, import_invoices
from tests import receivables
from tests.flows.house import House, card


@pytest.fixture(params=["invented", "real"])
def export(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of receivables."""
    if request.param == "invented":
        return receivables.write(tmp_path / "receivables.csv", invoices=400, customers=20)
    return receivables.real() or pytest.skip("no receivables.csv: name one in DEFRAY_RECEIVABLES")


def test_all_by_card(house: House, export: Path) -> None:
    """R8: each payment is one charge, however many invoices it pays; all invoices end Paid and no credit is left."""
    options = FileOptions(dates="mdy", currency="USD")
    import_customers(house.engine, export, options, "test")
    import_invoices(house.engine, export, options, "test")
    payments = receivables.settled(export)
    [stored] = house.producer.keep_cards([card()])
    receipt = house.producer.submit(
        receivables.requests(payments, method="credit_card", card_token=stored.token),
        label="receivables",
        caller="test",
        idempotency_key="all",
        by="ann",
    )
    assert receipt.recorded == len(payments)
    house.charge(receipt.batch_id, most=len(payments))
    assert house.rows("SELECT DISTINCT state FROM invoices") == [("paid",)]
    assert house.rows("SELECT DISTINCT state FROM payments") == [("posted",)]
    assert house.rows("SELECT 1 FROM credits") == []
    charged = house.sandbox.client.card(card().number)
    assert (charged.charged, charged.net) == (len(payments), sum(one.total_minor for one in payments))
    assert house.ledger() == {"clearing:payflow": charged.net, "revenue": -charged.net}
