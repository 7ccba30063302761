"""R15 for what upstream apps write: one write at a time under one key, and the first answer again.

An answer is kept in the transaction of what it tells of. A payment keeps its key and its content's digest itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from rules.errors import KeyReused, MoveRefused, shown


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write was answered; no body: what it made says how it stands."""

    status: int
    body: str | None


class UnderWay(MoveRefused):
    """A write with the same key has not ended yet."""


_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_FIND = text("SELECT content_digest, status, body FROM api_answers WHERE key_id = :key_id AND idempotency_key = :key")
_PAYMENT = text("SELECT EXISTS (SELECT FROM payments WHERE caller = :caller AND idempotency_key = :key)")
_REMEMBER = text("""
    INSERT INTO api_answers (key_id, idempotency_key, content_digest, status, body, answered_at)
    VALUES (:key_id, :key, :digest, :status, :body, :now)""")


def begin(conn: Connection, key_id: int, key: str, digest: bytes) -> Answer | None:
    """The first thing of a write: the answer that it was given before, if any.

    Raises UnderWay while another transaction has begun a write with this key, KeyReused where the key stands for
    something else.
    """
    _alone(conn, key_id, key)
    row = conn.execute(_FIND, {"key_id": key_id, "key": key}).one_or_none()
    if row is None:
        if conn.execute(_PAYMENT, {"caller": f"api:{key_id}", "key": key}).scalar_one():
            raise _reused(key)
        return None
    if bytes(row.content_digest) != digest:
        raise _reused(key)
    return Answer(row.status, row.body)


def begin_payment(conn: Connection, key_id: int, key: str) -> None:
    """The first thing of a payment, whose own key and digest tell what it was before.

    Raises as `begin`.
    """
    _alone(conn, key_id, key)
    if conn.execute(_FIND, {"key_id": key_id, "key": key}).one_or_none() is not None:
        raise _reused(key)


def remember(
    conn: Connection, key_id: int, key: str, digest: bytes, status: int, body: str | None, now: datetime
) -> None:
    """Keep an answer for good."""
    known = {"key_id": key_id, "key": key, "digest": digest, "status": status, "body": body, "now": now}
    conn.execute(_REMEMBER, known)


def _alone(conn: Connection, key_id: int, key: str) -> None:
    if not conn.execute(_LOCK, {"name": f"defray api {key_id} {key}"}).scalar_one():
        raise UnderWay("A write with the same idempotency key is under way.", "Send it again in a second.")


def _reused(key: str) -> KeyReused:
    return KeyReused(
        f"The idempotency key {shown(key)} was used before with other content.",
        "Draw a new key for a new write; repeat a write unchanged.",
    )
