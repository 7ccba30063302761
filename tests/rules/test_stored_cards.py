"""What the networks are told of a stored card (C4): who begins the charge, what was stored, what was agreed."""

from __future__ import annotations

import itertools
from dataclasses import FrozenInstanceError
from typing import Final

import pytest

from rules.stored_cards import (
    Agreement,
    FirstSale,
    Party,
    StoredCredential,
    Usage,
    stored_credential,
    unattended,
)

FIRST_SALE: Final = FirstSale("016153570198200", 6150)
FLAGS: Final = list(itertools.product((False, True), repeat=4))


def told(alone: bool, recurring: bool, to_keep: bool, stored: bool) -> StoredCredential | None:
    """The decision, where the network's name of the first sale is known."""
    return stored_credential(unattended=alone, recurring=recurring, to_keep=to_keep, stored=stored, first=FIRST_SALE)


@pytest.mark.parametrize(
    ("attended", "attempts", "failures", "alone"),
    [
        (True, 0, 0, False),
        (True, 1, 1, False),  # the gateway was too busy: the card's bank never heard of it
        (True, 1, 0, True),  # a retry
        (True, 3, 2, True),
        (False, 0, 0, True),  # a batch, a schedule, an app
    ],
)
def test_who_is_there(attended: bool, attempts: int, failures: int, alone: bool) -> None:
    """C4, R16: whoever was there for the first attempt is not there for the second."""
    assert unattended(attended=attended, attempts=attempts, failures=failures) is alone


@pytest.mark.parametrize(("alone", "recurring", "to_keep", "stored"), FLAGS)
def test_every_case(alone: bool, recurring: bool, to_keep: bool, stored: bool) -> None:
    """C4: the initiator is who is there, a series is a series, and only a customer's charge stores a card."""
    said = told(alone, recurring, to_keep, stored)
    if said is None:
        assert not any((alone, recurring, to_keep, stored))
        return
    assert said.initiator is (Party.MERCHANT if alone else Party.CUSTOMER)
    assert said.agreement is (Agreement.RECURRING if recurring else Agreement.UNSCHEDULED)
    assert said.usage is (Usage.SUBSEQUENT if alone or stored else Usage.FIRST)
    assert said.first == (FIRST_SALE if alone else None)
    assert (said.unattended, said.recurring) == (alone, recurring)


def test_a_card_given_for_one_payment() -> None:
    """C2, C4: nothing is stored, so there is nothing to tell; its retry says that nobody is there."""
    assert told(False, False, False, False) is None
    retry = stored_credential(unattended=True, recurring=False, to_keep=False, stored=False, first=None)
    assert retry == StoredCredential(Party.MERCHANT, Usage.SUBSEQUENT, Agreement.UNSCHEDULED)


def test_no_merchant_stores_a_card() -> None:
    """C4: without the customer nothing is stored; what is told is never changed."""
    with pytest.raises(ValueError, match="begun by its customer"):
        StoredCredential(Party.MERCHANT, Usage.FIRST, Agreement.RECURRING)
    said = told(True, True, False, True)
    with pytest.raises(FrozenInstanceError):
        said.agreement = Agreement.UNSCHEDULED  # type: ignore[misc, union-attr]
