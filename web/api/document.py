"""The OpenAPI 3.1 document of the API, made from its routes, its rows and the table of problems.

`python -m web.api.document > docs/openapi.json` writes it down.
"""

from __future__ import annotations

import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from datetime import date, datetime
from typing import Any, Final

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from books.account import Customer
from books.lists import Credit, Invoice, Payment
from rules.apps import KEY_MAX
from rules.cards import Brand
from rules.charging import WhenOwedLess
from rules.methods import Method
from rules.money import AMOUNT_MINOR_MAX, EXPONENTS
from rules.outcomes import DeclineClass
from rules.requests import NAME_MAX, WORDS_MAX
from rules.texts import NOTES_MAX
from web import problems
from web.api import batches, requests
from web.api.answers import PAYMENT_PARTS
from web.problems import Problem

Schema = dict[str, Any]
"""A part of the document."""

VERSION: Final = "1"
_LARGEST: Final = 2**63 - 1

# ---- what is sent ---------------------------------------------------------------------------------------------------


def _text(most: int = NAME_MAX, example: str = "") -> Schema:
    """A text that is not blank, without control characters."""
    about = "Anything but control characters; not blank."
    return {"type": "string", "minLength": 1, "maxLength": most, "description": about, "examples": [example]}


def _or_null(schema: Schema) -> Schema:
    kind = schema["type"]
    more = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [kind, "null"], **more}


_AMOUNT: Final = {"type": "integer", "minimum": 1, "maximum": AMOUNT_MINOR_MAX, "examples": [1250]}
_CURRENCY: Final = {"type": "string", "enum": sorted(EXPONENTS), "examples": ["USD"]}
_DAY: Final = {"type": "string", "format": "date", "examples": ["2026-01-05"]}
_FLAG: Final = {"type": ["boolean", "null"]}
_ID: Final = {"type": "integer", "minimum": 1, "maximum": _LARGEST}
_REASON: Final = _text(WORDS_MAX, "ordered twice")


