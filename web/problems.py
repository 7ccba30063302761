"""What can go wrong with a call of the API: every type of problem (RFC 9457), and which error is of which type.

The types are promises: a program may branch on them. docs/api.md is made from this table (`python -m docs.api`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse

from books import admit
from books.answers import UnderWay
from rules.errors import (
    Archived,
    CardUnavailable,
    DefrayError,
    Fault,
    KeyReused,
    MoveRefused,
    NotFound,
    RequestRefused,
    Unreachable,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One type: its address, the status it comes with, its title, when it comes, and what a program does then."""

    name: str
    status: int
    title: str
    when: str
    then: str

    @property
    def type(self) -> str:
        """The stable URI reference."""
        return f"/problems/{self.name}"


UNAUTHENTICATED: Final = Problem(
    "unauthenticated",
    401,
    "No valid key",
    "the header `Authorization: Bearer dfk_...` is missing, or its key is unknown or was revoked",
    "send a key; `defray keys create` makes one",
)
NOT_ALLOWED: Final = Problem(
    "not-allowed",
    403,
    "Not allowed",
    "the key lacks the scope, or it is for one customer only",
    "use a key with the scope that `detail` names",
)
NOT_FOUND: Final = Problem(
    "not-found",
    404,
    "Not found",
    "there is no such thing, or the key may not see it",
    "compare the id or number",
)
METHOD_NOT_ALLOWED: Final = Problem(
    "method-not-allowed",
    405,
    "Not possible here",
    "the address does not take this method",
    "look the address up; the header `Allow` says what it takes",
)
BODY_NOT_UNDERSTOOD: Final = Problem(
    "body-not-understood",
    400,
    "Body not understood",
    "the body is no JSON object",
    "send a JSON object with `Content-Type: application/json`",
)
ADDRESS: Final = Problem(
    "address-not-understood",
    400,
    "Address not understood",
    "the address holds a zero byte, or a bare byte beyond ASCII",
    "take it out; quote what is beyond ASCII",
)
BODY_TOO_LARGE: Final = Problem(
    "body-too-large",
    413,
    "Body too large",
    "the body has more bytes than are taken here",
    "send less; split a batch",
)
MEDIA_TYPE: Final = Problem(
    "media-type",
    415,
    "No JSON",
    "the body's Content-Type is not `application/json`",
    "send a JSON object with `Content-Type: application/json`",
)
REFUSED: Final = Problem(
    "request-refused",
    422,
    "Request refused",
    "fields are missing, unknown or wrong",
    "look at `faults`: each has the field, what is wrong and how to mend it",
)
BATCH_REFUSED: Final = Problem(
    "batch-refused",
    422,
    "Batch refused",
    "rows of the batch are refused; nothing was recorded",
    "look at `rows`: each has its number, from 1, and its faults; mend them and send the batch again",
)
OVERLAPS: Final = Problem(
    "payment-overlaps",
    422,
    "Payment overlaps",
    "with the card payments under way it exceeds what the invoices owe",
    "wait until those have ended, or send `allow_overlap: true` if both are meant",
)
UNKNOWN_BESIDE: Final = Problem(
    "payment-outcome-unknown",
    422,
    "Outcome of another payment unknown",
    "the outcome of a charge for the same invoices is unknown",
    "wait until it is known: the gateway is being asked",
)
PAYS_NOTHING: Final = Problem(
    "nothing-owed",
    422,
    "Nothing is owed",
    "the payment would be applied to no invoice",
    "send `as_credit: true` to keep the sum as a credit",
)
KEY_REUSED: Final = Problem(
    "idempotency-key-reused",
    409,
    "Idempotency key reused",
    "the Idempotency-Key stands for another write of this API key",
    "draw a new key for a new write; repeat a write unchanged",
)
IN_FLIGHT: Final = Problem(
    "idempotency-key-in-flight",
    409,
    "First request under way",
    "a request with the same Idempotency-Key has not ended yet",
    "send the same again after the seconds in `Retry-After`",
)
EXISTS: Final = Problem(
    "already-exists",
    409,
    "Exists already",
    "a customer or an invoice of this number was recorded before",
    "get it by its number",
)
ARCHIVED: Final = Problem(
    "archived",
    410,
    "Archived",
    "the event that is named, or events behind the cursor, were moved out of the database",
    "begin at the event that `detail` names, or with `after=0` at the oldest that is kept; ask the office for the rest",
)
MOVE_REFUSED: Final = Problem(
    "state-refuses",
    409,
    "The state does not allow it",
    "the payment is in a state that does not allow what was asked, such as a void of a void payment",
    "get the payment, and look at its `state`",
)
TOO_MANY: Final = Problem(
    "too-many-requests",
    429,
    "Too many requests",
    "more was sent than is taken for now",
    "send it again after the seconds in `Retry-After`",
)
INTERNAL: Final = Problem(
    "internal-error",
    500,
    "Something went wrong here",
    "Defray failed; it was written down",
    "send the same again, with the same Idempotency-Key: what was done is not done twice",
)
UNAVAILABLE: Final = Problem(
    "unavailable",
    503,
    "Not available now",
    "the database does not answer; nothing was changed",
    "send the same again after the seconds in `Retry-After`, with the same Idempotency-Key",
)

