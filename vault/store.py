"""Cards into the table and out of it: set-based, one statement for one card or a thousand; never commits."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Connection, Row, func, select, text, update

from rules.cards import Brand, Card
from rules.errors import CardUnavailable, VaultClosed
from vault.hours import HourKeys
from vault.keyring import Keyring
from vault.sealing import KEY_BYTES, card_from_bytes, card_to_bytes, seal, unseal
from vault.table import card_vault
from vault.texts import SealedText


@dataclass(frozen=True, slots=True)
class SealedCard:
    """What may be known of a card outside the vault (C1)."""

    token: str
    brand: Brand
    last_four: str
    exp_month: int
    exp_year: int
    fingerprint: str
    customer_id: int | None = None  # whose it is, where that was said when it was sealed


@dataclass(frozen=True, slots=True)
class Rotated:
    """One chunk of a rotation: `last` is where the next begins, None at the end; `failed` cards open with no key."""

    rewrapped: int
    failed: tuple[str, ...]
    last: str | None


_INSERT: Final = text("""
    INSERT INTO card_vault (token, wrapped_key, key_id, sealed, brand, last_four, exp_month, exp_year, fingerprint,
                            security_code, security_code_hour, customer_id, created_at)
    SELECT c.*, CAST(:now AS timestamptz)
    FROM unnest(CAST(:token AS text[]), CAST(:wrapped_key AS bytea[]), CAST(:key_id AS text[]),
                CAST(:sealed AS bytea[]), CAST(:brand AS text[]), CAST(:last_four AS text[]),
                CAST(:exp_month AS smallint[]), CAST(:exp_year AS smallint[]), CAST(:fingerprint AS text[]),
                CAST(:security_code AS bytea[]), CAST(:security_code_hour AS text[]),
                CAST(:customer_id AS bigint[])) AS c
    WHERE NOT EXISTS (SELECT FROM vault_keys WHERE key_id = :current AND retired_at IS NOT NULL)
""")

_REWRAP: Final = text("""
    UPDATE card_vault AS v SET wrapped_key = r.wrapped_key, key_id = :key_id
    FROM unnest(CAST(:token AS text[]), CAST(:wrapped_key AS bytea[])) AS r (token, wrapped_key)
    WHERE v.token = r.token
