"""Payflow Pro: name-value pairs with length tags over HTTPS.

Source, where nothing else is said: PayPal, "Gateway Developer Guide and Reference", 7 January 2014 (GDG).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from gateways.contract import Capture, Gateway, Inquiry, Operation, Refund, Refunds, Reply, Sale, Traits, Void, Voids
from gateways.http import Answered, Exchange, HttpClient, NotSent
from gateways.issuer_codes import ISSUER_CODES, refined
from gateways.wire import TWO_DECIMALS, Vocabulary, minor_from, plain, read, unsupported
from rules.money import to_decimal
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Evidence,
    Failed,
    FailureClass,
    Found,
    Health,
    Healthy,
    Held,
    NoAnswer,
    Outcome,
    RefundRefusal,
    Refused,
    Sighting,
    Standing,
    Unknown,
    Unwell,
    VoidRefusal,
)
from rules.redaction import redact_text
from rules.stored_cards import StoredCredential, Usage

# ---- traits (the endpoint: GDG p. 158; the vendor's own test system is https://pilot-payflowpro.paypal.com/)

TRAITS: Final = Traits(
    currencies=TWO_DECIMALS,
    amount_minor_max=999_999_999,  # seven digits and two decimals are always safe (GDG p. 55)
    appears_within=timedelta(minutes=15),  # our caution: the guides name no time
    replay_window=timedelta(hours=24),  # kept 30 days (HTTPS Interface Guide 2007, p. 8), meant for hours
    voids=Voids.UNTIL_SETTLED,
    void_undoes_latest=False,
    refunds=Refunds.MANY,
    refund_within=None,
    keeps_cards=True,  # reference transactions (GDG 2013 p. 74)
    authorizes=True,
)

# ---- wire words (GDG pp. 55-70, 157)

_TRXTYPE: Final = {
    Operation.SALE: "S",
    Operation.AUTHORIZATION: "A",
    Operation.CAPTURE: "D",
    Operation.VOID: "V",
    Operation.REFUND: "C",
}
_CHARGES: Final = frozenset({Operation.SALE, Operation.AUTHORIZATION})
_NOBODYS_CUSTREF: Final = "0" * 12  # below every reference of ours (E2)
_TIMEOUT_SECONDS_MAX: Final = 45  # recommended X-VPS-CLIENT-TIMEOUT
_SEARCHED: Final = timedelta(days=30)  # an inquiry by CUSTREF looks back so far, or over a span of at most this
_WORDS: Final = Vocabulary(
    decisive=frozenset(
        "RESULT PNREF AMT CURRENCY CUSTREF DUPLICATE ORIGRESULT ORIGPNREF TRANSSTATE HOSTCODE PAYMENTADVICECODE".split()
    ),
    ids=frozenset("PNREF ORIGPNREF CUSTREF PPREF CORRELATIONID TXID".split()),
    shown=frozenset(
        """RESULT RESPMSG AUTHCODE AVSADDR AVSZIP IAVS CVV2MATCH PROCAVS PROCCVV2 HOSTCODE RESPTEXT DUPLICATE TRANSTIME
    AMT CURRENCY ACCT CARDTYPE PREFPSMSG POSTFPSMSG PAYMENTADVICECODE ADDLMSGS ORIGRESULT TRANSSTATE
    DATE_TO_SETTLE BATCHID SETTLE_DATE""".split()
    ),
)

# ---- code tables: RESULT (GDG p. 107; Fraud Protection Services Guide 2013, pp. 71-73). Not listed is Unknown.

_ACCOUNT_RULE: Final = "117"
_DECLINES: Final[dict[str, DeclineClass]] = {
    "12": DeclineClass.SOFT_GENERIC,
    "13": DeclineClass.OTHER_WAY,  # referral
    **dict.fromkeys(("50", "51"), DeclineClass.SOFT_DATED),
    **dict.fromkeys(("150", "151"), DeclineClass.SOFT_TECHNICAL),
    "1000": DeclineClass.SOFT_GENERIC,
    **dict.fromkeys(("23", "24", "112", "114"), DeclineClass.NEW_DATA),
    _ACCOUNT_RULE: DeclineClass.OTHER_WAY,  # a rule of the merchant's account
    **dict.fromkeys(("125", "128"), DeclineClass.HARD),
}
_INQUIRE_FIRST: Final = frozenset({"150", "1000"})  # a decline only when an inquiry says so too
_FAILURES: Final[dict[str, FailureClass]] = {
    # 133 (the request id came before, with other data) is not here: the first may have been done
    **dict.fromkeys(("1", "5", "14", "26", "27", "28", "131"), FailureClass.GATEWAY_SETUP),
    **dict.fromkeys("2 3 4 6 7 8 9 10 19 25 29 52 100 101 110 111 118 120 121 200 201".split(), FailureClass.REFUSED),
    **dict.fromkeys(("102", "106", "115", "116", "402"), FailureClass.BUSY),
}
_HELD: Final = frozenset({"126", "127"})
_VOID_ERROR: Final = "108"
_CREDIT_ERROR: Final = "105"
_NOT_FOUND: Final = frozenset({"19", "20"})

_STANDINGS: Final[dict[str, Standing]] = {
    # TRANSSTATE of a sale (Payflow Pro Developer's Guide 2009, p. 144). Not listed is Standing.LIMBO.
    **dict.fromkeys(("", "0", "3", "6"), Standing.UNSETTLED),
    "7": Standing.SETTLING,
    "8": Standing.SETTLED,
}
_CHARGED_BACK: Final = "15"
_VOIDED: Final = re.compile(r"[1-9][0-9]{3,8}")  # 1000 and above
_CAPTURED: Final = "9"


# ---- verbs


class Payflow:
    """The gateway Payflow Pro (contract.Gateway). `read_timeout` should exceed 50 s: the gateway may take 45 s."""

    name = "payflow"
    traits = TRAITS

    def __init__(
        self,
        url: str,
        user: str,
        vendor: str,
        partner: str,
        password: str,
        pool_size: int,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        self.account = vendor
        self._login = [("USER", user), ("VENDOR", vendor), ("PARTNER", partner), ("PWD", password)]
        client_timeout = min(_TIMEOUT_SECONDS_MAX, max(1, int(read_timeout) - 5))
        headers = {"Content-Type": "text/namevalue", "X-VPS-CLIENT-TIMEOUT": str(client_timeout)}
        self._http = HttpClient(url, headers, pool_size, connect_timeout, read_timeout)

    def sale(self, sale: Sale) -> Reply[Outcome]:
        """Charge the card, or the card of the earlier transaction `stored_card` (C4)."""
        return self._charge(Operation.SALE, sale)

    def authorize(self, sale: Sale) -> Reply[Outcome]:
        """Reserve the amount on the card, or on the card of the earlier transaction `stored_card`."""
        return self._charge(Operation.AUTHORIZATION, sale)

    def capture(self, capture: Capture) -> Reply[Outcome]:
        """Take what was authorized, once; RESULT 111 (captured before, or more than was authorized) took nothing."""
        amount = to_decimal(capture.amount_minor, capture.currency)
        fields = [("ORIGID", capture.authorization_transaction_id), ("AMT", amount), ("CURRENCY", capture.currency)]
        return self._commit(Operation.CAPTURE, capture, fields)

    def void(self, void: Void) -> Reply[Outcome]:
        """Undo a sale or authorization; RESULT 108 is Refused(CANNOT_VOID): why, the sale's standing tells."""
        return self._commit(Operation.VOID, void, [("ORIGID", void.sale_transaction_id)])

    def refund(self, refund: Refund) -> Reply[Outcome]:
        """Return money; an approval is not final until the credit has settled (R17)."""
        amount = to_decimal(refund.amount_minor, refund.currency)
        fields = [("ORIGID", refund.sale_transaction_id), ("AMT", amount), ("CURRENCY", refund.currency)]
        return self._commit(Operation.REFUND, refund, fields)

    def inquire(self, inquiry: Inquiry) -> Reply[Sighting]:
        """Look up any operation by its PNREF, or by its own CUSTREF where no PNREF came back (B13)."""
        body = _build("I", self._login, _inquiry_fields(inquiry, datetime.now(UTC)))
        exchange = self._http.post(body, inquiry.send_by, {"X-VPS-REQUEST-ID": uuid.uuid4().hex})
        return _parse_sighting(exchange, inquiry)

    def health(self, send_by: float) -> Reply[Health]:
        """Ask for a CUSTREF that nobody has: "not found" comes from a gateway that let us in."""
        body = _build("I", self._login, [("CUSTREF", _NOBODYS_CUSTREF)])
        return _parse_health(self._http.post(body, send_by, {"X-VPS-REQUEST-ID": uuid.uuid4().hex}))

    def _charge(self, operation: Operation, sale: Sale) -> Reply[Outcome]:
        if refusal := unsupported(sale, TRAITS):
            return Reply(refusal, Evidence(None, {}))
        return self._commit(operation, sale, _sale_fields(sale))

    def _commit(
        self, operation: Operation, asked: Sale | Capture | Void | Refund, fields: list[tuple[str, str]]
    ) -> Reply[Outcome]:
        body = _build(_TRXTYPE[operation], self._login, [*fields, ("CUSTREF", custref(asked.reference))])
        request_id = _request_id(operation, asked.reference)
        exchange = self._http.post(body, asked.send_by, {"X-VPS-REQUEST-ID": request_id})
        return _parse_outcome(exchange, operation, asked, request_id)


