"""Keys of upstream apps: made, found by their secret, revoked. Of a secret only its SHA-256 is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, text

from books.history import tell
from rules.apps import PREFIX_LENGTH, Scope
from rules.errors import Fault, MoveRefused, NotFound, RequestRefused, shown

USED_TO: Final = timedelta(minutes=1)
"""When a key was used last is written down to this."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without its secret."""

    id: int
    name: str
    prefix: str
    scopes: tuple[str, ...]
    customer_id: int | None
    customer: str | None  # the only one that it sees
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    revoked_by: str | None
    last_used_at: datetime | None

    @property
    def caller(self) -> str:
        """Whose idempotency keys are meant (R15)."""
        return f"api:{self.id}"

    @property
    def by(self) -> str:
        """Who did it, as events say."""
        return f"api key {self.name}"


_CUSTOMER = text("SELECT id FROM customers WHERE number = :number")
_ADD = text("""
    INSERT INTO api_keys (name, prefix, secret_hash, scopes, customer_id, created_at, created_by)
    VALUES (:name, :prefix, :hash, CAST(:scopes AS text[]), :customer_id, :now, :by)
    ON CONFLICT (name) DO NOTHING RETURNING id""")


def add(
    conn: Connection, name: str, secret: str, scopes: Sequence[Scope], customer: str | None, now: datetime, by: str
) -> int:
    """Make a key known; its id. `customer`: the number of the only customer that it is for.

    Raises RequestRefused where the name was given before (a revoked key keeps it), NotFound for an unknown customer.
    """
    customer_id = None
    if customer is not None:
        customer_id = conn.execute(_CUSTOMER, {"number": customer}).scalar_one_or_none()
        if customer_id is None:
            raise NotFound(f"There is no customer {shown(customer)}.", "Compare the number.")
    known = {"name": name, "prefix": secret[:PREFIX_LENGTH], "hash": _hash(secret), "customer_id": customer_id}
    key_id: int | None = conn.execute(
        _ADD, {**known, "scopes": [scope.value for scope in dict.fromkeys(scopes)], "now": now, "by": by}
    ).scalar_one_or_none()
    if key_id is None:
        raise RequestRefused([Fault("name", shown(name), "a key has it already", "Choose another name")])
    tell(conn, "api_key.created", now, by, f"{name}: {', '.join(scopes)}", customer_id=customer_id)
    return key_id


_KEYS: Final = """
    SELECT k.id, k.name, k.prefix, k.scopes, k.customer_id, c.number AS customer, k.created_at, k.created_by,
           k.revoked_at, k.revoked_by, k.last_used_at
    FROM api_keys k LEFT JOIN customers c ON c.id = k.customer_id"""
_ALL = text(f"{_KEYS} ORDER BY k.id")
_FIND = text(f"""
    SELECT k.*, k.last_used_at IS NULL OR now() + clock.ahead - k.last_used_at >= :used_to AS unnoted
    FROM ({_KEYS} WHERE k.secret_hash = :hash AND k.revoked_at IS NULL) AS k CROSS JOIN clock""")
_USED = text("""
    UPDATE api_keys SET last_used_at = now() + clock.ahead FROM clock
    WHERE id = :id AND last_used_at IS NOT DISTINCT FROM :before""")


def everybody(conn: Connection) -> tuple[ApiKey, ...]:
    """All keys, revoked ones, too, in the order in which they were made."""
    return tuple(map(_key, conn.execute(_ALL)))


def use(conn: Connection, secret: str) -> ApiKey | None:
    """The key of a secret, and a note that it was used; None where there is none, or it was revoked."""
    row = conn.execute(_FIND, {"hash": _hash(secret), "used_to": USED_TO}).one_or_none()
    if row is None:
        return None
    *known, unnoted = row
    key = _key(known)
    if unnoted:
        conn.execute(_USED, {"id": key.id, "before": key.last_used_at})
    return key


_STANDS = text("SELECT EXISTS (SELECT FROM api_keys WHERE id = :id AND revoked_at IS NULL)")


def stands(conn: Connection, key_id: int) -> bool:
    """Whether a key was not revoked."""
    return bool(conn.execute(_STANDS, {"id": key_id}).scalar_one())


_REVOKE = text("""
    UPDATE api_keys SET revoked_at = :now, revoked_by = :by WHERE name = :name AND revoked_at IS NULL
    RETURNING customer_id""")
_NAMED = text("SELECT EXISTS (SELECT FROM api_keys WHERE name = :name)")


def revoke(conn: Connection, name: str, now: datetime, by: str) -> None:
    """Let a key open nothing any more. Raises NotFound, or MoveRefused where that was done before."""
    row = conn.execute(_REVOKE, {"name": name, "now": now, "by": by}).one_or_none()
    if row is None:
        if conn.execute(_NAMED, {"name": name}).scalar_one():
            raise MoveRefused(f"The key {shown(name)} was revoked before.", "Nothing is left to revoke.")
        raise NotFound(f"There is no key {shown(name)}.", "`defray keys list` shows all.")
    tell(conn, "api_key.revoked", now, by, name, customer_id=row.customer_id)


def _key(row: Sequence[Any]) -> ApiKey:
    """The columns are selected in the order of the fields."""
    id_, name, prefix, scopes, *others = row
    return ApiKey(id_, name, prefix, tuple(scopes), *others)


def _hash(secret: str) -> bytes:
    """Of 256 random bits, which nobody guesses: no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()
