"""Whose money a bank's credit is, and which invoices it is for: decided where it is sure, else left to a person.

Pure: credits and what the books know of the words in them in, decisions out; the order of the credits does not matter.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final, NamedTuple

from rules.methods import Method

WEAK_MIN: Final = 4
"""Characters from which a word that nothing introduces may be a number of ours; shorter ones stand everywhere."""

TEXT_MAX: Final = 2_000
"""Characters of a credit's text that are looked at."""

_INVOICE: Final = r"INVOICES?|INVS?|BILL|RECHNUNG|RECHNUNGEN|RECHNUNGSNR|RNR|FACTURE|FACTURA|FAKTURA"
_CUSTOMER: Final = r"CUSTOMER|CUST|CLIENT|KUNDE|KUNDENNR|KDNR"
_NUMBER_WORD: Final = r"(?:\s*(?:NOS?|NRS?|NUM|NUMBERS?)\b)?[\s.:#]*+"  # possessive, as below: no text takes long
_WORD: Final = r"[^\s,;:+&()#/\\0-9]*+[0-9][^\s,;:+&()#/\\]*"
_WHOLE: Final = r"[^\s,;+&0-9]*+[0-9][^\s,;+&]*"  # of 2026/7 neither 2026 nor 7 is the number that was named
_LISTED: Final = re.compile(
    rf"\b({_INVOICE}){_NUMBER_WORD}({_WHOLE}(?:(?:\s*(?:[,;+&]|\bAND\b|\bUND\b))+\s*{_WHOLE})*)", re.IGNORECASE
)
_NAMED: Final = re.compile(rf"\b(?:{_CUSTOMER}){_NUMBER_WORD}({_WHOLE})", re.IGNORECASE)
_WORDS: Final = re.compile(rf"(?<![^\s,;:+&()#/\\]){_WORD}")
_WHOLES: Final = re.compile(_WHOLE)
_CREDITOR_REFERENCE: Final = re.compile(r"RF[0-9]{2}(.+)")  # ISO 11649: two check digits, then our own reference


@dataclass(frozen=True, slots=True)
class Received:
    """One credit of a bank's file, booked and of one currency.

    `place` counts the file's items from 1; `reference` is what tells it from every other of its account;
    `structured` are references that the payer gave as such, `text` is all else that was said.
    """

    place: int
    account: str = field(repr=False)
    reference: str
    day: date
    currency: str
    amount_minor: int
    method: Method
    number: str | None = None  # of a check
    payer: str = ""
    structured: tuple[str, ...] = ()
    text: str = ""

    @property
    def key(self) -> str:
        """R15: the idempotency key; the same item in another file of the same bank has the same."""
        said = (self.account, self.reference, self.day.isoformat(), self.currency, self.amount_minor, self.number)
        digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        return f"bank:{digest.translate(_LETTERS)}"


_LETTERS: Final = str.maketrans("0123456789", "ghijklmnop")  # a run of digits could be taken for a card number


@dataclass(frozen=True, slots=True)
class Left:
    """An item that a person must look at: a return, a reversal, or a credit nobody can be sure of."""

    place: int
    day: date | None
    currency: str
    amount_minor: int
    why: str
    payer: str = ""
    number: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class BankFile:
    """What a bank's file says: credits, what a person must look at, and how much was passed over, by reason."""

    received: tuple[Received, ...]
    left: tuple[Left, ...]
    passed_over: Mapping[str, int]


class Owed(NamedTuple):
    """An invoice as the books have it; its balance is 0 where it is paid."""

    customer: str
    number: str
    currency: str
    balance_minor: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the books know of the words and amounts in a file."""

    invoices: Mapping[str, Sequence[Owed]]  # by number, neither drafts nor void ones
    customers: frozenset[str]  # of those who are named, by number
    alone: Mapping[tuple[str, int], Owed]  # by currency and balance, where just one open invoice has it
    owing: frozenset[tuple[str, str, int]]  # a named customer, a currency, the balance of one of their open invoices


class How(StrEnum):
    """Why it is sure."""

    INVOICES = "names its invoices"
    CUSTOMER = "names its customer"
    NUMBERS = "has numbers of ours in it, and the amount agrees"
    AMOUNT = "is what one open invoice alone comes to"


@dataclass(frozen=True, slots=True)
class Match:
    """Whose it is; the invoices in the order in which they are named, none: the customer's oldest (R1)."""

    received: Received
    customer: str
    invoices: tuple[str, ...]
    how: How


