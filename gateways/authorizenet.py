"""Authorize.Net: JSON requests to one address, turned into XML over there, so that the order of members counts.

Sources, where nothing else is said: the API's schema (AuthorizeNet/sdk-dotnet, AnetApiSchema) for members and their
order, developer.authorize.net's list of response codes for reasons, and its page on card-on-file transactions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateways.contract import Capture, Inquiry, Operation, Refund, Refunds, Reply, Sale, Traits, Void, Voids
from gateways.http import Answered, Exchange, HttpClient, NotSent
from gateways.wire import TWO_DECIMALS, Vocabulary, at, minor_from, plain, read_json, unsupported, word
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

# ---- traits

TRAITS: Final = Traits(
    currencies=TWO_DECIMALS,  # which of them the account's processor takes, the gateway says
    amount_minor_max=999_999_999,  # 15 digits are documented
    appears_within=timedelta(minutes=15),  # our caution: no page says when a row is listed
    replay_window=timedelta(hours=7),  # a duplicate is refused for 8 hours, less a margin for clocks and sending
    voids=Voids.UNTIL_SETTLED,
    void_undoes_latest=False,
    refunds=Refunds.MANY,
    refund_within=timedelta(days=120),
    keeps_cards=True,
    authorizes=True,
)

# ---- wire words

_TYPE: Final = {
    Operation.SALE: "authCaptureTransaction",
    Operation.AUTHORIZATION: "authOnlyTransaction",
    Operation.CAPTURE: "priorAuthCaptureTransaction",
    Operation.VOID: "voidTransaction",
    Operation.REFUND: "refundTransaction",
}
_CHARGES: Final = frozenset({Operation.SALE, Operation.AUTHORIZATION})
_NAMED: Final = _CHARGES | {Operation.REFUND}
"""What carries our reference as its invoice number; voids and captures are bound to the other's transaction."""
_DUPLICATE_WINDOW: Final = {"settingName": "duplicateWindow", "settingValue": "28800"}  # the longest that counts
_UNSETTLED: Final = "getUnsettledTransactionListRequest"
_PAGE: Final = 500  # a list answer may hold 1,000, which could be longer than what is read of one
_PAGES_MAX: Final = 50
_BATCHES_MAX: Final = 100
_EARLIER: Final = timedelta(hours=1)  # how far our clock may be ahead of theirs
_SETTLES_WITHIN: Final = timedelta(days=30)  # a list of batches spans at most 31 days
_WORDS: Final = Vocabulary(
    decisive=frozenset(),
    ids=frozenset(
        """refId transactionResponse.transId transactionResponse.refTransID transactionResponse.networkTransId
    transaction.transId transaction.refTransId transaction.order.invoiceNumber transaction.networkTransId
    transaction.batch.batchId""".split()
    ),
    shown=frozenset(
        """messages.resultCode messages.message.0.code transactionResponse.responseCode transactionResponse.authCode
    transactionResponse.avsResultCode transactionResponse.cvvResultCode transactionResponse.cavvResultCode
    transactionResponse.accountNumber transactionResponse.accountType transactionResponse.testRequest
    transactionResponse.messages.0.code transactionResponse.messages.0.description
    transactionResponse.errors.0.errorCode transactionResponse.prepaidCard.requestedAmount
    transactionResponse.prepaidCard.approvedAmount profileResponse.messages.resultCode
    profileResponse.messages.message.0.code transaction.transactionType transaction.transactionStatus
    transaction.responseCode transaction.responseReasonCode transaction.responseReasonDescription transaction.authCode
    transaction.authAmount transaction.settleAmount transaction.submitTimeUTC transaction.AVSResponse
    transaction.cardCodeResponse transaction.payment.creditCard.cardNumber transaction.batch.settlementState
    totalNumInResultSet""".split()
    ),
)

# ---- code tables: the reason of an answer. By reason only what is listed is Declined or Failed; the rest is Unknown.

