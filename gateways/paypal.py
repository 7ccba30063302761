"""PayPal REST: Orders v2 and Payments v2 with cards, JSON over HTTPS.

Sources, where nothing else is said: PayPal's OpenAPI descriptions "Orders" 2.13 and "Payments" 2.5 and the pages of
developer.paypal.com: "Orders v2" (create, capture, authorize), "Idempotency", "Responses", "Currency codes".
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateways.contract import Capture, Inquiry, Operation, Refund, Refunds, Reply, Sale, Traits, Void, Voids
from gateways.http import Answered, Exchange, HttpClient, NotSent
from gateways.loop import CallLock
from gateways.wire import Vocabulary, at, inside, minor_from, plain, read_json, retry_after, unsupported, word
from rules.cards import Card
from rules.money import EXPONENTS, to_decimal
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
from rules.stored_cards import Usage

# ---- traits (BRL, CNY and MYR are taken from accounts of those countries only: PayPal refuses them elsewhere)

_WHOLE_ONLY: Final = frozenset({"HUF", "JPY", "TWD"})  # no decimals here, whatever ISO 4217 says

TRAITS: Final = Traits(
    currencies=frozenset(
        "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS JPY MXN MYR NOK NZD PHP PLN RUB SEK SGD THB TWD USD".split()
    ),
    amount_minor_max=999_999_999_999,  # PayPal takes 15 digits before the point; replies are read up to here
    appears_within=timedelta(minutes=15),  # our caution: an order shows its capture at once
    replay_window=timedelta(hours=6),  # how long Orders v2 keeps a PayPal-Request-Id
    voids=Voids.NEVER,
    void_undoes_latest=False,
    refunds=Refunds.MANY,
    refund_within=timedelta(days=180),  # the default of the classic API: REST names no days
    keeps_cards=True,
    authorizes=True,
)

# ---- wire words

_CLOCKS: Final = timedelta(minutes=10)  # how much earlier than PayPal we stop to trust a request id
_TOKEN_SECONDS: Final = 60.0  # a token is fetched anew so long before it ends
_ORDER: Final = "order:"
_AUTHORIZATION: Final = "authorization:"
_ID: Final = re.compile(r"[A-Z0-9]{1,36}")
_PAYMENTS: Final = "purchase_units.0.payments"
_OF_PAYMENT: Final = """status amount.value amount.currency_code status_details.reason processor_response.avs_code
    processor_response.cvv_code processor_response.response_code processor_response.payment_advice_code""".split()
_LISTS: Final = tuple(f"{_PAYMENTS}.{name}.0." for name in ("captures", "authorizations", "refunds"))
_WORDS: Final = Vocabulary(
    decisive=frozenset(),
    ids=frozenset(
        f"{place}{name}"
        for place in ("", "purchase_units.0.", *_LISTS)
        for name in ("id", "invoice_id", "custom_id", "supplementary_data.related_ids.order_id")
    ),
    shown=frozenset(
        ["intent", "name", "debug_id", *(f"details.{place}.issue" for place in range(3))]
        + [f"{place}{name}" for place in ("", *_LISTS) for name in _OF_PAYMENT]
    ),
)
_TOKEN_WORDS: Final = Vocabulary(frozenset(), frozenset(), frozenset())  # nothing of a token's reply is kept

# ---- code tables. By status, name and issue only what is listed is Declined, Refused or Failed; the rest is Unknown.

_Class = DeclineClass | FailureClass | RefundRefusal | VoidRefusal

_NAMES: Final = {
    # HTTP status: the names that prove that nothing was done. 401 and 429 have no confirmed name.
    400: (frozenset({"INVALID_REQUEST"}), FailureClass.REFUSED),
    403: (frozenset({"NOT_AUTHORIZED"}), FailureClass.GATEWAY_SETUP),
    404: (frozenset({"RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"}), FailureClass.REFUSED),
    415: (frozenset({"UNSUPPORTED_MEDIA_TYPE"}), FailureClass.REFUSED),
}
_LOOK_FIRST: Final = frozenset(
    """DUPLICATE_INVOICE_ID DUPLICATE_TRANSACTION DUPLICATE_REQUEST_ID ORDER_ALREADY_CAPTURED
    ORDER_ALREADY_AUTHORIZED""".split()
)
"""An earlier send may have been done."""

_PREFIXES: Final[dict[str, FailureClass]] = {
    **dict.fromkeys(("PAYEE_ACCOUNT_", "PAYEE_NOT_ENABLED_", "NOT_ENABLED_"), FailureClass.GATEWAY_SETUP),
    "MERCHANT_INITIATED_": FailureClass.REFUSED,
}
_ISSUES: Final[dict[str, _Class]] = {
    "AUTH_CAPTURE_NOT_ENABLED": FailureClass.GATEWAY_SETUP,
    **dict.fromkeys(
        """INVALID_CURRENCY_CODE DECIMAL_PRECISION DECIMALS_NOT_SUPPORTED CANNOT_BE_ZERO_OR_NEGATIVE AMOUNT_MISMATCH
    MAX_VALUE_EXCEEDED CURRENCY_MISMATCH""".split(),
        FailureClass.REFUSED,
    ),
}
_CHARGE_ISSUES: Final[dict[str, _Class]] = {
    **_ISSUES,
    "INSTRUMENT_DECLINED": DeclineClass.SOFT_UNLISTED,
    "PAYMENT_SOURCE_DECLINED_BY_PROCESSOR": DeclineClass.HARD,
    **dict.fromkeys(
        "TRANSACTION_REFUSED PAYER_CANNOT_PAY TRANSACTION_LIMIT_EXCEEDED TRANSACTION_RECEIVING_LIMIT_EXCEEDED".split(),
        DeclineClass.SOFT_GENERIC,
    ),
    **dict.fromkeys(
        """CARD_EXPIRED INVALID_EXPIRY_DATE REFERENCED_CARD_EXPIRED
    INVALID_SECURITY_CODE_LENGTH PAYMENT_SOURCE_CANNOT_BE_USED PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED
    BILLING_ADDRESS_INVALID""".split(),
        DeclineClass.NEW_DATA,
    ),
    **dict.fromkeys(
        """COMPLIANCE_VIOLATION PAYEE_BLOCKED_TRANSACTION TRANSACTION_BLOCKED_BY_PAYEE PAYER_ACCOUNT_LOCKED_OR_CLOSED
    PAYER_ACCOUNT_RESTRICTED""".split(),
        DeclineClass.HARD,
    ),
    **dict.fromkeys(
        """CARD_BRAND_NOT_SUPPORTED DOMESTIC_TRANSACTION_REQUIRED MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED
    PAYER_ACTION_REQUIRED REDIRECT_PAYER_FOR_ALTERNATE_FUNDING""".split(),
        DeclineClass.OTHER_WAY,
    ),
    # ORDER_COMPLETED_OR_VOIDED is not here: an earlier send may have completed it
    **dict.fromkeys(
        # the last two: PayPal itself has no card for its token, which says nothing of the card (C4)
        """ORDER_NOT_APPROVED ORDER_EXPIRED CARD_NUMBER_REQUIRED CARD_EXPIRY_REQUIRED TOKEN_EXPIRED
    TOKEN_ID_NOT_FOUND""".split(),
        FailureClass.REFUSED,
    ),
}
_CAPTURE_ISSUES: Final[dict[str, _Class]] = {
    **_ISSUES,
    **dict.fromkeys(
        """AUTHORIZATION_VOIDED AUTHORIZATION_EXPIRED MAX_CAPTURE_AMOUNT_EXCEEDED
    AUTH_CAPTURE_CURRENCY_MISMATCH""".split(),
        FailureClass.REFUSED,
    ),
}
_VOID_ISSUES: Final[dict[str, _Class]] = {
    **dict.fromkeys(("PREVIOUSLY_CAPTURED", "CANNOT_BE_VOIDED"), VoidRefusal.CANNOT_VOID),
}
_VOIDED_BEFORE: Final = "PREVIOUSLY_VOIDED"
_REFUND_ISSUES: Final[dict[str, _Class]] = {
    **_ISSUES,
    "CAPTURE_FULLY_REFUNDED": RefundRefusal.ALREADY,
    # The capture pends, or the merchant's balance is short: later.
    **dict.fromkeys(("PENDING_CAPTURE", "REFUND_FAILED_INSUFFICIENT_FUNDS"), RefundRefusal.NOT_YET),
    **dict.fromkeys(
        """REFUND_AMOUNT_EXCEEDED REFUND_TIME_LIMIT_EXCEEDED REFUND_NOT_ALLOWED REFUND_IS_RESTRICTED
    REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK TRANSACTION_DISPUTED PARTIAL_REFUND_NOT_ALLOWED
    MAX_NUMBER_OF_REFUNDS_EXCEEDED PAYER_ACCOUNT_LOCKED_OR_CLOSED""".split(),
        RefundRefusal.REFUSED,
    ),
    **dict.fromkeys(("REFUND_CAPTURE_CURRENCY_MISMATCH", "REFUND_AMOUNT_TOO_LOW"), FailureClass.REFUSED),
}

# processor_response.response_code of what was declined. Not listed is Unknown, and by inquiry SOFT_UNLISTED.
_PROCESSOR: Final[dict[str, DeclineClass | FailureClass]] = {
    **dict.fromkeys("0960 5920 8000 8110 8220 PPNT PPER".split(), DeclineClass.SOFT_TECHNICAL),
    **dict.fromkeys("5120 5710 PPAX PPEL PPNL".split(), DeclineClass.SOFT_DATED),
    **dict.fromkeys(("0500", "10BR", "9100"), DeclineClass.SOFT_GENERIC),
    **dict.fromkeys(("5100", "8100"), DeclineClass.SOFT_UNLISTED),
    **dict.fromkeys(
        """00N7 0390 1330 1335 1380 1382 5110 5170 5190 5400 5950 6300 PCVV PPAD PPAV PPC2 PPEF
    PPEX""".split(),
        DeclineClass.NEW_DATA,
    ),
    **dict.fromkeys("0100 5130 5135 5500 5650 5700 5910 5930 7700 7710 9530 PPCT".split(), DeclineClass.OTHER_WAY),
    **dict.fromkeys(
        """0580 0R00 1352 1360 1384 1393 5140 5150 5160 5180 5210 5900 7800 9500 9510 9520 9540 PP06 PPAB PPFR
    PPRN""".split(),
        DeclineClass.HARD,
    ),
    **dict.fromkeys(
        """0890 1300 1310 1312 1317 1320 1340 1350 1370 8010 8020 8030 PPCE PPFV PPII PPMD PPRR PPTT PPUA
    PPUC""".split(),
        FailureClass.GATEWAY_SETUP,
    ),
}
_NEVER_A_VERDICT: Final = frozenset({"0000", "0800", "1000", "9600", "PPIF"})
_NOT_CAPTURED: Final = "7600"  # approved, and not captured: a person must look
_FOR_A_PERSON: Final = frozenset(
    {"PENDING_REVIEW", "RECEIVING_PREFERENCE_MANDATES_MANUAL_ACTION", "VERIFICATION_REQUIRED"}
)


# ---- verbs


class PayPal:
    """The gateway PayPal (contract.Gateway). `account` only tells merchant accounts apart.

    Transaction ids: a capture's or refund's as PayPal has it; `order:…` while no capture is known; `authorization:…`.
    """

    name = "paypal"
    traits = TRAITS

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        account: str,
        pool_size: int,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        self.account = account
        headers = {"Content-Type": "application/json"}
        self._http = HttpClient(url.rstrip("/"), headers, pool_size, connect_timeout, read_timeout)
        self._tokens = _Tokens(self._http, client_id, client_secret)

    def sale(self, sale: Sale) -> Reply[Outcome]:
        """Open an order, which moves nothing, and capture it from the card or the stored card (C4)."""
        return self._charge(Operation.SALE, sale)

    def authorize(self, sale: Sale) -> Reply[Outcome]:
        """Open an order and reserve its amount; the id that comes back is `authorization:…`."""
        return self._charge(Operation.AUTHORIZATION, sale)

    def capture(self, capture: Capture) -> Reply[Outcome]:
        """Take what was authorized, all of it or less, and release the rest."""
        kind, authorization_id = _parted(capture.authorization_transaction_id)
        if kind != _AUTHORIZATION:
            return _unsent(Failed(FailureClass.REFUSED, "no_id", "PayPal's id of the authorization is not known"))
        if fault := _unwritable(capture.amount_minor, capture.currency):
            return _unsent(fault)
        content = {
            "amount": _money(capture.amount_minor, capture.currency),
            "invoice_id": str(capture.reference),
            "final_capture": True,
        }
        path = f"/v2/payments/authorizations/{authorization_id}/capture"
        said, seen, exchange = self._post(path, content, f"{capture.reference}-c", capture.send_by)
        if not isinstance(said, dict):
            return Reply(said, seen)
        if exchange.status in (200, 201):
            return Reply(_capture_outcome(said, Operation.CAPTURE), seen)
        return Reply(_error_outcome(exchange, said, _CAPTURE_ISSUES), seen)

    def void(self, void: Void) -> Reply[Outcome]:
        """Undo an authorization. A captured sale has no void: Refused(CANNOT_VOID) without asking (R11)."""
        known = self._known(void.sale_transaction_id, void.send_by)
        if isinstance(known, Reply):
            return known
        kind, authorization_id = known
        if kind == _CAPTURE:
            message = "a captured payment is never voided: refund it"
            return _unsent(Refused(VoidRefusal.CANNOT_VOID, "captured", message, authorization_id))
        if kind != _AUTHORIZATION:
            return _unsent(Failed(FailureClass.REFUSED, "no_id", "PayPal's id of the authorization is not known"))
        path = f"/v2/payments/authorizations/{authorization_id}/void"
        said, seen, exchange = self._post(path, {}, f"{void.reference}-v", void.send_by)
        if exchange.status == 204:
            return Reply(Approved(_AUTHORIZATION + authorization_id, "VOIDED"), Evidence(204, {}))
        if not isinstance(said, dict):
            return Reply(said, seen)
        if exchange.status == 200:
            return Reply(_voided(said, authorization_id), seen)
        if exchange.status == 422 and _issues(said) == [_VOIDED_BEFORE]:
            return Reply(Approved(_AUTHORIZATION + authorization_id, _VOIDED_BEFORE, "it was voided before"), seen)
        return Reply(_error_outcome(exchange, said, _VOID_ISSUES), seen)

    def refund(self, refund: Refund) -> Reply[Outcome]:
        """Return money; PENDING is accepted, not final (R17)."""
        if fault := _unwritable(refund.amount_minor, refund.currency):
            return _unsent(fault)
        known = self._known(refund.sale_transaction_id, refund.send_by)
        if isinstance(known, Reply):
            return known
        kind, capture_id = known
        if kind != _CAPTURE:
            return _unsent(Failed(FailureClass.REFUSED, "no_id", "PayPal's id of the capture is not known"))
        reference = str(refund.reference)
        amount = _money(refund.amount_minor, refund.currency)
        content = {"amount": amount, "invoice_id": reference, "custom_id": reference}
        path = f"/v2/payments/captures/{capture_id}/refund"
        said, seen, exchange = self._post(path, content, f"{reference}-r", refund.send_by)
        if not isinstance(said, dict):
            return Reply(said, seen)
        if exchange.status in (200, 201):
            return Reply(_refund_outcome(said), seen)
        return Reply(_error_outcome(exchange, said, _REFUND_ISSUES), seen)

    def inquire(self, inquiry: Inquiry) -> Reply[Sighting]:
        """Look the operation up by PayPal's id; a sale without one by its order, which our reference finds (B13)."""
        match inquiry.operation:
            case Operation.REFUND:
                return self._look_for_refund(inquiry)
            case Operation.VOID:
                return self._look_for_void(inquiry)
            case Operation.CAPTURE:
                return self._look_for_capture(inquiry)
            case Operation.SALE | Operation.AUTHORIZATION:
                return self._look_for_charge(inquiry)

    def health(self, send_by: float) -> Reply[Health]:
        """Fetch a token, which every call needs."""
        token, seen = self._tokens.fetch(send_by)
        if isinstance(token, Failed):
            return Reply(Unwell(token.code, token.message, token.failure is FailureClass.GATEWAY_SETUP), seen)
        return Reply(Healthy(), seen)

    # -- a sale, step by step

    def confirm_notice(self, question: bytes, send_by: float) -> bool | None:
        """Whether PayPal says that a notice is its own (gateways/notices.py); None where it says nothing of it."""
        said, _, exchange = self._call("POST", "/v1/notifications/verify-webhook-signature", question, send_by, {})
        if not isinstance(said, Mapping) or exchange.status != 200:
            return None
        return {"SUCCESS": True, "FAILURE": False}.get(at(said, "verification_status"))

    def _charge(self, operation: Operation, sale: Sale) -> Reply[Outcome]:
        refusal = unsupported(sale, TRAITS) or _unwritable(sale.amount_minor, sale.currency) or _unknown_card(sale)
        if refusal:
            return _unsent(refusal)
        content = {"payment_source": {"card": _card_fields(sale)}}
        order_id, seen = self._opened(operation, sale)
        if not isinstance(order_id, str):
            return Reply(order_id, seen)
        step, key = ("capture", "c") if operation is Operation.SALE else ("authorize", "a")
        path = f"/v2/checkout/orders/{order_id}/{step}"
        said, seen, exchange = self._post(path, content, f"{sale.reference}-{key}", sale.send_by)
        if isinstance(said, Unknown):
            return Reply(Unknown(said.code, said.message, _ORDER + order_id), seen)
        if isinstance(said, Failed):
            return Reply(said, seen)
        if exchange.status in (200, 201):
            return Reply(_charged(said, operation, order_id), seen)
        return Reply(_error_outcome(exchange, said, _CHARGE_ISSUES, _ORDER + order_id), seen)

    def _opened(self, operation: Operation, asked: Sale | Inquiry) -> tuple[str | Failed | Unknown, Evidence]:
        """The id of the order that belongs to our reference, made where there is none: no money moves by it.

        Else why there is none. Failed then proves that nothing was charged by this send.
        """
        content = _order_fields(operation, asked)
        said, seen, exchange = self._post("/v2/checkout/orders", content, f"{asked.reference}-o", asked.send_by)
        if isinstance(said, Failed):
            return said, seen
        if isinstance(said, dict) and exchange.status in (200, 201) and _ID.fullmatch(at(said, "id")):
            if _is_ours(said, asked):
                return at(said, "id"), seen
            message = "the reference belongs to an order of another amount"
            return Unknown("duplicate_of_other", message, _ORDER + at(said, "id")), seen
        outcome = _error_outcome(exchange, said, _CHARGE_ISSUES) if isinstance(said, dict) else said
        if isinstance(outcome, Failed):
            return outcome, seen
        if isinstance(outcome, Unknown) and outcome.code in _LOOK_FIRST:
            return outcome, seen
        failure = FailureClass.BUSY if isinstance(outcome, Unknown) else FailureClass.REFUSED
        return Failed(failure, outcome.code, f"no order was opened, so nothing was charged: {outcome.message}"), seen

    def _known(self, transaction_id: str, send_by: float) -> tuple[str, str] | Reply[Outcome]:
        """As _parted; in place of an order, its one payment. Where it cannot be looked at, nothing is sent."""
        kind, order_id = _parted(transaction_id)
        if kind != _ORDER:
            return kind, order_id
        said, seen, exchange = self._get(f"/v2/checkout/orders/{order_id}", send_by)
        if isinstance(said, Failed):
            return Reply(said, seen)
        if isinstance(said, Unknown) or exchange.status != 200 or at(said, "id") != order_id:
            code = said.code if isinstance(said, Unknown) else _code(exchange, said)
            message = "the order could not be looked at, so nothing was sent"
            return Reply(Failed(FailureClass.BUSY, code, message), seen)
        authorizations, captures = (_payments(said, of) for of in (Operation.AUTHORIZATION, Operation.SALE))
        if not authorizations and len(captures) == 1:
            return _parted(at(captures[0], "id"))
        if not captures and len(authorizations) == 1:
            return _parted(_AUTHORIZATION + at(authorizations[0], "id"))
        return "", ""

    # -- inquiries, step by step

    def _look_for_charge(self, inquiry: Inquiry) -> Reply[Sighting]:
        kind, known_id = _parted(inquiry.transaction_id)
        if kind == _CAPTURE:
            return self._look_at(f"captures/{known_id}", inquiry)
        if kind == _AUTHORIZATION:
            return self._look_at(f"authorizations/{known_id}", inquiry)
        if kind == _ORDER:
            return self._look_at_order(known_id, inquiry)
        if datetime.now(UTC) - inquiry.started_at > TRAITS.replay_window - _CLOCKS:
            message = "PayPal finds an order by our reference for 6 hours: a person must look it up"
            return Reply(NoAnswer("too_old", message), Evidence(None, {}))
        order_id, seen = self._opened(inquiry.operation, inquiry)
        if isinstance(order_id, str):
            return self._look_at_order(order_id, inquiry)
        if isinstance(order_id, Unknown) and order_id.transaction_id:
            return Reply(Found(order_id, Standing.LIMBO), seen)
        return Reply(NoAnswer(order_id.code, order_id.message), seen)

    def _look_at(self, path: str, inquiry: Inquiry) -> Reply[Sighting]:
        """A capture, authorization or refund by its own id."""
        said, seen, exchange = self._get(f"/v2/payments/{path}", inquiry.send_by)
        if not isinstance(said, dict):
            return Reply(NoAnswer(said.code, said.message), seen)
        if exchange.status != 200:
            return Reply(_no_answer(exchange, said), seen)
        return Reply(_found(said, inquiry), seen)

    def _look_at_order(self, order_id: str, inquiry: Inquiry) -> Reply[Sighting]:
        said, seen, exchange = self._get(f"/v2/checkout/orders/{order_id}", inquiry.send_by)
        if not isinstance(said, dict):
            return Reply(NoAnswer(said.code, said.message), seen)
        if exchange.status != 200 or at(said, "id") != order_id:
            return Reply(_no_answer(exchange, said), seen)
        return Reply(_found_in(said, inquiry), seen)

    def _look_for_void(self, inquiry: Inquiry) -> Reply[Sighting]:
        kind, authorization_id = _parted(inquiry.sale_transaction_id)
        if kind == _CAPTURE:
            return Reply(Absent("captured", "a captured payment is never voided"), Evidence(None, {}))
        if kind != _AUTHORIZATION:
            return _no_id("the authorization")
        return self._look_at(f"authorizations/{authorization_id}", inquiry)

    def _look_for_capture(self, inquiry: Inquiry) -> Reply[Sighting]:
        kind, capture_id = _parted(inquiry.transaction_id)
        if kind == _CAPTURE:
            return self._look_at(f"captures/{capture_id}", inquiry)
        kind, authorization_id = _parted(inquiry.sale_transaction_id)
        if kind != _AUTHORIZATION:
            return _no_id("the authorization")
        return self._look_in_the_order_of(f"authorizations/{authorization_id}", inquiry, "CREATED")

    def _look_for_refund(self, inquiry: Inquiry) -> Reply[Sighting]:
        kind, refund_id = _parted(inquiry.transaction_id)
        if kind == _CAPTURE:
            return self._look_at(f"refunds/{refund_id}", inquiry)
        kind, capture_id = _parted(inquiry.sale_transaction_id)
        if kind == _ORDER:
            return self._look_at_order(capture_id, inquiry)
        if kind != _CAPTURE:
            return _no_id("the capture")
        return self._look_in_the_order_of(f"captures/{capture_id}", inquiry, "COMPLETED")

    def _look_in_the_order_of(self, path: str, inquiry: Inquiry, untouched: str) -> Reply[Sighting]:
        """What was made of an authorization or capture: its order lists it, under our reference."""
        said, seen, exchange = self._get(f"/v2/payments/{path}", inquiry.send_by)
        if not isinstance(said, dict):
            return Reply(NoAnswer(said.code, said.message), seen)
        if exchange.status != 200:
            return Reply(_no_answer(exchange, said), seen)
        order_id = at(said, "supplementary_data.related_ids.order_id")
        if _ID.fullmatch(order_id):
            return self._look_at_order(order_id, inquiry)
        status = word(at(said, "status"), 40)
        if status == untouched:
            return Reply(Absent(status, f"no {inquiry.operation} was made of it"), seen)
        return Reply(NoAnswer("no_order", f"it is {status}, and its order is not told"), seen)

    # -- requests

    def _post(self, path: str, content: Mapping[str, Any], key: str, send_by: float) -> _Said:
        body = json.dumps(content, separators=(",", ":")).encode("ascii")
        return self._call("POST", path, body, send_by, {"PayPal-Request-Id": key, "Prefer": "return=representation"})

    def _get(self, path: str, send_by: float) -> _Said:
        return self._call("GET", path, b"", send_by, {})

    def _call(self, method: str, path: str, body: bytes, send_by: float, headers: Mapping[str, str]) -> _Said:
        """One call with a token; a token that is not taken (401 does nothing) is renewed once."""
        for again in (False, True):
            token, seen = self._tokens.current(send_by)
            if isinstance(token, Failed):
                return token, seen, _SILENCE
            exchange = self._http.send(method, path, body, send_by, {**headers, "Authorization": f"Bearer {token}"})
            if not isinstance(exchange, Answered) or exchange.status != 401 or again:
                break
            self._tokens.forget(token)
        return _read(exchange, _WORDS)


