"""What every gateway promises to Defray: its operations, what their answers prove, and its traits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from rules.cards import Card
from rules.outcomes import Evidence, Outcome, Sighting


class Operation(StrEnum):
    """The three operations that move money at a gateway."""

    SALE = "sale"
    VOID = "void"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Sale:
    """Charge a card. `send_by` is on the monotonic clock: past it nothing is sent (E1).

    `reference` is our merchant reference (E2), in [10**18, 36**12). Exactly one of `card` and `stored_card` is given.
    """

    reference: int
    amount_minor: int
    currency: str
    send_by: float
    card: Card | None = field(default=None, repr=False)
    stored_card: str | None = field(default=None, repr=False)
    invoice_number: str = ""
    recurring: bool = False


@dataclass(frozen=True, slots=True)
class Void:
    """Undo a sale that has not settled; `reference` is the void's own, `sale_*` those of the sale."""

    reference: int
    amount_minor: int
    currency: str
    send_by: float
    sale_reference: int
    sale_transaction_id: str


@dataclass(frozen=True, slots=True)
class Refund:
    """Return `amount_minor` of a settled sale of `sale_amount_minor` to its card."""

    reference: int
    amount_minor: int
    currency: str
    send_by: float
    sale_reference: int
    sale_transaction_id: str
    sale_amount_minor: int


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Ask what became of the operation that carried `reference`; nothing is moved by asking.

    For a void or refund the sale's own references come with it. `started_at` bounds the search.
    """

    operation: Operation
    reference: int
    amount_minor: int
    currency: str
    started_at: datetime
    send_by: float
    transaction_id: str = ""
    sale_reference: int | None = None
    sale_transaction_id: str = ""


R_co = TypeVar("R_co", covariant=True, bound=Outcome | Sighting)


@dataclass(frozen=True, slots=True)
class Reply(Generic[R_co]):
    """What a call proved, and the redacted evidence for it."""

    result: R_co
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Traits:
    """What differs from gateway to gateway and what the rules must know of it."""

    currencies: frozenset[str]
    amount_minor_max: int
    appears_within: timedelta  # after the last possible send, how long absence in an inquiry means nothing (E4)
    replay_window: timedelta  # how long the same reference is recognised, so that a re-send is no second charge (E4)
    void_undoes_latest: bool  # a void hits the latest operation, so it must never follow a refund (R11)
    many_refunds: bool  # several partial refunds of one sale
    keeps_cards: bool  # a transaction id can stand in for the card number in a later sale (C4)


class Gateway(Protocol):
    """A card processor, safe to be called from many threads.

    No call raises for anything that the network or the gateway does. Failed proves that *this* send did nothing: on a
    re-send (E4) it proves nothing about the earlier one.
    """

    @property
    def name(self) -> str:
        """The name under which it is configured and recorded."""
        ...

    @property
    def account(self) -> str:
        """The merchant account at the gateway (no secret): retry limits count per account (R16)."""
        ...

    @property
    def traits(self) -> Traits:
        """What this gateway can do."""
        ...

    def sale(self, sale: Sale) -> Reply[Outcome]:
        """Charge the card. Approved, Declined, Failed, Held or Unknown."""
        ...

    def void(self, void: Void) -> Reply[Outcome]:
        """Undo the sale. Approved (also when it was voided already), Refused(VoidRefusal), Failed or Unknown."""
        ...

    def refund(self, refund: Refund) -> Reply[Outcome]:
        """Return money. Approved, Refused(RefundRefusal), Failed or Unknown."""
        ...

    def inquire(self, inquiry: Inquiry) -> Reply[Sighting]:
        """Look the operation up. Found, Absent or NoAnswer."""
        ...
