"""Which card a payment form means: one that its customer let the office keep, or one that was entered for this form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import Connection

from books import kept_cards
from books.kept_cards import KeptCard
from rules.cards import expires_before
from rules.errors import Fault
from vault import SealedCard, Vault

_NOT_KEPT: Final = Fault("card_number", "", "this card is not kept any more", "Choose another one, or enter a card")
_EXPIRED: Final = Fault("card_number", "", "the card has expired", "Ask for the new card, and enter it")
_NO_SUCH: Final = Fault("card_number", "", "no such card", "Enter the card again")


@dataclass(frozen=True, slots=True)
class CardChoice:
    """The customer's kept cards, and the one that the form means, if any; `fault`: why it cannot be charged."""

    kept: Sequence[KeptCard]
    expired: frozenset[int]
    chosen: KeptCard | None = None
    entered: SealedCard | None = None
    fault: Fault | None = None

    @property
    def token(self) -> str:
        """What a request says of the card; "" for none."""
        if self.chosen:
            return self.chosen.token
        return self.entered.token if self.entered else ""

    @property
    def once(self) -> bool:
        """Whether it was entered for this payment, and is not one of the kept cards (C2)."""
        return self.entered is not None and all(one.token != self.entered.token for one in self.kept)


def of_form(conn: Connection, vault: Vault, customer_id: int, form: Mapping[str, str], today: date) -> CardChoice:
    """What the form means by `kept_card`, the id of a kept card, and `card_token`, a card that was just entered.

    A kept card is named by its id within its customer, and a token counts for the customer it was entered for: no form
    reaches a card of somebody else. A form that does not say begins with the card that was kept last.
    """
    kept = kept_cards.of_customer(conn, customer_id)
    expired = frozenset(one.id for one in kept if expires_before(one.exp_month, one.exp_year, today))
    wanted, token = form.get("kept_card"), form.get("card_token", "")
    if wanted is None and not token:
        return CardChoice(kept, expired, next((one for one in kept if one.id not in expired), None))
    if wanted:
        chosen = next((one for one in kept if str(one.id) == wanted), None)
        if chosen is None:
            return CardChoice(kept, expired, fault=_NOT_KEPT)
        if chosen.id in expired:
            return CardChoice(kept, expired, fault=_EXPIRED)
        return CardChoice(kept, expired, chosen)
    if not token:
        return CardChoice(kept, expired)
    entered = vault.facts(conn, [token]).get(token)
    if entered is None or entered.customer_id != customer_id:
        return CardChoice(kept, expired, fault=_NO_SUCH)
    return CardChoice(kept, expired, entered=entered)
