"""An export of receivables is imported and its settlements replayed: every invoice ends Paid, no credit is left."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from books import claim, clock
from books.post import post_due
from producer.files import FileOptions, import_customers, import_invoices
from tests import receivables
from tests.producer.office import BILLED, GOOD_CARD, Office


@pytest.fixture(params=["invented", "real"])
def export(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of receivables."""
    if request.param == "invented":
        return receivables.write(tmp_path / "receivables.csv")
    return receivables.real() or pytest.skip("no receivables.csv: name one in DEFRAY_RECEIVABLES")


def bring_in(office: Office, path: Path) -> None:
    """Import customers and invoices out of the one file, with nothing mapped by hand."""
    options = FileOptions(dates="mdy", currency="USD")
    customers = import_customers(office.engine, path, options, "test")
    invoices = import_invoices(office.engine, path, options, "test")
    assert (customers.refused, invoices.refused) == ((), ())
    assert customers.recorded == office.count("customers")
    assert invoices.recorded == office.count("invoices")


def post_all(office: Office, batch_id: int) -> None:
    """Post a batch as the worker does."""
    with office.engine.begin() as conn:
        now = clock.now(conn)
        while post_due(conn, claim.Batch(batch_id), 500, BILLED, now, "test").posted:
            pass


def test_naming_the_invoices(office: Office, export: Path) -> None:
    """R1, R4: replayed by check, each payment naming its invoices, all end Paid and nothing is left over."""
    bring_in(office, export)
    payments = receivables.settled(export)
    receipt = office.submit(receivables.requests(payments))
    assert (receipt.recorded, receipt.refused_count) == (len(payments), 0)
    post_all(office, receipt.batch_id)
    assert office.rows("SELECT DISTINCT state FROM invoices") == [("paid",)]
    assert office.rows("SELECT DISTINCT state FROM payments") == [("posted",)]
    assert office.count("credits") == 0
    assert office.count("allocations") == office.count("invoices")


def test_by_card(office: Office, export: Path) -> None:
    """R7, R8a: by card, each is due for a charge of its sum, and none overlaps with another."""
    bring_in(office, export)
    payments = receivables.settled(export)
    [card] = office.producer.keep_cards([GOOD_CARD])
    receipt = office.submit(receivables.requests(payments, method="credit_card", card_token=card.token))
    assert (receipt.recorded, receipt.refused_count) == (len(payments), 0)
    assert office.rows("SELECT DISTINCT next_step, total_minor = owed_at_request_minor FROM payments") == [
        ("charge", True)
    ]


def test_oldest_first(office: Office, tmp_path: Path) -> None:
    """R1, R3: replayed without naming invoices, applied, credited and still due add up to the cent on every day."""
    path = receivables.write(tmp_path / "receivables.csv", invoices=150, customers=5)
    bring_in(office, path)
    paid = 0
    billed = office.rows("SELECT sum(total_minor) FROM invoices")[0][0]
    for day, payments in groupby(receivables.settled(path), key=lambda one: one.day):
        today = list(payments)
        receipt = office.submit(receivables.requests(today, naming=False, as_credit=True), key=str(day))
        post_all(office, receipt.batch_id)
        paid += sum(one.total_minor for one in today)
        [(applied,)] = office.rows("SELECT coalesce(sum(amount_minor), 0) FROM allocations")
        [(credited,)] = office.rows("SELECT coalesce(sum(amount_minor), 0) FROM credits")
        [(due,)] = office.rows("SELECT sum(balance_minor) FROM invoices")
        assert (applied + credited, applied + due) == (paid, billed)
