"""Who may use the console: users with their roles, limits, passwords and second factors."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, TextClause, text

from books.history import tell
from rules.errors import MoveRefused, NotFound, shown
from rules.people import Role


@dataclass(frozen=True, slots=True)
class User:
    """Somebody of the office. Limits are in minor units; None: no limit."""

    id: int
    name: str
    role: Role
    void_limit_minor: int | None
    refund_limit_minor: int | None
    active: bool
    two_factor: bool
    logged_in_at: datetime | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """The sealed secret of somebody's one-time codes, and the time step of the last code that was taken."""

    key_id: str
    sealed: bytes = field(repr=False)
    step: int


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whose password is to be checked against what; `second_factor` is None where the password alone is asked for."""

    user: User
    password_hash: str = field(repr=False)
    second_factor: SecondFactor | None


COLUMNS: Final = """u.id, u.name, u.role, u.void_limit_minor, u.refund_limit_minor, u.active,
    u.two_factor_step IS NOT NULL AS two_factor, u.logged_in_at, u.created_at, u.created_by"""
"""What `user_of` reads of `users u`."""

_ADD = text("""
    INSERT INTO users (name, password_hash, role, void_limit_minor, refund_limit_minor, created_at, created_by)
    VALUES (:name, :password_hash, :role, :void_limit_minor, :refund_limit_minor, :now, :by)
    ON CONFLICT (name) DO NOTHING RETURNING id""")
_ALL = text(f"SELECT {COLUMNS} FROM users u ORDER BY u.name")
_BY_NAME = text(f"""
    SELECT {COLUMNS}, u.password_hash, u.two_factor_key_id, u.two_factor_sealed, u.two_factor_step
    FROM users u WHERE u.name = :name""")
_SET_PASSWORD = text("UPDATE users SET password_hash = :password_hash WHERE name = :name RETURNING id")
_SET_ACTIVE = text("UPDATE users SET active = :active WHERE name = :name RETURNING id")
_APPOINT = text("""
    UPDATE users SET role = :role, void_limit_minor = :void_limit_minor, refund_limit_minor = :refund_limit_minor
    WHERE name = :name RETURNING id""")
_ADMINS = text("SELECT name FROM users WHERE role = 'admin' AND active ORDER BY id FOR UPDATE")
_END_ALL = text("""
    DELETE FROM sessions WHERE user_id = :id AND (CAST(:but AS bytea) IS NULL OR token_hash <> CAST(:but AS bytea))""")


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
    return [user_of(row._mapping) for row in conn.execute(_ALL)]


def find(conn: Connection, name: str) -> Credentials | None:
    """A user by name, with what the password is checked against."""
    row = conn.execute(_BY_NAME, {"name": name}).one_or_none()
    if row is None:
        return None
    sealed = row.two_factor_sealed
    second = SecondFactor(row.two_factor_key_id, bytes(sealed), row.two_factor_step) if sealed else None
    return Credentials(user_of(row._mapping), row.password_hash, second)


def named(conn: Connection, name: str) -> Credentials:
    """As `find`; raises NotFound."""
    if (found := find(conn, name)) is None:
        raise _nobody(name)
    return found


def set_password(
    conn: Connection, name: str, password_hash: str, now: datetime, by: str, *, but: bytes | None = None
) -> None:
    """Replace a password and end the user's sessions, all `but` the one of that token's hash. Raises NotFound."""
    _change(conn, _SET_PASSWORD, "user.password_set", now, by, name, but=but, password_hash=password_hash)


def disable(conn: Connection, name: str, now: datetime, by: str) -> None:
    """Let somebody in no more; what they did keeps their name.

    Raises NotFound, and MoveRefused for the last admin: somebody must be left who can let people in again.
    """
    _keep_an_admin(conn, name)
    _change(conn, _SET_ACTIVE, "user.disabled", now, by, name, active=False)


def enable(conn: Connection, name: str, now: datetime, by: str) -> None:
    """Let somebody in again, with the password that they had. Raises NotFound."""
    _change(conn, _SET_ACTIVE, "user.enabled", now, by, name, active=True)


def appoint(
    conn: Connection,
    name: str,
    role: Role,
    now: datetime,
    by: str,
    *,
    void_limit_minor: int | None,
    refund_limit_minor: int | None,
) -> None:
    """Give somebody a role and limits; it holds from their next click. Raises NotFound, MoveRefused as `disable`."""
    if role is not Role.ADMIN:
        _keep_an_admin(conn, name)
    limits = {"void_limit_minor": void_limit_minor, "refund_limit_minor": refund_limit_minor}
    changed = conn.execute(_APPOINT, {"name": name, "role": role.value, **limits}).scalar_one_or_none()
    if changed is None:
        raise _nobody(name)
    tell(conn, "user.appointed", now, by, f"{name}, {role}", details=limits)


# ---- the second factor ----------------------------------------------------------------------------------------------

_SET_TWO_FACTOR = text("""
    UPDATE users SET two_factor_key_id = :key_id, two_factor_sealed = :sealed, two_factor_step = :step
    WHERE name = :name AND two_factor_step IS NULL RETURNING id""")
_NO_TWO_FACTOR = text("""
    UPDATE users SET two_factor_key_id = NULL, two_factor_sealed = NULL, two_factor_step = NULL
    WHERE name = :name RETURNING id""")
_USE_CODE = text("""
    UPDATE users SET two_factor_step = :step
    WHERE name = :name AND two_factor_sealed = :sealed AND two_factor_step < :step RETURNING id""")


def two_factor_purpose(user_id: int) -> str:
    """What the secret of somebody's one-time codes is sealed for."""
    return f"two-factor secret of {user_id}"