# ---- builder: every field with its length tag, so that no value can end early (GDG 2013 pp. 51-52, B16)


def custref(reference: int) -> str:
    """Our reference as CUSTREF takes it: 12 characters in base 36."""
    digits = ""
    while reference:
        reference, digit = divmod(reference, 36)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return digits.rjust(12, "0")


def _request_id(operation: Operation, reference: int) -> str:
    """The idempotency key: the same for every send of one operation (E2, B09), without the dots that it dislikes."""
    return hashlib.sha256(f"{operation.value}:{reference}".encode()).hexdigest()[:32]


def _build(trxtype: str, login: Sequence[tuple[str, str]], fields: Sequence[tuple[str, str]]) -> bytes:
    first = [("TRXTYPE", trxtype), ("TENDER", "C")]
    pairs = [*first, *login, *((name, plain(value, 128)) for name, value in fields), ("VERBOSITY", "HIGH")]
    return "&".join(f"{name}[{len(value)}]={value}" for name, value in pairs if value).encode("ascii")


def _sale_fields(sale: Sale) -> list[tuple[str, str]]:
    amount = [("AMT", to_decimal(sale.amount_minor, sale.currency)), ("CURRENCY", sale.currency)]
    invoice = ("INVNUM", plain(sale.invoice_number, 20))
    card = sale.card
    if card is None:
        return [("ORIGID", sale.stored_card or ""), *amount, invoice]  # what the networks ask, Payflow adds by itself
    first_name, _, last_name = plain(card.name, 60).rpartition(" ")
    return [
        ("ACCT", card.number),
        ("EXPDATE", f"{card.exp_month:02}{card.exp_year % 100:02}"),
        *amount,
        ("CVV2", "" if sale.unattended else card.security_code or ""),
        ("BILLTOFIRSTNAME", first_name[:30]),
        ("BILLTOLASTNAME", last_name[:30]),
        ("BILLTOSTREET", plain(card.street, 30)),
        ("BILLTOCITY", plain(card.city, 20)),
        ("BILLTOSTATE", plain(card.state, 2)),
        ("BILLTOZIP", "".join(filter(str.isalnum, plain(card.postal_code, 20)))[:9]),
        ("BILLTOCOUNTRY", plain(card.country, 2)),
        *_card_on_file(sale.credential),
        invoice,
    ]