class _Tokens:
    """The bearer token of this process: fetched when there is none, when it ends soon, or when it was refused.

    A call for which there is no token is not sent at all, whatever the reason (E3).
    """

    def __init__(self, http: HttpClient, client_id: str, client_secret: str) -> None:
        self._http = http
        login = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode("ascii")
        self._headers = {"Authorization": f"Basic {login}", "Content-Type": "application/x-www-form-urlencoded"}
        self._lock = CallLock()
        self._token = ""
        self._good_until = 0.0

    def current(self, send_by: float) -> tuple[str | Failed, Evidence]:
        """A token that is good for a while."""
        with self._lock:
            if self._token and time.monotonic() < self._good_until:
                return self._token, Evidence(None, {})
            return self._fetch(send_by)

    def fetch(self, send_by: float) -> tuple[str | Failed, Evidence]:
        """A new token, whatever there is."""
        with self._lock:
            return self._fetch(send_by)

    def forget(self, token: str) -> None:
        """Never use `token` again; one that another thread has fetched meanwhile stays."""
        with self._lock:
            if self._token == token:
                self._token = ""

    def _fetch(self, send_by: float) -> tuple[str | Failed, Evidence]:
        asked_at = time.monotonic()
        body = b"grant_type=client_credentials"
        said, seen, exchange = _read(
            self._http.send("POST", "/v1/oauth2/token", body, send_by, self._headers), _TOKEN_WORDS
        )
        if isinstance(said, Failed):
            return said, seen
        if isinstance(said, Unknown):
            return Failed(FailureClass.BUSY, said.code, f"no token, so nothing was sent: {said.message}"), seen
        token, seconds = at(said, "access_token"), said.get("expires_in")
        if exchange.status == 200 and re.fullmatch(r"[A-Za-z0-9._~+/=-]{1,8192}", token):
            self._token = token
            self._good_until = asked_at + (seconds if type(seconds) is int else 0) - _TOKEN_SECONDS
            return token, seen
        error = _word(at(said, "error") or at(said, "name")) or f"http_{exchange.status}"
        setup = exchange.status in (400, 401, 403) and error in ("invalid_client", "unauthorized_client")
        failure = FailureClass.GATEWAY_SETUP if setup else FailureClass.BUSY
        return Failed(failure, error, "no token, so nothing was sent", retry_after(exchange)), seen


