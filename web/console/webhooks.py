"""Webhooks: endpoints of apps, how they stand, their last deliveries, and the button that delivers again."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import webhooks
from rules.errors import NotFound
from web.office import At, Id
from web.pages import go, page
from web.rights import Fields, Supervisor

router = APIRouter(include_in_schema=False)

_WEBHOOKS = "/console/webhooks"


@router.get(_WEBHOOKS)
def everywhere(request: Request, at: At, user: Supervisor) -> Response:
    """All endpoints, each with its last deliveries."""
    with at.reading() as (conn, _):
        found = [(one, webhooks.deliveries(conn, one.id, 10)) for one in webhooks.endpoints(conn)]
    return page(request, "console/webhooks.html", 200, endpoints=found)


@router.post(f"{_WEBHOOKS}/{{endpoint_id}}/enable")
def enable(at: At, user: Supervisor, endpoint_id: Id) -> Response:
    """Tell a disabled endpoint again."""
    with at.transaction() as (conn, now):
        webhooks.enable(conn, endpoint_id, now, user.name)
    at.wake.webhooks()
    return go(_WEBHOOKS, f"Endpoint {endpoint_id} is told again, of what it missed, too.")


@router.post(f"{_WEBHOOKS}/{{endpoint_id}}/replay")
def replay(at: At, user: Supervisor, endpoint_id: Id, fields: Fields) -> Response:
    """Deliver one event again."""
    event_id = _event(fields)
    with at.transaction() as (conn, now):
        webhooks.replay_one(conn, endpoint_id, event_id, now, user.name)
    at.wake.webhooks()
    return go(_WEBHOOKS, f"Event {event_id} is delivered again.")


def _event(fields: Mapping[str, str]) -> int:
    said = fields.get("event_id", "")
    if not (said.isascii() and said.isdigit() and len(said) < 19):
        raise NotFound("There is no such event.", "Press the button beside a delivery.")
    return int(said)
