"""PayPal REST: Orders v2 and Payments v2 with cards, OAuth tokens, idempotency by `PayPal-Request-Id`.

Where the published pages leave a behaviour open, the choice made here is listed in `docs/gateways/paypal.md`.
"""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from sandbox.books import Books, State, Transaction
from sandbox.cards import Issuer, acceptable, declines_first
from sandbox.clock import DAY, moment
from sandbox.contract import Behaviour, Call, Page, masked
from sandbox.http import Request
from sandbox.notices import paypal_verifies

HOUR: Final = 3600.0
TOKEN_SECONDS: Final = 32_400
KEPT_SECONDS: Final = {"orders": 6 * HOUR, "payments": 45 * DAY}
"""How long a request id is known."""
ORDER_SECONDS: Final = 3 * HOUR
"""How long an order waits for its payment."""
REFUND_SECONDS: Final = 180 * DAY

WHOLE_ONLY: Final = frozenset({"HUF", "JPY", "TWD"})
CURRENCIES: Final = frozenset(
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS JPY MXN MYR NOK NZD PHP PLN RUB SEK SGD THB TWD USD".split()
)

NAMES_CARDS: Final = {
    "CCREJECT-REFUSED": "0500",
    "CCREJECT-SF": "9500",
    "CCREJECT-EC": "5400",
    "CCREJECT-IRC": "5180",
    "CCREJECT-IF": "5120",
    "CCREJECT-LS": "9520",
    "CCREJECT-IA": "1330",
    "CCREJECT-BANK_ERROR": "5100",
    "CCREJECT-CVV_F": "00N7",
}
"""Documented triggers: the name on a Visa card, and the processor's code."""

ISSUER: Final = {
    Issuer.DO_NOT_HONOUR: ("0500", ""),
    Issuer.INSUFFICIENT_FUNDS: ("5120", ""),
    Issuer.OVER_LIMIT: ("PPEL", ""),
    Issuer.LOST: ("9520", "03"),
    Issuer.STOLEN: ("9520", "03"),
    Issuer.EXPIRED: ("5400", ""),
    Issuer.WRONG_CODE: ("00N7", ""),
    Issuer.NO_SUCH_ACCOUNT: ("1330", ""),
    Issuer.CALL_ISSUER: ("0100", ""),
    Issuer.UNAVAILABLE: ("5920", ""),
    Issuer.SILENT: ("0800", ""),
    Issuer.FRAUD: ("9500", ""),
}
"""The processor's code and the network's advice for a test card."""

ERRORS: Final = {
    "INVALID_REQUEST": (400, "INVALID_REQUEST"),
    "DUPLICATE_REQUEST_ID": (400, "DUPLICATE_REQUEST_ID"),
    "AUTHENTICATION_FAILURE": (401, "AUTHENTICATION_FAILURE"),
    "NOT_AUTHORIZED": (403, "NOT_AUTHORIZED"),
    "PERMISSION_DENIED": (403, "NOT_AUTHORIZED"),
    "NOT_ENABLED_FOR_CARD_PROCESSING": (403, "NOT_AUTHORIZED"),
    "PAYEE_ACCOUNT_NOT_VERIFIED": (403, "NOT_AUTHORIZED"),
    "RESOURCE_NOT_FOUND": (404, "RESOURCE_NOT_FOUND"),
    "INVALID_RESOURCE_ID": (404, "RESOURCE_NOT_FOUND"),
    "PREVIOUS_REQUEST_IN_PROGRESS": (409, "RESOURCE_CONFLICT"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "UNSUPPORTED_MEDIA_TYPE"),
    "RATE_LIMIT_REACHED": (429, "RATE_LIMIT_REACHED"),
    "INTERNAL_SERVER_ERROR": (500, "INTERNAL_SERVER_ERROR"),
    "SERVICE_UNAVAILABLE": (503, "SERVICE_UNAVAILABLE"),
}
"""Issues and names that have another status than 422 UNPROCESSABLE_ENTITY."""