# ---- builder


def _money(amount_minor: int, currency: str) -> dict[str, str]:
    value = to_decimal(amount_minor, currency)
    return {"currency_code": currency, "value": value.partition(".")[0] if currency in _WHOLE_ONLY else value}


def _unwritable(amount_minor: int, currency: str) -> Failed | None:
    """PayPal takes no part of a unit of some currencies that have such parts: refused, never rounded (B27)."""
    if currency in _WHOLE_ONLY and amount_minor % 10 ** EXPONENTS[currency]:
        return Failed(FailureClass.REFUSED, "amount", f"PayPal takes whole {currency} only")
    return None


def _unknown_card(sale: Sale) -> Failed | None:
    if sale.card is None and not re.fullmatch(r"[0-9a-zA-Z_-]{1,255}", sale.stored_card or ""):
        return Failed(FailureClass.REFUSED, "stored_card", "the stored card is none of PayPal's vault")
    return None


def _order_fields(operation: Operation, asked: Sale | Inquiry) -> dict[str, Any]:
    """The order by what an inquiry knows of it too, so that both find the same one, byte for byte."""
    reference = str(asked.reference)
    unit = {
        "reference_id": "default",
        "custom_id": reference,
        "invoice_id": reference,
        "amount": _money(asked.amount_minor, asked.currency),
    }
    intent = "CAPTURE" if operation is Operation.SALE else "AUTHORIZE"
    return {"intent": intent, "purchase_units": [unit]}