def _card_on_file(told: StoredCredential | None) -> list[tuple[str, str]]:
    """What the networks want to know of a kept card (developer.paypal.com, "Card on File", 18 April 2022; C4).

    C or M: who begins it. I: to be stored; R: one of a series; U: unscheduled. That a stored card's holder who is
    there is CITU stands in that page's table as BoltApp/sleet (pull request 229) read it; the name TXID in a request
    is taken from Active Merchant (pull request 4288): both are unconfirmed.
    """
    if told is None:
        return []
    by_usage = "I" if told.usage is Usage.FIRST else "U"
    kind = "R" if told.recurring else by_usage
    reference = plain(told.first.network_reference, 64) if told.first else ""
    return [("CARDONFILE", ("MIT" if told.unattended else "CIT") + kind), ("TXID", reference)]


def _inquiry_fields(inquiry: Inquiry, now: datetime) -> list[tuple[str, str]]:
    if inquiry.transaction_id:
        return [("ORIGID", inquiry.transaction_id)]
    fields = [("CUSTREF", custref(inquiry.reference))]
    start = inquiry.started_at - timedelta(days=1)  # the gateway's time zone is not stated
    if now - start > _SEARCHED:
        span = (("STARTTIME", start), ("ENDTIME", start + _SEARCHED))
        fields += [(name, moment.strftime("%Y%m%d%H%M%S")) for name, moment in span]
    return fields


