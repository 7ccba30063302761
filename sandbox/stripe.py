"""Stripe: PaymentIntents and refunds, form-encoded requests, JSON answers, idempotency keys.

Where the published pages leave a behaviour open, the choice made here is listed in `docs/gateways/stripe.md`.
"""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, unquote

from sandbox.books import Books, State, Transaction
from sandbox.cards import acceptable, declines_first
from sandbox.clock import moment
from sandbox.contract import Behaviour, Call, Page, masked
from sandbox.http import Request

AMOUNT_MAX: Final = 99_999_999
OFF_SESSION: Final = frozenset({"true", "false", "one_off", "recurring"})
AMOUNT_MIN: Final = 50
PAGE_MAX: Final = 100
KEY_MAX: Final = 255
NAME_KEY: Final = "(api key)"
REPLAYED: Final = "(replayed)"


@dataclass(frozen=True, slots=True)
class Decline:
    """What an issuer's no looks like: error code, decline code, the network's code, Stripe's advice."""

    code: str
    decline_code: str = ""
    network: str = ""
    advice: str = ""
    message: str = "Your card was declined."


GENERIC: Final = Decline("card_declined", "generic_decline", "05", "try_again_later")
FUNDS: Final = Decline(
    "card_declined", "insufficient_funds", "51", "try_again_later", "Your card has insufficient funds."
)
AUTHENTICATION: Final = Decline(
    "authentication_required", "authentication_required", message="Your card was declined. It requires authentication."
)
DECLINES: Final = {
    "4000000000000002": GENERIC,
    "4000000000009995": FUNDS,
    "4000000000009987": Decline("card_declined", "lost_card", "41", "do_not_try_again"),
    "4000000000009979": Decline("card_declined", "stolen_card", "43", "do_not_try_again"),
    "4000000000000069": Decline("expired_card", "", "54", "confirm_card_data", "Your card has expired."),
    "4000000000000127": Decline(
        "incorrect_cvc", "", "N7", "confirm_card_data", "Your card's security code is incorrect."
    ),
    "4000000000000119": Decline("processing_error", "", "", "try_again_later", "An error occurred while processing."),
    "4000000000006975": Decline("card_declined", "card_velocity_exceeded", "65", "try_again_later"),
    "4000000000000341": GENERIC,
    "4100000000000019": Decline("card_declined", "fraudulent"),
}
"""Documented test cards that are declined, by number."""

ASKS_THE_PAYER: Final = "4000002760003184"
REFUND_FAILS_LATER: Final = "4000000000005126"
REFUND_PENDS: Final = "4000000000007726"

METHODS: Final = {
    "pm_card_visa": "4242424242424242",
    "pm_card_visa_debit": "4000056655665556",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_amex": "378282246310005",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_visa_chargeDeclinedLostCard": "4000000000009987",
    "pm_card_visa_chargeDeclinedStolenCard": "4000000000009979",
    "pm_card_chargeDeclinedExpiredCard": "4000000000000069",
    "pm_card_chargeDeclinedIncorrectCvc": "4000000000000127",
    "pm_card_chargeDeclinedProcessingError": "4000000000000119",
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": "4000000000006975",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_authenticationRequired": "4000002760003184",
}
"""Documented payment methods that stand for a test card."""

ERRORS: Final = {
    "idempotency_key_in_use": (409, "idempotency_error"),
    "lock_timeout": (429, "invalid_request_error"),
    "rate_limit": (429, "invalid_request_error"),
    "api_error": (500, "api_error"),
    "api_key_expired": (401, "invalid_request_error"),
    "more_permissions_required": (403, "invalid_request_error"),
    "external_dependency_failed": (424, "api_error"),
}
"""Verdicts that a scenario may impose below the level of a decline: HTTP status and type. Nothing is booked."""

ZERO_DECIMALS: Final = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
THREE_DECIMALS: Final = frozenset("BHD JOD KWD OMR TND".split())

CHARGING: Final = frozenset({"sale", "authorization"})
_BRANDS: Final = {"4": "visa", "5": "mastercard", "2": "mastercard", "3": "amex", "6": "discover"}
_SECRET: Final = re.compile(r"((?:\[|%5B)(number|cvc)(?:\]|%5D)=)([^&]*)", re.IGNORECASE)