def _card_fields(sale: Sale) -> dict[str, Any]:
    card = sale.card
    if card is None:
        return {"vault_id": sale.stored_card, **_stored_credential(sale)}
    fields: dict[str, Any] = {
        "number": card.number,
        "expiry": f"{card.exp_year:04d}-{card.exp_month:02d}",
        "security_code": "" if sale.unattended else card.security_code or "",
        "name": plain(card.name, 300),
        "billing_address": _address(card),
    }
    if sale.keep_card:
        fields["attributes"] = {"vault": {"store_in_vault": "ON_SUCCESS"}}
    return {name: value for name, value in fields.items() if value} | _stored_credential(sale)


def _address(card: Card) -> dict[str, str]:
    """The billing address; without a country PayPal takes none."""
    fields = {
        "address_line_1": plain(card.street, 300),
        "admin_area_2": plain(card.city, 120),
        "admin_area_1": plain(card.state, 300),
        "postal_code": plain(card.postal_code, 60),
        "country_code": plain(card.country, 2),
    }
    return {name: value for name, value in fields.items() if value} if fields["country_code"] else {}


def _stored_credential(sale: Sale) -> dict[str, Any]:
    """What the networks want to know of a kept card (C4): "card_stored_credential" of Orders v2.

    ONE_TIME and FIRST go with CUSTOMER only, a previous reference with MERCHANT only.
    """
    told = sale.credential
    if told is None:
        return {}
    fields: dict[str, Any] = {
        "payment_initiator": "MERCHANT" if told.unattended else "CUSTOMER",
        "payment_type": "RECURRING" if told.recurring else "UNSCHEDULED",
        "usage": "FIRST" if told.usage is Usage.FIRST else "SUBSEQUENT",
    }
    # Other networks want a date with it, and of a card in its vault PayPal knows it.
    network = "VISA" if sale.card and sale.card.number.startswith("4") else ""
    network = "AMEX" if sale.card and sale.card.number.startswith(("34", "37")) else network
    reference = told.first.network_reference if told.first else ""
    if network and re.fullmatch(r"[0-9A-Za-z]{9,36}", reference):
        fields["previous_network_transaction_reference"] = {"id": reference, "network": network}
    return {"stored_credential": fields}


