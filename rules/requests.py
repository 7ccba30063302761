"""A request to record a payment: what it may say, and everything that is wrong with one at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Final, NamedTuple, TypeVar

from rules.cards import looks_like_card_number
from rules.charging import WhenOwedLess
from rules.errors import Fault, shown
from rules.methods import Method, check_card_use, check_method, check_number
from rules.money import check_currency, check_minor, parse_decimal
from rules.texts import NOTES_MAX, check_text

NAME_MAX: Final = 100
"""Characters of a customer's or an invoice's number."""

KEY_MAX: Final = 200
"""Characters of an idempotency key."""

WORDS_MAX: Final = 500
"""Characters in which a person says who acts, or why."""

POST_DATE_REACH: Final = timedelta(days=50 * 366)
"""R5: past and future post dates are allowed; one further away than this is a slip of the pen."""

RUN_ON_REACH: Final = timedelta(days=20 * 366)
"""A card is planned to be charged no later than so long from today: no card is valid for longer."""

FIELDS: Final = (
    "idempotency_key",
    "customer",
    "method",
    "number",
    "currency",
    "amount",
    "amount_minor",
    "invoices",
    "post_date",
    "notes",
    "as_credit",
    "allow_overlap",
    "when_owed_less",
    "card_token",
    "recurring",
    "run_on",
)
"""All fields that a request may have."""

_INVOICE_FIELDS: Final = ("number", "cap", "cap_minor")
_Checked = TypeVar("_Checked")


class InvoiceNamed(NamedTuple):
    """An invoice that a request names, and the most that may go to it, in minor units (R2)."""

    number: str
    cap_minor: int | None = None


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """A payment as it was asked for; no invoices: all Pending ones, oldest first (R1)."""

    idempotency_key: str
    customer: str
    method: Method
    currency: str
    total_minor: int
    number: str | None = None
    invoices: tuple[InvoiceNamed, ...] = ()
    post_date: date | None = None
    notes: str = ""
    as_credit: bool = False
    allow_overlap: bool = False
    when_owed_less: WhenOwedLess | None = None  # None: as the settings say
    card_token: str | None = None
    recurring: bool = False  # one of a series of charges that the customer agreed to
    run_on: date | None = None  # the later business day on which the card is charged; None: as soon as can be


def digest(request: PaymentRequest, card: str | None, apart: Sequence[str] = ()) -> bytes:
    """R15: what tells whether two requests with one key ask for the same.

    `card` says which card it is, whatever token it goes by (a card that is entered again gets a new token).
    `apart`: what else was said of it, such as that the card is to be kept.
    """
    content = (
        request.customer,
        request.method,
        request.number,
        request.currency,
        request.total_minor,
        request.invoices,
        request.post_date.isoformat() if request.post_date else None,
        request.notes,
        request.as_credit,
        request.allow_overlap,
        request.when_owed_less,
        card,
        # Digests of before these were known stay the same.
        *([request.recurring] if request.recurring else []),
        *([f"run_on {request.run_on.isoformat()}"] if request.run_on else []),
        *apart,
    )
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).digest()


def check(raw: Mapping[str, object], today: date) -> PaymentRequest | list[Fault]:
    """The request, or all that is wrong with it; `today` is the business day (R5)."""
    faults = unknown_fields(raw, FIELDS)

    def good(checked: _Checked | Fault, otherwise: _Checked) -> _Checked:
        if isinstance(checked, Fault):
            faults.append(checked)
            return otherwise
        return checked

    key = good(
        without_card("idempotency_key", required_text("idempotency_key", raw.get("idempotency_key"), KEY_MAX)), ""
    )
    customer = good(required_text("customer", raw.get("customer"), NAME_MAX), "")
    method = check_method(raw.get("method"))
    number: str | None = None
    card_token: str | None = None
    if isinstance(method, Fault):
        faults.append(method)
    else:
        number = good(check_number(method, raw.get("number")), None)
        card_token = good(_check_token(method, raw.get("card_token")), None)
    currency = check_currency(raw.get("currency"))
    total_minor = 0
    invoices: tuple[InvoiceNamed, ...] = ()
    if isinstance(currency, Fault):
        faults.append(currency)
    else:
        total_minor = good(check_amount(raw, currency), 0)
        named = _check_invoices(raw.get("invoices"), currency)
        if isinstance(named, list):
            faults.extend(named)
        else:
            invoices = named
    request = PaymentRequest(
        idempotency_key=key,
        customer=customer,
        method=method if isinstance(method, Method) else Method.OTHER,
        currency=currency if isinstance(currency, str) else "",
        total_minor=total_minor,
        number=number,
        invoices=invoices,
        post_date=good(_check_post_date(raw.get("post_date"), today), None),
        notes=good(check_notes(raw.get("notes")), ""),
        as_credit=good(check_flag("as_credit", raw.get("as_credit")), False),
        allow_overlap=good(check_flag("allow_overlap", raw.get("allow_overlap")), False),
        when_owed_less=good(_check_policy(raw.get("when_owed_less")), None),
        card_token=card_token,
        recurring=good(_check_recurring(method, raw.get("recurring")), False),
        run_on=good(_check_run_on(method, raw.get("run_on")), None),
    )
    return faults or request


def unknown_fields(raw: Mapping[str, object], known: Sequence[str], within: str = "") -> list[Fault]:
    """A fault for each field that nobody reads, with the nearest right name: a misspelt one must not be passed over."""
    faults = []
    for name in raw:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"Give only {', '.join(known)}"
            faults.append(Fault(f"{within}{shown(name)}", "", "no such field", remedy))
    return faults


def required_text(field: str, value: object, max_len: int) -> str | Fault:
    """A text of one line that must be there."""
    if value is None or value == "":
        return Fault(field, "", "missing", f"Give the {field.replace('_', ' ')}")
    checked = check_text(field, value, max_len)
    if isinstance(checked, Fault):
        return checked
    if not checked:
        return Fault(field, "", "blank", f"Give the {field.replace('_', ' ')}")
    return checked


def check_words(field: str, value: object) -> str | Fault:
    """One line that a person says of an act and that is kept for good: who (`by`), or why (`reason`)."""
    return without_card(field, required_text(field, value, WORDS_MAX))


def check_amount(
    raw: Mapping[str, object], currency: str, decimal: str = "amount", minor: str = "amount_minor"
) -> int | Fault:
    """Minor units from the one of two fields that is given: decimal text or an integer; a float is refused (B26)."""
    given = [name for name in (decimal, minor) if raw.get(name) is not None]
    match given:
        case []:
            return Fault(decimal, "", "missing", f"Give {decimal} as text such as 12.50, or {minor} as an integer")
        case [name] if name == minor:
            return check_minor(raw[minor], minor)
        case [_]:
            return parse_decimal(raw[decimal], currency, decimal)
        case _:
            return Fault(decimal, "", f"given beside {minor}", "Give one of the two")


def parse_day(field: str, value: object) -> date | Fault:
    """A day from a date or from ISO text such as 2026-03-31."""
    if type(value) is date:
        return value
    if isinstance(value, str) and len(value) == 10:
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    return Fault(field, shown(value), "not a day", "Give it as year-month-day, such as 2026-03-31")


def without_card(field: str, text: str | Fault) -> str | Fault:
    """The same text, or what is wrong with it: it looks like a card's number (C1)."""
    if isinstance(text, str) and looks_like_card_number(text):
        return Fault(field, "", "looks like a card number", "Take it out; a card is entered as a card, never as a text")
    return text


