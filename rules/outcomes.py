"""What a call to a gateway proved (E3): a closed vocabulary, matched exhaustively wherever it is used.

A sale, void or refund ends as one of `Outcome`; an inquiry as one of `Sighting`. The default of every table and parser
is `Unknown`: what is not proven is looked up, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class DeclineClass(StrEnum):
    """What a decline says about another try: only the four soft classes are tried again by themselves (R16)."""

    SOFT_TECHNICAL = "soft_technical"  # issuer or switch unavailable: hours
    SOFT_DATED = "soft_dated"  # no funds, limits: days, near paydays
    SOFT_GENERIC = "soft_generic"  # do not honour: few tries
    SOFT_UNLISTED = "soft_unlisted"  # a clear decline for a reason that no table knows: one try
    NEW_DATA = "new_data"  # expired, wrong number or code: never again with this data
    OTHER_WAY = "other_way"  # the payer must call, authenticate, take another card
    HARD = "hard"  # never with this card


class FailureClass(StrEnum):
    """Why something was certainly not done."""

    NOT_SENT = "not_sent"  # no byte of the request left: refused, DNS, TLS, pool time-out, deadline passed
    BUSY = "busy"  # the gateway answered that it did nothing now: later
    REFUSED = "refused"  # the gateway answered that the request is wrong: our data or our bug
    GATEWAY_SETUP = "gateway_setup"  # credentials, permissions, account: every other call would fail too


class VoidRefusal(StrEnum):
    """What the gateway said to a void that it did not make."""

    CANNOT_VOID = "cannot_void"  # settled, voided already or not voidable: the sale's standing tells which (R11)


class RefundRefusal(StrEnum):
    """What the gateway said to a refund that it did not make."""

    NOT_YET = "not_yet"  # not settled yet: later
    ALREADY = "already"  # refunded or voided before: to be verified by inquiry (B47)
    REFUSED = "refused"  # will not be made


class Standing(StrEnum):
    """Where the money of a sale stands at the gateway."""

    UNSETTLED = "unsettled"  # can be voided
    SETTLING = "settling"  # neither void nor refund now: wait
    SETTLED = "settled"  # can be refunded
    VOIDED = "voided"
    REFUNDED = "refunded"  # a refund of the sale stands (its amount in `refunded_minor` where known)
    NOTHING = "nothing"  # no money moved: declined or failed
    LIMBO = "limbo"  # a person must look


@dataclass(frozen=True, slots=True)
class Approved:
    """Done. `amount_minor`, `currency`, `reference` are as the gateway repeated them, None where it did not (R18).

    `final` is False where the gateway accepted a refund that it may still fail (R17). `repeated`: it says that it gives
    the answer of an earlier call again, and not whose call that was (B08). `card_token` stands in for the number in
    later sales (C4), `network_reference` is what the card network called this one.
    """

    transaction_id: str
    code: str = ""
    message: str = ""
    approval_code: str = ""
    amount_minor: int | None = None
    currency: str | None = None
    reference: str | None = None
    card_token: str | None = field(default=None, repr=False)
    network_reference: str = ""
    final: bool = True
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Declined:
    """The gateway or the issuer said no to a sale. `code` and `advice` are the raw ones, `message` for the office."""

    decline: DeclineClass
    code: str
    message: str = ""
    transaction_id: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway said no to a void or a refund."""

    refusal: VoidRefusal | RefundRefusal
    code: str
    message: str = ""
    transaction_id: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Certainly not done; not the card's fault. `retry_after`: the gateway asks not to come again before."""

    failure: FailureClass
    code: str
    message: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Held for review at the gateway: neither yes nor no (B22)."""

    transaction_id: str
    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Maybe done: to be looked up (E4)."""

    code: str
    message: str = ""
    transaction_id: str = ""


Outcome = Approved | Declined | Refused | Failed | Held | Unknown


@dataclass(frozen=True, slots=True)
class Found:
    """The inquiry found the transaction: what its outcome was, and where its money stands now."""

    outcome: Outcome
    standing: Standing
    refunded_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """The gateway knows no such transaction (yet): no proof that there will be none (E4)."""

    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The inquiry itself failed: ask again later."""

    code: str
    message: str = ""


Sighting = Found | Absent | NoAnswer


@dataclass(frozen=True, slots=True)
class Healthy:
    """The gateway answers, and takes our credentials."""

    message: str = ""


@dataclass(frozen=True, slots=True)
class Unwell:
    """It does not answer, or not us. `setup`: it answered that our credentials or rights do not do."""

    code: str
    message: str = ""
    setup: bool = False


Health = Healthy | Unwell


@dataclass(frozen=True, slots=True)
class Evidence:
    """What went over the wire, redacted: HTTP status (None if there was no reply) and the reply's fields or error."""

    http_status: int | None
    said: dict[str, str]
