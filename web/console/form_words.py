"""What is wrong with a payment form, in its own words: remedies that are worded for programs, said for a clerk.

Here stands every fault of a payment's request whose remedy names what only a request has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from books import admit
from rules.cards import looks_like_card_number
from rules.errors import Fault
from rules.methods import Method

FLAGS: Final = {
    "as_credit": "Keep what no invoice takes as a credit, although nothing is owed",
    "allow_overlap": "Charge all the same: the payments under way are meant, and so is this one",
    "allow_unknown": "Charge all the same, although an outcome is not known: both charges may be made",
}
"""The boxes of the form that say more than its fields; each is offered where a fault can be mended by it."""

_BY_FLAG: Final = {
    "as_credit": "Tick below that it is kept as a credit, or leave the window",
    "allow_overlap": "Wait until those have ended, or tick below if both are meant",
    "allow_unknown": "Wait until it is known: the gateway is being asked; or tick below that both may be charged",
}
_BY_OTHERS: Final = "Wait until it is known: the gateway is being asked. A supervisor can charge it all the same"
_REMEDIES: Final = {
    ("amount", "missing"): "Enter the sum, such as 12.50",
    ("method", "not a way to pay"): "Choose one of the list",
    ("number", "carries no number"): "Leave it out; only checks and money orders carry a number",
    ("card_token", "missing"): "Enter the card, or choose one that is kept",
    ("idempotency_key", ""): "Open this window again from the customer’s record",
    ("invoices", "the invoice is a draft"): "Issue it first",
    ("invoices", "the invoice is void"): "Choose another one from the customer’s record",
}
_FIELDS: Final = {"card_token": "card_number", "currency": "balance", "idempotency_key": "balance"}
"""Where a fault is shown whose field is not on the page."""

_SECRET: Final = "csrf_token"  # noqa: S105 - a name


def mended_by(faults: Iterable[Fault]) -> list[str]:
    """The flags that would let what was refused pass."""
    return [flag for flag in FLAGS if any(_flag(fault) == flag for fault in faults)]


def in_the_form(faults: Iterable[Fault], may_allow_unknown: bool) -> list[Fault]:
    """The faults as the form says them, beside fields that it has."""
    return [_worded(fault, may_allow_unknown) for fault in faults]


def card_numbers(fields: Mapping[str, str]) -> list[Fault]:
    """A fault for every field in which a card's number seems to stand; it is never repeated (C1)."""
    return [
        Fault(
            name,
            "",
            "looks like a card number",
            "Take it out; a card’s number is entered as the card number, only there",
        )
        for name, value in fields.items()
        if name != _SECRET and not looks_like_card_number(name) and looks_like_card_number(value)
    ]


def without_card_numbers(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields as they may be shown again (C1)."""
    return {
        name: "" if looks_like_card_number(value) else value
        for name, value in fields.items()
        if not looks_like_card_number(name)
    }


def _flag(fault: Fault) -> str:
    if fault == admit.PAYS_NOTHING:
        return "as_credit"
    if fault == admit.OVERLAP:
        return "allow_overlap"
    return "allow_unknown" if fault.remedy == admit.UNTIL_KNOWN else ""


def _worded(fault: Fault, may_allow_unknown: bool) -> Fault:
    flag = _flag(fault)
    if flag == "allow_unknown" and not may_allow_unknown:
        remedy = _BY_OTHERS
    elif flag:
        remedy = _BY_FLAG[flag]
    else:
        known = (said for (field, about), said in _REMEDIES.items() if fault.field == field and about in fault.problem)
        remedy = next(known, fault.remedy)
    problem = fault.problem
    for method in Method:
        problem = problem.replace(method.value, method.value.replace("_", " "))
    return replace(fault, field=_FIELDS.get(fault.field, fault.field), problem=problem, remedy=remedy)
