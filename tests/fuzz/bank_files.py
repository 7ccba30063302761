"""Banks' files, BAI2 and camt, and the decision whose money it is."""

from __future__ import annotations

from reports import bank
from rules.money import AMOUNT_MINOR_MAX, EXPONENTS
from rules.remittance import Known, Match, Owed, match, words
from tests.fuzz.files import lying, refused_in_words

_OWED = (Owed("C-1", "A-1", "USD", 12500), Owed("C-2", "A-2", "EUR", 12550))
_KNOWN = Known(
    {one.number: [one] for one in _OWED},
    frozenset(one.customer for one in _OWED),
    {(one.currency, one.balance_minor): one for one in _OWED},
    frozenset((one.customer, one.currency, one.balance_minor) for one in _OWED),
)


def check(data: bytes) -> None:
    """A file is read whole, its credits in known currency and above 0, or refused; no more is paid than came in."""
    with lying(data) as path, refused_in_words():
        file = bank.read(path)
        for one in file.received:
            assert 0 < one.amount_minor <= AMOUNT_MINOR_MAX
            assert one.currency in EXPONENTS
            assert one.reference.strip("0/")
            words(one)
        decided = match(file.received, _KNOWN)
        assert len(decided) == len(file.received)
        paid = [one.received for one in decided if isinstance(one, Match)]
        assert sum(one.amount_minor for one in paid) <= sum(one.amount_minor for one in file.received)
        places = [*(one.place for one in file.received), *(one.place for one in file.left)]
        assert len(set(places)) == len(places)
