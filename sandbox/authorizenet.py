"""Authorize.Net: JSON requests in the schema's order, answers behind a byte order mark, refusal of duplicates.

There is no idempotency key: what repeats an earlier transaction within the duplicate window is refused with reason 11.
Where the published pages leave a behaviour open, the choice made here is listed in `docs/gateways/authorizenet.md`.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, ClassVar, Final

from sandbox.books import Books, State, Transaction
from sandbox.cards import Issuer, acceptable, declines_first
from sandbox.clock import DAY, moment
from sandbox.contract import WITHOUT_TWO_DECIMALS, Behaviour, Call, Page, decimal, masked, minor_units
from sandbox.http import Request

NAMESPACE: Final = "AnetApi/xml/v1/schema/AnetApiSchema.xsd"
MARK: Final = b"\xef\xbb\xbf"
WINDOW_MAX: Final = 28_800
WINDOW_USUAL: Final = 120
PAGE_MAX: Final = 1000
REFUND_DAYS: Final = 120
BATCH_DAYS_MAX: Final = 31

OPERATIONS: Final = {
    "authCaptureTransaction": "sale",
    "authOnlyTransaction": "authorization",
    "priorAuthCaptureTransaction": "capture",
    "voidTransaction": "void",
    "refundTransaction": "refund",
}
ASKING: Final = frozenset(
    {
        "getTransactionDetailsRequest",
        "getUnsettledTransactionListRequest",
        "getSettledBatchListRequest",
        "getTransactionListRequest",
    }
)

_FIRST: Final = ("merchantAuthentication", "clientId", "refId")
_LISTING: Final = ("sorting", "paging")
_ADDRESS: Final = tuple("firstName lastName company address city state zip country phoneNumber faxNumber email".split())
ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "createTransactionRequest": (*_FIRST, "transactionRequest"),
    "authenticateTestRequest": _FIRST,
    "getTransactionDetailsRequest": (*_FIRST, "transId"),
    "getUnsettledTransactionListRequest": (*_FIRST, "status", *_LISTING),
    "getSettledBatchListRequest": (*_FIRST, "includeStatistics", "firstSettlementDate", "lastSettlementDate"),
    "getTransactionListRequest": (*_FIRST, "batchId", *_LISTING),
    "merchantAuthentication": ("name", "transactionKey"),
    "transactionRequest": tuple(
        """transactionType amount currencyCode payment profile solution callId terminalNumber authCode refTransId
        splitTenderId order lineItems tax duty shipping taxExempt poNumber customer billTo shipTo customerIP
        cardholderAuthentication retail employeeId transactionSettings userFields surcharge merchantDescriptor
        subMerchant tip processingOptions subsequentAuthInformation otherTax shipFrom
        authorizationIndicatorType""".split()
    ),
    "payment": ("creditCard",),
    "creditCard": ("cardNumber", "expirationDate", "cardCode"),
    "profile": ("createProfile", "customerProfileId", "paymentProfile", "shippingProfileId"),
    "paymentProfile": ("paymentProfileId", "cardCode"),
    "order": ("invoiceNumber", "description"),
    "customer": ("type", "id", "email"),
    "billTo": _ADDRESS,
    "transactionSettings": ("setting",),
    "setting": ("settingName", "settingValue"),
    "processingOptions": (
        "isFirstRecurringPayment",
        "isFirstSubsequentAuth",
        "isSubsequentAuth",
        "isStoredCredentials",
    ),
    "subsequentAuthInformation": ("originalNetworkTransId", "originalAuthAmount", "reason"),
    "sorting": ("orderBy", "orderDescending"),
    "paging": ("limit", "offset"),
}
"""The members of each object, in the order that the schema wants."""

MERCHANTS_REASONS: Final = frozenset({"", "resubmission", "delayedCharge", "reauthorization", "noShow"})
"""The schema's merchantInitTransReasonEnum."""

LENGTHS: Final = {
    "name": 25,
    "transactionKey": 16,
    "refId": 20,
    "invoiceNumber": 20,
    "description": 255,
    "cardNumber": 16,
    "firstName": 50,
    "lastName": 50,
    "address": 60,
    "city": 40,
    "state": 40,
    "zip": 20,
    "country": 60,
    "id": 20,
}

COMPARED: Final = (
    "transactionType",
    "amount",
    "payment.creditCard.cardNumber",
    "payment.creditCard.expirationDate",
    "profile.customerProfileId",
    "profile.paymentProfile.paymentProfileId",
    "poNumber",
    "order.invoiceNumber",
    "customer.id",
    *(f"billTo.{name}" for name in _ADDRESS[:8]),
)
"""What makes two transactions the same, beside the window itself."""