_DECLINES: Final[dict[str, DeclineClass]] = {
    "2": DeclineClass.SOFT_GENERIC,  # whatever the issuer said: it is not told
    "3": DeclineClass.OTHER_WAY,  # referral
    "4": DeclineClass.HARD,  # to be picked up
    **dict.fromkeys("6 37 315 200 7 316 201 8 317".split(), DeclineClass.NEW_DATA),  # number, expiry, expired
    **dict.fromkeys("27 127 44 45 65 165".split(), DeclineClass.NEW_DATA),  # address, security code
    **dict.fromkeys(("17", "28"), DeclineClass.OTHER_WAY),  # a brand that the merchant does not take
    **dict.fromkeys("41 141 145 250 251 254".split(), DeclineClass.HARD),  # filters, and declined after review
    "224": DeclineClass.SOFT_TECHNICAL,
}
_INQUIRE_FIRST: Final = frozenset(
    # No answer between gateway and processor, or its own void of a decline failed: a decline only when an inquiry
    # finds that the gateway took it as an error.
    "19 20 21 22 23 25 26 57 58 59 60 61 62 63 120 121 122 152 180 181 209 220 241".split()
)
_DUPLICATE: Final = "11"
_UNPROVEN: Final = _INQUIRE_FIRST | {
    _DUPLICATE,
    "318",  # a duplicate, says the processor
    "36",  # authorized, but the settlement failed
}
_FAILURES: Final[dict[str, FailureClass]] = {
    **dict.fromkeys("5 15 16 319 33 78 326 47 48 49".split(), FailureClass.REFUSED),
    **dict.fromkeys(
        # FDC Omaha, "others"
        [str(code) for code in range(202, 224) if code not in (209, 220)],
        FailureClass.REFUSED,
    ),
    **dict.fromkeys("13 66 35 170 171 172 173".split(), FailureClass.GATEWAY_SETUP),
    "261": FailureClass.BUSY,  # could not be encrypted, not processed
}
_HELD: Final = frozenset({"193", "252", "253", "295"})  # 295: only a part was approved
_VOIDED_BEFORE: Final = "310"
_CAPTURED_BEFORE: Final = "311"
_NO_CREDIT: Final = "54"
_REFUND_REFUSALS: Final = {
    "50": RefundRefusal.NOT_YET,
    "51": RefundRefusal.ALREADY,
    "55": RefundRefusal.ALREADY,
    _NO_CREDIT: RefundRefusal.NOT_YET,  # unless the sale's standing tells more
}

_REQUEST_ERRORS: Final[dict[str, FailureClass]] = {
    # messages.message.0.code where there is no answer to a transaction: refused before anything was processed
    **dict.fromkeys(("E00003", "E00040"), FailureClass.REFUSED),
    **dict.fromkeys(
        "E00005 E00006 E00007 E00008 E00009 E00010 E00011".split(),
        FailureClass.GATEWAY_SETUP,
    ),
}
_NO_SUCH_RECORD: Final = "E00040"
_NOTHING_LISTED: Final = "I00004"

_STANDINGS: Final[dict[str, Standing]] = {
    # transactionStatus of an approved sale or authorization
    "authorizedPendingCapture": Standing.UNSETTLED,
    "capturedPendingSettlement": Standing.UNSETTLED,
    **dict.fromkeys(("pendingSettlement", "updatingSettlement", "pendingFinalSettlement"), Standing.SETTLING),
    "settledSuccessfully": Standing.SETTLED,
    "voided": Standing.VOIDED,
    **dict.fromkeys(("chargeback", "chargebackReversal"), Standing.LIMBO),
}
_ONLY_AUTHORIZED: Final = "authorizedPendingCapture"
_REFUNDS: Final = {"refundPendingSettlement": False, "refundSettledSuccessfully": True}
"""transactionStatus of a refund, and whether it is final."""
_UNDER_REVIEW: Final = frozenset(
    {"FDSPendingReview", "FDSAuthorizedPendingReview", "underReview", "approvedReview", "authorizedPendingRelease"}
)
_ERRORS: Final = frozenset({"generalError", "communicationError"})
_NOTHING_MOVED: Final = _ERRORS | {"declined"}
_REFUSED_LATER: Final = frozenset({"declined", "failedReview", "expired"})


# ---- verbs


