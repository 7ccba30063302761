"""Card payments that are meant for the same money (R8a)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple


class Claim(NamedTuple):
    """What one card payment under way would take out of one pot that others would take from, too.

    A pot is an invoice, or all that a customer owes in a currency where a payment that names none is under way.
    """

    payment_id: int
    pot: Hashable
    amount_minor: int
    pot_minor: int
    new: bool
    overlap_allowed: bool


class UnderWay(NamedTuple):
    """A card payment under way: whose it is, and the invoices it names; None: all of its customer's."""

    payment_id: int
    customer_id: int
    currency: str
    invoice_ids: Sequence[int] | None


def too_much(claims: Iterable[Claim]) -> list[int]:
    """The new payments that, with those before them, would take more than a pot holds.

    `claims` come payment by payment: first those that were under way before, then the new ones by id. A refused
    payment takes nothing, and the first one at a pot may exceed it: that is a payment with a credit, no overlap.
    """
    by_payment: dict[int, list[Claim]] = {}
    for claim in claims:
        by_payment.setdefault(claim.payment_id, []).append(claim)
    taken: dict[Hashable, int] = {}
    refused = []
    for payment_id, wanted in by_payment.items():
        if any(claim.new and not claim.overlap_allowed and _exceeds(claim, taken) for claim in wanted):
            refused.append(payment_id)
            continue
        for claim in wanted:
            taken[claim.pot] = taken.get(claim.pot, 0) + claim.amount_minor
    return refused


def _exceeds(claim: Claim, taken: dict[Hashable, int]) -> bool:
    before = taken.get(claim.pot, 0)
    return before > 0 and before + claim.amount_minor > claim.pot_minor


def unknown_beside(unknown: Iterable[UnderWay], new: Iterable[UnderWay]) -> list[tuple[int, int]]:
    """(new payment, overlapping payment whose outcome is unknown) for each new payment that has to wait (B01)."""
    of_invoice: dict[int, int] = {}
    of_all: dict[tuple[int, str], int] = {}
    of_any: dict[tuple[int, str], int] = {}
    for payment_id, customer_id, currency, invoice_ids in unknown:
        of_any[customer_id, currency] = payment_id
        if invoice_ids is None:
            of_all[customer_id, currency] = payment_id
        else:
            of_invoice.update(dict.fromkeys(invoice_ids, payment_id))
    waiting = []
    for payment_id, customer_id, currency, invoice_ids in new:
        other = of_all.get((customer_id, currency))
        if other is None and invoice_ids is None:
            other = of_any.get((customer_id, currency))
        if other is None and invoice_ids is not None:
            other = next((of_invoice[invoice_id] for invoice_id in invoice_ids if invoice_id in of_invoice), None)
        if other is not None:
            waiting.append((payment_id, other))
    return waiting