ALL: Final = (
    UNAUTHENTICATED,
    NOT_ALLOWED,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    BODY_NOT_UNDERSTOOD,
    ADDRESS,
    BODY_TOO_LARGE,
    MEDIA_TYPE,
    REFUSED,
    BATCH_REFUSED,
    OVERLAPS,
    UNKNOWN_BESIDE,
    PAYS_NOTHING,
    KEY_REUSED,
    IN_FLIGHT,
    EXISTS,
    MOVE_REFUSED,
    ARCHIVED,
    TOO_MANY,
    INTERNAL,
    UNAVAILABLE,
)
"""Every type, by status."""

_OF_STATUS: Final = {
    400: BODY_NOT_UNDERSTOOD,
    401: UNAUTHENTICATED,
    403: NOT_ALLOWED,
    404: NOT_FOUND,
    405: METHOD_NOT_ALLOWED,
    409: MOVE_REFUSED,
    410: ARCHIVED,
    413: BODY_TOO_LARGE,
    415: MEDIA_TYPE,
    422: REFUSED,
    429: TOO_MANY,
    500: INTERNAL,
    503: UNAVAILABLE,
}
_OF_ERROR: Final[tuple[tuple[type[DefrayError], Problem], ...]] = (
    (Archived, ARCHIVED),
    (NotFound, NOT_FOUND),
    (UnderWay, IN_FLIGHT),
    (MoveRefused, MOVE_REFUSED),
    (KeyReused, KEY_REUSED),
    (Unreachable, UNAVAILABLE),
    (CardUnavailable, MOVE_REFUSED),
)
_AGAIN_IN: Final = {IN_FLIGHT.name: "1", UNAVAILABLE.name: "5"}


class Refused(Exception):
    """A call is answered with this problem."""

    def __init__(self, problem: Problem, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.more = more


def answer(problem: Problem, detail: str = "", headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:
    """Problem details of a type."""
    said = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": detail or f"{problem.when[:1].upper()}{problem.when[1:]}.",
        **more,
    }
    response = JSONResponse(said, problem.status, media_type="application/problem+json", headers=headers)
    if problem.name in _AGAIN_IN:
        response.headers["Retry-After"] = _AGAIN_IN[problem.name]
    return response


def of_status(status: int) -> Problem:
    """The type of an error that is known by its status alone."""
    return _OF_STATUS.get(status, REFUSED if status < HTTPStatus.INTERNAL_SERVER_ERROR else INTERNAL)


def of_error(error: DefrayError) -> JSONResponse:
    """The answer to an error of ours; of a fault only the field, the problem and the remedy, never the value."""
    if isinstance(error, RequestRefused):
        told = [of_fault(fault) for fault in error.faults]
        return answer(_of_faults(error.faults), "; ".join(f"{f['field']}: {f['problem']}" for f in told), faults=told)
    problem = next((one for kind, one in _OF_ERROR if isinstance(error, kind)), INTERNAL)
    hint = "" if problem is NOT_FOUND else error.hint  # which may name a command
    return answer(problem, f"{error.message} {hint}".strip())


def of_fault(fault: Fault) -> dict[str, str]:
    """A fault as programs are told of it."""
    return {"field": fault.field, "problem": fault.problem, "remedy": fault.remedy}


def _of_faults(faults: Sequence[Fault]) -> Problem:
    """R8a: what depends on other payments has a type of its own."""
    if faults == (admit.OVERLAP,):
        return OVERLAPS
    if faults == (admit.PAYS_NOTHING,):
        return PAYS_NOTHING
    if len(faults) == 1 and faults[0].remedy == admit.UNTIL_KNOWN:
        return UNKNOWN_BESIDE
    return REFUSED