def _object(required: Sequence[str], **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_PAYMENT: Final = _object(
    ["customer", "method", "currency", "amount_minor"],
    customer=_text(example="C-1001"),
    method={"type": "string", "enum": list(Method), "examples": ["check"]},
    number={"type": ["string", "integer", "null"], "description": "Of a check or money order.", "maxLength": 40},
    currency=_CURRENCY,
    amount_minor=_AMOUNT,
    invoices={
        "type": ["array", "null"],
        "minItems": 1,
        "items": {
            "anyOf": [
                _text(example="0001"),
                _object(["number"], number=_text(example="0001"), cap_minor=_or_null(_AMOUNT)),
            ]
        },
        "examples": [["0001"]],
    },
    post_date=_or_null(_DAY),
    notes={"type": ["string", "null"], "maxLength": NOTES_MAX},
    as_credit=_FLAG,
    allow_overlap=_FLAG,
    when_owed_less=_or_null({"type": "string", "enum": list(WhenOwedLess)}),
    card_token={"type": ["string", "null"], "maxLength": NAME_MAX},
    recurring=_FLAG,
    keep_card={"type": "boolean"},
)
_ROW: Final = {
    **_PAYMENT,
    "properties": {
        **{name: of for name, of in _PAYMENT["properties"].items() if name != "keep_card"},
        "idempotency_key": _text(200, "row-1"),
    },
}
BODIES: Final[Mapping[tuple[str, str], Schema]] = {
    ("POST", "/v1/customers"): _object(
        ["number"],
        number=_text(example="C-1001"),
        name={"type": ["string", "null"], "maxLength": NAME_MAX, "examples": ["Hazel Ng"]},
        email={"type": ["string", "null"], "maxLength": 254, "examples": ["hazel@example.org"]},
        phone={"type": ["string", "null"], "maxLength": NAME_MAX},
    ),
    ("POST", "/v1/invoices"): _object(
        ["customer", "number", "invoice_date", "due_date", "currency", "amount_minor"],
        customer=_text(example="C-1001"),
        number=_text(example="0001"),
        invoice_date=_DAY,
        due_date={**_DAY, "examples": ["2026-02-05"]},
        currency=_CURRENCY,
        amount_minor=_AMOUNT,
    ),
    ("POST", "/v1/invoices/{invoice_id}/void"): _object(["reason"], reason=_REASON),
    ("POST", "/v1/cards"): _object(
        ["number", "expiry"],
        number={"type": "string", "examples": ["4111111111111111"]},
        expiry={"type": "string", "examples": ["12/39"]},
        **{
            name: {"type": "string", "maxLength": NAME_MAX}
            for name in ("security_code", "name", "street", "city", "state", "postal_code", "country", "customer")
        },
    ),
    ("POST", "/v1/payments"): _PAYMENT,
    ("POST", "/v1/payments/preview"): _PAYMENT,
    ("POST", "/v1/payments/{payment_id}/void"): _object(
        ["reason"], reason=_REASON, refund_on_void_failure={"type": "string", "enum": ["auto", "ask"]}
    ),
    ("POST", "/v1/payments/{payment_id}/cancel"): _object(["reason"], reason=_REASON),
    ("POST", "/v1/payments/{payment_id}/refund"): _object(["reason"], reason=_REASON, amount_minor=_or_null(_AMOUNT)),
    ("POST", "/v1/credits/apply"): _object(
        ["customer", "currency"],
        customer=_text(example="C-1001"),
        currency=_CURRENCY,
        credit_id=_or_null(_ID),
        invoices={"type": ["array", "null"], "minItems": 1, "uniqueItems": True, "items": _text(example="0001")},
    ),
    ("POST", "/v1/credits/applications/{application_id}/reverse"): _object(["reason"], reason=_REASON),
    ("POST", "/v1/webhook-endpoints"): _object(
        ["url"],
        url={"type": "string", "examples": ["https://app.example.org/hooks"]},
        types={"type": ["array", "null"], "items": {"type": "string"}},
        contact={"type": ["string", "null"]},
    ),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/enable"): _object([]),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate-secret"): _object([]),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/replay"): _object(
        [], event_id=_or_null(_ID), since={"type": ["string", "null"], "format": "date-time"}
    ),
    ("POST", "/v1/batches"): _object(
        ["payments"],
        payments={"type": "array", "minItems": 1, "maxItems": batches.ROWS_MAX, "items": _ROW},
        label={"type": ["string", "null"], "maxLength": WORDS_MAX, "examples": ["monthly"]},
    ),
}
"""What each write takes."""

# ---- what comes back ------------------------------------------------------------------------------------------------

