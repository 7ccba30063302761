"""Pages from templates: what every one of them knows, and the words and sums that they show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from producer import keys
from rules.errors import Fault
from rules.money import for_people
from rules.people import Role
from web import header, rights

_HERE: Final = Path(__file__).parent
STATIC: Final = _HERE / "static"
_FLASH: Final = "defray_flash"
_FLASH_MAX: Final = 500
_FLASH_SECONDS: Final = 60
_OUT_OF_ORDER: Final = 500  # from this status on the database may be away: such a page asks it nothing more


class Pages:
    """The templates of one process."""

    def __init__(self, zone: ZoneInfo) -> None:
        """`zone`: times are shown by the business's clock."""
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            {
                "money": for_people,
                "day": _day,
                "moment": lambda at: f"{at.astimezone(zone):%Y-%m-%d %H:%M}" if at else "",
                "words": lambda name: str(name).replace("_", " "),
            }
        )
        self._environment.globals.update({"static": static_address, "Role": Role})

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """One template in words."""
        return self._environment.get_template(name).render(values)


def page(request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as an answer, with what all of them know: the user, the CSRF token, a message from the page before.

    `faults` (of rules.errors) may be given; templates show each beside its field by the macros of `forms.html`.
    """
    user = getattr(request.state, "user", None)
    bound_to = rights.session_token(request) if user else getattr(request.state, "visit", "")
    whole = "HX-Request" not in request.headers  # a part of a page has neither header nor message
    flash = unquote(rights.cookie(request, _FLASH)) if whole else ""
    known = {
        "user": user,
        "csrf_token": rights.csrf_token(bound_to) if bound_to else "",
        "header": header.of(request, user) if user and whole and status < _OUT_OF_ORDER else header.Header(),
        "part": False,
        "flash": flash,
        "path": request.url.path,
        "faults": (),
        **values,
    }
    answer = HTMLResponse(request.app.state.pages.render(name, known), status)
    if flash:
        rights.set_cookie(request, answer, _FLASH, "", max_age=0)
    return answer


class _Go(RedirectResponse):
    """Knows only when it is sent whether its cookie may do without TLS."""

    def __init__(self, address: str, message: str) -> None:
        super().__init__(address, 303)
        self._message = message

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._message:
            rights.set_cookie(Request(scope), self, _FLASH, quote(self._message[:_FLASH_MAX]), _FLASH_SECONDS)
        await super().__call__(scope, receive, send)


def go(address: str, message: str = "") -> Response:
    """To another page after a write (so that reloading repeats nothing), with a message that it shows once."""
    return _Go(address, message)


def form_key() -> str:
    """An idempotency key for a form: drawn when it is shown, so that saving it twice makes one payment (R15)."""
    return keys.drawn("form")


def by_field(faults: Iterable[Fault]) -> dict[str, list[Fault]]:
    """Faults by the field that they belong to."""
    sorted_out: dict[str, list[Fault]] = {}
    for fault in faults:
        sorted_out.setdefault(fault.field, []).append(fault)
    return sorted_out


def static_address(name: str) -> str:
    """The address of a static file, with its digest: it may be cached for ever, and a new release is seen at once."""
    return f"/static/{_DIGESTS[name]}/{name}"


def digest_of(name: str) -> str | None:
    """The digest in a static file's address; None where there is no such file."""
    return _DIGESTS.get(name)


def _day(day: date | datetime | None) -> str:
    return day.isoformat()[:10] if day else ""


_DIGESTS: Final = {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(STATIC.iterdir()) if path.is_file()
}
