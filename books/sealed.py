"""Short secrets that stand sealed in the books, so that a rotation of the vault's keys finds every one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Place:
    """A column of sealed secrets, and the one beside it that names the key; `facts` are what a purpose is made of."""

    what: str
    table: str
    sealed: str
    key_id: str
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A sealed secret: its row, the key that opens it, and the facts that its purpose is made of."""

    id: int
    key_id: str
    sealed: bytes = field(repr=False)
    facts: Mapping[str, str]


TWO_FACTOR: Final = Place("two-factor secret", "users", "two_factor_sealed", "two_factor_key_id")
WEBHOOK: Final = Place("webhook secret", "webhook_endpoints", "secret_sealed", "secret_key_id")
WEBHOOK_BEFORE: Final = Place("webhook secret of before", "webhook_endpoints", "old_sealed", "old_key_id")
NOTICE: Final = Place("waiting notice", "notices", "sealed", "key_id", ("gateway",))
TOKEN: Final = Place("gateway's token", "gateway_cards", "sealed", "key_id", ("gateway", "account", "card_token"))
PLACES: Final = (TWO_FACTOR, WEBHOOK, WEBHOOK_BEFORE, NOTICE, TOKEN)
"""All of them; a test compares this with the tables."""


def counted(conn: Connection) -> dict[str, dict[str, int]]:
    """By key, how many secrets of each kind it seals."""
    found: dict[str, dict[str, int]] = {}
    for place in PLACES:
        counts = conn.execute(
            text(
                f"SELECT {place.key_id} AS key_id, count(*) AS n FROM {place.table}"
                f" WHERE {place.sealed} IS NOT NULL GROUP BY 1"
            )
        )
        for row in counts:
            found.setdefault(row.key_id, {})[place.what] = row.n
    return found


def by_other_keys(conn: Connection, place: Place, key_id: str, after: int, most: int) -> list[Found]:
    """The next secrets that another key seals.

    They are locked, in order; what somebody else has locked is left for the next round.
    """
    columns = ", ".join(("id", f"{place.key_id} AS key_id", f"{place.sealed} AS sealed", *place.facts))
    statement = text(f"""
        SELECT {columns} FROM {place.table}
        WHERE id > :after AND {place.sealed} IS NOT NULL AND {place.key_id} <> :key_id
        ORDER BY id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED""")
    rows = conn.execute(statement, {"after": after, "key_id": key_id, "most": most})
    return [
        Found(row.id, row.key_id, bytes(row.sealed), {fact: row._mapping[fact] for fact in place.facts}) for row in rows
    ]


def replace(conn: Connection, place: Place, key_id: str, sealed: Mapping[int, bytes]) -> None:
    """Put the same secrets, sealed by this key, in the place of those before; the rows are locked already."""
    statement = text(f"""
        UPDATE {place.table} t SET {place.sealed} = v.sealed, {place.key_id} = :key_id
        FROM unnest(CAST(:ids AS bigint[]), CAST(:sealed AS bytea[])) AS v(id, sealed) WHERE t.id = v.id""")
    conn.execute(statement, {"key_id": key_id, "ids": list(sealed), "sealed": list(sealed.values())})
