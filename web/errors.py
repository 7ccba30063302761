"""Errors as answers: a page for people, problem details (RFC 9457) for programs; nothing that was sent is repeated."""

from __future__ import annotations

import logging
from http import HTTPMethod, HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Match

from rules.errors import DefrayError, KeyReused, MoveRefused, NotFound, RequestRefused, Unreachable, VaultClosed
from telemetry import traces
from web import problems, resume
from web.pages import page
from web.rights import Forbidden, NotSignedIn, OldForm, SecondFactorDue, form_fields, session_token

LOGIN: Final = "/console/login"
SECOND_STEP: Final = "/console/login/code"

_STATUS: Final = {NotFound: 404, MoveRefused: 409, KeyReused: 409, RequestRefused: 422, Unreachable: 503}

_log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Let this app answer every error of ours."""
    app.exception_handler(NotSignedIn)(_not_signed_in)
    app.exception_handler(SecondFactorDue)(_second_factor_due)
    app.exception_handler(Forbidden)(_forbidden)
    app.exception_handler(OldForm)(_old_form)
    app.exception_handler(DefrayError)(_refused)
    app.exception_handler(problems.Refused)(_problem)
    app.exception_handler(VaultClosed)(_closed)
    app.exception_handler(OperationalError)(_unreachable)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(ClientDisconnect)(_left)
    app.exception_handler(Exception)(_unforeseen)


def problem(status: int, title: str, detail: str = "", **more: Any) -> JSONResponse:
    """Problem details for a program that is no app: a page's script, a gateway."""
    said = {"type": "about:blank", "title": title, "status": status, **({"detail": detail} if detail else {}), **more}
    return JSONResponse(said, status, media_type="application/problem+json")


def answer(request: Request, status: int, title: str, detail: str = "", **more: Any) -> Response:
    """An error, in the form that the caller understands."""
    if _is_api(request):
        return problems.answer(problems.of_status(status), f"{title}. {detail}".strip(), **more)
    if _is_program(request):
        return problem(status, title, detail, **more)
    return page(request, "error.html", status, title=title, detail=detail)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/v1/")


def _is_program(request: Request) -> bool:
    return _is_api(request) or "application/json" in request.headers.get("accept", "")


def _problem(_request: Request, error: problems.Refused) -> Response:
    """A 401 says how to log in, as RFC 9110 asks for."""
    headers = {"WWW-Authenticate": "Bearer"} if error.problem is problems.UNAUTHENTICATED else None
    return problems.answer(error.problem, error.detail, headers, **error.more)


async def _not_signed_in(request: Request, _error: Exception) -> Response:
    if _is_api(request):
        return _problem(request, problems.Refused(problems.UNAUTHENTICATED, "Log in again, or bring a key."))
    if _is_program(request):
        return problem(401, "Not logged in", "Log in again, or bring a key.")
    ours = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"  # never what another site filled in
    if ours and (kept := resume.interrupted(request.url.path, await form_fields(request))):
        if request.headers.get("HX-Request"):  # a form that is being filled in stays, and is carried when it is saved
            return page(request, "console/logged_out.html", 422)
        return resume.login_page(request, status=401, kept=kept)
    here = request.url.path if request.method == "GET" else ""
    login = f"{LOGIN}?next={quote(here)}" if here else LOGIN
    if request.headers.get("HX-Request"):
        return Response(status_code=401, headers={"HX-Redirect": login})
    return RedirectResponse(login, 303)


def _second_factor_due(request: Request, _error: Exception) -> Response:
    if _is_api(request):
        return problems.answer(problems.UNAUTHENTICATED, "The second factor is still to be shown.")
    if _is_program(request):
        return problem(401, "Not logged in", "The second factor is still to be shown.")
    if request.headers.get("HX-Request"):
        return Response(status_code=401, headers={"HX-Redirect": SECOND_STEP})
    return RedirectResponse(SECOND_STEP, 303)


async def _old_form(request: Request, error: Exception) -> Response:
    """Who logged in again elsewhere, in another tab say, is shown the entries of the form that was open before."""
    user = getattr(request.state, "user", None)
    surely_ours = request.headers.get("Sec-Fetch-Site") == "same-origin"
    if user and surely_ours and (kept := resume.interrupted(request.url.path, await form_fields(request))):
        return await run_in_threadpool(resume.shown_again, request, user, session_token(request), kept, 403)
    return await run_in_threadpool(_forbidden, request, error)


def _forbidden(request: Request, error: Exception) -> Response:
    return answer(request, 403, "Not allowed", str(error))


def _refused(request: Request, error: DefrayError) -> Response:
    if _is_api(request):
        return problems.of_error(error)
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
    faults = error.faults if isinstance(error, RequestRefused) else ()
    more = {"faults": [{"field": f.field, "problem": f.problem, "remedy": f.remedy} for f in faults]} if faults else {}
    return answer(request, status, error.message, error.hint, **more)


def _unreachable(request: Request, error: Exception) -> Response:
    _log.warning("the database does not answer: %s", type(error).__name__)
    return answer(request, 503, "The database does not answer", "Nothing was changed by this; try again in a minute.")


def _closed(request: Request, error: Exception) -> Response:
    _log.error("the vault is closed: %s", error)  # where the key file lies is nobody's business but the log's
    return answer(request, 503, "Cards cannot be taken now", "Nothing was changed by this; an administrator must look.")


def _invalid(request: Request, error: RequestValidationError) -> Response:
    faults = [
        {
            "field": ".".join(map(str, one["loc"][1:])),
            "problem": one["type"].replace("_", " "),
            "remedy": "Compare it with the documentation",
        }
        for one in error.errors()
    ]
    fields = ", ".join(one["field"] for one in faults)
    return answer(request, 422, "Not understood", f"Look at: {fields}.", faults=faults)


def _http(request: Request, error: HTTPException) -> Response:
    titles = {404: "There is no such page", 405: "Not possible here"}
    found = answer(request, error.status_code, titles.get(error.status_code, str(error.detail)))
    found.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        found.headers["Allow"] = ", ".join(_taken(request))
    return found


def _taken(request: Request) -> list[str]:
    """The methods that the address takes, over all its routes: the framework names those of the first one only."""
    routes = request.app.routes
    return [
        method
        for method in HTTPMethod
        if any(route.matches({**request.scope, "method": method.value})[0] is Match.FULL for route in routes)
    ]


def _left(_request: Request, _error: Exception) -> Response:
    """Who goes away in the middle of a body is no error of ours, and reads no answer."""
    return Response(status_code=400)


def _unforeseen(request: Request, _error: Exception) -> Response:
    """The server logs the error itself (redacted, as every line); the answer has none of its words."""
    span = traces.current()
    written = f"It was written down as {span.trace_id}" if span else "It was written down"
    return answer(request, 500, "Something went wrong here", f"{written}. Try again, or tell who runs Defray.")