class ApiError(Exception):
    """An answer in place of a result: HTTP status and the error object. `executed`: it is stored under its key."""

    def __init__(self, status: int, error: Mapping[str, object], executed: bool = True) -> None:
        super().__init__(error.get("code") or error.get("type"))
        self.status = status
        self.executed = executed
        self.error = {name: value for name, value in error.items() if value not in ("", None)}


def refused(message: str, code: str = "", param: str = "", status: int = 400, executed: bool = False) -> ApiError:
    """A request that is wrong."""
    return ApiError(
        status, {"type": "invalid_request_error", "code": code, "param": param, "message": message}, executed
    )


class Stripe:
    """The Stripe server. `any_amount` lifts the smallest amount."""

    name = "stripe"
    content_type = "application/json"
    paths: tuple[str, ...] = ("/stripe", "/stripe/")
    credentials: ClassVar[Mapping[str, str]] = {"secret_key": "sandbox-secret", "webhook_secret": "whsec_sandbox"}

    def __init__(self, books: Books, credentials: Mapping[str, str], behaviour: Behaviour) -> None:
        self._books = books
        self._access = credentials
        self._behaviour = behaviour
        self._declines = {books.hash_card(number): decline for number, decline in DECLINES.items()}
        self._asks = books.hash_card(ASKS_THE_PAYER)
        self._fails_later = books.hash_card(REFUND_FAILS_LATER)
        self._pends = books.hash_card(REFUND_PENDS)

    # -- reading

    def read(self, request: Request) -> Call | Page:
        path = request.path.removeprefix("/stripe").strip("/").removeprefix("v1/")
        text = request.query if request.method == "GET" else request.body.decode("utf-8", "replace")
        values = dict(parse_qsl(text, keep_blank_values=True))
        get = values.get
        call = Call(
            self.name,
            _operation(request.method, path, values),
            get("metadata[merchant_reference]", ""),
            request.header("idempotency-key"),
            get("payment_method_data[card][number]", ""),
            _whole(get("amount", "") or get("amount_to_capture", "")),
            get("currency", "").upper(),
            values,
            path=path,
        )
        values[NAME_KEY] = _api_key(request.header("authorization"))
        if request.method == "POST" and not request.header("content-type").startswith("application/x-www-form"):
            call.fault = "Content-Type must be application/x-www-form-urlencoded"
        return call

    def target(self, call: Call) -> str:
        found = self._intent(call.fields.get("payment_intent", "") or call.path.split("/")[1:2][0])
        return found.id if found else ""

    # -- answering

    def answer(self, call: Call) -> str:
        try:
            body = self._answer(call)
        except ApiError as error:
            call.status = error.status
            body = _error(error)
        return body

    def _answer(self, call: Call) -> str:
        if call.fields.pop(NAME_KEY, "") != self._access["secret_key"]:
            message = "Invalid API Key provided."
            raise refused(message, status=401)
        if call.fault or not call.operation:
            raise refused(call.fault or f"Unrecognized request URL: /v1/{call.path}", status=400 if call.fault else 404)
        if call.operation == "inquiry":
            self._force_error(call)
            return json.dumps(self._look_up(call))
        if len(call.request_id) > KEY_MAX:
            raise refused(f"Idempotency-Key is longer than {KEY_MAX} characters")
        digest = json.dumps([call.path, sorted(call.fields.items())])
        digest = self._books.hash_card(digest)
        earlier = self._books.by_request(self.name, call.request_id) if call.request_id else None
        if earlier is not None:
            return self._replay(call, json.loads(earlier.reply), digest)
        self._force_error(call)
        return self._run(call, digest)

    def _force_error(self, call: Call) -> None:
        """The verdict of a scenario that keeps the request from being executed."""
        if call.force is not None and call.force.code in ERRORS:
            status, kind = ERRORS[call.force.code]
            message = call.force.message or "The sandbox was told to say so."
            error = {"type": kind, "code": call.force.code, "message": message, **call.force.fields}
            raise ApiError(status, error, executed=False)

    def _replay(self, call: Call, stored: Mapping[str, Any], digest: str) -> str:
        if stored["digest"] != digest:
            message = "Keys for idempotent requests can only be used with the same parameters and endpoint."
            raise ApiError(400, {"type": "idempotency_error", "message": message}, executed=False)
        call.fields[REPLAYED] = "true"
        call.status = stored["status"]
        return json.dumps(_expanded(stored["body"], call.fields))

    def _run(self, call: Call, digest: str) -> str:
        new = Transaction(
            self.name,
            _id("pi" if call.operation in CHARGING else "re" if call.operation == "refund" else "req"),
            call.operation,
            call.reference,
            call.request_id,
            booked_at=self._books.clock.now(),
        )
        changed: tuple[Transaction, ...] = ()
        try:
            body, changed = self._do(call, new)
            call.status = 200
        except ApiError as error:
            if not error.executed:
                raise
            call.status = error.status
            body = json.loads(_error(error))
        new.reply = json.dumps({"digest": digest, "status": call.status, "body": body})
        self._books.book(new, *changed)
        return json.dumps(_expanded(body, call.fields))

    def _do(self, call: Call, new: Transaction) -> tuple[dict[str, Any], tuple[Transaction, ...]]:
        match call.operation, call.path.split("/"):
            case (("sale" | "authorization"), _):
                return self._charge(call, new), ()
            case "void", [_, intent_id, _]:
                return self._cancel(call, new, self._needed(intent_id))
            case "capture", [_, intent_id, _]:
                return self._capture(call, new, self._needed(intent_id))
            case "refund", _:
                return self._refund(call, new, self._needed(call.fields.get("payment_intent", "")))
            case _:
                new.state = State.DONE
                return {"id": _id("cus"), "object": "customer", "metadata": _metadata(call.fields)}, ()

    # -- payment intents

    def _charge(self, call: Call, new: Transaction) -> dict[str, Any]:
        get = call.fields.get
        self._check(call)
        new.amount, new.currency = call.amount or 0, call.currency
        method = self._method(call, new)
        new.credential = _told(call)
        new.order_id = method
        if get("confirm") != "true":
            new.state = State.REFUSED
            return self._made(call, new, method, "requires_confirmation")
        decline = self._declines.get(new.card_hash)
        if decline is None and declines_first(call.card) > self._books.declines_of(new.card_hash):
            decline = FUNDS
        forced = call.force.code if call.force is not None else ""
        if forced in ("processing", "requires_action"):
            return self._made(call, new, method, forced)
        if forced and forced != "succeeded":
            decline = Decline("card_declined", forced, message=call.force.message) if call.force else None
        if decline is None and new.card_hash == self._asks:
            if get("off_session") in (None, "", "false") and get("error_on_requires_action") != "true":
                return self._made(call, new, method, "requires_action")
            decline = AUTHENTICATION if get("off_session") == "true" else Decline("", message="requires action")
        if decline is not None:
            raise self._declined(call, new, method, decline)
        new.code = "succeeded" if new.operation == "sale" else "requires_capture"
        new.message = "approved"
        new.auth_code = f"{secrets.randbelow(900_000) + 100_000}"
        new.state = State.SETTLED if new.operation == "sale" else State.AUTHORIZED
        new.settled_at = new.booked_at if new.operation == "sale" else 0.0
        return self._made(call, new, method, new.code)

    def _check(self, call: Call) -> None:
        get = call.fields.get
        if call.amount is None:
            raise refused(f"Invalid integer: {get('amount', '')}", "parameter_invalid_integer", "amount")
        if len(call.currency) != 3 or get("currency", "") != get("currency", "").lower():
            raise refused(f"Invalid currency: {get('currency', '')}", "parameter_invalid", "currency")
        if call.amount > AMOUNT_MAX:
            raise refused("Amount must be no more than 999,999.99", "amount_too_large", "amount")
        if call.amount < (1 if self._behaviour.any_amount else AMOUNT_MIN):
            raise refused("Amount is below the minimum charge", "amount_too_small", "amount")
        if call.currency in THREE_DECIMALS and call.amount % 10:
            raise refused("The last digit must be 0", "parameter_invalid", "amount")
        if get("payment_method_types[]") != "card" and get("automatic_payment_methods[allow_redirects]") != "never":
            raise refused("A return_url must be specified", "parameter_missing", "return_url")
        if get("off_session") and get("confirm") != "true":
            raise refused("off_session can only be used with confirm", "parameter_invalid", "off_session")
        if get("off_session", "false") not in OFF_SESSION:
            raise refused(f"Invalid off_session: {get('off_session')}", "parameter_invalid", "off_session")
        if get("setup_future_usage", "") not in ("", "on_session", "off_session"):
            raise refused("Invalid setup_future_usage", "parameter_invalid", "setup_future_usage")
        if get("off_session", "false") != "false" and get("setup_future_usage"):
            # The words that artsy/exchange (pull request 484) and tastyigniter/ti-ext-payregister (38) report.
            raise refused(
                "You cannot confirm with the `off_session` parameter when `setup_future_usage` is also set on the "
                "PaymentIntent because you cannot set up future usages when processing payments off-session.",
                param="off_session",
            )
        if get("customer") and not get("customer", "").startswith("cus_"):
            raise refused(f"No such customer: '{get('customer')}'", "resource_missing", "customer")

    def _method(self, call: Call, new: Transaction) -> str:
        """The payment method's id; whose card it is goes into the transaction."""
        get = call.fields.get
        wanted, number = get("payment_method", ""), call.card
        if wanted in METHODS:
            number, call.card = METHODS[wanted], METHODS[wanted]
        elif wanted:
            kept = self._books.by_order(self.name, wanted)
            if kept is None:
                raise refused(f"No such PaymentMethod: '{wanted}'", "resource_missing", "payment_method")
            if not self._attached(kept, get("customer", "")):
                raise refused("The PaymentMethod was not attached to this customer", param="payment_method")
            new.card_hash, new.last4, new.expiry = kept.card_hash, kept.last4, kept.expiry
            return wanted
        elif get("payment_method_data[type]") != "card":
            raise refused("You must provide a payment_method", "parameter_missing", "payment_method")
        if not acceptable(number):
            raise _unreadable_card("incorrect_number", "number", "Your card number is incorrect.")
        new.card_hash, new.last4 = self._books.hash_card(number), number[-4:]
        if wanted:
            return wanted
        month, year = get("payment_method_data[card][exp_month]", ""), get("payment_method_data[card][exp_year]", "")
        self._check_expiry(month, year, new.booked_at)
        new.expiry = f"{month.zfill(2)}{year[-2:]}"
        return _id("pm")

    def _check_expiry(self, month: str, year: str, now: float) -> None:
        today = moment(now)
        if not (month.isdigit() and 1 <= int(month) <= 12):
            raise _unreadable_card("invalid_expiry_month", "exp_month", "Your card's expiration month is invalid.")
        if not year.isdigit() or (int(year) % 100 + 2000, int(month)) < (today.year, today.month):
            raise _unreadable_card("invalid_expiry_year", "exp_year", "Your card's expiration year is invalid.")

    def _attached(self, kept: Transaction, customer: str) -> bool:
        intent = self._view(kept)
        return bool(customer) and intent["customer"] == customer and intent["setup_future_usage"] is not None

    def _made(self, call: Call, new: Transaction, method: str, status: str) -> dict[str, Any]:
        get = call.fields.get
        charged = status in ("succeeded", "requires_capture")
        charge = {
            "id": _id("ch"),
            "object": "charge",
            "status": "succeeded" if charged else "failed",
            "amount_refunded": 0,
            "refunded": False,
            "disputed": False,
            "payment_method_details": {
                "card": {
                    "brand": _BRANDS.get(call.card[:1], "visa"),
                    "last4": new.last4,
                    "authorization_code": new.auth_code or None,
                    "network_transaction_id": f"{secrets.randbits(50):015d}" if charged else None,
                }
            },
        }
        attempted = charged or status == "requires_payment_method"
        return {
            "id": new.id,
            "object": "payment_intent",
            "amount": new.amount,
            "amount_capturable": new.amount if status == "requires_capture" else 0,
            "amount_received": new.amount if status == "succeeded" else 0,
            "capture_method": get("capture_method", "automatic"),
            "created": int(new.booked_at),
            "currency": new.currency.lower(),
            "customer": get("customer") or None,
            "last_payment_error": None,
            "latest_charge": charge if attempted else None,
            "metadata": _metadata(call.fields),
            "payment_method": method,
            "setup_future_usage": get("setup_future_usage") or None,
            "status": status,
        }

    def _declined(self, call: Call, new: Transaction, method: str, decline: Decline) -> ApiError:
        new.state = State.DECLINED
        new.code = decline.decline_code or decline.code or "requires_action"
        new.message = decline.message
        told = {
            "type": "card_error",
            "code": decline.code,
            "decline_code": decline.decline_code,
            "network_decline_code": decline.network,
            "advice_code": decline.advice,
            "message": decline.message,
            **(call.force.fields if call.force is not None else {}),
        }
        told = {name: value for name, value in told.items() if value}
        intent = self._made(call, new, method, "requires_payment_method")
        intent["last_payment_error"] = told
        return ApiError(402, {**told, "charge": intent["latest_charge"]["id"], "payment_intent": intent})

    def _view(self, one: Transaction) -> dict[str, Any]:
        """A payment intent as it is now."""
        body = json.loads(one.reply)["body"]
        intent: dict[str, Any] = body["error"]["payment_intent"] if "error" in body else body
        intent["id"] = one.id
        intent["metadata"]["merchant_reference"] = one.reference
        charge = intent["latest_charge"]
        if one.code == "canceled":
            intent.update(status="canceled", amount_capturable=0)
        elif one.state == State.CAPTURED:
            taken = self._taken(one)
            intent.update(
                status="succeeded", amount_capturable=0, amount_received=taken.amount if taken else one.amount
            )
        if charge is not None:
            taken = self._taken(one)
            sum_taken = taken.amount if taken else one.amount
            charge["amount_refunded"] = one.refunded
            charge["refunded"] = 0 < one.refunded == sum_taken
        return intent

    def _taken(self, one: Transaction) -> Transaction | None:
        """The capture of an authorization."""
        if one.operation != "authorization":
            return None
        found = self._books.search(gateway=self.name, operation="capture", original=one.id, code="succeeded")
        return next(iter(found), None)

    def _intent(self, intent_id: str) -> Transaction | None:
        found = self._books.find(self.name, intent_id)
        return found if found is not None and found.operation in CHARGING else None

    def _needed(self, intent_id: str) -> Transaction:
        found = self._intent(intent_id)
        if found is None:
            raise refused(f"No such payment_intent: '{intent_id}'", "resource_missing", "intent", 404)
        return found

    def _unexpected(self, one: Transaction, what: str) -> ApiError:
        intent = self._view(one)
        error = {
            "type": "invalid_request_error",
            "code": "payment_intent_unexpected_state",
            "message": f"You cannot {what} this PaymentIntent because it has a status of {intent['status']}.",
            "payment_intent": intent,
        }
        return ApiError(400, error)

    def _related(self, new: Transaction, one: Transaction) -> None:
        new.original, new.amount, new.currency = one.id, one.amount, one.currency
        new.card_hash, new.last4, new.expiry = one.card_hash, one.last4, one.expiry

    def _forced_refusal(self, call: Call, one: Transaction) -> None:
        """A refusal that a scenario imposes on a void, refund or capture."""
        if call.force is not None and call.force.code not in ("succeeded", "pending", "failed"):
            error = {
                "type": "invalid_request_error",
                "code": call.force.code,
                "message": call.force.message or "The sandbox was told to say so.",
                "payment_intent": self._view(one),
                **call.force.fields,
            }
            raise ApiError(400, error)

    def _cancel(self, call: Call, new: Transaction, one: Transaction) -> tuple[dict[str, Any], tuple[Transaction, ...]]:
        self._related(new, one)
        self._forced_refusal(call, one)
        if self._view(one)["status"] in ("succeeded", "canceled", "processing"):
            raise self._unexpected(one, "cancel")
        if one.state == State.AUTHORIZED:
            one.state = State.VOIDED
        one.code, new.state, new.code = "canceled", State.DONE, "canceled"
        return self._view(one), (one,)

    def _capture(
        self, call: Call, new: Transaction, one: Transaction
    ) -> tuple[dict[str, Any], tuple[Transaction, ...]]:
        self._related(new, one)
        self._forced_refusal(call, one)
        if one.state != State.AUTHORIZED:
            raise self._unexpected(one, "capture")
        amount = call.amount if "amount_to_capture" in call.fields else one.amount
        if amount is None or not 0 < amount <= one.amount:
            message = "The provided amount is greater than what can be captured"
            raise refused(message, "amount_too_large", "amount_to_capture", executed=True)
        new.amount, new.state, new.code = amount, State.SETTLED, "succeeded"
        new.settled_at = new.booked_at
        one.state = State.CAPTURED
        intent = self._view(one)
        intent["amount_received"] = amount
        return intent, (one,)

    # -- refunds

    def _refund(self, call: Call, new: Transaction, one: Transaction) -> tuple[dict[str, Any], tuple[Transaction, ...]]:
        self._related(new, one)
        charge = self._taken(one) or one
        left = charge.amount - one.refunded
        new.amount = left if call.amount is None and "amount" not in call.fields else call.amount or 0
        self._forced_refusal(call, one)
        if not charge.standing:
            raise refused(
                "This PaymentIntent has no successful charge to refund.", param="payment_intent", executed=True
            )
        if not left:
            message = "Charge has already been refunded."
            raise refused(message, "charge_already_refunded", executed=True)
        if not 0 < new.amount <= left:
            message = f"Refund amount is greater than unrefunded amount on charge ({left})"
            raise refused(message, param="amount", executed=True)
        forced = call.force.code if call.force is not None else ""
        new.state = State.REFUSED if forced == "failed" else State.APPROVED
        new.code = forced or ("pending" if self._pending(new) else "succeeded")
        if new.code != "failed":
            one.refunded += new.amount
            if charge is not one:
                charge.refunded = one.refunded
        body = {
            "id": new.id,
            "object": "refund",
            "amount": new.amount,
            "charge": self._view(one)["latest_charge"]["id"],
            "created": int(new.booked_at),
            "currency": new.currency.lower(),
            "metadata": _metadata(call.fields),
            "payment_intent": one.id,
            "status": new.code,
        }
        return body | ({"failure_reason": "declined"} if forced == "failed" else {}), (one, charge)

    def _pending(self, refund: Transaction) -> bool:
        return self._behaviour.returns_pending or refund.card_hash == self._pends

    def _refund_view(self, one: Transaction) -> dict[str, Any]:
        """A refund as it is now: what was settled since has become final, or has failed."""
        body: dict[str, Any] = json.loads(one.reply)["body"]
        if one.state == State.SETTLED and one.card_hash == self._fails_later:
            self._undo(one)
        if one.state == State.SETTLED and one.code == "pending":
            one.code = "succeeded"
            self._books.save(one)
        body.update(id=one.id, status=one.code)
        body["metadata"]["merchant_reference"] = one.reference
        return body | ({"failure_reason": "expired_or_canceled_card"} if one.code == "failed" else {})

    def _undo(self, refund: Transaction) -> None:
        """A refund that failed after it was accepted: the money is the merchant's again."""
        sale = self._intent(refund.original)
        refund.state, refund.code = State.REFUSED, "failed"
        self._books.save(refund)
        if sale is not None:
            for one in filter(None, (sale, self._taken(sale))):
                one.refunded -= refund.amount
                self._books.save(one)

    # -- inquiry

    def _look_up(self, call: Call) -> dict[str, Any]:
        match call.path.split("/"):
            case ["payment_intents"]:
                return self._list(call, self._intents(call))
            case ["refunds"]:
                return self._list(call, self._refunds(call))
            case ["payment_intents", intent_id]:
                one = self._needed(intent_id)
                one.inquiries += 1
                return _expanded(self._view(one), call.fields)
            case ["refunds", refund_id]:
                found = self._books.find(self.name, refund_id)
                if found is not None and found.operation == "refund" and found.amount:
                    return self._refund_view(found)
                raise refused(f"No such refund: '{refund_id}'", "resource_missing", "id", 404)
        raise refused(f"Unrecognized request URL (GET: /v1/{call.path})", status=404)

    def _intents(self, call: Call) -> Iterator[dict[str, Any]]:
        after, before = (_whole(call.fields.get(f"created[{name}]", "")) for name in ("gte", "lte"))
        for one in reversed(list(self._books.search(gateway=self.name))):
            created = int(one.booked_at)
            if one.operation not in CHARGING or not one.reply or (before is not None and created > before):
                continue
            if after is not None and created < after:
                continue
            yield _expanded(self._view(one), call.fields)

    def _refunds(self, call: Call) -> Iterator[dict[str, Any]]:
        wanted = {"original": call.fields["payment_intent"]} if call.fields.get("payment_intent") else {}
        for one in reversed(list(self._books.search(gateway=self.name, operation="refund", **wanted))):
            if "error" not in json.loads(one.reply)["body"]:
                yield self._refund_view(one)

    def _list(self, call: Call, objects: Iterator[dict[str, Any]]) -> dict[str, Any]:
        limit = _whole(call.fields.get("limit", "10"))
        if limit is None or not 1 <= limit <= PAGE_MAX:
            raise refused(f"limit must be 1 to {PAGE_MAX}", "parameter_invalid_integer", "limit")
        after = call.fields.get("starting_after", "")
        if after:
            for one in objects:
                if one["id"] == after:
                    break
            else:
                raise refused(f"No such object: '{after}'", "resource_missing", "starting_after")
        page = [one for one, _ in zip(objects, range(limit + 1), strict=False)]
        return {
            "object": "list",
            "url": f"/v1/{call.path}",
            "has_more": len(page) > limit,
            "data": page[:limit],
        }

    # -- for scenarios and the request log

    def foreign(self, call: Call, transaction_id: str) -> str:
        found = self._books.find(self.name, transaction_id)
        if found is None:
            raise LookupError(f"stripe has no transaction {transaction_id}")
        call.fields[REPLAYED] = "true"
        return json.dumps(json.loads(found.reply)["body"])

    def verdict(self, code: str, message: str) -> dict[str, str]:
        del message
        return {"status": code}

    def edit(self, body: str, changes: dict[str, str | None]) -> str:
        """Values by dotted paths, such as `metadata.merchant_reference`; where a number stood, digits are one."""
        answer = json.loads(body)
        for path, value in changes.items():
            *way, last = path.split(".")
            place = answer
            for name in way:
                place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
            if value is None:
                place.pop(last, None)
            else:
                number = type(place.get(last)) is int and value.isdigit()
                place[last] = int(value) if number else value
        return json.dumps(answer)

    def headers(self, call: Call) -> str:
        lines = f"Request-Id: {_id('req')}\r\n"
        if call.request_id:
            lines += f"Idempotency-Key: {call.request_id}\r\n"
        return lines + ("Idempotent-Replayed: true\r\n" if REPLAYED in call.fields else "")

    def encode(self, body: str) -> bytes:
        return body.encode("latin-1")

    def decide(self, held: Transaction, accepted: bool) -> None:
        held.code = "succeeded" if accepted else "canceled"

    def redact(self, body: bytes) -> str:
        def mask(found: re.Match[str]) -> str:
            value = unquote(found[3])
            return found[1] + (masked(value) if found[2].lower() == "number" else "*" * len(value))

        return _SECRET.sub(mask, body.decode("latin-1"))


