"""What the API says of itself: the OpenAPI document, and the same as a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from web.api import document
from web.api.taken import Schema

router = APIRouter()

_WORDS_MAX: Final = 12
"""Words of an enumeration that are shown."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A parameter or a field: its name, where it stands, whether it must be given, what it is in words."""

    name: str
    where: str
    needed: bool
    kind: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API as the page shows it."""

    name: str
    method: str
    path: str
    summary: str
    description: str
    takes: tuple[Taken, ...]
    example: str
    answers: Mapping[str, str]
    leads_to: tuple[str, ...]


@router.get("/v1/openapi.json", include_in_schema=False)
def openapi() -> Response:
    """The OpenAPI document: what is taken and answered, no secret."""
    return Response(_written(), media_type="application/json")


@router.get("/v1/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """Each call with what it takes and answers."""
    return HTMLResponse(request.app.state.pages.render("reference.html", {"calls": _calls()}))


@cache
def _written() -> str:
    return document.text()


@cache
def _calls() -> tuple[Call, ...]:
    said = document.parsed()
    schemas = said["components"]["schemas"]
    return tuple(_call(method, path, of, schemas) for path, by in said["paths"].items() for method, of in by.items())


def _call(method: str, path: str, of: Schema, schemas: Mapping[str, Schema]) -> Call:
    body = of.get("requestBody", {}).get("content", {}).get("application/json", {})
    parameters = [
        Taken(p["name"], p["in"], p.get("required", False), _kind(p["schema"], schemas)) for p in of["parameters"]
    ]
    return Call(
        name=of["operationId"],
        method=method.upper(),
        path=path,
        summary=of["summary"],
        description=of["description"],
        takes=(*parameters, *_fields(body.get("schema", {}), schemas)),
        example=json.dumps(body["example"], indent=2) if body else "",
        answers={status: answer["description"] for status, answer in of["responses"].items()},
        leads_to=tuple(name for answer in of["responses"].values() for name in answer.get("links", ())),
    )


def _fields(schema: Schema, schemas: Mapping[str, Schema]) -> Iterator[Taken]:
    """The fields of a body; of one that has several forms, what all of them need and each may have."""
    forms = _resolved(schema, schemas).get("oneOf", [_resolved(schema, schemas)])
    seen: dict[str, Any] = {}
    for form in forms:
        seen |= {name: of for name, of in form.get("properties", {}).items() if name not in seen}
    for name, of in seen.items():
        yield Taken(name, "body", all(name in form["required"] for form in forms), _kind(of, schemas))


def _resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _kind(schema: Schema, schemas: Mapping[str, Schema]) -> str:
    """What a value is, in words."""
    of = _resolved(schema, schemas)
    kinds = of.get("type", "one of several")
    words = [of.get("format") or (kinds if isinstance(kinds, str) else " or ".join(kinds))]
    if known := [str(one) for one in of.get("enum", ()) if one]:
        words = [", ".join(known)] if len(known) <= _WORDS_MAX else [f"one of {len(known)} words"]
    if "maximum" in of:
        words.append(f"{of['minimum']:,} to {of['maximum']:,}")
    if "maxLength" in of:
        words.append(f"at most {of['maxLength']:,} characters")
    return "; ".join([*words, *([of["description"]] if "description" in of else [])])
