"""What the networks want to know of a card that is kept, and when a gateway's own token for it is no use (C4).

Sources: "Card on File" (developer.paypal.com, Payflow guide, April 2022), "card_stored_credential" (same, Orders v2),
"Card-On-File Transactions" (developer.authorize.net), "CITs and MITs" (docs.stripe.com), "Merchant-initiated
transactions" (developer.cybersource.com). The networks' own rule books were not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rules.outcomes import Failed, FailureClass, Outcome


class KeepNumbers(StrEnum):
    """How long the number of a kept card is held once a gateway's token can stand in for it (C2)."""

    ALWAYS = "always"  # another gateway can take over
    UNTIL_TOKEN = "until_token"  # noqa: S105  # only the gateway that gave the token can charge the card


class Party(StrEnum):
    """Who begins a charge, as the networks divide it."""

    CUSTOMER = "customer"  # whoever holds the card is there, and could answer a question (CIT)
    MERCHANT = "merchant"  # nobody is: a batch, a schedule, a retry (MIT)


class Usage(StrEnum):
    """Whether a card is stored by this charge, or was stored before."""

    FIRST = "first"
    SUBSEQUENT = "subsequent"


class Agreement(StrEnum):
    """What the customer agreed to when the card was stored."""

    RECURRING = "recurring"  # a series of charges
    UNSCHEDULED = "unscheduled"  # charges as they come


@dataclass(frozen=True, slots=True)
class FirstSale:
    """What the network called the first approved sale by a card, and its amount in the currency of the one at hand."""

    network_reference: str
    amount_minor: int | None  # none where it was of another currency


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """What is told of a charge by a stored card; each gateway has its own words for it.

    `first` goes with what the merchant begins. Raises ValueError for a first use that no customer began: without the
    customer's word nothing may be stored.
    """

    initiator: Party
    usage: Usage
    agreement: Agreement
    first: FirstSale | None = None

    def __post_init__(self) -> None:
        if self.initiator is Party.MERCHANT and self.usage is Usage.FIRST:
            raise ValueError("the first use of a stored card is begun by its customer")

    @property
    def unattended(self) -> bool:
        """Whether nobody is there: no security code may be sent then."""
        return self.initiator is Party.MERCHANT

    @property
    def recurring(self) -> bool:
        """Whether it is one of a series."""
        return self.agreement is Agreement.RECURRING


def unattended(*, attended: bool, attempts: int, failures: int) -> bool:
    """Whether nobody is there who could answer a question when a payment is sent for the next time.

    `attended`: somebody was at the screen when it was asked for; `attempts` and `failures` are those so far. What never
    reached the issuer (a failure) is no attempt of the card, so what comes after it is still the first one.
    """
    return not attended or attempts > failures


def stored_credential(
    *, unattended: bool, recurring: bool, to_keep: bool, stored: bool, first: FirstSale | None
) -> StoredCredential | None:
    """What is told of a charge; None of a card that is given for it alone, by whoever is there.

    `to_keep`: a token for later is asked for; `stored`: the card was charged at that merchant account before, and kept.
    A retry is told as what it is: the number was held since the first attempt, and nobody is there.
    """
    agreement = Agreement.RECURRING if recurring else Agreement.UNSCHEDULED
    if unattended:
        return StoredCredential(Party.MERCHANT, Usage.SUBSEQUENT, agreement, first)
    if stored:
        return StoredCredential(Party.CUSTOMER, Usage.SUBSEQUENT, agreement)
    if to_keep or recurring:
        return StoredCredential(Party.CUSTOMER, Usage.FIRST, agreement)
    return None


def token_refused(outcome: Outcome) -> bool:
    """Whether the gateway's own answer to a sale by token says that it did nothing with it; an issuer's no does not."""
    return isinstance(outcome, Failed) and outcome.failure is FailureClass.REFUSED
