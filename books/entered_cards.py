"""Cards that were entered for a payment which nobody saved: their numbers are needed for nothing (C2)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

_NEVER_USED = text("""
    SELECT e.token
    FROM unnest(CAST(:tokens AS text[]), CAST(:customer_ids AS bigint[])) AS e(token, customer_id)
    WHERE NOT EXISTS (SELECT FROM payments p WHERE p.customer_id = e.customer_id AND p.card_token = e.token)
      AND NOT EXISTS (SELECT FROM kept_cards k WHERE k.token = e.token)""")


def never_used(conn: Connection, entered: Sequence[tuple[str, int | None]]) -> list[str]:
    """Of tokens with their customers: those that no payment of theirs names, and that are not kept."""
    known = {"tokens": [token for token, _ in entered], "customer_ids": [customer for _, customer in entered]}
    return list(conn.execute(_NEVER_USED, known).scalars())