class AuthorizeNet:
    """The gateway Authorize.Net (contract.Gateway)."""

    name = "authorizenet"
    traits = TRAITS

    def __init__(
        self,
        url: str,
        login_id: str,
        transaction_key: str,
        pool_size: int,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        self.account = login_id
        self._login = {"name": login_id, "transactionKey": transaction_key}
        headers = {"Content-Type": "application/json"}
        self._http = HttpClient(url, headers, pool_size, connect_timeout, read_timeout)

    def sale(self, sale: Sale) -> Reply[Outcome]:
        """Charge the card, or the stored card `customerProfileId/paymentProfileId` (C4)."""
        return self._charge(Operation.SALE, sale)

    def authorize(self, sale: Sale) -> Reply[Outcome]:
        """Reserve the amount."""
        return self._charge(Operation.AUTHORIZATION, sale)

    def capture(self, capture: Capture) -> Reply[Outcome]:
        """Take what was authorized, once; the transaction stays the authorization's own."""
        return self._commit(
            Operation.CAPTURE,
            capture,
            capture.authorization_transaction_id,
            {
                **_amount(capture),
                "refTransId": capture.authorization_transaction_id,
            },
        )

    def void(self, void: Void) -> Reply[Outcome]:
        """Undo a sale or authorization. Whatever is refused is Refused(CANNOT_VOID): why, its standing tells (R11)."""
        return self._commit(Operation.VOID, void, void.sale_transaction_id, {"refTransId": void.sale_transaction_id})

    def refund(self, refund: Refund) -> Reply[Outcome]:
        """Return money; an approval is not final until the refund has settled (R17)."""
        if not re.fullmatch(r"[0-9]{4}", refund.card_last_four):
            failed = Failed(FailureClass.REFUSED, "card_last_four", "a refund needs the card's last four digits")
            return Reply(failed, Evidence(None, {}))
        reply = self._commit(
            Operation.REFUND,
            refund,
            refund.sale_transaction_id,
            {
                **_amount(refund),
                "payment": {"creditCard": {"cardNumber": refund.card_last_four, "expirationDate": "XXXX"}},
                "refTransId": refund.sale_transaction_id,
                "order": {"invoiceNumber": str(refund.reference)},
                "transactionSettings": {"setting": [_DUPLICATE_WINDOW]},
            },
        )
        if isinstance(reply.result, Refused) and reply.result.code == _NO_CREDIT:
            return self._why_no_credit(refund, reply.result, reply.evidence)
        return reply

    def inquire(self, inquiry: Inquiry) -> Reply[Sighting]:
        """Look the operation up: by the gateway's id, else by our invoice number in the lists of that time (B13)."""
        match inquiry.operation:
            case Operation.VOID | Operation.CAPTURE:
                if not inquiry.sale_transaction_id:
                    return Reply(NoAnswer("no_id", "the gateway's id of the sale is not known"), Evidence(None, {}))
                return self._look_at(inquiry.sale_transaction_id, inquiry)
            case _ if inquiry.transaction_id:
                return self._look_at(inquiry.transaction_id, inquiry)
            case _:
                return self._look_for(inquiry)

    def health(self, send_by: float) -> Reply[Health]:
        """Ask for the list that inquiries need, one row of it."""
        rows, seen = _rows(self._ask(_UNSETTLED, {"status": "any", **_page(1, limit=1)}, send_by), "transactions")
        if isinstance(rows, NoAnswer):
            setup = _REQUEST_ERRORS.get(rows.code) is FailureClass.GATEWAY_SETUP
            return Reply(Unwell(rows.code, rows.message, setup), seen)
        return Reply(Healthy(), seen)

    # -- a transaction, step by step

    def _charge(self, operation: Operation, sale: Sale) -> Reply[Outcome]:
        if refusal := unsupported(sale, TRAITS) or _unwritable(sale):
            return Reply(refusal, Evidence(None, {}))
        return self._commit(operation, sale, None, _sale_members(sale))

    def _commit(
        self,
        operation: Operation,
        asked: Sale | Capture | Void | Refund,
        original_id: str | None,
        members: Mapping[str, Any],
    ) -> Reply[Outcome]:
        if original_id == "":
            failed = Failed(FailureClass.REFUSED, "no_id", "the gateway's id of the sale is not known")
            return Reply(failed, Evidence(None, {}))
        request = {
            "refId": str(asked.reference),
            "transactionRequest": {"transactionType": _TYPE[operation], **members},
        }
        exchange = self._ask("createTransactionRequest", request, asked.send_by)
        reply = _parse_outcome(exchange, operation, asked.currency)
        duplicate = reply.result
        if (
            operation in _NAMED
            and isinstance(duplicate, Unknown)
            and duplicate.code == _DUPLICATE
            and duplicate.transaction_id
        ):
            return self._original(operation, asked, duplicate, reply.evidence)
        return reply

    def _original(
        self, operation: Operation, asked: Sale | Capture | Void | Refund, duplicate: Unknown, seen: Evidence
    ) -> Reply[Outcome]:
        """What became of the transaction that this one repeats, if it is proven to be this operation (E4, B08)."""
        told, more = self._details(duplicate.transaction_id, asked.send_by)
        both = Evidence(seen.http_status, seen.said | {f"original.{name}": text for name, text in more.said.items()})
        if not isinstance(told, dict) or not at(told, "order.invoiceNumber"):
            return Reply(duplicate, both)
        card = asked.card if isinstance(asked, Sale) else None
        number = at(told, "payment.creditCard.cardNumber")
        if at(told, "order.invoiceNumber") != str(asked.reference) or (
            card is not None and number and number[-4:] != card.number[-4:]
        ):
            message = "a duplicate, and not of this operation"
            return Reply(Unknown("duplicate_of_other", message, duplicate.transaction_id), both)
        found = _found(told, operation, asked.amount_minor, asked.currency)
        if isinstance(found.outcome, Unknown) or (
            isinstance(found.outcome, Approved) and found.standing in (Standing.VOIDED, Standing.LIMBO)
        ):
            return Reply(duplicate, both)
        return Reply(found.outcome, both)

    def _why_no_credit(self, refund: Refund, refused: Refused, seen: Evidence) -> Reply[Outcome]:
        """Reason 54 is many things; the sale's standing tells "not yet" and "not any more" apart."""
        told, more = self._details(refund.sale_transaction_id, refund.send_by)
        both = Evidence(seen.http_status, seen.said | {f"sale.{name}": text for name, text in more.said.items()})
        if not isinstance(told, dict):
            return Reply(refused, both)
        match _STANDINGS.get(at(told, "transactionStatus")):
            case Standing.UNSETTLED | Standing.SETTLING:
                refusal = RefundRefusal.NOT_YET
            case Standing.VOIDED:
                refusal = RefundRefusal.ALREADY
            case _:
                refusal = RefundRefusal.REFUSED
        return Reply(replace(refused, refusal=refusal), both)

    # -- an inquiry, step by step

    def _look_at(self, transaction_id: str, inquiry: Inquiry) -> Reply[Sighting]:
        told, seen = self._details(transaction_id, inquiry.send_by)
        return Reply(_sighting(told, inquiry) if isinstance(told, dict) else told, seen)

    def _details(self, transaction_id: str, send_by: float) -> tuple[dict[str, Any] | Absent | NoAnswer, Evidence]:
        said, seen = _read(self._ask("getTransactionDetailsRequest", {"transId": transaction_id}, send_by))
        if not isinstance(said, dict):
            return NoAnswer(said.code, said.message), seen
        told = said.get("transaction")
        if isinstance(told, dict) and at(told, "transId") == transaction_id:
            return told, seen
        code, message = _request_error(said)
        if code == _NO_SUCH_RECORD:
            return Absent(code, message), seen
        return NoAnswer(code or "incomplete", message), seen

    def _look_for(self, inquiry: Inquiry) -> Reply[Sighting]:
        """Unsettled first, then settled: a transaction that settles meanwhile is in the later list."""
        search = _Search(str(inquiry.reference), inquiry.started_at - _EARLIER)
        if failed := self._read_list(_UNSETTLED, {"status": "any"}, search, inquiry.send_by):
            return failed
        batches = self._batches(search.since, inquiry.send_by)
        if isinstance(batches, Reply):
            return batches
        for batch_id in batches:
            if failed := self._read_list("getTransactionListRequest", {"batchId": batch_id}, search, inquiry.send_by):
                return failed
        counted = {"listed": str(search.listed), "batches": str(len(batches)), "matching": str(len(search.matches))}
        match search.candidates():
            case several if not all(several):
                incomplete = NoAnswer("incomplete", "a row with the reference has no transaction id")
                return Reply(incomplete, Evidence(200, counted))
            case []:
                absent = Absent("not_listed", f"not among the {search.listed} of that time")
                return Reply(absent, Evidence(200, counted))
            case [transaction_id]:
                reply = self._look_at(transaction_id, inquiry)
                seen = Evidence(reply.evidence.http_status, counted | reply.evidence.said)
                if isinstance(reply.result, Absent):
                    return Reply(NoAnswer(reply.result.code, "listed, but its details are not found"), seen)
                return Reply(reply.result, seen)
            case several:
                message = f"{len(several)} transactions carry the reference: {', '.join(several)}"
                twice = Found(Unknown("found_twice", message), Standing.LIMBO)
                return Reply(twice, Evidence(200, counted))

    def _read_list(
        self, kind: str, which: Mapping[str, Any], search: _Search, send_by: float
    ) -> Reply[Sighting] | None:
        """Add a list's rows to the search, newest first; or why it could not be read."""
        for page in range(1, _PAGES_MAX + 1):
            rows, seen = _rows(self._ask(kind, {**which, **_page(page)}, send_by), "transactions")
            if isinstance(rows, NoAnswer):
                return Reply(rows, seen)
            search.add(rows)
            if len(rows) < _PAGE or search.ends_before(rows):
                return None
        return Reply(NoAnswer("too_many", f"not found in {_PAGES_MAX} pages, and there are more"), seen)

    def _batches(self, since: datetime, send_by: float) -> list[str] | Reply[Sighting]:
        until = max(since, min(datetime.now(UTC), since + _SETTLES_WITHIN))
        span = {"firstSettlementDate": since, "lastSettlementDate": until}
        members = {name: f"{moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in span.items()}
        rows, seen = _rows(self._ask("getSettledBatchListRequest", members, send_by), "batchList")
        if isinstance(rows, NoAnswer):
            return Reply(rows, seen)
        ids = [at(row, "batchId") for row in rows]
        if not all(ids) or len(ids) > _BATCHES_MAX:
            return Reply(NoAnswer("too_many" if all(ids) else "incomplete", f"{len(ids)} batches are listed"), seen)
        return ids

    # -- requests

    def _ask(self, kind: str, members: Mapping[str, Any], send_by: float) -> Exchange:
        request = {kind: {"merchantAuthentication": self._login, **members}}
        return self._http.post(json.dumps(request, separators=(",", ":")).encode("ascii"), send_by)


@dataclass(slots=True)
class _Search:
    """What lists showed of one reference."""

    reference: str
    since: datetime
    listed: int = 0
    matches: dict[str, str] = field(default_factory=dict)
    """The status of each transaction that carries the reference, by its id."""

    def add(self, rows: Sequence[Any]) -> None:
        self.listed += len(rows)
        for row in rows:
            if at(row, "invoiceNumber") == self.reference:
                self.matches[_id(at(row, "transId"))] = at(row, "transactionStatus")

    def ends_before(self, rows: Sequence[Any]) -> bool:
        """Whether these rows, the newest first, end with one that was submitted before the operation began."""
        newest, oldest = _submitted(rows[0]), _submitted(rows[-1])
        return newest is not None and oldest is not None and oldest <= newest and oldest < self.since

    def candidates(self) -> list[str]:
        """The transactions that may have moved money; where none did, the first of the others."""
        moving = [one for one, status in self.matches.items() if status not in _NOTHING_MOVED]
        return moving or list(self.matches)[:1]


def _submitted(row: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(at(row, "submitTimeUTC"))
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


# ---- builder: in the schema's order, which the gateway enforces


def _amount(asked: Sale | Capture | Refund) -> dict[str, str]:
    return {"amount": to_decimal(asked.amount_minor, asked.currency), "currencyCode": asked.currency}


def _page(number: int, limit: int = _PAGE) -> dict[str, Any]:
    """Which rows of a list, the newest first."""
    return {
        "sorting": {"orderBy": "submitTimeUTC", "orderDescending": True},
        "paging": {"limit": limit, "offset": number},
    }


def _sale_members(sale: Sale) -> dict[str, Any]:
    reference = str(sale.reference)
    settings = [{"settingName": "allowPartialAuth", "settingValue": "false"}, _DUPLICATE_WINDOW]
    if sale.recurring and sale.unattended:
        settings.append({"settingName": "recurringBilling", "settingValue": "true"})
    members = {
        **_amount(sale),
        **_payment(sale),
        "order": _filled(invoiceNumber=reference, description=plain(sale.invoice_number, 255)),
        # A profile is made only for a customer who has an id or an address to write to.
        "customer": {"id": reference} if sale.card and sale.keep_card else {},
        "billTo": _bill_to(sale),
        "transactionSettings": {"setting": settings},
        "processingOptions": _processing_options(sale.credential),
        "subsequentAuthInformation": _first_sale(sale),
    }
    return {name: value for name, value in members.items() if value}


def _payment(sale: Sale) -> dict[str, Any]:
    card = sale.card
    if card is None:
        customer, _, method = (sale.stored_card or "").partition("/")
        return {"profile": {"customerProfileId": customer, "paymentProfile": {"paymentProfileId": method}}}
    credit_card = _filled(
        cardNumber=card.number,
        expirationDate=f"{card.exp_year:04d}-{card.exp_month:02d}",
        cardCode="" if sale.unattended else card.security_code or "",
    )
    return {"payment": {"creditCard": credit_card}, "profile": {"createProfile": True} if sale.keep_card else {}}


def _bill_to(sale: Sale) -> dict[str, str]:
    card = sale.card
    if card is None:
        return {}
    first_name, _, last_name = plain(card.name, 100).rpartition(" ")
    return _filled(
        firstName=plain(first_name, 50),
        lastName=plain(last_name, 50),
        address=plain(card.street, 60),
        city=plain(card.city, 40),
        state=plain(card.state, 40),
        zip=plain(card.postal_code, 20),
        country=plain(card.country, 60),
    )


def _processing_options(told: StoredCredential | None) -> dict[str, bool]:
    """What the networks want to know of a kept card (C4), in the schema's order.

    A payer who is there and agrees to a series with a card stored before is told as both: so read the guide others
    (the WooCommerce plug-in of SkyVerge), and its text ties isStoredCredentials to payers who are there.
    """
    if told is None:
        return {}
    if told.unattended:
        return {"isSubsequentAuth": True}
    options = {
        "isFirstRecurringPayment": told.recurring,
        "isFirstSubsequentAuth": told.usage is Usage.FIRST and not told.recurring,
        "isStoredCredentials": told.usage is Usage.SUBSEQUENT,
    }
    return {name: True for name, holds in options.items() if holds}


def _first_sale(sale: Sale) -> dict[str, str]:
    """What the network called the sale by which the card was kept, and its amount (C4).

    No reason is named: none of the schema's (resubmission, delayedCharge, reauthorization, noShow) is a renewal, and
    a resubmission is of a card without funds, which the gateway does not tell from other declines.
    """
    first = sale.credential.first if sale.credential else None
    if first is None:
        return {}
    amount = "" if first.amount_minor is None else to_decimal(first.amount_minor, sale.currency)
    return _filled(originalNetworkTransId=plain(first.network_reference, 255), originalAuthAmount=amount)


def _filled(**members: str) -> dict[str, str]:
    return {name: value for name, value in members.items() if value}


def _unwritable(sale: Sale) -> Failed | None:
    """What the traits cannot say: lengths of card numbers, and that a stored card is Authorize.Net's own."""
    if sale.card is not None and not 13 <= len(sale.card.number) <= 16:
        return Failed(FailureClass.REFUSED, "card_number", "the gateway takes card numbers of 13 to 16 digits")
    if sale.card is None and not re.fullmatch(r"[0-9]{1,20}/[0-9]{1,20}", sale.stored_card or ""):
        message = "the stored card is none of Authorize.Net's: customerProfileId/paymentProfileId"
        return Failed(FailureClass.REFUSED, "stored_card", message)
    return None


# ---- parser


def _read(exchange: Exchange) -> tuple[dict[str, Any] | Unknown | NotSent, Evidence]:
    """As `read_json`; whatever does not come with status 200 proves nothing."""
    said, seen = read_json(exchange, _WORDS)
    if isinstance(exchange, Answered) and exchange.status != 200:
        return Unknown(f"http_{exchange.status}", "no reply of this gateway"), seen
    return said, seen


def _rows(exchange: Exchange, name: str) -> tuple[list[Any] | NoAnswer, Evidence]:
    """The rows of a list, none where it says that there are none."""
    said, seen = _read(exchange)
    if not isinstance(said, dict):
        return NoAnswer(said.code, said.message), seen
    code, message = _request_error(said)
    rows = said.get(name)
    if at(said, "messages.resultCode") != "Ok":
        return NoAnswer(code or "incomplete", message), seen
    if isinstance(rows, list):
        return rows, seen
    if rows is None and (code == _NOTHING_LISTED or at(said, "totalNumInResultSet") == "0"):
        return [], seen
    return NoAnswer("incomplete", f"the reply gives no {name}"), seen


def _request_error(said: Mapping[str, Any]) -> tuple[str, str]:
    """The code and the words of `messages`, up to where they would repeat a value that was sent."""
    text = redact_text(at(said, "messages.message.0.text").partition("The value")[0])
    return word(at(said, "messages.message.0.code"), 20), plain(text, 300)


def _reason(answer: Mapping[str, Any]) -> tuple[str, str]:
    """The reason of an answer and its words; empty where it gives none, or several that differ."""
    told = answer.get("errors") or answer.get("messages")
    rows = told if isinstance(told, list) else []
    codes = {at(row, "errorCode") or at(row, "code") for row in rows}
    if len(codes) != 1:
        return "", "the answer gives no one reason"
    words = at(rows[0], "errorText") or at(rows[0], "description")
    return word(codes.pop(), 20), redact_text(plain(words, 300))


def _id(text: str) -> str:
    """A transaction id; "0" is none."""
    return text if re.fullmatch(r"[1-9][0-9]{0,19}", text) else ""


def _parse_outcome(exchange: Exchange, operation: Operation, currency: str) -> Reply[Outcome]:
    said, seen = _read(exchange)
    if isinstance(said, NotSent):
        return Reply(Failed(FailureClass.NOT_SENT, said.code, said.message), seen)
    if isinstance(said, Unknown):
        return Reply(said, seen)
    answer = said.get("transactionResponse")
    if isinstance(answer, dict) and answer.keys() & {"responseCode", "transId", "errors", "messages"}:
        return Reply(_outcome(operation, said, answer, currency), seen)
    return Reply(_refused_request(said), seen)


def _refused_request(said: Mapping[str, Any]) -> Failed | Unknown:
    """What a reply without an answer to the transaction proves."""
    code, message = _request_error(said)
    failure = _REQUEST_ERRORS.get(code)
    if at(said, "messages.resultCode") == "Error" and failure is not None:
        return Failed(failure, code, message)
    return Unknown(code or "incomplete", message)


def _outcome(operation: Operation, said: Mapping[str, Any], answer: Mapping[str, Any], currency: str) -> Outcome:
    verdict, transaction_id = at(answer, "responseCode"), _id(at(answer, "transId"))
    reason, message = _reason(answer)
    if verdict == "1":
        return _approved(operation, said, answer, currency)
    if verdict == "4" and reason in _HELD and transaction_id and operation in _CHARGES:
        return Held(transaction_id, reason, message)
    if verdict not in ("2", "3") or not reason or reason in _UNPROVEN or reason in _HELD:
        return Unknown(reason or "incomplete", message, transaction_id)
    failure = _FAILURES.get(reason)
    if operation is Operation.VOID and failure is not FailureClass.GATEWAY_SETUP:
        return Refused(VoidRefusal.CANNOT_VOID, reason, message, transaction_id)
    if failure is not None:
        return Failed(failure, reason, message)
    if operation is Operation.REFUND:
        refusal = _REFUND_REFUSALS.get(reason)
        if refusal is None and (verdict == "2" or reason in _DECLINES):
            refusal = RefundRefusal.REFUSED
        return Refused(refusal, reason, message) if refusal else Unknown(reason, message, transaction_id)
    decline = _decline(verdict, reason)
    return Declined(decline, reason, message, transaction_id) if decline else Unknown(reason, message, transaction_id)


def _decline(verdict: str, reason: str) -> DeclineClass | None:
    """The class of a decline: 2 is a clear one whatever its reason, 3 an error whose reason must be known."""
    return _DECLINES.get(reason) or (DeclineClass.SOFT_UNLISTED if verdict == "2" else None)


def _approved(operation: Operation, said: Mapping[str, Any], answer: Mapping[str, Any], currency: str) -> Outcome:
    """The approval with what it repeats (R18); without its reason or id, or contradicted, it proves nothing."""
    reason, message = _reason(answer)
    transaction_id = _id(at(answer, "transId"))
    if at(answer, "testRequest") == "1" and at(answer, "transId") == "0":
        message = "the account is in Test Mode, in which nothing is charged"
        return Failed(FailureClass.GATEWAY_SETUP, "test_mode", message)
    done_before = (operation, reason) in (
        (Operation.VOID, _VOIDED_BEFORE),
        (Operation.CAPTURE, _CAPTURED_BEFORE),
    )
    part = at(answer, "prepaidCard.approvedAmount")
    amount = minor_from(part, currency) if part else None
    if (
        not (reason == "1" or done_before)
        or not transaction_id
        or at(said, "messages.resultCode") != "Ok"
        or (part and amount is None)
    ):
        return Unknown(reason or "incomplete", "approved, but the reply is cut or says otherwise too", transaction_id)
    return Approved(
        transaction_id=transaction_id,
        code=reason,
        message=message,
        approval_code=plain(at(answer, "authCode"), 20),
        amount_minor=amount,
        reference=at(said, "refId") or None,
        card_token=_token(said.get("profileResponse"), "customerPaymentProfileIdList.0"),
        network_reference=plain(at(answer, "networkTransId"), 60),
        final=operation is not Operation.REFUND,
        repeated=done_before and operation is Operation.CAPTURE,
    )


def _token(profile: Any, path: str) -> str | None:
    """What stands in for the card later: a customer profile and one of its payment profiles."""
    customer, method = at(profile, "customerProfileId"), at(profile, path)
    return f"{customer}/{method}" if _id(customer) and _id(method) else None


# ---- what an inquiry saw


def _sighting(told: Mapping[str, Any], inquiry: Inquiry) -> Sighting:
    """What a transaction's details say of the operation; a void or capture has the sale's transaction."""
    named = inquiry.reference if inquiry.operation in _NAMED else inquiry.sale_reference
    invoice, status = at(told, "order.invoiceNumber"), at(told, "transactionStatus")
    found = _found(told, inquiry.operation, inquiry.amount_minor, inquiry.currency)
    if inquiry.operation in _NAMED and isinstance(found.outcome, Approved):
        return found
    if invoice and named is not None and invoice != str(named):
        return Found(Unknown("other_reference", "found another operation", at(told, "transId")), Standing.LIMBO)
    if inquiry.operation is Operation.VOID and status != "voided":
        known = status in _STANDINGS or status in _UNDER_REVIEW or status in _NOTHING_MOVED | _REFUSED_LATER
        if known:
            return Absent(status, "the transaction is not voided")
        return NoAnswer(plain(status, 60) or "incomplete", "whether the void was made cannot be told")
    if inquiry.operation is Operation.CAPTURE and status == _ONLY_AUTHORIZED:
        return Absent(status, "the authorization is not captured")
    return found


def _found(told: Mapping[str, Any], operation: Operation, amount_minor: int, currency: str) -> Found:
    """The outcome of an operation by its transaction's status, and where the money stands."""
    status, transaction_id = word(at(told, "transactionStatus"), 60), _id(at(told, "transId"))
    message = redact_text(plain(at(told, "responseReasonDescription"), 300))
    unknown = Unknown(status or "incomplete", message, transaction_id)
    if operation is Operation.REFUND:
        return _found_refund(told, unknown, amount_minor, currency)
    if status in _UNDER_REVIEW:
        return Found(Held(transaction_id, status, message), Standing.LIMBO)
    if status == _ONLY_AUTHORIZED and operation is Operation.SALE:
        return Found(Held(transaction_id, status, "to be charged, and only authorized: look"), Standing.LIMBO)
    if status == "voided" and operation is Operation.CAPTURE:
        return Found(replace(unknown, message="the authorization was voided, or its capture"), Standing.VOIDED)
    if status in _STANDINGS:
        outcome = _found_approved(told, operation, amount_minor, currency)
        return Found(outcome, _STANDINGS[status] if isinstance(outcome, Approved) else Standing.LIMBO)
    refused = _found_refused(told, status, unknown)
    return Found(refused, Standing.LIMBO if isinstance(refused, Unknown) else Standing.NOTHING)


def _found_approved(
    told: Mapping[str, Any], operation: Operation, amount_minor: int, currency: str
) -> Approved | Unknown:
    """The approval with the amounts that the details give: of two the one that differs from what was asked (R18)."""
    status, transaction_id = at(told, "transactionStatus"), _id(at(told, "transId"))
    names = {
        Operation.SALE: ("authAmount",) if status == "voided" else ("settleAmount", "authAmount"),
        Operation.AUTHORIZATION: ("authAmount",),
        Operation.VOID: (),
    }.get(operation, ("settleAmount",))
    given = [at(told, name) for name in names if at(told, name)]
    amounts = [minor_from(text, currency) for text in given]
    if not transaction_id or None in amounts or (names and not amounts):
        return Unknown("incomplete", "approved, but the id or an amount cannot be read", transaction_id)
    return Approved(
        transaction_id=transaction_id,
        code=at(told, "responseReasonCode") or status,
        message=redact_text(plain(at(told, "responseReasonDescription"), 300)),
        approval_code=plain(at(told, "authCode"), 20),
        amount_minor=next((amount for amount in amounts if amount != amount_minor), next(iter(amounts), None)),
        reference=(at(told, "order.invoiceNumber") or None) if operation in _NAMED else None,
        card_token=_token(told.get("profile"), "customerPaymentProfileId") if operation in _CHARGES else None,
        network_reference=plain(at(told, "networkTransId"), 60),
        final=_REFUNDS.get(status, True),
    )


def _found_refused(told: Mapping[str, Any], status: str, unknown: Unknown) -> Declined | Failed | Unknown:
    """What a status that stands for "nothing moved" says, by the reason that the details give."""
    reason = word(at(told, "responseReasonCode"), 20)
    if status == "expired":
        return Failed(FailureClass.REFUSED, status, "it expired before it was captured")
    if status not in _ERRORS and status not in _REFUSED_LATER:
        return unknown
    if reason in _FAILURES:
        return Failed(_FAILURES[reason], reason, unknown.message)
    if status == "failedReview":
        decline: DeclineClass | None = DeclineClass.HARD
    elif reason in _INQUIRE_FIRST:
        decline = DeclineClass.SOFT_TECHNICAL
    elif reason in _UNPROVEN:
        return replace(unknown, code=reason)
    else:
        decline = _decline("2" if status == "declined" else "3", reason)
    if decline is None:
        return Failed(FailureClass.BUSY, reason or status, unknown.message)
    return Declined(decline, reason or status, unknown.message, unknown.transaction_id)


def _found_refund(told: Mapping[str, Any], unknown: Unknown, amount_minor: int, currency: str) -> Found:
    status = at(told, "transactionStatus")
    if status in _REFUNDS:
        outcome = _found_approved(told, Operation.REFUND, amount_minor, currency)
        if isinstance(outcome, Approved):
            return Found(outcome, Standing.REFUNDED, outcome.amount_minor)
        return Found(outcome, Standing.LIMBO)
    if status in _NOTHING_MOVED | _REFUSED_LATER and at(told, "responseReasonCode") not in _UNPROVEN - _INQUIRE_FIRST:
        reason = word(at(told, "responseReasonCode"), 20) or status
        refused = Refused(RefundRefusal.REFUSED, reason, unknown.message, unknown.transaction_id)
        return Found(refused, Standing.SETTLED)
    if status == "voided":
        return Found(replace(unknown, code="refund_voided", message="a void undid the refund"), Standing.LIMBO)
    return Found(unknown, Standing.LIMBO)


GATEWAY: Final = AuthorizeNet
