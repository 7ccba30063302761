"""What the API says of itself: the OpenAPI document, and the same as a page for people."""

from __future__ import annotations

from functools import cache
from html import escape

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from web.api import document

router = APIRouter()


@router.get("/v1/openapi.json", include_in_schema=False)
def openapi() -> Response:
    """The OpenAPI document: what is taken and answered, no secret."""
    return Response(_written(), media_type="application/json")


@router.get("/v1/docs", include_in_schema=False)
def docs() -> HTMLResponse:
    """Each call with what it takes and answers."""
    return HTMLResponse(_page())


@cache
def _written() -> str:
    return document.text()


@cache
def _page() -> str:
    said = document.parsed()
    calls = "\n".join(_call(method, path, of) for path, by in said["paths"].items() for method, of in by.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Defray API</title>'
        '<meta name="viewport" content="width=device-width"></head><body><main><h1>Defray API</h1>'
        f'<p><a href="/v1/openapi.json">OpenAPI document</a></p>\n{calls}\n</main></body></html>\n'
    )


def _call(method: str, path: str, of: document.Schema) -> str:
    takes = [f"<li><code>{escape(one['name'])}</code> ({escape(one['in'])})</li>" for one in of["parameters"]]
    body = of.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    needed = body.get("required", ())
    takes += [
        f"<li><code>{escape(name)}</code>{' (required)' if name in needed else ''}</li>"
        for name in body.get("properties", {})
    ]
    answered = [
        f"<li>{escape(status)}: {escape(answer['description'])}</li>" for status, answer in of["responses"].items()
    ]
    return (
        f"<section><h2>{method.upper()} {escape(path)}</h2><p>{escape(of['summary'])}</p>"
        f"<h3>Takes</h3><ul>{''.join(takes)}</ul><h3>Answers</h3><ul>{''.join(answered)}</ul></section>"
    )