def _operation(method: str, path: str, values: Mapping[str, str]) -> str:
    match method, path.split("/"):
        case "POST", ["payment_intents"]:
            return "authorization" if values.get("capture_method") == "manual" else "sale"
        case "POST", ["payment_intents", _, "cancel"]:
            return "void"
        case "POST", ["payment_intents", _, "capture"]:
            return "capture"
        case "POST", ["refunds"]:
            return "refund"
        case "POST", ["customers"]:
            return "other"
        case "GET", ["payment_intents" | "refunds", *_]:
            return "inquiry"
    return ""


def _api_key(header: str) -> str:
    """The key of a Bearer or Basic header."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return value
    try:
        return base64.b64decode(value, validate=True).decode("latin-1").partition(":")[0]
    except binascii.Error:
        return ""


def _metadata(values: Mapping[str, str]) -> dict[str, str]:
    return {name[9:-1]: value for name, value in values.items() if name.startswith("metadata[") and name[-1] == "]"}


def _expanded(answer: dict[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """The answer with an intent's charge whole where that was asked for, else with the charge's id."""
    if "error" in answer:
        intent, whole = answer["error"].get("payment_intent"), False
    else:
        intent, whole = answer, "latest_charge" in (values.get("expand[]"), values.get("expand[0]"))
    if intent and intent.get("latest_charge") and not whole:
        intent["latest_charge"] = intent["latest_charge"]["id"]
    return answer


def _told(call: Call) -> str:
    """What was told of a stored card; the rest of what the networks ask, Stripe adds by itself."""
    if call.fields.get("off_session", "false") != "false":
        agreed = " recurring" if call.fields["off_session"] == "recurring" else ""
        return f"merchant subsequent{agreed}"
    if call.fields.get("setup_future_usage"):
        return "customer first"
    return "customer subsequent" if call.fields.get("customer") else ""


def _unreadable_card(code: str, param: str, message: str) -> ApiError:
    """Card data that no issuer is asked about: nothing is made, nor stored under the key."""
    return ApiError(402, {"type": "card_error", "code": code, "param": param, "message": message}, executed=False)


def _error(error: ApiError) -> str:
    return json.dumps({"error": error.error})


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else None


def _id(prefix: str) -> str:
    return f"{prefix}_3{secrets.token_hex(11)}"