""")

_COUNT: Final = text("SELECT key_id, count(*) AS cards FROM card_vault WHERE wrapped_key IS NOT NULL GROUP BY 1")

_FACTS: Final = select(
    card_vault.c.token,
    card_vault.c.brand,
    card_vault.c.last_four,
    card_vault.c.exp_month,
    card_vault.c.exp_year,
    card_vault.c.fingerprint,
    card_vault.c.customer_id,
)


class Keys(Protocol):
    """Where the keys come from: a file that may change, or memory."""

    def keys(self) -> Keyring:
        """The keys as they are now. Raises VaultClosed."""

    def having(self, key_ids: Iterable[str], /) -> Keyring:
        """The keys as they are now, these among them unless they are retired. Raises VaultClosed."""


class Vault:
    """Seals and opens cards. Every method takes the caller's transaction.

    Raises VaultClosed where the key file is not the one of the database: then nothing is sealed, opened or changed.
    """

    def __init__(self, keys: Keys, hour_keys: HourKeys) -> None:
        self._keys = keys
        self._hour_keys = hour_keys

    def seal(
        self,
        conn: Connection,
        cards: Sequence[Card],
        now: datetime,
        customer_ids: Sequence[int | None] | None = None,
    ) -> list[SealedCard]:
        """Store cards, each under a new token and a data key of its own; in the order given.

        Security codes are kept where the key of the hour is to be had, else silently left out (C2).
        """
        if not cards:
            return []
        with_code = any(card.security_code for card in cards)
        hour = self._hour_keys.current(now) if with_code else None
        owners = customer_ids or [None] * len(cards)
        keyring = self._keys.keys()
        rows = [_row(keyring, card, owner, hour) for card, owner in zip(cards, owners, strict=True)]
        columns = {column: [row[column] for row in rows] for column in rows[0]}
        if conn.execute(_INSERT, {"now": now, "current": keyring.current, **columns}).rowcount != len(rows):
            raise VaultClosed(
                f"The key {keyring.current} was retired, and the key file here still seals by it.",
                "Bring the key file here up to date with where `defray vault rotate` was run.",
            )
        return [
            SealedCard(
                row["token"], card.brand, card.last_four, card.exp_month, card.exp_year, row["fingerprint"], owner
            )
            for card, row, owner in zip(cards, rows, owners, strict=True)
        ]

    def open(self, conn: Connection, tokens: Sequence[str], now: datetime) -> dict[str, Card | CardUnavailable]:
        """The card of each token, with its security code where that still opens, or why it is not to be had."""
        columns = card_vault.c
        found = conn.execute(
            select(
                columns.token,
                columns.wrapped_key,
                columns.key_id,
                columns.sealed,
                columns.security_code,
                columns.security_code_hour,
                columns.dropped_at,
            ).where(columns.token == func.any(list(tokens)))
        ).all()
        hours = self._hour_keys.of((row.security_code_hour for row in found if row.security_code_hour), now)
        opened: dict[str, Card | CardUnavailable] = {
            token: CardUnavailable(f"The vault has no card {token}.", "Ask the customer for the card again.")
            for token in tokens
        }
        keyring = self._keys.having(row.key_id for row in found if row.wrapped_key is not None)
        for row in found:
            try:
                opened[row.token] = _card(keyring, row, hours)
            except CardUnavailable as reason:
                opened[row.token] = reason.with_traceback(None)
        return opened

    def facts(self, conn: Connection, tokens: Sequence[str]) -> dict[str, SealedCard]:
        """What may be known of the cards that exist; opens nothing."""
        columns = card_vault.c
        found = conn.execute(_FACTS.where(columns.token == func.any(list(tokens))))
        return {row.token: _known(row) for row in found}

    def entered(self, conn: Connection, before: datetime, after: str = "", most: int = 1_000) -> list[SealedCard]:
        """Cards of a customer, entered `before` a moment, whose number still opens; by token, those behind `after`."""
        columns = card_vault.c
        found = conn.execute(
            _FACTS.where(columns.customer_id.isnot(None), columns.wrapped_key.isnot(None))
            .where(columns.created_at < before, columns.token > after)
            .order_by(columns.token)
            .limit(most)
        )
        return [_known(row) for row in found]

    def drop_security_codes(self, conn: Connection, tokens: Sequence[str]) -> None:
        """Forget the security codes: the first authorization was answered (C2)."""
        conn.execute(
            update(card_vault)
            .where(card_vault.c.token.in_(_locked(tokens, card_vault.c.security_code.isnot(None))))
            .values(security_code=None, security_code_hour=None)
        )

    def drop_keys(self, conn: Connection, tokens: Sequence[str]) -> None:
        """Make the cards unreadable for good: no more attempt is to come (C2). What may be shown of them stays."""
        conn.execute(
            update(card_vault)
            .where(card_vault.c.token.in_(_locked(tokens, card_vault.c.wrapped_key.isnot(None))))
            .values(wrapped_key=None, security_code=None, security_code_hour=None, dropped_at=func.now())
        )

    def erase(self, conn: Connection, tokens: Sequence[str], customer_id: int) -> None:
        """Leave nothing of these cards, nor of those that were sealed for this customer, but their tokens."""
        columns = card_vault.c
        theirs = select(columns.token).where(columns.customer_id == customer_id, columns.wrapped_key.isnot(None))
        every = {*tokens, *conn.execute(theirs).scalars()}
        self.drop_keys(conn, sorted(every))
        conn.execute(
            update(card_vault)
            .where(columns.token == func.any(sorted(every)))
            .values(sealed=b"", last_four="0000", fingerprint="", customer_id=None)
        )

    def seal_text(self, text: str, purpose: str) -> SealedText:
        """A short secret that is no card, sealed for one purpose; kept by the caller."""
        return self._keys.keys().seal_text(text, purpose)

    def open_text(self, sealed: SealedText, purpose: str) -> str | None:
        """What was sealed for that purpose; None where it does not open."""
        return self._keys.having([sealed.key_id]).open_text(sealed, purpose)

    def fingerprint_text(self, text: str, purpose: str) -> str:
        """What tells whether two texts for one purpose are the same without telling them."""
        return self._keys.keys().fingerprint(f"text:{purpose}:{text}")

    def rotate(self, conn: Connection, after: str = "", limit: int = 1_000) -> Rotated:
        """Wrap the data keys of the next `limit` cards with the current key; the cards themselves stay as they are.

        To be called with `last` as `after`, a commit between, until `last` is None.
        """
        columns = card_vault.c
        keyring = self._keys.keys()
        found = conn.execute(
            select(columns.token, columns.key_id, columns.wrapped_key)
            .where(columns.token > after, columns.wrapped_key.isnot(None), columns.key_id != keyring.current)
            .order_by(columns.token)
            .limit(limit)
            .with_for_update()
        ).all()
        wrapped: dict[str, bytes] = {}
        failed: list[str] = []
        for row in found:
            try:
                data_key = keyring.unwrap(row.token, row.key_id, row.wrapped_key)
            except CardUnavailable:
                failed.append(row.token)
            else:
                wrapped[row.token] = keyring.wrap(row.token, data_key)[1]
        if wrapped:
            conn.execute(
                _REWRAP,
                {"key_id": keyring.current, "token": list(wrapped), "wrapped_key": list(wrapped.values())},
            )
        last = found[-1].token if len(found) == limit else None
        return Rotated(len(wrapped), tuple(failed), last)


def sealed_by(conn: Connection) -> dict[str, int]:
    """By key, how many cards it guards that still open."""
    return {row.key_id: row.cards for row in conn.execute(_COUNT)}


def _row(keyring: Keyring, card: Card, customer_id: int | None, hour: tuple[str, bytes] | None) -> dict[str, Any]:
    token = f"card_{secrets.token_urlsafe(16)}"
    data_key = secrets.token_bytes(KEY_BYTES)
    key_id, wrapped = keyring.wrap(token, data_key)
    code = None
    if hour and card.security_code:
        code = seal(hour[1], card.security_code.encode(), f"code:{token}:{hour[0]}")
    return {
        "token": token,
        "wrapped_key": wrapped,
        "key_id": key_id,
        "sealed": seal(data_key, card_to_bytes(card), f"card:{token}"),
        "brand": card.brand.value,
        "last_four": card.last_four,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": keyring.fingerprint(card.number),
        "security_code": code,
        "security_code_hour": hour[0] if hour and code else None,
        "customer_id": customer_id,
    }


def _card(keyring: Keyring, row: Row[*tuple[Any, ...]], hours: dict[str, bytes]) -> Card:
    if row.wrapped_key is None:
        raise CardUnavailable(
            f"The card {row.token} was dropped on {row.dropped_at:%Y-%m-%d}, when no more attempt was to come.",
            "Ask the customer for the card again.",
        )
    data_key = keyring.unwrap(row.token, row.key_id, row.wrapped_key)
    if (plain := unseal(data_key, row.sealed, f"card:{row.token}")) is None:
        raise CardUnavailable(
            f"The card {row.token} does not open: its row was altered.", "Ask the customer for the card again."
        )
    return card_from_bytes(plain, _security_code(row, hours))


def _security_code(row: Row[*tuple[Any, ...]], hours: dict[str, bytes]) -> str | None:
    """The security code, None where its key is gone or was replaced: then the charge goes without it."""
    if row.security_code is None or (key := hours.get(row.security_code_hour)) is None:
        return None
    code = unseal(key, row.security_code, f"code:{row.token}:{row.security_code_hour}")
    return code.decode() if code else None


def _locked(tokens: Sequence[str], still: ColumnElement[bool]) -> Any:
    """The rows of these tokens where that still holds, locked in one order, so that nobody waits in a ring."""
    token = card_vault.c.token
    return select(token).where(token == func.any(list(tokens)), still).order_by(token).with_for_update()


def _known(row: Row[*tuple[Any, ...]]) -> SealedCard:
    known = row._mapping
    return SealedCard(**{**known, "brand": Brand(known["brand"])})
