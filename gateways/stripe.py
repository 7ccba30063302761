"""Stripe: PaymentIntents over form-encoded requests and JSON replies, API v1.

Sources, where nothing else is said: docs.stripe.com, "API reference" (payment_intents, refunds, errors,
idempotent_requests), "Decline codes", "Advanced error handling" (low-level errors), "Supported currencies".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus

from gateways.contract import Capture, Inquiry, Operation, Refund, Refunds, Reply, Sale, Traits, Void, Voids
from gateways.http import Answered, Exchange, HttpClient, NotSent
from gateways.issuer_codes import ISSUER_CODES, SOFT, refined
from gateways.wire import TWO_DECIMALS, Vocabulary, at, inside, plain, read_json, retry_after, unsupported, word
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

# ---- traits. MGA, UGX and ISK are left out: Stripe counts them in other units than ISO 4217, and for UGX its pages
# contradict each other. Currencies that its page does not list with three decimals are left out too.

_NO_DECIMALS: Final = frozenset("BIF CLP DJF GNF JPY KMF KRW PYG RWF VND VUV XAF XOF XPF".split())
_THREE_DECIMALS: Final = frozenset("BHD JOD KWD OMR TND".split())  # the last digit must be 0

TRAITS: Final = Traits(
    currencies=(TWO_DECIMALS - {"MGA"}) | _NO_DECIMALS | _THREE_DECIMALS,
    amount_minor_max=99_999_999,  # eight digits
    appears_within=timedelta(minutes=10),  # lists are consistent at once: our caution
    replay_window=timedelta(hours=23),  # an idempotency key is kept for at least 24 hours: less a margin for sending
    voids=Voids.NEVER,
    void_undoes_latest=False,
    refunds=Refunds.MANY,
    refund_within=None,
    keeps_cards=True,
    authorizes=True,
)

# ---- wire words

_VERSION: Final = "2025-01-27.acacia"  # the first with advice_code and network_transaction_id (its changelog)
_PAGE: Final = 100  # the most that one list answer holds
_PAGES_MAX: Final = 50
_EARLIER: Final = timedelta(minutes=10)  # how far our clock may be ahead of Stripe's
_CAN_BE_SENT: Final = TRAITS.replay_window + timedelta(hours=1)
_EXPANDED: Final = ("expand[]", "latest_charge")
_OF_INTENT: Final = ("id", "latest_charge", "latest_charge.id", "metadata.merchant_reference")
_WORDS: Final = Vocabulary(
    decisive=frozenset(),
    ids=frozenset(
        ["payment_intent", "charge", "error.charge", *_OF_INTENT, *(f"error.payment_intent.{n}" for n in _OF_INTENT)]
    ),
    shown=frozenset(
        """object status amount amount_received amount_capturable currency failure_reason cancellation_reason has_more
    latest_charge.status latest_charge.amount_refunded latest_charge.disputed
    latest_charge.payment_method_details.card.network_transaction_id
    latest_charge.payment_method_details.card.authorization_code last_payment_error.code
    last_payment_error.decline_code last_payment_error.advice_code last_payment_error.network_decline_code
    last_payment_error.network_advice_code error.type error.code error.decline_code error.advice_code
    error.network_decline_code error.network_advice_code error.param error.payment_intent.status""".split()
    ),
)
_CANCEL_TOO: Final = "cancel"
_CUSTOMER_TOO: Final = "customer"

# ---- code tables. By status and body only what is listed is Declined or Failed; the rest is Unknown.

_DECLINES: Final[dict[str, DeclineClass]] = {
    # by decline_code, else code; not listed is SOFT_UNLISTED
    **dict.fromkeys(
        ("insufficient_funds", "card_velocity_exceeded", "withdrawal_count_limit_exceeded"), DeclineClass.SOFT_DATED
    ),
    **dict.fromkeys(
        ("generic_decline", "do_not_honor", "no_action_taken", "try_again_later"), DeclineClass.SOFT_GENERIC
    ),
    **dict.fromkeys(
        ("issuer_not_available", "processing_error", "reenter_transaction", "approve_with_id"),
        DeclineClass.SOFT_TECHNICAL,
    ),
    **dict.fromkeys(
        """call_issuer card_not_supported currency_not_supported invalid_amount authentication_required incorrect_pin
    invalid_pin pin_try_exceeded offline_pin_required online_or_offline_pin_required""".split(),
        DeclineClass.OTHER_WAY,
    ),
    **dict.fromkeys(
        """expired_card invalid_account new_account_information_available incorrect_number invalid_number
    invalid_expiry_month invalid_expiry_year incorrect_cvc invalid_cvc incorrect_zip""".split(),
        DeclineClass.NEW_DATA,
    ),
    **dict.fromkeys(
        """lost_card stolen_card pickup_card restricted_card fraudulent merchant_blacklist stop_payment_order
    service_not_allowed transaction_not_allowed not_permitted security_violation revocation_of_authorization
    revocation_of_all_authorizations do_not_try_again testmode_decline""".split(),
        DeclineClass.HARD,
    ),
}
_INQUIRE_FIRST: Final = "duplicate_transaction"  # a decline only when an inquiry says so too
_MOVING: Final = frozenset({"succeeded", "requires_capture", "processing"})
_UNEXPECTED_STATE: Final = "payment_intent_unexpected_state"
_NUMBERS_NOT_ALLOWED: Final = "card numbers directly"  # the account was not cleared to send them: only the text says so


# ---- verbs


class Stripe:
    """The gateway Stripe (contract.Gateway). `account` is the account's id or name: it only tells accounts apart."""

    name = "stripe"
    traits = TRAITS

    def __init__(
        self,
        url: str,
        secret_key: str,
        account: str,
        pool_size: int,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        self.account = account
        headers = {
            "Authorization": f"Bearer {secret_key}",
            "Stripe-Version": _VERSION,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        self._http = HttpClient(url.rstrip("/"), headers, pool_size, connect_timeout, read_timeout)

    def sale(self, sale: Sale) -> Reply[Outcome]:
        """Charge the card, or the stored card `cus_…/pm_…` (C4)."""
        return self._charge(Operation.SALE, sale)

    def authorize(self, sale: Sale) -> Reply[Outcome]:
        """Reserve the amount."""
        return self._charge(Operation.AUTHORIZATION, sale)

    def capture(self, capture: Capture) -> Reply[Outcome]:
        """Take what was authorized, once; the rest of it is released."""
        if refusal := _without_id(capture.authorization_transaction_id):
            return refusal
        path = f"/payment_intents/{quote(capture.authorization_transaction_id, safe='')}/capture"
        fields = [("amount_to_capture", str(capture.amount_minor)), _EXPANDED]
        said, seen, exchange = self._post(path, fields, str(capture.reference), capture.send_by)
        if not isinstance(said, dict):
            return Reply(said, seen)
        if exchange.status == 200:
            outcome = _intent_outcome(said, Operation.CAPTURE)
            if isinstance(outcome, Approved) and outcome.reference == str(capture.authorization_reference):
                # The intent repeats the authorization's reference, not the capture's.
                return Reply(replace(outcome, reference=None), seen)
            return Reply(outcome, seen)
        return Reply(_error_outcome(exchange, said, _MOVING - {"requires_capture"}), seen)

    def void(self, void: Void) -> Reply[Outcome]:
        """Cancel an authorization. A sale is final at once: Refused(CANNOT_VOID), by the state that the reply tells."""
        if refusal := _without_id(void.sale_transaction_id):
            return refusal
        said, seen, exchange = self._cancel(void.sale_transaction_id, str(void.reference), void.send_by)
        if not isinstance(said, dict):
            return Reply(said, seen)
        if exchange.status == 200:
            return Reply(_cancelled(said), seen)
        if at(said, "error.code") == _UNEXPECTED_STATE:
            return Reply(_not_cancelled(said["error"]), seen)
        return Reply(_error_outcome(exchange, said), seen)

    def refund(self, refund: Refund) -> Reply[Outcome]:
        """Return money; `pending` is accepted, not final (R17)."""
        if refusal := _without_id(refund.sale_transaction_id):
            return refusal
        fields = [
            ("payment_intent", refund.sale_transaction_id),
            ("amount", str(refund.amount_minor)),
            ("metadata[merchant_reference]", str(refund.reference)),
        ]
        said, seen, exchange = self._post("/refunds", fields, str(refund.reference), refund.send_by)
        if not isinstance(said, dict):
            return Reply(said, seen)
        if exchange.status == 200:
            return Reply(_refund_outcome(said), seen)
        return Reply(_refund_error(exchange, said), seen)

    def inquire(self, inquiry: Inquiry) -> Reply[Sighting]:
        """Look the operation up: by Stripe's id, else by our reference in a list of what came since it began (B13)."""
        match inquiry.operation:
            case Operation.REFUND:
                return self._look_for_refund(inquiry)
            case Operation.VOID | Operation.CAPTURE:
                if not inquiry.sale_transaction_id:
                    return Reply(NoAnswer("no_id", "Stripe's id of the sale is not known"), Evidence(None, {}))
                return self._look_at(inquiry.sale_transaction_id, inquiry)
            case Operation.SALE | Operation.AUTHORIZATION:
                if inquiry.transaction_id:
                    return self._look_at(inquiry.transaction_id, inquiry)
                begun = inquiry.started_at
                span = {"created[gte]": begun - _EARLIER, "created[lte]": begun + _CAN_BE_SENT}
                query = [(name, str(int(moment.timestamp()))) for name, moment in span.items()]
                found = self._listed("/payment_intents", query, inquiry)
                return found if isinstance(found, Reply) else self._look_at(at(found, "id"), inquiry)

    def health(self, send_by: float) -> Reply[Health]:
        """Ask for the list that inquiries need, one intent of it."""
        said, seen, exchange = self._get("/payment_intents", [("limit", "1")], send_by)
        if not isinstance(said, dict):
            return Reply(Unwell(said.code, said.message), seen)
        if exchange.status == 200 and isinstance(said.get("data"), list):
            return Reply(Healthy(), seen)
        setup = exchange.status in (401, 403) and "error" in said
        return Reply(Unwell(_code(said.get("error")) or f"http_{exchange.status}", _message(said), setup), seen)

    # -- a sale, step by step

    def _charge(self, operation: Operation, sale: Sale) -> Reply[Outcome]:
        if refusal := unsupported(sale, TRAITS) or _unwritable(sale):
            return Reply(refusal, Evidence(None, {}))
        customer = ""
        if sale.card and sale.keep_card:
            made = self._customer(sale)
            if isinstance(made, Reply):
                return made
            customer = made
        fields = _sale_fields(operation, sale, customer)
        said, seen, exchange = self._post("/payment_intents", fields, str(sale.reference), sale.send_by)
        if not isinstance(said, dict):
            return Reply(said, seen)
        if of_other := _of_other(exchange, said, sale):
            return Reply(of_other, seen)
        waiting = said if exchange.status == 200 else inside(said, "error.payment_intent")
        if at(waiting, "status") == "requires_action":
            return self._give_up(at(waiting, "id"), sale, seen)
        outcome = _intent_outcome(said, operation) if exchange.status == 200 else _error_outcome(exchange, said)
        if isinstance(outcome, Approved) and not outcome.reference:
            outcome = replace(outcome, repeated=_is_replay(exchange))
        return Reply(outcome, seen)

    def _customer(self, sale: Sale) -> str | Reply[Outcome]:
        """A customer to keep the card under (C4), the same one at every send; or why the sale is not sent at all."""
        fields = [("metadata[merchant_reference]", str(sale.reference))]
        key = f"{sale.reference}-{_CUSTOMER_TOO}"
        said, seen, exchange = self._post("/customers", fields, key, sale.send_by)
        if isinstance(said, Failed):
            return Reply(said, seen)
        if isinstance(said, dict) and exchange.status == 200 and at(said, "id").startswith("cus_"):
            return at(said, "id")
        failed = _error_outcome(exchange, said) if isinstance(said, dict) else said
        if isinstance(failed, Failed):
            return Reply(failed, seen)
        message = f"the card is to be kept, and no customer could be made for it: {failed.message}"
        return Reply(Failed(FailureClass.BUSY, failed.code, message), seen)

    def _give_up(self, intent_id: str, sale: Sale, seen: Evidence) -> Reply[Outcome]:
        """An intent that waits for the payer is cancelled, so that it can never charge; then it is a decline."""
        told = ("requires_action", "the payer must authenticate")
        unsure: Reply[Outcome] = Reply(Unknown(*told, intent_id), seen)
        if not _is_intent_id(intent_id):
            return unsure
        said, _, exchange = self._cancel(intent_id, f"{sale.reference}-{_CANCEL_TOO}", sale.send_by)
        if not isinstance(said, dict) or exchange.status != 200 or not isinstance(_cancelled(said), Approved):
            return unsure
        return Reply(Declined(DeclineClass.OTHER_WAY, *told, intent_id), seen)

    # -- an inquiry, step by step

    def _look_at(self, intent_id: str, inquiry: Inquiry) -> Reply[Sighting]:
        path = f"/payment_intents/{quote(intent_id, safe='')}"
        said, seen, exchange = self._get(path, [_EXPANDED], inquiry.send_by)
        if not isinstance(said, dict):
            return Reply(NoAnswer(said.code, said.message), seen)
        if exchange.status != 200:
            return Reply(_no_answer(exchange, said), seen)
        return Reply(_found(said, inquiry), seen)

    def _look_for_refund(self, inquiry: Inquiry) -> Reply[Sighting]:
        if inquiry.transaction_id:
            path = f"/refunds/{quote(inquiry.transaction_id, safe='')}"
            said, seen, exchange = self._get(path, [], inquiry.send_by)
            if not isinstance(said, dict):
                return Reply(NoAnswer(said.code, said.message), seen)
            if exchange.status != 200:
                return Reply(_no_answer(exchange, said), seen)
            return Reply(_found_refund(said), seen)
        if not inquiry.sale_transaction_id:
            return Reply(NoAnswer("no_id", "Stripe's id of the sale is not known"), Evidence(None, {}))
        found = self._listed("/refunds", [("payment_intent", inquiry.sale_transaction_id)], inquiry)
        if isinstance(found, Reply):
            return found
        return Reply(_found_refund(found), Evidence(200, _evidence_of(found)))

    def _listed(
        self, path: str, query: Sequence[tuple[str, str]], inquiry: Inquiry
    ) -> dict[str, Any] | Reply[Sighting]:
        """The one object of a list that carries our reference; else that there is none, or that it is not known."""
        matches: list[dict[str, Any]] = []
        listed, after = 0, ""
        for _ in range(_PAGES_MAX):
            page = [*query, ("limit", str(_PAGE)), *([("starting_after", after)] if after else [])]
            said, seen, exchange = self._get(path, page, inquiry.send_by)
            if not isinstance(said, dict):
                return Reply(NoAnswer(said.code, said.message), seen)
            data, more = said.get("data"), said.get("has_more")
            if exchange.status != 200 or not isinstance(data, list) or not isinstance(more, bool):
                return Reply(_no_answer(exchange, said), seen)
            listed += len(data)
            matches += [one for one in data if at(one, "metadata.merchant_reference") == str(inquiry.reference)]
            after = at(data[-1], "id") if data else ""
            if not more:
                break
            if not after:
                return Reply(NoAnswer("incomplete", "a page of the list names no last object"), seen)
        else:
            return Reply(NoAnswer("too_many", f"not found among the latest {listed}, and there are more"), seen)
        counted = Evidence(200, {"listed": str(listed), "matching": str(len(matches))})
        if not matches:
            return Reply(Absent("not_listed", f"not among the {listed} of that time"), counted)
        if len(matches) > 1:
            ids = ", ".join(plain(at(one, "id"), 40) for one in matches)
            message = f"{len(matches)} objects carry the reference: {ids}"
            return Reply(Found(Unknown("found_twice", message), Standing.LIMBO), counted)
        return matches[0]

    # -- requests

    def _cancel(self, intent_id: str, key: str, send_by: float) -> _Said:
        return self._post(f"/payment_intents/{quote(intent_id, safe='')}/cancel", [_EXPANDED], key, send_by)

    def _post(self, path: str, fields: Sequence[tuple[str, str]], key: str, send_by: float) -> _Said:
        body = _encoded(fields).encode("ascii")
        return _read(self._http.send("POST", path, body, send_by, {"Idempotency-Key": key}))

    def _get(self, path: str, query: Sequence[tuple[str, str]], send_by: float) -> _Said:
        return _read(self._http.send("GET", f"{path}?{_encoded(query)}" if query else path, b"", send_by))


# ---- builder

_name_quoted: Final = lru_cache(maxsize=128)(quote_plus)
"""The same few names in every request; values are never kept."""


def _encoded(fields: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{_name_quoted(name)}={quote_plus(value)}" for name, value in fields)


def _sale_fields(operation: Operation, sale: Sale, customer: str) -> list[tuple[str, str]]:
    fields = [
        ("amount", str(sale.amount_minor)),
        ("currency", sale.currency.lower()),
        ("confirm", "true"),
        ("capture_method", "automatic" if operation is Operation.SALE else "manual"),
        ("error_on_requires_action", "true"),
        ("payment_method_types[]", "card"),
        ("metadata[merchant_reference]", str(sale.reference)),
        ("metadata[invoice_number]", plain(sale.invoice_number, 100)),
        *_card_fields(sale, customer),
        # Whoever agreed to have the card kept was there: one call says the one or the other.
        ("off_session", "true" if sale.unattended and not customer else ""),
        _EXPANDED,
    ]
    return [(name, value) for name, value in fields if value]


def _card_fields(sale: Sale, customer: str) -> list[tuple[str, str]]:
    card = sale.card
    if card is None:
        kept_by, slash, method = (sale.stored_card or "").partition("/")
        return [("customer", kept_by), ("payment_method", method)] if slash else [("payment_method", kept_by)]
    method, billing = "payment_method_data", "payment_method_data[billing_details]"
    return [
        (f"{method}[type]", "card"),
        (f"{method}[card][number]", card.number),
        (f"{method}[card][exp_month]", f"{card.exp_month:d}"),
        (f"{method}[card][exp_year]", f"{card.exp_year:d}"),
        (f"{method}[card][cvc]", "" if sale.unattended else card.security_code or ""),
        (f"{billing}[name]", plain(card.name, 100)),
        (f"{billing}[address][line1]", plain(card.street, 100)),
        (f"{billing}[address][city]", plain(card.city, 60)),
        (f"{billing}[address][state]", plain(card.state, 60)),
        (f"{billing}[address][postal_code]", plain(card.postal_code, 20)),
        (f"{billing}[address][country]", plain(card.country, 2)),
        ("customer", customer),
        ("setup_future_usage", "off_session" if customer else ""),
    ]


def _unwritable(sale: Sale) -> Failed | None:
    """What the traits cannot say: an amount of three decimals ends in 0, and a stored card is Stripe's own."""
    if sale.currency in _THREE_DECIMALS and sale.amount_minor % 10:
        return Failed(FailureClass.REFUSED, "amount", f"the last digit of an amount in {sale.currency} must be 0")
    if sale.card is None and not re.fullmatch(
        r"(cus_[A-Za-z0-9_]+/)?(pm|card|src)_[A-Za-z0-9_]+", sale.stored_card or ""
    ):
        return Failed(FailureClass.REFUSED, "stored_card", "the stored card is none of Stripe's: cus_…/pm_…")
    return None


def _without_id(transaction_id: str) -> Reply[Outcome] | None:
    if transaction_id:
        return None
    return Reply(Failed(FailureClass.REFUSED, "no_id", "Stripe's id of the sale is not known"), Evidence(None, {}))


def _is_intent_id(text: str) -> bool:
    return re.fullmatch(r"pi_[A-Za-z0-9_]{1,250}", text) is not None


# ---- parser

_Said = tuple[dict[str, Any] | Failed | Unknown, Evidence, Answered]
"""A reply's JSON object, or what there is in its place; the evidence; the reply's status and headers."""

_SILENCE: Final = Answered(0, {}, "")


def _read(exchange: Exchange) -> _Said:
    said, seen = read_json(exchange, _WORDS)
    answered = exchange if isinstance(exchange, Answered) else _SILENCE
    if isinstance(said, NotSent):
        return Failed(FailureClass.NOT_SENT, said.code, said.message), seen, answered
    return said, seen, answered


def _code(error: Any) -> str:
    return word(at(error, "decline_code") or at(error, "code") or at(error, "type"), 60)


def _message(said: Mapping[str, Any]) -> str:
    """Stripe's words, up to where they would repeat a value that was sent."""
    return redact_text(at(said, "error.message").partition("=")[0])[:300]


def _is_replay(exchange: Answered) -> bool:
    return exchange.headers.get("Idempotent-Replayed") == "true"


def _of_other(exchange: Answered, said: Mapping[str, Any], sale: Sale) -> Unknown | None:
    """B08: the stored answer to another operation, given back for this one."""
    intent = said if "error" not in said else inside(said, "error.payment_intent")
    reference = at(intent, "metadata.merchant_reference")
    if not _is_replay(exchange) or reference in ("", str(sale.reference)):
        return None
    return Unknown("duplicate_of_other", "the answer to another operation, given back", plain(at(intent, "id"), 60))


def _error_outcome(exchange: Answered, said: Mapping[str, Any], moving: frozenset[str] = _MOVING) -> Outcome:
    """What an error proves, by status and type; one about an intent in a state that is `moving` proves nothing."""
    error = said.get("error")
    kind, code = at(error, "type"), _code(error) or f"http_{exchange.status}"
    intent = inside(error, "payment_intent")
    intent_id = plain(at(intent, "id"), 60)
    unknown = Unknown(code, _message(said), intent_id)
    if not isinstance(error, dict) or at(intent, "status") in moving:
        return unknown
    match exchange.status, kind:
        case 402, "card_error":
            return _declined(error, intent_id)
        case ((400 | 404), "invalid_request_error"):
            setup = _NUMBERS_NOT_ALLOWED in at(error, "message")
            return Failed(FailureClass.GATEWAY_SETUP if setup else FailureClass.REFUSED, code, _message(said))
        case ((401 | 403), _):
            return Failed(FailureClass.GATEWAY_SETUP, code, _message(said))
        case 429, _:
            # The limiter, and the lock on an object, stand before anything that moves money.
            return Failed(FailureClass.BUSY, code, _message(said), retry_after(exchange))
        case _:
            return unknown


def _declined(error: Mapping[str, Any], intent_id: str, inquired: bool = False) -> Outcome:
    """By advice_code, else decline_code, else code; then by the issuer's own code, which softens nothing.

    `try_again_later` makes soft what the table calls another way or new data, but never what may not be retried.
    """
    code, message = _code(error), _message({"error": error})
    if not at(error, "code") and not at(error, "decline_code"):
        # The payer would have to authenticate, which error_on_requires_action made an error.
        return Declined(DeclineClass.OTHER_WAY, "requires_action", message, intent_id)
    if code == _INQUIRE_FIRST and not inquired:
        return Unknown(code, message, intent_id)
    decline = _DECLINES.get(code, DeclineClass.SOFT_UNLISTED)
    match at(error, "advice_code"):
        case "do_not_try_again":
            decline = DeclineClass.HARD
        case "confirm_card_data" if decline is not DeclineClass.HARD:
            decline = DeclineClass.NEW_DATA
        case "try_again_later" if decline is not DeclineClass.HARD and decline not in SOFT:
            decline = DeclineClass.SOFT_GENERIC
    issuer_code = word(at(error, "network_decline_code"), 10)
    final = refined(decline, issuer_code)
    code = issuer_code if issuer_code in ISSUER_CODES else code
    if isinstance(final, FailureClass):
        return Failed(final, code, message)
    return Declined(final, code, message, intent_id, word(at(error, "network_advice_code"), 10))


def _intent_outcome(intent: Mapping[str, Any], operation: Operation, inquired: bool = False) -> Outcome:
    """What an intent's status says about the sale, authorization or capture that made or took it."""
    intent_id, status = plain(at(intent, "id"), 255), at(intent, "status")
    error = intent.get("last_payment_error")
    match status:
        case "succeeded" if operation is Operation.AUTHORIZATION and inquired:
            return _approved(intent, "amount")
        case "succeeded" if operation is Operation.AUTHORIZATION:
            return Held(intent_id, status, "only authorized, and answered as captured: look")
        case "succeeded":
            return _approved(intent, "amount_received")
        case "requires_capture" if operation is Operation.AUTHORIZATION:
            return _approved(intent, "amount_capturable")
        case "requires_capture" if operation is Operation.SALE:
            return Held(intent_id, status, "to be charged, and answered as only authorized: look")
        case "requires_payment_method" if isinstance(error, dict) and _is_intent_id(intent_id):
            return _declined(error, intent_id, inquired)
    return Unknown(plain(status, 60) or "incomplete", "no answer that proves anything yet", intent_id)


def _approved(intent: Mapping[str, Any], amount_field: str) -> Approved | Unknown:
    """The approval with what it repeats (R18); without its id, amount or currency it proves nothing."""
    intent_id, amount = at(intent, "id"), intent.get(amount_field)
    currency = at(intent, "currency").upper()
    if not _is_intent_id(intent_id) or type(amount) is not int or not currency:
        return Unknown(
            "incomplete", f"approved, but the reply's id, {amount_field} or currency cannot be read", intent_id
        )
    card = inside(intent, "latest_charge.payment_method_details.card")
    customer, method = at(intent, "customer"), at(intent, "payment_method")
    return Approved(
        transaction_id=intent_id,
        code=at(intent, "status"),
        approval_code=plain(at(card, "authorization_code"), 20),
        amount_minor=amount,
        currency=currency,
        reference=at(intent, "metadata.merchant_reference") or None,
        card_token=f"{customer}/{method}" if customer and method else None,
        network_reference=plain(at(card, "network_transaction_id"), 60),
    )


def _cancelled(intent: Mapping[str, Any]) -> Outcome:
    if at(intent, "status") != "canceled":
        return Unknown(plain(at(intent, "status"), 60) or "incomplete", "the intent is not cancelled", at(intent, "id"))
    return _approved(intent, "amount")


def _not_cancelled(error: Mapping[str, Any]) -> Outcome:
    """Why an intent was not cancelled, by its state, whatever the message says."""
    status, intent_id = at(error, "payment_intent.status"), plain(at(error, "payment_intent.id"), 60)
    message = _message({"error": error})
    match status:
        case "succeeded":
            return Refused(VoidRefusal.CANNOT_VOID, _UNEXPECTED_STATE, message, intent_id)
        case "canceled":
            return Approved(intent_id, "canceled", "it was cancelled before")
        case _:
            return Unknown(plain(status, 60) or _UNEXPECTED_STATE, message, intent_id)


def _refund_outcome(refund: Mapping[str, Any]) -> Outcome:
    refund_id, status, amount = at(refund, "id"), at(refund, "status"), refund.get("amount")
    if not re.fullmatch(r"re_[A-Za-z0-9_]{1,250}|pyr_[A-Za-z0-9_]{1,250}", refund_id):
        return Unknown("incomplete", "the reply names no refund")
    match status:
        case "succeeded" | "pending" if type(amount) is int and at(refund, "currency"):
            return Approved(
                transaction_id=refund_id,
                code=status,
                amount_minor=amount,
                currency=at(refund, "currency").upper(),
                reference=at(refund, "metadata.merchant_reference") or None,
                final=status == "succeeded",
            )
        case "failed" | "canceled":
            reason = plain(at(refund, "failure_reason"), 60) or status
            return Refused(RefundRefusal.REFUSED, reason, f"the refund is {status}", refund_id)
        case _:
            return Unknown(plain(status, 60) or "incomplete", "no answer that proves anything yet", refund_id)


def _refund_error(exchange: Answered, said: Mapping[str, Any]) -> Outcome:
    """A refund that is not made: returned before, disputed, or more than what is left."""
    outcome = _error_outcome(exchange, said)
    if not isinstance(outcome, Failed) or outcome.failure is not FailureClass.REFUSED:
        return outcome
    if outcome.code == "charge_already_refunded":
        return Refused(RefundRefusal.ALREADY, outcome.code, outcome.message)
    if outcome.code == "charge_disputed" or at(said, "error.param") == "amount":
        return Refused(RefundRefusal.REFUSED, outcome.code, outcome.message)
    return outcome


# ---- what an inquiry saw


def _no_answer(exchange: Answered, said: Mapping[str, Any]) -> Sighting:
    """Why a look-up says nothing; only an object that Stripe does not know is absent."""
    error = said.get("error")
    if exchange.status == 404 and at(error, "code") == "resource_missing":
        return Absent("resource_missing", _message(said))
    return NoAnswer(_code(error) or f"http_{exchange.status}", _message(said))


def _found(intent: Mapping[str, Any], inquiry: Inquiry) -> Sighting:
    if not _is_intent_id(at(intent, "id")):
        return NoAnswer("incomplete", "the reply names no payment intent")
    status = at(intent, "status")
    if inquiry.operation is Operation.VOID:
        return Found(_cancelled(intent), Standing.VOIDED) if status == "canceled" else _stands(status, "void")
    if inquiry.operation is Operation.CAPTURE and status == "requires_capture":
        return Absent(status, "the authorization is not captured")
    if status == "canceled":
        return _found_cancelled(intent, inquiry.operation)
    outcome = _intent_outcome(intent, inquiry.operation, inquired=True)
    if inquiry.operation is Operation.CAPTURE and isinstance(outcome, Approved):
        outcome = replace(outcome, reference=None)
    elif at(intent, "metadata.merchant_reference") not in ("", str(inquiry.reference)) and not isinstance(
        outcome, Approved
    ):
        return Found(Unknown("other_reference", "found another operation", at(intent, "id")), Standing.LIMBO)
    return _with_standing(outcome, intent)


def _stands(status: str, what: str) -> Sighting:
    if status in ("succeeded", "requires_capture"):
        return Absent(status, f"the {what} was not made")
    return NoAnswer(plain(status, 60) or "incomplete", f"whether the {what} was made cannot be told yet")


def _found_cancelled(intent: Mapping[str, Any], operation: Operation) -> Found:
    """A cancelled intent: an authorization that was released, or a sale that never came about."""
    error, intent_id = intent.get("last_payment_error"), at(intent, "id")
    if at(intent, "latest_charge.status") == "succeeded":
        if operation is Operation.CAPTURE:
            return Found(Failed(FailureClass.REFUSED, "canceled", "the authorization was cancelled"), Standing.VOIDED)
        return Found(_approved(intent, "amount"), Standing.VOIDED)
    if isinstance(error, dict):
        return Found(_declined(error, intent_id, inquired=True), Standing.NOTHING)
    if isinstance(intent.get("latest_charge"), str):
        return Found(
            Unknown("canceled", "cancelled, and whether it was authorized is not told", intent_id), Standing.LIMBO
        )
    return Found(Failed(FailureClass.REFUSED, "canceled", "cancelled before anything was charged"), Standing.NOTHING)


def _with_standing(outcome: Outcome, intent: Mapping[str, Any]) -> Found:
    """The outcome with where its money stands, as far as the charge tells."""
    if isinstance(outcome, Held | Unknown):
        return Found(outcome, Standing.LIMBO)
    if not isinstance(outcome, Approved):
        return Found(outcome, Standing.NOTHING)
    if at(intent, "status") == "requires_capture":
        return Found(outcome, Standing.UNSETTLED)
    refunded = inside(intent, "latest_charge.amount_refunded")
    returned = refunded if type(refunded) is int and refunded > 0 else None
    if inside(intent, "latest_charge.disputed") is True:
        return Found(outcome, Standing.LIMBO, returned)
    if inside(intent, "latest_charge.refunded") is True:
        return Found(outcome, Standing.REFUNDED, returned)
    return Found(outcome, Standing.SETTLED, returned)


def _found_refund(refund: Mapping[str, Any]) -> Found:
    outcome = _refund_outcome(refund)
    match outcome:
        case Approved():
            return Found(outcome, Standing.REFUNDED, outcome.amount_minor)
        case Refused():
            return Found(outcome, Standing.SETTLED)
        case _:
            return Found(outcome, Standing.LIMBO)


def _evidence_of(refund: Mapping[str, Any]) -> dict[str, str]:
    names = ("id", "status", "amount", "currency", "failure_reason", "metadata.merchant_reference")
    return {name: redact_text(plain(at(refund, name), 255)) for name in names if at(refund, name)}


GATEWAY: Final = Stripe
