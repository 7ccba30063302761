"""What the API takes, as JSON Schema: the body of each write with an example, and the parameters of addresses.

A schema says all that is known without the books: whether there is such a customer is known to them alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rules.apps import KEY_MAX
from rules.charging import WhenOwedLess
from rules.emails import ADDRESS_MAX
from rules.events import BY_NAME
from rules.methods import NUMBER_MAX, Method
from rules.money import AMOUNT_MINOR_MAX, EXPONENTS
from rules.requests import KEY_MAX as ROW_KEY_MAX
from rules.requests import NAME_MAX, WORDS_MAX
from rules.schedules import EVERY_MAX, LAST_DAY, TIMES_MAX
from rules.texts import NOTES_MAX
from rules.webhooks import URL_MAX
from web.api import batches, invoices, payments, requests

Schema = dict[str, Any]
"""A part of the document."""

ID_MAX: Final = 2**63 - 1
AFTER_MAX: Final = 10**18 - 1

# What `rules.texts` takes of one line: blanks at its ends are cut off, and no control character stands between them.
_BLANK: Final = (
    r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # as str.strip has them
)
_NEVER: Final = r"\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069"
_SIGN: Final = f"[^{_BLANK}{_NEVER}]"
_LINE: Final = f"{_SIGN}(?:[^{_NEVER}]*{_SIGN})?"
_LINES: Final = rf"{_SIGN}(?:(?:[^{_NEVER}]|[\n\t]|\r\n)*{_SIGN})?"
_NOT_BLANK: Final = f"^[{_BLANK}]*{_LINE}[{_BLANK}]*$"
_MAYBE_BLANK: Final = f"^[{_BLANK}]*(?:{_LINE}[{_BLANK}]*)?$"
_NOTES: Final = f"^[{_BLANK}]*(?:{_LINES}[{_BLANK}]*)?$"
_MAILBOX: Final = (
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]"
    r"(?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])"
)
_EXPIRY: Final = r"^\s*(?:(?:0?[1-9]|1[0-2])\s*[/-]\s*|(?:0[1-9]|1[0-2]))(?:[0-9]{4}|[0-9]{2})\s*$"


def line(most: int = NAME_MAX) -> Schema:
    """A text of one line that is not blank."""
    about = "One line that is not blank, without control characters and card numbers."
    return {"type": "string", "minLength": 1, "maxLength": most, "pattern": _NOT_BLANK, "description": about}


def _maybe(most: int = NAME_MAX) -> Schema:
    about = "One line without control characters and card numbers; null or blank: none."
    return {"type": ["string", "null"], "maxLength": most, "pattern": _MAYBE_BLANK, "description": about}


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    more = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **more}


def record(properties: Mapping[str, Schema], optional: Sequence[str] = ()) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


AMOUNT: Final = {
    "type": "integer",
    "minimum": 1,
    "maximum": AMOUNT_MINOR_MAX,
    "description": "Minor units of the currency: 1250 is 12.50 USD.",
}
CURRENCY: Final = {"$ref": "#/components/schemas/Currency"}
DAY: Final = {"type": "string", "format": "date"}
MOMENT: Final = {"type": "string", "format": "date-time"}
ID: Final = {"type": "integer", "minimum": 1, "maximum": ID_MAX}
_FLAG: Final = {"type": ["boolean", "null"]}
_EMAIL: Final = {"type": ["string", "null"], "maxLength": ADDRESS_MAX, "pattern": f"^(?:{_MAILBOX})?$"}

# ---- payments -------------------------------------------------------------------------------------------------------

_SAID: Final = {
    "customer": line(),
    "currency": CURRENCY,
    "amount_minor": AMOUNT,
    "invoices": {
        "type": ["array", "null"],
        "minItems": 1,
        "uniqueItems": True,
        "description": "Numbers of the customer's invoices, each once, in the order in which they are paid (R1).",
        "items": {"anyOf": [line(), record({"number": line(), "cap_minor": or_null(AMOUNT)}, ["cap_minor"])]},
    },
    "post_date": {"anyOf": [DAY, {"enum": ["", None]}], "description": "Within fifty years of today."},
    "notes": {"type": ["string", "null"], "maxLength": NOTES_MAX, "pattern": _NOTES, "description": "For the office."},
    "as_credit": _FLAG,
    "allow_overlap": _FLAG,
    "when_owed_less": {"type": ["string", "null"], "enum": [*WhenOwedLess, "", None]},
}
_NEEDED: Final = ("customer", "currency", "amount_minor", "method", "card_token")
_OF_SINGLE: Final = {"keep_card": {"type": "boolean"}, "attended": {"type": "boolean"}}
_LATER: Final = {
    "anyOf": [DAY, {"enum": ["", None]}],
    "description": "The card is charged on this later day of the business, and not before.",
}
_OF_ROW: Final = {"idempotency_key": line(ROW_KEY_MAX)}


def _payment(more: Mapping[str, Schema], of_card: Mapping[str, Schema]) -> Schema:
    """R6: only a check or a money order carries a number, only a card payment a card."""

    def by(*methods: Method, **fields: Schema) -> Schema:
        said = {**_SAID, "method": {"type": "string", "enum": list(methods)}, **fields, **more}
        return record(said, [name for name in said if name not in _NEEDED])

    number = {**_maybe(NUMBER_MAX), "type": ["string", "integer", "null"]}
    return {
        "oneOf": [
            by(Method.CHECK, Method.MONEY_ORDER, number=number),
            by(Method.CREDIT_CARD, card_token=line(), recurring=_FLAG, **of_card),
            by(Method.CASH, Method.PAYPAL, Method.OTHER),
        ]
    }


_PAYMENT: Final = {"$ref": "#/components/schemas/PaymentRequest"}


# ---- schedules and holds --------------------------------------------------------------------------------------------

_NO_DAY: Final = {"anyOf": [DAY, {"enum": ["", None]}]}


def _count(most: int, about: str) -> Schema:
    return {"type": ["integer", "null"], "minimum": 1, "maximum": most, "description": about}


def _schedule() -> Schema:
    """A fixed amount or all that is owed, by weeks or by months."""
    said = {
        "customer": line(),
        "currency": CURRENCY,
        "card_token": {**line(), "description": "Of a card that the customer let us keep."},
        "every": _count(EVERY_MAX, "Every so many of them; 1, unless given."),
        "start": {**_NO_DAY, "description": "From this day on; today, unless given."},
        "until": {**_NO_DAY, "description": "No date after this day."},
        "times": _count(TIMES_MAX, "So many payments; without end, unless given."),
        "notes": _SAID["notes"],
    }
    amounts: tuple[dict[str, Schema], ...] = (
        {"amount_minor": AMOUNT, "as_credit": _FLAG},
        {"all_owed": {"const": True, "description": "All that is owed on the day."}},
    )
    units: tuple[dict[str, Schema], ...] = (
        {"unit": {"const": "week"}},
        {"unit": {"const": "month"}, "month_day": _count(LAST_DAY, "31: the last of each month.")},
    )
    needed = ("customer", "currency", "card_token", "amount_minor", "all_owed", "unit")
    forms = [{**said, **amount, **unit} for amount in amounts for unit in units]
    return {"oneOf": [record(form, [name for name in form if name not in needed]) for form in forms]}


_SCHEDULE: Final = _schedule()

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Currency": {"type": "string", "enum": sorted(EXPONENTS), "description": "ISO 4217."},
    "PaymentRequest": _payment(_OF_SINGLE, {"run_on": _LATER}),
    "PaymentRow": _payment(_OF_ROW, {}),
    "ScheduleRequest": _SCHEDULE,
}
"""What several calls take."""

# ---- cards, webhook endpoints ---------------------------------------------------------------------------------------

_ADDRESS: Final = ("name", "street", "city", "state", "postal_code")
_CARD: Final = record(
    {
        "number": {"type": "string", "pattern": "^[ -]*(?:[0-9][ -]*){13,19}$"},
        "expiry": {"type": "string", "pattern": _EXPIRY, "description": "Month and year: 12/39."},
        "security_code": {"type": ["string", "null"], "pattern": r"^\s*(?:[0-9]{3,4})?\s*$"},
        **dict.fromkeys(_ADDRESS, _maybe()),
        "country": {"type": ["string", "null"], "pattern": r"^\s*(?:[A-Za-z]{2})?\s*$", "description": "ISO 3166."},
        "customer": {**_maybe(), "description": "By number: the token then counts for this customer only."},
    },
    ["security_code", *_ADDRESS, "country", "customer"],
)
_URL: Final = {
    "type": "string",
    "maxLength": URL_MAX,
    "pattern": r"^https://[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*(?:\.[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*)+"
    r"(?::[1-9][0-9]{0,3})?(?:/[!\"$-~]*)?$",
    "description": "Its name leads to the open Internet.",
}
_REPLAY: Final = {
    "oneOf": [
        record({"event_id": ID, "since": {"type": "null"}}, ["since"]),
        record({"since": MOMENT, "event_id": {"type": "null"}}, ["event_id"]),
    ]
}

# ---- every write ----------------------------------------------------------------------------------------------------

_REASON: Final = record({"reason": line(WORDS_MAX)})
_WHY: Final = {"reason": "ordered twice"}
_CHECK: Final = {
    "customer": "C-1001",
    "method": "check",
    "number": "2077",
    "currency": "USD",
    "amount_minor": 500,
    "invoices": ["0001"],
}

BODIES: Final[Mapping[tuple[str, str], tuple[Schema, Schema]]] = {
    ("POST", "/v1/customers"): (
        record(
            {"number": line(), "name": _maybe(), "email": _EMAIL, "phone": _maybe()},
            ["name", "email", "phone"],
        ),
        {"number": "C-1001", "name": "Hazel Ng", "email": "hazel@example.org"},
    ),
    ("POST", "/v1/invoices"): (
        record(
            {
                "customer": line(),
                "number": line(),
                "invoice_date": DAY,
                "due_date": DAY,
                "currency": CURRENCY,
                "amount_minor": AMOUNT,
            }
        ),
        {
            "customer": "C-1001",
            "number": "0001",
            "invoice_date": "2026-01-05",
            "due_date": "2026-02-05",
            "currency": "USD",
            "amount_minor": 1250,
        },
    ),
    ("POST", "/v1/invoices/{invoice_id}/void"): (_REASON, _WHY),
    ("POST", "/v1/cards"): (
        _CARD,
        {"customer": "C-1001", "number": "4111111111111111", "expiry": "12/39", "security_code": "123"},
    ),
    ("POST", "/v1/payments"): (_PAYMENT, _CHECK),
    ("POST", "/v1/payments/preview"): (_PAYMENT, _CHECK),
    ("POST", "/v1/payments/{payment_id}/void"): (
        record(
            {"reason": line(WORDS_MAX), "refund_on_void_failure": {"type": "string", "enum": ["auto", "ask"]}},
            ["refund_on_void_failure"],
        ),
        {**_WHY, "refund_on_void_failure": "auto"},
    ),
    ("POST", "/v1/payments/{payment_id}/cancel"): (_REASON, _WHY),
    ("POST", "/v1/payments/{payment_id}/move"): (record({"run_on": DAY}), {"run_on": "2038-12-31"}),
    ("POST", "/v1/payments/{payment_id}/refund"): (
        record({"reason": line(WORDS_MAX), "amount_minor": or_null(AMOUNT)}, ["amount_minor"]),
        {"reason": "one of two was broken", "amount_minor": 250},
    ),
    ("POST", "/v1/batches"): (
        record(
            {
                "payments": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": batches.ROWS_MAX,
                    "items": {"$ref": "#/components/schemas/PaymentRow"},
                },
                "label": _maybe(WORDS_MAX),
            },
            ["label"],
        ),
        {
            "label": "monthly",
            "payments": [
                {"customer": "C-1001", "method": "cash", "currency": "USD", "amount_minor": 300},
                {**_CHECK, "number": "2078", "idempotency_key": "row-2"},
            ],
        },
    ),
    ("POST", "/v1/schedules"): (
        {"$ref": "#/components/schemas/ScheduleRequest"},
        {
            "customer": "C-1001",
            "currency": "USD",
            "amount_minor": 1000,
            "card_token": "card_of_the_customer",
            "unit": "month",
            "month_day": 31,
            "times": 12,
        },
    ),
    **{
        ("POST", f"/v1/schedules/{{schedule_id}}/{act}"): (_REASON, {"reason": "away in January"})
        for act in ("pause", "skip", "stop")
    },
    ("POST", "/v1/schedules/{schedule_id}/resume"): (record({}), {}),
    ("POST", "/v1/holds"): (
        record(
            {
                "customer": line(),
                "reason": line(WORDS_MAX),
                "until": {
                    **_NO_DAY,
                    "description": "Its last day, within ten years; until it is lifted, unless given.",
                },
            },
            ["until"],
        ),
        {"customer": "C-1001", "reason": "her letter of 2 December"},
    ),
    ("POST", "/v1/holds/lift"): (record({"customer": line()}), {"customer": "C-1001"}),
    ("POST", "/v1/credits/apply"): (
        record(
            {
                "customer": line(),
                "currency": CURRENCY,
                "credit_id": or_null(ID),
                "invoices": {
                    "type": ["array", "null"],
                    "minItems": 1,
                    "uniqueItems": True,
                    "items": {"type": "string", "minLength": 1, "maxLength": NAME_MAX, "pattern": r"^[^\u0000]*$"},
                },
            },
            ["credit_id", "invoices"],
        ),
        {"customer": "C-1001", "currency": "USD"},
    ),
    ("POST", "/v1/credits/applications/{application_id}/reverse"): (_REASON, _WHY),
    ("POST", "/v1/webhook-endpoints"): (
        record(
            {
                "url": _URL,
                "types": {"type": ["array", "null"], "items": {"type": "string", "enum": list(BY_NAME)}},
                "contact": _EMAIL,
            },
            ["types", "contact"],
        ),
        {"url": "https://app.example.org/hooks", "types": ["payment.posted"], "contact": "dev@example.org"},
    ),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate-secret"): (record({}), {}),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/enable"): (record({}), {}),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/replay"): (_REPLAY, {"since": "2026-01-05T09:00:00Z"}),
}
"""What each write takes, and an example of it."""

# ---- parameters -----------------------------------------------------------------------------------------------------

KEY: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": KEY_MAX,
    "pattern": r"^[!-~\u00a1-\u00ff](?:[ -~\u00a0-\u00ff]*[!-~\u00a1-\u00ff])?$",
}
LIMITS: Final[Mapping[str, Schema]] = {
    "after": {"type": "integer", "minimum": 0, "maximum": AFTER_MAX},
    "limit": {"type": "integer", "minimum": 1, "maximum": requests.LIMIT_MAX, "default": requests.LIMIT},
}
_TEXT: Final = {"type": "string"}
_FILTERS: Final[Mapping[str, Schema]] = {
    "batch": {"type": "integer", "minimum": 1, "maximum": AFTER_MAX},
    "type": {"type": "string", "enum": list(BY_NAME)},
    "method": {"type": "string", "enum": list(Method)},
    **dict.fromkeys(("invoice_date_from", "invoice_date_to", "due_date_from", "due_date_to"), DAY),
    **dict.fromkeys(("recorded_from", "recorded_to"), MOMENT),
}
_STATES: Final = {"/v1/invoices": list(invoices.STATES), "/v1/payments": list(payments.STATES)}
NEEDED: Final = {("/v1/credits", "customer")}
"""Filters that must be given, but by a key that is for one customer."""


def filter_of(path: str, name: str) -> Schema:
    """What a list's filter takes."""
    if name == "state":
        return {"type": "string", "enum": _STATES[path]}
    return _FILTERS.get(name, _TEXT)


def picked(names: Sequence[str]) -> Schema:
    """Some of the fields of a row, with commas between."""
    return {"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(names)}}