_CAPTURE: Final = "capture:"


def _parted(transaction_id: str) -> tuple[str, str]:
    """What kind of thing an id of ours names, and PayPal's own id of it; two empty texts where it names none."""
    for kind in (_ORDER, _AUTHORIZATION):
        if transaction_id.startswith(kind):
            bare = transaction_id.removeprefix(kind)
            return (kind, bare) if _ID.fullmatch(bare) else ("", "")
    return (_CAPTURE, transaction_id) if _ID.fullmatch(transaction_id) else ("", "")


def _unsent(outcome: Outcome) -> Reply[Outcome]:
    return Reply(outcome, Evidence(None, {}))


def _no_id(of_what: str) -> Reply[Sighting]:
    return Reply(NoAnswer("no_id", f"PayPal's id of {of_what} is not known"), Evidence(None, {}))


# ---- parser

_Said = tuple[dict[str, Any] | Failed | Unknown, Evidence, Answered]
"""A reply's JSON object, or what there is in its place; the evidence; the reply's status and headers."""

_SILENCE: Final = Answered(0, {}, "")


def _read(exchange: Exchange, words: Vocabulary) -> _Said:
    said, seen = read_json(exchange, words)
    answered = exchange if isinstance(exchange, Answered) else _SILENCE
    if isinstance(said, NotSent):
        return Failed(FailureClass.NOT_SENT, said.code, said.message), seen, answered
    return said, seen, answered


