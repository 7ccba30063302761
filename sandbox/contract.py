"""What every gateway of the sandbox offers to the server: read a request, answer it from the books, edit answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from sandbox.books import Books, Transaction
from sandbox.http import Request

OPERATIONS = ("sale", "authorization", "capture", "void", "refund", "inquiry", "other")

WITHOUT_TWO_DECIMALS = frozenset(
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF BHD IQD JOD KWD LYD OMR TND CLF UYW".split()
)
"""ISO 4217 currencies with no or three decimals: no gateway sheet says how to write them, so they are refused."""

STREET_NUMBER = re.compile(r"\d{1,3}", re.ASCII)
"""The digits that the address rules of the test systems look at."""

_AMOUNT = re.compile(r"\d{1,10}\.\d\d|\d{1,10}", re.ASCII)


@dataclass(slots=True)
class Call:
    """What one request asks for, as far as scenarios, the books and the request log need to know."""

    gateway: str
    operation: str
    reference: str = ""
    request_id: str = ""
    card: str = field(default="", repr=False)
    amount: int | None = None
    """Minor units, or None if absent or malformed."""
    currency: str = ""
    fields: dict[str, str] = field(default_factory=dict, repr=False)
    fault: str = ""
    """What is wrong with the request's form, in words, if anything is."""
    force: "Forced | None" = None
    path: str = ""
    """Where it came to, without the gateway's own beginning, where that says what is asked."""
    status: int = 200
    """The HTTP status of its answer; `answer` sets it."""


@dataclass(slots=True)
class Behaviour:
    """How all gateways of a sandbox behave: what can be changed while it runs."""

    any_amount: bool = False
    """No amount is a test trigger."""
    returns_pending: bool = False
    """Where a gateway knows both, refunds are answered with pending, not done."""


@dataclass(frozen=True, slots=True)
class Forced:
    """A verdict that a scenario imposes in place of the gateway's own: its code, a message, extra fields."""

    code: str
    message: str = ""
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer below the gateway's protocol: HTTP status, content type and body."""

    status: int
    content_type: str
    body: bytes
    headers: str = ""


class Gateway(Protocol):
    """One processor's protocol over the sandbox's books."""

    name: str
    content_type: str
    paths: tuple[str, ...]
    """Where it is served: whole paths, or beginnings that end with `/`. The first is its address for clients."""
    credentials: ClassVar[Mapping[str, str]]
    """What clients must say to be let in, by name; each can be changed when the sandbox is started."""

    def __init__(self, books: Books, credentials: Mapping[str, str], behaviour: Behaviour) -> None: ...

    def read(self, request: Request) -> Call | Page:
        """What the request asks; a page if it is refused before its content is looked at."""

    def answer(self, call: Call) -> str:
        """Do what was asked, book it, set `call.status`, return the body. A repeat gets the first answer again."""

    def target(self, call: Call) -> str:
        """The id of the transaction that a void, refund or inquiry is about, or an empty string."""

    def foreign(self, call: Call, transaction_id: str) -> str:
        """The answer of another transaction, flagged as duplicate, as a gateway gives it when ids collide."""

    def verdict(self, code: str, message: str) -> dict[str, str]:
        """The fields by which an answer carries this verdict."""

    def edit(self, body: str, changes: dict[str, str | None]) -> str:
        """An answer with fields replaced, added, or (None) taken out."""

    def headers(self, call: Call) -> str:
        """Complete header lines that go with every answer to this call."""

    def encode(self, body: str) -> bytes:
        """The answer's body as sent."""

    def decide(self, held: Transaction, accepted: bool) -> None:
        """A person decided about a transaction that is held for review: its code and message say so from now on."""

    def redact(self, body: bytes) -> str:
        """A request's body with card number, security code and password masked, else unchanged."""


def minor_units(text: str) -> int | None:
    """Minor units of a decimal with two places or none (`118.50`, `118`); None if it is anything else."""
    if _AMOUNT.fullmatch(text) is None:
        return None
    whole, _, cents = text.partition(".")
    return int(whole + (cents or "00"))


def decimal(amount: int) -> str:
    """An amount in minor units as a decimal with two places."""
    return f"{amount // 100}.{amount % 100:02d}"


def masked(number: str) -> str:
    """A card number of which only the last four digits can be read; the length stays."""
    return "*" * (len(number) - 4) + number[-4:] if len(number) > 4 else "*" * len(number)