_TYPES: Final[Mapping[object, Schema]] = {
    int: {"type": "integer"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
}


def _row(of: type, *without: str, **more: Schema) -> Schema:
    hints = typing.get_type_hints(of)
    said = {
        ("amount_minor" if one.name == "total_minor" else one.name): _type(hints[one.name])
        for one in dataclass_fields(of)
        if one.name not in without
    }
    return {"type": "object", "properties": {**said, **more}, "additionalProperties": False}


def _type(hint: Any) -> Schema:
    if isinstance(hint, types.UnionType):
        [one] = [part for part in typing.get_args(hint) if part is not type(None)]
        return _or_null(_TYPES[one])
    return _TYPES.get(hint, {})


_CARD: Final = {
    "type": ["object", "null"],
    "properties": {"brand": {"type": "string", "enum": list(Brand)}, "last_four": {"type": "string"}},
    "required": ["brand", "last_four"],
    "additionalProperties": False,
}
_DECLINE: Final = {
    "type": ["object", "null"],
    "properties": {
        "code": {"type": "string"},
        "class": {"type": "string", "enum": list(DeclineClass)},
        "meaning": {"type": "string"},
        "advice": _object(["clerk", "customer"], clerk={"type": "string"}, customer={"type": "string"}),
    },
    "required": ["code", "class", "meaning", "advice"],
    "additionalProperties": False,
}
_ROWS: Final = {
    "Customer": _row(Customer),
    "Invoice": _row(Invoice),
    "Payment": _row(Payment, *PAYMENT_PARTS, card=_CARD, decline=_DECLINE),
    "Credit": _row(Credit),
}
_FAULT: Final = _object(
    ["field", "problem", "remedy"], **{name: {"type": "string"} for name in ("field", "problem", "remedy")}
)
_PROBLEM: Final = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": [one.type for one in problems.ALL]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "faults": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
    "required": ["type", "title", "status", "detail"],
}
_OF_TAG: Final = {"customers": "Customer", "invoices": "Invoice", "payments": "Payment", "credits": "Credit"}
_ANY: Final = {"type": "object"}
_TOKEN: Final = _object(
    ["token", "brand", "last_four", "exp_month", "exp_year"],
    token={"type": "string"},
    brand={"type": "string", "enum": list(Brand)},
    last_four={"type": "string"},
    exp_month={"type": "integer"},
    exp_year={"type": "integer"},
)
_INTEGERS: Final = {"type": "integer", "minimum": 0}
_OTHER_ANSWERS: Final[Mapping[tuple[str, str], Schema]] = {
    ("POST", "/v1/cards"): _TOKEN,
    ("GET", "/v1/events"): _ANY,
    ("POST", "/v1/payments/preview"): _object(
        ["currency", "invoices", "credit_minor"],
        currency=_CURRENCY,
        invoices={
            "type": "array",
            "items": _object(
                ["invoice", "balance_minor", "applied_minor"],
                invoice={"type": "string"},
                balance_minor={"type": "integer"},
                applied_minor=_INTEGERS,
            ),
        },
        credit_minor=_INTEGERS,
    ),
    ("POST", "/v1/payments/{payment_id}/refund"): _object(
        ["id", "payment_id", "amount_minor", "currency", "state"],
        id=_ID,
        payment_id=_ID,
        amount_minor=_AMOUNT,
        currency=_CURRENCY,
        state={"type": "string"},
    ),
}


def _answer(key: tuple[str, str], route: APIRoute, listed: bool) -> Schema:
    if key in _OTHER_ANSWERS:
        return _OTHER_ANSWERS[key]
    name = _OF_TAG.get(str((route.tags or [""])[0]))
    plain = name is not None and not key[1].endswith(("/apply", "/reverse", "/applications"))
    row: Schema = {"$ref": f"#/components/schemas/{name}"} if plain else _ANY
    if not listed:
        return row
    return _object(["data", "next"], data={"type": "array", "items": row}, next={"type": ["string", "null"]})


# ---- the document ---------------------------------------------------------------------------------------------------

_LIMITED: Final = {name: {"$ref": f"#/components/headers/{name}"} for name in ("RateLimit", "RateLimit-Policy")}
_AGAIN: Final = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}


def document(routers: Sequence[APIRouter]) -> Schema:
    """All of it."""
    paths: dict[str, dict[str, Any]] = {}
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in sorted(route.methods or ()):
                    key = (method, route.path)
                    path = route.path_format
                    paths.setdefault(path, {})[method.lower()] = _operation(key, route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Defray",
            "version": VERSION,
            "description": "Hand in payments and learn of their outcome. docs/api.md tells it as a story.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "`defray keys create`"}},
            "schemas": {**_ROWS, "Fault": _FAULT, "Problem": _PROBLEM},
            "headers": {
                "RateLimit": {"description": "What is left, and for how many seconds.", "schema": {"type": "string"}},
                "RateLimit-Policy": {"description": "Calls in a window of seconds.", "schema": {"type": "string"}},
                "Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
                "Idempotent-Replayed": {
                    "description": "The write was made before.",
                    "schema": {"type": "string", "const": "true"},
                },
                "Location": {"description": "Where it is.", "schema": {"type": "string"}},
                "WWW-Authenticate": {"description": "How to log in.", "schema": {"type": "string"}},
                "Allow": {"description": "What the address takes.", "schema": {"type": "string"}},
            },
        },
    }