def _word(text: str) -> str:
    """A code as PayPal writes them; nothing where it is something else."""
    return text if re.fullmatch(r"[A-Za-z0-9_]{1,60}", text) else ""


def _issues(said: Mapping[str, Any]) -> list[str]:
    details = said.get("details")
    return [_word(at(detail, "issue")) for detail in details] if isinstance(details, list) else []


def _code(exchange: Answered, said: Mapping[str, Any]) -> str:
    first = next(iter(_issues(said)), "")
    return first or _word(at(said, "name") or at(said, "error")) or f"http_{exchange.status}"


def _message(said: Mapping[str, Any]) -> str:
    """PayPal's words, up to where they would repeat what was sent."""
    text = at(inside(said, "details.0"), "description") or at(said, "message")
    return redact_text(re.split(r'[={"]', text)[0])[:300]


def _error_outcome(
    exchange: Answered, said: Mapping[str, Any], issues: Mapping[str, _Class], transaction_id: str = ""
) -> Outcome:
    """What an error proves, by status, name and issue; the worst of several issues counts."""
    status, name = exchange.status, at(said, "name")
    code, message = _code(exchange, said), _message(said)
    told = _issues(said) or [name]
    if status == 422 and name == "UNPROCESSABLE_ENTITY":
        classes = [_class_of(issue, issues) for issue in told]
        worst = max(range(len(told)), key=lambda place: _badness(classes[place]))
        return _as_outcome(classes[worst], told[worst], message, transaction_id)
    if name in _LOOK_FIRST or _LOOK_FIRST.intersection(told):
        return Unknown(code, message, transaction_id)
    if status == 401 and (name or at(said, "error")):
        return Failed(FailureClass.GATEWAY_SETUP, code, message)
    if status == 429 and name:
        return Failed(FailureClass.BUSY, code, message, retry_after(exchange))
    names, failure = _NAMES.get(status, (frozenset(), FailureClass.REFUSED))
    return Failed(failure, code, message) if name in names else Unknown(code, message, transaction_id)


def _class_of(issue: str, issues: Mapping[str, _Class]) -> _Class | None:
    if issue in issues:
        return issues[issue]
    return next((failure for prefix, failure in _PREFIXES.items() if issue.startswith(prefix)), None)


def _badness(what: _Class | None) -> int:
    match what:
        case None:
            return 4
        case DeclineClass.HARD:
            return 3
        case DeclineClass.NEW_DATA | DeclineClass.OTHER_WAY:
            return 2
        case FailureClass():
            return 0
    return 1


def _as_outcome(what: _Class | None, code: str, message: str, transaction_id: str) -> Outcome:
    match what:
        case FailureClass():
            return Failed(what, code, message)
        case DeclineClass():
            return Declined(what, code, message, transaction_id)
        case VoidRefusal() | RefundRefusal():
            return Refused(what, code, message, transaction_id)
        case None:
            return Unknown(code, message, transaction_id)


