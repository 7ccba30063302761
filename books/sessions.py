"""Where people are logged in: under random tokens, of which only digests are kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from books.history import tell
from books.people import COLUMNS, User, user_of

IDLE: Final = timedelta(hours=1)
"""A session that nobody used for so long has ended."""
LIFE: Final = timedelta(hours=12)
"""A session ends then, used or not."""
HALF_LIFE: Final = timedelta(minutes=15)
"""So long a session waits for its second factor."""
SEEN_EVERY: Final = timedelta(minutes=1)
"""How often a session's use is written down."""


@dataclass(frozen=True, slots=True)
class Session:
    """Whose session it is; with `second_factor_due` the password alone was right, and it may do nothing yet."""

    user: User
    second_factor_due: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody is logged in; `here` is the session that asks."""

    started_at: datetime
    seen_at: datetime
    here: bool


_OPEN = text("""
    INSERT INTO sessions (token_hash, user_id, started_at, seen_at, expires_at, second_factor_due)
    VALUES (:hash, :user_id, :now, :now, :expires_at, :due)""")
_SESSION = text(f"""
    SELECT {COLUMNS}, s.seen_at, s.second_factor_due FROM sessions s JOIN users u ON u.id = s.user_id
    WHERE s.token_hash = :hash AND s.expires_at > :now AND s.seen_at > :idle_since AND u.active""")
_SEEN = text("UPDATE sessions SET seen_at = :now WHERE token_hash = :hash AND seen_at < :now")
_COMPLETE = text("""
    UPDATE sessions SET token_hash = :new, second_factor_due = false, started_at = :now, seen_at = :now,
                        expires_at = :expires_at
    WHERE token_hash = :hash AND second_factor_due RETURNING user_id""")
_CLOSE = text("DELETE FROM sessions WHERE token_hash = :hash RETURNING second_factor_due")
_ENDED = text("DELETE FROM sessions WHERE user_id = :user_id AND (expires_at <= :now OR seen_at <= :idle_since)")
_LOGGED_IN = text("UPDATE users SET logged_in_at = :now WHERE id = :user_id")
_OF_USER = text("""
    SELECT started_at, seen_at, token_hash = :hash AS here FROM sessions
    WHERE user_id = :user_id AND expires_at > :now AND seen_at > :idle_since AND NOT second_factor_due
    ORDER BY seen_at DESC, started_at DESC""")
_END_OTHERS = text("DELETE FROM sessions WHERE user_id = :user_id AND token_hash <> :hash")


def open_session(conn: Connection, token: str, user: User, now: datetime, *, second_factor_due: bool = False) -> None:
    """Begin a session; one whose second factor is due may do nothing before `complete`."""
    conn.execute(_ENDED, {"user_id": user.id, "now": now, "idle_since": now - IDLE})
    ends = now + (HALF_LIFE if second_factor_due else LIFE)
    known = {"hash": hashed(token), "user_id": user.id, "now": now, "expires_at": ends, "due": second_factor_due}
    conn.execute(_OPEN, known)
    if not second_factor_due:
        _logged_in(conn, user, now)


def complete(conn: Connection, token: str, new_token: str, user: User, now: datetime) -> bool:
    """Let a session act whose second factor was right, under a new token; False where it waits for none any more."""
    known = {"hash": hashed(token), "new": hashed(new_token), "now": now, "expires_at": now + LIFE}
    if conn.execute(_COMPLETE, known).scalar_one_or_none() is None:
        return False
    _logged_in(conn, user, now)
    return True


def session(conn: Connection, token: str, now: datetime, *, used: bool = True) -> Session | None:
    """What is under a token; None where it ended, or its user was disabled. Writes down that it is `used`."""
    known = {"hash": hashed(token), "now": now, "idle_since": now - IDLE}
    row = conn.execute(_SESSION, known).one_or_none()
    if row is None:
        return None
    if used and row.seen_at < now - SEEN_EVERY:
        conn.execute(_SEEN, known)
    return Session(user_of(row._mapping), row.second_factor_due)


def close_session(conn: Connection, token: str, user: User, now: datetime) -> None:
    """End a session."""
    due = conn.execute(_CLOSE, {"hash": hashed(token)}).scalar_one_or_none()
    if due is False:
        tell(conn, "user.logged_out", now, user.name)


def of_user(conn: Connection, user: User, token: str, now: datetime) -> list[Place]:
    """Where somebody is logged in, the place used last first."""
    known = {"user_id": user.id, "hash": hashed(token), "now": now, "idle_since": now - IDLE}
    return [Place(**row._mapping) for row in conn.execute(_OF_USER, known)]


def end_others(conn: Connection, user: User, token: str, now: datetime) -> None:
    """End all of somebody's sessions but this one."""
    conn.execute(_END_OTHERS, {"user_id": user.id, "hash": hashed(token)})
    tell(conn, "user.sessions_ended", now, user.name)


def hashed(token: str) -> bytes:
    """What is kept of a session's token."""
    return hashlib.sha256(token.encode()).digest()


def _logged_in(conn: Connection, user: User, now: datetime) -> None:
    conn.execute(_LOGGED_IN, {"user_id": user.id, "now": now})
    tell(conn, "user.logged_in", now, user.name)