REASONS: Final = {
    "1": ("1", "This transaction has been approved."),
    "2": ("2", "This transaction has been declined."),
    "3": ("2", "This transaction has been declined."),
    "4": ("2", "This transaction has been declined. The code returned is to pick up the card."),
    "5": ("3", "A valid amount is required."),
    "6": ("3", "The credit card number is invalid."),
    "7": ("3", "Credit card expiration date is invalid."),
    "8": ("3", "The credit card has expired."),
    "11": ("3", "A duplicate transaction has been submitted."),
    "13": ("3", "The merchant login ID or password is invalid or the account is inactive."),
    "16": ("3", "The transaction cannot be found."),
    "19": ("3", "An error occurred during processing. Please try again."),
    "22": ("3", "An error occurred during processing. Please try again."),
    "27": ("2", "The transaction resulted in an AVS mismatch."),
    "37": ("2", "The credit card number is invalid."),
    "39": ("3", "The supplied currency code is either invalid, not supported or not allowed for this merchant."),
    "44": ("2", "This transaction has been declined. The card code does not match."),
    "47": ("3", "The amount requested for settlement cannot be greater than the original amount authorized."),
    "50": ("3", "This transaction is awaiting settlement and cannot be refunded."),
    "54": ("3", "The referenced transaction does not meet the criteria for issuing a credit."),
    "55": ("3", "The sum of credits against the referenced transaction would exceed the original debit amount."),
    "65": ("2", "This transaction has been declined. The card code does not match."),
    "78": ("3", "The card code is invalid."),
    "251": ("2", "This transaction has been declined."),
    "252": ("4", "Your order has been received. Thank you for your business!"),
    "253": ("4", "Your order has been received. Thank you for your business!"),
    "254": ("2", "Your transaction has been declined."),
    "295": ("4", "The amount of this request was only partially approved on the given prepaid card."),
    "310": ("1", "This transaction has already been voided."),
    "311": ("1", "This transaction has already been captured."),
    "327": ("3", "The referenced transaction cannot be voided: it is in the process of being settled."),
}
"""responseCode and text of a reason."""

ISSUER: Final = {
    Issuer.DO_NOT_HONOUR: "2",
    Issuer.INSUFFICIENT_FUNDS: "2",
    Issuer.OVER_LIMIT: "2",
    Issuer.LOST: "4",
    Issuer.STOLEN: "4",
    Issuer.EXPIRED: "8",
    Issuer.WRONG_CODE: "44",
    Issuer.NO_SUCH_ACCOUNT: "37",
    Issuer.CALL_ISSUER: "3",
    Issuer.UNAVAILABLE: "22",
    Issuer.SILENT: "19",
    Issuer.FRAUD: "251",
    Issuer.REVIEW: "252",
}
"""Reason for a test card."""

DECLINING_ZIP: Final = "46282"
AVS_BY_ZIP: Final = dict(
    zip(
        "46201 46203 46204 46205 46206 46207 46208 46209 46211 46214 46217".split(),
        "AEGNPRSUWXZ",
        strict=True,
    )
)
PARTIAL_ZIPS: Final = frozenset({"46225", "46226", "46227", "46228"})
PARTIAL_AMOUNT: Final = 123
CVV_BY_CODE: Final = {"900": "M", "901": "N", "902": "S", "903": "U", "904": "P"}

NOT_STORED: Final = frozenset({"5", "6", "7", "8", "11", "13", "16", "39", "78"})
"""Reasons of a charge that leaves no transaction behind."""
PROCESSOR: Final = frozenset({"19", "20", "21", "22", "23", "25", "26"})
CHARGING: Final = frozenset({"sale", "authorization"})
ID_DIGITS: Final = "23456789"
BRANDS: Final = {"4": "Visa", "5": "MasterCard", "2": "MasterCard", "3": "AmericanExpress", "6": "Discover"}

STATUSES: Final = {
    State.REVIEW: "FDSPendingReview",
    State.AUTHORIZED: "authorizedPendingCapture",
    State.APPROVED: "capturedPendingSettlement",
    State.SETTLING: "pendingSettlement",
    State.SETTLED: "settledSuccessfully",
    State.VOIDED: "voided",
}

_SECRET: Final = re.compile(r'("(cardNumber|cardCode|transactionKey)"\s*:\s*")((?:[^"\\]|\\.)*)')