def _check_token(method: Method, value: object) -> str | Fault | None:
    if value is None or value == "":
        return None
    if fault := check_card_use(method, True, "card_token"):
        return fault
    return without_card("card_token", required_text("card_token", value, NAME_MAX))


def _check_invoices(value: object, currency: str) -> tuple[InvoiceNamed, ...] | list[Fault]:
    if value is None:
        return ()
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        return [Fault("invoices", shown(value), "not a list", "Give a list of invoice numbers, or leave it out")]
    if not value:
        return [Fault("invoices", "", "an empty list", "Name invoices, or leave it out to pay the oldest first")]
    faults: list[Fault] = []
    named: dict[str, InvoiceNamed] = {}
    for place, item in enumerate(value, start=1):
        field = f"invoices[{place}]"
        cap_minor: int | Fault | None = None
        number = item
        if isinstance(item, Mapping):
            faults.extend(unknown_fields(item, _INVOICE_FIELDS, f"{field}."))
            number = item.get("number")
            if item.get("cap") is not None or item.get("cap_minor") is not None:
                cap_minor = check_amount(item, currency, "cap", "cap_minor")
        checked = required_text(field, number, NAME_MAX)
        if isinstance(checked, Fault):
            faults.append(checked)
        elif isinstance(cap_minor, Fault):
            faults.append(Fault(f"{field}.{cap_minor.field}", cap_minor.value, cap_minor.problem, cap_minor.remedy))
        elif checked in named:
            faults.append(Fault(field, shown(checked), "named twice", "Name each invoice once (R1)"))
        else:
            named[checked] = InvoiceNamed(checked, cap_minor)
    return faults or tuple(named.values())


def _check_post_date(value: object, today: date) -> date | Fault | None:
    if value is None or value == "":
        return None
    day = parse_day("post_date", value)
    if isinstance(day, date) and abs(day - today) > POST_DATE_REACH:
        return Fault("post_date", day.isoformat(), "more than fifty years from today", "Compare the year")
    return day


def check_notes(value: object) -> str | Fault:
    """Notes for the office (R6); none where nothing is said."""
    if value is None:
        return ""
    return without_card("notes", check_text("notes", value, NOTES_MAX, lines=True))


def check_flag(field: str, value: object) -> bool | Fault:
    """True or false; false where nothing is said."""
    if value is None:
        return False
    return (
        value if isinstance(value, bool) else Fault(field, shown(value), "neither true nor false", "Give true or false")
    )


def _check_recurring(method: Method | Fault, value: object) -> bool | Fault:
    flag = check_flag("recurring", value)
    if flag is True and isinstance(method, Method):
        return check_card_use(method, True, "recurring") or flag
    return flag


def run_on_fault(day: date, today: date) -> Fault | None:
    """What is wrong with a day on which a card is to be charged: it is later than today, and not out of reach."""
    if day <= today:
        return Fault("run_on", day.isoformat(), "not after today", "Give a later day, or leave it out to charge now")
    if day - today > RUN_ON_REACH:
        return Fault("run_on", day.isoformat(), "more than twenty years from today", "Compare the year")
    return None


def _check_run_on(method: Method | Fault, value: object) -> date | Fault | None:
    """Whether it is in the future is asked when it is recorded: the same request may come again later (R15)."""
    if value is None or value == "":
        return None
    if isinstance(method, Method) and (fault := check_card_use(method, True, "run_on")):
        return fault
    return parse_day("run_on", value)


def _check_policy(value: object) -> WhenOwedLess | Fault | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value in set(WhenOwedLess):
        return WhenOwedLess(value)
    return Fault("when_owed_less", shown(value), "not a policy", f"Give one of {', '.join(WhenOwedLess)}")
