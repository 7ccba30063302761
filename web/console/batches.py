"""Payments that were submitted together: all batches, and one with what did not go well first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from books import batches, views
from books.views import WORST_FIRST, PaymentStatus
from rules.errors import NotFound
from rules.people import Role
from web.flower import tasks_of_batch
from web.office import At, Id
from web.pages import page
from web.rights import Clerk

router = APIRouter(include_in_schema=False)

LISTED: Final = 25
"""Batches on one page."""
FEW: Final = 20
MANY: Final = 100
"""Payments of one state: among the others, and on a page of their own."""
_LAST: Final = 2**63 - 1
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))

Cursor = Annotated[int, Query(ge=0, le=_LAST)]


@dataclass(frozen=True, slots=True)
class OfState:
    """Some of a batch's payments in one state, and how many there are."""

    state: str
    payments: int
    rows: tuple[PaymentStatus, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of the chart."""

    at: str
    posted: int


@router.get("/console/batches")
def window(request: Request, at: At, user: Clerk, before: Cursor = _LAST) -> Response:
    """All batches, the latest first."""
    with at.reading() as (conn, _):
        found = batches.latest(conn, before, LISTED + 1)
    more = found[LISTED - 1].id if len(found) > LISTED else None
    return page(
        request,
        "console/batches.html",
        batches=found[:LISTED],
        more=more,
        first=before == _LAST,
        states=WORST_FIRST,
        counted=batches.COUNTED,
    )


@router.get("/console/batches/{batch_id}")
def one(request: Request, at: At, user: Clerk, batch_id: Id, state: str = "", after: Cursor = 0) -> Response:
    """One batch: how far it is, its sums, its payments; with a state, only those, page by page. Raises NotFound."""
    if state and state not in WORST_FIRST:
        raise NotFound("There is no such state of a payment.", "Go back to the batch.")
    most = MANY if state else FEW
    with at.reading() as (conn, _):
        batch = views.batch(conn, batch_id, most=0)
        groups = tuple(
            OfState(each, batch.by_state[each], views.batch_rows(conn, batch_id, each, most + 1, after))
            for each in WORST_FIRST
            if each in batch.by_state and state in ("", each)
        )
        pace = batches.pace(conn, batch_id)
    zone = at.settings.business_time_zone
    return page(
        request,
        "console/batch.html",
        batch=batch,
        groups=groups,
        state=state,
        after=after,
        most=most,
        pace=pace,
        bars=[Bar(f"{part.at.astimezone(zone):%H:%M:%S}", part.posted) for part in pace.parts] if pace else [],
        each=_each(pace.step) if pace else "",
        tasks=tasks_of_batch(at.settings.web_flower_url if user.role.may(Role.SUPERVISOR) else "", batch_id),
    )


def _each(step: timedelta) -> str:
    """A length of time as in "payments a minute"."""
    seconds = int(step.total_seconds())
    size, name = next((size, name) for size, name in _UNITS if seconds % size == 0)
    count = seconds // size
    return name if count == 1 else f"{count} {name}s"
