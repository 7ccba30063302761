"""What the API answers, as JSON Schema: made of the rows that are answered, so that it says what they say."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields as fields_of
from datetime import date, datetime
from typing import Any, Final

from books.account import Customer
from books.holds import Hold
from books.lists import Application, Batch, Credit, Invoice, Payment
from books.schedules import Run, Schedule
from books.webhooks import Delivery, Endpoint
from rules.card_expiry import Notice
from rules.cards import Brand
from rules.events import BY_NAME
from rules.methods import Method
from rules.outcomes import DeclineClass
from rules.schedules import RunOutcome, State, Unit
from web import problems
from web.api import invoices, payments
from web.api.answers import PAYMENT_PARTS, SCHEDULE_PARTS
from web.api.taken import CURRENCY, DAY, ID, MOMENT, Schema, or_null, record

_TEXT: Final = {"type": "string"}
_TRUTH: Final = {"type": "boolean"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_TYPES: Final[Mapping[object, Schema]] = {
    int: {"type": "integer"},
    str: _TEXT,
    bool: _TRUTH,
    date: DAY,
    datetime: MOMENT,
    tuple[str, ...]: {"type": "array", "items": _TEXT},
}
_BRANDED: Final[Mapping[str, Schema]] = {
    "brand": {"type": "string", "enum": list(Brand)},
    "last_four": {**_TEXT, "pattern": "^[0-9]{4}$"},
}
_CARD: Final = or_null(record(_BRANDED))
_DECLINE: Final = or_null(
    record(
        {
            "code": _TEXT,
            "class": {"type": "string", "enum": list(DeclineClass)},
            "meaning": _TEXT,
            "advice": record({"clerk": _TEXT, "customer": _TEXT}),
        }
    )
)
_METHOD: Final = {"type": "string", "enum": list(Method)}
_BY_STATE: Final = {
    "type": "object",
    "propertyNames": {"enum": list(payments.STATES)},
    "additionalProperties": _COUNT,
}


def _type(hint: Any) -> Schema:
    if isinstance(hint, types.UnionType):
        [one] = [part for part in typing.get_args(hint) if part is not type(None)]
        return or_null(_TYPES[one])
    return _TYPES[hint]


def _row(of: type, *without: str, **more: Schema) -> Schema:
    """All fields of a row, as `web.api.answers` shows them."""
    hints = typing.get_type_hints(of)
    said = {
        ("amount_minor" if one.name == "total_minor" else one.name): _type(hints[one.name])
        for one in fields_of(of)
        if one.name not in without
    }
    return record({**said, **more})


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_EVENT: Final = record(
    {
        "id": ID,
        "type": {"type": "string", "enum": list(BY_NAME)},
        "created_at": MOMENT,
        "data": record(
            {
                "customer": or_null(_TEXT),
                "payment": record(
                    {
                        "id": ID,
                        "idempotency_key": _TEXT,
                        "batch_id": or_null(ID),
                        "method": _METHOD,
                        "currency": CURRENCY,
                        "amount_minor": _COUNT,
                        "card": _CARD,
                    }
                ),
                "invoice": record({"id": ID, "number": _TEXT}),
                "batch": record({"id": ID}),
                "schedule": record({"id": ID, "due_on": or_null(DAY)}),
                "card": record(
                    {
                        **dict.fromkeys(("id", "exp_month", "exp_year"), ID),
                        **dict.fromkeys(("brand", "last_four"), _TEXT),
                        "notice": {"type": "string", "enum": list(Notice)},
                    }
                ),
                "state": _TEXT,
                "reason": _TEXT,
            },
            ["payment", "invoice", "batch", "schedule", "card", "state", "reason"],
        ),
    }
)
_COUNTED: Final = {"payments": _COUNT, "finished": _COUNT, "waiting": _COUNT}
_ENDPOINT: Final = _row(Endpoint, state={"type": "string", "enum": ["enabled", "disabled"]})
_FAULTS: Final = {"type": "array", "items": _ref("Fault")}

ROWS: Final[Mapping[str, Schema]] = {
    "Customer": _row(Customer),
    "Invoice": _row(Invoice, state={"type": "string", "enum": list(invoices.STATES)}, currency=CURRENCY),
    "Payment": _row(
        Payment,
        *PAYMENT_PARTS,
        card=_CARD,
        decline=_DECLINE,
        method=_METHOD,
        currency=CURRENCY,
        state={"type": "string", "enum": list(payments.STATES)},
    ),
    "Credit": _row(Credit, currency=CURRENCY),
    "Application": _row(Application),
    "Batch": _row(Batch, "caller"),
    "Schedule": _row(
        Schedule,
        *SCHEDULE_PARTS,
        card=record(_BRANDED),
        currency=CURRENCY,
        unit={"type": "string", "enum": list(Unit)},
        state={"type": "string", "enum": list(State)},
    ),
    "Run": _row(Run, outcome={"type": "string", "enum": list(RunOutcome)}),
    "Hold": _row(Hold, customer=_TEXT),
    "Event": _EVENT,
    "Endpoint": _ENDPOINT,
    "Delivery": _row(Delivery, type={"type": "string", "enum": list(BY_NAME)}),
}
"""What lists have."""

_OTHERS: Final[Mapping[str, Schema]] = {
    "BatchProgress": record(
        {
            **_row(Batch, "caller")["properties"],
            **_COUNTED,
            "ended": _TRUTH,
            "by_state": _BY_STATE,
            "payments_url": _TEXT,
        }
    ),
    "Preview": record(
        {
            "currency": CURRENCY,
            "invoices": {
                "type": "array",
                "items": record({"invoice": _TEXT, "balance_minor": _COUNT, "applied_minor": _COUNT}),
            },
            "credit_minor": _COUNT,
        }
    ),
    "Refund": record(
        {"id": ID, "payment_id": ID, "amount_minor": _COUNT, "currency": CURRENCY, "state": {"const": "refund_due"}}
    ),
    "Applied": record(
        {
            "currency": CURRENCY,
            "applied": {
                "type": "array",
                "items": record({"id": ID, "credit_id": ID, "invoice_id": ID, "amount_minor": _COUNT}),
            },
        }
    ),
    "CardToken": record(
        {"token": _TEXT, **_BRANDED, "exp_month": {"type": "integer", "minimum": 1, "maximum": 12}, "exp_year": _COUNT}
    ),
    "EndpointWithSecret": record(
        {**_ENDPOINT["properties"], "secret": {**_TEXT, "description": "Shown this once."}}, ["secret"]
    ),
    "Fault": record({"field": _TEXT, "problem": _TEXT, "remedy": _TEXT}),
    "Problem": record(
        {
            "type": {"type": "string", "enum": [one.type for one in problems.ALL]},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "faults": _FAULTS,
            "refused": {**_COUNT, "description": "Of a batch: how many rows are refused."},
            "rows": {"type": "array", "items": record({"row": _COUNT, "faults": _FAULTS})},
            "id": {**ID, "description": "Of the invoice that exists already."},
        },
        ["faults", "refused", "rows", "id"],
    ),
}


def _message(kind: str, data: Schema, **more: Schema) -> Schema:
    spelled = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return record({"event": {"const": kind}, "data": spelled, **more})


_WORDS: Final = {"words": _TEXT}
STREAMS: Final[Mapping[str, Schema]] = {
    "PaymentProgress": {
        "oneOf": [
            _message("step", record({"what": _TEXT, **_WORDS}), id={**_TEXT, "pattern": "^[0-9]+$"}),
            record({**_message("slow", record(_WORDS))["properties"], "id": _TEXT}, ["id"]),
            record(
                {
                    **_message(
                        "end",
                        record({"state": _TEXT, **_WORDS, "address": _TEXT, "unknown": _TRUTH, "leads": _TRUTH}),
                    )["properties"],
                    "id": _TEXT,
                },
                ["id"],
            ),
        ]
    },
    "BatchCounts": {
        "oneOf": [
            _message("counts", record({**_COUNTED, "by_state": _BY_STATE, "pace": _TEXT})),
            _message("end", record({**_COUNTED, "by_state": _BY_STATE})),
        ]
    },
}
"""One message of a stream: its `data` is JSON."""

SCHEMAS: Final[Mapping[str, Schema]] = {
    **ROWS,
    **{f"Some{name}": {**schema, "required": [], "minProperties": 1} for name, schema in ROWS.items()},
    **_OTHERS,
    **STREAMS,
}
"""All of it by name; `Some...` is what `fields=` leaves of a row."""

_OF_TAG: Final = {
    "customers": "Customer",
    "invoices": "Invoice",
    "payments": "Payment",
    "credits": "Credit",
    "batches": "Batch",
    "schedules": "Schedule",
    "holds": "Hold",
    "events": "Event",
    "webhook endpoints": "Endpoint",
}
_OF_CALL: Final = {
    ("POST", "/v1/cards"): "CardToken",
    ("POST", "/v1/payments/preview"): "Preview",
    ("POST", "/v1/payments/{payment_id}/refund"): "Refund",
    ("POST", "/v1/batches"): "BatchProgress",
    ("GET", "/v1/batches/{batch_id}"): "BatchProgress",
    ("GET", "/v1/schedules/{schedule_id}/runs"): "Run",
    ("POST", "/v1/credits/apply"): "Applied",
    ("GET", "/v1/credits/{credit_id}/applications"): "Application",
    ("POST", "/v1/credits/applications/{application_id}/reverse"): "Application",
    ("GET", "/v1/webhook-endpoints/{endpoint_id}/deliveries"): "Delivery",
    ("POST", "/v1/webhook-endpoints"): "EndpointWithSecret",
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate-secret"): "EndpointWithSecret",
    ("GET", "/v1/payments/{payment_id}/progress"): "PaymentProgress",
    ("GET", "/v1/batches/{batch_id}/progress"): "BatchCounts",
}


def answered(key: tuple[str, str], tag: str, *, listed: bool, picks: bool) -> Schema:
    """What a call is answered when it succeeds; `picks`: `fields=` may leave a part of each row."""
    name = _OF_CALL.get(key) or _OF_TAG[tag]
    row: Schema = {"anyOf": [_ref(name), _ref(f"Some{name}")]} if picks else _ref(name)
    rows: Schema = {"type": "array", "items": row}
    if key == ("GET", "/v1/events"):
        return record({"data": rows, "after": _COUNT, "more": _TRUTH, "next": _TEXT})
    if name in ("Delivery", "Run"):
        return record({"data": rows})
    return record({"data": rows, "next": or_null(_TEXT)}) if listed else row


def problem(status: int, types_of: list[str]) -> Schema:
    """The problem document of a status."""
    of: Schema = {"properties": {"type": {"enum": types_of}, "status": {"const": status}}}
    return {"allOf": [_ref("Problem"), of]}