class Check(NamedTuple):
    """A check of a customer: nobody writes two of one number over one sum."""

    customer: str
    number: str
    currency: str
    amount_minor: int


def check_of(one: Match | Left) -> Check | None:
    """The check by which it pays; None for anything else."""
    if isinstance(one, Left) or one.received.number is None:
        return None
    return Check(one.customer, one.received.number, one.received.currency, one.received.amount_minor)


def each_check_once(decided: Sequence[Match | Left], recorded: Mapping[Check, int]) -> list[Match | Left]:
    """The same, but for checks that are payments already, or stand there twice under other references."""
    counts = Counter(map(check_of, decided))
    return [_once(one, check_of(one), counts, recorded) for one in decided]


def _once(
    one: Match | Left, check: Check | None, counts: Mapping[Check | None, int], recorded: Mapping[Check, int]
) -> Match | Left:
    if isinstance(one, Left) or check is None:
        return one
    if check in recorded:
        return left(one.received, f"is the check that payment {recorded[check]} of customer {one.customer} came by")
    if counts[check] > 1:
        return left(one.received, f"is not the only item of this check of customer {one.customer}")
    return one


def words(received: Received) -> set[str]:
    """Everything in a credit that could be the number of an invoice or a customer, as the books may write it."""
    said = _said(received)
    return {form for word in (*said.invoices, *said.customers, *said.weak) for form in _forms(word)}


def match(received: Sequence[Received], known: Known, by_amount: bool = True) -> list[Match | Left]:
    """A decision for each credit, in the order given.

    `by_amount`: the amount alone may decide, where one open invoice and one credit without any number of ours have it.
    """
    twins = alike(received)
    decided = [_decide(one, known, one.key in twins) for one in received]
    matches = [one for one in decided if isinstance(one, Match)]
    # None: the customer's oldest, which may be any of them.
    named = {(one.customer, number) for one in matches for number in one.invoices or (None,)}
    silent = Counter(
        (one.currency, one.amount_minor) for one, done in zip(received, decided, strict=True) if done is None
    )
    return [
        done or _by_amount(one, known, named, silent, by_amount) for one, done in zip(received, decided, strict=True)
    ]


def alike(received: Iterable[Received]) -> frozenset[str]:
    """The keys of credits that are the same in everything as another one."""
    return frozenset(key for key, count in Counter(one.key for one in received).items() if count > 1)


@dataclass(frozen=True, slots=True)
class _Said:
    """Numbers in a credit: such as it calls an invoice's or a customer's, and words that may be anything."""

    invoices: tuple[str, ...]
    customers: tuple[str, ...]
    weak: tuple[str, ...]


def _said(one: Received) -> _Said:
    text = one.text[:TEXT_MAX]
    listed: list[str] = []
    for found in _LISTED.finditer(text):
        for number in _WHOLES.findall(found[2]):
            listed += [_trimmed(number), f"{found[1]}-{_trimmed(number)}", f"{found[1]}{_trimmed(number)}"]
    given = [form for reference in one.structured for form in _reference_forms(reference)]
    customers = [_trimmed(number) for number in _NAMED.findall(text)]
    weak = [word for word in map(_trimmed, _WORDS.findall(text)) if len(word) >= WEAK_MIN]
    return _Said(
        *(tuple(dict.fromkeys(filter(None, found))) for found in ([*given, *listed], [*given, *customers], weak))
    )


def _trimmed(word: str) -> str:
    return word.strip(".'\"*-_:#()/\\")


def _reference_forms(reference: str) -> Iterator[str]:
    reference = reference.strip()
    yield reference
    if found := _CREDITOR_REFERENCE.fullmatch(reference.replace(" ", "")):
        yield found[1]


def _forms(word: str) -> tuple[str, ...]:
    return word, word.upper(), word.lower()


