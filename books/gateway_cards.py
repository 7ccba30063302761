"""What stands in for a kept card's number at each merchant account (C4): looked up, remembered, refused, forgotten.

A token can charge money, so it comes sealed and is handed on sealed: only a task opens it, right before its sale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text


@dataclass(frozen=True, slots=True)
class SealedToken:
    """A gateway's token, and the id of the key that opens it."""

    key_id: str
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class GatewayCard:
    """What is known of a card at a merchant account. Without a token it is sent by its number."""

    id: int
    token: SealedToken | None
    network_reference: str
    refused: bool
    first_amount_minor: int  # of the sale by which it was kept
    currency: str

    @property
    def stands_in(self) -> bool:
        """Whether a sale goes by the token."""
        return self.token is not None and not self.refused


@dataclass(frozen=True, slots=True)
class ToKeep:
    """What an approved sale gave for later."""

    sale: Row[Any]
    payment: Row[Any]
    token: SealedToken | None
    network_reference: str


_COLUMNS = """id, card_token, gateway, account, key_id, sealed, network_reference, refused_at IS NOT NULL AS refused,
    first_amount_minor, currency"""
_OF = text(f"SELECT {_COLUMNS} FROM gateway_cards WHERE card_token = ANY(CAST(:tokens AS text[]))")
_BY_ID = text(f"SELECT {_COLUMNS} FROM gateway_cards WHERE id = ANY(CAST(:ids AS bigint[]))")
# Of two sales at once the first one counts, and its token is never changed.
_KEEP = text("""
    INSERT INTO gateway_cards AS g (card_token, gateway, account, key_id, sealed, network_reference, brand,
                                    first_amount_minor, currency, kept_at, last_used)
    SELECT v.*, CAST(:now AS timestamptz), CAST(:now AS timestamptz)
    FROM unnest(CAST(:card_token AS text[]), CAST(:gateway AS text[]), CAST(:account AS text[]),
                CAST(:key_id AS text[]), CAST(:sealed AS bytea[]), CAST(:network_reference AS text[]),
                CAST(:brand AS text[]), CAST(:amount_minor AS bigint[]), CAST(:currency AS text[])) AS v
    ORDER BY 1, 2, 3
    ON CONFLICT (card_token, gateway, account) DO UPDATE
        SET key_id = excluded.key_id, sealed = excluded.sealed, last_used = excluded.last_used
        WHERE g.sealed IS NULL AND g.refused_at IS NULL""")
_TOUCH = """
    UPDATE gateway_cards SET {column} = :now
    WHERE id IN (SELECT id FROM gateway_cards WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE)"""
_USED, _REFUSED = (text(_TOUCH.format(column=column)) for column in ("last_used", "refused_at"))
_FORGET = text("DELETE FROM gateway_cards WHERE card_token = ANY(CAST(:tokens AS text[]))")


def purpose(gateway: str, account: str, card_fingerprint: str) -> str:
    """What a token is sealed for: bound to the merchant account and the card, so that it opens beside no other."""
    return f"gateway card:{gateway}:{account}:{card_fingerprint}"


def at_hand(conn: Connection, payments: Iterable[Row[Any]], accounts: Mapping[str, str]) -> dict[int, GatewayCard]:
    """By each payment's id, what is known of its card at its gateway's account. Cards taken once are never kept."""
    kept = [payment for payment in payments if not payment.card_once]
    if not kept:
        return {}
    known = {
        (row.card_token, row.gateway, row.account): _card(row)
        for row in conn.execute(_OF, {"tokens": list({payment.card_token for payment in kept})})
    }
    if not known:
        return {}
    places = {payment.id: (payment.card_token, payment.gateway, accounts[payment.gateway]) for payment in kept}
    return {payment_id: known[place] for payment_id, place in places.items() if place in known}


def by_id(conn: Connection, ids: Sequence[int]) -> dict[int, GatewayCard]:
    """Those that are still there."""
    return {row.id: _card(row) for row in conn.execute(_BY_ID, {"ids": list(ids)})} if ids else {}


def keep(conn: Connection, given: Sequence[ToKeep], now: datetime) -> None:
    """Remember what approved sales gave for later."""
    if not given:
        return
    given = list({(one.payment.card_token, one.sale.gateway, one.sale.account): one for one in given}.values())
    values = {
        "card_token": [one.payment.card_token for one in given],
        "gateway": [one.sale.gateway for one in given],
        "account": [one.sale.account for one in given],
        "key_id": [one.token.key_id if one.token else None for one in given],
        "sealed": [one.token.sealed if one.token else None for one in given],
        "network_reference": [one.network_reference for one in given],
        "brand": [one.payment.card_brand for one in given],
        "amount_minor": [one.sale.amount_minor for one in given],
        "currency": [one.sale.currency for one in given],
        "now": now,
    }
    conn.execute(_KEEP, values)


def used(conn: Connection, ids: Sequence[int], now: datetime) -> None:
    """Sales by these tokens were approved."""
    if ids:
        conn.execute(_USED, {"ids": list(ids), "now": now})


def refused(conn: Connection, ids: Sequence[int], now: datetime) -> None:
    """The gateway takes these tokens no longer: what comes is sent by the number, and no new token is asked for."""
    if ids:
        conn.execute(_REFUSED, {"ids": list(ids), "now": now})


def forget(conn: Connection, card_tokens: Sequence[str]) -> None:
    """The cards are kept no longer, and nothing under way needs them."""
    if card_tokens:
        conn.execute(_FORGET, {"tokens": list(card_tokens)})


def _card(row: Row[Any]) -> GatewayCard:
    token = None if row.sealed is None else SealedToken(row.key_id, bytes(row.sealed))
    return GatewayCard(row.id, token, row.network_reference, row.refused, row.first_amount_minor, row.currency)
