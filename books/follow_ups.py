"""Telling somebody later: payments whose outcome a person did not wait for, until they have seen it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class News:
    """A payment that came to an end, or to a stop for days, after somebody had left it."""

    payment_id: int
    customer_name: str
    amount_minor: int
    currency: str
    state: str
    reversal_state: str | None  # of the latest one: of a posted payment a refund's


# As follow.Standing.over and not outcome_unknown: nothing becomes of it within seconds, and what became of it is known.
_OVER: Final = """
    p.state NOT IN ('requested', 'charging')
    AND NOT (p.state = 'review' AND EXISTS (
        SELECT 1 FROM gateway_transactions t
        WHERE t.payment_id = p.id AND t.operation = 'sale' AND t.state = 'unknown'))
    AND NOT EXISTS (
        SELECT 1 FROM reversals r
        WHERE r.payment_id = p.id AND r.state IN ('voiding', 'refund_due', 'refunding'))"""
_FOLLOW = text("""
    INSERT INTO follow_ups (user_name, payment_id, since)
    SELECT :user, p.id, :now FROM payments p WHERE p.id = :id ON CONFLICT DO NOTHING""")
_SEEN = text(f"""
    DELETE FROM follow_ups f USING payments p
    WHERE f.user_name = :user AND f.payment_id = :id AND p.id = f.payment_id AND {_OVER}""")
_NEWS = text(f"""
    SELECT p.id AS payment_id, c.name AS customer_name, coalesce(p.charged_minor, p.total_minor) AS amount_minor,
           p.currency, p.state,
           (SELECT r.state FROM reversals r WHERE r.payment_id = p.id ORDER BY r.id DESC LIMIT 1) AS reversal_state
    FROM follow_ups f JOIN payments p ON p.id = f.payment_id JOIN customers c ON c.id = p.customer_id
    WHERE f.user_name = :user AND {_OVER} ORDER BY p.id LIMIT :most""")


def follow(conn: Connection, payment_id: int, user: str, now: datetime) -> None:
    """Remember that somebody is to be told of a payment; once is enough."""
    conn.execute(_FOLLOW, {"user": user, "id": payment_id, "now": now})


def seen(conn: Connection, payment_id: int, user: str) -> None:
    """Somebody has seen how a payment stands: they are told no more, unless it is still open."""
    conn.execute(_SEEN, {"user": user, "id": payment_id})


def news(conn: Connection, user: str, most: int) -> tuple[News, ...]:
    """What somebody is to be told of now, the oldest payment first."""
    return tuple(News(**row._mapping) for row in conn.execute(_NEWS, {"user": user, "most": most}))