def _decide(one: Received, known: Known, alike: bool) -> Match | Left | None:
    """The decision by numbers; None where there is no number of ours in it."""
    if alike:
        return left(one, "another item of the file is the same in everything: one payment, or two?")
    said = _said(one)
    customers = _customers(said.customers, known)
    invoices = _invoices(said.invoices, one.currency, known)
    if invoices:
        return _by_invoices(one, invoices, customers)
    if len(customers) == 1:
        return Match(one, customers[0], (), How.CUSTOMER)
    if customers:
        return left(one, f"names several customers: {', '.join(customers)}")
    return _by_weak_words(one, said.weak, known)


def _customers(said: Iterable[str], known: Known) -> list[str]:
    found = (form for word in said for form in _forms(word) if form in known.customers)
    return list(dict.fromkeys(found))


def _invoices(said: Iterable[str], currency: str, known: Known) -> dict[str, list[Owed]]:
    """By number, in the order of the words, each with whose it may be."""
    found: dict[str, list[Owed]] = {}
    for word in said:
        for form in _forms(word):
            if of := [owed for owed in known.invoices.get(form, ()) if owed.currency == currency]:
                found[form] = of
    return found


def _by_invoices(one: Received, invoices: Mapping[str, Sequence[Owed]], customers: Sequence[str]) -> Match | Left:
    holders = set.intersection(*({owed.customer for owed in of} for of in invoices.values()))
    if customers:
        holders &= set(customers)
    numbers = ", ".join(invoices)
    if not holders:
        also = f", and customer {', '.join(customers)}" if customers else ""
        return left(one, f"names what is not one customer's: invoices {numbers}{also}")
    if len(holders) > 1:
        return left(one, f"names invoices that several customers have: {numbers}")
    [customer] = holders
    owed = [number for number, of in invoices.items() if any(it.customer == customer and it.balance_minor for it in of)]
    if not owed:
        return left(one, f"names invoices of customer {customer} that are paid: {numbers}")
    return Match(one, customer, tuple(owed), How.INVOICES)


def _by_weak_words(one: Received, weak: Sequence[str], known: Known) -> Match | Left | None:
    """Numbers that nothing introduces count where the amount agrees to the cent, for one customer alone."""
    invoices = _invoices(weak, one.currency, known)
    customers = _customers(weak, known)
    if not invoices and not customers:
        return None
    sure: dict[str, tuple[str, ...]] = {}
    for customer in {owed.customer for of in invoices.values() for owed in of}:
        theirs = [it for of in invoices.values() for it in of if it.customer == customer and it.balance_minor]
        if sum(it.balance_minor for it in theirs) == one.amount_minor:
            sure[customer] = tuple(it.number for it in theirs)
    for customer in customers:
        if (customer, one.currency, one.amount_minor) in known.owing:
            sure.setdefault(customer, ())
    if len(sure) == 1:
        [(customer, numbers)] = sure.items()
        return Match(one, customer, numbers, How.NUMBERS)
    hint = ", ".join([*invoices, *customers])
    return left(one, f"has numbers of ours in it ({hint}), but it is not sure that they are meant")


def _by_amount(
    one: Received,
    known: Known,
    named: set[tuple[str, str | None]],
    silent: Mapping[tuple[str, int], int],
    allowed: bool,
) -> Match | Left:
    owed = known.alone.get((one.currency, one.amount_minor))
    if not allowed or owed is None:
        return left(one, "has no number of ours in it" + (", and no invoice alone has its amount" if allowed else ""))
    if silent[one.currency, one.amount_minor] > 1:
        return left(one, f"is not the only one of this amount without a number: invoice {owed.number} fits them all")
    if named & {(owed.customer, owed.number), (owed.customer, None)}:
        return left(one, f"fits invoice {owed.number} alone, which another item of the file pays")
    return Match(one, owed.customer, (owed.number,), How.AMOUNT)


def left(one: Received, why: str) -> Left:
    """A credit that is left to a person."""
    return Left(one.place, one.day, one.currency, one.amount_minor, why, one.payer, one.number, one.text)
