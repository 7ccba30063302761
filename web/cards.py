"""The one place that takes a card number: checked, sealed by the vault, answered with a token (C1).

The body is read here and by nobody before: nothing validates it and repeats it, nothing logs it. A fault never has the
value that it is about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from rules.cards import check_card
from rules.errors import Fault
from web.errors import problem
from web.office import At, Office
from web.rights import Clerk

router = APIRouter()

_FIELDS: Final = ("number", "expiry", "security_code", "name", "street", "city", "state", "postal_code", "country")
_ID_DIGITS: Final = 18  # of a number that the database can hold


_NO_CUSTOMER: Final = {"field": "customer", "problem": "no id of a customer", "remedy": "Open the form again"}


@router.post("/v1/cards", status_code=201)
async def keep_card(request: Request, at: At, user: Clerk) -> JSONResponse:
    """Keep a card: `number`, `expiry` as MM/YY, optionally `security_code`, `name` and address, as JSON or form.

    `customer`: the id of the one whose card it is; the token then counts in that customer's forms only.
    201 with token, brand, last_four, exp_month, exp_year; 422 with `faults`, each with its field and remedy.
    """
    given = await _given(request)
    if given is None:
        return problem(400, "Not understood", f"Send a JSON object or a form with the fields {', '.join(_FIELDS)}.")
    return await run_in_threadpool(_keep, at, given)


async def _given(request: Request) -> Mapping[str, str] | None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        form = await request.form(max_files=0, max_fields=20)
        return {name: value for name, value in form.items() if isinstance(value, str)} or None
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError):  # no JSON, or nested deeper than anything that is meant
        return None
    if not isinstance(given, dict):
        return None
    return {name: value for name, value in given.items() if isinstance(value, str)}


def _keep(at: Office, given: Mapping[str, str]) -> JSONResponse:
    with at.reading() as (_, now):
        today = at.today(now)
    customer = given.get("customer", "")
    if customer and not (customer.isascii() and customer.isdigit() and len(customer) <= _ID_DIGITS):
        return problem(422, "The card was not taken", faults=[_NO_CUSTOMER])
    number, expiry, security_code, name, *address = (given.get(field, "") for field in _FIELDS)
    card = check_card(
        number, expiry, security_code or None, name, today, **dict(zip(_FIELDS[4:], address, strict=True))
    )
    if isinstance(card, list):
        return problem(422, "The card was not taken", faults=[_shown(fault) for fault in card])
    [kept] = at.producer.keep_cards([card], int(customer) if customer else None)
    return JSONResponse(
        {
            "token": kept.token,
            "brand": kept.brand.value,
            "last_four": kept.last_four,
            "exp_month": kept.exp_month,
            "exp_year": kept.exp_year,
        },
        201,
    )


def _shown(fault: Fault) -> dict[str, str]:
    return {"field": fault.field.removeprefix("card_"), "problem": fault.problem, "remedy": fault.remedy}
