"""The one place that takes a card number: checked, sealed by the vault, answered with a token (C1).

The body is read here and by nobody before: nothing validates it and repeats it, nothing logs it. A fault never has the
value that it is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from books import lists
from books.api_keys import ApiKey
from rules.cards import check_card
from rules.errors import Fault, NotFound
from rules.requests import unknown_fields
from web import problems
from web.api.access import CardKeeper
from web.api.requests import json_object
from web.office import At, Office
from web.rights import TOKEN_FIELD

router = APIRouter()

_FIELDS: Final = ("number", "expiry", "security_code", "name", "street", "city", "state", "postal_code", "country")
_TAKEN: Final = (*_FIELDS, "customer")
_ID_DIGITS: Final = 18  # of a number that the database can hold


_NO_CUSTOMER: Final = {"field": "customer", "problem": "no id of a customer", "remedy": "Open the form again"}
_NO_SUCH_CUSTOMER: Final = {"field": "customer", "problem": "no such customer", "remedy": "Compare the number"}


@router.post("/v1/cards", status_code=201)
async def keep_card(request: Request, at: At, keeper: CardKeeper) -> JSONResponse:
    """Keep a card: `number`, `expiry` as MM/YY, optionally `security_code`, `name` and address, as JSON or form.

    `customer`: whose card it is, by id, for an app by number; the token then counts for that customer only.
    201 with token, brand, last_four, exp_month, exp_year; 422 with `faults`, each with its field and remedy.
    """
    given = await _given(request)
    if given is None:
        remedy = f"Send a JSON object or a form with the fields {', '.join(_FIELDS)}."
        return problems.answer(problems.BODY_NOT_UNDERSTOOD, remedy)
    return await run_in_threadpool(_keep, at, given, keeper if isinstance(keeper, ApiKey) else None)


async def _given(request: Request) -> Mapping[str, object] | None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        form = await request.form(max_files=0, max_fields=20)
        return {name: value for name, value in form.items() if name != TOKEN_FIELD} or None
    return json_object(await request.body())


def _keep(at: Office, said: Mapping[str, object], key: ApiKey | None) -> JSONResponse:
    given = {name: value for name, value in said.items() if isinstance(value, str)}
    no_texts = [name for name in _TAKEN if said.get(name, "") is not None and not isinstance(said.get(name, ""), str)]
    faults = [*unknown_fields(said, _TAKEN), *(Fault(name, "", "not a text", "Give a text") for name in no_texts)]
    if faults:
        return _not_taken([_shown(fault) for fault in faults])
    with at.reading() as (_, now):
        today = at.today(now)
    customer = given.get("customer", "")
    if key is not None:
        owner = _customer_of(at, key, customer)
    elif customer and not (customer.isascii() and customer.isdigit() and len(customer) <= _ID_DIGITS):
        return _not_taken([_NO_CUSTOMER])
    else:
        owner = int(customer) if customer else None
    if owner is False:
        return _not_taken([_NO_SUCH_CUSTOMER])
    number, expiry, security_code, name, *address = (given.get(field, "") for field in _FIELDS)
    card = check_card(
        number, expiry, security_code or None, name, today, **dict(zip(_FIELDS[4:], address, strict=True))
    )
    if isinstance(card, list):
        return _not_taken([_shown(fault) for fault in card])
    [kept] = at.producer.keep_cards([card], owner)
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


def _customer_of(at: Office, key: ApiKey, number: str) -> int | Literal[False] | None:
    """The id of the customer whose card an app enters, None where that is not said; False: none that the key sees."""
    if not number or number == key.customer:
        return key.customer_id
    if key.customer is not None:
        return False
    with at.reading() as (conn, _):
        try:
            return lists.customer(conn, number).id
        except NotFound:
            return False


def _not_taken(faults: Sequence[Mapping[str, str]]) -> JSONResponse:
    return problems.answer(problems.REFUSED, "The card was not taken.", faults=faults)


def _shown(fault: Fault) -> dict[str, str]:
    return {"field": fault.field.removeprefix("card_"), "problem": fault.problem, "remedy": fault.remedy}
