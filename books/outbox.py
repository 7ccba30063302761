"""Mails that are to be sent stand in rows: claimed, tried and tried again by these (D1, D2), whatever they tell of."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, text

LEASE: Final = timedelta(minutes=5)
"""How long who claimed a mail may take: longer than all time-outs of handing it over."""

AGAIN: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 30, 120, 360, 900))
"""What is waited after each try that proved nothing: six tries within about a day."""

TRIES: Final = len(AGAIN) + 1
"""After so many it has failed."""

Became = Literal["sent", "refused", "not sent"]
"""What became of one try: taken, refused for good, or to be tried again."""


class Outbox:
    """The mails of one table, which has `state`, `next_step`, `due_at`, `tries`, `lease_token`, `said`, `ended_at`."""

    def __init__(self, table: str, *told: str) -> None:
        # A mail that was claimed as often as it may be, and never heard of again, is given up, not claimed once more.
        self._give_up = text(f"""
            UPDATE {table} SET state = 'failed', next_step = NULL, due_at = NULL, lease_token = NULL, ended_at = :now,
                               said = 'whether the last try arrived is not known'
            WHERE id IN (SELECT id FROM {table} WHERE next_step = 'mail' AND due_at <= :now AND tries >= :tries
                         FOR NO KEY UPDATE SKIP LOCKED)""")
        self._claim = text(f"""
            UPDATE {table} SET due_at = :until, tries = tries + 1, lease_token = :token
            WHERE id IN (
                SELECT id FROM {table}
                WHERE next_step = 'mail' AND due_at <= :now AND (CAST(:one AS bigint) IS NULL OR id = :one)
                ORDER BY due_at, id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id, lease_token, {", ".join(told)}""")
        self._look = text(f"""
            SELECT tries FROM {table} WHERE id = :id AND lease_token = :token AND state = 'due'
            FOR NO KEY UPDATE""")
        self._end = text(f"""
            UPDATE {table} SET state = :state, next_step = NULL, due_at = NULL, lease_token = NULL, said = :said,
                               ended_at = :now
            WHERE id = :id""")
        self._again = text(f"UPDATE {table} SET due_at = :due_at, lease_token = NULL, said = :said WHERE id = :id")

    def claim(self, conn: Connection, one: int | None, most: int, now: datetime) -> list[Row[Any]]:
        """At most so many due mails (or the one named), each counted as tried; nothing found is a normal outcome."""
        conn.execute(self._give_up, {"now": now, "tries": TRIES})
        asked = {"one": one, "most": most, "now": now, "until": now + LEASE, "token": secrets.randbits(62)}
        return sorted(conn.execute(self._claim, asked), key=lambda row: int(row.id))

    def finish(
        self, conn: Connection, mail_id: int, lease_token: int, became: Became, said: str, now: datetime
    ) -> str | None:
        """Record one try; the state that the mail is in now, None where the lease has passed on to somebody else."""
        known = {"id": mail_id, "token": lease_token}
        tries: int | None = conn.execute(self._look, known).scalar_one_or_none()
        if tries is None:
            return None
        if became == "not sent" and tries < TRIES:
            conn.execute(self._again, {"id": mail_id, "due_at": now + AGAIN[tries - 1], "said": said})
            return "due"
        state = "sent" if became == "sent" else "failed"
        conn.execute(self._end, {"id": mail_id, "state": state, "said": said, "now": now})
        return state
