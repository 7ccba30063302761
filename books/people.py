"""Who may use the console: users, where they are logged in, and how guessing of passwords is slowed down."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, RowMapping, TextClause, text

from books.history import tell
from rules.errors import MoveRefused, NotFound, shown
from rules.people import Role

IDLE: Final = timedelta(hours=1)
"""A session that nobody used for so long has ended."""
LIFE: Final = timedelta(hours=12)
"""A session ends then, used or not."""
SEEN_EVERY: Final = timedelta(minutes=1)
"""How often a session's use is written down."""

COUNTED: Final = timedelta(minutes=15)
"""Failed log-ins count for so long."""
FAILURES_A_NAME: Final = 10
FAILURES_AN_ADDRESS: Final = 30
"""So many failed log-ins within that time; then none is tried any more, right password or not."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody of the office. Limits are in minor units; None: no limit."""

    id: int
    name: str
    role: Role
    void_limit_minor: int | None
    refund_limit_minor: int | None
    active: bool
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whose password is to be checked against what."""

    user: User
    password_hash: str = field(repr=False)


_COLUMNS: Final = "u.id, u.name, u.role, u.void_limit_minor, u.refund_limit_minor, u.active, u.created_at, u.created_by"
_ADD = text("""
    INSERT INTO users (name, password_hash, role, void_limit_minor, refund_limit_minor, created_at, created_by)
    VALUES (:name, :password_hash, :role, :void_limit_minor, :refund_limit_minor, :now, :by)
    ON CONFLICT (name) DO NOTHING RETURNING id""")
_ALL = text(f"SELECT {_COLUMNS} FROM users u ORDER BY u.name")
_BY_NAME = text(f"SELECT {_COLUMNS}, u.password_hash FROM users u WHERE u.name = :name")
_SET_PASSWORD = text("UPDATE users SET password_hash = :password_hash WHERE name = :name RETURNING id")
_DISABLE = text("UPDATE users SET active = false WHERE name = :name RETURNING id")
_END_ALL = text("DELETE FROM sessions WHERE user_id = :id")


def add(
    conn: Connection,
    name: str,
    password_hash: str,
    role: Role,
    now: datetime,
    by: str,
    *,
    void_limit_minor: int | None = None,
    refund_limit_minor: int | None = None,
) -> int:
    """Make somebody known; the new id. Raises MoveRefused where the name is taken, for good."""
    added: int | None = conn.execute(
        _ADD,
        {
            "name": name,
            "password_hash": password_hash,
            "role": role.value,
            "void_limit_minor": void_limit_minor,
            "refund_limit_minor": refund_limit_minor,
            "now": now,
            "by": by,
        },
    ).scalar_one_or_none()
    if added is None:
        raise MoveRefused(f"There is a user {shown(name)} already.", "Take another name; one is never given twice.")
    tell(conn, "user.added", now, by, f"{name}, {role}")
    return added


def everybody(conn: Connection) -> list[User]:
    """All users by name, the disabled ones too."""
    return [_user(row._mapping) for row in conn.execute(_ALL)]


def find(conn: Connection, name: str) -> Credentials | None:
    """A user by name, with what the password is checked against."""
    row = conn.execute(_BY_NAME, {"name": name}).one_or_none()
    return Credentials(_user(row._mapping), row.password_hash) if row else None


def set_password(conn: Connection, name: str, password_hash: str, now: datetime, by: str) -> None:
    """Replace a password and end the user's sessions. Raises NotFound."""
    _change(conn, _SET_PASSWORD, "user.password_set", now, by, name=name, password_hash=password_hash)


def disable(conn: Connection, name: str, now: datetime, by: str) -> None:
    """Let somebody in no more; what they did keeps their name. Raises NotFound."""
    _change(conn, _DISABLE, "user.disabled", now, by, name=name)


# ---- sessions -------------------------------------------------------------------------------------------------------