def _operation(key: tuple[str, str], route: APIRoute) -> Schema:
    method, path = key
    called = {call.__qualname__: call for call in _calls(route.dependant)}
    asked = called.get("asking.<locals>.read")
    picked = called.get("picking.<locals>.read")
    lines = inspect.cleandoc(route.endpoint.__doc__ or "").partition("\n")
    streamed = path.endswith("/progress")
    success = str(route.status_code or 200)
    kind = "text/event-stream" if streamed else "application/json"
    schema = {"description": "Server-sent events."} if streamed else _answer(key, route, asked is not None)
    headers = dict(_LIMITED)
    if method == "POST" and "_idempotency_key" in called:
        headers["Idempotent-Replayed"] = {"$ref": "#/components/headers/Idempotent-Replayed"}
    if route.status_code == 201 and path in ("/v1/payments", "/v1/batches"):
        headers["Location"] = {"$ref": "#/components/headers/Location"}
    good: Schema = {"description": lines[0], "headers": headers, "content": {kind: {"schema": schema}}}
    if route.status_code == 204:
        del good["content"]
    said: Schema = {
        "operationId": f"{route.endpoint.__module__.rpartition('.')[2]}_{route.endpoint.__name__.strip('_')}",
        "tags": list(route.tags) or ["cards"],
        "summary": lines[0],
        "description": lines[2].strip(),
        "parameters": [*_in_path(route), *_in_query(asked, picked), *_in_header(called)],
        "responses": {success: good, **({"202": good} if path.endswith("/cancel") else {}), **_problems(method, path)},
    }
    if method == "POST":
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": BODIES.get(key, _ANY)}}}
    return said


def _calls(dependant: Dependant) -> Iterator[Callable[..., object]]:
    for one in dependant.dependencies:
        if one.call:
            yield one.call
        yield from _calls(one)


def _in_path(route: APIRoute) -> Iterator[Schema]:
    for one in route.dependant.path_params:
        schema = _text(example="C-1001") if one.name == "number" else _ID
        yield {"name": one.name, "in": "path", "required": True, "schema": schema}


def _in_query(asked: object, picked: object) -> Iterator[Schema]:
    known = inspect.getclosurevars(asked or picked).nonlocals if asked or picked else {}  # type: ignore[arg-type]
    filters = known.get("filters", ())
    paging = {
        "after": {"type": "integer", "minimum": 0, "maximum": 10**18},
        "limit": {"type": "integer", "minimum": 1, "maximum": requests.LIMIT_MAX, "default": requests.LIMIT},
    }
    for name in filters:
        yield {"name": name, "in": "query", "schema": _FILTERS.get(name, {"type": "string"})}
    if asked:
        yield from ({"name": name, "in": "query", "schema": schema} for name, schema in paging.items())
    if names := known.get("of"):
        about = f"Only these, with commas between: {', '.join(names)}."
        some = {"type": "string", "enum": [*names, ",".join(names)]}
        yield {"name": "fields", "in": "query", "description": about, "schema": some}


_FILTERS: Final[Mapping[str, Schema]] = {"batch": {"type": "integer", "minimum": 1, "maximum": 10**18}}


def _in_header(called: Mapping[str, object]) -> Iterator[Schema]:
    if "_idempotency_key" in called:
        schema = {"type": "string", "minLength": 1, "maxLength": KEY_MAX, "pattern": "^[!-~]+$"}
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "Drawn once for each write, such as a UUID.",
            "schema": schema,
        }


def _problems(method: str, path: str) -> Schema:
    by_status: dict[int, list[Problem]] = {}
    for one in problems.ALL:
        if method == "GET" and one.status in (409, 413, 415):
            continue
        by_status.setdefault(one.status, []).append(one)
    return {str(status): _problem(status, found) for status, found in sorted(by_status.items())}


def _problem(status: int, found: Sequence[Problem]) -> Schema:
    headers: dict[str, Any] = dict(_LIMITED)
    if status in (409, 429, 503):
        headers |= _AGAIN
    for of, name in ((401, "WWW-Authenticate"), (405, "Allow")):
        if status == of:
            headers[name] = {"$ref": f"#/components/headers/{name}"}
    return {
        "description": "; ".join(f"`{one.type}`: {one.when}" for one in found),
        "headers": headers,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def parsed() -> Schema:
    """The document of the API as it is served."""
    from web import api, cards  # noqa: PLC0415 - they lead here

    return document([*api.ROUTERS, cards.router])


def text() -> str:
    """The same as it is written down."""
    return json.dumps(parsed(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