def _is_ours(order: Mapping[str, Any], asked: Sale | Inquiry) -> bool:
    """Whether what the order repeats is what was asked: PayPal gives the first one back for a known request id."""
    unit = inside(order, "purchase_units.0")
    currency = at(unit, "amount.currency_code") or asked.currency
    value = at(unit, "amount.value")
    return (
        currency == asked.currency
        and (not value or minor_from(value, currency) == asked.amount_minor)
        and at(unit, "custom_id") in ("", str(asked.reference))
    )


def _charged(order: Mapping[str, Any], operation: Operation, order_id: str) -> Outcome:
    """What the answer to a charge proves. The order's own status decides nothing: its payment's does."""
    ours = _ORDER + order_id
    if at(order, "id") not in ("", order_id):
        return Unknown("duplicate_of_other", "the answer is about another order", ours)
    payments = _payments(order, operation)
    status = word(at(order, "status"), 40)
    if status == "PAYER_ACTION_REQUIRED" and not payments:
        return Declined(DeclineClass.OTHER_WAY, status, "the payer must authenticate", ours)
    if at(order, "id") != order_id or len(payments) != 1:
        return Unknown(status or "incomplete", "no answer that proves anything yet", ours)
    return _payment_outcome(payments[0], order, operation, ours)


def _payments(order: Mapping[str, Any], operation: Operation) -> list[Mapping[str, Any]]:
    lists = {Operation.AUTHORIZATION: "authorizations", Operation.REFUND: "refunds"}
    found = inside(order, f"{_PAYMENTS}.{lists.get(operation, 'captures')}")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _payment_outcome(
    payment: Mapping[str, Any],
    order: Mapping[str, Any],
    operation: Operation,
    ours: str,
    inquired: bool = False,
) -> Outcome:
    if operation is Operation.REFUND:
        return _refund_outcome(payment)
    if operation is Operation.AUTHORIZATION:
        return _authorization_outcome(payment, order, ours, inquired)
    return _capture_outcome(payment, operation, order, ours, inquired)


def _capture_outcome(
    capture: Mapping[str, Any],
    operation: Operation,
    order: Mapping[str, Any] | None = None,
    ours: str = "",
    inquired: bool = False,
) -> Outcome:
    """What a capture's status says; `ours` is by what it can be found where it has no id that can be read."""
    capture_id = at(capture, "id") if _ID.fullmatch(at(capture, "id")) else ours
    status = word(at(capture, "status"), 40)
    match status:
        case "COMPLETED" | "REFUNDED" | "PARTIALLY_REFUNDED":
            if at(capture, "processor_response.response_code") == _NOT_CAPTURED:
                return Held(capture_id, _NOT_CAPTURED, "approved, and not captured: look")
            return _approved(capture, operation, "", ours, order)
        case "DECLINED":
            return _declined(capture, capture_id, inquired)
        case "PENDING":
            return _pending(capture, capture_id)
        case "FAILED" if inquired:
            return Failed(FailureClass.REFUSED, status, "the capture failed")
    return Unknown(status or "incomplete", "no answer that proves anything yet", capture_id)


def _authorization_outcome(
    authorization: Mapping[str, Any], order: Mapping[str, Any] | None, ours: str, inquired: bool
) -> Outcome:
    bare = at(authorization, "id")
    authorization_id = _AUTHORIZATION + bare if _ID.fullmatch(bare) else ours
    status = word(at(authorization, "status"), 40)
    match status:
        case "CREATED":
            return _approved(authorization, Operation.AUTHORIZATION, _AUTHORIZATION, ours, order)
        case "CAPTURED" | "PARTIALLY_CAPTURED" | "VOIDED" if inquired:
            return _approved(authorization, Operation.AUTHORIZATION, _AUTHORIZATION, ours, order)
        case "DENIED":
            return _declined(authorization, authorization_id, inquired)
        case "PENDING":
            return _pending(authorization, authorization_id)
    return Unknown(status or "incomplete", "no answer that proves anything yet", authorization_id)


def _approved(
    payment: Mapping[str, Any], operation: Operation, kind: str, ours: str, order: Mapping[str, Any] | None
) -> Approved | Unknown:
    """The approval with what it repeats (R18); without its id or a readable amount it proves nothing."""
    bare, currency, amount = at(payment, "id"), *_amount(payment)
    if not _ID.fullmatch(bare) or amount is None:
        return Unknown("incomplete", "approved, but the reply's id or amount cannot be read", ours)
    # A capture of an authorization inherits the authorization's custom_id.
    reference = at(payment, "invoice_id") or ("" if operation is Operation.CAPTURE else at(payment, "custom_id"))
    return Approved(
        transaction_id=kind + bare,
        code=plain(at(payment, "processor_response.response_code") or at(payment, "status"), 40),
        amount_minor=amount,
        currency=currency,
        reference=reference or None,
        card_token=plain(at(order, "payment_source.card.attributes.vault.id"), 255) or None,
        network_reference=plain(at(payment, "network_transaction_reference.id"), 60),
    )


def _amount(payment: Mapping[str, Any]) -> tuple[str, int | None]:
    currency = at(payment, "amount.currency_code")
    if currency not in EXPONENTS:
        return currency, None
    return currency, minor_from(at(payment, "amount.value"), currency)


def _declined(payment: Mapping[str, Any], transaction_id: str, inquired: bool) -> Outcome:
    """A decline by the processor's code; the network's advice goes along raw (rules.retry reads it)."""
    code = word(at(payment, "processor_response.response_code"), 10)
    advice = word(at(payment, "processor_response.payment_advice_code"), 10)
    message = "declined by the processor"
    if code == _NOT_CAPTURED:
        return Held(transaction_id, code, "approved, and not captured: look")
    if code in _NEVER_A_VERDICT or (code and code not in _PROCESSOR and not inquired):
        return Unknown(code, "declined, with a code that is no verdict", transaction_id)
    decline = _PROCESSOR.get(code, DeclineClass.SOFT_UNLISTED)
    if isinstance(decline, FailureClass):
        return Failed(decline, code, message)
    return Declined(decline, code or "DECLINED", message, transaction_id, advice)