_OPEN = text("""
    INSERT INTO sessions (token_hash, user_id, started_at, seen_at, expires_at)
    VALUES (:hash, :user_id, :now, :now, :expires_at)""")
_SESSION = text(f"""
    SELECT {_COLUMNS}, s.seen_at FROM sessions s JOIN users u ON u.id = s.user_id
    WHERE s.token_hash = :hash AND s.expires_at > :now AND s.seen_at > :idle_since AND u.active""")
_SEEN = text("UPDATE sessions SET seen_at = :now WHERE token_hash = :hash AND seen_at < :now")
_CLOSE = text("DELETE FROM sessions WHERE token_hash = :hash")
_ENDED = text("DELETE FROM sessions WHERE user_id = :user_id AND (expires_at <= :now OR seen_at <= :idle_since)")


def open_session(conn: Connection, token: str, user: User, now: datetime) -> None:
    """Begin a session under a random token, of which only a digest is kept."""
    conn.execute(_ENDED, {"user_id": user.id, "now": now, "idle_since": now - IDLE})
    conn.execute(_OPEN, {"hash": _hash(token), "user_id": user.id, "now": now, "expires_at": now + LIFE})
    tell(conn, "user.logged_in", now, user.name)


def session(conn: Connection, token: str, now: datetime) -> User | None:
    """Whose session this is; None where it ended, or its user was disabled. Writes down that it is used."""
    known = {"hash": _hash(token), "now": now, "idle_since": now - IDLE}
    row = conn.execute(_SESSION, known).one_or_none()
    if row is None:
        return None
    if row.seen_at < now - SEEN_EVERY:
        conn.execute(_SEEN, known)
    return _user(row._mapping)


def close_session(conn: Connection, token: str) -> None:
    """End a session."""
    conn.execute(_CLOSE, {"hash": _hash(token)})


# ---- slowing guesses down -------------------------------------------------------------------------------------------

_ATTEMPT = text("INSERT INTO login_attempts (at, name, address) VALUES (:now, :name, :address) RETURNING id")
_FAILURES = text("""
    SELECT (SELECT count(*) FROM login_attempts WHERE name = :name AND at > :since) > :a_name
        OR (SELECT count(*) FROM login_attempts WHERE address = :address AND at > :since) > :an_address""")
_SUCCEEDED = text("DELETE FROM login_attempts WHERE id = :id")
_FORGET = text("DELETE FROM login_attempts WHERE at <= :since")


def attempt(conn: Connection, name: str, address: str, now: datetime) -> int | None:
    """Write down a log-in that begins; to be committed before the password is looked at, so that none is uncounted.

    None where there were too many of this name or from this address: then the password is not looked at.
    """
    since = now - COUNTED
    conn.execute(_FORGET, {"since": since})
    attempt_id: int = conn.execute(_ATTEMPT, {"now": now, "name": name, "address": address}).scalar_one()
    counts = {"name": name, "address": address, "since": since}
    limits = {"a_name": FAILURES_A_NAME, "an_address": FAILURES_AN_ADDRESS}
    return None if conn.execute(_FAILURES, {**counts, **limits}).scalar_one() else attempt_id


def succeeded(conn: Connection, attempt_id: int) -> None:
    """A log-in that went well is no failure."""
    conn.execute(_SUCCEEDED, {"id": attempt_id})


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _change(conn: Connection, change: TextClause, what: str, now: datetime, by: str, **values: str) -> None:
    user_id = conn.execute(change, values).scalar_one_or_none()
    if user_id is None:
        raise NotFound(f"There is no user {shown(values['name'])}.", "`defray users list` names them.")
    conn.execute(_END_ALL, {"id": user_id})
    tell(conn, what, now, by, values["name"])


def _user(row: RowMapping) -> User:
    known = {name: row[name] for name in _USER_FIELDS}
    return User(**{**known, "role": Role(known["role"])})


_USER_FIELDS: Final = tuple(one.name for one in fields(User))