STATUSES: Final = frozenset("COMPLETED DECLINED DENIED PENDING FAILED CANCELLED PAYER_ACTION_REQUIRED".split())
"""What a scenario may make of a payment; any other word is an error's issue, and four characters a processor's code."""

PAYMENT_TYPES: Final = frozenset({"ONE_TIME", "RECURRING", "UNSCHEDULED"})
USAGES: Final = frozenset({"FIRST", "SUBSEQUENT", "DERIVED"})
BRANDS: Final = {"4": "VISA", "5": "MASTERCARD", "2": "MASTERCARD", "3": "AMEX", "6": "MAESTRO"}
DATE: Final = "%Y-%m-%dT%H:%M:%SZ"

VERIFY: Final = "v1/notifications/verify-webhook-signature"
BODY: Final = "(body)"
ACCESS: Final = "(access)"
PREFER: Final = "(prefer)"
MOCK: Final = "(mock)"
MADE: Final = "made"
"""In what is kept of a payment: the ids of what was made of it."""

_PROCESSOR_CODE: Final = re.compile(r"[0-9A-Z]{4}")
_SECRET: Final = re.compile(r'("(number|security_code)"\s*:\s*")([^"]*)')


class ApiError(Exception):
    """An answer in place of a result: by an issue or name of ERRORS, else 422 with that issue."""

    def __init__(self, issue: str, description: str = "") -> None:
        super().__init__(issue)
        self.status, name = ERRORS.get(issue, (422, "UNPROCESSABLE_ENTITY"))
        self.body: dict[str, Any] = {"name": name, "message": "The request could not be done.", "debug_id": _id()[:13]}
        if issue != name:
            self.body["details"] = [{"issue": issue, "description": description or "The sandbox says so."}]
        self.body["links"] = []