def _pending(payment: Mapping[str, Any], transaction_id: str) -> Held | Unknown:
    """The payment exists and its money is not sure: never charged again, looked at until it is decided (B22, B79)."""
    reason = word(at(payment, "status_details.reason"), 60)
    if reason in _FOR_A_PERSON:
        return Held(transaction_id, reason, "held at PayPal")
    return Unknown("PENDING", f"pending: {reason}", transaction_id)


def _voided(authorization: Mapping[str, Any], authorization_id: str) -> Outcome:
    status, ours = word(at(authorization, "status"), 40), _AUTHORIZATION + authorization_id
    if status != "VOIDED" or at(authorization, "id") not in ("", authorization_id):
        return Unknown(status or "incomplete", "no answer that proves anything yet", ours)
    currency, amount = _amount(authorization)
    return Approved(ours, status, amount_minor=amount, currency=currency or None)


def _refund_outcome(refund: Mapping[str, Any]) -> Outcome:
    refund_id, status = at(refund, "id"), word(at(refund, "status"), 40)
    if not _ID.fullmatch(refund_id):
        return Unknown(status or "incomplete", "the reply names no refund")
    match status:
        case "COMPLETED" | "PENDING":
            currency, amount = _amount(refund)
            if amount is None:
                return Unknown("incomplete", "accepted, but the reply's amount cannot be read", refund_id)
            return Approved(
                transaction_id=refund_id,
                code=status,
                amount_minor=amount,
                currency=currency,
                reference=at(refund, "invoice_id") or at(refund, "custom_id") or None,
                final=status == "COMPLETED",
            )
        case "FAILED" | "CANCELLED":
            return Refused(RefundRefusal.REFUSED, status, f"the refund is {status}", refund_id)
    return Unknown(status or "incomplete", "no answer that proves anything yet", refund_id)


# ---- what an inquiry saw


def _no_answer(exchange: Answered, said: Mapping[str, Any]) -> NoAnswer:
    """A look-up that failed. What PayPal does not know any more is for a person: it may be the wrong account."""
    return NoAnswer(_code(exchange, said), _message(said))


def _found(payment: Mapping[str, Any], inquiry: Inquiry) -> Sighting:
    """A capture, authorization or refund that was looked up by its own id."""
    if not _ID.fullmatch(at(payment, "id")):
        return NoAnswer("incomplete", "the reply names no payment")
    if inquiry.operation is Operation.VOID:
        return _found_void(payment)
    kind = _parted(inquiry.transaction_id)[0]
    operation = Operation.AUTHORIZATION if kind == _AUTHORIZATION else inquiry.operation
    outcome = _payment_outcome(payment, {}, operation, inquiry.transaction_id, inquired=True)
    return _with_standing(outcome, payment, inquiry)


def _found_void(authorization: Mapping[str, Any]) -> Sighting:
    status = word(at(authorization, "status"), 40)
    if status == "VOIDED":
        return Found(_voided(authorization, at(authorization, "id")), Standing.VOIDED)
    if status in ("CREATED", "CAPTURED", "PARTIALLY_CAPTURED"):
        return Absent(status, "the authorization was not voided")
    return NoAnswer(status or "incomplete", "whether the void was made cannot be told yet")


def _found_in(order: Mapping[str, Any], inquiry: Inquiry) -> Sighting:
    """The one payment of an order that is ours."""
    order_id, status = at(order, "id"), word(at(order, "status"), 40)
    ours = _ORDER + order_id
    payments = _payments(order, inquiry.operation)
    charging = inquiry.operation in (Operation.SALE, Operation.AUTHORIZATION)
    if not charging:
        payments = [one for one in payments if at(one, "invoice_id") == str(inquiry.reference)]
    if len(payments) > 1:
        ids = ", ".join(plain(at(one, "id"), 40) for one in payments)
        return Found(Unknown("found_twice", f"{len(payments)} payments for one reference: {ids}", ours), Standing.LIMBO)
    if payments:
        outcome = _payment_outcome(payments[0], order, inquiry.operation, ours, inquired=True)
        return _with_standing(outcome, payments[0], inquiry)
    if not charging or status in ("CREATED", "APPROVED", "SAVED"):
        return Absent(status, f"the order shows no {inquiry.operation}")
    if status == "PAYER_ACTION_REQUIRED":
        told = Declined(DeclineClass.OTHER_WAY, status, "the payer must authenticate", ours)
        return Found(told, Standing.NOTHING)
    if status == "VOIDED":
        return Found(Failed(FailureClass.REFUSED, status, "the order was voided"), Standing.NOTHING)
    return NoAnswer(status or "incomplete", "an order without the payment that its status tells of")


_STANDINGS: Final[dict[str, Standing]] = {
    # By the status of an approved capture or authorization
    "COMPLETED": Standing.SETTLED,
    "PARTIALLY_REFUNDED": Standing.SETTLED,
    "REFUNDED": Standing.REFUNDED,
    "CREATED": Standing.UNSETTLED,
    "VOIDED": Standing.VOIDED,
    # What was captured is neither to be voided nor refunded: its capture is.
    "CAPTURED": Standing.SETTLING,
    "PARTIALLY_CAPTURED": Standing.SETTLING,
}


def _with_standing(outcome: Outcome, payment: Mapping[str, Any], inquiry: Inquiry) -> Found:
    told = at(payment, "invoice_id") or str(inquiry.reference)
    if told != str(inquiry.reference) and not isinstance(outcome, Approved):
        return Found(Unknown("other_reference", "found another operation", at(payment, "id")), Standing.LIMBO)
    match outcome:
        case Held() | Unknown():
            return Found(outcome, Standing.LIMBO)
        case Approved() if inquiry.operation is Operation.REFUND:
            return Found(outcome, Standing.REFUNDED, outcome.amount_minor)
        case Approved():
            standing = _STANDINGS.get(at(payment, "status"), Standing.LIMBO)
            return Found(outcome, standing, outcome.amount_minor if standing is Standing.REFUNDED else None)
        case Refused():
            return Found(outcome, Standing.SETTLED)
    return Found(outcome, Standing.NOTHING)


GATEWAY: Final = PayPal
