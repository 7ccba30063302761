"""What every gateway promises to Defray: its operations, what their answers prove, and its traits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from rules.cards import Card
from rules.outcomes import Evidence, Health, Outcome, Sighting
from rules.stored_cards import StoredCredential


class Operation(StrEnum):
    """What moves money at a gateway, or reserves it."""

    SALE = "sale"
    AUTHORIZATION = "authorization"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Sale:
    """Charge a card, or reserve the amount. `send_by` is on the monotonic clock: past it nothing is sent (E1).

    `reference` is our merchant reference (E2), in [10**18, 36**12). Exactly one of `card` and `stored_card` is given.
    `keep_card`: a token for later is wanted, which the payer agreed to. `credential` is what the networks want to know
    of a card that is kept (C4); None of one that was given for this sale alone.
    """

    reference: int
    amount_minor: int
    currency: str
    send_by: float
    card: Card | None = field(default=None, repr=False)
    stored_card: str | None = field(default=None, repr=False)
    invoice_number: str = ""
    keep_card: bool = False
    credential: StoredCredential | None = None

    @property
    def unattended(self) -> bool:
        """Whether nobody is there who could answer a question: no security code may be sent then."""
        return self.credential is not None and self.credential.unattended

    @property
    def recurring(self) -> bool:
        """Whether it is one of a series that the payer agreed to."""
        return self.credential is not None and self.credential.recurring


@dataclass(frozen=True, slots=True)
class Capture:
    """Take an amount that was authorized, all of it or less; `reference` is the capture's own."""

    reference: int
    amount_minor: int
    currency: str
    send_by: float
    authorization_reference: int
    authorization_transaction_id: str


@dataclass(frozen=True, slots=True)
class Void:
    """Undo a sale that has not settled, or an authorization; `reference` is the void's own, `sale_*` the other's."""

    reference: int
    amount_minor: int
    currency: str
    send_by: float
    sale_reference: int
    sale_transaction_id: str


@dataclass(frozen=True, slots=True)
class Refund:
    """Return `amount_minor` of a settled sale of `sale_amount_minor` to its card, which ends in `card_last_four`."""

    reference: int
    amount_minor: int
    currency: str
    send_by: float
    sale_reference: int
    sale_transaction_id: str
    sale_amount_minor: int
    card_last_four: str = ""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Ask what became of the operation that carried `reference`; nothing is moved by asking.

    For a void, refund or capture the sale's own references come with it. `started_at` bounds the search.
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


R_co = TypeVar("R_co", covariant=True, bound=Outcome | Sighting | Health)


@dataclass(frozen=True, slots=True)
class Reply(Generic[R_co]):
    """What a call proved, and the redacted evidence for it."""

    result: R_co
    evidence: Evidence


class Voids(StrEnum):
    """Until when a sale can be voided; else its reversal is a refund (R11)."""

    UNTIL_SETTLED = "until_settled"
    NEVER = "never"  # a sale is final at once; only an authorization can be voided


class Refunds(StrEnum):
    """How a sale is refunded in parts (R17)."""

    ONE = "one"  # once, whole or a part
    MANY = "many"  # several parts, together at most the sale


@dataclass(frozen=True, slots=True)
class Traits:
    """What differs from gateway to gateway and what the rules must know of it."""

    currencies: frozenset[str]
    amount_minor_max: int
    appears_within: timedelta  # after the last possible send, how long absence in an inquiry means nothing (E4)
    replay_window: timedelta  # how long the same reference is recognised, so that a re-send is no second charge (E4)
    voids: Voids
    void_undoes_latest: bool  # a void hits the latest operation, so it must never follow a refund (R11)
    refunds: Refunds
    refund_within: timedelta | None  # after the sale; None: the gateway names no limit
    keeps_cards: bool  # a token can stand in for the card number in a later sale (C4)
    authorizes: bool  # authorization and capture as two steps


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

    def authorize(self, sale: Sale) -> Reply[Outcome]:
        """Reserve the amount, to be captured or voided later. Outcomes as of a sale.

        Without `traits.authorizes` this and `capture` are Failed(REFUSED, "unsupported"), and nothing is sent.
        """
        ...

    def capture(self, capture: Capture) -> Reply[Outcome]:
        """Take what was authorized. Approved, Declined, Failed, Held or Unknown."""
        ...

    def void(self, void: Void) -> Reply[Outcome]:
        """Undo the sale or authorization. Approved (also if it was voided before), Refused, Failed or Unknown."""
        ...

    def refund(self, refund: Refund) -> Reply[Outcome]:
        """Return money. Approved, Refused(RefundRefusal), Failed or Unknown."""
        ...

    def inquire(self, inquiry: Inquiry) -> Reply[Sighting]:
        """Look the operation up. Found, Absent or NoAnswer."""
        ...

    def health(self, send_by: float) -> Reply[Health]:
        """Whether the gateway answers and takes our credentials; nothing is moved by asking."""
        ...
