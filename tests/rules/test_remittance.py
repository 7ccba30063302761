"""R1: a bank's credit becomes a payment only of a customer who is sure; all others are left to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.cards import looks_like_card_number
from rules.methods import Method
from rules.remittance import How, Known, Left, Match, Owed, Received, match, words

ONE = Received(1, "ACCOUNT", "REF-1", date(2026, 3, 2), "USD", 10_000, Method.OTHER)
OWED = (
    Owed("C-1001", "INV-0001", "USD", 10_000),
    Owed("C-1001", "INV-0002", "USD", 2_500),
    Owed("C-1001", "INV-0003", "EUR", 10_000),
    Owed("C-1002", "INV-0004", "USD", 7_000),
    Owed("C-1002", "SHARED-1", "USD", 500),
    Owed("C-1003", "SHARED-1", "USD", 600),
    Owed("C-1003", "PAID-1", "USD", 0),
    Owed("C-1003", "77", "USD", 900),
    Owed("C-1002", "8100", "USD", 1_234),
    Owed("C-1002", "8101", "USD", 66),
    Owed("C-1002", "2026", "USD", 5_000),
    Owed("C-1003", "2026/7", "USD", 800),
)


def known(owed: Iterable[Owed] = OWED, named: Iterable[str] = ("C-1001", "C-1002", "C-1003")) -> Known:
    """What the books would know of these invoices."""
    by_number: dict[str, list[Owed]] = {}
    sums: dict[tuple[str, int], list[Owed]] = {}
    for one in owed:
        by_number.setdefault(one.number, []).append(one)
        if one.balance_minor:
            sums.setdefault((one.currency, one.balance_minor), []).append(one)
    return Known(
        by_number,
        frozenset(named),
        {key: of[0] for key, of in sums.items() if len(of) == 1},
        frozenset((one.customer, one.currency, one.balance_minor) for one in owed if one.balance_minor),
    )


def decide(text: str = "", structured: Sequence[str] = (), **more: Any) -> Match | Left:
    """What becomes of one credit."""
    [decided] = match([replace(ONE, text=text, structured=tuple(structured), **more)], known())
    return decided


@pytest.mark.parametrize(
    ("text", "amount", "customer", "invoices", "how"),
    [
        ("PAYMENT INVOICE INV-0001", 99, "C-1001", ("INV-0001",), How.INVOICES),
        ("inv no. inv-0001,and inv-0002", 99, "C-1001", ("INV-0001", "INV-0002"), How.INVOICES),
        ("INV 0002 AND INV-0001", 99, "C-1001", ("INV-0002", "INV-0001"), How.INVOICES),
        ("RECHNUNG NR INV-0001+INV-0002", 99, "C-1001", ("INV-0001", "INV-0002"), How.INVOICES),
        ("INVOICE SHARED-1 CUSTOMER C-1003", 99, "C-1003", ("SHARED-1",), How.INVOICES),
        ("INVOICES INV-0001, LOST-9", 99, "C-1001", ("INV-0001",), How.INVOICES),
        ("CUST NO C-1002 THANKS", 99, "C-1002", (), How.CUSTOMER),
        ("INV-0001 INV-0002", 99, "C-1001", ("INV-0001", "INV-0002"), How.INVOICES),
        ("INVOICE (2026/7).", 99, "C-1003", ("2026/7",), How.INVOICES),
        ("INVOICE 8100/8101", 1_300, "C-1002", ("8100", "8101"), How.NUMBERS),
        ("8100 8101", 1_300, "C-1002", ("8100", "8101"), How.NUMBERS),
        ("FROM C-1002", 7_000, "C-1002", (), How.NUMBERS),
        ("MERCI", 7_000, "C-1002", ("INV-0004",), How.AMOUNT),
    ],
)
def test_what_is_sure(text: str, amount: int, customer: str, invoices: tuple[str, ...], how: How) -> None:
    """R1: what is called an invoice or a customer counts; bare numbers with the amount; the amount alone."""
    decided = decide(text, amount_minor=amount)
    assert isinstance(decided, Match), decided
    assert (decided.customer, decided.invoices, decided.how) == (customer, invoices, how)


@pytest.mark.parametrize(
    ("text", "amount", "why"),
    [
        ("INVOICES INV-0001, INV-0004", 99, "not one customer's"),
        ("INVOICE INV-0001 CUSTOMER C-1002", 99, "not one customer's"),
        ("INVOICE SHARED-1", 500, "several customers have"),
        ("INVOICE PAID-1", 500, "that are paid"),
        ("CUSTOMER C-1001 CUSTOMER C-1002", 99, "several customers"),
        ("INVOICE 2026/0012", 99, "not sure that they are meant"),  # 2026 is another customer's
        ("INVOICE 2026\\8", 99, "not sure that they are meant"),
        ("CUSTOMER C-1002/7", 99, "not sure that they are meant"),
        ("8100", 1_233, "not sure that they are meant"),
        ("FROM C-1002", 6_999, "not sure that they are meant"),
        ("CHECK 77 77", 99, "has no number of ours"),
        ("INVOICE INV-0003", 99, "has no number of ours"),  # owed in another currency
        ("HELLO", 99, "no invoice alone has its amount"),
    ],
)
def test_what_is_left_to_a_person(text: str, amount: int, why: str) -> None:
    """Nothing is guessed: what names several, what is paid, in another currency, or agrees in nothing."""
    decided = decide(text, amount_minor=amount)
    assert isinstance(decided, Left)
    assert why in decided.why


def test_references_that_are_given_as_such() -> None:
    """A structured reference is an invoice's or a customer's number, also as the creditor reference of ISO 11649."""
    assert isinstance(one := decide(structured=["INV-0001"], amount_minor=99), Match)
    assert one.invoices == ("INV-0001",)
    assert isinstance(one := decide(structured=["RF18 INV-0002"], amount_minor=99), Match)
    assert one.invoices == ("INV-0002",)
    assert isinstance(one := decide(structured=["C-1002"], amount_minor=99), Match)
    assert (one.customer, one.invoices) == ("C-1002", ())
    assert {"INV-0002", "inv-0002"} <= words(replace(ONE, structured=("RF18INV-0002",)))


def test_an_amount_decides_only_alone() -> None:
    """Two credits of one amount, an invoice that another credit pays, or a wish not to: the amount decides nothing."""
    silent = replace(ONE, amount_minor=7_000, reference="A")
    twin = replace(silent, reference="B", place=2)
    names = replace(ONE, amount_minor=1, reference="C", place=3, text="INVOICE INV-0004")
    assert [type(one) for one in match([silent, twin], known())] == [Left, Left]
    assert [type(one) for one in match([silent, names], known())] == [Left, Match]
    oldest = replace(names, text="CUSTOMER C-1002")
    assert [type(one) for one in match([silent, oldest], known())] == [Left, Match]
    assert [type(one) for one in match([silent], known(), by_amount=False)] == [Left]


def test_the_same_item_twice() -> None:
    """R15: items that are the same in everything are one payment or two; a person knows, we do not."""
    named = replace(ONE, text="INVOICE INV-0001")
    assert [type(one) for one in match([named, replace(named, place=2)], known())] == [Left, Left]


_TEXT = st.lists(
    st.sampled_from(
        "INVOICE INV CUSTOMER AND , INV-0001 INV-0002 INV-0004 SHARED-1 PAID-1 77 8100 C-1001 C-1002 THANKS".split()
    ),
    max_size=6,
).map(" ".join)
_RECEIVED = st.builds(
    lambda reference, amount, text, structured: replace(
        ONE, reference=f"R{reference}", amount_minor=amount, text=text, structured=tuple(structured)
    ),
    st.integers(1, 6),
    st.sampled_from([500, 900, 1_234, 2_500, 7_000, 10_000]),
    _TEXT,
    st.lists(st.sampled_from(["INV-0001", "C-1003", "RF18INV-0004"]), max_size=1),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_RECEIVED, max_size=6), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(credits_: list[Received], chance: Any) -> None:
    """R1: each credit gives one payment at most, of its own sum; no invoice is paid by amount twice; in any order."""
    credits_ = [replace(one, place=place) for place, one in enumerate(credits_, start=1)]
    decided = match(credits_, known())
    paid = [one for one in decided if isinstance(one, Match)]
    assert len({one.received.place for one in paid}) == len(paid)
    assert sum(one.received.amount_minor for one in paid) <= sum(one.amount_minor for one in credits_)
    for one in paid:
        assert all(Owed(one.customer, number, "USD", owed.balance_minor) == owed and owed.balance_minor
                   for number in one.invoices for owed in OWED
                   if (owed.customer, owed.number) == (one.customer, number))  # fmt: skip
    by_amount = Counter((one.customer, one.invoices) for one in paid if one.how is How.AMOUNT)
    assert all(count == 1 for count in by_amount.values())
    shuffled = credits_[:]
    chance.shuffle(shuffled)
    again = {(one.received if isinstance(one, Match) else one).place: one for one in match(shuffled, known())}
    assert again == {(one.received if isinstance(one, Match) else one).place: one for one in decided}


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(1, 10**12))
def test_no_key_looks_like_a_card(reference: str, amount: int) -> None:
    """R15, C1: a key tells items apart and can never be taken for a card's number."""
    one = replace(ONE, reference=reference, amount_minor=amount)
    assert not looks_like_card_number(one.key)
    assert one.key != replace(one, amount_minor=amount + 1).key
    assert one.key == replace(one, place=9, text="told otherwise").key
