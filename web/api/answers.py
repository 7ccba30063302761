"""What a call is answered: rows as JSON, and writes that are answered the same when they come again (R15)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any, Final

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import Response

from books import answers
from books.account import Customer
from books.api_keys import ApiKey
from books.holds import Hold
from books.lists import Application, Batch, Credit, Invoice, Payment
from books.schedules import Run, Schedule
from rules.declines import told
from rules.outcomes import DeclineClass
from web.api.requests import digest
from web.office import Office

REPLAYED: Final = "Idempotent-Replayed"
"""The header of an answer to a write that was made before."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a write made; `wake` is done after the commit (D1)."""

    status: int
    body: Mapping[str, Any]
    wake: Callable[[], object] | None = None


def write(
    at: Office,
    request: Request,
    key: ApiKey,
    idempotency_key: str,
    body: Mapping[str, Any],
    make: Callable[[Connection, datetime], Made],
) -> Response:
    """Make it and keep the answer in one transaction, or give the answer that the same write was given before.

    Raises `books.answers.UnderWay`, KeyReused, and what `make` raises: then nothing is kept, and the key stays free.
    """
    content = digest(request, body)
    with at.transaction() as (conn, now):
        before = answers.begin(conn, key.id, idempotency_key, content)
        if before is not None:
            return as_json(before.status, before.body or "", replayed=True)
        made = make(conn, now)
        said = json.dumps(made.body)
        answers.remember(conn, key.id, idempotency_key, content, made.status, said, now)
    if made.wake is not None:
        made.wake()
    return as_json(made.status, said)


def as_json(status: int, said: str | Mapping[str, Any], *, replayed: bool = False, location: str = "") -> Response:
    """An answer."""
    text = said if isinstance(said, str) else json.dumps(said)
    headers = {**({REPLAYED: "true"} if replayed else {}), **({"Location": location} if location else {})}
    return Response(text, status, media_type="application/json", headers=headers)


def _names(of: type, *without: str) -> tuple[str, ...]:
    names = (one.name for one in fields(of))
    return tuple("amount_minor" if name == "total_minor" else name for name in names if name not in without)


CUSTOMER: Final = _names(Customer)
"""The fields of a customer, which `fields=` may name; likewise the next ones."""
INVOICE: Final = _names(Invoice)
PAYMENT_PARTS: Final = ("card_brand", "card_last_four", "declined_by", "decline_code", "decline_class")
PAYMENT: Final = (*_names(Payment, *PAYMENT_PARTS), "card", "decline")
CREDIT: Final = _names(Credit)
APPLICATION: Final = _names(Application)
BATCH: Final = _names(Batch, "caller")
SCHEDULE_PARTS: Final = ("card_brand", "card_last_four")
SCHEDULE: Final = (*_names(Schedule, *SCHEDULE_PARTS), "card")


# ---- shapes ---------------------------------------------------------------------------------------------------------


def customer(of: Customer) -> dict[str, Any]:
    """A customer."""
    return _plain(of)


def invoice(of: Invoice) -> dict[str, Any]:
    """An invoice."""
    return _plain(of)


def payment(of: Payment) -> dict[str, Any]:
    """A payment; of its card the brand and the last four digits; of a decline what it means and what to say."""
    said = {name: value for name, value in _plain(of).items() if name not in PAYMENT_PARTS}
    said["card"] = {"brand": of.card_brand, "last_four": of.card_last_four} if of.card_brand else None
    said["decline"] = _decline(of)
    return said


def _decline(of: Payment) -> dict[str, Any] | None:
    if of.declined_by is None or of.decline_code is None or of.decline_class is None:
        return None
    said = told(of.declined_by, of.decline_code, DeclineClass(of.decline_class))
    return {
        "code": of.decline_code,
        "class": of.decline_class,
        "meaning": said.meaning,
        "advice": {"clerk": said.clerk, "customer": said.customer},
    }


def credit(of: Credit) -> dict[str, Any]:
    """A credit."""
    return _plain(of)


def application(of: Application) -> dict[str, Any]:
    """What of a credit was applied to an invoice."""
    return _plain(of)


def batch(of: Batch) -> dict[str, Any]:
    """A batch in a list; how far it is says its own address."""
    return {name: value for name, value in _plain(of).items() if name in BATCH}


def schedule(of: Schedule) -> dict[str, Any]:
    """A schedule; of its card the brand and the last four digits."""
    said = {name: value for name, value in _plain(of).items() if name not in SCHEDULE_PARTS}
    return {**said, "card": {"brand": of.card_brand, "last_four": of.card_last_four}}


def run(of: Run) -> dict[str, Any]:
    """What became of one date."""
    return _plain(of)


def hold(of: Hold) -> dict[str, Any]:
    """A hold."""
    return _plain(of)


def _plain(row: Any) -> dict[str, Any]:
    """The row as JSON takes it; what it is of in all is its `amount_minor`, as in a request."""
    said: Sequence[str] = row.__slots__
    return {("amount_minor" if name == "total_minor" else name): _value(getattr(row, name)) for name in said}


def _value(value: object) -> object:
    if isinstance(value, datetime):
        return moment(value)
    return value.isoformat() if isinstance(value, date) else value


def moment(at: datetime) -> str:
    """A moment by RFC 3339, in UTC."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