def set_two_factor(
    conn: Connection, name: str, second: SecondFactor, now: datetime, by: str, *, but: bytes | None = None
) -> None:
    """Ask for one-time codes from now on, and end the user's other sessions.

    Raises MoveRefused where codes are asked for already: those are turned off first, with one of them.
    """
    known = {"key_id": second.key_id, "sealed": second.sealed, "step": second.step, "name": name}
    user_id = conn.execute(_SET_TWO_FACTOR, known).scalar_one_or_none()
    if user_id is None:
        raise MoveRefused("One-time codes are turned on already.", "Turn them off first.")
    conn.execute(_END_ALL, {"id": user_id, "but": but})
    tell(conn, "user.two_factor_on", now, by, name)


def no_two_factor(conn: Connection, name: str, now: datetime, by: str, *, but: bytes | None = None) -> None:
    """Ask for the password alone again, and end the user's sessions, all `but` that one. Raises NotFound."""
    _change(conn, _NO_TWO_FACTOR, "user.two_factor_off", now, by, name, but=but)


def use_code(conn: Connection, name: str, second: SecondFactor, step: int) -> bool:
    """Remember that the code of this time step was taken; False where it, or a later one, was taken before."""
    known = {"name": name, "sealed": second.sealed, "step": step}
    return conn.execute(_USE_CODE, known).scalar_one_or_none() is not None


def user_of(row: RowMapping) -> User:
    """The user of a row with COLUMNS."""
    known = {name: row[name] for name in _USER_FIELDS}
    return User(**{**known, "role": Role(known["role"])})


def _keep_an_admin(conn: Connection, name: str) -> None:
    if list(conn.scalars(_ADMINS)) == [name]:
        raise MoveRefused(f"{name} is the only admin.", "Make somebody else an admin first.")


def _change(
    conn: Connection,
    change: TextClause,
    what: str,
    now: datetime,
    by: str,
    name: str,
    *,
    but: bytes | None = None,
    **values: Any,
) -> None:
    user_id = conn.execute(change, {"name": name, **values}).scalar_one_or_none()
    if user_id is None:
        raise _nobody(name)
    conn.execute(_END_ALL, {"id": user_id, "but": but})
    tell(conn, what, now, by, name)


def _nobody(name: str) -> NotFound:
    return NotFound(f"There is no user {shown(name)}.", "`defray users list` names them.")


_USER_FIELDS: Final = tuple(one.name for one in fields(User))
