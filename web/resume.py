"""A form that was saved after the session had ended: the log-in carries its fields, and then shows them again.

Nothing is saved by it: after the log-in the window is shown with the entries, whoever logged in, and waits for Save.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.responses import Response

from books.people import User
from rules.cards import looks_like_card_number
from web import rights
from web.pages import page

WINDOWS: Final = (re.compile(r"/console/customers/\d{1,19}(/invoices/\d{1,19})?/payment"),)
"""Addresses whose window is shown again, with nothing saved, for its fields and `do=preview`."""

LETTERS_MAX: Final = 20_000
"""Characters of all names and values that a log-in carries; a form with more is not carried."""

_ADDRESS: Final = "kept_address"
_PREFIX: Final = "kept_field_"
_LEFT_OUT: Final = ("do", rights.TOKEN_FIELD, "password")


@dataclass(frozen=True, slots=True)
class Kept:
    """The entries of a form, and the address of their window."""

    address: str
    fields: Mapping[str, str]

    @property
    def hidden(self) -> Mapping[str, str]:
        """Names and values by which the log-in form carries them."""
        return {_ADDRESS: self.address, **{f"{_PREFIX}{name}": value for name, value in self.fields.items()}}


def interrupted(address: str, fields: Mapping[str, str]) -> Kept | None:
    """What is carried of a form that was sent to an address; None where its window cannot show it again.

    A card's number is never carried, wherever it was typed (C1); nor are passwords and tokens.
    """
    if not any(window.fullmatch(address) for window in WINDOWS):
        return None
    kept = {
        name: value
        for name, value in fields.items()
        if name not in _LEFT_OUT and not looks_like_card_number(name) and not looks_like_card_number(value)
    }
    if not kept or sum(len(name) + len(value) for name, value in kept.items()) > LETTERS_MAX:
        return None
    return Kept(address, kept)


def carried(fields: Mapping[str, str]) -> Kept | None:
    """What the fields of a log-in form carry."""
    own = {name.removeprefix(_PREFIX): value for name, value in fields.items() if name.startswith(_PREFIX)}
    return interrupted(fields.get(_ADDRESS, ""), own)


def login_page(
    request: Request, wanted: str = "", refusal: str = "", status: int = 200, kept: Kept | None = None
) -> Response:
    """The log-in form, bound to this browser before anybody is logged in; it carries what is `kept`."""
    visit = rights.visit_token(request) or rights.drawn()
    request.state.visit = visit
    answer = page(request, "console/login.html", status, next=wanted, refusal=refusal, kept=kept)
    rights.begin_visit(request, answer, visit)
    return answer


def shown_again(request: Request, user: User, token: str, kept: Kept, status: int = 200) -> Response:
    """Right after the log-in: the way back to the entries. `token` is the new session's."""
    return page(request, "console/resume.html", status, user=user, csrf_token=rights.csrf_token(token), kept=kept)
