"""A check of ours for schemathesis: what its schema allows is refused for what the books know alone."""

from __future__ import annotations

import re
from typing import Any, Final

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from books import admit
from rules.cards import Brand

KNOWN_TO_THE_BOOKS: Final = {
    admit.OVERLAP.problem,
    admit.PAYS_NOTHING.problem,
    "no such customer",
    "the customer has no such invoice",
    "customer has no such invoice",
    "the customer has no such credit",
    "no such card",
    "the card has expired",
    "too far in the future",
    "more than fifty years from today",
    "not a card that this customer let us keep",
    "the card will have expired by then",
    "the card will have expired by the first date",
    "before today",
    "before the first date",
    "not after today",
    "more than twenty years from today",
    "more than two years from today",
    "not within ten years from today",
}
"""What of a valid request only the books and the calendar can say."""

NOT_BY_SCHEMA: Final = {
    "looks like a card number",
    "its check digit is wrong",
    "not a security code",
    *(f"digits are not as many as a card{of} has" for of in ("", *(f" of {brand}" for brand in Brand))),
    "named twice",
    "before the start",
    "given alone",
    "given without a customer",
    "given beside customer",
    "given beside another filter",
}
"""What no schema can say."""

_WHICH: Final = re.compile(r"^\d+ | C-1001(?= )")


@schemathesis.hook
def before_load_schema(_context: HookContext, schema: dict[str, Any]) -> None:
    """A batch that is too long by one row is no matter for drawn values: it would take all the time."""
    body = schema["paths"]["/v1/batches"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body["properties"]["payments"]["maxItems"] = 3


@schemathesis.hook
def map_body(_context: HookContext, body: Any) -> Any:
    """JSON Schema holds 5.0 for an integer; B26 does not."""
    if isinstance(body, dict):
        return {name: map_body(_context, value) for name, value in body.items()}
    if isinstance(body, list):
        return [map_body(_context, value) for value in body]
    return int(body) if isinstance(body, float) and body.is_integer() else body


@schemathesis.check
def refused_by_the_books(_ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """A valid request that is refused says what of it the books do not bear."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    said: dict[str, Any] = response.json()
    faults = [*said.get("faults", ()), *(fault for row in said.get("rows", ()) for fault in row["faults"])]
    left = {
        problem
        for fault in faults
        if "the invoice is in" not in fault["problem"]
        and (problem := _WHICH.sub("", fault["problem"])) not in KNOWN_TO_THE_BOOKS | NOT_BY_SCHEMA
    }
    assert not left, f"a valid request was refused: {sorted(left)}: {said}"
