"""Cards that a customer let the office keep, and which card numbers nobody needs any more (C2).

The vault holds the cards; here stands whose they are. A function that makes a token superfluous returns it, and the
caller drops its key in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from books import claim, gateway_cards
from rules import states
from rules.errors import NotFound

_UNDER_WAY: Final = ", ".join(f"'{state.value}'" for state in states.UNDER_WAY)


@dataclass(frozen=True, slots=True)
class KeptCard:
    """A card as it may be shown, with who kept it and when."""

    id: int
    token: str
    brand: str
    last_four: str
    exp_month: int
    exp_year: int
    kept_at: datetime
    kept_by: str


_OF = text("""
    SELECT id, token, brand, last_four, exp_month, exp_year, kept_at, kept_by FROM kept_cards
    WHERE customer_id = :customer_id AND removed_at IS NULL ORDER BY kept_at DESC, id DESC""")
_WAS_REMOVED = text("SELECT EXISTS (SELECT FROM kept_cards WHERE token = :token AND removed_at IS NOT NULL)")
_BEFORE = text("""
    SELECT k.id, k.token, (k.exp_year, k.exp_month) > (p.card_exp_year, p.card_exp_month) AS newer
    FROM payments p JOIN kept_cards k ON k.customer_id = p.customer_id AND k.fingerprint = p.card_fingerprint
    WHERE p.id = :payment_id AND k.removed_at IS NULL""")
_KEEP = text("""
    INSERT INTO kept_cards (customer_id, token, brand, last_four, exp_month, exp_year, fingerprint, kept_at, kept_by)
    SELECT customer_id, card_token, card_brand, card_last_four, card_exp_month, card_exp_year, card_fingerprint,
           :now, :by
    FROM payments WHERE id = :payment_id""")
_REMOVE = text("""
    UPDATE kept_cards SET removed_at = :now, removed_by = :by
    WHERE id = :id AND customer_id = :customer_id AND removed_at IS NULL RETURNING token""")
_CARD_OF = text("SELECT customer_id, card_token FROM payments WHERE id = :id")
# Whoever ends last of those that still need the card drops it.
_FOR_ITS_LAST_PAYMENTS = text(f"""
    UPDATE payments SET card_once = true
    WHERE customer_id = :customer_id AND card_token = :token AND gateway IS NOT NULL AND state IN ({_UNDER_WAY})
    RETURNING id""")
_SPENT = text(f"""
    WITH spent AS (
        SELECT DISTINCT e.card_token FROM payments e
        WHERE e.id = ANY(CAST(:ids AS bigint[])) AND e.card_once
          AND NOT EXISTS (
              SELECT FROM payments o
              WHERE o.customer_id = e.customer_id AND o.card_token = e.card_token AND o.gateway IS NOT NULL
                AND o.state IN ({_UNDER_WAY}))
          AND NOT EXISTS (SELECT FROM kept_cards k WHERE k.token = e.card_token AND k.removed_at IS NULL)
    ), forgotten AS (DELETE FROM gateway_cards g USING spent s WHERE g.card_token = s.card_token)
    SELECT card_token FROM spent""")
# C2: the gateway's token is there and can be opened, and no sale under way may have to be sent by the number again.
_REPLACED = text(f"""
    SELECT DISTINCT e.card_token FROM payments e
    JOIN gateway_cards g ON g.card_token = e.card_token AND g.gateway = e.gateway
    WHERE e.id = ANY(CAST(:ids AS bigint[])) AND g.sealed IS NOT NULL AND g.refused_at IS NULL
      AND NOT EXISTS (
          SELECT FROM payments o
          WHERE o.customer_id = e.customer_id AND o.card_token = e.card_token AND o.gateway IS NOT NULL
            AND o.state IN ({_UNDER_WAY}))""")

# One look by index for each of them, whatever the planner takes the tables for: hence the LIMIT.
_IN_USE = text("""
    SELECT DISTINCT e.card_token FROM payments e
    CROSS JOIN LATERAL (
        SELECT FROM payments o
        WHERE o.customer_id = e.customer_id AND o.card_token = e.card_token AND o.gateway IS NOT NULL
          AND o.state = 'charging' LIMIT 1) AS o
    WHERE e.id = ANY(CAST(:ids AS bigint[]))""")


def of_customer(conn: Connection, customer_id: int) -> list[KeptCard]:
    """A customer's kept cards, the latest first; those that have expired are among them."""
    return [KeptCard(**row._mapping) for row in conn.execute(_OF, {"customer_id": customer_id})]


def was_removed(conn: Connection, token: str) -> bool:
    """Whether this is a card that was kept and is not any more: no new payment may use it."""
    return bool(conn.execute(_WAS_REMOVED, {"token": token}).scalar_one())


def keep(conn: Connection, payment_id: int, now: datetime, by: str) -> list[str]:
    """Keep the card of a payment that was just recorded, its customer being locked; the tokens to drop.

    The same card kept again is renewed: the later expiry stays, and the other token goes as a removed one does.
    """
    customer_id, token = conn.execute(_CARD_OF, {"id": payment_id}).one()
    before = conn.execute(_BEFORE, {"payment_id": payment_id}).one_or_none()
    if before is not None and before.token == token:
        return []
    if before is not None and before.newer:
        return _let_go(conn, customer_id, token)
    if before is not None:
        conn.execute(_REMOVE, {"id": before.id, "customer_id": customer_id, "now": now, "by": by}).one()
    conn.execute(_KEEP, {"payment_id": payment_id, "now": now, "by": by})
    return _let_go(conn, customer_id, before.token) if before is not None else []


def remove(conn: Connection, customer_id: int, card_id: int, now: datetime, by: str) -> list[str]:
    """Keep a card no longer; the tokens to drop: none while a payment under way needs it, which drops it at its end.

    Raises NotFound.
    """
    claim.customers(conn, [customer_id])
    token = conn.execute(
        _REMOVE, {"id": card_id, "customer_id": customer_id, "now": now, "by": by}
    ).scalar_one_or_none()
    if token is None:
        raise NotFound("This customer has no such card.", "It may have been removed meanwhile.")
    return _let_go(conn, customer_id, token)


def spent(conn: Connection, payment_ids: Sequence[int]) -> list[str]:
    """Of payments that have ended: the tokens of cards that were taken for them alone and that nobody needs now."""
    if not payment_ids:
        return []
    return list(conn.execute(_SPENT, {"ids": list(payment_ids)}).scalars())


def in_use(conn: Connection, payment_ids: Sequence[int]) -> set[str]:
    """Of payments that were answered: the cards that serve others too, one of which may have to be sent again (E4)."""
    return set(conn.execute(_IN_USE, {"ids": list(payment_ids)}).scalars()) if payment_ids else set()


def replaced(conn: Connection, payment_ids: Sequence[int]) -> list[str]:
    """Of payments that were charged: the cards whose number a gateway's token stands in for from now on (C2, C4)."""
    return list(conn.execute(_REPLACED, {"ids": list(payment_ids)}).scalars()) if payment_ids else []


def _let_go(conn: Connection, customer_id: int, token: str) -> list[str]:
    """Leave the token to the payments under way that need it; returned where none does."""
    needed = conn.execute(_FOR_ITS_LAST_PAYMENTS, {"customer_id": customer_id, "token": token}).all()
    if needed:
        return []
    gateway_cards.forget(conn, [token])
    return [token]
