"""The mail about a stored card that expires soon, to its customer or to the office."""

from __future__ import annotations

from books.card_notices import Letter
from rules.card_expiry import Notice


def title(letter: Letter) -> str:
    """The subject."""
    whose = "Your card" if letter.address else f"The card of {letter.customer_name}"
    return f"{whose} ending in {letter.last_four} expires {_when(letter)}"


def words(letter: Letter, business: str) -> str:
    """The text; no link and nothing to answer with, since a card is never to be sent by mail."""
    card = f"{letter.brand.replace('_', ' ').capitalize()} card ending in {letter.last_four}"
    good = f"It can be charged through the last day of {_month(letter)}."
    if letter.address:
        lines = [
            f"Dear {letter.customer_name},",
            "",
            f"the {card}, which you let us keep for your payments, expires {_when(letter)}.",
            f"{good} Please tell us the new card, or its new date, before then.",
            "Never send the number of a card by e-mail.",
        ]
    else:
        lines = [
            f"The {card} that is kept for {letter.customer_name} ({letter.customer}) expires {_when(letter)}.",
            f"{good} Ask for the new card, or its new date.",
        ]
    return "\n".join([*lines, *(["", business] if business else []), ""])


def _when(letter: Letter) -> str:
    return "this month" if letter.notice is Notice.LAST_MONTH else f"at the end of {_month(letter)}"


def _month(letter: Letter) -> str:
    return f"{letter.exp_month:02}/{letter.exp_year}"
