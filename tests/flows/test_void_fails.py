"""Voiding a charged payment (R10-R12): at the gateway where it can, else by a refund."""

from __future__ import annotations

from tests.flows.house import AMEX, House, card


def test_a_void_returns_invoices_to_pending_and_the_money_to_the_card(house: House) -> None:
    """R10: a void returns its invoices to Pending, takes back its credit; R11: the gateway voids the sale."""
    house.bill("C-1", {"A": 6000, "B": 4000})
    payment = house.pay(12_000, card())
    house.work()
    assert house.state(payment) == "posted"
    assert house.invoices() == {"A": ("paid", 0), "B": ("paid", 0)}
    assert house.credit() == 2000
    house.void(payment)
    assert house.invoices() == {"A": ("pending", 6000), "B": ("pending", 4000)}
    assert house.credit() == 0
    house.work()
    assert house.reversal(payment).state == "voided"
    assert house.ledger() == {"receivable": 10_000, "revenue": -10_000}


def test_a_settled_sale_is_refunded(house: House) -> None:
    """R11, B24, B50: a void that the gateway refuses since the sale is settled becomes one refund, recorded as such."""
    house.bill("C-1", {"A": 6000})
    payments = [house.pay(6000, card()), house.pay(5000, card(AMEX, "1234"), allow_overlap=True)]
    house.work()
    house.sandbox.client.settle()
    for payment in payments:
        house.void(payment)
    house.work()
    house.advance(hours=13)
    house.work()
    for payment in payments:
        assert house.reversal(payment).state in ("refunded", "refund_accepted"), house.reversal(payment)
        kinds = house.rows(
            "SELECT operation, state FROM gateway_transactions WHERE payment_id = :id ORDER BY id", id=payment
        )
        assert [tuple(kind) for kind in kinds] == [("sale", "approved"), ("void", "declined"), ("refund", "approved")]
    assert house.ledger() == {"receivable": 6000, "revenue": -6000}