# ---- parser


def _parse(text: str) -> list[tuple[str, str]] | None:
    """The reply's fields, nothing decoded; None if it is no Payflow reply (B18, B19)."""
    said: list[tuple[str, str]] = []
    rest = text.strip("\r\n ")
    while rest:
        name, equals, rest = rest.partition("=")
        tag = re.fullmatch(r"(\w+)(?:\[(\d{1,5})\])?", name)
        if not tag or not equals:
            return None
        if tag[2]:
            value, rest = rest[: int(tag[2])], rest[int(tag[2]) :]
            if len(value) < int(tag[2]) or rest[:1] not in ("", "&"):
                return None
            rest = rest[1:]
        else:
            value, _, rest = rest.partition("&")
        said.append((tag[1], value))
    return said if said and said[0][0] == "RESULT" else None


def _parse_outcome(
    exchange: Exchange, operation: Operation, asked: Sale | Capture | Void | Refund, request_id: str
) -> Reply[Outcome]:
    said, seen = read(exchange, _parse, _WORDS)
    if isinstance(said, NotSent):
        return Reply(Failed(FailureClass.NOT_SENT, said.code, said.message), seen)
    if isinstance(said, Unknown):
        return Reply(said, seen)
    result, pnref = said["RESULT"], said.get("PNREF", "")
    if isinstance(exchange, Answered) and exchange.headers.get("X-VPS-REQUEST-ID", request_id) != request_id:
        return Reply(Unknown("other_reply", "the reply belongs to another request", pnref), seen)
    if said.get("DUPLICATE") in ("1", "2") and not _is_ours(said, asked):
        message = "a duplicate, and not proven to be of this operation"
        return Reply(Unknown("duplicate_of_other", message, pnref), seen)
    if result in _INQUIRE_FIRST:
        return Reply(Unknown(result, redact_text(said.get("RESPMSG", "")), pnref), seen)
    if result == _ACCOUNT_RULE and isinstance(asked, Sale) and asked.card is None:
        # So is answered where the account does not allow reference transactions: that says nothing of the card (C4).
        return Reply(Failed(FailureClass.REFUSED, result, redact_text(said.get("RESPMSG", ""))), seen)
    return Reply(_outcome(operation, result, pnref, said, asked.currency), seen)


def _is_ours(said: dict[str, str], asked: Sale | Capture | Void | Refund) -> bool:
    """Whether what a duplicate's reply repeats fits this operation; without an amount nothing is proven (B08)."""
    card = asked.card if isinstance(asked, Sale) else None
    tail = card.number[-4:] if card else said.get("ACCT", "")[-4:]
    return (
        minor_from(said.get("AMT", ""), asked.currency) == asked.amount_minor
        and said.get("ACCT", tail)[-4:] == tail
        and said.get("CUSTREF", custref(asked.reference)) == custref(asked.reference)
    )


def _outcome(operation: Operation, result: str, pnref: str, said: dict[str, str], currency: str) -> Outcome:
    message = redact_text(said.get("RESPMSG", ""))
    if result == "0":
        return _approved(operation, pnref, said, currency)
    if result in _HELD:
        return Held(pnref, result, message)
    if result in _FAILURES:
        return Failed(_FAILURES[result], result, message)
    if operation is Operation.VOID and (result == _VOID_ERROR or result in _DECLINES):
        return Refused(VoidRefusal.CANNOT_VOID, result, message, pnref)
    if operation is Operation.REFUND and (result == _CREDIT_ERROR or result in _DECLINES):
        refusal = RefundRefusal.ALREADY if result == _CREDIT_ERROR else RefundRefusal.REFUSED
        return Refused(refusal, result, message, pnref)
    if operation not in _CHARGES or result not in _DECLINES:
        return Unknown(result, message, pnref)
    host_code = said.get("HOSTCODE", "")
    code = host_code if host_code in ISSUER_CODES else result
    decline = refined(_DECLINES[result], host_code)
    if isinstance(decline, FailureClass):
        return Failed(decline, code, message)
    return Declined(decline, code, message, pnref, said.get("PAYMENTADVICECODE", ""))


