"""Where an app wants to be told what happens, by push (docs/events.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import webhooks
from books.webhooks import Endpoint, Sealed
from rules.errors import Fault, RequestRefused, shown
from rules.requests import unknown_fields
from rules.webhooks import check_contact, check_types
from web.api.access import Administrator
from web.api.answers import REPLAYED, Made, as_json, moment, write
from web.api.requests import Asked, Body, IdempotencyKey, asking
from web.office import At, Id, Office
from webhooks.address import check
from webhooks.secret import draw

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhook endpoints"])

_ENDPOINT: Final = tuple(one.name for one in dataclass_fields(Endpoint))
_FIELDS: Final = ("url", "types", "contact")


@router.post("", status_code=201)
def create(request: Request, at: At, key: Administrator, idempotency_key: IdempotencyKey, body: Body) -> Response:
    """Register an endpoint: `url`, `types` (all, if left out), `contact` (an e-mail address that is told when it is
    disabled). The answer has its `secret`: this once; a repeated request is answered without."""
    faults = unknown_fields(body, _FIELDS)
    url = check(body.get("url"), at.settings.webhook_allow_private)
    types, contact = check_types(body.get("types")), check_contact(body.get("contact"))
    faults += [one for one in (url, types, contact) if isinstance(one, Fault)]
    if faults or isinstance(url, Fault) or isinstance(types, Fault) or isinstance(contact, Fault):
        raise RequestRefused(faults)
    secret, sealed = drawn(at)

    def make(conn: Connection, now: datetime) -> Made:
        made = webhooks.add(conn, url, types, key.customer_id, contact, sealed, now, key.by)
        return Made(201, _shown(webhooks.endpoint(conn, made)))

    return _with_secret(write(at, request, key, idempotency_key, body, make), secret)


@router.get("")
def listed(at: At, key: Administrator, asked: Annotated[Asked, Depends(asking(of=_ENDPOINT))]) -> Response:
    """The endpoints."""
    with at.looking() as conn:
        found = webhooks.endpoints(conn, key.customer_id, asked.page.after, asked.page.limit + 1)
    return as_json(200, asked.shown([_shown(one) for one in found]))


@router.get("/{endpoint_id}")
def get(at: At, key: Administrator, endpoint_id: Id) -> dict[str, Any]:
    """One endpoint."""
    with at.looking() as conn:
        return _shown(webhooks.endpoint(conn, endpoint_id, key.customer_id))


@router.get("/{endpoint_id}/deliveries")
def deliveries(at: At, key: Administrator, endpoint_id: Id) -> dict[str, Any]:
    """Its latest deliveries, the latest event first, each with its last try."""
    with at.looking() as conn:
        webhooks.endpoint(conn, endpoint_id, key.customer_id)
        return {"data": [_plain(asdict(one)) for one in webhooks.deliveries(conn, endpoint_id)]}


@router.delete("/{endpoint_id}", status_code=204)
def delete(at: At, key: Administrator, endpoint_id: Id) -> Response:
    """Tell it nothing any more. Needs no Idempotency-Key: there is nothing that could be deleted twice."""
    with at.transaction() as (conn, now):
        webhooks.endpoint(conn, endpoint_id, key.customer_id)
        webhooks.delete(conn, endpoint_id, now, key.by)
    return Response(status_code=204)


@router.post("/{endpoint_id}/rotate-secret")
def rotate(
    request: Request, at: At, key: Administrator, idempotency_key: IdempotencyKey, body: Body, endpoint_id: Id
) -> Response:
    """A new `secret`, shown this once; the one before signs beside it for 24 hours."""
    secret, sealed = drawn(at)

    def make(conn: Connection, now: datetime) -> Made:
        found = webhooks.endpoint(conn, endpoint_id, key.customer_id)
        webhooks.rotate(conn, endpoint_id, sealed, now, key.by)
        return Made(200, _shown(found))

    return _with_secret(write(at, request, key, idempotency_key, _nothing(body), make), secret)


@router.post("/{endpoint_id}/enable")
def enable(
    request: Request, at: At, key: Administrator, idempotency_key: IdempotencyKey, body: Body, endpoint_id: Id
) -> Response:
    """Enable a disabled endpoint: it is told of all that it missed."""

    def make(conn: Connection, now: datetime) -> Made:
        webhooks.endpoint(conn, endpoint_id, key.customer_id)
        webhooks.enable(conn, endpoint_id, now, key.by)
        return Made(200, _shown(webhooks.endpoint(conn, endpoint_id)), at.wake.webhooks)

    return write(at, request, key, idempotency_key, _nothing(body), make)


@router.post("/{endpoint_id}/replay")
def replay(
    request: Request, at: At, key: Administrator, idempotency_key: IdempotencyKey, body: Body, endpoint_id: Id
) -> Response:
    """Deliver again: the event `event_id`, or all `since` a moment, step by step."""
    faults = unknown_fields(body, ("event_id", "since"))
    event_id, since = body.get("event_id"), _moment(body.get("since"))
    if event_id is not None and (type(event_id) is not int or not 0 < event_id < 2**63):
        faults.append(Fault("event_id", "", "no id of an event", "Give the id of an event that was delivered"))
    if isinstance(since, Fault):
        faults.append(since)
    if (event_id is None) == (since is None):
        faults.append(Fault("event_id", "", "one of event_id and since is needed", "Give one of them"))
    if faults or isinstance(since, Fault):
        raise RequestRefused(faults)

    def make(conn: Connection, now: datetime) -> Made:
        webhooks.endpoint(conn, endpoint_id, key.customer_id)
        if event_id is not None:
            webhooks.replay_one(conn, endpoint_id, event_id, now, key.by)
        elif since is not None:
            webhooks.replay_since(conn, endpoint_id, since, now, key.by)
        return Made(200, _shown(webhooks.endpoint(conn, endpoint_id)), at.wake.webhooks)

    return write(at, request, key, idempotency_key, body, make)


def drawn(at: Office) -> tuple[str, Sealed]:
    """A new secret, and as it is kept."""
    secret = draw()
    sealed = at.vault.seal_text(secret, webhooks.PURPOSE)
    return secret, Sealed(sealed.key_id, sealed.sealed)


def _with_secret(answer: Response, secret: str) -> Response:
    """The secret is in no kept answer."""
    if REPLAYED in answer.headers:
        return answer
    return as_json(answer.status_code, {**json.loads(bytes(answer.body)), "secret": secret})


def _nothing(body: Mapping[str, Any]) -> Mapping[str, Any]:
    if faults := unknown_fields(body, ()):
        raise RequestRefused(faults)
    return body


def _moment(said: object) -> datetime | Fault | None:
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(str(said))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1 < found.year < 9999:
        return Fault("since", shown(str(said)), "no moment", "Give a moment by RFC 3339, such as 2026-01-05T09:00:00Z")
    return found


def _shown(of: Endpoint) -> dict[str, Any]:
    return _plain(asdict(of))


def _plain(of: Mapping[str, Any]) -> dict[str, Any]:
    return {name: moment(value) if isinstance(value, datetime) else value for name, value in of.items()}
