"""Where gateways send their notices: kept as they came, answered at once, looked at by a worker (D1).

Open to everybody, since a gateway has no session: who sent one its signature says, which is not checked here. Until it
is, the body lies sealed, for it may hold anything, a card's number too (C1).
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from books import notices
from books.notices import Arrived, Stored
from web.errors import problem
from web.office import At, Office

router = APIRouter()

HEADER_MAX = 1_000
"""Characters that are kept of a header."""


@router.post("/v1/notices/{gateway}")
async def take_notice(gateway: str, request: Request, at: At) -> Response:
    """200 as soon as it is kept, also where it came before; 404 where none are taken, 429 where too many come.

    Not 202: whether Authorize.Net, which gives up an endpoint that fails, takes any but 200 for a yes is not said.
    """
    headers = at.settings.notice_headers.get(gateway)
    if headers is None:
        return problem(404, "No notices are taken here", "Name a gateway that notices are configured for.")
    kept = {name: value[:HEADER_MAX] for name in headers if (value := request.headers.get(name))}
    stored = await run_in_threadpool(_store, at, gateway, kept, await request.body())
    if stored == "too many":
        answer = problem(429, "Too many notices", "Send it again later.")
        answer.headers["Retry-After"] = "60"
        return answer
    return Response(status_code=200, background=BackgroundTask(at.wake.notices) if stored == "new" else None)


def _store(at: Office, gateway: str, headers: dict[str, str], body: bytes) -> Stored:
    text, purpose = body.decode("latin-1"), notices.purpose(gateway)
    sealed = at.vault.seal_text(text, purpose)
    digest = at.vault.fingerprint_text(text, purpose)
    with at.transaction() as (conn, now):
        return notices.store(conn, Arrived(gateway, digest, headers, sealed.key_id, sealed.sealed), now)