class PayPal:
    """The PayPal server: `/paypal/v1/oauth2/token`, `/paypal/v2/checkout/orders`, `/paypal/v2/payments`."""

    name = "paypal"
    content_type = "application/json"
    paths: tuple[str, ...] = ("/paypal", "/paypal/")
    credentials: ClassVar[Mapping[str, str]] = {
        "client_id": "sandbox",
        "client_secret": "sandbox-secret",
        "webhook_id": "WH0SANDBOX",
    }

    def __init__(self, books: Books, credentials: Mapping[str, str], behaviour: Behaviour) -> None:
        self._books = books
        self._access = credentials
        self._behaviour = behaviour
        self._tokens: dict[str, float] = {}

    # -- reading

    def read(self, request: Request) -> Call | Page:
        path = request.path.removeprefix("/paypal").strip("/")
        call = Call(self.name, _operation(request.method, path), path=path)
        call.request_id = request.header("paypal-request-id")
        call.fields = {
            BODY: request.body.decode("utf-8", "replace"),
            ACCESS: request.header("authorization"),
            PREFER: request.header("prefer"),
            MOCK: request.header("paypal-mock-response"),
        }
        if path == "v1/oauth2/token" or request.method == "GET":
            return call
        content = _object(call)
        if content is None or not request.header("content-type").startswith("application/json"):
            call.fault = "INVALID_REQUEST" if content is None else "UNSUPPORTED_MEDIA_TYPE"
            return call
        self._describe(call, content)
        return call

    def _describe(self, call: Call, content: Mapping[str, Any]) -> None:
        """What scenarios ask of a call: a charge's reference and amount are those of its order."""
        unit = _at(content, "purchase_units.0") or content
        call.reference = str(unit.get("custom_id") or unit.get("invoice_id") or "")
        call.currency = str(_at(unit, "amount.currency_code") or "")
        call.amount = _minor(str(_at(unit, "amount.value") or ""), call.currency)
        call.card = str(_at(content, "payment_source.card.number") or "")
        target = self._books.find(self.name, _target(call.path))
        if target is not None and call.operation in ("sale", "authorization", "void"):
            call.reference = target.reference if call.operation != "void" else ""
            call.amount, call.currency = target.amount, target.currency

    def target(self, call: Call) -> str:
        found = self._books.find(self.name, _target(call.path))
        return found.id if found is not None and call.operation != "other" else ""

    # -- answering

    def answer(self, call: Call) -> str:
        try:
            if call.path == "v1/oauth2/token":
                return self._token(call)
            answer = self._answer(call)
        except ApiError as error:
            call.status, answer = error.status, error.body
        return "" if call.status == 204 else json.dumps(_preferred(call, answer))

    def _token(self, call: Call) -> str:
        if _basic(call.fields[ACCESS]) != (self._access["client_id"], self._access["client_secret"]):
            call.status = 401
            return json.dumps({"error": "invalid_client", "error_description": "Client Authentication failed"})
        token = f"A21AA{secrets.token_urlsafe(40)}"
        self._tokens[token] = self._books.clock.now() + TOKEN_SECONDS
        return json.dumps(
            {
                "scope": "https://uri.paypal.com/services/payments/payment",
                "access_token": token,
                "token_type": "Bearer",
                "app_id": "APP-80W284485P519543T",
                "expires_in": TOKEN_SECONDS,
                "nonce": secrets.token_hex(8),
            }
        )

    def _answer(self, call: Call) -> dict[str, Any]:
        now = self._books.clock.now()
        if self._tokens.get(call.fields[ACCESS].removeprefix("Bearer "), 0.0) < now:
            raise ApiError("AUTHENTICATION_FAILURE")
        if call.fault:
            raise ApiError(call.fault)
        if not call.operation:
            raise ApiError("RESOURCE_NOT_FOUND")
        if call.path == VERIFY:
            self._raise_forced(call)
            verified = paypal_verifies(call.fields[BODY], self._access["webhook_id"])
            return {"verification_status": "SUCCESS" if verified else "FAILURE"}
        if call.operation == "inquiry":
            self._raise_forced(call)
            return self._look_up(call)
        earlier = self._books.by_request(self.name, call.request_id) if call.request_id else None
        if earlier is not None and now - earlier.booked_at < KEPT_SECONDS[_family(call.path)]:
            if json.loads(earlier.reply)["path"] != call.path:
                raise ApiError("DUPLICATE_REQUEST_ID")
            call.status = 200 if _family(call.path) == "orders" or call.operation == "void" else 201
            return self._again(earlier)
        self._raise_forced(call)
        return self._run(call)

    def _raise_forced(self, call: Call) -> None:
        """An error that a scenario or the header PayPal-Mock-Response imposes."""
        code = call.force.code if call.force is not None else _mocked(call.fields[MOCK])
        if code and code not in STATUSES and _PROCESSOR_CODE.fullmatch(code) is None:
            raise ApiError(code, call.force.message if call.force is not None else "")

    def _run(self, call: Call) -> dict[str, Any]:
        new = Transaction(
            self.name,
            _id(),
            call.operation,
            call.reference,
            call.request_id,
            booked_at=self._books.clock.now(),
        )
        content = _object(call) or {}
        call.status = 201
        match call.operation:
            case "other":
                return self._open(call, new, content)
            case "sale" | "authorization":
                return self._charge(call, new, content)
            case "capture":
                return self._capture(call, new, content)
            case "refund":
                return self._refund(call, new, content)
        return self._void(call, new)

    def _again(self, earlier: Transaction) -> dict[str, Any]:
        """The latest status of what an earlier request made."""
        if earlier.operation in ("sale", "authorization"):
            return self._order_view(self._order(earlier.original), earlier)
        if earlier.operation == "other":
            return self._order_view(earlier)
        if earlier.operation == "void":
            return self._payment_view(self._needed(earlier.original, "authorization"))
        return self._payment_view(earlier)

    def _book(self, call: Call, new: Transaction, kept: Mapping[str, Any], *changed: Transaction) -> None:
        new.reply = json.dumps({"path": call.path, **kept})
        for one in changed:
            if new.operation in _FAMILY:
                of_one = json.loads(one.reply)
                one.reply = json.dumps({**of_one, MADE: [*of_one.get(MADE, ()), new.id]})
        self._books.book(new, *changed)

    # -- orders

    def _open(self, call: Call, new: Transaction, content: Mapping[str, Any]) -> dict[str, Any]:
        intent, unit = content.get("intent"), _at(content, "purchase_units.0")
        if intent not in ("CAPTURE", "AUTHORIZE") or not isinstance(unit, dict):
            raise ApiError("INVALID_REQUEST")
        if "payment_source" in content:
            raise ApiError("INVALID_REQUEST", "the sandbox takes the card with the capture only")
        new.amount, new.currency = _checked_amount(unit.get("amount"))
        new.state, new.code = State.DONE, "CREATED"
        self._book(call, new, {"intent": intent, "unit": unit})
        return self._order_view(new)

    def _order(self, order_id: str) -> Transaction:
        found = self._books.find(self.name, order_id)
        if found is None or found.operation != "other":
            raise ApiError("INVALID_RESOURCE_ID")
        return found

    def _of_order(self, order: Transaction) -> Iterator[Transaction]:
        """All payments of an order: what it charged or reserved, and what was made of that."""
        books, reference = self._books, order.reference
        under = books.by_reference(self.name, reference) if reference else books.search(gateway=self.name)
        for one in list(under):
            if one.original == order.id:
                yield one
                yield from self._made_of(one)

    def _made_of(self, one: Transaction) -> Iterator[Transaction]:
        """The captures of an authorization, the refunds of a capture, and so on."""
        for made in json.loads(one.reply).get(MADE, ()):
            found = self._books.find(self.name, made)
            if found is not None:
                yield found
                yield from self._made_of(found)

    def _order_view(self, order: Transaction, latest: Transaction | None = None) -> dict[str, Any]:
        kept = json.loads(order.reply)
        payments: dict[str, list[dict[str, Any]]] = {}
        source: dict[str, Any] = {}
        for one in self._of_order(order):
            payments.setdefault(_FAMILY[one.operation], []).append(self._payment_view(one))
            source = json.loads(one.reply).get("source") or source
        unit = {"reference_id": "default", **kept["unit"]}
        if payments:
            unit["payments"] = payments
        status = order.code if order.code != "CREATED" or not payments else "COMPLETED"
        view = {"id": order.id, "intent": kept["intent"], "status": status, "purchase_units": [unit]}
        if source and (latest is not None or payments):
            view["payment_source"] = {"card": source}
        view["create_time"] = f"{moment(order.booked_at):{DATE}}"
        view["links"] = [{"href": f"/v2/checkout/orders/{order.id}", "rel": "self", "method": "GET"}]
        return view

    # -- charging

    def _charge(self, call: Call, new: Transaction, content: Mapping[str, Any]) -> dict[str, Any]:
        order = self._order(_target(call.path))
        if (call.operation == "sale") != (json.loads(order.reply)["intent"] == "CAPTURE"):
            raise ApiError("ACTION_DOES_NOT_MATCH_INTENT")
        if next(self._of_order(order), None) is not None:
            raise ApiError("ORDER_ALREADY_CAPTURED" if call.operation == "sale" else "ORDER_ALREADY_AUTHORIZED")
        if new.booked_at - order.booked_at > ORDER_SECONDS:
            raise ApiError("ORDER_EXPIRED")
        card = _at(content, "payment_source.card")
        if not isinstance(card, dict):
            raise ApiError("ORDER_NOT_APPROVED")
        new.reference, new.original = order.reference, order.id
        new.amount, new.currency = order.amount, order.currency
        self._take_card(new, card)
        new.credential = _stored_credential(card)
        forced = call.force.code if call.force is not None else ""
        if forced == "PAYER_ACTION_REQUIRED":
            order.code = forced
            self._books.save(order)
            return self._order_view(order)
        self._decide(new, card, forced)
        unit = json.loads(order.reply)["unit"]
        avs, cvv = new.checks.split(",")[:2]
        payment: dict[str, Any] = {
            "final_capture": True,
            "invoice_id": unit.get("invoice_id"),
            "custom_id": unit.get("custom_id"),
            "processor_response": {"avs_code": avs, "cvv_code": cvv, "payment_advice_code": new.checks.split(",")[2]},
            "network_transaction_reference": {"id": f"{secrets.randbelow(10**15):015}", "network": _brand(new, card)},
            "supplementary_data": {"related_ids": {"order_id": order.id}},
        }
        source: dict[str, Any] = {"last_digits": new.last4, "brand": _brand(new, card), "type": "CREDIT"}
        if _at(card, "attributes.vault.store_in_vault") == "ON_SUCCESS" and new.state != State.DECLINED:
            new.order_id = secrets.token_hex(9)
            source["attributes"] = {"vault": {"id": new.order_id, "status": "VAULTED"}}
        self._book(call, new, {"payment": payment, "source": source})
        return self._order_view(order, new)

    def _take_card(self, new: Transaction, card: Mapping[str, Any]) -> None:
        """Whose card it is: by number, or by the id that it has in the vault."""
        if "vault_id" in card:
            kept = self._books.by_order(self.name, str(card["vault_id"]))
            if kept is None:
                raise ApiError("TOKEN_ID_NOT_FOUND")
            new.card_hash, new.last4, new.expiry = kept.card_hash, kept.last4, kept.expiry
            return
        number, code = str(card.get("number", "")), str(card.get("security_code", "123"))
        expiry = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", str(card.get("expiry", "")))
        if not number:
            raise ApiError("CARD_NUMBER_REQUIRED")
        if expiry is None:
            raise ApiError("CARD_EXPIRY_REQUIRED" if "expiry" not in card else "INVALID_REQUEST")
        if not acceptable(number):
            raise ApiError("PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED")
        if re.fullmatch(r"[0-9]{3,4}", code) is None:
            raise ApiError("INVALID_SECURITY_CODE_LENGTH")
        today = moment(new.booked_at)
        if (int(expiry[1]), int(expiry[2])) < (today.year, today.month):
            raise ApiError("CARD_EXPIRED")
        new.card_hash, new.last4, new.expiry = self._books.hash_card(number), number[-4:], expiry[2] + expiry[1][2:]

    def _decide(self, new: Transaction, card: Mapping[str, Any], forced: str) -> None:
        """The verdict on the card: state, code, and in `checks` AVS, CVV and advice."""
        number, name = str(card.get("number", "")), str(card.get("name", ""))
        issuer = self._books.issuer_of(new.card_hash)
        code, advice = ISSUER.get(issuer, ("0000", ""))
        if code == "0000" and declines_first(number) > self._books.declines_of(new.card_hash):
            code = "5120"
        if name in NAMES_CARDS and number.startswith("4"):
            code = NAMES_CARDS[name]
        if _PROCESSOR_CODE.fullmatch(forced):
            code, advice = forced, ""
        pends = forced == "PENDING" or (not forced and issuer is Issuer.REVIEW)
        declined = code != "0000" or forced in ("DECLINED", "DENIED")
        new.code = "5100" if declined and code == "0000" else code
        new.checks = f"{'G,P' if declined else 'Y,M'},{advice}"
        if pends:
            new.state = State.REVIEW
        elif forced == "FAILED":
            new.state = State.REFUSED
        elif declined and forced != "COMPLETED":
            new.state = State.DECLINED
        elif new.operation == "authorization":
            new.state = State.AUTHORIZED
        else:
            new.state, new.settled_at = State.SETTLED, new.booked_at

    # -- payments

    def _needed(self, payment_id: str, *operations: str) -> Transaction:
        found = self._books.find(self.name, payment_id)
        if found is None or found.operation not in operations:
            raise ApiError("INVALID_RESOURCE_ID")
        return found

    def _payment_view(self, one: Transaction) -> dict[str, Any]:
        """A capture, authorization or refund as it is now."""
        view: dict[str, Any] = {
            "id": one.id,
            "status": self._status(one),
            "amount": {"currency_code": one.currency, "value": _decimal(one.amount, one.currency)},
            **json.loads(one.reply)["payment"],
        }
        if one.state == State.REVIEW:
            view["status_details"] = {"reason": "PENDING_REVIEW"}
        if "processor_response" in view:
            view["processor_response"]["response_code"] = one.code
            view["processor_response"] = {name: text for name, text in view["processor_response"].items() if text}
        view["create_time"] = f"{moment(one.booked_at):{DATE}}"
        return {name: value for name, value in view.items() if value is not None}

    def _status(self, one: Transaction) -> str:
        if one.operation == "refund":
            return "COMPLETED" if one.code == "PENDING" and one.state == State.SETTLED else one.code
        match one.state:
            case State.REVIEW:
                return "PENDING"
            case State.DECLINED:
                return "DENIED" if one.operation == "authorization" else "DECLINED"
            case State.REFUSED:
                return "FAILED"
            case State.AUTHORIZED:
                return "CREATED"
            case State.CAPTURED:
                return "CAPTURED"
            case State.VOIDED:
                return "VOIDED"
        if not one.refunded:
            return "CREATED" if one.operation == "authorization" else "COMPLETED"
        return "REFUNDED" if one.refunded == one.amount else "PARTIALLY_REFUNDED"

    def _capture(self, call: Call, new: Transaction, content: Mapping[str, Any]) -> dict[str, Any]:
        one = self._needed(_target(call.path), "authorization")
        new.amount, new.currency = one.amount, one.currency
        if "amount" in content:
            new.amount, new.currency = _checked_amount(content["amount"])
        if one.state == State.VOIDED:
            raise ApiError("AUTHORIZATION_VOIDED")
        if one.state == State.CAPTURED:
            raise ApiError("AUTHORIZATION_ALREADY_CAPTURED")
        if new.currency != one.currency:
            raise ApiError("AUTH_CAPTURE_CURRENCY_MISMATCH")
        taken = sum(other.amount for other in self._made_of(one) if other.charged)
        if new.amount + taken > one.amount or one.state != State.AUTHORIZED:
            raise ApiError("MAX_CAPTURE_AMOUNT_EXCEEDED")
        new.original, new.card_hash, new.last4, new.expiry = one.id, one.card_hash, one.last4, one.expiry
        new.state, new.code, new.settled_at = State.SETTLED, "0000", new.booked_at
        if content.get("final_capture") or new.amount + taken == one.amount:
            one.state = State.CAPTURED
        authorized = json.loads(one.reply)["payment"]
        payment = {
            "final_capture": bool(content.get("final_capture")),
            "invoice_id": content.get("invoice_id") or authorized["invoice_id"],
            "custom_id": authorized["custom_id"],
            "processor_response": {},
            "supplementary_data": authorized["supplementary_data"],
        }
        self._book(call, new, {"payment": payment}, one)
        return self._payment_view(new)

    def _void(self, call: Call, new: Transaction) -> dict[str, Any]:
        one = self._needed(_target(call.path), "authorization")
        if one.state == State.VOIDED:
            raise ApiError("PREVIOUSLY_VOIDED")
        if one.state != State.AUTHORIZED:
            raise ApiError("PREVIOUSLY_CAPTURED")
        new.original, new.amount, new.currency = one.id, one.amount, one.currency
        new.card_hash, new.last4 = one.card_hash, one.last4
        new.state, new.code, one.state = State.DONE, "VOIDED", State.VOIDED
        self._book(call, new, {}, one)
        call.status = 200 if "representation" in call.fields[PREFER] else 204
        return self._payment_view(one)

    def _refund(self, call: Call, new: Transaction, content: Mapping[str, Any]) -> dict[str, Any]:
        one = self._needed(_target(call.path), "sale", "capture")
        left = one.amount - one.refunded
        new.amount, new.currency = left, one.currency
        if "amount" in content:
            new.amount, new.currency = _checked_amount(content["amount"])
        if one.state == State.REVIEW:
            raise ApiError("PENDING_CAPTURE")
        if not one.standing:
            raise ApiError("REFUND_NOT_ALLOWED")
        if new.currency != one.currency:
            raise ApiError("REFUND_CAPTURE_CURRENCY_MISMATCH")
        if new.booked_at - one.booked_at > REFUND_SECONDS:
            raise ApiError("REFUND_TIME_LIMIT_EXCEEDED")
        if not left:
            raise ApiError("CAPTURE_FULLY_REFUNDED")
        if new.amount > left:
            raise ApiError("REFUND_AMOUNT_EXCEEDED")
        new.original, new.card_hash, new.last4, new.expiry = one.id, one.card_hash, one.last4, one.expiry
        forced = call.force.code if call.force is not None else ""
        new.code = forced or ("PENDING" if self._behaviour.returns_pending else "COMPLETED")
        if new.code == "COMPLETED":
            new.state, new.settled_at = State.SETTLED, new.booked_at
        else:
            new.state = State.APPROVED if new.code == "PENDING" else State.REFUSED
        if new.state != State.REFUSED:
            one.refunded += new.amount
        payment = {"invoice_id": content.get("invoice_id"), "custom_id": content.get("custom_id")}
        self._book(call, new, {"payment": payment}, one)
        return self._payment_view(new)

    # -- inquiry

    def _look_up(self, call: Call) -> dict[str, Any]:
        _, kind, wanted = call.path.split("/")[-3:]
        if kind == "orders":
            order = self._order(wanted)
            dead = self._books.clock.now() - order.booked_at > ORDER_SECONDS
            if dead and next(self._of_order(order), None) is None:
                raise ApiError("INVALID_RESOURCE_ID")
            for one in self._of_order(order):
                one.inquiries += 1
            return self._order_view(order)
        operations = [operation for operation, family in _FAMILY.items() if family == kind]
        found = self._needed(wanted, *operations)
        found.inquiries += 1
        return self._payment_view(found)

    # -- for scenarios and the request log

    def foreign(self, call: Call, transaction_id: str) -> str:
        found = self._books.find(self.name, transaction_id)
        if found is None:
            raise LookupError(f"paypal has no transaction {transaction_id}")
        call.status = 200
        return json.dumps(self._again(found))

    def verdict(self, code: str, message: str) -> dict[str, str]:
        del message
        return {"purchase_units.0.payments.captures.0.status": code}

    def edit(self, body: str, changes: dict[str, str | None]) -> str:
        """Values by dotted paths, such as `purchase_units.0.payments.captures.0.amount.value`."""
        answer = json.loads(body)
        for path, value in changes.items():
            *way, last = path.split(".")
            place = answer
            for name in way:
                place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        return json.dumps(answer)

    def headers(self, call: Call) -> str:
        wait = "Retry-After: 30\r\n" if call.status == 429 else ""
        return f"PayPal-Debug-Id: {secrets.token_hex(6)}\r\n{wait}"

    def encode(self, body: str) -> bytes:
        return body.encode("latin-1")

    def decide(self, held: Transaction, accepted: bool) -> None:
        held.code = "0000" if accepted else "5100"
        if accepted and held.operation == "authorization":
            held.state = State.AUTHORIZED

    def redact(self, body: bytes) -> str:
        def mask(found: re.Match[str]) -> str:
            return found[1] + (masked(found[3]) if found[2] == "number" else "*" * len(found[3]))

        return _SECRET.sub(mask, body.decode("latin-1"))


