"""A gateway's own report beside our books: which line is which transaction, and where the two disagree (B2, E4).

Pure: lines and transactions in, findings out. Every line ends in exactly one group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from rules import states
from rules.money import for_people


class Kind(StrEnum):
    """What a line of a report is about."""

    SALE = "sale"
    REFUND = "refund"
    CHARGEBACK = "chargeback"  # the payer's bank took a charge back
    FEE = "fee"
    OTHER = "other"  # payouts, authorizations, voids, holds: no charge and no refund


class State(StrEnum):
    """Where a line's money stands, by the report."""

    SETTLED = "settled"
    PENDING = "pending"  # approved, and may still be voided or fail to settle
    VOIDED = "voided"
    DECLINED = "declined"  # no money moved


class Group(StrEnum):
    """What a line, or a transaction of ours without one, comes to."""

    PROVEN = "proven"  # our outcome is unknown, or wrong, and the report tells it: recorded on a person's yes
    DIFFERS = "differs"  # the same transaction, with another amount or another end
    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    CHARGEBACK = "chargeback"  # not recorded as a dispute yet
    MATCHED = "matched"
    ASIDE = "aside"  # no money of a charge or refund: fees, payouts, declines, voids


DIFFERENCES: Final = (Group.PROVEN, Group.DIFFERS, Group.MISSING_HERE, Group.MISSING_THERE, Group.CHARGEBACK)
"""The groups that a person must look at, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of a report. `amount_minor` has no sign: `kind` tells the direction.

    `reference` is our merchant reference, of the operation itself or (on a refund or a chargeback) of its sale;
    `transaction_id` is the gateway's, in the form in which our books keep it; `sale_transaction_id` that of the sale.
    """

    number: int  # in the file, from 1
    kind: Kind
    state: State
    amount_minor: int
    currency: str
    at: datetime
    reference: int | None = None
    transaction_id: str = ""
    sale_transaction_id: str = ""
    said: str = ""  # the report's own words for kind and state


@dataclass(frozen=True, slots=True)
class Ours:
    """A sale or refund in our books, as far as a report can tell of it."""

    id: int
    payment_id: int
    operation: str
    reference: int
    transaction_id: str
    sale_id: int | None  # of a refund
    amount_minor: int
    currency: str
    state: str
    voided: bool = False
    reversal_id: int | None = None  # of a refund
    reversal_state: str | None = None
    disputed_minor: int = 0  # of a sale: in disputes that are open or lost


@dataclass(frozen=True, slots=True)
class Finding:
    """A line's group, the transaction of ours that it tells of, and what is to be said about it."""

    group: Group
    line: ReportLine
    ours: Ours | None = None
    why: str = ""


_UNDECIDED: Final = {states.Transaction.STARTED, states.Transaction.UNKNOWN, states.Transaction.REVIEW}
_NOT_DONE: Final = {states.Transaction.DECLINED, states.Transaction.FAILED}
_NOT_FINAL: Final = {states.Reversal.REFUNDING, states.Reversal.REFUND_ACCEPTED}
_TOLD: Final = {State.SETTLED, State.PENDING}


def match(lines: Iterable[ReportLine], ours: Iterable[Ours], told: Collection[int] = ()) -> list[Finding]:
    """One finding a line, in their order; `told` are the ids that earlier lines of the same report told of."""
    books = _Books(ours, told)
    return [books.judge(line) for line in lines]


