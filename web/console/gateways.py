"""Which gateways charge cards, and by which rules; to be read only, for admins."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from books.traffic import traffic
from rules.calendar import begins
from settings import gateway_facts
from web.office import At
from web.pages import page
from web.rights import Admin

router = APIRouter(include_in_schema=False)


@router.get("/console/gateways")
def window(request: Request, at: At, user: Admin) -> Response:
    """Where each gateway leads, what went over it today, if it is rested, which card goes where, and the rules."""
    with at.reading() as (conn, now):
        counts = traffic(conn, begins(at.today(now), at.settings.business_time_zone))
    return page(
        request,
        "console/gateways.html",
        gateways=gateway_facts(at.settings),
        counts=counts,
        rested=at.rested(),
        when_rested=at.settings.when_rested,
        fail_max=at.settings.gateway_fail_max,
        rest_seconds=at.settings.gateway_rest // timedelta(seconds=1),
        routes=at.settings.card_routes,
        policy=at.settings.retry_policy,
        refund_on_void_failure=at.settings.refund_on_void_failure,
        when_owed_less=at.settings.when_owed_less,
        two_factor_roles=at.settings.web_two_factor_roles,
    )
