"""Plug'n Pay: form fields to the Remote API, pnpremote.cgi.

Sources: docs.plugnpay.com, "Remote API Integration Specification" (RAI), its sections named below; code tables from
activemerchant (plugnpay.rb) and Paython (plugnpay.py); sample replies from omnipay-plugnpay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote_plus, unquote_plus

from gateways.contract import Capture, Gateway, Inquiry, Operation, Refund, Refunds, Reply, Sale, Traits, Void, Voids
from gateways.http import Exchange, HttpClient, NotSent
from gateways.issuer_codes import ISSUER_CODES
from gateways.wire import TWO_DECIMALS, Vocabulary, contradicts, minor_from, plain, read, shown, unsupported
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

# ---- traits (the endpoint: RAI section 1; there is no test host, only test accounts)

TRAITS: Final = Traits(
    currencies=TWO_DECIMALS,
    amount_minor_max=999_999_999,  # card-amount has at most 10 characters (RAI, "Transaction Details")
    appears_within=timedelta(minutes=15),  # our caution: the specification names no time
    replay_window=timedelta(hours=24),  # our caution: how long an orderID is remembered is not stated
    voids=Voids.UNTIL_SETTLED,
    void_undoes_latest=True,  # RAI, "Void"
    refunds=Refunds.ONE,  # RAI, "Return": once for each orderID
    refund_within=None,
    keeps_cards=False,  # authprev may not take an orderID of its own, so a lost answer could not be found again
    authorizes=True,
)

# ---- wire words (RAI section 2; response tables)

_WORDS: Final = Vocabulary(
    decisive=frozenset("finalstatus orderid card-amount amountcharged currency resp-code sresp duplicate mode".split()),
    ids=frozenset({"orderid"}),
    shown=frozenset(
        """finalstatus mstatus success merrmsg aux-msg auth-msg auth-code resp-code sresp avs-code cvvresp duplicate
    errdetails merchant auth-date amountcharged amount card-amount currency card-type receiptcc mode txn-type order-id
    trans-date operation result""".split()
    ),
)

# ---- code tables. What is not listed is Unknown; under a clear decline, one more try.

_GATEWAY_CODES: Final[dict[str, DeclineClass | FailureClass]] = {
    # resp-code P..: the gateway's own (activemerchant, Paython)
    **dict.fromkeys("P01 P02 P55 P56 P57 P64".split(), DeclineClass.NEW_DATA),
    **dict.fromkeys("P03 P50 P66 P67 P68 P69 P70 P71 P74 P75".split(), DeclineClass.HARD),
    **dict.fromkeys("P65 P72 P73".split(), DeclineClass.SOFT_DATED),
    "P30": DeclineClass.SOFT_UNLISTED,  # test transaction: bad card
    **dict.fromkeys("P21 P22 P35 P51 P52 P53 P54 P58 P59 P60 P61 P62 P63".split(), FailureClass.REFUSED),
    **dict.fromkeys("P91 P92 P93 P94 P98".split(), FailureClass.GATEWAY_SETUP),
}
_UNPROVEN: Final = frozenset({"P76", "P97"})  # duplicate transaction (B10), processor not responding
_CODES: Final = {
    # Two characters: the processor's (VisaNet); 92 is no route to the issuer elsewhere, terminal set-up here.
    **ISSUER_CODES,
    "92": FailureClass.REFUSED,
    **_GATEWAY_CODES,
}
_SIMPLE: Final[dict[str, DeclineClass]] = {
    # sresp, where resp-code is of another processor
    "D": DeclineClass.SOFT_UNLISTED,
    "": DeclineClass.SOFT_UNLISTED,
    "C": DeclineClass.OTHER_WAY,
    "P": DeclineClass.HARD,
    "X": DeclineClass.NEW_DATA,
}
_RETURN_REFUSALS: Final = (
    # MErrMsg: a refused return has no code (RAI, "Return"; omnipay-plugnpay RefundFailure.txt)
    ("not yet settled", RefundRefusal.NOT_YET),
    ("already returned", RefundRefusal.ALREADY),
    ("already voided", RefundRefusal.ALREADY),
)
_CHARGES: Final = frozenset({Operation.SALE, Operation.AUTHORIZATION})
_NOBODYS_ORDER: Final = "1"  # below every reference of ours (E2)
_NO_RECORDS: Final = "no records found"
_RECORD = re.compile(r"a\d{5}")


# ---- verbs


class PlugnPay:
    """The gateway Plug'n Pay (contract.Gateway)."""

    name = "plugnpay"
    traits = TRAITS

    def __init__(
        self,
        url: str,
        publisher_name: str,
        publisher_password: str,
        pool_size: int,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        self.account = publisher_name
        self._login = [("publisher-name", publisher_name), ("publisher-password", publisher_password)]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._http = HttpClient(url, headers, pool_size, connect_timeout, read_timeout)

    def sale(self, sale: Sale) -> Reply[Outcome]:
        """Charge the card; `stored_card` is refused, as this gateway keeps none (`keeps_cards`)."""
        return self._charge(Operation.SALE, "authpostauth", sale)

    def authorize(self, sale: Sale) -> Reply[Outcome]:
        """Reserve the amount; `stored_card` is refused."""
        return self._charge(Operation.AUTHORIZATION, "authonly", sale)

    def capture(self, capture: Capture) -> Reply[Outcome]:
        """Mark the authorization's orderID for settlement, which is done once: a repeat is refused and takes nothing.

        A refusal has no code of its own and may be that of a repeat, so it is unknown: the history tells.
        """
        amount = to_decimal(capture.amount_minor, capture.currency)
        fields = [("orderID", str(capture.authorization_reference)), ("card-amount", amount)]
        return self._commit(Operation.CAPTURE, "mark", capture, fields)

    def void(self, void: Void) -> Reply[Outcome]:
        """Undo the latest operation of the orderID: never to be sent once a return was (R11, B75)."""
        amount = to_decimal(void.amount_minor, void.currency)
        fields = [("orderID", str(void.sale_reference)), ("card-amount", amount), ("txn-type", "auth")]
        return self._commit(Operation.VOID, "void", void, fields)

    def refund(self, refund: Refund) -> Reply[Outcome]:
        """Return money of a settled sale, once; an approval is final once the return was swept to the bank (R17)."""
        amount = to_decimal(refund.amount_minor, refund.currency)
        fields = [("orderID", str(refund.sale_reference)), ("card-amount", amount)]
        return self._commit(Operation.REFUND, "return", refund, [*fields, ("currency", refund.currency.lower())])

    def inquire(self, inquiry: Inquiry) -> Reply[Sighting]:
        """Read the history of the sale's orderID: marks, voids and returns have no reference of their own here."""
        sale_reference = inquiry.reference if inquiry.operation in _CHARGES else inquiry.sale_reference
        start = inquiry.started_at - timedelta(days=1)  # the gateway's time zone is not stated
        fields = [("orderID", str(sale_reference)), ("startdate", f"{start:%Y%m%d}")]
        exchange = self._http.post(_build("query_trans", self._login, fields), inquiry.send_by)
        return _parse_sighting(exchange, inquiry, str(sale_reference))

    def health(self, send_by: float) -> Reply[Health]:
        """Ask for an orderID that nobody has: "no records" comes from a gateway that let us in."""
        fields = [("orderID", _NOBODYS_ORDER), ("startdate", f"{datetime.now(UTC):%Y%m%d}")]
        return _parse_health(self._http.post(_build("query_trans", self._login, fields), send_by))

    def _charge(self, operation: Operation, authtype: str, sale: Sale) -> Reply[Outcome]:
        if refusal := unsupported(sale, TRAITS):
            return Reply(refusal, Evidence(None, {}))
        return self._commit(operation, "auth", sale, [("authtype", authtype), *_sale_fields(sale)])

    def _commit(
        self, operation: Operation, mode: str, asked: Sale | Capture | Void | Refund, fields: list[tuple[str, str]]
    ) -> Reply[Outcome]:
        exchange = self._http.post(_build(mode, self._login, fields), asked.send_by)
        return _parse_outcome(exchange, operation, mode, asked)


# ---- builder: percent-encoded, so that no value can end early (B16)


def _build(mode: str, login: Sequence[tuple[str, str]], fields: Sequence[tuple[str, str]]) -> bytes:
    pairs = (*login, ("mode", mode), *fields)
    return "&".join(f"{name}={quote_plus(value)}" for name, value in pairs if value).encode("ascii")


def _sale_fields(sale: Sale) -> list[tuple[str, str]]:
    card = sale.card
    if card is None:
        raise TypeError("a sale without a card")
    state = plain(card.state, 20)
    american = card.country in ("", "US", "CA")
    return [
        ("orderID", str(sale.reference)),
        ("order-id", plain(sale.invoice_number, 20)),
        ("transflags", "recurring" if sale.recurring else ""),  # no other word for a kept card is documented (C4)
        ("dontsndmail", "yes"),
        ("card-name", plain(card.name, 39) or "Cardholder"),  # mandatory
        ("card-number", card.number),
        ("card-exp", f"{card.exp_month:02}/{card.exp_year % 100:02}"),
        ("card-cvv", "" if sale.unattended else card.security_code or ""),
        ("card-amount", to_decimal(sale.amount_minor, sale.currency)),
        ("currency", sale.currency.lower()),
        ("card-address1", plain(card.street, 39)),
        ("card-city", plain(card.city, 39)),
        ("card-state", state[:2] if american or not state else "ZZ"),
        ("card-prov", "" if american else state),
        ("card-zip", plain(card.postal_code, 10)),
        ("card-country", plain(card.country, 2)),
    ]


# ---- parser


def _parse(text: str) -> list[tuple[str, str]] | None:
    """The reply's fields; None if it is no Plug'n Pay reply, a web page say (B19)."""
    said = [] if text.lstrip()[:1] == "<" else _pairs(text)
    return said if any(name == "finalstatus" for name, _ in said) else None


def _pairs(text: str) -> list[tuple[str, str]]:
    """Fields, split before they are decoded (B17), their names in small letters with hyphens."""
    pairs = (pair.partition("=") for pair in text.strip().split("&"))
    return [(_decoded(name).lower().replace("_", "-"), _decoded(value)) for name, _, value in pairs]


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _parse_outcome(
    exchange: Exchange, operation: Operation, mode: str, asked: Sale | Capture | Void | Refund
) -> Reply[Outcome]:
    said, seen = read(exchange, _parse, _WORDS)
    if isinstance(said, NotSent):
        return Reply(Failed(FailureClass.NOT_SENT, said.code, said.message), seen)
    if isinstance(said, Unknown):
        return Reply(said, seen)
    order_id = _order_of(asked)
    if said.get("duplicate", "").lower() == "yes" and not _is_ours(said, mode, order_id, asked):
        return Reply(Unknown("duplicate_of_other", "a duplicate, and not proven to be of this operation"), seen)
    outcome = _outcome(operation, said, order_id, asked)
    approved_sale = operation in _CHARGES and isinstance(outcome, Approved)  # the caller's R18 looks at that one
    if said.get("orderid", "") not in ("", order_id) and not approved_sale:
        outcome = Unknown("other_reference", "the reply is about another orderID")
    return Reply(outcome, seen)


def _order_of(asked: Sale | Capture | Void | Refund) -> str:
    match asked:
        case Sale():
            return str(asked.reference)
        case Capture():
            return str(asked.authorization_reference)
        case _:
            return str(asked.sale_reference)


def _is_ours(said: Mapping[str, str], mode: str, order_id: str, asked: Sale | Capture | Void | Refund) -> bool:
    """Whether what a duplicate's reply repeats fits this operation (B08)."""
    amounts = _amounts(said, asked.currency)
    card = asked.card if isinstance(asked, Sale) else None
    tail = card.number[-4:] if card else said.get("receiptcc", "")[-4:]
    return (
        bool(amounts)
        and set(amounts) == {asked.amount_minor}
        and said.get("mode", mode) == mode
        and said.get("orderid") == order_id
        and said.get("receiptcc", tail)[-4:] == tail
    )


def _outcome(
    operation: Operation, said: Mapping[str, str], order_id: str, asked: Sale | Capture | Void | Refund | Inquiry
) -> Outcome:
    """The verdict is FinalStatus; MStatus and success contradict it in recorded replies and are not read."""
    status, code = said.get("finalstatus", ""), said.get("resp-code", "")
    message = redact_text(said.get("merrmsg") or said.get("aux-msg", ""))
    if code in _UNPROVEN:
        return Unknown(code, message, order_id)
    if status == "success" or (status == "pending" and operation in (Operation.REFUND, Operation.CAPTURE)):
        return _approved(operation, said, order_id, asked, message)
    listed = _CODES.get(code)
    if status in ("problem", "fraud", "badcard", "failure") and isinstance(listed, FailureClass):
        return Failed(listed, code, message)
    if operation is Operation.VOID and status in ("problem", "failure"):
        return Refused(VoidRefusal.CANNOT_VOID, code or status, message, order_id)
    if operation is Operation.REFUND and status in ("problem", "failure", "badcard") and (code or message):
        words = message.lower()
        refusal = next((refusal for part, refusal in _RETURN_REFUSALS if part in words), RefundRefusal.REFUSED)
        return Refused(refusal, code or status, message, order_id)
    decline = _decline(status, code, said.get("sresp", "")) if operation in _CHARGES else None
    if decline is None:
        return Unknown(code or status or "no_status", message, order_id)
    return Declined(decline, code or status, message, order_id)


def _decline(status: str, code: str, simple: str) -> DeclineClass | None:
    """The class of a declined sale; None where the status and its code prove nothing."""
    if status == "badcard":
        listed = _CODES.get(code, _SIMPLE.get(simple))
    elif status in ("fraud", "problem"):
        listed = _GATEWAY_CODES.get(code, DeclineClass.HARD if status == "fraud" else None)
    else:
        return None
    return listed if isinstance(listed, DeclineClass) else None


def _approved(
    operation: Operation,
    said: Mapping[str, str],
    order_id: str,
    asked: Sale | Capture | Void | Refund | Inquiry,
    message: str,
) -> Approved | Unknown:
    """The approval with what it repeats (R18): of several amounts the one that differs from what was asked.

    Of a mark, void or return no reference is repeated: the orderID is the sale's.
    A return is final when the history's record of it says "success"; until it was swept to the bank it can be undone.
    """
    amounts = _amounts(said, asked.currency)
    if None in amounts or said.get("sresp", "") not in ("", "A"):
        return Unknown("contradictory", "approved, but its sresp says no or its amount cannot be read", order_id)
    return Approved(
        transaction_id=said.get("orderid") or order_id,
        code=said.get("resp-code") or said.get("finalstatus", ""),
        message=message,
        approval_code=said.get("auth-code", ""),
        amount_minor=next((amount for amount in amounts if amount != asked.amount_minor), next(iter(amounts), None)),
        currency=_currency(said),
        reference=said.get("orderid") if operation in _CHARGES else None,
        final=operation is not Operation.REFUND
        or (said["finalstatus"], said.get("operation")) == ("success", "return"),
    )


def _amounts(said: Mapping[str, str], currency: str) -> list[int | None]:
    """Every amount that the reply repeats, "10.00" or "usd 10.00"; None for one that cannot be read."""
    given = (said.get(name) for name in ("amountcharged", "amount", "card-amount"))
    return [minor_from(text.rpartition(" ")[2], currency) for text in given if text]


def _currency(said: Mapping[str, str]) -> str | None:
    before_amount = (said.get(name, "").rpartition(" ")[0] for name in ("amount", "card-amount"))
    return next((text.upper() for text in (said.get("currency", ""), *before_amount) if text), None)


def _parse_sighting(exchange: Exchange, inquiry: Inquiry, order_id: str) -> Reply[Sighting]:
    """What the query saw: FinalStatus is of the query, the verdicts are in its records, encoded once more.

    A success without a record of the orderID is a reply cut short (B19): "none" has words of its own.
    """
    said, seen = read(exchange, _parse, _WORDS)
    if not isinstance(said, dict):
        return Reply(NoAnswer(said.code, said.message), seen)
    status, message = said.get("finalstatus", ""), redact_text(said.get("merrmsg", ""))
    records = [_pairs(said[name]) for name in sorted(said) if _RECORD.fullmatch(name)]
    for number, record in enumerate(records, 1):
        seen.said.update({f"{number}.{name}": value for name, value in shown(record, _WORDS).items()})
        if twice := contradicts(record, _WORDS):
            return Reply(NoAnswer("repeated_field", f"a record gives {twice} twice, with different values"), seen)
    history = [record for record in map(dict, records) if record.get("orderid") == order_id]
    if status == "success" and history:
        return Reply(_sighting(history, inquiry, order_id), seen)
    if status == "problem" and _NO_RECORDS in message.lower():
        return Reply(Absent(status, message), seen)
    return Reply(NoAnswer(said.get("resp-code") or status, message), seen)


def _parse_health(exchange: Exchange) -> Reply[Health]:
    said, seen = read(exchange, _parse, _WORDS)
    if not isinstance(said, dict):
        return Reply(Unwell(said.code, said.message), seen)
    status, message = said.get("finalstatus", ""), redact_text(said.get("merrmsg", ""))
    if status == "success" or (status == "problem" and _NO_RECORDS in message.lower()):
        return Reply(Healthy(message), seen)
    code = said.get("resp-code", "")
    return Reply(Unwell(code or status, message, _CODES.get(code) is FailureClass.GATEWAY_SETUP), seen)


def _sighting(history: Sequence[Mapping[str, str]], inquiry: Inquiry, order_id: str) -> Sighting:
    """One orderID's records, oldest first: auth, postauth, void, return (RAI, "Query Transaction").

    A refused void or return proves nothing about a later one under the same orderID, so only done ones count.
    """
    sale: Outcome | None = None
    captured: Approved | None = None
    returned: Approved | None = None
    standing, return_undone = Standing.LIMBO, False
    for record in history:
        operation, status = record.get("operation", ""), record.get("finalstatus") or record.get("result", "")
        if operation in ("auth", "forceauth"):
            seen = _outcome(Operation.SALE, {**record, "finalstatus": status}, order_id, inquiry)
            if isinstance(sale, Approved):
                if isinstance(seen, Approved):
                    return Found(Unknown("two_sales", "two approved sales under one orderID", order_id), Standing.LIMBO)
                continue
            sale = seen
            standing = Standing.UNSETTLED if isinstance(sale, Approved) or status == "pending" else Standing.LIMBO
        elif operation == "postauth":
            outcome = _outcome(Operation.CAPTURE, {**record, "finalstatus": status or "pending"}, order_id, inquiry)
            captured = outcome if isinstance(outcome, Approved) else None
            standing = {"success": Standing.SETTLED, "pending": Standing.UNSETTLED}.get(status, Standing.LIMBO)
        elif operation == "return" and status in ("success", "pending"):
            outcome = _outcome(Operation.REFUND, {**record, "finalstatus": status}, order_id, inquiry)
            returned = outcome if isinstance(outcome, Approved) else None
            standing = Standing.REFUNDED if returned else Standing.LIMBO
        elif operation == "void" and status == "success":
            return_undone = returned is not None
            returned, standing = None, Standing.SETTLED if return_undone else Standing.VOIDED
    if isinstance(sale, Declined | Failed):
        standing = Standing.NOTHING
    match inquiry.operation:
        case Operation.SALE | Operation.AUTHORIZATION if sale is not None:
            return Found(sale, standing, returned.amount_minor if returned else None)
        case Operation.CAPTURE if captured is not None:
            return Found(captured, standing, returned.amount_minor if returned else None)
        case Operation.VOID if standing is Standing.VOIDED:
            return Found(Approved(order_id, "success"), standing)
        case Operation.REFUND if returned is not None:
            return Found(returned, standing, returned.amount_minor)
        case Operation.REFUND if return_undone:
            return Found(Unknown("return_voided", "a void undid the return", order_id), Standing.LIMBO)
        case _:
            return Absent("no_such_record", f"the orderID's history shows no {inquiry.operation} that was done")


GATEWAY: Final[type[Gateway]] = PlugnPay
