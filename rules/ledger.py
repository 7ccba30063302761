"""Which balanced entry each event makes (B1). Amounts above 0 are debits, below 0 credits, in minor units."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What an entry records."""

    BILLED = "billed"
    BILLING_VOIDED = "billing_voided"  # an invoice that nobody paid was never owed
    POSTED = "posted"
    CREDIT_APPLIED = "credit_applied"
    CREDIT_APPLICATION_REVERSED = "credit_application_reversed"
    VOIDED = "voided"
    CHARGED_UNWANTED = "charged_unwanted"  # approved, but no longer wanted: owed back to the card
    REVERSED_AT_GATEWAY = "reversed_at_gateway"  # void made, or refund approved
    REFUND_FAILED = "refund_failed"  # an approved refund that failed later
    KEPT = "kept"
    REFUNDED = "refunded"  # a part of a posted payment went back to the card
    REFUND_FAILED_CREDITED = "refund_failed_credited"  # such a refund failed after all: the customer has it as a credit
    DISPUTED = "disputed"  # the payer's bank took it back for now
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"


RECEIVABLE = "receivable"
REVENUE = "revenue"
CUSTOMER_CREDIT = "customer_credit"
REFUNDS_PAYABLE = "refunds_payable"
DISPUTE_LOSSES = "dispute_losses"  # what was lost of money that had been given back already


def cash(method: str) -> str:
    """The account that an uncharged payment's money is in."""
    return f"cash:{method}"


def clearing(gateway: str) -> str:
    """The account of money that a gateway has taken and not yet paid out."""
    return f"clearing:{gateway}"


class Entry(NamedTuple):
    """The debit and credit lines of one entry."""

    accounts: list[str]
    amounts_minor: list[int]


def _entry(*lines: tuple[str, int]) -> Entry:
    kept = [line for line in lines if line[1]]
    return Entry([account for account, _ in kept], [amount for _, amount in kept])


def billed(total_minor: int) -> Entry:
    """An invoice was issued."""
    return _entry((RECEIVABLE, total_minor), (REVENUE, -total_minor))


def billing_voided(total_minor: int) -> Entry:
    """An invoice that nobody paid is void."""
    return _entry((REVENUE, total_minor), (RECEIVABLE, -total_minor))


def money_account(method: str, gateway: str | None) -> str:
    """Where a payment's money is: at its gateway if it was charged, else in cash by method."""
    return clearing(gateway) if gateway else cash(method)


def posted(account: str, applied_minor: int, credited_minor: int) -> Entry:
    """A payment was applied to invoices, the rest became a credit."""
    return _entry(
        (account, applied_minor + credited_minor), (RECEIVABLE, -applied_minor), (CUSTOMER_CREDIT, -credited_minor)
    )


def voided(account: str, reopened_minor: int, credit_taken_back_minor: int) -> Entry:
    """A payment was voided: invoices are owed again, its credit is gone; `account` gives the money back."""
    return _entry(
        (RECEIVABLE, reopened_minor),
        (CUSTOMER_CREDIT, credit_taken_back_minor),
        (account, -(reopened_minor + credit_taken_back_minor)),
    )


def credit_applied(amount_minor: int) -> Entry:
    """A credit paid an invoice."""
    return _entry((CUSTOMER_CREDIT, amount_minor), (RECEIVABLE, -amount_minor))


def credit_application_reversed(amount_minor: int) -> Entry:
    """A credit's application was undone."""
    return _entry((RECEIVABLE, amount_minor), (CUSTOMER_CREDIT, -amount_minor))


def charged_unwanted(gateway: str, amount_minor: int) -> Entry:
    """A charge was approved that nobody wants any more: it is owed back to the card."""
    return _entry((clearing(gateway), amount_minor), (REFUNDS_PAYABLE, -amount_minor))


def reversed_at_gateway(gateway: str, amount_minor: int) -> Entry:
    """The gateway made the void or the refund."""
    return _entry((REFUNDS_PAYABLE, amount_minor), (clearing(gateway), -amount_minor))


def refund_failed(gateway: str, amount_minor: int) -> Entry:
    """A refund that had been approved failed after all (R17)."""
    return _entry((clearing(gateway), amount_minor), (REFUNDS_PAYABLE, -amount_minor))


def kept(amount_minor: int) -> Entry:
    """The amount is not returned to the card but becomes the customer's credit (R12)."""
    return _entry((REFUNDS_PAYABLE, amount_minor), (CUSTOMER_CREDIT, -amount_minor))


def disputed_at(gateway: str) -> str:
    """The account of money that a gateway holds back while a dispute is open."""
    return f"disputed:{gateway}"


def taken_back(account: str, reopened_minor: int, credit_minor: int, lost_minor: int = 0) -> Entry:
    """A part of a payment went back: invoices are owed again, credit is gone; `account` gave the money."""
    return _entry(
        (RECEIVABLE, reopened_minor),
        (CUSTOMER_CREDIT, credit_minor),
        (DISPUTE_LOSSES, lost_minor),
        (account, -(reopened_minor + credit_minor + lost_minor)),
    )


def refund_failed_credited(gateway: str, amount_minor: int, unlost_minor: int = 0) -> Entry:
    """A refund of a part failed after it had been approved: the money is here again, as the customer's credit.

    `unlost_minor` of it makes good what a dispute had cost, since that money had been refunded as well.
    """
    return _entry(
        (clearing(gateway), amount_minor),
        (DISPUTE_LOSSES, -unlost_minor),
        (CUSTOMER_CREDIT, unlost_minor - amount_minor),
    )


def disputed(gateway: str, amount_minor: int) -> Entry:
    """A dispute was opened: the gateway holds the money."""
    return _entry((disputed_at(gateway), amount_minor), (clearing(gateway), -amount_minor))


def dispute_won(gateway: str, amount_minor: int) -> Entry:
    """The gateway gave it back."""
    return _entry((clearing(gateway), amount_minor), (disputed_at(gateway), -amount_minor))
