"""The OpenAPI 3.1 document of the API, made from its routes, what they take and tell, and the table of problems.

`python -m web.api.document > docs/openapi.json` writes it down.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from rules.release import VERSION
from web import problems
from web.api import taken, told
from web.api.links import after
from web.api.taken import Schema
from web.problems import Problem

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
                    key = (method, route.path_format)
                    paths.setdefault(key[1], {})[method.lower()] = _operation(key, route)
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
            "schemas": {**taken.SCHEMAS, **told.SCHEMAS, **_problem_schemas()},
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
    asked, picked = called.get("asking.<locals>.read"), called.get("picking.<locals>.read")
    tag = str((route.tags or ["cards"])[0])
    name = f"{tag.replace(' ', '_')}_{route.endpoint.__name__.strip('_')}"
    lines = inspect.cleandoc(route.endpoint.__doc__ or "").partition("\n")
    schema = told.answered(key, tag, listed=asked is not None, picks=bool(asked or picked))
    headers = dict(_LIMITED)
    if "_idempotency_key" in called:
        headers["Idempotent-Replayed"] = {"$ref": "#/components/headers/Idempotent-Replayed"}
    if route.status_code == 201 and path in ("/v1/payments", "/v1/batches"):
        headers["Location"] = {"$ref": "#/components/headers/Location"}
    kind = "text/event-stream" if path.endswith("/progress") else "application/json"
    good: Schema = {"description": lines[0], "headers": headers, "content": {kind: {"schema": schema}}}
    if route.status_code == 204:
        del good["content"]
    if links := after(name):
        good["links"] = links
    said: Schema = {
        "operationId": name,
        "tags": [tag],
        "summary": lines[0],
        "description": lines[2].strip(),
        "parameters": [*_in_path(route), *_in_query(path, asked, picked), *_in_header(called)],
        "responses": {
            str(route.status_code or 200): good,
            **({"202": good} if path.endswith("/cancel") else {}),
            **_problems(method),
        },
    }
    if method == "POST":
        body, example = taken.BODIES[key]
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": body, "example": example}}}
    return said


def _calls(dependant: Dependant) -> Iterator[Callable[..., object]]:
    for one in dependant.dependencies:
        if one.call:
            yield one.call
        yield from _calls(one)


def _in_path(route: APIRoute) -> Iterator[Schema]:
    for one in route.dependant.path_params:
        schema = {**taken.line(), "examples": ["C-1001"]} if one.name == "number" else {**taken.ID, "examples": [1]}
        yield {"name": one.name, "in": "path", "required": True, "schema": schema}


def _in_query(path: str, asked: object, picked: object) -> Iterator[Schema]:
    known = inspect.getclosurevars(asked or picked).nonlocals if asked or picked else {}  # type: ignore[arg-type]
    for name in known.get("filters", ()):
        needed = (path, name) in taken.NEEDED
        about = {"description": "A key for one customer may leave it out."} if needed else {}
        yield {"name": name, "in": "query", "required": needed, "schema": taken.filter_of(path, name), **about}
    if asked:
        yield from ({"name": name, "in": "query", "schema": schema} for name, schema in taken.LIMITS.items())
    if names := known.get("of"):
        some = {"name": "fields", "in": "query", "description": "Only these.", "schema": taken.picked(names)}
        yield {**some, "style": "form", "explode": False}


def _in_header(called: Mapping[str, object]) -> Iterator[Schema]:
    if "_idempotency_key" in called:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "Drawn once for each write, such as a UUID.",
            "schema": taken.KEY,
        }


def _problems(method: str) -> Schema:
    return {
        str(status): _problem(status, found)
        for status, found in _by_status().items()
        if method == "POST" or status not in _OF_WRITES
    }


_OF_WRITES: Final = (409, 413, 415)


def _by_status() -> dict[int, list[Problem]]:
    found: dict[int, list[Problem]] = {}
    for one in problems.ALL:
        found.setdefault(one.status, []).append(one)
    return dict(sorted(found.items()))


def _problem_schemas() -> dict[str, Schema]:
    return {
        f"Problem{status}": told.problem(status, [one.type for one in found]) for status, found in _by_status().items()
    }


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
        "content": {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/Problem{status}"}}},
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