class RequestError(Exception):
    """An answer without a transaction: the code and the text of `messages`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.code, self.text = code, text


class AuthorizeNet:
    """The Authorize.Net server."""

    name = "authorizenet"
    content_type = "application/json; charset=utf-8"
    paths: tuple[str, ...] = ("/authorizenet/xml/v1/request.api",)
    credentials: ClassVar[Mapping[str, str]] = {
        "login_id": "sandbox",
        "transaction_key": "sandbox-secret",
        "signature_key": "5A" * 64,
    }

    def __init__(self, books: Books, credentials: Mapping[str, str], behaviour: Behaviour) -> None:
        del behaviour  # no amount is a test trigger here, and refunds always settle first
        self._books = books
        self._access = credentials

    # -- reading

    def read(self, request: Request) -> Call | Page:
        if request.method != "POST":
            return Page(405, "text/plain", b"sandbox: POST a request\n", "Allow: POST\r\n")
        call = Call(self.name, "other")
        try:
            told = json.loads(request.body)
        except ValueError as error:
            call.fault = f"the body is not JSON: {error.__class__.__name__}"
            return call
        if not isinstance(told, dict) or len(told) != 1:
            call.fault = "the body must be an object with one member, the request's name"
            return call
        [(kind, members)] = told.items()
        call.path, call.fields = kind, dict(_flat(members, ""))
        call.fault = _fault(kind, members)
        get = call.fields.get
        transaction = "transactionRequest."
        if kind == "createTransactionRequest":
            call.operation = OPERATIONS.get(get(f"{transaction}transactionType", ""), "other")
        elif kind in ASKING:
            call.operation = "inquiry"
        call.reference = get(f"{transaction}order.invoiceNumber", "") or get("refId", "")
        call.card = get(f"{transaction}payment.creditCard.cardNumber", "")
        call.amount = minor_units(get(f"{transaction}amount", ""))
        call.currency = get(f"{transaction}currencyCode", "USD")
        return call

    def target(self, call: Call) -> str:
        one = self._charge_of(call.fields.get("transactionRequest.refTransId", ""))
        return one.id if one else ""

    # -- answering

    def answer(self, call: Call) -> str:
        try:
            answer = self._answer(call)
        except RequestError as error:
            answer = {"messages": _messages(error.code, error.text)}
        if call.fields.get("refId"):
            answer = {**answer, "refId": call.fields["refId"]}
        return json.dumps(answer)

    def _answer(self, call: Call) -> dict[str, Any]:
        get = call.fields.get
        if call.fault:
            raise RequestError("E00003", call.fault)
        given = (get("merchantAuthentication.name"), get("merchantAuthentication.transactionKey"))
        if given != (self._access["login_id"], self._access["transaction_key"]):
            raise RequestError("E00007", "User authentication failed due to invalid authentication values.")
        if call.force is not None and call.force.code.startswith("E"):
            raise RequestError(call.force.code, call.force.message or "The sandbox was told to say so.")
        match call.path:
            case "authenticateTestRequest":
                return {"messages": _messages()}
            case "createTransactionRequest":
                return self._transact(call)
            case "getTransactionDetailsRequest":
                return self._details(get("transId", ""))
            case "getUnsettledTransactionListRequest":
                return self._list(call, self._unsettled(get("status", "any")))
            case "getSettledBatchListRequest":
                return self._batches(get("firstSettlementDate", ""), get("lastSettlementDate", ""))
            case _:
                return self._list(call, self._of_batch(get("batchId", "")))

    def _transact(self, call: Call) -> dict[str, Any]:
        match call.operation:
            case "sale" | "authorization":
                return self._charge(call)
            case "capture":
                return self._capture(call)
            case "void":
                return self._void(call)
            case "refund":
                return self._refund(call)
        raise RequestError("E00003", "The 'transactionType' element is invalid.")

    # -- sale and authorization

    def _charge(self, call: Call) -> dict[str, Any]:
        new = self._new(call)
        new.credential = _told(call)
        if earlier := self._earlier(call, new):
            return self._duplicate(call, earlier)
        self._take_card(call, new)
        reason = self._decide(call, new)
        extra: dict[str, Any] = {"networkTransId": _digits(15)} if reason == "1" else {}
        if reason == "295":
            extra["prepaidCard"] = {
                "requestedAmount": decimal(new.amount),
                "approvedAmount": decimal(PARTIAL_AMOUNT),
                "balanceOnCard": "0.00",
            }
            new.amount = PARTIAL_AMOUNT
        new.code = reason
        new.state = _state_of(reason, new.operation)
        if new.state in (State.APPROVED, State.AUTHORIZED, State.REVIEW):
            new.auth_code = "".join(secrets.choice("ABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(6))
        new.checks = _checks(call)
        answer = self._said(reason, new, call, extra)
        if new.state in (State.APPROVED, State.AUTHORIZED) and _field(call, "profile.createProfile") == "true":
            answer["profileResponse"] = self._keep(call, new)
        if reason in NOT_STORED:
            return answer
        new.reply = json.dumps({"networkTransId": extra.get("networkTransId", ""), "answer": answer})
        self._books.book(new)
        return answer

    def _new(self, call: Call) -> Transaction:
        return Transaction(
            self.name,
            f"6{''.join(secrets.choice(ID_DIGITS) for _ in range(10))}",
            call.operation,
            call.reference,
            amount=call.amount or 0,
            currency=call.currency,
            order_id=self._books.hash_card(json.dumps([_window(call), *(_field(call, name) for name in COMPARED)])),
            booked_at=self._books.clock.now(),
        )

    def _earlier(self, call: Call, new: Transaction) -> Transaction | None:
        """The transaction that this one repeats within its window."""
        named = _field(call, "order.invoiceNumber")
        alike = self._books.by_reference(self.name, named) if named else self._books.search(order_id=new.order_id)
        since = new.booked_at - (WINDOW_USUAL if (window := _window(call)) is None else window)
        return next((one for one in alike if one.order_id == new.order_id and one.booked_at > since), None)

    def _duplicate(self, call: Call, earlier: Transaction) -> dict[str, Any]:
        """With the window given, the original's id goes along, and its authorization code where it was approved."""
        told = self._said("11", earlier, call)
        answer = told["transactionResponse"]
        if _window(call) is None:
            answer.update(transId="0", authCode="")
        return told

    def _take_card(self, call: Call, new: Transaction) -> None:
        customer = _field(call, "profile.customerProfileId")
        if customer:
            token = f"{customer}/{_field(call, 'profile.paymentProfile.paymentProfileId')}"
            kept = self._books.by_request(self.name, token)
            if kept is None:
                raise RequestError("E00040", "Customer Profile ID or Customer Payment Profile ID not found.")
            new.card_hash, new.last4, new.expiry = kept.card_hash, kept.last4, kept.expiry
        elif acceptable(call.card):
            new.card_hash, new.last4 = self._books.hash_card(call.card), call.card[-4:]
            new.expiry = _field(call, "payment.creditCard.expirationDate")

    def _decide(self, call: Call, new: Transaction) -> str:
        """The reason."""
        if call.amount is None or not call.amount:
            return "5"
        if len(call.currency) != 3 or not call.currency.isupper() or call.currency in WITHOUT_TWO_DECIMALS:
            return "39"
        if not new.card_hash:
            return "6"
        if (wrong := _expiry_fault(new.expiry, new.booked_at)) or (wrong := _code_fault(call)):
            return wrong
        if call.force is not None:
            return call.force.code
        issuer = self._books.issuer_of(new.card_hash)
        if issuer is not Issuer.APPROVES:
            return ISSUER[issuer]
        if declines_first(call.card) > self._books.declines_of(new.card_hash):
            return ISSUER[Issuer.INSUFFICIENT_FUNDS]
        zip_code = _field(call, "billTo.zip")
        if zip_code in PARTIAL_ZIPS:
            return "295" if _setting(call, "allowPartialAuth") == "true" else "2"
        return "2" if zip_code == DECLINING_ZIP else "1"

    def _keep(self, call: Call, new: Transaction) -> dict[str, Any]:
        """A customer profile with the card of this transaction, which is found by it as by a request id."""
        if not _field(call, "customer.id") and not _field(call, "customer.email"):
            return {"messages": _messages("E00102", "Customer Info is missing.")}
        customer, method = _digits(9), _digits(9)
        new.request_id = f"{customer}/{method}"
        return {
            "messages": _messages(),
            "customerProfileId": customer,
            "customerPaymentProfileIdList": [method],
            "customerShippingAddressIdList": [],
        }

    def _said(
        self, reason: str, one: Transaction | None, call: Call, extra: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """An answer with a transactionResponse: about `one`, or about none."""
        code, text = REASONS.get(reason, ("3", "The sandbox was told to say so."))
        stored = one is not None and (reason not in NOT_STORED or reason == "11")
        avs, cvv = (one.checks if one else "").partition(",")[::2]
        answer: dict[str, Any] = {
            "responseCode": code,
            "authCode": one.auth_code if one else "",
            "avsResultCode": avs or "P",
            "cvvResultCode": cvv,
            "cavvResultCode": "",
            "transId": one.id if one is not None and stored else "0",
            "refTransID": one.original if one else "",
            "transHash": "",
            "testRequest": "0",
            "accountNumber": f"XXXX{one.last4}" if one and one.last4 else "",
            "accountType": BRANDS.get(call.card[:1], ""),
        }
        if call.force is not None and call.force.message:
            text = call.force.message
        if code in ("1", "4"):
            answer["messages"] = [{"code": reason, "description": text}]
        else:
            answer["errors"] = [{"errorCode": reason, "errorText": text}]
        answer |= dict(extra or {})
        answer |= call.force.fields if call.force is not None else {}
        fine = code in ("1", "2", "4")
        return {
            "transactionResponse": answer,
            "messages": _messages() if fine else _messages("E00027", "The transaction was unsuccessful."),
        }

    # -- capture, void and refund

    def _charge_of(self, transaction_id: str) -> Transaction | None:
        """The transaction under this id that holds the money: an authorization's capture once there is one."""
        one = self._books.find(self.name, transaction_id)
        if one is None or one.operation not in CHARGING | {"refund"}:
            return None
        return self._taken(one) or one

    def _taken(self, one: Transaction) -> Transaction | None:
        if one.operation != "authorization" or one.state not in (State.CAPTURED, State.VOIDED):
            return None
        found = self._books.search(gateway=self.name, operation="capture", original=one.id)
        return next(iter(found), None)

    def _bound(self, call: Call, one: Transaction) -> Transaction:
        """A void or capture of `one`: it has no transaction id of its own."""
        new = self._new(call)
        new.id, new.order_id = f"{one.id}.{call.operation}.{call.reference}", ""
        new.original = one.id
        new.card_hash, new.last4, new.expiry, new.currency = one.card_hash, one.last4, one.expiry, one.currency
        return new

    def _forced(self, call: Call, one: Transaction | None) -> dict[str, Any] | None:
        """The refusal that a scenario imposes."""
        if call.force is None or call.force.code in ("1", "success"):
            return None
        return self._said(call.force.code, one, call)

    def _capture(self, call: Call) -> dict[str, Any]:
        one = self._books.find(self.name, _field(call, "refTransId"))
        if forced := self._forced(call, one):
            return forced
        if one is None or one.operation != "authorization":
            return self._said("16", None, call)
        if one.state == State.CAPTURED:
            return self._said("311", one, call)
        if one.state != State.AUTHORIZED:
            return self._said("16", None, call)
        amount = one.amount if call.amount is None else call.amount
        if not 0 < amount <= one.amount:
            return self._said("47" if amount else "5", one, call)
        new = self._bound(call, one)
        new.amount, new.state, new.code, new.auth_code = amount, State.APPROVED, "1", one.auth_code
        one.state = State.CAPTURED
        self._books.book(new, one)
        return self._said("1", one, call)

    def _void(self, call: Call) -> dict[str, Any]:
        one = self._books.find(self.name, _field(call, "refTransId"))
        held = self._charge_of(one.id) if one else None
        if forced := self._forced(call, one):
            return forced
        if one is None or held is None or held.state in (State.SETTLED, State.DECLINED, State.REFUSED):
            return self._said("16", None, call)
        if held.state == State.VOIDED:
            return self._said("310", one, call)
        if held.state == State.SETTLING:
            return self._said("327", one, call)
        new = self._bound(call, one)
        new.amount, new.state, new.code = held.amount, State.DONE, "1"
        changed = [held]
        if held is not one:
            one.state = State.VOIDED
            changed.append(one)
        if one.operation == "refund" and (sale := self._charge_of(one.original)) is not None:
            sale.refunded -= one.amount
            changed.append(sale)
        held.state = State.VOIDED
        self._books.book(new, *changed)
        return self._said("1", one, call)

    def _refund(self, call: Call) -> dict[str, Any]:
        new = self._new(call)
        if earlier := self._earlier(call, new):
            return self._duplicate(call, earlier)
        if not _field(call, "refTransId"):
            return self._said("6", None, call)  # without it, it is an unreferenced credit to a whole number
        sale = self._charge_of(_field(call, "refTransId"))
        if forced := self._forced(call, sale):
            return forced
        if sale is None or sale.operation == "refund":
            return self._said("16", None, call)
        if reason := self._no_credit(call, sale):
            return self._said(reason, None, call)
        new.original = sale.original if sale.operation == "capture" else sale.id
        new.card_hash, new.last4, new.expiry, new.currency = sale.card_hash, sale.last4, sale.expiry, sale.currency
        new.state, new.code = State.APPROVED, "1"
        sale.refunded += new.amount
        new.reply = json.dumps({"networkTransId": "", "answer": {}})
        self._books.book(new, sale)
        return self._said("1", new, call)

    def _no_credit(self, call: Call, sale: Transaction) -> str:
        """Why nothing is returned; empty where it is."""
        if not call.amount:
            return "5"
        if sale.state == State.SETTLING:
            return "50"
        too_old = sale.settled_at < self._books.clock.now() - REFUND_DAYS * DAY
        if sale.state != State.SETTLED or call.card[-4:] != sale.last4 or too_old:
            return "54"
        return "55" if sale.refunded + call.amount > sale.amount else ""

    # -- details and lists

    def _details(self, transaction_id: str) -> dict[str, Any]:
        one = self._books.find(self.name, transaction_id)
        if one is None or one.operation not in CHARGING | {"refund"}:
            raise RequestError("E00040", "The record cannot be found.")
        one.inquiries += 1
        return {"transaction": self._view(one), "messages": _messages()}

    def _view(self, one: Transaction) -> dict[str, Any]:
        told = json.loads(one.reply)
        held = self._taken(one) or one
        kinds = {operation: kind for kind, operation in OPERATIONS.items()}
        declined = one.state in (State.DECLINED, State.REFUSED)
        view = {
            "transId": one.id,
            "refTransId": one.original,
            "submitTimeUTC": _time(one.booked_at),
            "submitTimeLocal": _time(one.booked_at).rstrip("Z"),
            "transactionType": kinds[one.operation],
            "transactionStatus": self._status(one),
            "responseCode": int(REASONS.get(one.code, ("3", ""))[0]),
            "responseReasonCode": int(one.code) if one.code.isdigit() else 0,
            "responseReasonDescription": "Approval" if one.code == "1" else REASONS.get(one.code, ("3", "Error"))[1],
            "authCode": one.auth_code,
            "AVSResponse": one.checks.partition(",")[0],
            "cardCodeResponse": one.checks.partition(",")[2],
            "batch": {"batchId": str(held.batch), "settlementTimeUTC": _time(held.settled_at)} if held.batch else None,
            "order": {"invoiceNumber": one.reference},
            "authAmount": _number(one.amount),
            "settleAmount": 0 if declined or one.state == State.VOIDED else _number(held.amount),
            "payment": {"creditCard": {"cardNumber": f"XXXX{one.last4}", "expirationDate": "XXXX"}},
            "networkTransId": told["networkTransId"],
        }
        if kept := told["answer"].get("profileResponse"):
            view["profile"] = {
                "customerProfileId": kept.get("customerProfileId", ""),
                "customerPaymentProfileId": kept.get("customerPaymentProfileIdList", [""])[0],
            }
        return {name: value for name, value in view.items() if value not in (None, "")}

    def _status(self, one: Transaction) -> str:
        if one.operation == "refund" and one.state != State.VOIDED:
            return "refundSettledSuccessfully" if one.state == State.SETTLED else "refundPendingSettlement"
        if one.state == State.DECLINED:
            return "failedReview" if one.code == "254" else "declined"
        if one.state == State.REFUSED:
            return "communicationError" if one.code in PROCESSOR else "generalError"
        held = self._taken(one) or one
        return STATUSES[State(held.state)]

    def _rows(self) -> Iterator[Transaction]:
        """Everything that has an id of its own, the newest first."""
        for one in reversed(list(self._books.search(gateway=self.name))):
            if one.operation in CHARGING | {"refund"} and one.reply:
                yield one

    def _unsettled(self, status: str) -> Iterator[Transaction]:
        for one in self._rows():
            settled = (self._taken(one) or one).state == State.SETTLED
            if not settled and (status != "pendingApproval" or one.state == State.REVIEW):
                yield one

    def _of_batch(self, batch_id: str) -> Iterator[Transaction]:
        for one in self._rows():
            held = self._taken(one) or one
            if held.state == State.SETTLED and str(held.batch) == batch_id:
                yield one

    def _list(self, call: Call, rows: Iterator[Transaction]) -> dict[str, Any]:
        limit, page = _whole(call, "paging.limit", PAGE_MAX), _whole(call, "paging.offset", 1)
        if not 1 <= limit <= PAGE_MAX or page < 1:
            raise RequestError("E00003", "The 'paging' element is invalid.")
        found = list(rows)
        if call.fields.get("sorting.orderDescending") != "true":
            found.reverse()
        shown = found[(page - 1) * limit : page * limit]
        if not shown:
            return {"messages": _messages("I00004", "No records found.", "Ok")}
        return {
            "transactions": [self._row(one) for one in shown],
            "totalNumInResultSet": len(found),
            "messages": _messages(),
        }

    def _row(self, one: Transaction) -> dict[str, Any]:
        one.inquiries += 1
        return {
            "transId": one.id,
            "submitTimeUTC": _time(one.booked_at),
            "submitTimeLocal": _time(one.booked_at).rstrip("Z"),
            "transactionStatus": self._status(one),
            "invoiceNumber": one.reference,
            "accountType": "Visa",
            "accountNumber": f"XXXX{one.last4}",
            "settleAmount": _number((self._taken(one) or one).amount),
            "marketType": "eCommerce",
            "product": "Card Not Present",
        }

    def _batches(self, first: str, last: str) -> dict[str, Any]:
        start, end = _moment(first), _moment(last)
        if start is None or end is None or not 0 <= (end - start).total_seconds() <= BATCH_DAYS_MAX * DAY:
            raise RequestError("E00003", f"The settlement dates must be at most {BATCH_DAYS_MAX} days apart.")
        batches: dict[int, float] = {}
        for one in self._rows():
            held = self._taken(one) or one
            if held.state == State.SETTLED and start <= moment(held.settled_at).replace(microsecond=0) <= end:
                batches[held.batch] = held.settled_at
        if not batches:
            return {"messages": _messages("I00004", "No records found.", "Ok")}
        rows = [
            {
                "batchId": str(batch),
                "settlementTimeUTC": _time(settled_at),
                "settlementTimeLocal": _time(settled_at).rstrip("Z"),
                "settlementState": "settledSuccessfully",
                "paymentMethod": "creditCard",
            }
            for batch, settled_at in sorted(batches.items())
        ]
        return {"batchList": rows, "messages": _messages()}

    # -- for scenarios and the request log

    def foreign(self, call: Call, transaction_id: str) -> str:
        found = self._books.find(self.name, transaction_id)
        if found is None:
            raise LookupError(f"authorizenet has no transaction {transaction_id}")
        return json.dumps({**self._said("11", found, call), "refId": call.fields.get("refId", "")})

    def verdict(self, code: str, message: str) -> dict[str, str]:
        response_code, text = REASONS.get(code, ("3", "The sandbox was told to say so."))
        kind, name, words = ("errors", "errorCode", "errorText")
        if response_code in ("1", "4"):
            kind, name, words = ("messages", "code", "description")
        answer = "transactionResponse"
        return {
            f"{answer}.responseCode": response_code,
            f"{answer}.{kind}.0.{name}": code,
            f"{answer}.{kind}.0.{words}": message or text,
        }

    def edit(self, body: str, changes: dict[str, str | None]) -> str:
        """Values by dotted paths, such as `transactionResponse.messages.0.code`."""
        answer = json.loads(body.removeprefix(MARK.decode("latin-1")))
        for path, value in changes.items():
            *way, last = path.split(".")
            place = answer
            for name, following in pairwise((*way, last)):
                place = _inner(place, name, [] if following.isdigit() else {})
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        return json.dumps(answer)

    def headers(self, call: Call) -> str:
        del call
        return ""

    def encode(self, body: str) -> bytes:
        return MARK + body.encode("latin-1")

    def decide(self, held: Transaction, accepted: bool) -> None:
        held.code = "1" if accepted else "254"

    def redact(self, body: bytes) -> str:
        def mask(found: re.Match[str]) -> str:
            return found[1] + (masked(found[3]) if found[2] == "cardNumber" else "*" * len(found[3]))

        return _SECRET.sub(mask, body.decode("latin-1"))


# -- the request's form


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from _flat(inner, f"{path}.{name}" if path else name)
        case list():
            for place, inner in enumerate(value):
                yield from _flat(inner, f"{path}.{place}")
        case bool():
            yield path, str(value).lower()
        case _:
            yield path, str(value)


def _fault(name: str, value: Any) -> str:
    """What the schema finds wrong with an element, in its words; empty where nothing is."""
    if name not in ORDER:
        if isinstance(value, str) and len(value) > LENGTHS.get(name, len(value)):
            return (
                f"The '{NAMESPACE}:{name}' element is invalid - The value '{value}' is invalid according to its"
                " datatype 'String' - The actual length is greater than the MaxLength value."
            )
        return f"Invalid request '{name}'." if isinstance(value, dict) else ""
    elements = value if isinstance(value, list) else [value]
    for element in elements:
        if not isinstance(element, dict):
            return f"The '{name}' element is invalid."
        if fault := _members_fault(name, element):
            return fault
    return ""


def _members_fault(name: str, element: Mapping[str, Any]) -> str:
    expected: Sequence[str] = ORDER[name]
    for member, inner in element.items():
        if member not in expected:
            return (
                f"The element '{name}' in namespace '{NAMESPACE}' has invalid child element '{member}' in namespace"
                f" '{NAMESPACE}'. List of possible elements expected: '{', '.join(expected)}' in namespace"
                f" '{NAMESPACE}'."
            )
        expected = expected[expected.index(member) + 1 :]
        if fault := _fault(member, inner):
            return fault
    return ""


def _told(call: Call) -> str:
    """What is told of a stored card; what the schema's types do not allow is refused."""
    told = {name: _field(call, f"processingOptions.{name}") for name in ORDER["processingOptions"]}
    for name, value in told.items():
        if value not in ("", "true", "false"):
            raise RequestError("E00003", f"The '{name}' element is invalid: '{value}' is no Boolean.")
    reason = _field(call, "subsequentAuthInformation.reason")
    if reason not in MERCHANTS_REASONS:
        raise RequestError("E00003", f"The 'reason' element is invalid: '{reason}' is not in the enumeration.")
    amount = _field(call, "subsequentAuthInformation.originalAuthAmount")
    if amount and re.fullmatch(r"[0-9]+(\.[0-9]+)?", amount) is None:
        raise RequestError("E00003", f"The 'originalAuthAmount' element is invalid: '{amount}' is no Decimal.")
    holds = {name for name, value in told.items() if value == "true"}
    if not holds:
        return ""
    initiator = "merchant" if "isSubsequentAuth" in holds else "customer"
    usage = "subsequent" if holds & {"isSubsequentAuth", "isStoredCredentials"} else "first"
    series = "isFirstRecurringPayment" in holds or _setting(call, "recurringBilling") == "true"
    reference = _field(call, "subsequentAuthInformation.originalNetworkTransId")
    after = f" after {reference}" + (f" of {amount}" if amount else "") if reference else ""
    return f"{initiator} {usage} {'recurring' if series else 'unscheduled'}{after}"


def _field(call: Call, path: str) -> str:
    return call.fields.get(f"transactionRequest.{path}", "")


def _setting(call: Call, name: str) -> str:
    place = "transactionRequest.transactionSettings.setting"
    for number in range(10):
        if call.fields.get(f"{place}.{number}.settingName", call.fields.get(f"{place}.settingName")) == name:
            return call.fields.get(f"{place}.{number}.settingValue", call.fields.get(f"{place}.settingValue", ""))
    return ""


def _window(call: Call) -> int | None:
    """The duplicate window in seconds; None where the request gives none."""
    text = _setting(call, "duplicateWindow")
    return min(max(int(text), 0), WINDOW_MAX) if re.fullmatch(r"-?\d{1,9}", text, re.ASCII) else None


def _whole(call: Call, path: str, usual: int) -> int:
    text = call.fields.get(path, "")
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else usual


def _expiry_fault(expiry: str, now: float) -> str:
    found = re.fullmatch(r"(\d{4})-(\d\d)", expiry, re.ASCII)
    if found:
        year, month = int(found[1]), int(found[2])
    elif found := re.fullmatch(r"(\d\d)/?(20)?(\d\d)", expiry, re.ASCII):
        year, month = 2000 + int(found[3]), int(found[1])
    else:
        return "7"
    today = moment(now)
    if not 1 <= month <= 12:
        return "7"
    return "8" if (year, month) < (today.year, today.month) else ""


def _code_fault(call: Call) -> str:
    code = _field(call, "payment.creditCard.cardCode")
    return "78" if code and not re.fullmatch(r"\d{3,4}", code, re.ASCII) else ""


def _checks(call: Call) -> str:
    """Address and card code results by the documented triggers, comma between."""
    avs = AVS_BY_ZIP.get(_field(call, "billTo.zip"), "Y")
    code = _field(call, "payment.creditCard.cardCode")
    return f"{avs},{CVV_BY_CODE.get(code, 'M') if code else ''}"


def _state_of(reason: str, operation: str) -> State:
    code = REASONS.get(reason, ("3", ""))[0]
    if code == "1" or reason == "295":
        return State.APPROVED if operation == "sale" else State.AUTHORIZED
    return {"2": State.DECLINED, "4": State.REVIEW}.get(code, State.REFUSED)


# -- answers


def _messages(code: str = "I00001", text: str = "Successful.", result: str = "") -> dict[str, Any]:
    result = result or ("Ok" if code.startswith("I") else "Error")
    return {"resultCode": result, "message": [{"code": code, "text": text}]}


def _inner(place: Any, name: str, new: Any) -> Any:
    """What is inside `place` under a name or number; made where there is nothing."""
    if isinstance(place, list):
        if int(name) == len(place):
            place.append(new)
        return place[int(name)]
    return place.setdefault(name, new)


def _number(amount: int) -> float:
    """An amount as the lists and details write it: a JSON number, whose two places are printed exactly."""
    return amount / 100


def _time(seconds: float) -> str:
    return f"{moment(seconds):%Y-%m-%dT%H:%M:%S}.{moment(seconds).microsecond // 1000:03d}Z"


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)


def _digits(length: int) -> str:
    return "".join(secrets.choice(ID_DIGITS) for _ in range(length))