_FAMILY: Final = {"sale": "captures", "capture": "captures", "authorization": "authorizations", "refund": "refunds"}


def _operation(method: str, path: str) -> str:
    match method, path.split("/"):
        case "POST", ["v1", "oauth2", "token"] | ["v2", "checkout", "orders"]:
            return "other"
        case "POST", ["v1", "notifications", "verify-webhook-signature"]:
            return "inquiry"
        case "POST", ["v2", "checkout", "orders", _, "capture"]:
            return "sale"
        case "POST", ["v2", "checkout", "orders", _, "authorize"]:
            return "authorization"
        case "POST", ["v2", "payments", "authorizations", _, ("capture" | "void") as operation]:
            return operation
        case "POST", ["v2", "payments", "captures", _, "refund"]:
            return "refund"
        case "GET", ["v2", "checkout", "orders", _] | ["v2", "payments", "captures" | "authorizations" | "refunds", _]:
            return "inquiry"
    return ""


def _family(path: str) -> str:
    return "payments" if path.startswith("v2/payments") else "orders"


def _target(path: str) -> str:
    """The id in the path."""
    parts = path.split("/")
    return parts[3] if len(parts) > 3 else ""


def _object(call: Call) -> dict[str, Any] | None:
    """The request's JSON object."""
    try:
        content = json.loads(call.fields[BODY])
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _at(content: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(content, dict):
            content = content.get(name)
        elif isinstance(content, list) and name.isdigit() and int(name) < len(content):
            content = content[int(name)]
        else:
            return None
    return content


def _checked_amount(amount: object) -> tuple[int, str]:
    """Minor units and currency of an amount. Raises ApiError for what PayPal refuses."""
    value, currency = str(_at(amount, "value") or ""), str(_at(amount, "currency_code") or "")
    if currency not in CURRENCIES:
        raise ApiError("INVALID_CURRENCY_CODE")
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", value) is None:
        raise ApiError("INVALID_REQUEST")
    if currency in WHOLE_ONLY and "." in value:
        raise ApiError("DECIMALS_NOT_SUPPORTED")
    minor = _minor(value, currency)
    if minor is None:
        raise ApiError("DECIMAL_PRECISION")
    if not minor:
        raise ApiError("CANNOT_BE_ZERO_OR_NEGATIVE")
    return minor, currency


def _minor(value: str, currency: str) -> int | None:
    """Minor units by ISO 4217, which gives HUF and TWD two decimals that PayPal does not take."""
    found = re.fullmatch(r"([0-9]{1,15})(?:\.([0-9]{1,2}))?", value)
    if found is None:
        return None
    return int(found[1]) if currency == "JPY" else int(found[1] + (found[2] or "").ljust(2, "0"))


def _decimal(minor: int, currency: str) -> str:
    if currency == "JPY":
        return str(minor)
    whole = str(minor // 100)
    return whole if currency in WHOLE_ONLY else f"{whole}.{minor % 100:02d}"


def _stored_credential(card: Mapping[str, Any]) -> str:
    """What is told of a stored card; what may not go together is refused."""
    told = card.get("stored_credential")
    if not isinstance(told, dict):
        return ""
    merchant = told.get("payment_initiator") == "MERCHANT"
    if merchant and "security_code" in card:
        raise ApiError("MERCHANT_INITIATED_WITH_SECURITY_CODE")
    if told.get("payment_initiator") not in ("CUSTOMER", "MERCHANT") or told.get("payment_type") is None:
        raise ApiError("INVALID_REQUEST")
    if merchant and (told["payment_type"] == "ONE_TIME" or told.get("usage") == "FIRST"):
        raise ApiError("INVALID_REQUEST")
    if not merchant and "previous_network_transaction_reference" in told:
        raise ApiError("INVALID_REQUEST")
    if told["payment_type"] not in PAYMENT_TYPES or told.get("usage", "DERIVED") not in USAGES:
        raise ApiError("INVALID_REQUEST")
    reference = _at(told, "previous_network_transaction_reference.id")
    words = (told["payment_initiator"], told.get("usage", "DERIVED"), told["payment_type"])
    return " ".join(words).lower() + (f" after {reference}" if reference else "")


def _brand(new: Transaction, card: Mapping[str, Any]) -> str:
    del new
    return BRANDS.get(str(card.get("number", "4"))[:1], "VISA")


def _preferred(call: Call, answer: dict[str, Any]) -> dict[str, Any]:
    """The whole answer to who prefers it; else id, status and links."""
    if "name" in answer or call.operation == "inquiry" or "representation" in call.fields[PREFER]:
        return answer
    return {name: answer[name] for name in ("id", "status", "links") if name in answer}


def _mocked(header: str) -> str:
    """The code that the header PayPal-Mock-Response asks for."""
    found = re.search(r'"mock_application_codes"\s*:\s*"([A-Z0-9_]+)"', header)
    return found[1] if found else ""


def _basic(header: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(header.removeprefix("Basic "), validate=True).decode("latin-1")
    except binascii.Error:
        return "", ""
    name, _, secret = text.partition(":")
    return name, secret


def _id() -> str:
    return "".join(secrets.choice("0123456789ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(17))