def _approved(operation: Operation, pnref: str, said: dict[str, str], currency: str) -> Approved | Unknown:
    """The approval with what it repeats (R18); without a whole PNREF or with an unreadable amount it proves nothing."""
    amount = minor_from(said["AMT"], currency) if "AMT" in said else None
    if len(pnref) != 12 or (amount is None and "AMT" in said):
        return Unknown("incomplete", "approved, but the reply's PNREF or AMT cannot be read", pnref)
    return Approved(
        transaction_id=pnref,
        code="0",
        message=redact_text(said.get("RESPMSG", "")),
        approval_code=said.get("AUTHCODE", ""),
        amount_minor=amount,
        currency=said.get("CURRENCY"),
        reference=said.get("CUSTREF"),
        network_reference=said.get("TXID", ""),
        card_token=pnref if operation in _CHARGES else None,
        final=operation is not Operation.REFUND or said.get("TRANSSTATE") == "8",
        repeated=said.get("DUPLICATE") in ("1", "2") and "CUSTREF" not in said,
    )


def _parse_sighting(exchange: Exchange, inquiry: Inquiry) -> Reply[Sighting]:
    """What an inquiry saw: RESULT is of the inquiry, ORIGRESULT of the original (Developer's Guide 2009, p. 141)."""
    said, seen = read(exchange, _parse, _WORDS)
    if not isinstance(said, dict):
        return Reply(NoAnswer(said.code, said.message), seen)
    result, message = said["RESULT"], redact_text(said.get("RESPMSG", ""))
    if result in _NOT_FOUND:
        return Reply(Absent(result, message), seen)
    if result != "0" or "ORIGRESULT" not in said:
        return Reply(NoAnswer(result, message), seen)
    pnref = said.get("ORIGPNREF", "")
    outcome = _outcome(inquiry.operation, said["ORIGRESULT"], pnref, said, inquiry.currency)
    if not isinstance(outcome, Approved) and said.get("CUSTREF", "") not in ("", custref(inquiry.reference)):
        return Reply(Found(Unknown("other_reference", "found another operation", pnref), Standing.LIMBO), seen)
    return Reply(_found(inquiry.operation, outcome, said), seen)


def _parse_health(exchange: Exchange) -> Reply[Health]:
    said, seen = read(exchange, _parse, _WORDS)
    if not isinstance(said, dict):
        return Reply(Unwell(said.code, said.message), seen)
    result, message = said["RESULT"], redact_text(said.get("RESPMSG", ""))
    if result == "0" or result in _NOT_FOUND:
        return Reply(Healthy(message), seen)
    return Reply(Unwell(result, message, _FAILURES.get(result) is FailureClass.GATEWAY_SETUP), seen)


def _found(operation: Operation, outcome: Outcome, said: dict[str, str]) -> Found:
    state = said.get("TRANSSTATE", "")
    standing = _STANDINGS.get(state, Standing.VOIDED if _VOIDED.fullmatch(state) else Standing.LIMBO)
    if standing is Standing.UNSETTLED and (said.get("SETTLE_DATE") or said.get("BATCHID", "").strip("0")):
        standing = Standing.SETTLED
    if isinstance(outcome, Held | Unknown):
        return Found(outcome, Standing.LIMBO)
    if not isinstance(outcome, Approved):
        return Found(outcome, Standing.NOTHING)
    if operation is Operation.VOID:
        return Found(outcome, Standing.VOIDED)
    if operation is Operation.AUTHORIZATION and state == _CAPTURED:
        return Found(outcome, Standing.SETTLING)  # neither to be voided nor refunded: its capture is
    astray = standing is Standing.LIMBO and state != _CHARGED_BACK
    if astray or (operation is Operation.REFUND and standing is Standing.VOIDED):
        message = "approved, but its money does not move: TRANSSTATE"
        return Found(Unknown(f"transstate_{state}", f"{message} {state}", outcome.transaction_id), Standing.LIMBO)
    if operation is Operation.REFUND:
        return Found(outcome, Standing.REFUNDED, outcome.amount_minor)
    return Found(outcome, standing)


GATEWAY: Final[type[Gateway]] = Payflow
