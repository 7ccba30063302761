"""What the clock charges a customer: schedules, made and changed here, and the hold while which it charges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from books import account, holds, kept_cards, schedules
from papers import schedules as words
from rules.errors import Fault, KeyReused, MoveRefused, NotFound, RequestRefused
from rules.money import EXPONENTS
from rules.requests import parse_day
from rules.schedules import Unit, check
from web.console.form_words import card_numbers, without_card_numbers
from web.console.payment import reason_of
from web.office import CALLER, At, Id, Office
from web.pages import form_key, go, page
from web.rights import Clerk, Fields

router = APIRouter(include_in_schema=False)

SHOWN: Final = 50
RUNS_SHOWN: Final = 6
_COUNTS: Final = ("every", "month_day", "times")
_TEXTS: Final = ("currency", "amount", "unit", "start", "until", "notes")


def _address(customer_id: int) -> str:
    return f"/console/customers/{customer_id}/schedules"


@router.get("/console/customers/{customer_id}/schedules")
def window(request: Request, at: At, user: Clerk, customer_id: Id) -> Response:
    """The hold, the schedules with their latest dates, and the form of a new one."""
    return _shown(request, at, customer_id, {})


@router.post("/console/customers/{customer_id}/schedules")
def make(request: Request, at: At, user: Clerk, customer_id: Id, fields: Fields) -> Response:
    """Make a schedule."""
    faults, fields = card_numbers(fields), without_card_numbers(fields)
    if faults:
        return _shown(request, at, customer_id, fields, faults)
    with at.reading() as (conn, _):
        number = account.customer(conn, customer_id).number
        cards = {str(card.id): card.token for card in kept_cards.of_customer(conn, customer_id)}
    asked = check(
        {
            **{name: fields.get(name) or None for name in _TEXTS},
            **{name: _count(fields.get(name, "")) for name in _COUNTS},
            **{flag: flag in fields for flag in ("all_owed", "as_credit")},
            "customer": number,
            "card_token": cards.get(fields.get("card", "")),
            "idempotency_key": fields.get("idempotency_key", ""),
        }
    )
    if isinstance(asked, list):
        return _shown(request, at, customer_id, fields, asked)
    try:
        with at.transaction() as (conn, now):
            made, _ = schedules.make(conn, asked, CALLER, at.zone, now, user.name)
    except RequestRefused as error:
        return _shown(request, at, customer_id, fields, error.faults)
    except KeyReused:
        return go(_address(customer_id), "This form was saved before. What was changed in it since was not saved.")
    return go(_address(customer_id), f"Schedule {made} is made.")


@router.post("/console/customers/{customer_id}/schedules/{schedule_id}")
def change(request: Request, at: At, user: Clerk, customer_id: Id, schedule_id: Id, fields: Fields) -> Response:
    """Pause, resume, skip or stop: as `do` says."""
    act = fields.get("do", "")
    reason = "" if act == "resume" else reason_of(fields)
    if isinstance(reason, Fault):
        named = Fault(f"reason-{schedule_id}", reason.value, reason.problem, reason.remedy)
        return _shown(request, at, customer_id, fields, [named])
    try:
        with at.transaction() as (conn, now):
            match act:
                case "pause":
                    schedules.pause(conn, schedule_id, reason, now, user.name, customer_id)
                case "resume":
                    schedules.resume(conn, schedule_id, at.zone, now, user.name, customer_id)
                case "skip":
                    schedules.skip(conn, schedule_id, reason, at.zone, now, user.name, customer_id)
                case "stop":
                    schedules.stop(conn, schedule_id, reason, now, user.name, customer_id)
                case _:
                    raise NotFound("There is no such button.", "Press one of the page.")
            standing = schedules.get(conn, schedule_id)
    except MoveRefused as refused:
        return go(_address(customer_id), f"Nothing was done. {refused}")
    return go(_address(customer_id), words.line(standing))


@router.post("/console/customers/{customer_id}/hold")
def hold(request: Request, at: At, user: Clerk, customer_id: Id, fields: Fields) -> Response:
    """Put the customer on hold."""
    reason = reason_of(fields)
    last_day = parse_day("until", fields["until"]) if fields.get("until") else None
    faults = [one for one in (reason, last_day) if isinstance(one, Fault)]
    if faults or isinstance(reason, Fault) or isinstance(last_day, Fault):
        return _shown(request, at, customer_id, fields, [_of_hold(one) for one in faults])
    try:
        with at.transaction() as (conn, now):
            account.customer(conn, customer_id)
            holds.place(conn, customer_id, reason, last_day, at.zone, now, user.name)
    except RequestRefused as error:
        return _shown(request, at, customer_id, fields, [_of_hold(one) for one in error.faults])
    return go(_address(customer_id), "The customer is on hold.")


@router.post("/console/customers/{customer_id}/hold/lift")
def lift(at: At, user: Clerk, customer_id: Id) -> Response:
    """Lift the hold: what waits for that is looked at now."""
    try:
        with at.transaction() as (conn, now):
            waited = holds.lift(conn, customer_id, now, user.name)
    except MoveRefused as refused:
        return go(_address(customer_id), f"Nothing was done. {refused}")
    if waited:
        at.wake.singles("charge")
    return go(_address(customer_id), f"The hold is lifted. Payments that waited for that: {waited:,}.")


def _of_hold(fault: Fault) -> Fault:
    return Fault(f"hold-{fault.field}", fault.value, fault.problem, fault.remedy)


def _count(text: str) -> object:
    """A whole number of a field, None where it is empty; what is none is left for the check to refuse."""
    tidy = text.strip()
    return (int(tidy) if tidy.isascii() and tidy.isdecimal() and len(tidy) < 10 else tidy) if tidy else None


def _shown(
    request: Request, at: Office, customer_id: int, form: Mapping[str, str], faults: Sequence[Fault] = ()
) -> Response:
    with at.reading() as (conn, now):
        customer = account.customer(conn, customer_id)
        standing = holds.of_customer(conn, customer_id, now)
        known = schedules.of_customer(conn, customer_id, SHOWN)
        runs: dict[int, list[Any]] = {one.id: schedules.runs(conn, one.id, RUNS_SHOWN) for one in known}
        cards = kept_cards.of_customer(conn, customer_id)
        owed = [one.currency for one in account.balances(conn, customer_id, at.today(now)) if one.due_minor]
    return page(
        request,
        "console/schedules.html",
        422 if faults else 200,
        customer=customer,
        hold=words.held(standing, at.zone) if standing else "",
        schedules=known,
        runs=runs,
        words=words,
        cards=cards,
        units=tuple(Unit),
        currencies=sorted(EXPONENTS),
        form={"currency": owed[0] if owed else "USD", "unit": Unit.MONTH, "idempotency_key": form_key(), **form},
        faults=[_placed(one) for one in faults],
    )


def _placed(fault: Fault) -> Fault:
    """A fault beside a field that the page has."""
    fields = {"card_token": "card", "idempotency_key": "amount", "customer": "amount", "amount_minor": "amount"}
    return Fault(fields.get(fault.field, fault.field), fault.value, fault.problem, fault.remedy)