class _Books:
    """Our transactions by all that a line may name them by."""

    def __init__(self, ours: Iterable[Ours], told: Collection[int]) -> None:
        self._told = set(told)
        self._by_reference: dict[tuple[str, int], Ours] = {}
        self._by_id: defaultdict[tuple[str, str], list[Ours]] = defaultdict(list)
        self._refunds: defaultdict[int, list[Ours]] = defaultdict(list)
        for one in ours:
            self._by_reference[one.operation, one.reference] = one
            if one.transaction_id:
                self._by_id[one.operation, one.transaction_id].append(one)
            if one.sale_id is not None:
                self._refunds[one.sale_id].append(one)

    def judge(self, line: ReportLine) -> Finding:
        match line.kind:
            case Kind.FEE | Kind.OTHER:
                return Finding(Group.ASIDE, line, why=line.said)
            case Kind.CHARGEBACK:
                return _chargeback(line, self._sale(line))
            case Kind.SALE:
                found = self._sale(line)
            case Kind.REFUND:
                found = self._refund(line)
        if found is None:
            return _without_ours(line)
        if line.state not in _TOLD:
            return _not_done_there(line, found)
        if found.id in self._told:
            return Finding(Group.MISSING_HERE, line, why=f"a second one: payment {found.payment_id} has it once")
        self._told.add(found.id)
        return _compare(line, found)

    def _sale(self, line: ReportLine) -> Ours | None:
        """By our reference first, else by the gateway's id of the sale."""
        if line.reference is not None and (found := self._by_reference.get((Kind.SALE, line.reference))):
            return found
        named = line.sale_transaction_id or (line.transaction_id if line.kind is Kind.SALE else "")
        return next(iter(self._by_id.get((Kind.SALE, named), ())), None) if named else None

    def _refund(self, line: ReportLine) -> Ours | None:
        """By its own reference or id; else the sale's refund that fits and was not told of yet."""
        if line.reference is not None and (found := self._by_reference.get((Kind.REFUND, line.reference))):
            return found
        if line.transaction_id and (found := self._likeliest(line, self._by_id[Kind.REFUND, line.transaction_id])):
            return found
        sale = self._sale(line)
        return self._likeliest(line, self._refunds[sale.id]) if sale else None

    def _likeliest(self, line: ReportLine, refunds: Sequence[Ours]) -> Ours | None:
        """Untold before told, of the line's amount before others, done before not done."""
        return min(
            refunds,
            key=lambda one: (
                one.id in self._told,
                one.amount_minor != line.amount_minor,
                one.state in _NOT_DONE,
                one.id,
            ),
            default=None,
        )


def _without_ours(line: ReportLine) -> Finding:
    if line.state in _TOLD:
        return Finding(Group.MISSING_HERE, line, why=f"our books know no such {line.kind}")
    return Finding(Group.ASIDE, line, why=line.said)


def _not_done_there(line: ReportLine, ours: Ours) -> Finding:
    """The report says that no money moved, or not any more."""
    if ours.state in _NOT_DONE or ours.voided:
        return Finding(Group.ASIDE, line, ours, f"{line.state} there, and here")
    here = "unknown" if ours.state in _UNDECIDED else "done"
    why = f"{line.state} there, {here} here ({ours.state})"
    return Finding(Group.DIFFERS, line, ours, why)


def _chargeback(line: ReportLine, sale: Ours | None) -> Finding:
    if sale is None:
        return Finding(Group.MISSING_HERE, line, why="a chargeback of a sale that our books do not know")
    if sale.disputed_minor >= line.amount_minor:
        return Finding(Group.MATCHED, line, sale)
    why = f"the bank took it back: `defray dispute open {sale.payment_id} --case ...` records it"
    return Finding(Group.CHARGEBACK, line, sale, why)


def _compare(line: ReportLine, ours: Ours) -> Finding:
    """The same sale or refund, approved there: do amount and end agree?"""
    if (line.amount_minor, line.currency) != (ours.amount_minor, ours.currency):
        there, here = for_people(line.amount_minor, line.currency), for_people(ours.amount_minor, ours.currency)
        return Finding(Group.DIFFERS, line, ours, f"{there} there, {here} here")
    if line.kind is Kind.SALE and line.reference not in (None, ours.reference):
        return Finding(Group.DIFFERS, line, ours, "the gateway's id is ours, the reference beside it is not")
    if ours.voided:
        after = ": the card was charged after all, give it back at the gateway" if line.state is State.SETTLED else ""
        return Finding(Group.DIFFERS, line, ours, f"voided here, {line.state} there{after}")
    settled = line.state is State.SETTLED
    if ours.state in _UNDECIDED:
        if settled:
            return Finding(Group.PROVEN, line, ours, f"{ours.state} here, {line.state} there")
        return Finding(Group.ASIDE, line, ours, f"{ours.state} here, not settled there yet")
    if ours.state in _NOT_DONE:
        if settled and line.kind is Kind.SALE:
            return Finding(
                Group.PROVEN, line, ours, f"{ours.state} here, {line.state} there: charged without a payment"
            )
        return Finding(Group.DIFFERS, line, ours, f"{ours.state} here, {line.state} there")
    if line.kind is Kind.REFUND and settled:
        if ours.reversal_state in _NOT_FINAL:
            return Finding(Group.PROVEN, line, ours, "accepted here, final there")
        if ours.reversal_state in {states.Reversal.FAILED, states.Reversal.KEPT}:
            return Finding(Group.DIFFERS, line, ours, f"{ours.reversal_state} here, {line.state} there")
    return Finding(Group.MATCHED, line, ours)
