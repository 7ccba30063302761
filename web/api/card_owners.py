"""Whose card a token stands for: it is charged for no other customer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection

from books import kept_cards
from books.api_keys import ApiKey
from rules.errors import Fault
from vault import Vault

NO_SUCH_CARD: Final = Fault("card_token", "", "no such card", "Enter the card again")


def whose(
    conn: Connection, vault: Vault, key: ApiKey, customer_id: int, tokens: Collection[str]
) -> tuple[set[str], set[str]]:
    """Of these tokens: those of cards that the customer lets us keep, and those that are not the customer's.

    A card that was entered for nobody in particular counts as anybody's, but for a key that is for one customer.
    """
    kept = {one.token for one in kept_cards.of_customer(conn, customer_id)} & set(tokens)
    theirs = (customer_id,) if key.customer is not None else (None, customer_id)
    entered = vault.facts(conn, sorted(set(tokens) - kept))
    return kept, {token for token, card in entered.items() if card.customer_id not in theirs}
