"""Ways to pay, and which of them carry a number or a card (R6)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from rules.cards import looks_like_card_number
from rules.errors import Fault, shown
from rules.texts import check_text

NUMBER_MAX: Final = 40
"""Characters of a check's or money order's number."""


class Method(StrEnum):
    """How a payment is made."""

    CHECK = "check"
    MONEY_ORDER = "money_order"
    CREDIT_CARD = "credit_card"
    CASH = "cash"
    PAYPAL = "paypal"
    OTHER = "other"

    @property
    def carries_number(self) -> bool:
        """R6: check and money order may carry a number, no other method may."""
        return self in {Method.CHECK, Method.MONEY_ORDER}


def check_method(value: object, field: str = "method") -> Method | Fault:
    """The method, or what is wrong with it."""
    if isinstance(value, str) and value in set(Method):
        return Method(value)
    return Fault(field, shown(value), "not a way to pay", f"Give one of {', '.join(Method)}")


def check_number(method: Method, number: object, field: str = "number") -> str | Fault | None:
    """R6: the number of a check or money order, None where none was given, or what is wrong with it."""
    if number is None or number == "":
        return None
    if not method.carries_number:
        remedy = "Leave it out; only check and money_order carry a number"
        return Fault(field, shown(number), f"a payment by {method} carries no number", remedy)
    if isinstance(number, int) and not isinstance(number, bool):
        number = str(number)
    text = check_text(field, number, NUMBER_MAX)
    if isinstance(text, Fault):
        return text
    if looks_like_card_number(text):
        return Fault(field, "", "looks like a card number", "Give the number printed on the check, never a card's")
    return text or None


def check_card_use(method: Method, has_card: bool, field: str = "card") -> Fault | None:
    """R6: card data is taken for `credit_card` only."""
    if not has_card or method is Method.CREDIT_CARD:
        return None
    return Fault(field, "", f"a payment by {method} takes no card", "Leave the card out, or pay by credit_card")
