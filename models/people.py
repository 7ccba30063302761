"""The people who use the console: who they are, where they are logged in, who tried to be."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Index, LargeBinary, Table, text
from sqlalchemy import UniqueConstraint as Unique

from models import metadata
from models.columns import identity, minor, moment, words

users = Table(
    "users",
    metadata,
    identity(),
    words("name"),
    words("password_hash"),  # argon2id with its parameters and salt
    words("role"),
    minor("void_limit_minor", nullable=True),  # above it a second person approves; null: no limit
    minor("refund_limit_minor", nullable=True),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    moment("created_at", nullable=False),
    words("created_by"),
    Column("two_factor_sealed", LargeBinary),  # the secret of the one-time codes, sealed; null: none
    words("two_factor_key_id", nullable=True),
    Column("two_factor_step", BigInteger),  # the time step of the last code that was taken: none counts twice
    moment("logged_in_at"),  # last, with all that was asked for
    Unique("name"),
    CheckConstraint("role IN ('clerk', 'supervisor', 'admin')", name="role_known"),
    CheckConstraint("least(void_limit_minor, refund_limit_minor, 0) >= 0", name="no_limit_below_zero"),
    CheckConstraint(
        "num_nonnulls(two_factor_sealed, two_factor_key_id, two_factor_step) IN (0, 3)", name="two_factor_whole"
    ),
)
"""Somebody of the office; a name stays its owner's for good, since events name it."""

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),  # SHA-256: the token itself is in the browser alone
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    moment("started_at", nullable=False),
    moment("seen_at", nullable=False),
    moment("expires_at", nullable=False),
    Column("second_factor_due", Boolean, nullable=False, server_default=text("false")),  # the password alone was right
)
"""Where somebody is logged in; it ends when it was idle for too long, at `expires_at` at the latest."""

Index("ix_sessions_user", sessions.c.user_id)

login_attempts = Table(
    "login_attempts",
    metadata,
    identity(),
    moment("at", nullable=False),
    words("name"),
    words("address"),
)
"""Log-ins that did not succeed, and those under way: counted to slow guessing down; a success takes its row away."""

Index("ix_login_attempts_name", login_attempts.c.name, login_attempts.c.at)
Index("ix_login_attempts_address", login_attempts.c.address, login_attempts.c.at)
Index("ix_login_attempts_at", login_attempts.c.at)
