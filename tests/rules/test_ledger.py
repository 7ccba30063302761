"""Which balanced entry each event makes (B1)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rules import ledger
from rules.ledger import Entry

MINOR = st.integers(0, 10**12)


@given(a=MINOR, b=MINOR)
def test_every_entry_balances(a: int, b: int) -> None:
    """B1: debits and credits of every kind of entry sum to zero, and no line is empty."""
    entries = [
        ledger.billed(a),
        ledger.posted("cash:check", a, b),
        ledger.voided("refunds_payable", a, b),
        ledger.credit_applied(a),
        ledger.credit_application_reversed(a),
        ledger.charged_unwanted("payflow", a),
        ledger.reversed_at_gateway("payflow", a),
        ledger.refund_failed("payflow", a),
        ledger.kept(a),
    ]
    for entry in entries:
        assert sum(entry.amounts_minor) == 0
        assert all(entry.amounts_minor)
        assert len(entry.accounts) == len(entry.amounts_minor)


def test_a_posting_debits_where_the_money_is() -> None:
    """B1: an uncharged payment is in cash by its method, a charged one in the clearing of its gateway."""
    assert ledger.money_account("check", None) == "cash:check"
    assert ledger.money_account("credit_card", "payflow") == "clearing:payflow"
    assert ledger.posted("clearing:payflow", 70, 30) == Entry(
        ["clearing:payflow", "receivable", "customer_credit"], [100, -70, -30]
    )


@given(applied=MINOR, credited=MINOR)
def test_a_void_undoes_its_posting_line_by_line(applied: int, credited: int) -> None:
    """R10: voiding an uncharged payment leaves no account changed."""
    there = ledger.posted("cash:check", applied, credited)
    back = ledger.voided("cash:check", applied, credited)
    balances: dict[str, int] = {}
    for entry in (there, back):
        for account, amount in zip(entry.accounts, entry.amounts_minor, strict=True):
            balances[account] = balances.get(account, 0) + amount
    assert not any(balances.values())


@given(amount=st.integers(1, 10**12))
def test_a_voided_charge_is_owed_until_the_gateway_returned_it_or_it_is_kept(amount: int) -> None:
    """R10, R12: refunds payable rises by the void and falls by the gateway's yes or by keeping the sum as a credit."""
    for end in (ledger.reversed_at_gateway("payflow", amount), ledger.kept(amount)):
        owed = dict(zip(*ledger.voided(ledger.REFUNDS_PAYABLE, amount, 0), strict=True))[ledger.REFUNDS_PAYABLE]
        assert owed + dict(zip(*end, strict=True))[ledger.REFUNDS_PAYABLE] == 0
