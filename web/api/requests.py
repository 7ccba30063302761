"""What a call says: its body, its Idempotency-Key, which part of a list it asks for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, Request

from books.lists import Page
from rules.apps import check_idempotency_key
from rules.errors import Fault, RequestRefused, shown
from rules.requests import parse_day, unknown_fields
from web.problems import BODY_NOT_UNDERSTOOD, MEDIA_TYPE, Refused

LIMIT: Final = 50
LIMIT_MAX: Final = 200
"""Rows of one page of a list."""

_INTEGER: Final = re.compile(r"[0-9]{1,18}")


# ---- writes ---------------------------------------------------------------------------------------------------------


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that a write brings. Raises Refused where it brings none; a name given twice is none."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(MEDIA_TYPE, "Send a JSON object with the header Content-Type: application/json.")
    if (said := json_object(await request.body())) is None:
        raise Refused(BODY_NOT_UNDERSTOOD, "The body is no JSON object, or names a field twice.")
    return said


def json_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object that a text is; None where it is none, names a field twice or nests deeper than is meant."""
    try:
        said = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) < len(pairs):
        raise ValueError
    return said


def _no_number(_name: str) -> None:
    raise ValueError


Body = Annotated[dict[str, Any], Depends(_body)]
"""A handler's parameter: `body: Body`."""


async def _idempotency_key(request: Request) -> str:
    checked = check_idempotency_key(request.headers.get("idempotency-key"))
    if isinstance(checked, Fault):
        raise RequestRefused([checked])
    return checked


IdempotencyKey = Annotated[str, Depends(_idempotency_key)]
"""A handler's parameter, of every write: `idempotency_key: IdempotencyKey`."""


def digest(request: Request, body: Mapping[str, Any]) -> bytes:
    """R15: what tells whether two writes with one key are the same."""
    said = json.dumps([request.method, request.url.path, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(said.encode()).digest()


# ---- lists ----------------------------------------------------------------------------------------------------------


Pick = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Leaves of a row what was asked for by `fields=`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A list: which part of it, and the filters that were given."""

    path: str
    page: Page
    filters: Mapping[str, str]
    pick: Pick

    @property
    def one_more(self) -> Page:
        """The page, and one row behind it, which tells whether the list goes on."""
        return Page(self.page.after, self.page.limit + 1)

    def shown(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The answer: the rows of the page, and the address of the next one, null at the end."""
        kept = list(rows[: self.page.limit])
        more = len(rows) > len(kept)
        return {"data": [self.pick(row) for row in kept], "next": self._next(kept[-1]["id"]) if more else None}

    def _next(self, after: int) -> str:
        return f"{self.path}?{urlencode({**self.filters, 'after': after, 'limit': self.page.limit})}"


def asking(*filters: str, of: Sequence[str]) -> Callable[[Request], Awaitable[Asked]]:
    """The dependency of a list of rows with the fields `of`, with these filters.

    Raises RequestRefused for any other filter or field, and for one given twice.
    """

    async def read(request: Request) -> Asked:
        given = request.query_params.multi_items()
        said = dict(given)
        faults = unknown_fields(said, ("after", "limit", "fields", *filters))
        if len(said) < len(given):
            faults.append(Fault("query", "", "a name is given twice", "Give each name once"))
        after = _number(said.get("after"), "after", 0, 0, 10**18)
        limit = _number(said.get("limit"), "limit", LIMIT, 1, LIMIT_MAX)
        pick = _pick(said.get("fields"), of)
        faults += [one for one in (after, limit, pick) if isinstance(one, Fault)]
        if faults or isinstance(after, Fault) or isinstance(limit, Fault) or isinstance(pick, Fault):
            raise RequestRefused(faults)
        kept = {name: said[name] for name in (*filters, "fields") if name in said}
        return Asked(request.url.path, Page(after, limit), kept, pick)

    return read


def picking(of: Sequence[str]) -> Callable[[Request], Awaitable[Pick]]:
    """The dependency of one row with these fields. Raises RequestRefused where `fields=` names any other."""

    async def read(request: Request) -> Pick:
        pick = _pick(request.query_params.get("fields"), of)
        if isinstance(pick, Fault):
            raise RequestRefused([pick])
        return pick

    return read


def _pick(text: str | None, of: Sequence[str]) -> Pick | Fault:
    if text is None:
        return lambda row: row
    names = text.split(",")
    if not set(names) <= set(of):
        return Fault("fields", "", "names no such field", f"Give some of {', '.join(of)}, with commas between")
    return lambda row: {name: row[name] for name in names}


def _number(text: str | None, field: str, otherwise: int, least: int, most: int) -> int | Fault:
    if text is None:
        return otherwise
    if not _INTEGER.fullmatch(text) or not least <= int(text) <= most:
        return Fault(field, shown(text), "out of range", f"Give a whole number from {least} to {most}")
    return int(text)


def id_filter(asked: Asked, name: str) -> int | None:
    """A filter that names an id. Raises RequestRefused."""
    if (text := asked.filters.get(name)) is None:
        return None
    checked = _number(text, name, 0, 1, 10**18)
    if isinstance(checked, Fault):
        raise RequestRefused([checked])
    return checked


def day_filter(asked: Asked, name: str) -> date | None:
    """A filter that gives a day. Raises RequestRefused."""
    if (text := asked.filters.get(name)) is None:
        return None
    day = parse_day(name, text)
    if isinstance(day, Fault):
        raise RequestRefused([day])
    return day


def moment_filter(asked: Asked, name: str) -> datetime | None:
    """A filter that gives a moment by RFC 3339. Raises RequestRefused."""
    if (text := asked.filters.get(name)) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1 < moment.year < 9999:
        raise RequestRefused([Fault(name, shown(text), "no moment", "Give it as 2026-03-31T12:00:00Z")])
    return moment


def one_of(asked: Asked, name: str, known: Sequence[str]) -> str | None:
    """A filter that takes one of some words. Raises RequestRefused."""
    said = asked.filters.get(name)
    if said is not None and said not in known:
        raise RequestRefused([Fault(name, shown(said), "no such word", f"Give one of {', '.join(known)}")])
    return said
